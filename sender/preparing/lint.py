"""Lint of a template: what costs a message its place in the inbox, its readers, or its sender a lawsuit.

Contract: `lint` renders the template for sample values as it would be sent and gives findings, worst first.  It never
raises for what is wrong in the template: that is a finding.  `marketing` asks for a link to unsubscribe and a postal
address.  Without sample values each variable stands for itself.  Linear; bounded as templates are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from core.errors import InvalidInput
from sender.preparing import lint_rules as rule
from sender.preparing.finding import Finding, Level, found
from sender.preparing.page import Link, Page, look
from sender.template import BUILT_IN, PARTS, MailTemplate

CLIPPED_AT = 102 * 1024  # bytes of html at which Gmail cuts ("Message clipped")
NEARLY = 0.9
SUBJECT_CHARACTERS = 60
SMALL_PIXELS = 9.0
FEW_CHARACTERS = 100  # of text beside images
SAMPLE_URL = "https://unsubscribe.invalid/u/sample"
_LEAVE = re.compile(r"unsub|opt-?out|otpis|отпис", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{4,}")
_MARKS = re.compile(r"[!?]{2,}")
_ADDRESS = re.compile(r"^(?P<sure>https?://|www\.)?(?P<host>[\w-]+(?:\.[\w-]+)+)(?::\d+)?(?:[/?#]\S*)?$", re.IGNORECASE)
_TOPS = frozenset(
    ("com", "net", "org", "info", "biz", "io", "co", "eu", "de", "fr", "uk", "us", "ru", "su", "by", "kz", "ua", "pl",
     "it", "es", "nl", "ch", "at", "se", "shop", "store", "online", "app", "dev", "рф", "xn--p1ai")
)  # fmt: skip
# A number of five or six digits, or a British code, near a word that addresses have.
_POSTCODE = re.compile(r"\b\d{5,6}\b|\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b")
_STREET = re.compile(
    r"\b(?:street|st\.|road|rd\.?|avenue|ave\.?|lane|square|boulevard|blvd|suite|floor|p\.?\s?o\.? box"
    r"|stra(?:ß|ss)e|platz|rue|via|calle|ул\.|улица|пр-т|просп|проспект|пер\.|переулок|шоссе|наб\.|набережная|площадь|бульвар|д\.|дом|офис)",
    re.IGNORECASE,
)
_ORDER = (Level.PROBLEM, Level.WARNING, Level.NOTE)


def lint(
    parts: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
    *,
    marketing: bool = True,
    legal_address: str = "",
) -> list[Finding]:
    """See the module.  With `variables` those that are missing are found; `legal_address` must then stand in it."""
    findings = list(_examine(parts, variables, marketing, legal_address))
    return sorted(findings, key=lambda finding: _ORDER.index(finding.level))


def samples(variables: Mapping[str, str]) -> dict[str, str]:
    """Values for a rendering, with those that the sender fills in."""
    built_in = {name: SAMPLE_URL if name.endswith("_url") else "ann@example.com" for name in BUILT_IN}
    return {**built_in, **variables}


def _examine(
    parts: Mapping[str, str], variables: Mapping[str, str] | None, marketing: bool, legal_address: str
) -> Iterator[Finding]:
    if not parts.get("subject"):
        yield found(rule.SUBJECT_MISSING)
    if not parts.get("preheader") and marketing:
        yield found(rule.PREHEADER_MISSING)
    if not (parts.get("text") or parts.get("html")):
        yield found(rule.BODY_MISSING)
        return
    try:
        template = MailTemplate({name: text for name, text in parts.items() if name in PARTS})
    except InvalidInput as error:
        yield found(rule.BROKEN, field=error.field, problem=error.problem, remedy=error.remedy)
        return
    given = dict(variables) if variables is not None else {name: name for name in template.names}
    missing = _missing(template, given)
    for name in missing:
        yield found(rule.VARIABLE_MISSING, name=name)
    for name in sorted(given.keys() - template.names):
        yield found(rule.VARIABLE_UNUSED, name=name)
    try:
        rendered = template.render(samples({**dict.fromkeys(missing, "sample"), **given}))
    except InvalidInput as error:
        yield found(rule.BROKEN, field=error.field, problem=error.problem, remedy=error.remedy)
        return
    page = look(rendered.html)
    yield from _subject(rendered.subject)
    if rendered.html:
        yield from _html(rendered.html, page, marketing)
        if not parts.get("text"):
            yield found(rule.TEXT_MISSING)
    body = rendered.text.partition("\n\n")[2] if parts.get("preheader") else rendered.text
    if not body.strip():
        yield found(rule.TEXT_EMPTY)
    words = page.text if rendered.html else rendered.text
    yield from _words(words)
    if marketing:
        yield from _unsubscribing(rendered.html, body, page)
        yield from _legal(words, legal_address)


def _missing(template: MailTemplate, given: Mapping[str, str]) -> list[str]:
    """Variables without which it cannot be rendered: one with a default, or behind `is defined`, is not needed."""
    values = samples(given)
    missing: list[str] = []
    while len(missing) < 50:
        try:
            template.check(values)
        except InvalidInput as error:
            name = error.field.removeprefix("variables.")
            if name == error.field or name in values:
                break  # another fault: rendering names it
            missing.append(name)
            values[name] = "sample"
            continue
        break
    return missing


def _subject(subject: str) -> Iterator[Finding]:
    if len(subject) > SUBJECT_CHARACTERS:
        yield found(rule.SUBJECT_LONG, count=len(subject), limit=SUBJECT_CHARACTERS)
    letters = [c for c in subject if c.isalpha()]
    if len(letters) >= 8 and sum(c.isupper() for c in letters) > len(letters) / 2:
        yield found(rule.SUBJECT_CAPITALS)
    if _MARKS.search(subject):
        yield found(rule.SUBJECT_MARKS)


def _html(html: str, page: Page, marketing: bool) -> Iterator[Finding]:
    size = len(html.encode())
    if size > CLIPPED_AT:
        yield found(rule.TOO_LARGE, size=size, limit=CLIPPED_AT)
    elif size > CLIPPED_AT * NEARLY:
        yield found(rule.NEARLY_TOO_LARGE, size=size, limit=CLIPPED_AT)
    if page.without_alt:
        yield found(rule.ALT_MISSING, count=len(page.without_alt), names=", ".join(page.without_alt[:5]))
    if page.images and len(page.text) < (FEW_CHARACTERS if marketing else FEW_CHARACTERS // 10):
        yield found(rule.IMAGE_ONLY, count=len(page.text))
    if page.active:
        yield found(rule.ACTIVE_CONTENT, names=", ".join(sorted(page.active)))
    insecure = [link.href for link in page.links if link.href.lower().startswith("http://")]
    if insecure:
        yield found(rule.LINK_INSECURE, names=", ".join(dict.fromkeys(insecure[:5])))
    empty = sum(link.href in ("", "#") for link in page.links)
    if empty:
        yield found(rule.LINK_EMPTY, count=empty)
    seen: set[tuple[str, str]] = set()
    for link in page.links:
        shown, host = deceptive(link)
        if shown and (shown, host) not in seen and len(seen) < 20:
            seen.add((shown, host))
            yield found(rule.LINK_DECEPTIVE, words=link.words[:80], host=host)


def deceptive(link: Link) -> tuple[str, str]:
    """(the domain that the link's words show, the host that it leads to) when they differ, else ('', '')."""
    words = _ADDRESS.match(link.words.strip())
    if words is None or not link.href.lower().startswith(("http://", "https://")):
        return "", ""
    shown = words["host"].lower()
    if not words["sure"] and shown.rpartition(".")[2] not in _TOPS:
        return "", ""  # `report.pdf` and `Node.js` are no addresses
    try:
        host = (urlsplit(link.href).hostname or "").rstrip(".")
        shown, host = _ascii(shown), _ascii(host)
    except (ValueError, UnicodeError):
        return "", ""
    return ("", "") if _own(shown) == _own(host) else (shown, host)


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _own(host: str) -> str:
    """The part of a name that one owner has: two labels, three below such as co.uk.  Good enough for a warning."""
    labels = host.removeprefix("www.").split(".")
    return ".".join(labels[-3:] if len(labels) > 2 and len(labels[-2]) <= 3 and len(labels[-1]) == 2 else labels[-2:])


def _words(text: str) -> Iterator[Finding]:
    words = _WORD.findall(text)
    loud = [word for word in words if word.isupper()]
    if len(loud) >= 5 and len(loud) > len(words) / 5:
        yield found(rule.CAPITALS, count=len(loud), names=", ".join(list(dict.fromkeys(loud))[:8]))


def _unsubscribing(html: str, text: str, page: Page) -> Iterator[Finding]:
    if html:
        ways = [
            link
            for link in page.links
            if link.words and (SAMPLE_URL in link.href or _LEAVE.search(link.href) or _LEAVE.search(link.words))
        ]
        if not ways:
            yield found(rule.UNSUBSCRIBE_MISSING, part="html")
        sizes = [link.pixels for link in ways if link.pixels]
        if ways and len(sizes) == len(ways) and max(sizes) < SMALL_PIXELS:
            yield found(rule.UNSUBSCRIBE_SMALL, size=f"{max(sizes):g}")
    if text.strip() and SAMPLE_URL not in text and not _LEAVE.search(text):
        yield found(rule.UNSUBSCRIBE_MISSING, part="text")


def _legal(text: str, address: str) -> Iterator[Finding]:
    if address:
        if "".join(address.lower().split()) not in "".join(text.lower().split()):
            yield found(rule.ADDRESS_MISSING, address=address)
    elif not any(
        _STREET.search(text, max(0, code.start() - 120), code.end() + 120) for code in _POSTCODE.finditer(text)
    ):
        yield found(rule.ADDRESS_UNSEEN)
