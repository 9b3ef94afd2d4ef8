"""Postmaster feeds: what mailbox providers say about our mail, fetched with our account there.

A feed is one small file with `fetch` and a row in `table.FEEDS`; see docs/adding-a-feed.md.  `watch.FeedWatch` polls.
"""
