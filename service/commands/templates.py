"""`penstock template lint | preview`: look at a template before a million people do.

Exit code of lint: 1 when a problem was found (with --strict also for a warning), so that a build can stop on it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from core.errors import InvalidInput
from sender.preparing.finding import Finding, Language, Level
from sender.preparing.lint import lint
from sender.preparing.preview import Preview, preview
from service.commands.common import add_language
from service.commands.template_file import MAX_FILE, read_template, texts_of

_MARKS = {Level.PROBLEM: "✗", Level.WARNING: "!", Level.NOTE: "·"}
_SUMMARY = {
    "en": "{problem} problems, {warning} warnings, {note} notes",
    "ru": "Проблем: {problem}, предупреждений: {warning}, замечаний: {note}",
}
_CLIPPED = {"en": "  (Gmail cuts it at {limit})", "ru": "  (Gmail обрежет на {limit})"}


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    top = commands.add_parser("template", help="check a template, or show what a recipient would get")
    what = top.add_subparsers(title="what", metavar="WHAT", required=True)
    check = what.add_parser("lint", help="find what costs the inbox: size, links, images, unsubscribing, address …")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="TOML, JSON or .html")
    check.add_argument("--variables", metavar="JSON", help='sample values: {"name": "Ann"}, or a file that holds them')
    check.add_argument("--transactional", action="store_true", help="ask for no unsubscribe link and no postal address")
    check.add_argument(
        "--address", default="", metavar="TEXT", help="the sender's legal address, which must stand in it"
    )
    check.add_argument("--strict", action="store_true", help="exit code 1 for warnings too")
    check.add_argument("--json", action="store_true", help="findings as JSON, in both languages")
    add_language(check)
    check.set_defaults(run=run_lint)

    show = what.add_parser("preview", help="render for sample values and say the sizes")
    show.add_argument("file", type=Path, metavar="FILE", help="TOML, JSON or HTML")
    show.add_argument("--variables", metavar="JSON", help='sample values: {"name": "Ann"}, or a file that holds them')
    show.add_argument("--html", action="store_true", help="print the finished html and nothing else")
    show.add_argument("--campaign", default="", help="for UTM parameters")
    show.add_argument("--stream", default="bulk", help="for UTM parameters")
    add_language(show)
    show.set_defaults(run=run_preview)


async def run_lint(arguments: argparse.Namespace) -> int:
    """Findings of each file."""
    given = None if arguments.variables is None else _variables(arguments.variables)
    counts: Counter[Level] = Counter()
    report = []
    for path in arguments.files:
        template = read_template(path)
        variables = template.sample if given is None else {**(template.sample or {}), **given}
        findings = lint(
            template.parts, variables, marketing=not arguments.transactional, legal_address=arguments.address
        )
        counts.update(finding.level for finding in findings)
        report.append({"file": str(path), "findings": [finding_json(finding) for finding in findings]})
        if not arguments.json:
            print(f"{path}\n{render(findings, arguments.lang)}")
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False, indent=1))
    failed = counts[Level.PROBLEM] or (arguments.strict and counts[Level.WARNING])
    return 1 if failed else 0


async def run_preview(arguments: argparse.Namespace) -> int:
    """The rendered message."""
    template = read_template(arguments.file)
    variables = {**(template.sample or {}), **(_variables(arguments.variables) if arguments.variables else {})}
    seen = preview(template.parts, variables, campaign=arguments.campaign, stream=arguments.stream)
    print(seen.html if arguments.html else _shown(seen, arguments.lang))
    return 0


def render(findings: list[Finding], language: Language) -> str:
    """Findings for people, worst first, and their sum."""
    lines = []
    for finding in findings:
        lines += [f"  {_MARKS[finding.level]} {finding.what(language)}", f"    → {finding.remedy(language)}"]
    counts = Counter(str(finding.level) for finding in findings)
    lines.append("  " + _SUMMARY[language].format(**{str(level): counts[str(level)] for level in Level}))
    return "\n".join(lines)


def finding_json(finding: Finding) -> dict[str, object]:
    """A finding as commands and API show it."""
    return {
        "id": finding.rule.id, "level": str(finding.level), "part": finding.rule.part,
        "what": {"en": finding.what("en"), "ru": finding.what("ru")},
        "remedy": {"en": finding.remedy("en"), "ru": finding.remedy("ru")},
    }  # fmt: skip


def _shown(seen: Preview, language: Language) -> str:
    words = {
        "en": ("From", "Subject", "Preheader", "Text", "HTML", "Message", "bytes"),
        "ru": ("От", "Тема", "Прехедер", "Текст", "HTML", "Письмо", "байт"),
    }[language]
    sender, subject, line, text, html, message, unit = words
    head = [f"{sender}: {seen.sender}", f"{subject}: {seen.subject}"]
    head += [f"{line}: {seen.preheader}"] if seen.preheader else []
    clipped = _CLIPPED[language].format(limit=seen.clipped_at) if seen.clipped else ""
    sizes = [
        f"{text}: {seen.text_size} {unit}",
        f"{html}: {seen.html_size} {unit}{clipped}",
        f"{message}: ≈ {seen.message_size} {unit}",
    ]
    return "\n".join([*head, "", seen.text.rstrip("\n"), "", *sizes])


def _variables(text: str) -> dict[str, str]:
    if not text.lstrip().startswith("{"):
        with Path(text).open("rb") as file:
            text = file.read(MAX_FILE).decode("utf-8-sig", "replace")
    try:
        return texts_of(json.loads(text), "--variables")
    except (ValueError, RecursionError) as error:
        raise InvalidInput("--variables", "is not JSON", 'Write {"name": "Ann"}, or name a file') from error
