"""House `storage`."""
