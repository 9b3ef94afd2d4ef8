"""The durable queue: rows, groups, leases.  See `storage.queue.port` for the contract."""

from storage.queue.port import SqlQueue

__all__ = ["SqlQueue"]
