"""Reply rules and retry schedules: what ships is sound, the owner's come first, a rule that cannot act is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.load import ConfigError, load_providers
from config.model import Settings
from config.reactions import load_reaction_rules, load_retries, rule_rows
from config.replies import shipped_classifier
from core.reaction import ReactionAction
from core.reply import Stage, parse_reply
from core.replyrules import RuleBook

GOOD = """
[[rules]]
name = "mine"
providers = ["yahoo"]
codes = ["421"]
pattern = 'too many .{0,20}from you'
count = 2
window_minutes = 10
action = "slow"
per_minute = 20
minutes = 30
examples = ["421 4.7.0 too many messages from you"]
"""


def settings(tmp_path: Path, rules: str = "", retries: str = "") -> Settings:
    given: dict[str, Any] = {}
    for name, text in (("rules", rules), ("retries", retries)):
        if text:
            path = tmp_path / f"{name}.toml"
            path.write_text(text, encoding="utf-8")
            given[name] = path
    return Settings.model_validate({
        "sending_domains": [{"name": "e.com", "return_path": "b.e.com"}],
        "sources": [{"name": "a", "ehlo": "x.e.com"}], "replies": given,
    })  # fmt: skip


def changed(*changes: tuple[str, str]) -> str:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def problems(tmp_path: Path, rules: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_reaction_rules(settings(tmp_path, rules))
    return [f"{one.key}: {one.problem}" for one in caught.value.problems]


# --- what ships ------------------------------------------------------------------------------------------------------
def test_the_shipped_rules_pass_their_own_checks_and_say_where_they_come_from(tmp_path: Path) -> None:
    rows = rule_rows(settings(tmp_path))
    assert len(rows) >= 20
    assert all(row.note and row.examples for row in rows)
    assert {"gmail", "yahoo", "outlook", "apple", "mailru", "yandex", "rambler", "comcast"} <= {
        name for row in rows for name in row.providers
    }


@pytest.mark.parametrize(
    ("provider", "reply", "rule"),
    [
        ("gmail", "421 4.7.28 Gmail saw an unusual rate of mail from your SPF domain", "gmail-rate-of-dkim-domain"),
        ("gmail", "421-4.7.28 We saw an unusual rate of unsolicited mail from your IP", "gmail-rate"),
        ("gmail", "550 5.7.26 Unauthenticated email from e.com is not accepted", "gmail-authentication"),
        ("yahoo", "421 4.7.0 [TSS04] Messages from 192.0.2.9 temporarily deferred", "yahoo-complaints"),
        ("yahoo", "421 4.7.0 [TS02] Messages temporarily deferred", "yahoo-rate"),
        ("yahoo", "421 4.7.1 [TS03] All messages will be permanently deferred", "yahoo-permanently-deferred"),
        ("yahoo", "553 5.7.1 [BL23] Connections not accepted from IP addresses on Spamhaus PBL", "yahoo-listed"),
        ("outlook", "550 5.7.1 Unfortunately, messages from [192.0.2.9] weren't sent. (S3150)", "microsoft-blocked"),
        ("outlook", "550 5.7.606 Access denied, banned sending IP [192.0.2.9]", "microsoft-blocked"),
        ("office365", "451 4.7.650 The mail server has been temporarily rate limited (S775)", "microsoft-throttle"),
        ("comcast", "421 4.1.0 192.0.2.9 Throttled RL000010", "comcast-rate"),
        ("mailru", "550 spam message rejected. Please visit http://help.mail.ru/", "mailru-spam"),
        ("yandex", "451 4.7.1 Sorry, the service is currently unavailable. Please come back later.", "yandex-rate"),
        ("other:mx.example", "554 5.7.1 Client host [192.0.2.9] blocked using zen.spamhaus.org", "listed"),
        ("gmail", "550 5.1.1 The email account that you tried to reach does not exist", ""),
        ("mailru", "451 4.7.1 Greylisted, try again in 300 seconds", ""),
        ("yahoo", "250 ok dirdel", ""),
    ],
)  # fmt: skip
def test_replies_of_the_field_meet_the_rule_that_is_meant(tmp_path: Path, provider: str, reply: str, rule: str) -> None:
    book = RuleBook(load_reaction_rules(settings(tmp_path)), [row.name for row in load_providers()])
    said = parse_reply(reply, Stage.MAIL)
    found = book.taken_by(said, provider, shipped_classifier().classify(said, provider).bounce_class)
    assert [one.name for one in found] == ([rule] if rule else [])


# --- the owner's -----------------------------------------------------------------------------------------------------
def test_the_owners_rules_come_first_and_replace_by_name(tmp_path: Path) -> None:
    given = GOOD + GOOD.replace('"mine"', '"yahoo-rate"').replace("from you", "from them").replace('you"]', 'them"]')
    rules = load_reaction_rules(settings(tmp_path, given))
    assert [rule.name for rule in rules[:2]] == ["mine", "yahoo-rate"]
    assert [rule.name for rule in rules].count("yahoo-rate") == 1
    assert rules[0].action is ReactionAction.SLOW
    assert (rules[0].seconds, rules[0].longest, rules[0].alert) == (1800, 7200, False)


def test_a_shipped_rule_is_switched_off_by_name(tmp_path: Path) -> None:
    off = '[[rules]]\nname = "yahoo-rate"\noff = true\naction = "alert"\n'
    assert "yahoo-rate" not in [rule.name for rule in load_reaction_rules(settings(tmp_path, off))]


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ([('["yahoo"]', '["yaho"]')], "providers[0]", "'yaho' is no provider of the table"),
        ([('["421"]', '["250"]')], "codes[0]", "'250' is no code of a refusal"),
        ([('["421"]', '["4.7.1"]')], "examples[0]", "code 421 4.7.0 is none of 4.7.1"),
        ([("you'", "me'")], "examples[0]", "the pattern does not match"),
        ([("'too many .{0,20}from you'", "'192\\.0\\.2\\.1'")], "examples[0]", "the pattern does not match"),
        ([("codes = [\"421\"]", "classes = [\"unknown_user\"]")], "examples[0]", "classified as rate_limited"),
        ([('examples = ["421 4.7.0 too many messages from you"]', "")], "examples", "nothing shows that the pattern"),
        ([('"421 4.7.0 too', '"250 4.7.0 too')], "examples[0]", "is no refusal"),
        ([("count = 2", "")], "count", "a rule has one of them"),
        ([("count = 2", "count = 2\nrate = 0.1")], "count", "a rule has one of them"),
        ([("count = 2", "count = 3000001")], "count", "more than 10 minutes can hold"),
        ([("count = 2", "rate = 0.1\nminimum = 9999999")], "minimum", "more than 10 minutes can hold"),
        ([("per_minute = 20", "")], "per_minute", "slow means at most so many"),
        ([('"slow"', '"stop"')], "per_minute", "does nothing with stop"),
        ([('"slow"\nper_minute = 20', '"retune"')], "connections", "the rule retunes nothing"),
        ([('"slow"\nper_minute = 20', '"retune"\nconnections = 5')], "connections", "not below what the provider"),
        ([('"slow"\nper_minute = 20', '"one_connection"\nby = ["source", "stream", "provider"]')], "by", "carries all"),
        ([('"slow"\nper_minute = 20', '"one_connection"\nby = ["source"]')], "by", "about connections to somebody"),
        ([('"slow"\nper_minute = 20', '"alert"\nprobe = 5')], "probe", "does nothing with alert"),
        ([("minutes = 30", "minutes = 30\nmax_minutes = 10")], "max_minutes", "is below minutes"),
        ([("'too many .{0,20}from you'", "'(too +many *)+'")], "pattern", "repeats a repetition"),
        ([("'too many .{0,20}from you'", "'(too many)?'")], "pattern", "matches a reply that says nothing"),
        ([("'too many .{0,20}from you'", "'(too many'")], "pattern", "is no regular expression"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_match_or_act_is_refused(
    tmp_path: Path, changes: list[tuple[str, str]], key: str, said: str
) -> None:
    found = problems(tmp_path, changed(*changes))
    assert any(one.startswith(f"rules[0].{key}: ") and said in one for one in found), found


@pytest.mark.parametrize(
    "line", ["window_minutes = 0", "window_minutes = 1441", "minutes = 0", "rate = 1.5", "by = []"]
)
def test_a_figure_out_of_range_is_refused_with_its_key(tmp_path: Path, line: str) -> None:
    name = line.partition(" ")[0]
    text = "\n".join(row for row in GOOD.splitlines() if not row.startswith(f"{name} =")) + f"\n{line}\n"
    assert any(one.startswith(f"rules[0].{name}: ") for one in problems(tmp_path, text))


def test_a_rule_behind_one_that_takes_all_of_it_is_refused(tmp_path: Path) -> None:
    wide = '[[rules]]\nname = "wide"\nproviders = ["yahoo"]\ncodes = ["421"]\ncount = 1\naction = "alert"\n'
    found = problems(tmp_path, wide + GOOD)
    assert any("can never match: 'wide' takes all of it first" in one for one in found)
    assert any("is taken by the earlier rule 'wide'" in one for one in found)
    assert load_reaction_rules(settings(tmp_path, wide + "go_on = true\n" + GOOD))


def test_a_rule_of_ones_own_may_take_what_shipped_rules_would(tmp_path: Path) -> None:
    mine = '[[rules]]\nname = "mine"\nproviders = ["yahoo"]\ncodes = ["421"]\ncount = 1\naction = "alert"\n'
    assert load_reaction_rules(settings(tmp_path, mine))[0].name == "mine"
    every = '[[rules]]\nname = "every"\ncodes = ["4xx", "5xx"]\ncount = 900\naction = "alert"\n'
    assert load_reaction_rules(settings(tmp_path, every))[0].name == "every"


def test_a_schedule_of_ones_own_may_be_for_all_deferrals(tmp_path: Path) -> None:
    rows = load_retries(settings(tmp_path, "", '[[retries]]\nname = "all"\nminutes = [5]\n'))
    assert rows[0].name == "all"


def test_a_retry_schedule_behind_one_that_takes_all_of_it_is_refused(tmp_path: Path) -> None:
    text = (
        '[[retries]]\nname = "all"\nminutes = [5]\n[[retries]]\nname = "more"\nclasses = ["network"]\nminutes = [0]\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_retries(settings(tmp_path, "", text))
    said = [f"{one.key}: {one.problem}" for one in caught.value.problems]
    assert "retries[1].minutes: holds a wait of 0 or less" in said
    assert any("'all' takes all of its deferrals first" in one for one in said)
    mine = '[[retries]]\nname = "greylisting"\nclasses = ["greylisted"]\nminutes = [3]\n'
    rows = load_retries(settings(tmp_path, "", mine))
    assert [row.minutes for row in rows if row.name == "greylisting"] == [[3]]
