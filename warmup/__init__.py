"""House `warmup`."""
