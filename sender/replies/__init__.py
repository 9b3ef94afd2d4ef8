"""Reply rules at work in a sender: counts in windows, reactions in force, what processes tell one another."""
