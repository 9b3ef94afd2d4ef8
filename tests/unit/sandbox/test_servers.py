"""The providers' SMTP and IMAP servers, spoken to by smtplib and imapclient over loopback."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from core.clock import FixedClock
from core.errors import InvalidInput
from core.lane import DAY
from sandbox.auth import Authenticator
from sandbox.behaviour import Behaviour, shipped_behaviours
from sandbox.dns import provider_zone
from sandbox.feedback import Sent
from sandbox.host import Judged, make_hosts
from sandbox.imap import imap_server
from sandbox.listen import Listener
from sandbox.mailbox import SeedMailboxes
from sandbox.outbox import Outbox
from sandbox.people import Engagement, Person
from sandbox.smtp import smtp_server
from sandbox.tls import ThrowawayCertificate
from tests.waiting import until

START = 1_700_000_000.0 // DAY * DAY
MESSAGE = "Message-ID: <mtoken@meadow.example>\r\nFrom: News <a@meadow.example>\r\nSubject: Hi\r\n\r\nText\r\n.dot\r\n"


def people(address: str) -> Person:
    return Person(exists=not address.startswith("dead"), engagement=Engagement.ENGAGED)


class Provider:
    """One provider's two servers on free ports."""

    def __init__(self, name: str, **limits: int) -> None:
        shipped = shipped_behaviours()[name]
        self.behaviour: Behaviour = shipped.model_copy(update={"limits": shipped.limits.model_copy(update=limits)})
        self.clock = FixedClock(START)
        self.zone = provider_zone([self.behaviour])
        self.judged: list[Judged] = []
        self.boxes = SeedMailboxes(Authenticator(self.zone))
        self.outbox = Outbox(self.clock)
        self.host = make_hosts(
            [self.behaviour],
            people=people,
            clock=self.clock,
            seed=1,
            outbox=self.outbox,
            observe=self.judged.append,
            keepers=(self.boxes,),
        )[name]
        self.seed = f"seed@{self.behaviour.domains[0]}"
        self.box = self.boxes.open(self.seed, 'pa"ss', self.behaviour, 7)
        self.certificate = ThrowawayCertificate(self.behaviour.mx, [self.behaviour.address])
        self.smtp: Listener = smtp_server(self.host, 0, self.certificate.context)
        self.imap: Listener = imap_server(
            self.boxes, self.behaviour.domains, self.behaviour.address, 0, self.certificate.context
        )

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.certificate.pem)

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP(*self.smtp.address, local_hostname="mx1.meadow.example", timeout=60)

    def mailbox(self) -> IMAPClient:
        host, port = self.imap.address
        client = IMAPClient(host, port, ssl=True, ssl_context=self.trust, timeout=60)
        client.login(self.seed, 'pa"ss')
        return client


@asynccontextmanager
async def running(name: str, **limits: int) -> AsyncIterator[Provider]:
    provider = Provider(name, **limits)
    await provider.smtp.start()
    await provider.imap.start()
    try:
        yield provider
    finally:
        await provider.smtp.stop()
        await provider.imap.stop()


async def test_a_message_goes_through_starttls_and_comes_out_unchanged_in_the_inbox() -> None:
    async with running("gmail") as gmail:

        def session() -> None:
            with gmail.client() as client:
                context = ssl.create_default_context(cadata=gmail.certificate.pem)
                context.check_hostname = False  # the test connects by address; the trust anchor is checked
                client.starttls(context=context)
                client.sendmail("bt@rp.meadow.example", [gmail.seed], MESSAGE)
                client.sendmail("bt@rp.meadow.example", [gmail.seed], MESSAGE)

        await asyncio.to_thread(session)
        stored = gmail.box.folders["INBOX"].mails
        assert len(stored) == 2
        assert stored[0].content.endswith(MESSAGE.encode())
        assert b"ESMTPS (TLSv1.3)" in stored[0].header
        assert b"Authentication-Results: gmail-smtp-in" in stored[0].header


async def test_an_unknown_user_is_refused_with_the_providers_words() -> None:
    async with running("gmail") as gmail:

        def session() -> tuple[int, bytes]:
            with gmail.client() as client:
                client.ehlo()
                client.mail("bt@rp.meadow.example")
                return client.rcpt("dead@gmail.example")

        code, text = await asyncio.to_thread(session)
        assert code == 550
        assert text.startswith(b"5.1.1 The email account that you tried to reach does not exist")
        assert [j.recipient for j in gmail.judged] == ["dead@gmail.example"]


async def test_yahoo_refuses_the_unknown_user_after_data() -> None:
    async with running("yahoo") as yahoo:

        def session() -> int:
            with yahoo.client() as client:
                try:
                    client.sendmail("bt@rp.meadow.example", ["dead@yahoo.example"], MESSAGE)
                except smtplib.SMTPDataError as error:
                    return error.smtp_code
            return 0

        assert await asyncio.to_thread(session) == 554


async def test_connections_above_the_limit_are_turned_away_and_counted_down_again() -> None:
    async with running("mailru", connections=2) as mailru:

        def session() -> list[int]:
            codes = []
            with mailru.client(), mailru.client():
                try:
                    mailru.client()
                except smtplib.SMTPConnectError as error:
                    codes.append(error.smtp_code)
            return codes

        assert await asyncio.to_thread(session) == [421]
        await until(
            lambda: mailru.host.greet("127.0.0.1").situation.value == "greeting", "closed connections count no more"
        )


async def test_a_connection_ends_after_its_messages() -> None:
    async with running("outlook", messages_per_connection=2) as outlook:

        def session() -> int:
            with outlook.client() as client:
                for _ in range(2):
                    client.sendmail("bt@rp.meadow.example", [outlook.seed], MESSAGE)
                code, _ = client.docmd("MAIL", "FROM:<bt@rp.meadow.example>")
                return code

        assert await asyncio.to_thread(session) == 421


async def test_a_message_above_the_size_limit_is_refused_also_when_its_size_was_not_announced() -> None:
    async with running("postfix", max_size=50_000) as postfix:

        def session() -> tuple[int, int]:
            with postfix.client() as client:
                client.ehlo()
                client.mail("bt@rp.meadow.example")
                client.rcpt("ann@workshop.example")
                first = client.data("A: b\r\n\r\n" + "x" * 70 * 1000)[0]
                client.mail("bt@rp.meadow.example", ["SIZE=60000"])
                return first, client.rcpt("bob@workshop.example")[0]

        greylisted = postfix.behaviour.greylisting.model_copy(update={"share": 0.0})
        postfix.host.model.behaviour = postfix.behaviour.model_copy(update={"greylisting": greylisted})
        assert await asyncio.to_thread(session) == (552, 552)


async def test_pipelined_commands_are_answered_in_order_and_nonsense_is_refused() -> None:
    async with running("gmail") as gmail:
        reader, writer = await asyncio.open_connection(*gmail.smtp.address)
        writer.write(
            b"MAIL FROM:<a@b.example>\r\nEHLO me\r\nRCPT TO:<a@gmail.example>\r\nMAIL nonsense\r\n"
            b"MAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<a@elsewhere.example>\r\nDATA\r\nFROB\r\n"
            + b"X" * 3000
            + b"\r\nQUIT\r\n"
        )
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        codes = [line[:3] for line in answer.splitlines() if line[3:4] == " "]
        assert codes == ["220", "503", "250", "503", "501", "250", "550", "503", "502", "500", "221"]


async def test_commands_slipped_in_before_the_handshake_do_not_count_after_it() -> None:
    async with running("gmail") as gmail:
        context = ssl.create_default_context(cadata=gmail.certificate.pem)
        reader, writer = await asyncio.open_connection(*gmail.smtp.address)
        writer.write(b"EHLO me\r\nSTARTTLS\r\nEHLO me\r\nMAIL FROM:<evil@b.example>\r\n")
        await reader.readuntil(b"Ready to start TLS\r\n")
        await writer.start_tls(context, server_hostname=gmail.behaviour.mx[0])
        writer.write(b"RCPT TO:<ann@gmail.example>\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert [line[:3] for line in answer.splitlines()] == [b"503", b"503", b"221"]


@pytest.mark.parametrize("name", list(shipped_behaviours()))
async def test_the_junk_folder_is_found_by_its_special_use_and_holds_what_was_judged_junk(name: str) -> None:
    async with running(name) as provider:
        provider.box.put(b"A: 1\r\nMessage-ID: <x@y>\r\n\r\nbody\r\n", START, junk=False)
        provider.box.put(b"A: 2\r\nMessage-ID: <m2@y>\r\n\r\nbody\r\n", START, junk=True)

        def look() -> tuple[str, bytes, int]:
            client = provider.mailbox()
            try:
                junk = next(n for flags, _, n in client.list_folders() if b"\\Junk" in flags)
                client.select_folder("INBOX", readonly=True)
                assert client.search(["ALL"]) == [1]
                selected = client.select_folder(junk, readonly=True)
                uids = client.search(["UID", "1:*"])
                assert client.search(["HEADER", "Message-ID", "m2@y"]) == uids
                assert client.search(["NOT", "SEEN"]) == uids
                found = client.fetch(uids, ["BODY.PEEK[HEADER]", "FLAGS", "INTERNALDATE", "RFC822.SIZE"])
                return junk, found[uids[0]][b"BODY[HEADER]"], selected[b"UIDVALIDITY"]
            finally:
                client.logout()

        junk, header, validity = await asyncio.to_thread(look)
        assert junk == provider.behaviour.folders.junk
        assert header == b"A: 2\r\nMessage-ID: <m2@y>\r\n\r\n"
        assert validity == 7
        assert not provider.box.folders[junk].mails[0].seen


async def test_an_idling_client_hears_of_new_mail() -> None:
    async with running("outlook") as outlook:
        loop = asyncio.get_running_loop()

        def look() -> list[tuple[object, ...]]:
            client = outlook.mailbox()
            try:
                client.select_folder("INBOX", readonly=True)
                client.idle()
                loop.call_soon_threadsafe(lambda: outlook.box.put(b"A: 1\r\n\r\n", START, junk=False))
                heard = client.idle_check(timeout=60)
                client.idle_done()
                assert client.folder_status("INBOX", ["MESSAGES", "UIDNEXT"]) == {b"MESSAGES": 1, b"UIDNEXT": 2}
                return list(heard)
            finally:
                client.logout()

        assert await asyncio.to_thread(look) == [(1, b"EXISTS")]


async def test_wrong_passwords_other_providers_users_and_changes_are_refused() -> None:
    async with running("gmail") as gmail:

        def tries() -> None:
            host, port = gmail.imap.address
            with IMAPClient(host, port, ssl=True, ssl_context=gmail.trust, timeout=60) as client:
                for user, password in ((gmail.seed, "wrong"), ("seed@outlook.example", 'pa"ss')):
                    with pytest.raises(LoginError):
                        client.login(user, password)
                with pytest.raises(IMAPClientError):
                    client.list_folders()
            client = gmail.mailbox()
            try:
                with pytest.raises(IMAPClientError):
                    client.create_folder("New")
                with pytest.raises(IMAPClientError):
                    client.select_folder("Nowhere")
            finally:
                client.logout()

        await asyncio.to_thread(tries)


async def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.7.0.2", 0)) as taken:
        gmail = Provider("gmail")
        server = smtp_server(gmail.host, taken.getsockname()[1], None)
        with pytest.raises(InvalidInput, match=r"127\.7\.0\.2:\d+ is in use already.*another port"):
            await server.start()
        await server.stop()


@pytest.mark.parametrize(
    ("header_form", "body_form"), [(b"relaxed", b"relaxed"), (b"simple", b"simple"), (b"relaxed", b"simple")]
)
def test_signatures_made_by_another_program_verify_and_changed_mail_does_not(
    header_form: bytes, body_form: bytes
) -> None:
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    zone = provider_zone([])
    zone.add_txt("s1._domainkey.meadow.example", "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode())
    zone.add_txt("rp.meadow.example", "v=spf1 ip4:127.7.1.0/24 -all")
    content = (
        b"From: News <a@meadow.example>\r\nTo: b@c\r\nSubject:  Hi \r\n there\r\n\r\nA  line \r\n\r\nend\r\n\r\n\r\n"
    )
    signature = dkim.sign(content, b"s1", b"meadow.example", pem, canonicalize=(header_form, body_form))
    checker = Authenticator(zone)

    def check(mail: bytes, ip: str = "127.7.1.1") -> str:
        sent = Sent(mail_from="b@rp.meadow.example", recipient="x@y", ip=ip, content=mail, at=START)
        return checker.check(sent).header("mx")

    good = check(signature + content)
    assert "dkim=pass header.d=meadow.example header.s=s1" in good
    assert "spf=pass" in good
    assert "dmarc=pass" in good
    assert "dkim=fail" in check(signature + content.replace(b"end", b"END"))
    assert "dkim=fail" in check(signature + content.replace(b"Hi", b"Ho"))
    assert "dmarc=fail" in check(content, ip="10.0.0.1")


async def test_a_busy_server_answers_hundreds_of_messages_and_leaves_nothing_open() -> None:
    async with running("gmail") as gmail:

        async def burst(n: int) -> int:
            reader, writer = await asyncio.open_connection(*gmail.smtp.address)
            writer.write(b"EHLO me\r\n")
            for k in range(50):
                writer.write(f"MAIL FROM:<b@rp.meadow.example>\r\nRCPT TO:<u{n}-{k}@gmail.example>\r\n".encode())
                writer.write(b"DATA\r\n" + MESSAGE.encode() + b".\r\n")
            writer.write(b"QUIT\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer.count(b"250 2.0.0 OK  ")

        async with asyncio.TaskGroup() as tasks:
            jobs = [tasks.create_task(burst(n)) for n in range(8)]
        assert sum(job.result() for job in jobs) == 400
        assert len(gmail.judged) == 400
