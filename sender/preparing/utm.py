"""UTM parameters, by which web analytics tell visits from mail: utm_source, utm_medium, utm_campaign, utm_content.

`utm` of a message chooses the links: 'off' or nothing for none, 'all', or words apart by spaces, each a domain (with
its subdomains) or the beginning of an address such as `https://shop.example.com/sale`.
Contract: works on finished parts.  Only http and https links are touched; parameters that are there already are kept
and win over ours; the fragment stays at the end.  Links that unsubscribe, and our own service's, are never touched.
Source is the sending domain, medium `email`, campaign and content the campaign and the stream.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from html import escape, unescape
from urllib.parse import quote_plus, unquote_plus, urlsplit

from core.address import normal_domain
from core.errors import InvalidInput, LimitExceeded

OFF = ("", "off")
MAX_WORDS = 50
MAX_CHOICE = 4000  # characters of `utm`
MAX_LINK = 2000  # characters; a longer link is left alone: hosts cut it
MAX_KNOWN = 500  # links that a tagger remembers
# `<` ends the look-out for href, so that a page of unfinished tags costs no second look
_LINK = re.compile(
    r"""(<(?:a|area|v:\w+)\s(?:[^"'<>]|"[^"]*"|'[^']*')*?\bhref\s*=\s*)("[^"]*"|'[^']*'|[^\s"'<>]+)""", re.IGNORECASE
)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`{}|\\^]+", re.IGNORECASE)
_LEAVE = re.compile(r"unsub|opt-?out|otpis|отпис", re.IGNORECASE)
_ENDS = ".,;:!?)]*_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which links are tagged."""

    every: bool = False
    beginnings: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.every or bool(self.beginnings or self.domains)

    def takes(self, link: str) -> bool:
        """True when this link is to be tagged."""
        if not link[:8].lower().startswith(("http://", "https://")) or len(link) > MAX_LINK:
            return False
        if _LEAVE.search(unquote_plus(link)):
            return False
        if self.every or link.startswith(self.beginnings):
            return True
        try:
            host = (urlsplit(link).hostname or "").rstrip(".")
        except ValueError:
            return False
        return any(host == domain or host.endswith("." + domain) for domain in self.domains)


def choice_of(text: str) -> Choice:
    """The choice that `utm` says.  Raises InvalidInput."""
    if text in OFF:
        return Choice()
    if len(text) > MAX_CHOICE or len(text.split()) > MAX_WORDS:
        raise LimitExceeded("utm", "is too long", f"At most {MAX_WORDS} words")
    every = False
    beginnings: list[str] = []
    domains: list[str] = []
    for word in text.split():
        if word == "all":
            every = True
        elif word.startswith(("http://", "https://")) and len(word) > 8:
            beginnings.append(word)
        elif "." in word and "/" not in word:
            try:
                domains.append(normal_domain(word))
            except InvalidInput as error:
                raise InvalidInput("utm", error.problem, "Write domains as example.com") from error
        else:
            raise InvalidInput(
                "utm", f"{word[:60]!r} chooses no links", "Write off, all, a domain, or the beginning of an address"
            )
    return Choice(every=every, beginnings=tuple(beginnings), domains=tuple(domains))


class Tagger:
    """Tags the links of one campaign's messages; `spare` of a call: beginnings of links of our own service.

    Links that stand in every message are worked out once."""

    def __init__(self, choice: Choice, *, source: str, campaign: str, stream: str, medium: str = "email") -> None:
        self._choice = choice
        named = (("utm_source", source), ("utm_medium", medium), ("utm_campaign", campaign), ("utm_content", stream))
        self._parameters = tuple((name, f"{name}={quote_plus(value)}") for name, value in named if value)
        self._known: dict[str, str] = {}  # as written in HTML → as written then

    def html(self, html: str, spare: tuple[str, ...] = ()) -> str:
        """The page with its links tagged."""

        def put(found: re.Match[str]) -> str:
            written: str = found[2]
            done = self._known.get(written)
            if done is None:
                done = self._in_html(written, spare)
                if len(self._known) < MAX_KNOWN:
                    self._known[written] = done
            return found[1] + done

        return _LINK.sub(put, html) if self._choice else html

    def text(self, text: str, spare: tuple[str, ...] = ()) -> str:
        """The text with the addresses in it tagged."""

        def put(found: re.Match[str]) -> str:
            link = found[0].rstrip(_ENDS)
            return self.link(link, spare) + found[0][len(link) :]

        return _ADDRESS.sub(put, text) if self._choice else text

    def link(self, link: str, spare: tuple[str, ...] = ()) -> str:
        """One address, tagged if it is chosen."""
        if not self._choice.takes(link) or link.startswith(spare):
            return link
        front, hash_mark, fragment = link.partition("#")
        before, _, query = front.partition("?")
        there = {pair.partition("=")[0] for pair in query.split("&")} if query else set()
        added = [pair for name, pair in self._parameters if name not in there]
        if not added:
            return link
        joined = "&".join(added) if not query else f"{query}{'' if query.endswith('&') else '&'}{'&'.join(added)}"
        return f"{before}?{joined}{hash_mark}{fragment}"

    def _in_html(self, written: str, spare: tuple[str, ...]) -> str:
        quote = written[0] if written[0] in "\"'" else ""
        link = unescape(written.strip(quote) if quote else written).strip()
        tagged = self.link(link, spare)
        return written if tagged == link else f'"{escape(tagged)}"'


@lru_cache(maxsize=64)
def tagger_of(choice: Choice, source: str, campaign: str, stream: str) -> Tagger:
    """The tagger of a campaign, from a bounded cache."""
    return Tagger(choice, source=source, campaign=campaign, stream=stream)
