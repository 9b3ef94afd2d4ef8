"""What is made of a template once, before it is rendered for thousands: text part, inlined styles, preheader, UTM."""
