"""Checks that need more than one key: names that must differ, references that must be known, doors that must lock.

Pure apart from `missing_files`.  Each check returns problems and raises nothing; `config.load` gathers them.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from config.checks_egress import check_limits, check_pools
from config.checks_seeds import check_seeds, missing_variables
from config.model import Part, Settings
from config.parts import is_loopback as is_loopback
from config.plans import plan_file
from config.problems import Problem
from config.provider_limits import check_provider_limits
from config.rules import SLOW_SIGNALS
from config.tables import Plan, Rule
from core.address import normal_domain, parse_address
from core.errors import InvalidInput
from core.events import Event


def check_settings(settings: Settings, file: str, providers: frozenset[str]) -> list[Problem]:
    """Everything that is inconsistent in one settings file; `providers` are the names of the provider table."""
    found = [
        *_names(settings),
        *_hosts(settings),
        *_listeners(settings),
        *_addresses(settings),
        *_references(settings),
        *check_seeds(settings, providers),
        *_relays(settings),
        *_tls_reports(settings),
        *check_pools(settings),
        *check_limits(settings, providers),
        *check_provider_limits(settings, providers),
        *_recipients(settings),
        *_urls(settings),
        *_storage(settings),
        *_feeds(settings),
        *_webhooks(settings),
    ]
    return [Problem(file=file, key=key, problem=problem, remedy=remedy) for key, problem, remedy in found]


_Found = Iterator[tuple[str, str, str]]


def _unique(key: str, values: Iterable[str]) -> _Found:
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            yield key.format(index), f"'{value}' is the name of another one already", "Names must differ"


def _names(settings: Settings) -> _Found:
    yield from _unique("sources[{}].name", (s.name for s in settings.sources))
    yield from _unique("streams[{}].name", (s.name for s in settings.streams))
    yield from _unique("sending_domains[{}].name", (d.name.lower() for d in settings.sending_domains))
    for index, domain in enumerate(settings.sending_domains):
        key = f"sending_domains[{index}].dkim[{{}}].selector"
        yield from _unique(key, (k.selector for k in domain.dkim))
        for number, second in enumerate(domain.second_signatures):
            if second.domain.lower().rstrip(".") == domain.name.lower().rstrip("."):
                key = f"sending_domains[{index}].second_signatures[{number}].domain"
                yield key, "is the sending domain itself", "Write the key under [[sending_domains.dkim]]"
    yield from _unique("http.tokens[{}].name", (t.name for t in settings.http.tokens))
    yield from _unique("submission.users[{}].name", (u.name for u in settings.submission.users))
    notifiers = [w.name for w in settings.alerts.webhooks]
    yield from _unique("alerts.webhooks[{}].name", notifiers)
    yield from _unique("alerts.mails[{}].name", (m.name for m in settings.alerts.mails))
    for index, mail in enumerate(settings.alerts.mails):
        if mail.name in notifiers:
            yield f"alerts.mails[{index}].name", f"'{mail.name}' names a webhook already", "Names must differ"
    if not settings.streams:
        yield "streams", "the list is empty", "Leave it out for the three usual streams, or write one [[streams]]"


def _hosts(settings: Settings) -> _Found:
    for index, domain in enumerate(settings.sending_domains):
        yield from _tried(f"sending_domains[{index}].name", normal_domain, domain.name)
        yield from _tried(f"sending_domains[{index}].return_path", normal_domain, domain.return_path)
    for index, source in enumerate(settings.sources):
        yield from _tried(f"sources[{index}].ehlo", normal_domain, source.ehlo)
        if source.bind and not _is_ip(source.bind):
            yield f"sources[{index}].bind", "is no IP address", "Write an address of this machine, or leave it empty"
    for index, server in enumerate(settings.dns.nameservers):
        if not _is_ip(server):
            yield f"dns.nameservers[{index}]", "is no IP address", "Write a resolver's address; dns.port holds its port"


def _listeners(settings: Settings) -> _Found:
    doors = {"http": (settings.http.host, settings.http.port)}
    if settings.submission.enabled:
        doors["submission"] = (settings.submission.host, settings.submission.port)
        if settings.submission.tls_port is not None:
            doors["submission.tls"] = (settings.submission.host, settings.submission.tls_port)
    if settings.inbound.enabled:
        doors["inbound"] = (settings.inbound.host, settings.inbound.port)
    taken: dict[int, str] = {}
    for name, (host, port) in doors.items():
        other = taken.setdefault(port, name)
        if other != name and (doors[other][0] == host or _is_any(host) or _is_any(doors[other][0])):
            key = f"{name}_port" if name.endswith(".tls") else f"{name}.port"
            yield key, f"{other} listens on port {port} already", "Choose another port"
    if not is_loopback(settings.http.host) and not settings.http.tokens:
        yield "http.tokens", "the API can be reached from outside but nobody holds a token", "Add [[http.tokens]]"
    door = settings.submission
    for name, pair in (("submission", door), ("inbound", settings.inbound)):
        if (pair.tls_cert is None) != (pair.tls_key is None):
            yield f"{name}.tls_cert", "tls_cert and tls_key belong together", "Give both, or neither"
    if door.tls_port is not None and door.tls_cert is None:
        yield "submission.tls_port", "TLS needs a certificate", "Give tls_cert and tls_key"
    if door.enabled and not door.require_tls and not is_loopback(door.host):
        yield (
            "submission.require_tls",
            "passwords would cross the network in the clear",
            "Set it to true, or listen on 127.0.0.1 only",
        )
    if door.enabled and door.require_tls and door.users and door.tls_cert is None:
        yield "submission.tls_cert", "require_tls without a certificate lets nobody log in", "Give tls_cert and tls_key"


def _addresses(settings: Settings) -> _Found:
    ours = [d.name.lower().rstrip(".") for d in settings.sending_domains]
    for name in ("dmarc_address", "feedback_address"):
        if value := getattr(settings.inbound, name):
            yield from _tried(f"inbound.{name}", parse_address, value)
    for index, value in enumerate(settings.inbound.reply_addresses):
        yield from _tried(f"inbound.reply_addresses[{index}]", parse_address, value)
    for index, mail in enumerate(settings.alerts.mails):
        key = f"alerts.mails[{index}]"
        for position, to in enumerate(mail.to):
            yield from _tried(f"{key}.to[{position}]", parse_address, to)
        domain = mail.sender.rpartition("@")[2].lower()
        if not any(domain == name or domain.endswith("." + name) for name in ours):
            yield f"{key}.sender", "lies in none of the sending domains", f"Use an address at {' or '.join(ours[:3])}"
        else:
            yield from _tried(f"{key}.sender", parse_address, mail.sender)
    if settings.alerts.mails and not settings.transactional:
        yield "alerts.mails", "alert mail goes by a transactional stream and there is none", "Add one to [[streams]]"


def _references(settings: Settings) -> _Found:
    ours = {d.name.lower() for d in settings.sending_domains}
    for index, user in enumerate(settings.submission.users):
        if user.sending_domain is not None and user.sending_domain.lower() not in ours:
            key = f"submission.users[{index}].sending_domain"
            yield key, "is none of the sending domains", f"Use one of: {', '.join(sorted(ours))}"


def _tls_reports(settings: Settings) -> _Found:
    given = settings.tls_reports
    if given.sending_domain is not None and settings.domain(given.sending_domain) is None:
        yield "tls_reports.sending_domain", "is no sending domain", "Name one of [[sending_domains]]"
    if given.stream and settings.stream(given.stream) is None:
        yield "tls_reports.stream", "is no stream", "Name one of [[streams]], or leave it out"
    if given.contact and "@" in given.contact:
        yield from _tried("tls_reports.contact", parse_address, given.contact)


def _relays(settings: Settings) -> _Found:
    yield from _unique("relays[{}].name", (r.name for r in settings.relays))
    streams = {s.name for s in settings.streams}
    for index, relay in enumerate(settings.relays):
        key = f"relays[{index}]"
        for position, pattern in enumerate(relay.domains):
            yield from _tried(f"{key}.domains[{position}]", normal_domain, pattern.removeprefix("*."))
        for position, stream in enumerate(relay.streams):
            if stream not in streams:
                known = f"Use one of: {', '.join(sorted(streams))}"
                yield f"{key}.streams[{position}]", f"'{stream}' is not configured, so it never matches", known
        if not _is_ip(relay.host):
            yield from _tried(f"{key}.host", normal_domain, relay.host)
        if bool(relay.user) != (relay.password_file is not None):
            yield f"{key}.password_file", "user and password_file belong together", "Give both, or neither"
        if relay.user and relay.security == "none" and not is_loopback(relay.host):
            yield f"{key}.security", "the password would cross the network in the clear", "Use starttls or tls"
        if index and any(not earlier.domains and not earlier.streams for earlier in settings.relays[:index]):
            yield key, "an earlier relay takes all mail, so this one never matches", "Put it before that one"
    if settings.dns.trusted and not settings.dns.nameservers:
        yield "dns.trusted", "no name server is named", "List the validating resolver in dns.nameservers"


def _recipients(settings: Settings) -> _Found:
    yield from _unique("topics[{}].name", (f"{t.stream}/{t.name}" for t in settings.topics))
    optional = [s.name for s in settings.streams if s.unsubscribe]
    for index, topic in enumerate(settings.topics):
        if topic.stream not in optional:
            known = f"Use one of: {', '.join(optional)}" if optional else "Set unsubscribe = true on a stream"
            yield f"topics[{index}].stream", f"'{topic.stream}' is no stream that one can unsubscribe from", known
    if settings.optins.stream and settings.stream(settings.optins.stream) is None:
        known = f"Use one of: {', '.join(s.name for s in settings.streams)}"
        yield "optins.stream", f"'{settings.optins.stream}' is not configured", known
    if sender := settings.optins.sender:
        # `Name <address>` or the bare address; the exact form is read when a mail is made
        bare = sender.rstrip().removesuffix(">").rpartition("<")[2] if sender.rstrip().endswith(">") else sender
        yield from _tried("optins.sender", parse_address, bare)
    for index, stream in enumerate(settings.streams):
        if stream.track_text and not stream.track_clicks:
            yield f"streams[{index}].track_text", "does nothing without track_clicks", "Set track_clicks = true"
    for index, proxy in enumerate(settings.http.trusted_proxies):
        if not _is_ip(proxy):
            yield f"http.trusted_proxies[{index}]", "is no IP address", "Write the address that the proxy comes from"


def _urls(settings: Settings) -> _Found:
    named = [("http.public_url", settings.http.public_url)]
    named += [(f"alerts.alertmanagers[{i}]", url) for i, url in enumerate(settings.alerts.alertmanagers)]
    named += [(f"alerts.webhooks[{i}].url", hook.url) for i, hook in enumerate(settings.alerts.webhooks)]
    if settings.metrics.influx_url:
        named.append(("metrics.influx_url", settings.metrics.influx_url))
    for key, url in named:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            yield key, "is no http(s) address", "Write it as https://host or http://host:port"
    if settings.http.public_url.endswith("/"):
        yield "http.public_url", "ends with a slash", "Remove the slash"


def _storage(settings: Settings) -> _Found:
    url = settings.storage.url
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        yield "storage.url", "names no engine that is known", "Use sqlite:///PATH or postgresql+psycopg://USER@HOST/DB"
    elif url.startswith("postgresql") and ":" in url.removeprefix("postgresql+psycopg://").rpartition("@")[0]:
        yield "storage.url", "holds a password", "Put it into ~/.pgpass (or the file that PGPASSFILE names)"
    # a mail's links and return path are proven by its story; webhooks may be behind by 90 days
    if 0 < settings.storage.keep_days < (least := max(90, settings.tokens.max_age_days)):
        remedy = f"Give at least {least} (or lower tokens.max_age_days), or 0 to keep it for good"
        yield "storage.keep_days", "forgets mail whose unsubscribe links are still good", remedy


def _feeds(settings: Settings) -> _Found:
    yield from _unique("feeds[{}].name", (f.name for f in settings.feeds))
    yield from _unique("blocklists.keys[{}].name", (k.name for k in settings.blocklists.keys))
    for index, feed in enumerate(settings.feeds):
        if feed.kind not in ("snds", "snds_rest") and not feed.subjects:
            yield f"feeds[{index}].subjects", "names no domain to ask about", "List the domains that the account owns"
        for key, url in (("url", feed.url), ("token_url", feed.token_url)):
            host = urlsplit(url).hostname or ""
            if url and not (url.startswith("https://") or (url.startswith("http://") and is_loopback(host))):
                yield f"feeds[{index}].{key}", "would carry a secret in the clear", "Use https"


def check_plans(plans: Sequence[tuple[str, Plan]], settings: Settings, providers: frozenset[str]) -> list[Problem]:
    """Plans that contradict themselves or can never match a lane; `plans` are (file, plan)."""
    found: list[Problem] = []
    sources = {s.name for s in settings.sources}
    domains = {d.name for d in settings.sending_domains}
    names: set[str] = set()
    for file, plan in plans:
        rows: list[tuple[str, str, str]] = []
        if plan.name in names:
            rows.append(("name", f"another plan is called '{plan.name}'", "Names must differ"))
        names.add(plan.name)
        if plan.hour_from >= plan.hour_to:
            rows.append(("hour_to", "is not later than hour_from: nothing would be sent", "Hours are 0 to 24"))
        for key, given, known in (
            ("sources", plan.sources, sources),
            ("sending_domains", plan.sending_domains, domains),
        ):
            rows += [
                (
                    f"{key}[{i}]",
                    f"'{name}' is not configured, so it never matches",
                    f"Known: {', '.join(sorted(known))}",
                )
                for i, name in enumerate(given)
                if name not in known
            ]
        rows += [
            (f"table[{i}]", "is below 1 or below the step before", "Caps of a plan only rise; steps back are automatic")
            for i, cap in enumerate(plan.table)
            if cap < max(1, *plan.table[:i], 1)
        ]
        rows += [
            (f"providers.{name}", "is not a known provider", f"Known: {', '.join(sorted(providers))}, or other:SITE")
            for name in plan.providers
            if name not in providers and not name.startswith("other:")
        ]
        found += [Problem(file=file, key=key, problem=problem, remedy=remedy) for key, problem, remedy in rows]
    return found


def check_rules(rules: Sequence[Rule], file: str) -> list[Problem]:
    """Rules that contradict themselves or could never act."""
    rows: list[tuple[str, str, str]] = list(_unique("rules[{}].name", (r.name for r in rules)))
    for index, rule in enumerate(rules):
        key = f"rules[{index}]"
        if len(set(rule.by)) != len(rule.by):
            rows.append((f"{key}.by", "names a dimension twice", "Name each once"))
        if rule.signal in SLOW_SIGNALS and rule.action != "alert":
            rows.append((f"{key}.action", f"a rule of {rule.signal} can only alert", 'Write action = "alert"'))
        if rule.signal in ("sleeping_share", "over_frequency") and rule.by != ["stream"]:
            rows.append((f"{key}.by", "the base is known by stream", 'Write by = ["stream"]'))
        if rule.signal == "open_rate_drop" and sorted(rule.by) != ["provider", "stream"]:
            rows.append((f"{key}.by", "baselines are kept by provider and stream", 'Write by = ["provider", "stream"]'))
        if rule.signal in SLOW_SIGNALS and rule.evidence == "window":
            rows.append(
                (f"{key}.evidence", f"{rule.signal} is judged by the day, in no window of hours", "Leave it out")
            )
        if rule.hard_limit <= rule.threshold:
            rows.append((f"{key}.hard_limit", "is not above the threshold", "It is the rate that only a person undoes"))
        if rule.max_pause_hours < rule.pause_hours:
            rows.append((f"{key}.max_pause_hours", "is below pause_hours", "Raise it, or shorten the pause"))
    if not rules:
        rows.append(("rules", "there is no rule: nothing would ever be paused", "Add one [[rules]] table"))
    return [Problem(file=file, key=key, problem=problem, remedy=remedy) for key, problem, remedy in rows]


_FOLDERS = frozenset({"templates", "reports.folder"})


def missing_files(settings: Settings, file: str) -> list[Problem]:
    """Files and folders that the settings name and that cannot be read: keys, tokens, certificates, plans."""
    made_at_start = {"data_dir", "tokens.key_file"}
    named = [
        (key, path)
        for key, path in _paths(settings, "")
        if key not in made_at_start and not (key.startswith("warmup.plans") and plan_file(path) != path)
    ]
    unread = [
        (key, path)
        for key, path in named
        if not ((path.is_dir() if key in _FOLDERS else path.is_file()) and os.access(path, os.R_OK))
    ]
    empty = [
        (key, path)
        for key, path in named
        if key.endswith("_file") and (key, path) not in unread and not path.stat().st_size
    ]
    found = [
        *((key, f"{path} cannot be read", "Make the file, or mend the path") for key, path in unread),
        *((key, f"{path} is empty", "Write into it what it is to hold") for key, path in empty),
        *missing_variables(settings),
    ]
    return [Problem(file=file, key=key, problem=problem, remedy=remedy) for key, problem, remedy in found]


def _paths(value: object, key: str) -> Iterator[tuple[str, Path]]:
    match value:
        case Path():
            yield key, value
        case Part():
            for name in type(value).model_fields:
                yield from _paths(getattr(value, name), f"{key}.{name}" if key else name)
        case list():
            for index, item in enumerate(value):
                yield from _paths(item, f"{key}[{index}]")


def _webhooks(settings: Settings) -> _Found:
    kinds = sorted(kind.__name__ for kind in get_args(Event))
    yield from _unique("webhooks[{}].name", (hook.name for hook in settings.webhooks))
    for index, hook in enumerate(settings.webhooks):
        parts = urlsplit(hook.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield f"webhooks[{index}].url", "is no HTTP address", "Write https://crm.example.com/penstock"
        for kind in hook.events:
            if kind not in kinds:
                yield f"webhooks[{index}].events", f"'{kind}' is no kind of event", f"Known: {', '.join(kinds)}"


def _tried(key: str, parse: Callable[[str], object], value: str) -> _Found:
    try:
        parse(value)
    except InvalidInput as error:
        yield key, error.problem, error.remedy


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_any(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")  # noqa: S104  compared, never bound
