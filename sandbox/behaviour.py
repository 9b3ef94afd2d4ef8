"""How a mailbox provider behaves, as data: the schema of `sandbox/data/providers/*.toml`.

One file describes one provider: its names and address, what it says (in the real providers' own words), what it
bears, how its users complain, how it bounces, and how its hidden reputation moves.  `sandbox.model` is the engine that
reads it; the servers on loopback and the in-memory transport share both.

Reply lines are written as on the wire, with the code.  `{ip}` `{recipient}` `{domain}` `{host}` `{id}` are filled in.
All shares are 0..1.  Reputation weights are *shares of a day's usual volume*, so that one file fits a sender of
a hundred mails a day and one of a million: `complaint = 25` means that a day with 1 % complaints moves the
reputation by exp(-0.25).
Raises config's validation errors for a file that breaks the schema (unknown keys included).
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from config.model import Part
from core.reply import Stage, parse_reply

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Answer(Part):
    """One reply: which command it answers, its lines, and whether the provider hangs up after it."""

    stage: Stage
    lines: list[str] = Field(min_length=1, max_length=10)
    closes: bool = False

    @field_validator("lines")
    @classmethod
    def _are_one_reply(cls, lines: list[str]) -> list[str]:
        code = parse_reply(lines[:1]).code
        for number, line in enumerate(lines, 1):
            wanted = f"{code}{'-' if number < len(lines) else ' '}"
            if not code or not line.startswith(wanted):
                raise ValueError(f"line {number} has to start with {wanted!r}: every line as on the wire")
        return lines


class Replies(Part):
    """What the provider says in each situation."""

    greeting: Answer
    accepted: Answer
    unknown_user: Answer
    mailbox_full: Answer
    greylisted: Answer
    rate_limited: Answer
    low_reputation: Answer
    blocked: Answer
    too_large: Answer
    too_many_connections: Answer
    too_many_messages: Answer


class Limits(Part):
    connections: int = Field(10, ge=1, description="Open connections of one address")
    messages_per_connection: int = Field(100, ge=1)
    max_size: int = Field(35_000_000, ge=1024, description="Bytes, as announced with SIZE")


class Volume(Part):
    """How much more than usual is borne: up to max(floor, tolerance x usual) a day, then rate limits."""

    floor: int = Field(500, ge=1, description="Messages a day that are borne of anyone")
    tolerance: float = Field(2.5, gt=1, description="Times the usual volume of a day")
    memory: Share = Field(0.93, gt=0, le=1, description="What is left of the usual volume after a day without mail")


class ReputationHabit(Part):
    """The hidden value 0..1 of one sender and what moves it.  See the module for the unit of the weights."""

    start: Share = 0.5
    wanted: float = Field(0.5, ge=0, description="Mail to engaged people, in the inbox")
    complaint: float = Field(25, ge=0)
    unknown_user: float = Field(3, ge=0)
    burst: float = Field(0.5, ge=0, description="Mail above the tolerated volume")
    heal_per_day: Share = Field(0.05, description="Drift back to the start")
    junk_below: Share = Field(0.35, description="Here half of the mail goes to the spam folder")
    junk_width: float = Field(0.04, gt=0, description="How sharp that border is")
    defer_below: Share = 0.2
    block_below: Share = 0.1
    floor_volume: int = Field(100, ge=1, description="Least usual volume by which one event is weighed")


class ComplaintHabit(Part):
    """`form` is that of the reports; 'none' means that people complain and nobody tells the sender."""

    form: Literal["none", "jmrp", "cfl", "mailru"] = "none"
    reporter: str = Field("", description="Address that the reports come from")
    engaged: Share = 0.0001
    casual: Share = 0.0003
    sleeping: Share = 0.002
    annoyed: Share = 0.95
    delay_median_hours: float = Field(3, gt=0)
    delay_spread: float = Field(0.8, ge=0, description="Sigma of the log-normal delay")
    delay_max_hours: float = Field(48, gt=0)


class BounceHabit(Part):
    """`late_share` of mail to unknown users is accepted and answered by a bounce mail."""

    late_share: Share = 0.0
    late_hours: float = Field(0.2, gt=0)
    style: Literal["google", "microsoft", "yahoo", "mailru", "postfix"] = "postfix"
    reporter: str = Field("MAILER-DAEMON@localhost", description="From address of bounce mails")


class Greylisting(Part):
    share: Share = Field(0.0, description="Recipients whose first mail of a sender is put off")
    minutes: float = Field(5, gt=0)


class SeedFolders(Part):
    """Folder names of the provider's IMAP server, in Unicode (they go over the wire in modified UTF-7)."""

    junk: str = "Junk"
    others: dict[str, str] = Field(default_factory=dict, description="Name to SPECIAL-USE attribute, e.g. '\\Sent'")


class Behaviour(Part):
    """One provider."""

    name: str
    report_name: str = Field(description="Submitter of DMARC reports, e.g. google.com")
    report_sender: str
    address: str = Field(description="Loopback address of its servers")
    mx: list[str] = Field(min_length=1, description="Names of its mail exchangers, most preferred first")
    domains: list[str] = Field(min_length=1, description="Recipient domains; reserved names only (RFC 2606)")
    ehlo: list[str] = Field(min_length=1, description="Lines of the EHLO answer without code")
    starttls: bool = True
    replies: Replies
    limits: Limits = Limits()
    volume: Volume = Volume()
    reputation: ReputationHabit = ReputationHabit()
    complaints: ComplaintHabit = ComplaintHabit()
    bounces: BounceHabit = BounceHabit()
    greylisting: Greylisting = Greylisting()
    folders: SeedFolders = SeedFolders()


def parse_behaviour(text: str) -> Behaviour:
    """Read one provider file.  Raises tomllib.TOMLDecodeError or pydantic.ValidationError."""
    return Behaviour.model_validate(tomllib.loads(text))


def shipped_behaviours() -> dict[str, Behaviour]:
    """The providers that ship with the sandbox, by name, in the order of their addresses."""
    folder = files("sandbox") / "data" / "providers"
    found = [parse_behaviour(f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".toml")]
    return {b.name: b for b in sorted(found, key=lambda b: b.address)}
