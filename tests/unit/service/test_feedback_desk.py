"""Feedback in the service: alerts from what was counted, reaction times, and commands that load little."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alerts.conditions import Observed, Unverified
from config.model import Settings
from core.classify import Action, BounceClass
from core.events import OutageChanged
from core.feedback import FeedbackChanges, ReplyCluster, Tally
from core.lane import DAY, day_of
from core.reply import parse_reply
from core.tokens import Purpose
from service.cli import GROUPS, parser
from service.feedback import FeedbackDesk, outages, reaction_lines
from service.telling import Teller, text_of
from tests.unit.collectors.return_world import RETURN_PATH, START, World, arf, world
from tests.unit.monitor.feedback_world import CLASSIFIER, Names

ROOT = Path(__file__).resolve().parents[3]
OUTAGE = OutageChanged(
    at=START, place="provider:gmail", began=True, refused=30, answered=31, past_refused=1, past_answered=900, lifted=28,
    reason="nearly everybody is unknown at once",
)  # fmt: skip


def desk(here: World) -> FeedbackDesk:
    settings = Settings.model_validate({
        "sending_domains": [{"name": "news.example", "return_path": RETURN_PATH}],
        "sources": [{"name": "s1", "ehlo": "s1.news.example"}],
    })  # fmt: skip
    return FeedbackDesk(
        settings=settings, stores=here.stores, classifier=CLASSIFIER, resolver=Names(), returns=here.returns,
        clock=here.clock,
    )  # fmt: skip


async def test_what_is_known_becomes_conditions() -> None:
    async with world() as here:
        today = day_of(here.clock.now())
        await here.stores.log.append([OUTAGE, replace(OUTAGE, place="site:mx", at=START + 1)])
        await here.stores.log.append([replace(OUTAGE, place="site:mx", began=False, at=START + 2)])
        days = {(Tally.REPORT, "complaint:yahoo.com", today - n): 9 for n in range(4, 13)}
        days |= {(Tally.DELIVERED, "provider:gmail", today): 5, (Tally.UNMATCHED, "gmail", today): 40}
        days |= {(Tally.UNVERIFIED, "bounce", today): 25}
        cluster = ReplyCluster(
            provider="gmail", shape="550 so", count=40, first_at=START, last_at=here.clock.now(), sample="550 so what"
        )
        await here.stores.feedback.commit(0, 1, FeedbackChanges(days=days, clusters=[cluster]), START)
        told = [Unverified(kind=kind, count=30, since=START) for kind in ("bounce", "dmarc")]
        seen = await desk(here).complete(Observed(unverified=tuple(told)), here.clock.now())
        assert [one.place for one in seen.feedback.outages] == ["provider:gmail"]
        assert [one.source for one in seen.feedback.silent] == ["complaint:yahoo.com"]
        assert seen.feedback.silent[0].since == (today - 3) * DAY
        assert [(one.provider, one.count, one.samples) for one in seen.unmatched] == [
            ("gmail", 40, ("40 × 550 so what",))
        ]
        assert [one.kind for one in seen.unverified] == ["bounce"], "what does not rise is not told"


async def test_silence_is_no_news_while_we_send_nothing() -> None:
    async with world() as here:
        today = day_of(here.clock.now())
        days = {(Tally.REPORT, "complaint:yahoo.com", today - n): 9 for n in range(4, 13)}
        await here.stores.feedback.commit(0, 1, FeedbackChanges(days=days), START)
        assert (await desk(here).complete(Observed(), here.clock.now())).feedback.silent == ()


async def test_the_job_follows_the_log() -> None:
    async with world() as here:
        jobs = desk(here).jobs
        assert [job.name for job in jobs] == ["feedback"]
        await jobs[0].work()
        assert await here.stores.feedback.cursor() == await here.stores.log.head()


async def test_reaction_to_complaints_is_measured() -> None:
    async with world() as here:
        here.clock.advance(3600 - 60)
        dated = arf(token=here.token(Purpose.MESSAGE_ID)).replace(
            b"Subject: FW", b"Date: Fri, 15 Jan 2027 08:59:30 +0000\nSubject: FW"
        )
        await here.returns.receive("", [f"fbl@{RETURN_PATH}"], dated)
        lines = await reaction_lines(here.stores.log, here.clock.now())
        assert 'penstock_complaint_age_seconds{quantile="0.5"} 3595.000' in lines
        assert 'penstock_complaint_reaction_seconds{quantile="1"} 30.000' in lines
        assert "penstock_complaint_reaction_seconds_count 1" in lines
        assert "penstock_complaint_age_seconds_count 0" in await reaction_lines(
            here.stores.log, here.clock.now() + 2 * DAY
        )


async def test_outages_last_until_their_end_is_told() -> None:
    async with world() as here:
        await here.stores.log.append([OUTAGE])
        assert [one.place for one in await outages(here.stores.log)] == ["provider:gmail"]
        await here.stores.log.append([replace(OUTAGE, began=False, at=START + 9)])
        assert await outages(here.stores.log) == ()


def test_an_outage_is_explained_with_its_figures() -> None:
    text = text_of(OUTAGE, Teller("en"))
    assert "30 of 31 recipients unknown, 1 of 900 in the days before" in text
    assert "28 suppressions lifted" in text


@pytest.mark.parametrize("command", ["parse", "classify"])
def test_commands_for_pipes_load_little(command: str) -> None:
    heavy = ["pydantic", "sqlalchemy", "aiohttp", "imapclient", "jinja2", "cryptography", "dns"]
    code = f"import sys; from service.cli import parser; parser({command!r}); print(*(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def offered(by: argparse.ArgumentParser) -> list[str]:
    (commands,) = (action for action in by._actions if isinstance(action, argparse._SubParsersAction))
    return list(commands.choices)


def test_every_command_is_found_in_its_module_alone() -> None:
    assert offered(parser()) == [command for commands in GROUPS.values() for command in commands]
    for commands in GROUPS.values():
        for command in commands:
            assert offered(parser(command)) == list(commands)


def test_classes_that_are_judged_over_time_are_not_proof_at_once() -> None:
    diagnosis = CLASSIFIER.classify(parse_reply("550 5.1.2 Domain not found"), "")
    assert diagnosis.bounce_class is BounceClass.UNKNOWN_DOMAIN
    assert diagnosis.suppresses
    assert not diagnosis.at_once
    assert diagnosis.action is Action.RETRY


def test_a_refusal_that_is_not_final_is_tried_again_though_it_says_that_the_address_is_dead() -> None:
    later, final = parse_reply("450 4.1.1 user unknown"), parse_reply("550 5.1.1 user unknown")
    diagnosis = CLASSIFIER.classify(later, "")
    assert diagnosis.suppresses
    assert (diagnosis.action_after(later), diagnosis.action_after(final)) == (Action.RETRY, Action.SUPPRESS)
