"""Settings of the monitor: which rules, how far behind it may be, and which days are like no others."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from config.parts import Name, Part


class ExceptionalDays(Part):
    """Days with a baseline of their own: a sale, a holiday.  Give the name of last year's to compare the two."""

    name: Name
    first: date
    last: date | None = Field(None, description="Included; `first` alone when absent")

    @model_validator(mode="after")
    def _in_order(self) -> ExceptionalDays:
        if self.last is not None and not 0 <= (self.last - self.first).days <= 60:
            raise ValueError("last lies before first, or more than 60 days after it")
        return self


class Monitor(Part):
    rules: Path | None = Field(None, description="Rules file; the shipped rules when absent")
    max_lag_seconds: float = Field(60, gt=0, description="Ramping lanes hold when the monitor is further behind")
    exceptional: list[ExceptionalDays] = Field(default_factory=list)


class Engagement(Part):
    """When a recipient counts as alive, and what happens to mail for those who are gone."""

    new_days: float = Field(30, ge=1, description="First mail so long ago or less, without a sign: new")
    active_days: float = Field(30, ge=1, description="A human open or click within so many days: active")
    sleeping_days: float = Field(90, ge=1, description="None for longer than active_days: sleeping")
    risk_days: float = Field(180, ge=1, description="None for longer than this: gone")
    gone_mails: int = Field(5, ge=1, description="... if so many mails and more were delivered since")
    weekly_limit: int = Field(4, ge=1, description="More mails a week are too often (rule over_frequency)")
    sunset: Literal["off", "hold", "refuse"] = Field(
        "off", description="Mail for those who are gone: goes on, waits hold_days and is tried again, or ends"
    )
    sunset_streams: list[Name] = Field(
        default_factory=list,
        description="Streams of the policy; when empty all tracked that one can leave",
    )
    hold_days: float = Field(90, ge=1, description="With hold: days until one mail may ask again")

    @model_validator(mode="after")
    def _in_order(self) -> Engagement:
        if not self.active_days < self.sleeping_days < self.risk_days:
            raise ValueError("active_days, sleeping_days and risk_days must rise")
        return self
