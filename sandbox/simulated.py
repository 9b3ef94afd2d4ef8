"""Providers and audiences for simulation: the schema of `sandbox/data/models/*.toml` (docs/simulation.md).

Contract: a model is a shipped provider (`like`) with other habits (`[behaviour]`, any part of sandbox.behaviour), the
audience behind it, and incidents by day.  `SimulatedProvider` is the same engine as the sandbox's with the incidents
before it.  Who sits behind an address is written in the address (`address_of`), so that nothing has to be remembered
and a run of a million messages is bounded; `expected` gives the true rates that the sender never sees.
Pure: `now` and `rng` come in.  A wrong model raises ConfigError: every mistake with its line, key and remedy.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from config.model import Name, Part
from config.problems import MAX_FILE_BYTES, ConfigError, Problem, named, problems_of
from core.errors import InvalidInput
from core.lane import DAY
from sandbox.behaviour import Behaviour, Share
from sandbox.model import MailFacts, ProviderModel, Situation, Verdict
from sandbox.people import Engagement, Person

_ADDRESS = re.compile(r"(engaged|casual|sleeping|dead|annoyed|seed)\.d(\d{1,4})\..*")


class Shares(Part):
    """Who gets the mail.  engaged + casual + sleeping are scaled to what dead and annoyed leave."""

    engaged: Share = 0.6
    casual: Share = 0.25
    sleeping: Share = 0.15
    dead: Share = Field(0.004, description="Addresses that do not exist")
    annoyed: Share = Field(0.0, description="People who complain whenever the mail lies in the inbox")

    @model_validator(mode="after")
    def _somebody(self) -> Shares:
        if self.engaged + self.casual + self.sleeping <= 0 or self.dead + self.annoyed > 1:
            raise ValueError("some of engaged, casual and sleeping must be above 0, dead + annoyed at most 1")
        return self


class Incident(Part):
    """Something that happens on days `day` … `day + days - 1` (1 is the first day)."""

    day: int = Field(ge=1, le=3660)
    days: int = Field(1, ge=1, le=3660)
    every: int = Field(0, ge=0, description="Again after so many days; 0: once")
    kind: Literal["blocklisted", "deferring", "junk", "audience"] = Field(
        description="blocklisted: all refused as blocked · deferring: `share` put off · "
        "junk: `share` silently to the spam folder · audience: other people are written to"
    )
    share: Share = Field(1.0, gt=0)
    audience: Shares | None = Field(None, description="For kind audience")

    @model_validator(mode="after")
    def _audience_given(self) -> Incident:
        if (self.kind == "audience") != (self.audience is not None):
            raise ValueError("kind 'audience' needs [incidents.audience], and no other kind takes it")
        return self

    def active(self, day: int) -> bool:
        """True on a day of the incident; `day` counts from 1."""
        since = day - self.day
        return since >= 0 and (since % self.every if self.every else since) < self.days


class SimulationModel(Part):
    """One provider with the audience behind it."""

    name: Name
    about: str = ""
    provider: Name = Field(description="Its name in lanes, plans and rules, e.g. gmail")
    like: Literal["gmail", "outlook", "yahoo", "mailru", "postfix"] = Field(
        description="The shipped provider whose words and habits it has: gmail, outlook, yahoo …"
    )
    weight: float = Field(1.0, gt=0, description="Share of the daily mail that goes there, scaled over all models")
    behaviour: dict[str, Any] = Field(default_factory=dict, description="Parts of sandbox.behaviour that differ")
    audience: Shares = Shares()
    incidents: list[Incident] = Field(default_factory=list, max_length=100)

    def built(self) -> Behaviour:
        """The whole behaviour.  Raises pydantic.ValidationError; not for a model of `parse_model`, which tried."""
        path = files("sandbox") / "data" / "providers" / f"{self.like}.toml"
        table = _merged(tomllib.loads(path.read_text("utf-8")), self.behaviour)
        table |= {"name": self.provider, "mx": [f"mx.{self.provider}.example"]}
        table["domains"] = [f"{self.provider}.example"]
        return Behaviour.model_validate(table)

    def people(self, day: int) -> Shares:
        """Who is written to on a day (1 is the first)."""
        for incident in self.incidents:
            if incident.audience is not None and incident.active(day):
                return incident.audience
        return self.audience


def parse_model(text: str, source: str = "model") -> SimulationModel:
    """Read one model; `source` is its file.  Raises ConfigError with every mistake and its line."""
    try:
        model = SimulationModel.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"is not TOML: {str(error) or 'nested too deeply'}"
        remedy = "Mend that line; text needs quotation marks"
        raise ConfigError([Problem(file=source, key="", problem=problem, remedy=remedy)]) from error
    except ValidationError as error:
        raise ConfigError(problems_of(error, Path(source), SimulationModel)) from error
    try:
        model.built()
    except ValidationError as error:
        raise ConfigError(problems_of(error, Path(source), Behaviour, ("behaviour",))) from error
    return model


def shipped_models() -> dict[str, SimulationModel]:
    """The models that ship, by name."""
    folder = files("sandbox") / "data" / "models"
    found = [parse_model(f.read_text("utf-8"), f.name) for f in folder.iterdir() if f.name.endswith(".toml")]
    return {model.name: model for model in sorted(found, key=lambda m: m.name)}


def load_models(names: list[str]) -> list[SimulationModel]:
    """Models by file or by shipped name.  Raises InvalidInput; providers must differ."""
    found: list[SimulationModel] = []
    shipped = shipped_models()
    for name in names:
        path = Path(name)
        if name in shipped:
            found.append(shipped[name])
            continue
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise InvalidInput("--providers", f"{name!r} cannot be read", named(name, shipped)) from error
        found.append(parse_model(_text(content, name), name))
    for model in found:
        if sum(other.provider == model.provider for other in found) > 1:
            problem = f"two models of the provider {model.provider!r}"
            raise InvalidInput("--providers", problem, "Run them apart, or rename the provider of one")
    return found


def _text(content: bytes, source: str) -> str:
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([Problem(file=source, key="", problem="is larger than 1 MB", remedy="Is it the file?")])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = Problem(file=source, key="", problem="is not UTF-8 text", remedy="Save it as UTF-8")
        raise ConfigError([problem]) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """True chances of one message: of a hard bounce, and of a complaint if it lies in the inbox."""

    dead: float
    complaint: float


def expected(model: SimulationModel, behaviour: Behaviour, day: int) -> Expected:
    """The true rates of a day's mail."""
    shares, habit = model.people(day), behaviour.complaints
    living = 1 - shares.dead - shares.annoyed
    whole = shares.engaged + shares.casual + shares.sleeping
    mixed = shares.engaged * habit.engaged + shares.casual * habit.casual + shares.sleeping * habit.sleeping
    exists = max(1e-9, 1 - shares.dead)
    return Expected(dead=shares.dead, complaint=(living * mixed / whole + shares.annoyed * habit.annoyed) / exists)


def address_of(model: SimulationModel, day: int, serial: int, rng: Random) -> str:
    """A recipient of that day."""
    shares, drawn = model.people(day), rng.random()
    if drawn < shares.dead:
        kind = "dead"
    elif drawn < shares.dead + shares.annoyed:
        kind = "annoyed"
    else:
        (kind,) = rng.choices(["engaged", "casual", "sleeping"], [shares.engaged, shares.casual, shares.sleeping])
    return f"{kind}.d{day}.{serial}@{model.provider}.example"


def day_of_address(address: str) -> int:
    """The day for which `address_of` drew it; 0 for any other address."""
    found = _ADDRESS.fullmatch(address)
    return int(found[2]) if found else 0


def person(address: str) -> Person:
    """Who sits behind an address of `address_of`; seeds (`seed.d1.0@…`) are engaged."""
    found = _ADDRESS.fullmatch(address)
    match found[1] if found else "casual":
        case "dead":
            return Person(exists=False, engagement=Engagement.SLEEPING)
        case "annoyed":
            return Person(engagement=Engagement.SLEEPING, annoyed=True)
        case "engaged" | "seed":
            return Person(engagement=Engagement.ENGAGED)
        case "sleeping":
            return Person(engagement=Engagement.SLEEPING)
        case _:
            return Person()


class SimulatedProvider(ProviderModel):
    """The provider's engine with the incidents of its model; `start` is the first day's midnight."""

    def __init__(self, model: SimulationModel, behaviour: Behaviour, start: float) -> None:
        super().__init__(behaviour)
        self._incidents = [i for i in model.incidents if i.kind != "audience"]
        self._start = start
        self._junk = 0.0

    def judge(self, facts: MailFacts, now: float, rng: Random) -> Verdict:
        """As ProviderModel.judge."""
        day = int((now - self._start) // DAY) + 1
        self._junk = 0.0
        for incident in self._incidents:
            if not incident.active(day):
                continue
            if incident.kind == "blocklisted":
                return self.answer(Situation.BLOCKED, ip=facts.ip, recipient=facts.recipient)
            if incident.kind == "junk":
                self._junk = max(self._junk, incident.share)
            elif rng.random() < incident.share:
                return self.answer(Situation.RATE_LIMITED, ip=facts.ip, recipient=facts.recipient)
        return super().judge(facts, now, rng)

    def junk_share(self, reputation: float) -> float:
        """As ProviderModel.junk_share."""
        return max(super().junk_share(reputation), self._junk)


def _merged(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in other.items():
        below = found.get(key)
        found[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return found
