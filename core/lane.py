"""Where mail goes and what it is counted under: lane, stream, scope, attribution.

Words (one meaning each): *source* one egress address of ours; *sending domain* the DKIM d= domain;
*provider* the mailbox provider resolved from the recipient's MX set (`gmail`, … or `other:<site>`);
*lane* = source × sending domain × provider; *stream* a kind of mail (transactional, bulk …).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import NewType

Source = NewType("Source", str)
SendingDomain = NewType("SendingDomain", str)
Provider = NewType("Provider", str)
Stream = NewType("Stream", str)
Campaign = NewType("Campaign", str)
Pool = NewType("Pool", str)  # a named set of sources
Site = NewType("Site", str)  # the sorted MX set of a recipient domain, joined by ','

NO_CAMPAIGN = Campaign("")
NO_POOL = Pool("")  # the message names none: its stream or sending domain may
UNROUTED = Provider("")  # the recipient's MX set has not been asked for yet
NO_SITE = Site("")


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Lane:
    """The unit of warm-up and reputation."""

    source: Source
    sending_domain: SendingDomain
    provider: Provider

    @property
    def key(self) -> str:
        """`source|sending_domain|provider`: the lane's name in storage, API and URLs."""
        return f"{self.source}|{self.sending_domain}|{self.provider}"

    @staticmethod
    def from_key(key: str) -> Lane:
        """Inverse of `key`.  Raises ValueError when it has not three parts."""
        source, sending_domain, provider = key.split("|", 2)
        return Lane(source=Source(source), sending_domain=SendingDomain(sending_domain), provider=Provider(provider))


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Traffic:
    """What one message is, for every rule: its lane, its stream and its campaign ('' for none)."""

    lane: Lane
    stream: Stream
    campaign: Campaign = NO_CAMPAIGN
    list_source: str = ""  # how the address came to be on the caller's list


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Attribution:
    """Traffic plus cohort: under what a message and all its later events are counted.

    `cohort` is the hour in which the message was first sent: whole hours since the epoch, UTC.
    """

    traffic: Traffic
    cohort: int


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Scope:
    """A set of traffic: each part either names one value or, when empty, takes all.

    `spare` lists streams that the scope leaves alone even where it would match (transactional mail
    continues when marketing is paused), unless the scope names that stream itself.
    """

    source: str = ""
    sending_domain: str = ""
    provider: str = ""
    stream: str = ""
    campaign: str = ""
    spare: tuple[str, ...] = ()
    site: str = ""
    pool: str = ""
    list_source: str = ""

    @property
    def is_narrow(self) -> bool:
        """True when traffic alone does not tell whether it lies inside: a site or a pool is named."""
        return bool(self.site or self.pool)

    def covers(self, traffic: Traffic, site: str = "", pool: str = "") -> bool:
        """True when mail of this traffic lies inside the scope; where it goes and its pool, as far as known."""
        if self.site not in ("", site) or self.pool not in ("", pool):
            return False
        if traffic.stream in self.spare and self.stream != traffic.stream:
            return False
        return (
            self.source in ("", traffic.lane.source)
            and self.sending_domain in ("", traffic.lane.sending_domain)
            and self.provider in ("", traffic.lane.provider)
            and self.stream in ("", traffic.stream)
            and self.campaign in ("", traffic.campaign)
            and self.list_source in ("", traffic.list_source)
        )

    @property
    def key(self) -> str:
        """Stable name, e.g. `provider=gmail,stream=bulk`; `all` for everything.  Without the spared streams."""
        return _key_of(self)


@lru_cache(maxsize=50_000)  # asked for with every counter
def _key_of(scope: Scope) -> str:
    parts = [
        f"{f.name}={getattr(scope, f.name)}" for f in fields(scope) if f.name != "spare" and getattr(scope, f.name)
    ]
    return ",".join(parts) or "all"


def parse_scope(text: str, *, spare: tuple[str, ...] = ()) -> Scope:
    """Read `provider=gmail,stream=bulk`, `lane=SOURCE|DOMAIN|PROVIDER` or `all`.  Raises ValueError naming the part.

    The commas of a site (`site=mx1.example.net,mx2.example.net`, `provider=other:…`) or a list source belong to its
    name."""
    known = {f.name for f in fields(Scope)} - {"spare"}
    values: dict[str, str] = {}
    last = ""
    for part in [] if text == "all" else text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals and name and (last in ("site", "list_source") or values.get("provider", "").startswith("other:")):
            values[last] += f",{part if last == 'list_source' else name}"
            continue
        if name == "lane" and value.count("|") == 2:
            values |= dict(zip(("source", "sending_domain", "provider"), value.split("|"), strict=True))
            last = "provider"
            continue
        if not equals or name not in known or not value:
            names = ", ".join([*sorted(known), "lane"])
            raise ValueError(f"{part!r} is not part of a scope; write NAME=VALUE with NAME one of {names}")
        if name in values:
            raise ValueError(f"{name} stands twice in the scope; name it once")
        values[name], last = value, name
    return Scope(**values, spare=spare)


HOUR = 3600.0
DAY = 86400.0


def cohort_of(at: float) -> int:
    """The cohort (whole UTC hours since the epoch) of an instant in seconds."""
    return int(at // HOUR)


def day_of(at: float) -> int:
    """Whole UTC days since the epoch: the key of a day's allowance."""
    return int(at // DAY)
