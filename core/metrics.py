"""What is counted under an attribution: the one list of counter names.

The projector (`monitor.counters`) folds events into these; warm-up and rules read them.  Every metric counts
messages of the cohort in which they were first sent, whenever the event itself arrived.
"""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """Names of counters.  The comment says which event adds one."""

    ACCEPTED = "accepted"  # Accepted, under a lane without source and provider: neither is known yet
    ATTEMPTED = "attempted"  # first attempt that ended: Delivered, Deferred or Bounced with attempt 1
    DELIVERED = "delivered"  # Delivered
    DEFERRED = "deferred"  # first attempt that ended Deferred
    PUT_OFF = "put_off"  # of these, all but greylisting (RFC 6647), which says nothing about us: what a rate is made of
    DEFERRALS = "deferrals"  # every Deferred
    HARD_BOUNCED = "hard_bounced"  # Bounced, or terminal BounceReceived, whose class is of the recipient group
    SOFT_BOUNCED = "soft_bounced"  # Bounced, or terminal BounceReceived, of any other group
    BLOCKED = "blocked"  # reply of the reputation group, deferred or bounced, once a message's attempt
    BLOCKED_FIRST = "blocked_first"  # the same of a first attempt: what a rate can be made of
    AUTH_FAILED = "auth_failed"  # reply of the authentication group
    AUTH_FAILED_FIRST = "auth_failed_first"  # the same of a first attempt
    COMPLAINED = "complained"  # ComplaintReceived of type abuse, fraud or other
    UNSUBSCRIBED = "unsubscribed"  # Unsubscribed
    SEED_INBOX = "seed_inbox"  # SeedPlaced inbox or tab
    SEED_SPAM = "seed_spam"  # SeedPlaced spam
    SEED_MISSING = "seed_missing"  # SeedPlaced missing
    OPENED_HUMAN = "opened_human"  # Opened by a human; each message once, as all of these
    OPENED_MACHINE = "opened_machine"  # Opened by a machine
    CLICKED_HUMAN = "clicked_human"  # the first Clicked of a message by a human
    CLICKED_MACHINE = "clicked_machine"  # the first Clicked of a message by a machine
