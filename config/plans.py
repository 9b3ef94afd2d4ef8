"""Warm-up plans: the schema of `data/plans/*.toml` and of the owner's plan files (docs/warmup.md).

A plan says whose lanes it covers (identity), how their caps rise (table or growth, per provider), when mail goes (zone,
days, hours), and what evidence holds a lane or sends it back (gates).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from config.model import Name, Part

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class ProviderRamp(Part):
    """Other figures for one provider."""

    start: int | None = Field(None, ge=1)
    growth: float | None = Field(None, gt=1, le=4)
    target: int | None = Field(None, ge=1)


class Budgets(Part):
    """Caps that lanes share (warmup.budgets); 0: none."""

    source: float = Field(0, ge=0, le=1000, description="An address with a provider: times its lanes' largest cap")
    sending_domain: float = Field(0, ge=0, le=1000, description="A domain with a provider, likewise")
    total: int = Field(0, ge=0, description="Messages a day of all lanes of the plan together")


class Plan(Part):
    """A warm-up plan.  Caps count first attempts a lane and day.  Origin of the figures: `source_note`."""

    name: Name
    source_note: str = ""
    sources: list[str] = Field(default_factory=list, description="Lanes of these sources; all when empty")
    sending_domains: list[str] = Field(default_factory=list)
    table: list[int] = Field(
        default_factory=list, description="Messages a day, step by step; growth continues after its end"
    )
    start: int = Field(50, ge=1, description="First day's cap when there is no table")
    growth: float = Field(1.4, gt=1, le=4)
    controller: Literal["table", "adaptive"] = Field(
        "table", description="adaptive: the cap follows what the provider takes"
    )
    max_growth: float = Field(3.0, gt=1, le=10, description="adaptive: the most that a cap grows in a day")
    target: int = Field(100_000, ge=1, description="Messages a lane and day at which the ramp is finished")
    providers: dict[str, ProviderRamp] = Field(
        default_factory=dict, description="Other start, growth, target for one provider"
    )
    budgets: Budgets = Budgets()
    advance_sent_share: float = Field(0.8, gt=0, le=1, description="Advance only when this share of the cap was sent")
    max_deferral_rate: float = Field(0.1, ge=0, le=1)
    max_block_rate: float = Field(0.02, ge=0, le=1)
    max_spam_placement: float = Field(0.5, ge=0, le=1)
    max_bounce_rate: float = Field(1.0, gt=0, le=1)
    max_complaint_rate: float = Field(1.0, gt=0, le=1)
    time_zone: str = Field("UTC", description="IANA name of the zone of its days and hours")
    days: list[Weekday] = Field(default_factory=list, max_length=7, description="Sending days; every day when empty")
    hour_from: int = Field(0, ge=0, le=23)
    hour_to: int = Field(24, ge=1, le=24)
    idle_rewarm_days: int = Field(30, ge=1)
    deadline_days: int = Field(0, ge=0, le=3660)

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone; write an IANA name, e.g. Europe/Moscow") from error
        return name


SHIPPED = Path(__file__).parent / "data" / "plans"


def plan_file(path: Path) -> Path:
    """The owner's file; a bare name such as `adaptive` that is no file of theirs names a shipped plan."""
    shipped = SHIPPED / f"{path.name}.toml"
    return shipped if not path.suffix and not path.is_file() and shipped.is_file() else path


def shipped_plan_names() -> list[str]:
    """Names that `warmup.plans` takes beside files."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))
