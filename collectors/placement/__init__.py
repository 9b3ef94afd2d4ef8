"""Seed placement: where our own mail lands in mailboxes of ours, and how they are looked into without a trace."""
