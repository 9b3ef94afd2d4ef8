"""Replies and their meaning when no rule of the table speaks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.classify import GROUP_OF, SUPPRESS_AT_ONCE, Action, BounceClass, Classifier, Diagnosis, Group, ReplyRule
from core.reply import MAX_REPLY_TEXT, Stage, _parts, _usual, parse_reply


@pytest.mark.parametrize(
    ("lines", "code", "status", "text"),
    [
        ("250 2.0.0 OK", 250, "2.0.0", "OK"),
        (["550-5.1.1 The account does", "550 5.1.1 not exist."], 550, "5.1.1", "The account does not exist."),
        ("451", 451, "", ""),
        ("connection lost", 0, "", "connection lost"),
        ("999 what", 0, "", "999 what"),
    ],
)
def test_a_reply_becomes_one_line(lines: list[str] | str, code: int, status: str, text: str) -> None:
    reply = parse_reply(lines)
    assert (reply.code, reply.status, reply.text) == (code, status, text)


@given(st.text(max_size=3000))
def test_any_text_is_bounded_and_printable(text: str) -> None:
    reply = parse_reply(text)
    assert len(reply.text) <= MAX_REPLY_TEXT
    assert reply.text.isprintable()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("550 5.1.1 x", BounceClass.UNKNOWN_USER), ("550 5.7.1 x", BounceClass.POLICY_REFUSED),
        ("452 4.2.2 x", BounceClass.MAILBOX_FULL), ("550 no", BounceClass.UNDETERMINED),
        ("421 busy", BounceClass.REMOTE_ERROR), ("lost", BounceClass.NETWORK), ("250 ok", BounceClass.DELIVERED),
        ("556 5.1.10 x", BounceClass.NO_MAIL_HOST), ("550 5.7.26 x", BounceClass.AUTH_FAILED),
    ],
)  # fmt: skip
def test_without_a_rule_status_and_code_decide(line: str, found: BounceClass) -> None:
    assert Classifier([]).classify(parse_reply(line)).bounce_class is found


def test_the_first_matching_rule_wins_and_addresses_are_masked() -> None:
    rules = [
        ReplyRule(
            name="other", bounce_class=BounceClass.VIRUS, pattern=re.compile("blocked"), providers=frozenset({"yahoo"})
        ),
        ReplyRule(name="ip", bounce_class=BounceClass.IP_BLOCKED, pattern=re.compile("<ip> blocked"), codes=("5.7",)),
        ReplyRule(
            name="late", bounce_class=BounceClass.VIRUS, pattern=re.compile("blocked"), stages=frozenset({Stage.RCPT})
        ),
    ]
    found = Classifier(rules).classify(parse_reply("550 5.7.1 [192.0.2.1] blocked"), "gmail")
    assert (found.rule, found.bounce_class) == ("ip", BounceClass.IP_BLOCKED)


def test_only_recipient_classes_suppress() -> None:
    for bounce_class in BounceClass:
        diagnosis = Diagnosis(bounce_class=bounce_class)
        assert bounce_class in GROUP_OF
        if diagnosis.suppresses:
            assert diagnosis.group is Group.RECIPIENT
            assert (diagnosis.action is Action.SUPPRESS) == diagnosis.at_once
    assert BounceClass.UNKNOWN_USER in SUPPRESS_AT_ONCE


@given(
    st.sampled_from(["550", "550 ", "550-", "250", "200", "199", "600", "5500", "", " 550", "550  "]),
    st.sampled_from(["", "5.1.1", "5.1.1:", "4.01.001", "5.1.1x", "550", "x", "5.1.1-", "(5.1.1)"]),
    st.text(alphabet="ab5. :-<(", max_size=8),
)
def test_the_short_way_through_a_line_says_what_the_long_one_does(code: str, status: str, text: str) -> None:
    line = " ".join([code, status, text])
    for _ in range(2):  # the second time the status is known
        assert _usual(line) == _parts(line)
