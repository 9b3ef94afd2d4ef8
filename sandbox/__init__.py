"""House `sandbox`."""
