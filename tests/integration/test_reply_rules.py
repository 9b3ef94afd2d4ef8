"""Two sender processes learn from each other's replies: a rest and a reply rule hold in both, and survive a restart.

On SQLite and on PostgreSQL.  Needs root for the network namespace: `tests/in-namespace`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.contract.postgres import Postgres
from tests.integration.test_senders import Pair
from tests.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
RULES = """\
[[rules]]
name = "zebra"
pattern = "zebra"
count = 6
window_minutes = 10
by = ["source", "site"]
action = "stop"
minutes = 60
probe = 3
examples = ["550 5.9.9 the zebra is asleep"]
"""
SLOW, ZEBRA = "421 4.7.0 please slow down, too many messages", "550 5.9.9 the zebra is asleep"


class World(Pair):
    """Answers by recipient domain, as told."""

    def __init__(self, folder: Path, url: str) -> None:
        self.answers: dict[str, str] = {}
        (folder / "rules.toml").write_text(RULES)
        super().__init__(
            folder, url, lambda to, _visit: self.answers.get(to.rpartition("@")[2], "250 2.1.5 Ok"),
            '[replies]\nrules = "rules.toml"\n',
        )  # fmt: skip

    def visits(self, domain: str) -> int:
        return sum(to.endswith(domain) for to, _ in self.sink.rcpts)

    def rules(self) -> Any:
        """What the API says of them, when it has time."""
        answers: list[Any] = []

        def answered() -> bool:
            answers.append(self.get("/v1/rules"))
            return answers[-1] is not None

        wait_until(answered, "an answer")
        return answers[-1]

    def _has_visits(self, domain: str, wanted: int) -> bool:
        return self.visits(domain) >= wanted

    def quiet(self, domain: str, rounds: int = 10) -> bool:
        """Fresh mail for it waits, and three times in a row mail to another site, given in later, overtakes it.

        What was under way when the rest began still comes, hence the many rounds.
        """
        self.inject(400, site=int(domain[1]))
        still = 0
        for _ in range(rounds):
            before = self.visits(domain)
            wanted = self.visits("s3.test") + 40
            self.inject(40, site=3)
            wait_until(partial(self._has_visits, "s3.test", wanted), self.penstock.tail)
            time.sleep(0.7)  # a look at the queue in each process
            still = still + 1 if self.visits(domain) == before else 0
            if still == 3:
                return True
        return False


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    assert os.environ.get("PENSTOCK_TEST_NAMESPACE"), "run: tests/in-namespace .venv/bin/pytest tests/integration"
    with tempfile.TemporaryDirectory(prefix="penstock-replies-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = Postgres() if request.param == "postgresql" else None
        try:
            made = World(folder, cluster.create() if cluster else "")
            try:
                yield made
            finally:
                made.stop()
        finally:
            if cluster:
                cluster.stop()


def test_a_rest_holds_in_every_process_and_over_a_restart(world: World) -> None:
    world.answers["s0.test"] = SLOW
    world.inject(400, site=0)
    wait_until(lambda: world.visits("s0.test") > 0, f"a visit: {world.penstock.tail()}")
    assert world.quiet("s0.test")
    (rest,) = world.rules()["rests"]
    assert (rest["source"], rest["site"]) == ("mta1", "mx.s0.test")
    world.penstock.stop()
    before = world.visits("s0.test")
    world.start()
    assert world.quiet("s0.test")
    assert world.visits("s0.test") == before
    assert [one["until"] for one in world.rules()["rests"]] == [rest["until"]]


def test_replies_of_both_processes_make_a_rule_act_in_both_until_it_is_ended(world: World) -> None:
    world.answers["s1.test"] = ZEBRA
    world.inject(400, site=1)
    wait_until(lambda: len(world.rules()["in_force"]) == 1, f"the rule: {world.penstock.tail()}")
    assert world.quiet("s1.test")
    (found,) = world.rules()["in_force"]
    assert found["key"] == "zebra/source=mta1/mx.s1.test"
    assert found["evidence"]["hits"] >= 6
    assert "zebra" in found["evidence"]["sample"]
    story = world.get("/v1/lanes/mta1%7Csender.test%7Cother%3Amx.s1.test")["story"]
    assert [row["event"] for row in story].count("ReplyRuleActed") == 1
    world.penstock.stop()
    world.start()
    before = world.visits("s1.test")
    assert world.quiet("s1.test")
    assert world.visits("s1.test") == before, "the reaction survives a restart"
    world.answers.clear()
    world.post("/v1/rules/end", {"key": found["key"]})
    wait_until(lambda: world.visits("s1.test") > before + 50, "mail to flow again")
