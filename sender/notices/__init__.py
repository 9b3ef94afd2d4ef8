"""Delivery status notifications to submitters (RFC 3461, 3464): the words of the wish, the order, the report."""
