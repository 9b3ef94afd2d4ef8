"""Opens and clicks: who it was, and one event for each kind."""
