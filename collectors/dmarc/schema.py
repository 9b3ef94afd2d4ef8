"""The elements of an aggregate report, old form and new, as one tree of names, and where each value goes.

A node is a dictionary of its children and a `slot`: a number from 0 for a value of a record, from META for a value
of the report, a negative `Action` for an element whose end means something.  Names are local: namespaces and their
prefixes differ between reporters and decide nothing.  RFC 7489 appendix C; RFC 9990 appendix A.
"""

from __future__ import annotations

from enum import IntEnum


class Slot(IntEnum):
    """Where a value of a record, or of the report, is kept."""

    SOURCE_IP = 0
    COUNT = 1
    DISPOSITION = 2
    DKIM = 3
    SPF = 4
    HEADER_FROM = 5
    ENVELOPE_FROM = 6
    AUTH_DOMAIN = 7
    AUTH_SELECTOR = 8
    AUTH_RESULT = 9
    ORG_NAME = 20
    EMAIL = 21
    REPORT_ID = 22
    BEGIN = 23
    END = 24
    DOMAIN = 25
    POLICY = 26
    ERROR = 27


META = 20
RECORD_SLOTS = 10


class Action(IntEnum):
    """What the end of an element does."""

    NONE = -1
    RECORD = -2
    ROW = -3
    DKIM = -4
    SPF = -5
    REPORT = -6
    MARKUP = -7


class Node(dict[str, "Node"]):
    """One element: its known children, and what its end means."""

    __slots__ = ("slot",)

    def __init__(self, slot: int = Action.NONE, **children: Node) -> None:
        super().__init__(children)
        self.slot = int(slot)


def tree() -> Node:
    """A fresh tree (a parser adds prefixed spellings to its own).  The root's only child is `feedback`."""
    # what is known and not kept stands here too: an unknown name costs five times a known one
    reason = Node(type=Node(), comment=Node())
    evaluated = Node(disposition=Node(Slot.DISPOSITION), dkim=Node(Slot.DKIM), spf=Node(Slot.SPF), reason=reason)
    identifiers = Node(header_from=Node(Slot.HEADER_FROM), envelope_from=Node(Slot.ENVELOPE_FROM), envelope_to=Node())
    record = Node(
        Action.RECORD,
        row=Node(Action.ROW, source_ip=Node(Slot.SOURCE_IP), count=Node(Slot.COUNT), policy_evaluated=evaluated),
        identifiers=identifiers,
        identities=identifiers,  # seen in the wild
        auth_results=Node(
            dkim=Node(
                Action.DKIM,
                domain=Node(Slot.AUTH_DOMAIN),
                selector=Node(Slot.AUTH_SELECTOR),
                result=Node(Slot.AUTH_RESULT),
                human_result=Node(),
            ),
            spf=Node(
                Action.SPF,
                domain=Node(Slot.AUTH_DOMAIN),
                scope=Node(),
                result=Node(Slot.AUTH_RESULT),
                human_result=Node(),
            ),
        ),
    )
    metadata = Node(
        org_name=Node(Slot.ORG_NAME),
        email=Node(Slot.EMAIL),
        report_id=Node(Slot.REPORT_ID),
        date_range=Node(begin=Node(Slot.BEGIN), end=Node(Slot.END)),
        error=Node(Slot.ERROR),
    )
    published = Node(domain=Node(Slot.DOMAIN), p=Node(Slot.POLICY))
    return Node(feedback=Node(Action.REPORT, report_metadata=metadata, policy_published=published, record=record))
