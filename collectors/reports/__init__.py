"""Receivers' reports: whose word they are, who the sources in them are, and what follows for our own mail."""
