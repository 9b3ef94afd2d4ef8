"""SMTP submission with a real client on loopback: what is offered, who may, and what the headers choose."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import smtplib
import socket
import ssl

import pytest

from sender.headers import prepare
from sender.wire import dot_stuffed
from tests.daemons.certificate import make_certificate
from tests.unit.service.submission_world import NOW, PASSWORD, Door, door, message

__all__ = ["door"]  # a fixture


async def test_what_is_offered_before_and_after_tls(door: Door) -> None:
    before = await door.with_client(lambda c: dict(c.esmtp_features), login=False)
    assert {"size", "8bitmime", "smtputf8", "pipelining", "starttls"} <= before.keys()
    assert before["size"] == "200000"
    assert "auth" not in before, "a password must not cross the network in the clear"
    after = await door.with_client(lambda c: (c.ehlo("app.test"), dict(c.esmtp_features))[1])
    assert set(after["auth"].split()) == {"PLAIN", "LOGIN"}


async def test_python_and_django_send_as_they_always_do(door: Door) -> None:
    refused = await door.with_client(lambda c: c.send_message(message()))
    assert refused == {}
    (event,) = await door.accepted()
    assert (event.recipient, event.stream, event.sending_domain) == ("ann@x.test", "transactional", "sender.test")


async def test_headers_choose_and_are_not_sent_on(door: Door) -> None:
    mail = message(
        X_Penstock_Stream="bulk", X_Penstock_Campaign="spring", X_Penstock_Send_At="2027-01-16T09:00:00Z",
        X_Penstock_Expires_At=str(NOW + 30 * 86400), X_Penstock_Metadata='{"order": "4711", "who": "Аня"}',
        X_Penstock_List_Source="shop checkout",
    )  # fmt: skip
    await door.with_client(lambda c: c.send_message(mail))
    (event,) = await door.accepted()
    assert (event.stream, event.campaign, event.list_source) == ("bulk", "spring", "shop checkout")
    assert event.metadata == {"order": "4711", "who": "Аня"}
    queued = await door.stores.queue.find(event.message_id)
    assert queued is not None
    assert (queued.not_before, queued.deadline) == (1_800_090_000.0, NOW + 30 * 86400)
    body = await door.stores.spool.body(queued.body_id)
    assert b"penstock" not in body.content.lower()


@pytest.mark.parametrize(
    "headers",
    [{"X_Penstock_Metadata": "no json"}, {"X_Penstock_Metadata": '{"a": 1}'}, {"X_Penstock_Send_At": "tomorrow"},
     {"X_Penstock_Expires_At": "1999-01-01T00:00:00Z"}, {"X_Penstock_Stream": "unknown"},
     {"X_Penstock_Templat": "order"}, {"X_Penstock_Vars": '{"a": 1}'}, {"X_Penstock_Template": "order"}],
)  # fmt: skip
async def test_a_choice_that_cannot_be_kept_is_refused_with_its_name(door: Door, headers: dict[str, str]) -> None:
    def talk(client: smtplib.SMTP) -> str:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.send_message(message(**headers))
        assert caught.value.smtp_code == 550
        return str(caught.value.smtp_error)

    text = await door.with_client(talk)
    assert next(iter(headers)).replace("_", "-").lower().removeprefix("x-penstock-")[:6] in text.lower()
    assert await door.accepted() == []


async def test_commands_may_come_in_one_packet(door: Door) -> None:
    def talk(client: smtplib.SMTP) -> bytes:
        lines = (b"MAIL FROM:<shop@sender.test> BODY=8BITMIME", b"RCPT TO:<a@x.test>", b"RCPT TO:<b@x.test>", b"DATA")
        assert client.sock is not None
        client.sock.sendall(b"".join(line + b"\r\n" for line in lines))
        answers = [client.getreply()[0] for _ in lines]
        assert answers == [250, 250, 250, 354]
        body = "From: shop@sender.test\r\nSubject: zwölf\r\n\r\nhalló\r\n.\r\nQUIT\r\n".encode()
        client.sock.sendall(body)
        return client.getreply()[1]

    assert b"queued as" in await door.with_client(talk)
    assert [e.recipient for e in await door.accepted()] == ["a@x.test", "b@x.test"]


async def test_addresses_beyond_ascii_are_taken_with_smtputf8(door: Door) -> None:
    mail = message()
    del mail["To"]
    mail["To"] = "аня@пример.рф"
    await door.with_client(lambda c: c.send_message(mail, to_addrs=["аня@пример.рф"]))
    (event,) = await door.accepted()
    assert event.recipient == "аня@xn--e1afmkfd.xn--p1ai"


async def test_what_is_too_large_is_refused_before_it_is_sent(door: Door) -> None:
    def talk(client: smtplib.SMTP) -> int:
        return int(client.mail("shop@sender.test", ["SIZE=200001"])[0])

    assert await door.with_client(talk) == 552


async def test_nobody_relays_without_credentials(door: Door) -> None:
    mail = b"MAIL FROM:<shop@sender.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\nQUIT\r\n"
    answer = await door.raw(b"EHLO spammer.test\r\n", mail)
    assert b"\r\n530 " in answer
    assert b"\r\n354 " not in answer
    wrong = base64.b64encode(b"\0crm\0wrong")
    answer = await door.raw(b"EHLO spammer.test\r\nAUTH PLAIN " + wrong + b"\r\n" + mail)
    assert b"\r\n235 " not in answer
    assert b"\r\n354 " not in answer

    def talk(client: smtplib.SMTP) -> None:
        client.starttls(context=ssl.create_default_context(cafile=str(door.certificate)))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("crm", "wrong")
        with pytest.raises(smtplib.SMTPException):
            client.send_message(message())

    await door.with_client(talk, login=False)
    assert await door.accepted() == []


async def test_what_was_sent_before_tls_counts_for_nothing_after_it(door: Door) -> None:
    """Commands that somebody on the way slips in behind STARTTLS must not be run inside TLS (RFC 3207 section 6)."""

    def run() -> list[int]:
        with socket.create_connection(("127.0.0.1", door.port), 10) as plain:
            plain.sendall(b"EHLO a.test\r\n")
            heard = b""
            while b"\r\n250 " not in heard:
                heard += plain.recv(1000)
            plain.sendall(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@sender.test>\r\n")
            assert plain.recv(1000).startswith(b"220")
            context = ssl.create_default_context(cafile=str(door.certificate))
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                secure.settimeout(60)
                secure.sendall(b"NOOP\r\n")
                return [int(line[:3]) for line in secure.recv(1000).split(b"\r\n") if line]

    codes = await asyncio.to_thread(run)
    assert len(codes) == 1, "one command was sent inside TLS, so one answer comes"


async def test_a_renewed_certificate_serves_from_the_next_connection_on(door: Door) -> None:
    def shown() -> bytes:
        with smtplib.SMTP_SSL("127.0.0.1", door.tls_port, timeout=60, context=trusting()) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            client.login("crm", PASSWORD)
            return client.sock.getpeercert(binary_form=True) or b""

    def trusting() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    first = await asyncio.to_thread(shown)
    key = door.certificate.with_name("key.pem")
    good = key.read_bytes()
    key.write_text("half written")
    assert await asyncio.to_thread(shown) == first, "what cannot be used changes nothing"
    key.write_bytes(good)
    await asyncio.to_thread(make_certificate, door.certificate.parent, "renewed.test")
    second = await asyncio.to_thread(shown)
    assert second != first
    assert b"renewed.test" in second


async def test_who_guesses_passwords_is_sent_away(door: Door) -> None:
    def talk(client: smtplib.SMTP) -> list[str]:
        client.starttls(context=ssl.create_default_context(cafile=str(door.certificate)))
        fates: list[str] = []
        while len(fates) < 20:
            try:
                client.login("crm", PASSWORD + "x")
            except smtplib.SMTPServerDisconnected:
                return fates
            except smtplib.SMTPException as error:
                fates.append(type(error).__name__)
        return fates

    fates = await door.with_client(talk, login=False)
    assert 0 < len(fates) <= 5
    assert await door.accepted() == []


async def test_a_client_that_guesses_is_barred_whatever_it_connects_anew(door: Door) -> None:
    def talk(_client: smtplib.SMTP) -> str:
        for _ in range(45):  # more than two minutes' worth, wherever the minute ends
            with smtplib.SMTP_SSL("127.0.0.1", door.tls_port, timeout=60, context=trust) as client:
                client.ehlo("app.test")
                code, text = client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0crm\0wrong").decode())
                if code == 421:
                    return text.decode()
                assert code == 535
        return ""

    trust = ssl.create_default_context(cafile=str(door.certificate))
    trust.check_hostname = False
    assert "failed logins" in await door.with_client(talk, login=False)


async def test_two_spellings_of_a_recipient_are_one_and_none_is_refused(door: Door) -> None:
    def talk(client: smtplib.SMTP) -> tuple[int, bytes]:
        client.mail("crm@sender.test")
        for address in ("ann@x.test", "Ann@X.test", '"ann"@x.test'):
            assert client.rcpt(address)[0] == 250
        return client.data(message().as_bytes())

    code, said = await door.with_client(talk)
    assert (code, b"refused" in said) == (250, False)
    assert len(await door.accepted()) == 1


async def test_a_message_without_a_body_needs_no_empty_line(door: Door) -> None:
    def talk(client: smtplib.SMTP) -> tuple[int, bytes]:
        client.mail("crm@sender.test")
        client.rcpt("ann@x.test")
        return client.data(b"From: shop@sender.test\r\nSubject: only this\r\n")

    assert (await door.with_client(talk))[0] == 250


async def test_a_template_gets_the_name_of_an_encoded_from_field_as_it_reads(door: Door) -> None:
    door.templates.mkdir()
    (door.templates / "hello.toml").write_text('subject = "Hello"\ntext = "Hello"\n')
    raw = b"From: =?utf-8?b?0JjQstCw0L0sICLQoSI=?= <shop@sender.test>\r\nX-Penstock-Template: hello\r\n\r\nx\r\n"

    def talk(client: smtplib.SMTP) -> tuple[int, bytes]:
        client.mail("crm@sender.test")
        client.rcpt("ann@x.test")
        return client.data(raw)

    code, said = await door.with_client(talk)
    assert code == 250, said
    (accepted,) = await door.accepted()
    queued = await door.stores.queue.find(accepted.message_id)
    assert queued is not None
    body = await door.stores.spool.body(queued.body_id)
    assert json.loads(body.content)["from"] == '"Иван, \\"С\\"" <shop@sender.test>'


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r", b"\r\n\0.\r\n", b"\n..\n"]
)
async def test_only_crlf_dot_crlf_ends_a_message_and_nothing_else_does_on_the_way_out(door: Door, end: bytes) -> None:
    inner = b"MAIL FROM:<ceo@sender.test>\r\nRCPT TO:<victim@x.test>\r\nDATA\r\nFrom: ceo@sender.test\r\n\r\nforged"
    raw = b"From: shop@sender.test\r\nSubject: a\r\n\r\nHello" + end + inner

    def talk(client: smtplib.SMTP) -> tuple[int, bytes]:
        client.mail("crm@sender.test")
        client.rcpt("ann@x.test")
        client.docmd("DATA")
        client.send(raw + b"\r\n.\r\n")
        return client.getreply()

    code, _ = await door.with_client(talk)
    taken = await door.accepted()
    assert [one.recipient for one in taken] == (["ann@x.test"] if code == 250 else [])
    for one in taken:
        queued = await door.stores.queue.find(one.message_id)
        assert queued is not None
        ready = prepare((await door.stores.spool.body(queued.body_id)).content)
        out = dot_stuffed(ready.body)
        assert not re.search(rb"(^|[\r\n])\.[\r\n]", out), "a line of one dot would end it at the next host"
        assert out.count(b"\r") == out.count(b"\n") == out.count(b"\r\n")


async def test_tls_within_tls_is_refused_and_the_dialogue_goes_on(door: Door) -> None:
    codes = await door.with_client(lambda c: [c.docmd("STARTTLS")[0], c.docmd("NOOP")[0]])
    assert codes == [503, 250]
