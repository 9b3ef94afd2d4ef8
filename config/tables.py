"""Models of the tables that ship as data and can be replaced by files of the owner's.

- providers (`data/providers.toml`): how a mailbox provider is recognised and what it bears;
- plans (`data/plans/*.toml`): warm-up (`config.plans`);
- rules (`data/rules.toml`): what the monitor watches and does (`config.rules`);
- zones (`data/blocklists.toml`): blocklists and what their return codes mean;
- sheets (`data/requirements/*.toml`): what each large provider asks of a sender.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.model import Name, Part
from config.plans import WEEKDAYS as WEEKDAYS
from config.plans import Plan as Plan
from config.plans import ProviderRamp as ProviderRamp
from config.rules import Rule as Rule


class ProviderRow(Part):
    """A provider is recognised only if *every* MX host of a domain ends with one of `mx`."""

    name: Name
    mx: list[str] = Field(
        min_length=1, description="Host name suffixes, e.g. 'google.com'; matched at a label boundary"
    )
    connections: int = Field(10, ge=1, le=1000, description="Open connections per source")
    messages_per_connection: int = Field(100, ge=1)
    new_connections_per_minute: int = Field(100, ge=0, le=100_000, description="Per source; 0: no limit")
    tls_required: bool = False
    complaint_feedback: bool = Field(
        True, description="Sends complaint reports; else it is left out of complaint rates"
    )


# of every other site: it may be large, so openings are bounded only against running wild
OTHER_ROW = ProviderRow(name="other", mx=["invalid"], new_connections_per_minute=600)
Weight = Literal["stop", "hold", "warn"]


class ZoneCode(Part):
    code: str = Field(description="Return code such as '127.0.0.2'; in a bitmask zone the bit as a number")
    meaning: str
    weight: Weight | None = Field(None, description="Other than the zone's")


class BlocklistZone(Part):
    """A blocklist (RFC 5782).  Codes that the table does not know weigh `warn`; `errors` are never listings."""

    zone: str = Field(description="Name of the zone; {key} stands for a key of [[blocklists.keys]]")
    kind: Literal["ip", "domain"] = "ip"
    weight: Weight = Field("warn", description="stop: only a person opens again; hold: until delisted; warn: tell only")
    ipv6: bool = Field(False, description="Answers for IPv6 addresses too")
    bitmask: bool = Field(False, description="The last octet is a sum of bits")
    key: str = Field("", description="Used only when [[blocklists.keys]] has this name")
    instead_of: str = Field("", description="The zone that it replaces when used")
    opt_in: bool = Field(False, description="Off until named in blocklists.also")
    must_list: str = Field("", description="Self-test; 127.0.0.2 or the name TEST when empty (RFC 5782 section 5)")
    must_not_list: str = Field("", description="Self-test; 127.0.0.1 or the name INVALID when empty")
    max_queries_per_day: int = Field(1000, ge=1)
    delist: str = Field("", description="Page where a listing is looked up and ended")
    errors: list[str] = Field(default_factory=list, description="Codes by which the zone refuses to answer")
    codes: list[ZoneCode] = Field(default_factory=list)


class Requirement(Part):
    """One row of a provider's sender requirements.

    `findings` are beginnings of finding ids that decide it, `facts` names of facts (service.requirements); every one
    of them must be good.  A row with neither cannot be seen from here: it is always unknown.
    """

    id: Name
    what_en: str
    what_ru: str
    remedy_en: str
    remedy_ru: str
    source: str = Field(description="Where the provider says so")
    findings: list[str] = Field(default_factory=list)
    facts: list[str] = Field(default_factory=list)
    warnings_fail: bool = Field(False, description="A warning breaks this row as well as a problem")


class Sheet(Part):
    """The requirements of one provider."""

    provider: Name
    title_en: str
    title_ru: str
    applies_from: int = Field(0, ge=0, description="Messages a day from which the provider asks it; 0: from the first")
    as_of: str = Field(description="When the rows were last compared with the provider's page")
    rows: list[Requirement] = Field(min_length=1)


Plan.model_rebuild()
