"""Where mail for a domain goes, and when a domain counts as dead."""

from __future__ import annotations

import random

import pytest

from config.load import load_providers
from core.classify import BounceClass
from core.ports import NullMx, ResolverFailed
from core.state import MxHost
from sender.route import PROOF_COUNT, PROOF_SECONDS, Route, Router, Unroutable
from tests.unit.sender.fakes import PROVIDERS, START, FakeResolver

HOUR = 3600.0


def _mx(*hosts: str) -> list[MxHost]:
    return [MxHost(preference=10 * (n + 1), host=host) for n, host in enumerate(hosts)]


def _router(**answers: list[MxHost] | Exception) -> tuple[Router, FakeResolver]:
    resolver = FakeResolver({name.replace("_", "."): answer for name, answer in answers.items()})
    return Router(resolver, PROVIDERS, random.Random(1)), resolver


async def _route(router: Router, domain: str, now: float = START) -> Route:
    found = await router.route(domain, now)
    assert isinstance(found, Route)
    return found


async def _none(router: Router, domain: str, now: float = START) -> Unroutable:
    found = await router.route(domain, now)
    assert isinstance(found, Unroutable)
    return found


async def test_hosts_come_by_preference_and_the_site_is_the_sorted_set() -> None:
    router, _ = _router(x_test=_mx("zz.x.test", "aa.x.test"))
    route = await _route(router, "x.test")
    assert route.hosts == ("zz.x.test", "aa.x.test")
    assert route.site == "aa.x.test,zz.x.test"
    assert route.provider == "other:aa.x.test,zz.x.test"


async def test_equals_share_the_load() -> None:
    router, _ = _router(x_test=[MxHost(preference=1, host=f"mx{n}.x.test") for n in range(3)])
    first = {(await _route(router, "x.test")).hosts[0] for _ in range(40)}
    assert first == {"mx0.x.test", "mx1.x.test", "mx2.x.test"}


@pytest.mark.parametrize(
    ("hosts", "provider"),
    [
        (("mx1.google.test", "mx2.google.test"), "gmail"),
        (("google.test",), "gmail"),
        (("mx.google.test", "mx.yahoo.test"), None),
        (("mx.google.test", "backup.x.test"), None),
        (("notgoogle.test",), None),
        (("google.test.evil.test",), None),
    ],
)
async def test_a_provider_is_recognised_only_when_every_host_is_its_own(
    hosts: tuple[str, ...], provider: str | None
) -> None:
    router, _ = _router(x_test=_mx(*hosts))
    route = await _route(router, "x.test")
    assert route.provider == (provider or f"other:{','.join(sorted(hosts))}")


async def test_the_shipped_table_knows_the_great_providers() -> None:
    router = Router(FakeResolver(), load_providers())
    for hosts, provider in (
        (["gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"], "gmail"),
        (["hotmail-com.olc.protection.outlook.com"], "outlook"),
        (["contoso-com.mail.protection.outlook.com"], "office365"),
        (["mxs.mail.ru"], "mailru"),
        (["mx.yandex.ru"], "yandex"),
    ):
        assert router.provider_of(hosts) == provider


async def test_names_are_compared_without_case_and_final_dot() -> None:
    router, _ = _router(x_test=_mx("MX.Google.Test."))
    assert (await _route(router, "x.test")).site == "mx.google.test"


async def test_a_null_mx_is_final_at_once() -> None:
    router, _ = _router(x_test=NullMx("x.test"))
    found = await _none(router, "x.test")
    assert (found.permanent, found.bounce_class) == (True, BounceClass.NO_MAIL_HOST)
    assert found.reply.is_permanent


async def test_a_missing_name_is_believed_only_after_repeated_proof_over_days() -> None:
    router, _ = _router()
    assert not (await _none(router, "gone.test")).permanent
    for _ in range(PROOF_COUNT * 5):
        assert not (await _none(router, "gone.test", START + HOUR)).permanent, "many looks in an hour prove little"
    found = await _none(router, "gone.test", START + PROOF_SECONDS + 1)
    assert (found.permanent, found.bounce_class) == (True, BounceClass.UNKNOWN_DOMAIN)


async def test_one_success_between_makes_the_proof_start_anew() -> None:
    router, resolver = _router()
    for n in range(10):
        await _none(router, "x.test", START + n * HOUR)
    resolver.answers["x.test"] = _mx("mx.x.test")
    await _route(router, "x.test", START + 20 * HOUR)
    del resolver.answers["x.test"]
    assert not (await _none(router, "x.test", START + PROOF_SECONDS + 30 * HOUR)).permanent


@pytest.mark.parametrize("trouble", [ResolverFailed("SERVFAIL"), []])
async def test_dns_that_gives_no_answer_is_asked_again_later_and_later(trouble: ResolverFailed | list[MxHost]) -> None:
    router, _ = _router(x_test=trouble)
    waits = []
    for n in range(12):
        found = await _none(router, "x.test", START + n * 10 * HOUR)
        assert (found.permanent, found.bounce_class) == (False, BounceClass.DNS_FAILURE)
        waits.append(found.retry_after)
    assert waits == sorted(waits)
    assert waits[0] >= 60
    assert waits[-1] <= 6 * HOUR


async def test_a_finding_is_used_again_for_a_minute_only() -> None:
    router, resolver = _router(x_test=_mx("mx.x.test"))
    for n in range(50):
        await _route(router, "x.test", START + n)
    assert resolver.asked["x.test"] == 1
    await _route(router, "x.test", START + 61)
    assert resolver.asked["x.test"] == 2


async def test_a_domain_with_a_hundred_hosts_is_cut_to_those_preferred_most() -> None:
    router, _ = _router(x_test=_mx(*[f"mx{n}.x.test" for n in range(100)]))
    assert (await _route(router, "x.test")).hosts == tuple(f"mx{n}.x.test" for n in range(16))
