"""`penstock placement …`: send a test to the seed mailboxes, and see where mail landed.

`test` hands the copies to the queue; the running service sends them and looks for them.  Exit code 1: `test` when
nothing was accepted, `show` and `history` when there is nothing to show, `login` when a mailbox cannot be looked into.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from alerts.words import percent, span
from collectors.placement.imap import ImapMailbox
from core.clock import iso
from core.errors import InvalidInput, LoginRefused, Unavailable
from core.placement import SeedOutcome, SeedResult
from monitor.placement import Share
from sender.intake import Intake
from service.commands.common import Desk, Subparsers, add_config, desk, who
from service.commands.template_file import read_template
from service.placement import PlacementDesk, PlacementOrder
from service.placement_views import Digest, PlacementViews, digest_json
from service.seeds import open_mailbox

_POLL = 2.0  # real seconds between two looks of --wait
_AT_ONCE = 8


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    group = commands.add_parser("placement", help="where your mail lands: tests with seed mailboxes")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    test = actions.add_parser("test", help="send one copy of a template to each seed mailbox")
    test.add_argument("--stream", required=True, help="stream whose mail it stands for")
    test.add_argument("--template", type=Path, required=True, metavar="FILE", help="TOML, JSON or HTML")
    test.add_argument("--from", dest="sender", default="", metavar="ADDRESS", help="when the template names none")
    test.add_argument("--campaign", default="", help="campaign under which it counts")
    test.add_argument("--provider", action="append", default=[], metavar="NAME", help="seeds of this provider only")
    test.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait for outcomes, at most so long")
    show = actions.add_parser("show", help="one test, mailbox by mailbox")
    show.add_argument("test", nargs="?", default="", help="its id; the newest when left out")
    history = actions.add_parser("history", help="tests, newest first")
    history.add_argument("--limit", type=int, default=20, metavar="N", help="default: 20")
    seeds = actions.add_parser("seeds", help="the seed mailboxes and their newest outcomes")
    login = actions.add_parser("login", help="look into each seed mailbox once, to see whether its login works")
    runs = ((test, run_test), (show, run_show), (history, run_history), (seeds, run_seeds), (login, run_login))
    for parser, run in runs:
        parser.add_argument("--json", action="store_true", help="one JSON document")
        add_config(parser)
        parser.set_defaults(run=run)


@asynccontextmanager
async def _open(config: Path) -> AsyncIterator[tuple[Desk, PlacementDesk, PlacementViews]]:
    async with desk(config) as d:
        intake = Intake(
            queue=d.stores.queue, suppressions=d.stores.suppressions, idempotency=d.stores.idempotency, clock=d.clock,
            settings=d.settings, frequencies=d.stores.choices,
        )  # fmt: skip
        placement = PlacementDesk(d.settings, d.stores, intake, d.clock)
        views = PlacementViews(placement, d.stores, d.clock.now(), stale_days=d.settings.seeds.stale_days)
        yield d, placement, views


async def run_test(arguments: argparse.Namespace) -> int:
    """Send a test."""
    file = read_template(arguments.template)
    order = PlacementOrder(
        stream=arguments.stream, parts=file.parts, variables=file.sample or {}, by=who(), sender=arguments.sender,
        campaign=arguments.campaign, providers=tuple(arguments.provider),
    )  # fmt: skip
    async with _open(arguments.config) as (_, placement, views):
        started = await placement.start(order)
        accepted = sum(bool(copy.message_id) for copy in started.copies)
        if not arguments.json:
            print(f"{started.test_id}: {accepted} of {len(started.copies)} copies accepted")
            for copy in started.copies:
                if copy.reason:
                    print(f"  {copy.mailbox}: {copy.reason}")
        if arguments.wait > 0:
            await _await(placement, started.test_id, arguments.wait)
        digest = await views.digest(started.test_id)
        assert digest is not None
        if arguments.json:
            print(json.dumps(digest_json(digest, full=True), ensure_ascii=False, indent=1))
        elif arguments.wait > 0:
            _show(digest)
        else:
            print(f"`penstock placement show {started.test_id}` tells where they landed")
    return 0 if accepted else 1


async def _await(placement: PlacementDesk, test_id: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                view = await placement.test(test_id)
                if view is None or all(one.outcome is not SeedOutcome.WAITING for one in view.results):
                    return
                await asyncio.sleep(_POLL)
    except TimeoutError:
        return


async def run_show(arguments: argparse.Namespace) -> int:
    """Print one test."""
    async with _open(arguments.config) as (_, _placement, views):
        if arguments.test:
            digest = await views.digest(arguments.test)
            if digest is None:
                raise InvalidInput(
                    "test", f"there is no test {arguments.test[:40]!r}", "`penstock placement history` lists them"
                )
        else:
            newest = await views.digests(1)
            if not newest:
                print("No placement test was sent yet.")
                return 1
            digest = newest[0]
    if arguments.json:
        print(json.dumps(digest_json(digest, full=True), ensure_ascii=False, indent=1))
    else:
        _show(digest)
    return 0


async def run_history(arguments: argparse.Namespace) -> int:
    """Print the tests."""
    async with _open(arguments.config) as (_, _placement, views):
        found = await views.digests(max(1, min(200, arguments.limit)))
    if arguments.json:
        print(json.dumps([digest_json(one, full=False) for one in found], ensure_ascii=False, indent=1))
        return 0 if found else 1
    if not found:
        print("no placement test was sent yet: `penstock placement test`")
        return 1
    rows = []
    for one in found:
        mine, change = one.view.started, one.change
        told = (
            ""
            if change is None or not change.pairs
            else f"{change.worse} worse, {change.better} better (p {change.p_value:.2g})"
        )
        rows.append(
            (mine.test_id, iso(mine.at)[:16], mine.stream, mine.name or "by hand", _share(one.summary.inbox),
             _counts(one.summary.counts), told)
        )  # fmt: skip
    _table(("test", "sent", "stream", "schedule", "inbox", "outcomes", "beside the one before"), rows)
    return 0


async def run_seeds(arguments: argparse.Namespace) -> int:
    """Print the mailboxes."""
    async with _open(arguments.config) as (d, _placement, views):
        found = await views.seeds([(seed.mailbox, seed.provider) for seed in d.settings.seeds.mailboxes])
    if arguments.json:
        rows = [
            {"mailbox": one.mailbox, "provider": one.provider, "problem": one.problem, "stale": one.stale,
             "login_refused": one.login_refused, "since": iso(one.since) if one.since else None,
             "outcomes": [str(outcome) for outcome in one.outcomes]}
            for one in found
        ]  # fmt: skip
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    _table(
        ("mailbox", "provider", "state", "outcomes, newest first"),
        [
            (
                one.mailbox,
                one.provider,
                one.problem or ("stale" if one.stale else "no trouble known"),
                " ".join(one.outcomes),
            )
            for one in found
        ],
    )
    return 0


async def run_login(arguments: argparse.Namespace) -> int:
    """Look into each mailbox once."""
    async with desk(arguments.config) as d, aiohttp.ClientSession() as session:
        boxes = [open_mailbox(seed, session) for seed in d.settings.seeds.mailboxes]
        slots = asyncio.Semaphore(_AT_ONCE)
        answers = await asyncio.gather(*(_try(box, slots) for box in boxes))
    if arguments.json:
        print(json.dumps([{"mailbox": mailbox, "problem": said} for mailbox, said in answers], ensure_ascii=False))
    else:
        _table(("mailbox", "state"), [(mailbox, said or "ok") for mailbox, said in answers])
    return 1 if not answers or any(said for _, said in answers) else 0


async def _try(box: ImapMailbox, slots: asyncio.Semaphore) -> tuple[str, str]:
    async with slots:
        try:
            async for _ in box.new_mail():
                break
            await box.close()
        except LoginRefused as error:
            return box.mailbox, f"login refused: {error}"
        except Unavailable as error:
            return box.mailbox, str(error)
    return box.mailbox, ""


def _show(digest: Digest) -> None:
    mine, summary = digest.view.started, digest.summary
    state = f"ended {iso(digest.view.ended_at)[:16]}" if digest.view.ended_at else "under way"
    print(f"{mine.test_id}  {iso(mine.at)[:16]}  {mine.stream}  {mine.subject!r}  {state}")
    print(f"inbox: {_share(summary.inbox)}; {_counts(summary.counts)}")
    if summary.fresh.of != summary.inbox.of:
        print(f"without stale seeds: {_share(summary.fresh)}")
    weighted = summary.weighted
    if weighted.rate is not None and weighted.low is not None and weighted.high is not None:
        print(
            f"weighted by your own mail: {percent(weighted.rate, 'en')} ({percent(weighted.low, 'en')} to "
            f"{percent(weighted.high, 'en')}), for {percent(weighted.covered, 'en')} of it"
        )
    if digest.change is not None:
        change = digest.change
        print(
            f"beside {digest.before}: {change.worse} worse, {change.better} better of {change.pairs} mailboxes, "
            f"p = {change.p_value:.3g}"
        )
    _table(
        ("mailbox", "provider", "outcome", "after", "folder or reason", "authentication", "filter"),
        [
            (one.mailbox, one.provider, " then ".join([one.outcome, *(move.outcome for move in one.moves)]),
             span(one.seconds, "en") if one.seconds >= 0 else "", one.detail[:60], _authentication(one),
             " ".join(f"{k}:{v[:24]}" for k, v in one.facts.filters[:4]))
            for one in digest.view.results
        ],
    )  # fmt: skip


def _authentication(one: SeedResult) -> str:
    facts = one.facts
    said = [
        f"{name}={word}" for name, word in (("spf", facts.spf), ("dkim", facts.dkim), ("dmarc", facts.dmarc)) if word
    ]
    return " ".join(said)


def _share(one: Share) -> str:
    if one.rate is None or one.low is None or one.high is None:
        return "unknown"
    return f"{one.part}/{one.of} ({percent(one.low, 'en')} to {percent(one.high, 'en')})"


def _counts(counts: dict[SeedOutcome, int]) -> str:
    return ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) or "nothing"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
