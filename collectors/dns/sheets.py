"""Requirement sheets: what a provider asks of senders, row by row, against what is known of us.  Pure.

Contract: a row is Fail when anything that decides it is bad, Unknown when anything is not known, Pass only when
everything is known and good.  Findings come from the DNS checks, facts from the settings, the counters and the
postmaster feeds (`service.requirements` makes them); a row that names neither cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectors.dns.finding import Finding, Language, Level
from config.tables import Requirement, Sheet

MAX_EVIDENCE = 5
_FAILED_LOOKUP = "dns.failed"
# what the `name` of a failed look-up holds when it was about findings of this beginning
_ABOUT = {
    "spf.": "SPF", "dkim.": "_domainkey", "dmarc.": "DMARC", "mx.": "MX", "from.": "MX", "ptr.": "PTR", "ehlo.": "PTR",
    "address.": "PTR", "mta_sts.": "_mta-sts", "tls_rpt.": "_smtp._tls",
}  # fmt: skip


class Standing(StrEnum):
    """How we stand against a row."""

    PASS = "pass"  # noqa: S105 -- the word, no secret
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known of us: good, bad (False) or not known (None), and what shows it, as (English, Russian).

    `seen`: until when (epoch seconds) the figures behind it reach; 0 for what holds as long as we run.
    """

    good: bool | None
    shows: tuple[str, str]
    seen: float = 0.0

    def words(self, language: Language) -> str:
        return self.shows[0 if language == "en" else 1]


_UNSEEN = Fact(None, ("it cannot be seen from here", "отсюда не видно"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """A row with its standing.  `evidence` as (English, Russian) pairs; `seen` is the moment (epoch seconds) of the
    oldest of it, 0 when nothing of it ages.
    """

    row: Requirement
    standing: Standing
    evidence: tuple[tuple[str, str], ...] = ()
    seen: float = 0.0

    def what(self, language: Language) -> str:
        return self.row.what_en if language == "en" else self.row.what_ru

    def remedy(self, language: Language) -> str:
        """'' when the row passes."""
        if self.standing is Standing.PASS:
            return ""
        return self.row.remedy_en if language == "en" else self.row.remedy_ru

    def shown(self, language: Language) -> list[str]:
        return [pair[0 if language == "en" else 1] for pair in self.evidence]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetResult:
    """A provider's sheet, judged."""

    sheet: Sheet
    rows: tuple[RowResult, ...]

    def count(self, standing: Standing) -> int:
        return sum(row.standing is standing for row in self.rows)

    def title(self, language: Language) -> str:
        return self.sheet.title_en if language == "en" else self.sheet.title_ru


def judge(sheet: Sheet, findings: Sequence[Finding], facts: Mapping[str, Fact], looked: float) -> SheetResult:
    """Every row of a sheet.  A fact that nobody made is unknown; `looked` is when the findings were made."""
    failed = [finding for finding in findings if finding.text.id == _FAILED_LOOKUP]
    return SheetResult(sheet=sheet, rows=tuple(_row(row, findings, failed, facts, looked) for row in sheet.rows))


def _row(
    row: Requirement,
    findings: Sequence[Finding],
    failed: Sequence[Finding],
    facts: Mapping[str, Fact],
    looked: float,
) -> RowResult:
    bad: list[Fact] = []
    unknown: list[Fact] = []
    good: list[Fact] = []
    for beginning in row.findings:
        mine = [finding for finding in findings if finding.text.id.startswith(beginning)]
        broken = [f for f in mine if f.level is Level.PROBLEM or (row.warnings_fail and f.level is Level.WARNING)]
        bad += [_told(finding, looked) for finding in broken]
        good += [_told(finding, looked) for finding in mine if finding not in broken]
    unknown += [
        _told(finding, looked) for finding in failed if any(_is_about(finding, given) for given in row.findings)
    ]
    if row.findings and not good and not bad and not unknown:
        unknown.append(Fact(None, ("nothing was found about it", "об этом ничего не найдено")))
    for name in row.facts:
        fact = facts.get(name)
        if fact is None or fact.good is None:
            unknown.append(fact or _UNSEEN)
        else:
            (good if fact.good else bad).append(fact)
    if not row.findings and not row.facts:
        unknown.append(_UNSEEN)
    for standing, evidence in ((Standing.FAIL, bad), (Standing.UNKNOWN, unknown), (Standing.PASS, good)):
        if evidence:
            kept = list({one.shows: one for one in evidence}.values())[:MAX_EVIDENCE]
            seen = min((one.seen for one in kept if one.seen), default=0.0)
            return RowResult(row=row, standing=standing, evidence=tuple(one.shows for one in kept), seen=seen)
    raise AssertionError("a row has good, bad or unknown evidence")


def _is_about(failed: Finding, beginning: str) -> bool:
    """Was this look-up one that findings of this beginning come from?  One that says nothing may be about any."""
    name = dict(failed.values).get("name", "")
    return _ABOUT.get(beginning, "") in name or not any(word in name for word in _ABOUT.values())


def _told(finding: Finding, looked: float) -> Fact:
    english, russian = finding.words("en")[0], finding.words("ru")[0]
    return Fact(None, (f"{finding.subject}: {english}", f"{finding.subject}: {russian}"), looked)


_MARKS = {Standing.PASS: "✓", Standing.FAIL: "✗", Standing.UNKNOWN: "?"}
_IF_NOT = {"en": "if it is not met: ", "ru": "если не выполнено: "}
_SUMMARY = {"en": "{p} pass, {f} fail, {u} unknown", "ru": "выполнено {p}, нарушено {f}, неизвестно {u}"}


def render(results: Sequence[SheetResult], language: Language) -> str:
    """For a terminal: each sheet with its rows, evidence and remedy below."""
    lines: list[str] = []
    for result in results:
        counts = {"p": Standing.PASS, "f": Standing.FAIL, "u": Standing.UNKNOWN}
        summary = _SUMMARY[language].format(**{key: result.count(standing) for key, standing in counts.items()})
        lines += [f"{result.title(language)} — {summary}"]
        for row in result.rows:
            lines.append(f"  {_MARKS[row.standing]} {row.what(language)}")
            lines += [f"      {text}" for text in row.shown(language)]
            if remedy := row.remedy(language):
                given = _IF_NOT[language] if row.standing is Standing.UNKNOWN else ""
                lines.append(f"      → {given}{remedy}")
        lines.append("")
    return "\n".join(lines).rstrip()
