"""House `monitor`."""
