"""House `alerts`."""
