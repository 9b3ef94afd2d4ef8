"""The rest of a bad list waits, and delays no other mail of its stream and provider."""

from __future__ import annotations

from config.tables import Plan
from sandbox.simulated import Incident, Shares, SimulationModel
from service.commands.simulate import read_rules
from service.simulate import Request, simulate

DEAD = Shares(engaged=0.05, casual=0.25, sleeping=0.7, dead=0.3, annoyed=0.01)


def test_mail_of_the_days_after_a_bad_list_goes_on_the_day_it_comes_in() -> None:
    model = SimulationModel(
        name="m", provider="m", like="yahoo", incidents=[Incident(day=3, days=2, kind="audience", audience=DEAD)]
    )
    plan = Plan(name="warm", start=400, growth=1.5, target=400)
    asked = Request(plan=plan, rules=read_rules(None), models=[model], days=6, daily=200, seed=2, steady=True)
    result = simulate(asked)
    sent = {row.day: row.sent for row in result.days}
    assert sent[3] + sent[4] < 100, "the lists were stopped"
    assert all(sent[day] >= 190 for day in (5, 6)), sent
