"""What follows from returned mail: nothing without proof, once with it, always for the address that we sent to."""

from __future__ import annotations

import pytest

from core.classify import BounceClass
from core.errors import Unavailable
from core.events import (
    BounceReceived,
    ComplaintReceived,
    Delivered,
    Replied,
    ReportUnverified,
    SuppressionAdded,
    SuppressionReason,
    SuppressionRemoved,
    Unsubscribed,
)
from core.state import Suppression
from core.tokens import Purpose, TokenSigner, new_message_id
from tests.unit.collectors.return_world import ADDRESS, RETURN_PATH, START, World, arf, dsn, plain, world


async def test_only_addresses_with_a_valid_token_and_our_roles_are_taken() -> None:
    async with world() as here:
        accepts = here.returns.accepts
        forged = TokenSigner({"a": b"another-key-16by"}).sign(Purpose.RETURN_PATH, here.message_id, START)
        taken = [here.bounce_address.upper(), here.unsubscribe_address, f"dmarc@{RETURN_PATH}", f"fbl@{RETURN_PATH}",
                 f"postmaster@{RETURN_PATH}", "abuse@news.example", f"<{here.bounce_address}>"]  # fmt: skip
        refused = [f"{forged}@{RETURN_PATH}", f"ann@{RETURN_PATH}", "ann@elsewhere.example", "", "postmaster",
                   f"{here.token(Purpose.MESSAGE_ID)}@{RETURN_PATH}",
                   f"{here.token(Purpose.RETURN_PATH)}@x.example"]  # fmt: skip
        assert [a for a in taken if await accepts(a)] == []
        assert [a for a in refused if not (await accepts(a)).startswith("550 5.1.1")] == []
        here.clock.advance(500 * 86400)
        assert "expired" in await accepts(here.bounce_address)


async def test_a_hard_bounce_suppresses_the_address_that_we_sent_to_once() -> None:
    async with world() as here:
        for _ in range(3):
            await here.returns.receive("", [here.bounce_address], dsn())
        (bounce,) = await here.events(BounceReceived)
        assert isinstance(bounce, BounceReceived)
        assert (bounce.bounce_class, bounce.terminal, bounce.message_id) == (
            BounceClass.UNKNOWN_USER,
            True,
            here.message_id,
        )
        (delivered,) = await here.events(Delivered)
        assert isinstance(delivered, Delivered)
        assert bounce.attribution == delivered.attribution, (
            "hour, lane, stream and campaign of the mail that it answers"
        )
        assert bounce.attribution.cohort == int(delivered.at // 3600)
        assert await here.suppressed() == {ADDRESS: ("hard_bounce", "")}
        assert len(await here.events(SuppressionAdded)) == 1


@pytest.mark.parametrize(
    "said",
    ["552 5.2.2 Mailbox full", "550 5.7.1 IP blocked", "550 5.7.26 Unauthenticated email", "550 5.2.1 Mailbox disabled",
     "451 4.7.1 Greylisted", "554 5.4.7 Message expired", "550 5.1.2 Domain not found"],
)  # fmt: skip
async def test_other_classes_never_suppress(said: str) -> None:
    async with world() as here:
        await here.returns.receive("", [here.bounce_address], dsn(said=said))
        assert len(await here.events(BounceReceived)) == 1
        assert await here.suppressed() == {}


async def test_a_warning_is_not_terminal_and_the_failure_after_it_still_counts() -> None:
    async with world() as here:
        await here.returns.receive("", [here.bounce_address], dsn(action="delayed", said="451 4.4.1 busy"))
        await here.returns.receive("", [here.bounce_address], dsn())
        assert [e.terminal for e in await here.events(BounceReceived) if isinstance(e, BounceReceived)] == [False, True]


async def test_forwarded_mail_suppresses_the_address_that_we_know() -> None:
    async with world() as here:
        await here.returns.receive("", [here.bounce_address], dsn("ann@elsewhere.example"))
        assert await here.suppressed() == {ADDRESS: ("hard_bounce", "")}


async def test_without_a_valid_token_nothing_is_suppressed_but_all_is_kept() -> None:
    async with world() as here:
        forged = TokenSigner({"a": b"another-key-16by"})
        unknown = here.signer.sign(Purpose.MESSAGE_ID, new_message_id(START), START)
        mails = [dsn(), dsn(original=forged.sign(Purpose.MESSAGE_ID, here.message_id, START)), dsn(original=unknown),
                 arf(), arf(token="x" * 42), plain("hello"), b"", b"\0" * 5000]  # fmt: skip
        for mail in mails:
            await here.returns.receive("someone@else.example", [f"fbl@{RETURN_PATH}"], mail)
        kinds = [e.kind for e in await here.events(ReportUnverified) if isinstance(e, ReportUnverified)]
        assert kinds == ["bounce", "bounce", "bounce", "complaint", "complaint", "other", "other", "other"]
        assert await here.suppressed() == {}
        assert await here.events(BounceReceived) == await here.events(ComplaintReceived) == []


@pytest.mark.parametrize("field_name", ["Message-ID", "X-Penstock-Token", "List-Unsubscribe", "Return-Path"])
async def test_a_complaint_is_proven_by_any_token_of_the_returned_header(field_name: str) -> None:
    async with world() as here:
        purpose = {"Message-ID": Purpose.MESSAGE_ID, "X-Penstock-Token": Purpose.MESSAGE_ID,
                   "List-Unsubscribe": Purpose.UNSUBSCRIBE, "Return-Path": Purpose.RETURN_PATH}[field_name]  # fmt: skip
        value = here.token(purpose)
        if field_name == "List-Unsubscribe":
            value = f"<https://news.example/u/{value}>, <mailto:{value}@{RETURN_PATH}>"
        for _ in range(2):
            await here.returns.receive("", [f"fbl@{RETURN_PATH}"], arf(token=value, field_name=field_name))
        assert len(await here.events(ComplaintReceived)) == 1
        assert await here.suppressed() == {ADDRESS: ("complaint", "")}


async def test_not_spam_lifts_what_the_complaint_did_and_nothing_else() -> None:
    async with world() as here:
        token = here.token(Purpose.MESSAGE_ID)
        await here.returns.receive("", [f"fbl@{RETURN_PATH}"], arf(token=token))
        await here.returns.receive("", [f"fbl@{RETURN_PATH}"], arf("not-spam", token=token))
        assert await here.suppressed() == {}
        assert len(await here.events(SuppressionRemoved)) == 1
        await here.returns.receive("", [f"fbl@{RETURN_PATH}"], arf(token=token))
        assert await here.suppressed() == {}
    async with world() as here:
        await here.returns.receive("", [here.bounce_address], dsn())
        await here.returns.receive("", [here.bounce_address], arf("not-spam"))
        assert await here.suppressed() == {ADDRESS: ("hard_bounce", "")}


@pytest.mark.parametrize("kind", ["virus", "not-spam", "miscategorized"])
async def test_other_feedback_is_noted_and_suppresses_nobody(kind: str) -> None:
    async with world() as here:
        await here.returns.receive("", [here.bounce_address], arf(kind))
        assert len(await here.events(ComplaintReceived)) == 1
        assert await here.suppressed() == {}


async def test_authentication_failures_are_no_complaints() -> None:
    async with world() as here:
        await here.returns.receive("", [here.bounce_address], arf("auth-failure"))
        assert len(here.dmarc.mails) == 1
        assert await here.events(ReportUnverified) == await here.events(ComplaintReceived) == []


async def _unsubscribes(here: World, to: str, content: bytes) -> bool:
    await here.returns.receive("ann@shop.example", [to], content)
    return await here.suppressed() == {ADDRESS: ("unsubscribe", "bulk")} and len(await here.events(Unsubscribed)) == 1


async def test_mail_to_the_unsubscribe_address_unsubscribes_from_that_stream() -> None:
    for content in (
        plain("unsubscribe"), plain("", "please"), plain("x", "", "X-Apple-Unsubscribe: true"), arf("opt-out"),
    ):  # fmt: skip
        async with world() as here:
            assert await _unsubscribes(here, here.unsubscribe_address, content)
            assert await _unsubscribes(here, here.unsubscribe_address, content)


@pytest.mark.parametrize("field_name", ["In-Reply-To", "References"])
async def test_a_person_who_answers_gives_a_sign_of_life_once(field_name: str) -> None:
    async with world() as here:
        told = f"{field_name}: <{here.token(Purpose.MESSAGE_ID)}@news.example>"
        assert await here.returns.accepts("news@news.example") == ""
        for to in ("news@news.example", here.bounce_address):
            await here.returns.receive("ann@shop.example", [to], plain("Re: News", "Thank you!", told))
        (event,) = await here.events(Replied)
        assert isinstance(event, Replied)
        assert (event.message_id, event.recipient.lower()) == (here.message_id, ADDRESS)
        assert await here.suppressed() == {}


async def test_what_names_no_message_of_ours_or_has_no_sender_is_nobodys_answer() -> None:
    async with world() as here:
        forged = TokenSigner({"a": b"another-key-16by"}).sign(Purpose.MESSAGE_ID, here.message_id, START)
        told = f"In-Reply-To: <{here.token(Purpose.MESSAGE_ID)}@news.example>"
        before = await here.stores.log.head()
        await here.returns.receive("ann@shop.example", ["news@news.example"], plain("Hello", "Who are you?"))
        await here.returns.receive(
            "ann@shop.example", ["news@news.example"], plain("Re: News", "", f"In-Reply-To: <{forged}@news.example>")
        )
        automatic = plain("Re: News", "", told, "Auto-Submitted: auto-replied")
        await here.returns.receive("ann@shop.example", ["news@news.example"], automatic)
        assert await here.stores.log.head() == before
        await here.returns.receive("", [here.bounce_address], plain("Re: News", "odd", told))
        assert await here.events(Replied) == []


async def test_automatic_replies_do_nothing() -> None:
    async with world() as here:
        before = await here.stores.log.head()
        for to in (here.bounce_address, here.unsubscribe_address):
            await here.returns.receive(
                "ann@shop.example", [to], plain("Out of office", "", "Auto-Submitted: auto-replied")
            )
        assert await here.stores.log.head() == before


async def test_a_bounce_that_overtakes_its_own_delivery_is_asked_for_again() -> None:
    async with world(delivered=False) as here:
        with pytest.raises(Unavailable):
            await here.returns.receive("", [here.bounce_address], dsn())
        await here.deliver(here.message_id)
        await here.returns.receive("", [here.bounce_address], dsn())
        assert await here.suppressed() == {ADDRESS: ("hard_bounce", "")}


async def test_a_report_about_a_mail_that_never_got_a_lane_is_not_asked_for_for_ever() -> None:
    async with world(delivered=False) as here:
        here.clock.advance(3 * 86400)
        await here.returns.receive("", [here.bounce_address], dsn())
        assert len(await here.events(ReportUnverified)) == 1


async def test_of_several_mailboxes_behind_an_address_one_that_lives_is_enough() -> None:
    dead = b"Final-Recipient: rfc822; a@behind.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1"
    for order in ((b"1", b"2"), (b"2", b"1")):
        groups = {
            b"1": dead + b" User unknown\n",
            b"2": dead.replace(b"a@", b"b@").replace(b"5.1.1", b"5.2.2") + b" Full\n",
        }
        mail = dsn("ann@behind.example").replace(
            dsn("ann@behind.example").partition(b"Final-")[2].partition(b"\n\n")[0].join([b"Final-", b"\n\n"]),
            b"\n".join(groups[name] for name in order) + b"\n",
        )
        async with world() as here:
            await here.returns.receive("", [here.bounce_address], mail)
            (bounce,) = await here.events(BounceReceived)
            assert isinstance(bounce, BounceReceived)
            assert bounce.bounce_class is BounceClass.MAILBOX_FULL
            assert await here.suppressed() == {}


async def test_the_token_of_a_seed_mailbox_proves_nothing_about_a_recipient() -> None:
    async with world() as here:
        mail = dsn(original=here.token(Purpose.SEED))
        await here.returns.receive("", [f"postmaster@{RETURN_PATH}"], mail)
        (noted,) = await here.events(ReportUnverified)
        assert isinstance(noted, ReportUnverified)
        assert "seed" in noted.problem
        assert await here.suppressed() == {}


async def test_what_comes_to_the_dmarc_address_goes_to_its_reader() -> None:
    async with world() as here:
        await here.returns.receive("r@x.example", [f"dmarc@{RETURN_PATH}"], plain("Report Domain: news.example"))
        assert [sender for _, sender in here.dmarc.mails] == ["r@x.example"]


async def test_who_came_back_may_leave_again_with_the_same_mail() -> None:
    async with world() as here:
        for _ in range(2):
            await here.returns.receive("ann@x.example", [here.unsubscribe_address], plain("stop"))
        assert len(await here.events(Unsubscribed)) == 1
        ((address, (_, stream)),) = (await here.suppressed()).items()
        await here.stores.suppressions.remove(address, stream, "opt-in", here.clock.now())
        await here.returns.receive("ann@x.example", [here.unsubscribe_address], plain("stop"))
        assert await here.suppressed() == {address: ("unsubscribe", stream)}
        assert len(await here.events(Unsubscribed)) == 2


@pytest.mark.parametrize("reason", ["sunset", "hard_bounce"])
async def test_a_wish_to_leave_outlasts_what_the_service_takes_back_by_itself(reason: str) -> None:
    async with world() as here:
        entry = Suppression(
            address=ADDRESS, stream="bulk", reason=SuppressionReason(reason), at=START, evidence="by the service"
        )
        await here.stores.suppressions.add([entry])
        await here.returns.receive("ann@x.example", [here.unsubscribe_address], plain("stop"))
        assert await here.suppressed() == {ADDRESS: ("unsubscribe", "bulk")}


@pytest.mark.parametrize(
    ("subject", "headers", "leaves"),
    [
        ("Unsubscribe", [], True),
        ("Re: unsubscribe!", [], True),
        ("unsubscribe from weekly news", [], True),
        ("отписка", [], True),
        ("Stop", [], True),
        ("Re: Stop paying too much", [], False),  # an answer to a mail of ours
        ("Remove your old tyres in March", [], False),
        ("Re: Unsubscribe from boredom", [], False),
        ("Re: Stop", ["Auto-Submitted: auto-replied"], False),
        ("Automatic reply: Stop paying too much", ["Auto-Submitted: auto-replied"], False),
    ],
)
async def test_a_subject_asks_to_be_let_off_only_when_it_says_nothing_else(
    subject: str, headers: list[str], leaves: bool
) -> None:
    async with world() as here:
        mail = plain(subject, "", f"In-Reply-To: <{here.token(Purpose.MESSAGE_ID)}@news.example>", *headers)
        await here.returns.receive("ann@x.example", [here.bounce_address], mail)
        assert bool(await here.suppressed()) is leaves


async def test_a_report_of_an_unknown_type_is_a_complaint_and_a_mail_has_one() -> None:
    async with world() as here:
        for kind in ("spam", "abuse", "fraud", "x-1", "x-2"):
            await here.returns.receive("", [here.bounce_address], arf(kind))
        assert await here.suppressed() == {ADDRESS: ("complaint", "")}
        assert len(await here.events(ComplaintReceived)) == 1
