"""`penstock init | doctor | config`: from nothing to a checked configuration."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tomllib
from pathlib import Path

from collectors.dns.sheets import Standing
from collectors.dns.sheets import render as render_sheets
from config.load import load_plans, load_providers, load_rulebook, load_settings, read_settings
from config.provider_limits import wider
from config.reactions import load_reaction_rules, load_retries
from config.replies import load_reply_rules
from config.schema import settings_schema
from config.template import starter
from core.address import normal_domain
from core.clock import SystemClock
from core.errors import InvalidInput
from monitor.windows import false_alarms_a_year
from sender.dkim import new_key
from service.commands.common import DEFAULT_CONFIG, add_config, add_language
from service.doctor import examine, examine_dns, exit_code, render
from service.doctor_scope import chosen, examine_others, examine_seen, seen_selectors
from service.probes import NetworkProbes
from service.resolver import DnsResolver
from service.sheets import judged, stored_evidence


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    init = commands.add_parser("init", help="write a commented config, keys and an API token for one's own domain")
    init.add_argument("domain", metavar="DOMAIN", help="your sending domain, e.g. example.com")
    init.add_argument(
        "--out", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="where to (default: penstock.toml)"
    )
    init.set_defaults(run=run_init)

    doctor = commands.add_parser("doctor", help="say what is missing before real sending, with the remedy for each")
    doctor.add_argument("domains", nargs="*", metavar="DOMAIN", help="only these; any domain, also one of others")
    add_language(doctor)
    doctor.add_argument(
        "--sheets", action="store_true", help="what Gmail, Yahoo, Microsoft and Mail.ru ask of senders, row by row"
    )
    add_config(doctor)
    doctor.set_defaults(run=run_doctor)

    config = commands.add_parser("config", help="check the config, or print its JSON Schema")
    config.add_argument("what", choices=["check", "schema"], help="check: every mistake at once; schema: JSON Schema")
    add_config(config)
    config.set_defaults(run=run_config)


async def run_init(arguments: argparse.Namespace) -> int:
    """Write the config and the secrets that it names; never overwrite."""
    out: Path = arguments.out
    records = write_config(normal_domain(arguments.domain), out)
    print(f"wrote {out} and the keys and passwords that it names (keep them secret)\n\nPublish these TXT records:")
    for name, record in records:
        print(f"  {name}  TXT  {record}")
    print(f"\nThen edit {out} (addresses, EHLO name) and run: penstock doctor --config {out}")
    return 0


def write_config(domain: str, out: Path) -> list[tuple[str, str]]:
    """The config, DKIM keys, API tokens and submission passwords.  The DKIM records to publish, by name."""
    if out.exists():
        raise InvalidInput("--out", f"{out} exists", "Name another file with --out, or remove it first")
    text = starter(domain)
    settings = read_settings(tomllib.loads(text), out)
    records = []
    for ours in settings.sending_domains:
        for key in ours.dkim:
            pem, record = new_key(key.algorithm)
            _write_secret(key.key_file, pem)
            records.append((f"{key.selector}._domainkey.{ours.name}", record))
    for path in [t.token_file for t in settings.http.tokens] + [u.password_file for u in settings.submission.users]:
        _write_secret(path, (secrets.token_urlsafe(32) + "\n").encode())
    out.write_text(text, encoding="utf-8")
    return records


def _write_secret(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InvalidInput("secrets", f"{path} exists", "Remove it first: an existing key is never replaced") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


async def run_doctor(arguments: argparse.Namespace) -> int:
    """Examine; exit code 1 when something stands in the way of sending."""
    settings = load_settings(arguments.config)
    clock = SystemClock()
    resolver = DnsResolver(settings.dns, clock)
    if arguments.sheets:
        counters, observations = await stored_evidence(settings, clock.now())
        results = judged(settings, await examine_dns(settings, resolver), counters, observations, clock.now())
        print(render_sheets(results, arguments.lang))
        return int(any(result.count(Standing.FAIL) for result in results))
    narrowed, others = chosen(settings, arguments.domains)
    findings = await examine_others(resolver, others)
    if narrowed.sending_domains:
        findings += await examine(narrowed, resolver, probes=NetworkProbes())
        findings += await examine_seen(resolver, await seen_selectors(arguments.config, resolver), narrowed)
    print(render(findings, arguments.lang))
    return exit_code(findings)


async def run_config(arguments: argparse.Namespace) -> int:
    """Check everything that is read at start, or print the schema."""
    if arguments.what == "schema":
        print(json.dumps(settings_schema(), indent=1))
        return 0
    settings = load_settings(arguments.config, check=True)
    plans, book = load_plans(settings), load_rulebook(settings)
    classes, providers = load_reply_rules(), load_providers()
    replies, retries = load_reaction_rules(settings), load_retries(settings)
    print(
        f"{arguments.config}: good; {len(plans)} plans, {len(book.rules)} rules, {len(replies)} reply rules, "
        f"{len(retries)} retry schedules, {len(classes)} reply classes, {len(providers)} providers"
    )
    print(
        f"false alarms, all rules together: one action in {book.budget.action_days:g} days, one alert in "
        f"{book.budget.alert_days:g} days in the mean; a healthy campaign: {book.budget.campaign_chance:.1%}"
    )
    for line in wider(settings, providers):
        print(f"warning: {line}")
    for rule in book.rules:
        if rule.evidence == "window":
            print(
                f"rule {rule.name} is a fixed window, without a promise: a healthy scope of {rule.minimum_total:,} "
                f"messages a window meets {false_alarms_a_year(rule):,.2g} false alarms a year or more"
            )
    return 0
