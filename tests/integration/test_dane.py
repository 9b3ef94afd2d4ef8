"""DANE from end to end: signed Knot, validating Unbound, Postfix as mail host; posttls-finger as the second opinion.

Runs inside `tests/in-namespace` beside the other world: its servers have loopback addresses of their own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.model import Dns, SendingDomain, Settings, Source
from core import lane
from core.clock import SystemClock
from core.reply import Stage
from core.state import AttemptResult, Envelope
from core.tls import PolicyType, StsMode, TlsFailure, Verified
from sender.connection import SmtpConnection
from sender.route import Route, Router, Unroutable
from sender.transport import SmtpTransport
from service.mx_tls import check_hosts
from service.probes import Handshake, NetworkProbes
from service.resolver import DnsResolver
from tests.daemons.knot import Knot
from tests.daemons.postfix import Exchanger, Postfix
from tests.daemons.process import program
from tests.daemons.unbound import Unbound
from tests.waiting import wait_until

pytestmark = pytest.mark.daemons
NAMES, VALIDATOR, FOOLED = "127.0.0.54", "127.0.0.53", "127.0.0.55"
SECURE, PLAIN = "198.51.100.25", "198.51.100.26"  # with STARTTLS, without
RECORDS = f"""\
alpha.test. MX 10 mx1.alpha.test.
mx1.alpha.test. A {SECURE}
wrong.test. MX 10 mx1.wrong.test.
mx1.wrong.test. A {SECURE}
_25._tcp.mx1.wrong.test. TLSA 3 1 1 {"00" * 32}
pkix.test. MX 10 mx1.pkix.test.
mx1.pkix.test. A {SECURE}
_25._tcp.mx1.pkix.test. TLSA 1 1 1 {"00" * 32}
plain.test. MX 10 mx1.plain.test.
mx1.plain.test. A {PLAIN}
_25._tcp.mx1.plain.test. TLSA 3 1 1 {"00" * 32}
open.test. MX 10 mx1.open.test.
mx1.open.test. A {PLAIN}
both.test. MX 10 mx1.wrong.test.
both.test. MX 20 mx1.alpha.test.
"""
DOMAINS = ["alpha.test", "wrong.test", "pkix.test", "plain.test", "open.test", "both.test"]


P = TypeVar("P", Knot, Unbound, Postfix)


class DaneWorld:
    """The daemons, and mail through them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = ExitStack()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        knot = self._started(Knot(self._sub("knot"), RECORDS, NAMES, signed=True))
        self._started(Unbound(self._sub("unbound"), knot, knot.anchor(), VALIDATOR))
        self._started(Unbound(self._sub("fooled"), knot, f". IN DS 1 13 2 {'00' * 32}", FOOLED))
        no_tls = {"smtpd_tls_security_level": "none", "smtpd_milters": ""}
        self._started(Postfix(
            self._sub("postfix"),
            [Exchanger(address=SECURE, parameters={"smtpd_milters": ""}), Exchanger(address=PLAIN, parameters=no_tls)],
            DOMAINS, lmtp=("127.0.0.1", 1), milter=("127.0.0.1", 1),
        ))  # fmt: skip
        certificate = x509.load_pem_x509_certificate((self.folder / "postfix/etc/cert.pem").read_bytes())
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        knot.replace("_25._tcp.mx1.alpha.test.", "TLSA", f"3 1 1 {hashlib.sha256(key).hexdigest()}")

    def _sub(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o755)
        return path

    async def mail(self, domain: str, *, server: str = VALIDATOR, trusted: bool = True) -> AttemptResult | Unroutable:
        """Route and send one message as the sender does."""
        settings = Settings(
            sending_domains=[SendingDomain(name="sender.test", return_path="rp.sender.test")],
            sources=[Source(name="mta1", ehlo="mta1.sender.test", bind="192.0.2.10")],
        )
        clock = SystemClock()
        resolver = DnsResolver(Dns(nameservers=[server], trusted=trusted), clock)
        route = await Router(resolver, []).route(domain, clock.now())
        if not isinstance(route, Route):
            return route
        transport = SmtpTransport(settings, resolver, [], clock, tlsa=resolver)
        found = await transport.connect(
            lane.Source("mta1"), route.hosts, lane.SendingDomain("sender.test"), passage=route.passage
        )
        if not isinstance(found, SmtpConnection):
            return found
        content = b"From: a@sender.test\r\nSubject: hi\r\n\r\nhi\r\n"
        result = await found.send(Envelope(mail_from="a@rp.sender.test", rcpt_to=f"ann@{domain}", content=content))
        await found.close()
        return result

    def finger(self, domain: str) -> bool:
        """Does Postfix's own client verify the hosts of the domain?"""
        etc = self.folder / "finger"
        if not etc.exists():
            etc.mkdir()
            (etc / "main.cf").write_text(
                "compatibility_level = 3.6\nsmtp_dns_support_level = dnssec\nsmtp_host_lookup = dns\n"
                "inet_protocols = ipv4\nmyhostname = finger.test\n"
            )
            (etc / "resolv.conf").write_text(f"nameserver {VALIDATOR}\noptions trust-ad\n")
        argv = [program("posttls-finger", "postfix"), "-l", "dane", "-c", "-L", "summary", domain]
        script = f'umount /etc/resolv.conf; mount --bind {etc}/resolv.conf /etc/resolv.conf && exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", script, "-", *argv], env={**os.environ, "MAIL_CONFIG": str(etc)},
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return "Verified TLS connection" in done.stdout + done.stderr

    def _started(self, part: P) -> P:
        self._parts.callback(part.stop)
        return part

    def stop(self) -> None:
        self._parts.close()


@pytest.fixture(scope="module")
def dane() -> Iterator[DaneWorld]:
    assert os.environ.get("PENSTOCK_TEST_NAMESPACE"), (
        "run these with: tests/in-namespace .venv/bin/pytest tests/integration"
    )
    with tempfile.TemporaryDirectory(prefix="penstock-dane-") as folder:
        Path(folder).chmod(0o755)
        made = DaneWorld(Path(folder))
        try:
            yield made
        finally:
            made.stop()


async def test_a_host_that_fits_its_record_is_proven_and_postfix_agrees(dane: DaneWorld) -> None:
    result = await dane.mail("alpha.test")
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, result.facts.verified, result.facts.policy) == (250, Verified.DANE, PolicyType.TLSA)
    wait_until(lambda: dane.finger("alpha.test"), "posttls-finger verifies alpha.test")


async def test_a_host_that_does_not_gets_nothing_and_postfix_agrees(dane: DaneWorld) -> None:
    result = await dane.mail("wrong.test")
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, result.reply.stage) == (451, Stage.STARTTLS)
    assert result.facts.failure is TlsFailure.TLSA_INVALID
    assert not dane.finger("wrong.test")


async def test_the_next_host_gets_the_mail_instead(dane: DaneWorld) -> None:
    result = await dane.mail("both.test")
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, result.remote) == (250, f"mx1.alpha.test [{SECURE}]")


async def test_a_host_with_a_record_and_without_tls_gets_nothing(dane: DaneWorld) -> None:
    result = await dane.mail("plain.test")
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, result.reply.stage) == (451, Stage.STARTTLS)


@pytest.mark.parametrize(("domain", "tls"), [("pkix.test", True), ("open.test", False)])
async def test_without_a_usable_record_nobody_is_proven(dane: DaneWorld, domain: str, tls: bool) -> None:
    result = await dane.mail(domain)
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, bool(result.tls), result.facts.verified) == (250, tls, Verified.NONE)


async def test_a_resolver_that_is_not_trusted_proves_nothing(dane: DaneWorld) -> None:
    result = await dane.mail("wrong.test", trusted=False)
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, result.facts.verified) == (250, Verified.NONE)


class ByAddress(NetworkProbes):
    """The machine's own resolver knows nothing of this world's names."""

    async def handshake(self, host: str, port: int, ehlo: str) -> Handshake:
        return await super().handshake(PLAIN if "plain" in host or "open" in host else SECURE, port, ehlo)


@pytest.mark.parametrize(
    ("domain", "told"),
    [("alpha.test", []), ("open.test", []), ("wrong.test", ["dane.mismatch"]), ("plain.test", ["mx.no_tls"])],
)
async def test_doctor_tells_which_hosts_senders_will_not_deliver_to(
    dane: DaneWorld, domain: str, told: list[str]
) -> None:
    resolver, clock = DnsResolver(Dns(nameservers=[VALIDATOR], trusted=True), SystemClock()), SystemClock()
    findings = await check_hosts(
        resolver, ByAddress(), domain, [f"mx1.{domain}"], mode=StsMode.NONE, told=[], port=25, ehlo="mta1.sender.test",
        now=clock.now(),
    )  # fmt: skip
    assert [finding.text.id for finding in findings] == told
    if told == ["dane.mismatch"]:
        right = (await resolver.tlsa("mx1.alpha.test", 25)).records[0].data.hex()
        assert f"_25._tcp.mx1.wrong.test TLSA 3 1 1 {right}" in findings[0].remedy


async def test_bogus_answers_put_mail_off(dane: DaneWorld) -> None:
    result = await dane.mail("alpha.test", server=FOOLED)
    assert isinstance(result, Unroutable)
    assert not result.permanent
