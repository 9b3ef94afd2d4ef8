"""Placement tests from the order to their end, over the API and on the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.classify import BounceClass
from core.events import (
    Accepted,
    Bounced,
    BounceReceived,
    Deferred,
    Delivered,
    Door,
    Dropped,
    DropReason,
    Event,
    Logged,
    Placement,
    PlacementTested,
    SeedBlind,
    SeedMoved,
    SeedPlaced,
    SeedSighted,
)
from core.lane import Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.placement import SeedCopy, SeedFacts, SeedOutcome
from core.reply import Reply
from core.tokens import MessageId
from service.placement_outcome import GRACE, outcome_of
from tests.unit.service.running import Caller, running

NOW = 1_790_000_000.0
HOUR = 3600.0
WINDOW = 48 * HOUR
MESSAGE = MessageId("m")
COPY = SeedCopy(mailbox="s@gmail.com", provider="gmail", message_id=MESSAGE)
ATTRIBUTION = Attribution(
    traffic=Traffic(
        lane=Lane(source=Source("a"), sending_domain=SendingDomain("b.c"), provider=Provider("gmail")),
        stream=Stream("bulk"),
    ),
    cohort=1,
)
ACCEPTED = Accepted(
    at=NOW, message_id=MESSAGE, recipient=COPY.mailbox, stream="bulk", campaign="", sending_domain="b.c",
    door=Door.INTERNAL, size=1,
)  # fmt: skip
DELIVERED = Delivered(
    at=NOW, message_id=MESSAGE, recipient=COPY.mailbox, attribution=ATTRIBUTION, site="", remote="",
    reply=Reply(code=250, text="ok"), attempt=1, tls="", latency=1.0,
)  # fmt: skip
DEFERRED = Deferred(
    at=NOW, message_id=MESSAGE, recipient=COPY.mailbox, attribution=ATTRIBUTION, site="", remote="", attempt=1,
    reply=Reply(code=451, text="later"), bounce_class=BounceClass.RATE_LIMITED, retry_at=NOW + 600,
)  # fmt: skip
BOUNCED = Bounced(
    at=NOW, message_id=MESSAGE, recipient=COPY.mailbox, attribution=ATTRIBUTION, site="", remote="", attempt=1,
    reply=Reply(code=550, text="policy"), bounce_class=BounceClass.UNKNOWN_USER,
)  # fmt: skip
RETURNED = BounceReceived(
    at=NOW, message_id=MESSAGE, recipient=COPY.mailbox, attribution=ATTRIBUTION, reply=Reply(code=550, text="gone"),
    bounce_class=BounceClass.UNKNOWN_USER, terminal=True,
)  # fmt: skip
DROPPED = Dropped(
    at=NOW,
    message_id=MESSAGE,
    recipient=COPY.mailbox,
    stream="bulk",
    campaign="",
    reason=DropReason.SUPPRESSED,
    detail="",
)
PLACED = SeedPlaced(
    at=NOW, message_id=MESSAGE, mailbox=COPY.mailbox, attribution=ATTRIBUTION, placement=Placement.SPAM, folder="Junk",
    seconds=3.0, facts=SeedFacts(authserv="mx", spf="pass"),
)  # fmt: skip
GONE = replace(PLACED, placement=Placement.MISSING, folder="", seconds=-1.0)


@pytest.mark.parametrize(
    ("story", "hours", "blind", "outcome"),
    [
        ([ACCEPTED], 1, False, SeedOutcome.WAITING),
        ([ACCEPTED], 49, False, SeedOutcome.NOT_SENT),
        ([ACCEPTED, DROPPED], 1, False, SeedOutcome.NOT_SENT),
        ([ACCEPTED, DEFERRED], 1, False, SeedOutcome.WAITING),
        ([ACCEPTED, DEFERRED], 49, False, SeedOutcome.DEFERRED),
        ([ACCEPTED, DEFERRED, replace(BOUNCED, bounce_class=BounceClass.EXPIRED)], 1, False, SeedOutcome.DEFERRED),
        ([ACCEPTED, replace(BOUNCED, bounce_class=BounceClass.EXPIRED)], 1, False, SeedOutcome.NOT_SENT),
        ([ACCEPTED, BOUNCED], 1, False, SeedOutcome.REJECTED),
        ([ACCEPTED, DELIVERED], 1, False, SeedOutcome.WAITING),
        ([ACCEPTED, DELIVERED], 49, False, SeedOutcome.WAITING),
        ([ACCEPTED, DELIVERED], 49, True, SeedOutcome.UNKNOWN),
        ([ACCEPTED, DELIVERED], 49 + GRACE / HOUR, False, SeedOutcome.UNKNOWN),
        ([ACCEPTED, DELIVERED, RETURNED], 1, False, SeedOutcome.REJECTED),
        ([ACCEPTED, DELIVERED, replace(RETURNED, terminal=False)], 1, False, SeedOutcome.WAITING),
        ([ACCEPTED, DELIVERED, PLACED], 1, True, SeedOutcome.SPAM),
        ([ACCEPTED, DELIVERED, GONE], 49, False, SeedOutcome.ABSENT),
        ([ACCEPTED, DELIVERED, GONE, PLACED], 49, False, SeedOutcome.SPAM),
    ],
)
def test_missing_is_split_by_our_own_log(story: list[Event], hours: float, blind: bool, outcome: SeedOutcome) -> None:
    logged = [Logged(seq=i, event=event) for i, event in enumerate(story)]
    found = outcome_of(COPY, logged, NOW + hours * HOUR, NOW, WINDOW, blind=blind)
    assert found.outcome is outcome
    if outcome is SeedOutcome.SPAM:
        assert (found.detail, found.seconds, found.facts.spf) == ("Junk", 3.0, "pass")


SEEDS = "".join(
    f'[[seeds.mailboxes]]\nmailbox = "seed{i}@{provider}.example"\nprovider = "{provider}"\nhost = "127.0.0.1"\n'
    f'port = 1\nsecurity = "none"\nuser = "u"\npassword_file = "admin"\n'
    for provider in ("gmail", "yahoo")
    for i in range(2)
)
BODY = {"stream": "bulk", "from": "News <news@example.com>", "subject": "Check", "text": "Hello {{ name }}"}


async def finish(caller: Caller, test_id: str, placements: list[Placement]) -> None:
    """As if the copies were delivered and found."""
    stores = caller.service.parts.stores
    now = caller.service.parts.clock.now()
    _, test = await caller.call("GET", f"/v1/placement/{test_id}")
    for row, placement in zip(test["seeds"], placements, strict=True):
        message_id, mailbox = MessageId(row["message_id"]), row["mailbox"]
        await stores.log.append([
            replace(DELIVERED, at=now, message_id=message_id, recipient=mailbox),
            replace(PLACED, at=now, message_id=message_id, mailbox=mailbox, placement=placement),
        ])  # fmt: skip


async def test_a_test_is_sent_followed_and_compared_with_the_one_before(tmp_path: Path) -> None:
    async with running(tmp_path, SEEDS) as caller:
        ids = []
        for placements in ([Placement.INBOX] * 4, [Placement.INBOX, Placement.SPAM, Placement.TAB, Placement.MISSING]):
            status, sent = await caller.call("POST", "/v1/placement", {**BODY, "variables": {"name": "Ann"}})
            assert (status, sent["accepted"]) == (202, 4)
            ids.append(sent["id"])
            await finish(caller, sent["id"], placements)
            await caller.service.placement.tick()
        ended = await caller.service.parts.stores.log.recent(["PlacementTested"], 5)
        assert [e.event.test_id for e in ended if isinstance(e.event, PlacementTested)] == ids[::-1]
        status, listed = await caller.call("GET", "/v1/placement", token="read")
        newest = listed["tests"][0]
        assert (status, newest["id"], newest["outcomes"]) == (
            200,
            ids[1],
            {"inbox": 1, "tab": 1, "spam": 1, "absent": 1},
        )
        assert newest["compared_with"] == {"id": ids[0], "pairs": 4, "worse": 2, "better": 0, "p_value": 0.5}
        status, one = await caller.call("GET", f"/v1/placement/{ids[1]}")
        assert one["seeds"][1]["authentication"]["spf"] == "pass"
        _, seeds = await caller.call("GET", "/v1/placement/seeds")
        assert [row["outcomes"][0] for row in seeds["seeds"]] == ["inbox", "spam", "tab", "absent"]
        moved = SeedMoved(
            at=caller.service.parts.clock.now(), message_id=one["seeds"][0]["message_id"], mailbox="",
            before=Placement.INBOX, placement=Placement.SPAM, folder="Junk", seconds=7200.0,
        )  # fmt: skip
        await caller.service.parts.stores.log.append([moved])
        _, one = await caller.call("GET", f"/v1/placement/{ids[1]}")
        assert (one["seeds"][0]["outcome"], one["outcomes"]["inbox"]) == ("inbox", 1)
        assert one["seeds"][0]["moves"] == [{"outcome": "spam", "folder": "Junk", "seconds": 7200.0}]
        for language, word in (
            ("en", "later spam, within 2\u00a0h"),
            ("ru", "потом: спам, не позже чем через 2\u00a0ч"),
        ):
            headers = {"Authorization": "Bearer read-token-1234567"}
            async with caller.session.get(f"{caller.base}/placement?lang={language}", headers=headers) as page:
                text = await page.text()
            assert page.status == 200
            assert word in text
            assert ids[0] in text


async def test_what_cannot_be_sent_is_refused_and_a_suppressed_seed_is_told(tmp_path: Path) -> None:
    async with running(tmp_path, SEEDS) as caller:
        for wrong, field in (({"stream": "none"}, "stream"), ({"providers": ["apple"]}, "providers")):
            status, answer = await caller.call("POST", "/v1/placement", {**BODY, **wrong, "variables": {"name": "A"}})
            assert (status, answer["error"]["field"]) == (422, field)
        status, _ = await caller.call("POST", "/v1/placement", BODY, token="read")
        assert status == 403
        await caller.call("POST", "/v1/suppressions", {"addresses": ["seed0@gmail.example"]})
        body = {**BODY, "variables": {"name": "A"}, "providers": ["gmail"]}
        _, sent = await caller.call("POST", "/v1/placement", body)
        assert [bool(copy["message_id"]) for copy in sent["copies"]] == [False, True]
        _, test = await caller.call("GET", f"/v1/placement/{sent['id']}")
        assert [row["outcome"] for row in test["seeds"]] == ["not_sent", "waiting"]
        assert "suppressed" in test["seeds"][0]["detail"]
        status, _ = await caller.call("GET", "/v1/placement/unheard")
        assert status == 404


async def test_a_schedule_sends_when_it_is_due_and_not_sooner(tmp_path: Path) -> None:
    (tmp_path / "news.toml").write_text('from = "news@example.com"\nsubject = "S"\ntext = "T"\n')
    schedule = '[[seeds.tests]]\nname = "weekly"\nstream = "bulk"\ntemplate = "news.toml"\nproviders = ["yahoo"]\n'
    async with running(tmp_path, SEEDS + schedule) as caller:
        for _ in range(3):
            await caller.service.placement.tick()
        _, listed = await caller.call("GET", "/v1/placement")
        assert [(one["schedule"], one["copies"], one["by"]) for one in listed["tests"]] == [("weekly", 2, "schedule")]


async def test_a_dead_login_is_told_until_the_mailbox_is_seen_again(tmp_path: Path) -> None:
    async with running(tmp_path, SEEDS) as caller:
        log = caller.service.parts.stores.log
        mailbox = "seed0@gmail.example"
        while not any(e.event.mailbox == mailbox for e in await log.recent(["SeedBlind"], 100)):  # type: ignore[union-attr]
            await log.changed(0.2)  # the service's own look at the closed port comes first
        dead = SeedBlind(at=NOW, mailbox=mailbox, provider="gmail", problem="login refused", login=True)
        await log.append([dead])
        _, seeds = await caller.call("GET", "/v1/placement/seeds")
        row = next(row for row in seeds["seeds"] if row["mailbox"] == mailbox)
        assert (row["problem"], row["login_refused"]) == ("login refused", True)
        await log.append([SeedSighted(at=NOW, mailbox=mailbox, provider="gmail")])
        _, seeds = await caller.call("GET", "/v1/placement/seeds")
        assert next(row for row in seeds["seeds"] if row["mailbox"] == mailbox)["problem"] == ""
