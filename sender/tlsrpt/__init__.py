"""Reports of our TLS sessions to recipient domains (RFC 8460): who asks, what is told, in which form."""
