"""Every event is told in English and in Russian; a command line's mail names who sent it."""

from __future__ import annotations

import argparse
import string
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.causes import Cause, Why, said
from core.events import Accepted, Door, Event, GateChanged, GateState, Held
from core.lane import Campaign, Lane, Provider, Scope, SendingDomain, Source, Stream, Traffic
from core.tokens import MessageId
from service.commands.mail import run_send
from service.explain import tell
from service.story_words import SENTENCES
from service.telling import Teller, reasons_of, text_of
from tests.unit.service.running import running

TRAFFIC = Traffic(
    lane=Lane(source=Source("a"), sending_domain=SendingDomain("shop.example"), provider=Provider("gmail")),
    stream=Stream("bulk"), campaign=Campaign("spring"),
)  # fmt: skip
CAUSE = Cause(why=Why.CANARY_OUT, messages=500)


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_both_languages_say_the_same_things_with_the_same_figures() -> None:
    english, russian = SENTENCES["en"], SENTENCES["ru"]
    assert english.keys() == russian.keys()
    assert [key for key in english if fields(english[key]) != fields(russian[key])] == []


def any_of(kind: type) -> st.SearchStrategy[Event]:
    """Events of one kind whose instants lie within our calendar."""
    hints = get_type_hints(kind)
    known = {name: st.floats(0, 4e9) for name, hint in hints.items() if hint is float}
    causes = {"cause": st.sampled_from([None, CAUSE])} if "cause" in hints else {}
    return st.builds(kind, **known, **causes)


@given(event=st.one_of(*(any_of(kind) for kind in get_args(Event))))
def test_every_event_is_told_in_both_languages(event: Event) -> None:
    assert text_of(event, Teller("en"))
    assert any("а" <= letter <= "я" for letter in text_of(event, Teller("ru")).lower())


def test_a_wait_says_its_gates_reason_in_the_readers_language() -> None:
    moved = GateChanged(
        at=1.0, pause_id="p1", scope=Scope(campaign="spring"), before=GateState.OPEN, after=GateState.PROBING,
        reason=said(CAUSE), until=0.0, by="guard", evidence=None, limit=500, cause=CAUSE,
    )  # fmt: skip
    held = Held(at=2.0, traffic=TRAFFIC, reason="canary", until=9.0, detail=f"p1: {moved.reason}")
    gate, wait = tell([moved, held], "ru")
    assert said(CAUSE, "ru") in gate.text
    assert f"p1: {said(CAUSE, 'ru')}" in wait.text
    assert "outcomes" not in gate.text + wait.text
    assert reasons_of([moved], "en") == {moved.reason: moved.reason}


@pytest.mark.parametrize(
    ("door", "by", "words"),
    [(Door.COMMAND, "ann", "from the command line (ann)"), (Door.COMMAND, "", "from the command line for"),
     (Door.INTERNAL, "", "from Penstock itself"), (Door.HTTP, "", "over HTTP")],
)  # fmt: skip
def test_a_door_is_named_as_people_know_it(door: Door, by: str, words: str) -> None:
    accepted = Accepted(
        at=1.0, message_id=MessageId("m"), recipient="x@y.test", stream="bulk", campaign="", sending_domain="d.test",
        door=door, size=1, by=by,
    )  # fmt: skip
    assert words in text_of(accepted, Teller("en"))


async def test_penstock_send_tells_who_sent_and_the_api_tells_it_in_russian(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path) as caller:
        sent = argparse.Namespace(
            config=tmp_path / "penstock.toml", stream="bulk", campaign="", pool="", sender="news@example.com",
            to=["ann@example.net"], subject="s", text="t", html=None, mime=None, recipients=None, template=None,
        )  # fmt: skip
        assert await run_send(sent) == 0
        message_id = capsys.readouterr().out.split()[-1]
        status, answer = await caller.call("GET", f"/v1/messages/{message_id}?lang=ru")
        assert status == 200
        assert "принято из командной строки (" in answer["story"][0]["text"]
        # without a route nobody knows which gates are over it
        assert answer["now"] == ["сейчас: письмо в очереди", "  ждёт: почтовые узлы домена ещё не известны"]
        status, answer = await caller.call("GET", "/v1/campaigns/none")
        assert status == 404


async def test_a_campaign_is_known_from_its_first_answer_on(tmp_path: Path) -> None:
    async with running(tmp_path) as caller:
        await caller.inject("ann@example.net", campaign="spring")
        # asked at once, before anything can have counted the mail
        status, answer = await caller.call("GET", "/v1/campaigns/spring")
        assert status == 200
        assert "left in the queue: yes" in answer["now"]
