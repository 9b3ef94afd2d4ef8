"""Each storage port on both databases: the same tests, a real file and a real server."""
