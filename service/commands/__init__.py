"""The `penstock` commands, one file a noun."""
