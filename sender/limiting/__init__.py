"""Limits of ours on what is sent: rates, openings, open connections, at any scope.  See `sender.limiting.book`."""
