"""Alerts by mail, in English or Russian, sent through our own intake.

The mail is a whole RFC 5322 message of plain text, so that replies quoted in it cannot be taken for template
variables.  It is marked `Auto-Submitted: auto-generated` (RFC 3834): no vacation answer comes back.  All alerts of one
call are one mail.  `submit` is given by the composition root: it injects into a transactional stream, which automatic
pauses spare; whatever it raises makes the keeper try again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from alerts.words import Language, instant
from core.address import parse_address
from core.clock import utc
from core.ports import Clock
from core.state import Alert

Submit = Callable[[bytes, tuple[str, ...]], Awaitable[None]]
MAX_LISTED = 30  # alerts told in full in one mail
MAX_SUBJECT = 150

_WORDS = {
    "en": {
        "firing": "FIRING", "resolved": "RESOLVED", "more": "and {n} more", "since": "Since", "ended": "Ended",
        "rate": "Rate", "interval": "95 % interval", "threshold": "Threshold", "evidence": "Evidence",
        "acts": "acts at", "replies": "Replies", "done": "Done", "advice": "Advice", "undo": "Undo", "link": "Look",
        "reason": "Reason", "budget": "Declared budget", "problem": "Problem", "explain": "How it came about",
        "critical": "critical", "warning": "warning", "name": "Alert", "by": "By",
        "hint": "Points to",
        "foot": "docs/alerts.md says more about each alert by its name. You get this mail because you are listed under "
        "[[alerts.mails]] of Penstock.",
    },
    "ru": {
        "firing": "ТРЕВОГА", "resolved": "ЗАВЕРШЕНО", "more": "и ещё {n}", "since": "С", "ended": "Завершено",
        "rate": "Доля", "interval": "интервал 95 %", "threshold": "Порог", "evidence": "Сила доказательств",
        "acts": "действует от", "replies": "Ответы", "done": "Сделано", "advice": "Совет", "undo": "Отменить",
        "link": "Смотреть", "reason": "Причина", "budget": "Заявленная доля ложных тревог", "problem": "Что не так",
        "explain": "Как это вышло", "critical": "критично", "warning": "внимание", "name": "Тревога", "by": "Кто",
        "hint": "Указывает на",
        "foot": "О каждой тревоге по её имени говорит docs/alerts.md. Вы получили это письмо, потому что указаны в "
        "[[alerts.mails]] Penstock.",
    },
}  # fmt: skip


class MailSink:
    """Core.ports.AlertSink.  `submit(message, recipients)` takes over or raises."""

    refreshes = False

    def __init__(
        self,
        *,
        name: str,
        to: Sequence[str],
        sender: str,
        submit: Submit,
        clock: Clock,
        language: Language = "en",
    ) -> None:
        self.name = name
        self._to = tuple(parse_address(text) for text in to)
        self._sender = parse_address(sender)
        self._submit = submit
        self._clock = clock
        self._language = language

    async def notify(self, alerts: Sequence[Alert]) -> None:
        """One mail about all of them."""
        await self._submit(self.compose(alerts), tuple(str(address) for address in self._to))

    def compose(self, alerts: Sequence[Alert]) -> bytes:
        """The message, CRLF line ends, without Message-ID (the sender adds its own)."""
        message = EmailMessage(policy=SMTP)
        message["From"] = Address("Penstock", self._sender.local, self._sender.domain)
        message["To"] = [Address("", address.local, address.domain) for address in self._to]
        message["Subject"] = subject(alerts, self._language)
        message["Date"] = format_datetime(utc(self._clock.now()))
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body(alerts, self._language), charset="utf-8")
        return message.as_bytes()


def subject(alerts: Sequence[Alert], language: Language) -> str:
    """'[FIRING] summary (and 2 more)'."""
    words = _WORDS[language]
    first = next((a for a in alerts if not a.ends_at), alerts[0])
    text = f"[{words['resolved' if first.ends_at else 'firing']}] {first.annotations.get('summary', '')}"
    flat = " ".join(text.split())
    flat = flat if len(flat) <= MAX_SUBJECT else flat[: MAX_SUBJECT - 1] + "…"
    return flat + (f" ({words['more'].format(n=len(alerts) - 1)})" if len(alerts) > 1 else "")


def body(alerts: Sequence[Alert], language: Language) -> str:
    """The mail's text: firing alerts first."""
    words = _WORDS[language]
    ordered = sorted(alerts, key=lambda alert: bool(alert.ends_at))
    parts = [_paragraph(alert, words) for alert in ordered[:MAX_LISTED]]
    if len(ordered) > MAX_LISTED:
        parts.append(words["more"].format(n=len(ordered) - MAX_LISTED))
    return "\n\n".join([*parts, f"-- \n{words['foot']}"]) + "\n"


def _paragraph(alert: Alert, words: dict[str, str]) -> str:
    said = alert.annotations
    severity = alert.labels.get("severity", "")
    head = words["resolved"] if alert.ends_at else f"{words['firing']} ({words.get(severity, severity)})"
    lines = [f"{head}: {said.get('summary', '')}"]
    if "rate" in said and "interval" in said:
        lines.append(
            f"  {words['rate']}: {said['rate']} = {said['numerator']} / {said['denominator']}"
            f" ({words['interval']} {said['interval']})"
        )
        lines.append(f"  {words['threshold']}: {said['threshold']} ({said['threshold_from']})")
        if "e_value" in said:  # a count and a fixed window have none
            lines.append(f"  {words['evidence']}: {said['e_value']} ({words['acts']} {said['acts_at']})")
    for key, word in (("problem", "problem"), ("reason", "reason"), ("hint", "hint"), ("action", "done"),
                      ("remedy", "advice"), ("undo", "undo"), ("explain", "explain"),
                      ("false_alarm_budget", "budget")):  # fmt: skip
        if said.get(key) and not (alert.ends_at and key in ("action", "undo", "remedy", "problem", "hint")):
            lines.append(f"  {words[word]}: {said[key]}")
    if said.get("by") and alert.labels.get("rule") == "operator":
        lines.append(f"  {words['by']}: {said['by']}")
    lines.append(f"  {words['since']}: {instant(alert.starts_at)}")
    if alert.ends_at:
        lines.append(f"  {words['ended']}: {instant(alert.ends_at)}")
    if said.get("samples"):
        lines.append(f"  {words['replies']}:")
        lines += [f"    {line}" for line in said["samples"].splitlines()]
    lines.append(f"  {words['name']}: {alert.labels.get('alertname', '')}")
    if alert.link:
        lines.append(f"  {words['link']}: {alert.link}")
    return "\n".join(lines)
