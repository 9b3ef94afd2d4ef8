"""Parameters of RFC 3461, as clients write and miswrite them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.notices import Notify
from sender.notices.params import BadParameter, mail_wish, recipient_wish


def test_what_mail_may_carry() -> None:
    wish, rest = mail_wish("SIZE=100 RET=hdrs ENVID=QQ+2B314159 AUTH=<> BODY=8BITMIME")
    assert (wish.full, wish.envelope_id, rest) == (False, "QQ+314159", "SIZE=100 BODY=8BITMIME")
    assert mail_wish("RET=FULL")[0].full is True
    assert mail_wish("")[0].full is None


def test_what_rcpt_may_carry() -> None:
    wish, rest = recipient_wish("NOTIFY=SUCCESS,delay ORCPT=rfc822;Ann+2BShop@x.test")
    assert (wish.notify, wish.original, rest) == (
        frozenset({Notify.SUCCESS, Notify.DELAY}), "rfc822;Ann+Shop@x.test", "",
    )  # fmt: skip
    assert recipient_wish("NOTIFY=NEVER")[0].notify == frozenset()
    assert recipient_wish("")[0].notify is None
    assert recipient_wish(r"ORCPT=utf-8;\x{430}ня@x.test")[0].original == "utf-8;аня@x.test"


@pytest.mark.parametrize(
    "text",
    ["RET=ALL", "RET", "RET=FULL RET=FULL", "ENVID=", "ENVID=a+0D+0Ab", "ENVID=+zz", "ENVID=" + "x" * 101, "ENVID=a=b"],
)
def test_what_mail_may_not_carry(text: str) -> None:
    with pytest.raises(BadParameter, match=r"^501 5\.5\.4 "):
        mail_wish(text)


@pytest.mark.parametrize(
    "text",
    ["NOTIFY=NEVER,FAILURE", "NOTIFY=SOMETIMES", "NOTIFY=", "ORCPT=ann@x.test", "ORCPT=rfc822;", "ORCPT=;a@x.test",
     "ORCPT=rfc822;a+0Ab@x.test", "ORCPT=rfc822;" + "a" * 500, r"ORCPT=utf-8;\x{0A}x@x.test", r"ORCPT=utf-8;\x{D800}"],
)  # fmt: skip
def test_what_rcpt_may_not_carry(text: str) -> None:
    with pytest.raises(BadParameter, match=r"^501 5\.5\.4 "):
        recipient_wish(text)


@given(st.text(max_size=700))
def test_nothing_that_is_decoded_can_end_a_header(text: str) -> None:
    for parse in (mail_wish, recipient_wish):
        for form in (text, f"ENVID={text}", f"ORCPT=rfc822;{text}", f"ORCPT=utf-8;{text}"):
            try:
                wish, _ = parse(form)
            except BadParameter:
                continue
            shown = getattr(wish, "envelope_id", "") + getattr(wish, "original", "")
            assert shown.isprintable()
