"""Who sits behind an address of the sandbox: what a provider knows and the sender does not.

`People` answers for any address.  The model reads nothing else about a recipient, so that the sample audience,
a simulation and a test may each bring their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Engagement(StrEnum):
    """How the person feels about our mail."""

    ENGAGED = "engaged"  # opens it: raises the hidden reputation
    CASUAL = "casual"  # sometimes opens it
    SLEEPING = "sleeping"  # forgot us long ago


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One mailbox.  `annoyed`: presses "spam" almost surely when mail of ours lies in the inbox."""

    exists: bool = True
    engagement: Engagement = Engagement.CASUAL
    annoyed: bool = False
    full: bool = False


People: TypeAlias = Callable[[str], Person]
