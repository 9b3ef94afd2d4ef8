"""Seventy-odd real mailboxes, as awkward as real ones are, and one placement test through the whole service.

The copies go by SMTP to a host that files them as each mailbox's case says, into Maildirs that real Dovecots serve.
Every mailbox must come out as it is: inbox, tab, spam, refused, put off, gone, or unknown because nobody can look.
Needs root for the network namespace: `tests/in-namespace`.  Domain time runs 1,800 times faster: 8 h take 16 s.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import imapclient
import pytest

from config.load import load_settings
from core.clock import ScaledClock, SystemClock
from core.events import SeedBlind
from core.ports import NameMissing
from core.state import MxHost
from service.app import Service
from tests.daemons.mailhost import MailHost
from tests.daemons.tokens import Grant, TokenService
from tests.integration.seed_cases import GMAIL, HTTP, MARKED, PORTS, RESULTS, SMTP, TOKENS, Case, all_cases, settings_of
from tests.integration.shaky import ShakyWay
from tests.integration.sink import Sink, Taken

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
RATE = 1800.0
SECONDS = 60.0  # that all of it may take


@dataclass
class Hosts:
    """Everything around the service."""

    modern: MailHost
    plain: MailHost
    prefixed: MailHost
    tokens: MailHost
    bearer: MailHost
    narrow: MailHost
    shaky: ShakyWay
    oauth: TokenService
    cases: dict[str, Case]
    silent: socket.socket
    kept: list[str] = field(default_factory=list)

    def of(self, host: str) -> MailHost:
        return {"shaky": self.modern}.get(host) or getattr(self, host)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the daemons' users may enter, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="penstock-seeds-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def hosts(folder: Path) -> Iterator[Hosts]:
    if os.environ.get("PENSTOCK_TEST_NAMESPACE") != "1":
        raise AssertionError("run it as: tests/in-namespace .venv/bin/pytest tests/integration/test_seed_mailboxes.py")
    cases = all_cases()

    def users(*of: str) -> dict[str, str]:
        return {case.user: "right" for case in cases if case.host in of}

    service = TokenService(
        {
            "r-xoauth": Grant("xoauth", ["a-xoauth"]), "r-auto": Grant("auto", ["a-auto"]),
            "r-early": Grant("early", ["a-ended", "a-early"]), "r-bearer": Grant("bearer", ["a-bearer"]),
            "r-replaced": Grant("replaced", ["a-replaced"], replaced_by="r-newer"),
            "r-revoked": Grant("revoked", [""], revoked=True),
        },
        {f"a-{name}": name for name in ("xoauth", "auto", "early", "bearer", "replaced")},
        port=TOKENS,
    )  # fmt: skip
    service.start()
    special = {**dict.fromkeys(MARKED, "Junk"), **GMAIL, "Sent": "Sent"}
    junk = {"Junk": "Junk"}
    with_tokens = "IMAP4rev1 SPECIAL-USE LITERAL+ "
    silent = socket.create_server(("127.0.0.1", PORTS["silent"]))
    found = Hosts(
        modern=MailHost(
            folder / "modern", users("modern", "shaky"), imap=3143, imaps=PORTS["modern"], special=special
        ),
        plain=MailHost(
            folder / "plain", users("plain"), imap=PORTS["plain"], imaps=3994, tls_only=True,
            capability="IMAP4rev1 LITERAL+",
        ),
        prefixed=MailHost(
            folder / "prefixed", users("prefixed"), imap=3145, imaps=PORTS["prefixed"], separator=".",
            prefix="INBOX.", capability="IMAP4rev1 LITERAL+ IDLE",
        ),
        tokens=MailHost(
            folder / "tokens", users("tokens"), imap=3146, imaps=PORTS["tokens"], special=junk, oauth_port=TOKENS,
            mechanisms="plain login xoauth2 oauthbearer", capability=f"{with_tokens}IDLE",
        ),
        bearer=MailHost(
            folder / "bearer", users("bearer"), imap=3147, imaps=PORTS["bearer"], special=junk, oauth_port=TOKENS,
            mechanisms="plain oauthbearer",
        ),
        narrow=MailHost(
            folder / "narrow", users("narrow"), imap=3148, imaps=PORTS["narrow"], special=junk, connections=1
        ),
        shaky=ShakyWay(PORTS["shaky"], PORTS["modern"], cuts=4, after=900),
        oauth=service, cases={case.address: case for case in cases}, silent=silent,
    )  # fmt: skip
    for case in cases:
        if case.host not in ("silent", "closed"):
            for name in (*case.has, *filter(None, case.folders)):
                found.of(case.host).make_folder(case.user, name)
    newsletter = b"From: a@b.test\r\nSubject: other mail\r\nX-Penstock-Token: none\r\n\r\nx\r\n"
    found.modern.put("big", newsletter, copies=5000)
    found.modern.put("bigjunk", newsletter, "Spam", copies=3000)
    yield found
    all_hosts = (found.modern, found.plain, found.prefixed, found.tokens, found.bearer, found.narrow)
    for host in all_hosts:
        host.ask_to_stop()
    for host in all_hosts:
        host.stop()
    found.shaky.stop()
    service.stop()
    silent.close()


class Names:
    """Every domain's mail goes to this machine."""

    async def mx(self, domain: str) -> list[MxHost]:
        return [MxHost(preference=10, host=f"mx.{domain}")]

    async def addresses(self, host: str) -> list[str]:
        return ["127.0.0.1"]

    async def txt(self, name: str) -> list[str]:
        raise NameMissing(name)

    async def ptr(self, ip: str) -> list[str]:
        return []


def filing(hosts: Hosts) -> Sink:
    """The host that takes the copies and files each as its case says."""

    def judge(recipient: str, visit: int) -> str:
        user = recipient.partition("@")[0]
        if user == "refused":
            return "550 5.7.1 Message content rejected by policy"
        if user == "later" or (user == "graylisted" and visit == 1):
            return "451 4.7.1 Try again later"
        return "250 2.1.5 Ok"

    def keep(taken: Taken) -> None:
        case = hosts.cases[taken.recipient]
        received = (
            f"Received: from mta1.sender.test by mx.host.test; {time.strftime('%a, %d %b %Y %H:%M:%S +0000')}\r\n"
        )
        mail = (RESULTS + received).encode() + taken.content.removesuffix(b".\r\n")
        for name in case.folders:
            hosts.of(case.host).put(case.user, mail, name)
            hosts.kept.append(case.address)

    return Sink("127.0.0.1", SMTP, judge, keep)


async def call(session: aiohttp.ClientSession, method: str, path: str, body: object = None) -> Any:
    async with session.request(method, f"http://127.0.0.1:{HTTP}{path}", json=body) as answer:
        assert answer.status in (200, 202), await answer.text()
        return await answer.json()


async def test_every_mailbox_comes_out_as_it_is_and_none_is_touched(
    hosts: Hosts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = list(hosts.cases.values())
    assert len(cases) >= 60
    monkeypatch.setenv("SEED_WRONG", "not the password")
    monkeypatch.setenv("SEED_CLIENT_SECRET", "client secret")
    for name, text in (("seed", "right"), ("wrong", "guess"), *((g[2:] + ".refresh", g) for g in hosts.oauth.grants)):
        (folder / name).write_text(text + "\n")
    (folder / "penstock.toml").write_text(settings_of(cases))
    # somebody else holds the one connection that each of these mailboxes allows
    others = []
    for user in ("narrow1", "narrow2"):
        other = imapclient.IMAPClient("127.0.0.1", port=3148, ssl=False)
        other.login(user, "right")
        others.append(other)
    sink = filing(hosts)
    clock = ScaledClock(SystemClock().now(), RATE)
    began, spent = time.monotonic(), time.process_time()
    service = await Service.build(load_settings(folder / "penstock.toml"), clock, resolver=Names())
    try:
        await service.start()
        async with aiohttp.ClientSession() as session:
            await until(lambda: looked(hosts), 20)
            ready = time.monotonic() - began
            for other in others:
                other.logout()
            hosts.modern.new_validity("rebuilt")
            assert hosts.shaky.cut_all() >= 1
            body = {"stream": "bulk", "from": "news@sender.test", "subject": "Check", "text": "Hello"}
            sent = await call(session, "POST", "/v1/placement", body)
            assert sent["accepted"] == len(cases)
            test: dict[str, Any] = {}
            while not test.get("ended_at"):
                assert time.monotonic() - began < SECONDS, told(test, hosts)
                await asyncio.sleep(0.5)
                test = await call(session, "GET", f"/v1/placement/{sent['id']}")
            seeds = (await call(session, "GET", "/v1/placement/seeds"))["seeds"]
        told_blind = [e.event for e in await service.parts.stores.log.recent(["SeedBlind"], 1000)]
    finally:
        await service.stop()
        sink.stop()
    took = time.monotonic() - began
    outcomes = {row["mailbox"]: row["outcome"] for row in test["seeds"]}
    assert outcomes == {case.address: case.wants for case in cases}, told(test, hosts)
    blind = {row["mailbox"]: row["login_refused"] for row in seeds if row["problem"]}
    assert blind == {case.address: case.login for case in cases if case.wants == "unknown"}
    assert took < SECONDS
    # what the host itself wrote, and the secret words nowhere
    found = [row for row in test["seeds"] if row["outcome"] in ("inbox", "spam", "tab")]
    assert {(row["authentication"]["spf"], row["authentication"]["dmarc"]) for row in found} == {("pass", "")}
    problems = " ".join(event.problem for event in told_blind if isinstance(event, SeedBlind))
    for secret in ("guess", "not the password", "client secret", "r-revoked", "a-ended"):
        assert secret not in problems
    assert (folder / "replaced.refresh").read_text().strip() == "r-newer"
    # nobody looked with more than his eyes: no flag was set and nothing was moved
    for host, users in by_host(hosts):
        flags = host.flags(users)
        assert set(flags) <= {""}
    lying = {address: len(hosts.cases[address].folders) for address in hosts.kept}
    for address, number in lying.items():
        case = hosts.cases[address]
        assert all(holds(hosts, case, name) for name in case.folders), address
        assert hosts.kept.count(address) == number
    cpu = time.process_time() - spent
    print(f"\n{len(cases)} mailboxes in {took:.1f} s ({ready:.1f} s to look into all), {cpu:.1f} s of CPU")
    print(test["outcomes"])


def holds(hosts: Hosts, case: Case, name: str) -> bool:
    path = hosts.of(case.host).maildir(case.user, name)
    files = [*(path / "new").iterdir(), *(path / "cur").iterdir()]
    return any(RESULTS.encode() in file.read_bytes() for file in files[-3:] + sorted(files)[-3:])


def by_host(hosts: Hosts) -> Iterator[tuple[MailHost, list[str]]]:
    for name in ("modern", "plain", "prefixed", "tokens", "bearer", "narrow"):
        alike = (name, "shaky") if name == "modern" else (name,)
        yield hosts.of(name), [case.user for case in hosts.cases.values() if case.host in alike]


def looked(hosts: Hosts) -> bool:
    """Do the hosts know of as many logins as there are good ones?"""
    logins = 0
    for host, _ in by_host(hosts):
        log = (host.folder / "log").read_text(errors="replace")
        logins += len(
            {line.partition("user=<")[2].partition(">")[0] for line in log.splitlines() if "Login: user=<" in line}
        )
    good = [case for case in hosts.cases.values() if case.wants != "unknown"]
    return logins >= len(good)


async def until(ready: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "the mailboxes were not all looked into"
        await asyncio.sleep(0.2)


def told(test: dict[str, Any], hosts: Hosts) -> str:
    wrong = [
        f"{row['mailbox']}: {row['outcome']} ({row['detail']}), wanted {hosts.cases[row['mailbox']].wants}"
        for row in test.get("seeds", [])
        if row["outcome"] != hosts.cases[row["mailbox"]].wants
    ]
    return "\n".join(wrong)
