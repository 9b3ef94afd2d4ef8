"""Cleaning of audiences: which addresses of a list can be mailed, and why the others cannot."""
