"""House `collectors`."""
