"""Settings, their loading and checking, and the tables that ship as data."""
