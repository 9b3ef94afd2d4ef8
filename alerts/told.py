"""What every alert says besides its own words: what was done by itself, and how it came about.  Pure.

A reader at 3 a.m. must not wonder whether mail is lost meanwhile: an alert without an `action` of its own gets that of
its name.  The `description` (for receivers that show nothing else) is made of the same parts.
"""

from __future__ import annotations

from dataclasses import replace

from alerts.words import Language
from core.state import Alert

ACTIONS: dict[Language, dict[str, str]] = {
    "en": {
        "MonitorLag": "Caps of lanes that warm up do not rise; warm lanes go on",
        "SourceOut": "Its mail goes by the other sources of the pool, or waits; nothing bounces for it",
        "RelayOut": "Its mail waits and is tried again, after longer and longer rests",
        "WebhookDead": "Events are kept and offered again; mail goes on",
        "SeedBlind": "Nothing is held; placement there counts as unknown, not as good",
        "SeedLoginDead": "Nothing is held; placement there counts as unknown, not as good",
        "QueueStuck": "The mail is kept and tried again by its schedule",
        "MailStrayed": "The mail was made due again; nothing is lost",
        "UnmatchedReplies": "They count by their status codes alone",
        "UnverifiedReports": "They are stored and shown, and suppress nobody",
        "ProviderOutage": "Nobody is suppressed there; what was since the beginning is lifted",
        "FeedbackSilent": "Nothing is held; what it would have told is unknown",
        "ClassesShifted": "Nothing is held",
        "ReportMailboxBlind": "It is tried again; its mail stays where it is",
        "NewSource": "Nothing is held",
        "AlignmentDrop": "Nothing is held",
        "ReporterMissing": "Nothing is held; these days count as unknown",
        "PolicyChanged": "Nothing is held",
        "ReportsUnreadable": "The files are named in the log; the rest counts",
        "BlocklistBlind": "Nothing is held by this list",
        "RecordChanged": "Nothing is held",
        "FeedStale": "Its signals count as unknown, not as good",
    },
    "ru": {
        "MonitorLag": "Пределы прогреваемых линий не растут; прогретые отправляют дальше",
        "SourceOut": "Его письма идут с других источников пула или ждут; отказов из-за этого нет",
        "RelayOut": "Его письма ждут, попытки идут всё реже",
        "WebhookDead": "События хранятся и предлагаются снова; почта идёт",
        "SeedBlind": "Ничего не удержано; попадание во входящие там неизвестно, а не «хорошее»",
        "SeedLoginDead": "Ничего не удержано; попадание во входящие там неизвестно, а не «хорошее»",
        "QueueStuck": "Письма хранятся, попытки идут по расписанию",
        "MailStrayed": "Письма снова поставлены к отправке; ничего не пропало",
        "UnmatchedReplies": "Они учтены только по кодам",
        "UnverifiedReports": "Они сохранены и показаны, в стоп-лист никто не попал",
        "ProviderOutage": "В стоп-лист оттуда никто не попадает; попавшие с начала сбоя возвращены",
        "FeedbackSilent": "Ничего не удержано; то, о чём он сообщал, неизвестно",
        "ClassesShifted": "Ничего не удержано",
        "ReportMailboxBlind": "Попытки продолжаются; письма остаются в ящике",
        "NewSource": "Ничего не удержано",
        "AlignmentDrop": "Ничего не удержано",
        "ReporterMissing": "Ничего не удержано; эти дни считаются неизвестными",
        "PolicyChanged": "Ничего не удержано",
        "ReportsUnreadable": "Файлы названы в журнале; остальные учтены",
        "BlocklistBlind": "По этому списку ничего не удерживается",
        "RecordChanged": "Ничего не удержано",
        "FeedStale": "Его сигналы неизвестны, а не «хорошие»",
    },
}


def whole(alert: Alert, language: Language) -> Alert:
    """The alert with `action` and a full description."""
    said = dict(alert.annotations)
    name = alert.labels["alertname"]
    said.setdefault("action", ACTIONS[language].get(name, ""))
    if name.startswith("Sending") or name == "RuleFiring":  # their descriptions hold figures
        return replace(alert, annotations=said)
    parts = (said["summary"], said.get("problem", ""), said["action"], said.get("remedy", ""))
    said["description"] = "\n".join(part for part in parts if part)
    return replace(alert, annotations=said)
