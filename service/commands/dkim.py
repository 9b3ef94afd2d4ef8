"""`penstock dkim new | list | publish | rotate | retire`: signing keys from making to taking out.

The settings stay the source of truth.  A new key is made and announced first, and takes the old one's place only when
DNS answers with its record: `rotate --write` is the only action that edits the settings, and checks that itself.
Exit code 1 when a record is not published as it must be, or a selector is still in use.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from collectors.dns.checks import DkimWanted, Finding, Level, check_dkim
from config.load import load_settings
from config.model import Settings
from core.clock import SystemClock, iso
from core.errors import InvalidInput
from core.lane import DAY
from core.ports import Resolver
from core.reports import Dim
from service.commands.common import add_config, desk
from service.dkimkeys import Key, KeyRing, table_of, with_key, zone_line
from service.resolver import DnsResolver

SAFE_DAYS = 14  # mail waits up to days for delivery, and reports come a day later


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    group = commands.add_parser("dkim", help="make, announce, change and retire signing keys")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    new = _action(actions, "new", "make a key and print its DNS record; nothing signs with it yet", run_new)
    new.add_argument("--selector", required=True, metavar="NAME", help="name of the key in DNS, e.g. s2")
    new.add_argument(
        "--algorithm",
        choices=["rsa-sha256", "ed25519-sha256"],
        default="rsa-sha256",
        help="rsa-sha256 (2048 bits; default) or ed25519-sha256",
    )
    _action(actions, "list", "every key: in use or not, where it lies, since when", run_list)
    publish = _action(actions, "publish", "print records and check that DNS answers with them", run_publish)
    publish.add_argument("--selector", default="", help="only this key (default: all)")
    rotate = _action(actions, "rotate", "prepare the next key of a selector, and say what to do", run_rotate)
    rotate.add_argument("--selector", required=True, help="the selector in use that is to be replaced")
    rotate.add_argument("--write", action="store_true", help="put the new key into the settings, if DNS has its record")
    retire = _action(actions, "retire", "say whether an old selector's record can go", run_retire)
    retire.add_argument("--selector", required=True, metavar="NAME", help="the old one")
    retire.add_argument("--days", type=float, default=SAFE_DAYS, help=f"days without a trace of it ({SAFE_DAYS})")
    retire.add_argument("--delete", action="store_true", help="delete the private key, if it is safe")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, run: object
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text)
    parser.add_argument("--domain", default="", help="sending domain (needed when there are several)")
    parser.add_argument("--keys", type=Path, default=None, metavar="FOLDER", help="default: keys in the data folder")
    add_config(parser)
    parser.set_defaults(run=run)
    return parser


async def run_new(arguments: argparse.Namespace) -> int:
    """Make a key."""
    ring = KeyRing(load_settings(arguments.config), arguments.keys)
    key = ring.prepare(ring.domain(arguments.domain).name, arguments.selector, arguments.algorithm)
    print(_steps(key, arguments.config))
    return 0


async def run_list(arguments: argparse.Namespace) -> int:
    """Print all keys."""
    ring = KeyRing(load_settings(arguments.config), arguments.keys)
    for key in ring.keys(arguments.domain):
        state = "in use    " if key.active else "not in use"
        print(f"{state}  {key.name:<48} {key.algorithm:<15} since {iso(key.path.stat().st_mtime)}  {key.path}")
    return 0


async def run_publish(arguments: argparse.Namespace) -> int:
    """Print records and what DNS says of them."""
    settings = load_settings(arguments.config)
    keys = KeyRing(settings, arguments.keys).keys(arguments.domain)
    if arguments.selector:
        keys = [key for key in keys if key.selector == arguments.selector]
    if not keys:
        raise InvalidInput("--selector", "there is no such key", "See `penstock dkim list`")
    return await publish(keys, _resolver(settings))


async def publish(keys: Sequence[Key], resolver: Resolver) -> int:
    """The same for given keys and any resolver."""
    good = True
    for key in keys:
        findings = await _findings(key, resolver)
        print(zone_line(key))
        for finding in findings:
            what, remedy = finding.words("en")
            print(f"  {'✓' if finding.level is Level.OK else '!'} {what}" + (f"\n    → {remedy}" if remedy else ""))
        good = good and _is_published(findings)
    return 0 if good else 1


async def run_rotate(arguments: argparse.Namespace) -> int:
    """Prepare, or put into use, the next key."""
    settings = load_settings(arguments.config)
    return await rotate(
        KeyRing(settings, arguments.keys), arguments.domain, arguments.selector, arguments.config,
        _resolver(settings), write=arguments.write,
    )  # fmt: skip


async def rotate(ring: KeyRing, domain: str, selector: str, config: Path, resolver: Resolver, *, write: bool) -> int:
    """The same with any resolver."""
    name = ring.domain(domain).name
    old = ring.key(name, selector)
    if not old.active:
        raise InvalidInput("--selector", f"{selector} is not in use", "Name a selector of the settings")
    # an older key that is not in use is one that was rotated out: it never comes back
    made = old.path.stat().st_mtime
    waiting = [
        k for k in ring.keys(name) if not k.active and k.algorithm == old.algorithm and k.path.stat().st_mtime > made
    ]
    new = waiting[-1] if waiting else ring.prepare(name, ring.next_selector(name, selector), old.algorithm)
    findings = await _findings(new, resolver)
    if not _is_published(findings):
        print(_steps(new, config, replaces=old))
        print(f"\nDNS does not answer with it yet: {'; '.join(f.what for f in findings if f.level is not Level.OK)}")
        return 1 if write else 0
    if not write:
        print(f"{new.name} is published. `penstock dkim rotate --selector {selector} --write` puts it into use.")
        return 0
    _put_into_use(config, old, new)
    print(
        f"{config}: {new.selector} signs in the place of {old.selector} after the next start of the service.\n"
        f"Leave the record of {old.name} in DNS; `penstock dkim retire --selector {old.selector}` says when it can go."
    )
    return 0


async def run_retire(arguments: argparse.Namespace) -> int:
    """Say whether a selector can go."""
    async with desk(arguments.config) as d:
        ring = KeyRing(d.settings, arguments.keys)
        domain = ring.domain(arguments.domain).name
        traces = await d.stores.dmarc.tally([], where=[(Dim.DKIM_DOMAIN, domain), (Dim.SELECTOR, arguments.selector)])
        seen = max(((trace.last_day + 1) * DAY for trace in traces), default=0.0)  # a report tells the day, no more
        reasons, facts = why_not(ring, domain, arguments.selector, arguments.days, seen, SystemClock().now())
    print("\n".join(facts))
    if reasons:
        print(f"{arguments.selector} is not safe to retire: " + "; ".join(reasons))
        return 1
    print(f'Safe: replace its record by  {arguments.selector}._domainkey.{domain}. IN TXT "v=DKIM1; p="  or remove it.')
    for key in ring.keys(domain):
        if key.selector == arguments.selector:
            if arguments.delete:
                key.path.unlink()
            print(f"{'Deleted' if arguments.delete else 'Then delete (--delete)'}: {key.path}")
    return 0


def why_not(
    ring: KeyRing, domain: str, selector: str, days: float, seen: float, now: float
) -> tuple[list[str], list[str]]:
    """(reasons against retiring, facts).  What was signed is not recorded: file dates and reports stand for it."""
    active = [key for key in ring.keys(domain) if key.active]
    since = now - days * DAY
    successor = min((now - key.path.stat().st_mtime for key in active), default=0.0) / DAY
    facts = [
        "When a selector last signed is not recorded; what is known:",
        f"  the youngest key in use was made {successor:.1f} days ago: at the earliest then it took over",
        f"  stored DMARC reports saw {selector} last on {iso(seen)}"
        if seen
        else f"  no stored DMARC report saw {selector}",
    ]
    reasons = []
    if any(key.selector == selector for key in active):
        reasons.append("the settings sign with it")
    if not active:
        reasons.append("no other key signs for the domain")
    if successor < days:
        reasons.append(f"its successor is younger than {days:g} days")
    if seen > since:
        reasons.append(f"it was seen within {days:g} days")
    return reasons, facts


# --- parts ---------------------------------------------------------------------------------------
def _steps(key: Key, config: Path, *, replaces: Key | None = None) -> str:
    table = table_of(key, config.resolve().parent)
    use = (
        f"3. Put it into use:   penstock dkim rotate --domain {key.domain} --selector {replaces.selector} --write"
        if replaces is not None
        else f"3. Put it into use, below its domain in {config}, and restart:\n\n{table}"
    )
    return (
        f"{key.path} holds the private key: keep it secret.\n\n1. Publish this record:\n\n{zone_line(key)}\n\n"
        f"2. Check it:          penstock dkim publish --domain {key.domain} --selector {key.selector}\n{use}"
    )


def _put_into_use(config: Path, old: Key, new: Key) -> None:
    """Edit the settings, and only then if they still load and say what was meant."""
    text = config.read_text(encoding="utf-8")
    edited = with_key(text, old.domain, old.selector, new, config.resolve().parent)
    draft = config.with_name(config.name + ".new")
    draft.write_text(edited, encoding="utf-8")
    try:
        os.chmod(draft, config.stat().st_mode)
        if not any(
            key.selector == new.selector and key.active for key in KeyRing(load_settings(draft)).keys(old.domain)
        ):
            raise InvalidInput("settings", "the edit did not take", "Write it by hand")
        os.replace(draft, config)
    finally:
        draft.unlink(missing_ok=True)


async def _findings(key: Key, resolver: Resolver) -> list[Finding]:
    return await check_dkim(resolver, DkimWanted(domain=key.domain, selector=key.selector, record=key.record))


def _is_published(findings: Sequence[Finding]) -> bool:
    return not any(finding.level is Level.PROBLEM for finding in findings)


def _resolver(settings: Settings) -> Resolver:
    return DnsResolver(settings.dns, SystemClock())
