"""House `sender`."""
