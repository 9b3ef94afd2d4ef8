"""Feedback over time: soft bounces, provider outages, reply texts that nobody knows.  `follower` folds the log."""
