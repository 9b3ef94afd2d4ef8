"""Models of the tables of reply rules and of retry schedules (docs/reply-rules.md)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from config.parts import Name, Part
from core.classify import BounceClass
from core.reaction import ReactionAction
from core.reply import Stage
from core.replyrules import ReactionRule, Trigger

_LONGER = 4  # times the first duration, where a rule names no longest
By = Literal["source", "sending_domain", "provider", "site", "stream", "campaign"]


class Replies(Part):
    """Files that stand before the shipped tables."""

    rules: Path | None = Field(None, description="Reply rules; the shipped ones follow, except those it names")
    retries: Path | None = Field(None, description="Retry schedules; the shipped ones follow, except those it names")


class ReactionRow(Part):
    """A rule as it is written.  Every part that is given must hold."""

    name: Name
    note: str = Field("", description="Where the provider says so, for people")
    off: bool = Field(False, description="Neither this rule nor a shipped one of its name acts")
    providers: list[str] = Field(
        default_factory=list, description="Names of the provider table, or 'other' for those not in it; all when empty"
    )
    pattern: str = Field(
        "", max_length=500, description="Regular expression, searched in 'CODE STATUS TEXT' with <ip> for addresses"
    )
    classes: list[BounceClass] = Field(default_factory=list, description="What the reply was classified as")
    codes: list[str] = Field(default_factory=list, description="'421', '4xx', '4.7.28', '5.7.606-649'")
    stages: list[Stage] = Field(default_factory=list, description="The commands that were answered")
    count: int | None = Field(None, ge=1, description="Act on so many such replies in the window")
    rate: float | None = Field(None, gt=0, le=1, description="Act when this share of all answers in the window is such")
    minimum: int = Field(20, ge=1, description="With rate: fewer answers in the window prove nothing")
    window_minutes: float = Field(60, gt=0, le=1440)
    by: list[By] = Field(
        ["source", "provider"], min_length=1, description="Counted and acted on apart for each combination of these"
    )
    action: ReactionAction
    minutes: float = Field(30, gt=0, le=7 * 1440, description="How long the action lasts")
    max_minutes: float | None = Field(
        None, gt=0, le=14 * 1440, description="Each time that it acts again it lasts twice as long, up to this"
    )
    probe: int = Field(
        0, ge=0, le=1000, description="Afterwards one connection, and one more with each of so many deliveries"
    )
    connections: int = Field(0, ge=0, le=1000, description="retune: open connections from a source")
    messages_per_connection: int = Field(0, ge=0, description="retune, one_connection: messages over one of them")
    per_minute: float = Field(
        0, ge=0, le=1_000_000, description="slow, retune: messages a minute, all senders together"
    )
    alert: bool | None = Field(None, description="Tell a person; by default for stop and alert")
    spare_transactional: bool = Field(False, description="Transactional streams go on")
    go_on: bool = Field(False, description="Later rules see the reply as well")
    examples: list[str] = Field(
        default_factory=list, max_length=20, description="Replies that this rule must take; checked"
    )
    remedy_en: str = ""
    remedy_ru: str = ""

    def built(self, transactional: Sequence[str]) -> ReactionRule:
        """The rule as senders apply it."""
        return ReactionRule(
            name=self.name,
            trigger=Trigger(
                window=self.window_minutes * 60, count=self.count or 0, rate=self.rate or 0.0, minimum=self.minimum
            ),
            action=self.action,
            seconds=self.minutes * 60,
            longest=(self.max_minutes or _LONGER * self.minutes) * 60,
            by=tuple(self.by),
            providers=frozenset(self.providers),
            pattern=re.compile(self.pattern, re.IGNORECASE) if self.pattern else None,
            classes=frozenset(self.classes),
            codes=tuple(self.codes),
            stages=frozenset(self.stages),
            probe=self.probe,
            connections=1 if self.action is ReactionAction.ONE_CONNECTION else self.connections,
            messages_per_connection=self.messages_per_connection,
            per_minute=self.per_minute,
            alert=self.action in (ReactionAction.STOP, ReactionAction.ALERT) if self.alert is None else self.alert,
            spare=tuple(transactional) if self.spare_transactional else (),
            go_on=self.go_on,
            remedy_en=self.remedy_en,
            remedy_ru=self.remedy_ru,
        )


class RetryRow(Part):
    """Waits of one kind of deferral.  The first row that fits counts; [delivery] says what the others wait."""

    name: Name
    note: str = ""
    off: bool = False
    providers: list[str] = Field(default_factory=list, description="As in reply rules; all when empty")
    classes: list[BounceClass] = Field(default_factory=list, description="All when empty")
    minutes: list[float] = Field(min_length=1, max_length=50, description="Waits after the first, second … attempt")
    growth: float = Field(2.0, ge=1, le=10, description="Each further wait is so many times the last")
    max_hours: float = Field(6, gt=0, le=48)
    give_up_hours: float | None = Field(
        None, gt=0, le=24 * 14, description="Ends as an expired bounce so long after the first attempt"
    )
