"""House `service`."""
