"""Models of the rules file: what the monitor watches, how sure it must be, and what it does.

Contract: `Rulebook` is the whole file.  `with_budget` gives each rule that names no budget of its own its share of the
fleet's: false alarms of all rules and scopes together stay within `Budget` in the mean.  Raises ValueError naming the
key when the rules' own budgets use up more than there is.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.parts import Name, Part

Dimension = Literal["source", "sending_domain", "provider", "stream", "campaign", "list_source"]
SignalName = Literal[
    "complaint_rate", "hard_bounce_rate", "soft_bounce_rate", "deferral_rate", "block_rate", "auth_failure_rate",
    "unsubscribe_rate", "undelivered_rate", "spam_placement", "open_rate_drop", "sleeping_share", "over_frequency",
]  # fmt: skip
Action = Literal["pause", "slow", "alert", "hold_warmup", "step_back"]
GATING: frozenset[str] = frozenset({"pause", "slow"})  # actions that hold mail back
# no rate of one scope's mail: judged once an hour over days or over the base (service.watch)
SLOW_SIGNALS: frozenset[str] = frozenset({"open_rate_drop", "sleeping_share", "over_frequency"})


class Budget(Part):
    """How often all rules together may be wrong about healthy mail."""

    action_days: float = Field(
        60,
        gt=1,
        description="Mean days between false actions (pause, slow, hold, step back) of the whole fleet; "
        "slowing before a pause keeps to `warn_at` of its rule instead",
    )
    alert_days: float = Field(30, gt=1, description="The same for rules that only alert")
    campaign_chance: float = Field(
        0.05, gt=0, lt=0.5, description="Chance that any rule by campaign ever acts on one healthy campaign"
    )


class Rule(Part):
    """A rule of the monitor: act when the evidence says that the rate is above the threshold."""

    name: Name
    signal: SignalName
    by: list[Dimension] = Field(
        min_length=1, description="Each combination of these is judged apart; what is done has that scope"
    )
    threshold: float = Field(gt=0, lt=1)
    minimum_effect: float = Field(1.0, ge=1, description="Never act below this many times the threshold")
    evidence: Literal["sequential", "window"] = "sequential"
    window_hours: int = Field(24, ge=1, le=720, description="Of a fixed-window rule: the rate of so many hours")
    minimum_total: int = Field(
        1000, ge=1, description="Never on fewer messages (fixed window), or recipients (the base)"
    )
    false_alarm_days: float = Field(
        365, gt=1, description="Mean days between false alarms of the whole rule, over all its scopes"
    )
    false_alarm_chance: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="Chance of ever pausing a healthy campaign; for rules by campaign, in place of days",
    )
    window_days: int = Field(30, ge=1, le=90)
    minimum_bad: int = Field(3, ge=1, description="Never act on fewer bad events")
    action: Action = "pause"
    warmup: Literal["auto", "none", "hold", "repeat", "step_back"] = Field(
        "auto", description="What a closing does to the warm-up steps of its lanes"
    )
    warn_at: float = Field(
        20,
        gt=1,
        description="Evidence at which the scope is slowed (action pause) before it is paused: a false slowing in so "
        "many days over all scopes of the rule in the mean, or of one healthy campaign in so many",
    )
    slow_per_hour: int = Field(50, ge=1)
    pause_hours: float = Field(6, gt=0)
    max_pause_hours: float = Field(72, gt=0)
    probe_messages: int = Field(50, ge=5, description="Messages let through after a pause; their outcome decides")
    probe_hours: float = Field(1, ge=0, description="Least time a probe waits for late complaints")
    recovery_hours: float = Field(24, ge=1, le=720, description="Of rules without a gate: how long it must be well")
    recover_below: float = Field(0.8, gt=0, le=1, description="... at less than this share of the threshold")
    hard_limit: float = Field(1.0, gt=0, le=1, description="Rate at which only an operator may open again")
    spare_transactional: bool = True
    spare: list[Name] = Field(default_factory=list, description="Further streams to leave alone")
    severity: Literal["warning", "critical"] = "critical"
    remedy_en: str = ""
    remedy_ru: str = ""

    @property
    def slows_first(self) -> bool:
        """Whether less evidence slows a scope before it is paused; that is no part of the budget, see `warn_at`."""
        closes_at = 1 / self.false_alarm_chance if self.by_campaign else self.false_alarm_days
        return self.action == "pause" and self.evidence == "sequential" and self.warn_at < closes_at

    @property
    def by_campaign(self) -> bool:
        """Campaigns end; what they spend of the budget is a chance, not a time."""
        return "campaign" in self.by


class Rulebook(Part):
    """The whole file."""

    budget: Budget = Budget()
    rules: list[Rule] = Field(default_factory=list)

    def with_budget(self) -> Rulebook:
        """Every rule with its share.  Raises ValueError, see the module."""
        shares = {
            "budget.action_days": _shares([r for r in self.rules if _spends(r) and r.action != "alert"],
                                          "false_alarm_days", 1 / self.budget.action_days),
            "budget.alert_days": _shares([r for r in self.rules if _spends(r) and r.action == "alert"],
                                         "false_alarm_days", 1 / self.budget.alert_days),
            "budget.campaign_chance": _shares([r for r in self.rules if r.evidence == "sequential" and r.by_campaign],
                                              "false_alarm_chance", self.budget.campaign_chance),
        }  # fmt: skip
        for key, share in shares.items():
            if share < 0:
                raise ValueError(key)
        rules = []
        for rule in self.rules:
            given = {}
            if rule.evidence == "window":
                pass  # it promises nothing
            elif rule.by_campaign and "false_alarm_chance" not in rule.model_fields_set:
                given = {"false_alarm_chance": shares["budget.campaign_chance"]}
            elif _spends(rule) and "false_alarm_days" not in rule.model_fields_set:
                share = shares["budget.alert_days" if rule.action == "alert" else "budget.action_days"]
                given = {"false_alarm_days": 1 / share}
            rules.append(rule.model_copy(update=given) if given else rule)
        return self.model_copy(update={"rules": rules})


def _spends(rule: Rule) -> bool:
    """Whether it takes its share of a budget of days.  A census and a fixed window have no such promise."""
    return (
        rule.evidence == "sequential"
        and not rule.by_campaign
        and rule.signal not in ("sleeping_share", "over_frequency")
    )


def _shares(rules: list[Rule], key: str, whole: float) -> float:
    """What each rule without a budget of its own gets; -1 when nothing is left for them or too much is taken."""
    own = [getattr(rule, key) for rule in rules if key in rule.model_fields_set]
    taken = sum(own) if key == "false_alarm_chance" else sum(1 / days for days in own)
    wanting = len(rules) - len(own)
    left = whole - taken
    if not wanting:  # what is written out may use up all of it, and no more
        return 0.0 if left > -whole * 1e-6 else -1.0
    return left / wanting if left > whole * 1e-6 else -1.0
