"""Private instances of the real daemons that the integration tests talk to.  Each is stopped by its own pid."""
