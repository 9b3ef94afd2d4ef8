"""When an egress source is taken out, for how long, and what is told of it."""

from __future__ import annotations

import pytest

from core.classify import Group
from core.errors import Unavailable
from core.events import Event, SourceRested, SourceReturned, SourceTrouble
from core.reply import Reply, Stage
from core.state import AttemptResult
from sender.sources import LONGEST_SECONDS, Sources
from tests.unit.sender.fake_queue import FakeLog
from tests.unit.sender.fakes import START

SILENT = AttemptResult(reply=Reply(code=0, text="no answer", stage=Stage.CONNECT), remote="", tls="", reusable=False)
NOT_OURS = AttemptResult(
    reply=Reply(code=0, text="not ours", stage=Stage.CONNECT), remote="", tls="", reusable=False, source_fault=True
)
KNOWN = ("gmail", "yahoo", "mailru")


def said(code: int, stage: Stage = Stage.CONNECT) -> AttemptResult:
    return AttemptResult(reply=Reply(code=code, text="said", stage=stage), remote="", tls="", reusable=False)


async def told(sources: Sources) -> list[Event]:
    log = FakeLog()
    await sources.tell(log)
    return log.events


async def test_an_address_that_is_not_ours_takes_the_source_out_at_once() -> None:
    sources = Sources()
    assert sources.learn("a", "other:x", NOT_OURS, Group.INFRASTRUCTURE, START)
    assert sources.until("a") == START + 60
    assert sources.until("b") == 0
    assert await told(sources) == [
        SourceRested(at=START, source="a", trouble=SourceTrouble.UNBINDABLE, until=START + 60, detail="not ours")
    ]
    assert await told(sources) == [], "once"


@pytest.mark.parametrize(
    ("result", "group", "trouble"),
    [
        (SILENT, Group.INFRASTRUCTURE, SourceTrouble.UNREACHABLE),
        (said(554), Group.REPUTATION, SourceTrouble.REFUSED),
        (said(550, Stage.HELO), Group.AUTHENTICATION, SourceTrouble.REFUSED),
    ],
)
async def test_three_known_providers_in_a_row_take_it_out(
    result: AttemptResult, group: Group, trouble: SourceTrouble
) -> None:
    sources = Sources()
    for name in [*(f"other:{n}" for n in range(50)), "relay:esp", *["gmail"] * 50, "yahoo"]:
        assert not sources.learn("a", name, result, group, START), "bad lists, relays and one outage prove nothing"
    assert sources.learn("a", "mailru", result, group, START)
    (event,) = await told(sources)
    assert isinstance(event, SourceRested)
    assert event.trouble is trouble


def test_an_answer_between_starts_the_count_anew() -> None:
    sources = Sources()
    for name in KNOWN[:2]:
        sources.learn("a", name, SILENT, Group.INFRASTRUCTURE, START)
    sources.learn("a", "gmail", said(550, Stage.RCPT), Group.RECIPIENT, START)
    assert not sources.learn("a", "mailru", SILENT, Group.INFRASTRUCTURE, START)


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.STARTTLS])
def test_a_host_that_has_no_time_or_a_policy_of_its_own_counts_for_nothing(stage: Stage) -> None:
    sources = Sources()
    for name in KNOWN * 3:
        assert not sources.learn("a", name, said(451, stage), Group.RATE, START)


async def test_each_relapse_doubles_the_rest_and_an_answer_ends_the_matter() -> None:
    sources, now, rests = Sources(), START, []
    for _ in range(8):
        sources.learn("a", "gmail", NOT_OURS, Group.INFRASTRUCTURE, now)
        assert not sources.learn("a", "gmail", NOT_OURS, Group.INFRASTRUCTURE, now), "already out"
        rests.append(sources.until("a") - now)
        now = sources.until("a")
    assert rests == [60, 120, 240, 480, 960, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]
    assert sources.troubled("a")
    sources.learn("a", "gmail", said(250, Stage.FINAL), Group.NOT_A_BOUNCE, now)
    assert not sources.troubled("a")
    assert (await told(sources))[-1] == SourceReturned(at=now, source="a")


async def test_what_could_not_be_written_is_told_the_next_time() -> None:
    class Full(FakeLog):
        async def append(self, events: object) -> None:
            raise Unavailable("full")

    sources = Sources()
    sources.learn("a", "gmail", NOT_OURS, Group.INFRASTRUCTURE, START)
    with pytest.raises(Unavailable):
        await sources.tell(Full())
    assert len(await told(sources)) == 1
