"""Cleaning a list: each fault is told by its own name, and a resolver that fails says nothing against an address."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.audience import load_audience_lists
from core.ports import NameMissing, NullMx, ResolverFailed
from core.state import MxHost
from sender.audience.checker import AudienceChecker
from sender.audience.domains import GIVE_UP, MAX_TRIES, Domains, within
from sender.audience.seen import Seen
from sender.audience.typos import Typos
from sender.audience.verdict import WORDS, Reason, Tally

LISTS = load_audience_lists()


class Zone:
    """A resolver over a table: a list of hosts, or the exception to raise.  What is not listed does not exist."""

    def __init__(self, zone: dict[str, list[str] | type[Exception]] | None = None) -> None:
        self.zone = zone or {}
        self.asked: Counter[str] = Counter()
        self.open = self.most = 0

    async def mx(self, domain: str) -> list[MxHost]:
        self.asked[domain] += 1
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        answer = self.zone.get(domain, NameMissing)
        if isinstance(answer, type):
            raise answer(domain)
        return [MxHost(preference=10, host=host) for host in answer]

    async def addresses(self, host: str) -> list[str]:
        raise NotImplementedError

    async def txt(self, name: str) -> list[str]:
        raise NotImplementedError

    async def ptr(self, ip: str) -> list[str]:
        raise NotImplementedError


async def _reasons(*texts: str) -> list[Reason]:
    return [verdict.reason for verdict in await AudienceChecker(LISTS).check(texts)]


# --- form and lists --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ann@x.test", Reason.VALID),
        (" Ann@X.Test. ", Reason.VALID),
        ("анна@пример.рф", Reason.VALID),
        ("", Reason.EMPTY),
        (" \t", Reason.EMPTY),
        ("ann", Reason.SYNTAX),
        ("ann@", Reason.SYNTAX),
        ("@x.test", Reason.SYNTAX),
        ("a b@x.test", Reason.SYNTAX),
        ("a..b@x.test", Reason.SYNTAX),
        ("Ann <ann@x.test>", Reason.SYNTAX),
        ("ann@localhost", Reason.SYNTAX),
        ("ann@192.0.2.1", Reason.SYNTAX),
        ("ann@[192.0.2.1]", Reason.SYNTAX),
        ("ann@_dmarc.x.test", Reason.SYNTAX),
        ("a" * 65 + "@x.test", Reason.SYNTAX),
        ("ann@" + "ü" * 70 + ".test", Reason.IDN),
        ("ann@xn--zzzzz-.test", Reason.IDN),
        ("info@x.test", Reason.ROLE),
        ("No-Reply+x@x.test", Reason.ROLE),
        ("informer@x.test", Reason.VALID),
        ("ann@mailinator.com", Reason.DISPOSABLE),
        ("ann@eu.Mailinator.com", Reason.DISPOSABLE),
        ("ann@notyopmail.com", Reason.VALID),
        ("ann@gmial.com", Reason.TYPO),
        ("info@gmial.com", Reason.TYPO),
    ],
)
async def test_the_form_of_an_address(text: str, reason: Reason) -> None:
    assert await _reasons(text) == [reason]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("gmial.com", "gmail.com"), ("gmai.com", "gmail.com"), ("gnail.com", "gmail.com"), ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"), ("ggmail.com", "gmail.com"), ("hotmial.com", "hotmail.com"),
        ("yahooo.com", "yahoo.com"), ("yandx.ru", "yandex.ru"), ("mial.ru", "mail.ru"), ("outlok.com", "outlook.com"),
    ],
)  # fmt: skip
def test_misspelt_providers_are_told_with_what_was_meant(wrong: str, meant: str) -> None:
    assert Typos(LISTS).meant(wrong) == meant


def test_no_known_domain_is_taken_for_a_misspelling() -> None:
    typos = Typos(LISTS)
    assert [domain for domain in LISTS.known | LISTS.disposable if typos.meant(domain)] == []
    for honest in ("mail.com", "email.com", "ymail.com", "example.com", "mail.gmail.com", "shop.ru", "gmx.net"):
        assert typos.meant(honest) == ""


def test_the_kept_lists_are_consistent() -> None:
    assert not LISTS.known & LISTS.disposable
    assert set(LISTS.typed_wrong) <= LISTS.known
    assert min(map(len, LISTS.typed_wrong)) >= 9
    assert not set(LISTS.misspelt) & LISTS.known
    assert {"postmaster", "abuse", "info", "noreply"} <= LISTS.roles


async def test_the_same_person_twice_is_a_duplicate_over_all_batches() -> None:
    checker = AudienceChecker(LISTS)
    first = await checker.check(["Ann@X.test", "bob@x.test"])
    second = await checker.check(["ann@x.TEST.", "ann+1@x.test"])
    assert [v.reason for v in (*first, *second)] == [Reason.VALID, Reason.VALID, Reason.DUPLICATE, Reason.VALID]


# --- DNS -------------------------------------------------------------------------------------------------------------
async def test_dns_tells_which_domains_take_mail() -> None:
    zone = Zone(
        {
            "good.test": ["mx.good.test"], "null.test": NullMx, "none.test": [], "sick.test": ResolverFailed,
            "throw.test": ["mail.mailinator.com"], "half.test": ["mail.mailinator.com", "mx.half.test"],
        }
    )  # fmt: skip
    checker = AudienceChecker(LISTS, Domains(zone, disposable=LISTS.disposable))
    names = ["good", "null", "none", "sick", "throw", "half", "gone"]
    verdicts = await checker.check([f"ann@{name}.test" for name in names])
    assert [v.reason for v in verdicts] == [
        Reason.VALID, Reason.NULL_MX, Reason.NO_MX, Reason.UNKNOWN, Reason.DISPOSABLE, Reason.VALID, Reason.NXDOMAIN,
    ]  # fmt: skip


async def test_each_domain_is_asked_once_and_only_for_addresses_that_are_left() -> None:
    zone = Zone({"a.test": ["mx.a.test"]})
    checker = AudienceChecker(LISTS, Domains(zone))
    await checker.check(["ann@a.test", "bob@a.test", "info@b.test", "x@mailinator.com", "y@gmial.com", "broken"])
    await checker.check(["cid@a.test", "ann@a.test"])
    assert zone.asked == {"a.test": 1}


async def test_a_failing_resolver_is_asked_again_and_never_speaks_against_an_address() -> None:
    zone = Zone({"a.test": ResolverFailed})
    domains = Domains(zone)
    for _ in range(MAX_TRIES + 2):
        assert await domains.look(["a.test"]) == {"a.test": Reason.UNKNOWN}
    assert zone.asked["a.test"] == MAX_TRIES
    zone.zone["b.test"] = ResolverFailed
    await domains.look(["b.test"])
    zone.zone["b.test"] = ["mx.b.test"]
    assert await domains.look(["b.test"]) == {"b.test": Reason.VALID}


async def test_when_dns_is_out_of_reach_it_is_given_up_and_said() -> None:
    names = [f"d{n}.test" for n in range(GIVE_UP * 3)]
    zone = Zone(dict.fromkeys(names, ResolverFailed))
    domains = Domains(zone, concurrency=10)
    answers = await domains.look(names)
    assert set(answers.values()) == {Reason.UNKNOWN}
    assert domains.gave_up
    assert sum(zone.asked.values()) < GIVE_UP + 10


async def test_questions_are_asked_together_within_the_bound_and_answers_are_forgotten_beyond_it() -> None:
    names = [f"d{n}.test" for n in range(100)]
    zone = Zone({name: [f"mx.{name}"] for name in names})
    domains = Domains(zone, concurrency=7, keep=10)
    assert set((await domains.look(names)).values()) == {Reason.VALID}
    assert zone.most == 7
    await domains.look(names[:1])
    assert zone.asked[names[0]] == 2


def test_a_name_lies_within_a_domain_at_a_label_boundary() -> None:
    assert within("a.b.test", frozenset({"b.test"}))
    assert within("b.test", frozenset({"b.test"}))
    assert not within("ab.test", frozenset({"b.test"}))


# --- sums ------------------------------------------------------------------------------------------------------------
@given(st.lists(st.text(max_size=4), max_size=300))
def test_new_and_known_texts_are_told_apart(texts: list[str]) -> None:
    seen, plain = Seen(), set[str]()
    for text in texts:
        assert seen.add(text) == (text not in plain)
        plain.add(text)
    assert len(seen) == len(plain)


def test_the_memory_of_addresses_grows_with_them() -> None:
    seen = Seen()
    assert all(seen.add(str(n)) for n in range(20_000))
    assert not any(seen.add(str(n)) for n in range(20_000))


@given(st.lists(st.text(max_size=30) | st.emails(), max_size=30))
async def test_every_text_gets_one_verdict_and_the_sums_agree(texts: list[str]) -> None:
    tally = Tally()
    checker = AudienceChecker(LISTS, Domains(Zone()))
    for text, verdict in zip(texts, await checker.check(texts), strict=True):
        tally.add(text, verdict)
    assert tally.total == len(texts)
    assert sum(tally.share(reason) for reason in Reason) == pytest.approx(1 if texts else 0)


def test_every_reason_has_words_in_both_languages() -> None:
    assert set(WORDS) == set(Reason)
