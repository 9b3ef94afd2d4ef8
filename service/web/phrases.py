"""The dashboard's words in English and Russian, and how it writes dates and short figures.

A key that one language lacks is an error of the tests, not of the reader: both tables hold the same keys.
"""

from __future__ import annotations

from alerts.words import Language, number
from core.clock import utc

_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "ru": ("янв", "фев", "мар", "апр", "мая", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"),
}

EN = {
    "pages": "Pages", "page_dashboard": "Dashboard", "page_signals": "Signals", "page_placement": "Placement",
    "page_dmarc": "DMARC", "page_requirements": "Requirements",
    "attention": "Needs you now", "look": "Look closer", "done": "Done by itself",
    "advice": "What to do", "explain": "How it came about", "firing_for": "for {span}",
    "nobody_hint": "No notifier is set: nobody is told. Add [[alerts.mails]], [[alerts.webhooks]] or "
    "alerts.alertmanagers.", "gates_more": "More gates that are not open", "scope": "Scope",
    "lanes_all": "show all {n}", "sent_today": "{n} sent", "volume_axis": "messages a day",
    "title": "Penstock", "subtitle": "Sending, watched", "skip": "To the content", "node": "node",
    "sandbox": "sandbox", "clock_rate": "one day in {span}", "live": "live", "stale": "no connection",
    "lag": "monitor {span} behind", "lag_ok": "monitor up to date", "lag_unknown": "monitor: unknown",
    "all_open": "Everything flows", "all_open_more": "All gates are open. No alert is firing.",
    "verdict_more": "Transactional mail goes on unless its own gate says otherwise.",
    "today": "Today", "accepted": "Accepted", "delivered": "Delivered", "deferred": "Deferred", "bounced": "Bounced",
    "complaints": "Complaints", "queued": "In the queue", "unknown": "unknown", "of_ended": "of ended mail",
    "of_heard": "of mail to providers that report", "retried": "will be tried again", "taken": "taken over",
    "gates": "Gates",
    "open": "Open", "slowed": "Slowed", "paused": "Paused", "probing": "Probing", "hard_stopped": "Stopped",
    "since": "since", "until": "until", "until_person": "until a person resumes it", "in": "in {span}",
    "overdue": "due now", "undo": "Open it by hand", "rule": "rule", "by": "by", "guard": "the guard",
    "of": "of", "limit": "limit", "evidence": "Evidence", "acts_at": "acts at {limit}", "samples": "What came back",
    "probe_limit": "{n} messages may pass; their outcome decides", "slow_limit": "at most {n} messages an hour",
    "needle_label": "Rate {rate}, 95 % interval {low} to {high}, limit {threshold}",
    "volume": "Volume", "volume_label": "First attempts a day, stacked by provider; below, when each gate was closed",
    "volume_hint": "First attempts a day. The strips below show when a provider's gate was not open.",
    "others": "others", "lanes": "Lanes", "lanes_hint": "source × domain × provider, today; 95 % intervals",
    "lanes_none": "No lane has sent yet. `penstock doctor` says what is missing; then send: POST /v1/messages or "
    "`penstock send`.", "lane": "Lane", "warmup": "Warm-up", "cap": "Cap today",
    "trend": "Last days", "state": "Gate", "step": "step {n}", "warm": "warm", "no_limit": "no limit",
    "no_feedback": "not reported", "no_feedback_more": "This provider sends no complaint reports",
    "cap_label": "{used} of {cap} sent today", "n": "n",
    "mark_person": "Held by {by} until {until}", "mark_person_open": "Held by {by} until resumed",
    "mark_braked": "No more new mail until {until}", "mark_back": "Stepped back until {until}",
    "mark_held": "Same step until {until}", "mark_next": "next {cap} a day; clean days to the target: {days}",
    "mark_late": "misses its deadline",
    "decisions": "Decisions", "decisions_none": "No decision yet.", "alerts": "Alerts",
    "alerts_none": "Nothing to tell.",
    "firing": "firing", "resolved": "resolved", "told": "told", "not_told": "failed",
    "placement": "Placement of seed mail",
    "placement_none": "No seed mail has been looked for yet. Name seed mailboxes in [[seeds.mailboxes]].",
    "inbox": "inbox", "spam": "spam", "missing": "missing", "blind": "mailbox cannot be looked into",
    "limit_full": "Limit reached", "limit_until": "until",
    "queue": "Queue", "queue_none": "The queue is empty.", "unrouted": "not yet routed",
    "suppressions": "Suppressions", "suppressions_none": "Nobody is suppressed.",
    "hard_bounce": "hard bounce", "complaint": "complaint", "unsubscribe": "unsubscribed", "manual": "by hand",
    "sunset": "gone",
    "dmarc": "DMARC reports",
    "dmarc_none": "No report has come yet. Publish rua= and route it here (docs/reports.md).", "reports": "reports",
    "messages": "messages",
    "aligned": "aligned", "sources": "source addresses",
    "replies": "Reply rules in force", "replies_none": "No provider's answers hold mail back.",
    "reply_probe": "probe: {n} of {of} through", "reply_mail": "mail", "reply_hits": "{hits} of {answers} answers",
    "unknown_replies": "Replies that no rule knows", "unknown_none": "Every reply of the week is understood.",
    "findings": "What rules see", "findings_none": "No rule that only tells has found anything.",
    "budget": "Declared false alarms", "budget_none": "No rule is loaded.", "budget_rules": "Each rule ({n})",
    "budget_hint": "How often a rule may pause mail that is in order, over all its scopes together.",
    "started": "Started", "advanced": "Advanced", "held": "Held",
    "stepped_back": "Stepped back", "resumed": "Hold lifted", "imported": "Taken over warm",
    "held_by": "held by {who}", "finished": "Warm", "lanes_n": "{n} lanes", "more": "and {n} more",
    "foot": "All times are UTC. Figures count by the hour in which a message was first sent.",
    "command": "command", "other_language": "Русский", "other_code": "ru", "critical": "critical",
    "warning": "warning", "expiry": "Ends", "provider": "Provider", "empty_scope": "all mail",
}  # fmt: skip

RU = {
    "pages": "Страницы", "page_dashboard": "Панель", "page_signals": "Сигналы", "page_placement": "Входящие",
    "page_dmarc": "DMARC", "page_requirements": "Требования",
    "attention": "Требует внимания", "look": "Подробнее", "done": "Сделано само",
    "advice": "Что делать", "explain": "Как это вышло", "firing_for": "уже {span}",
    "nobody_hint": "Получатели тревог не заданы: никто о них не узнает. Добавьте [[alerts.mails]], "
    "[[alerts.webhooks]] или alerts.alertmanagers.", "gates_more": "Ещё не открытые затворы", "scope": "Область",
    "lanes_all": "показать все: {n}", "sent_today": "ушло {n}", "volume_axis": "писем в сутки",
    "title": "Penstock", "subtitle": "Отправка под присмотром", "skip": "К содержанию", "node": "узел",
    "sandbox": "песочница", "clock_rate": "сутки за {span}", "live": "вживую", "stale": "нет связи",
    "lag": "монитор отстаёт на {span}", "lag_ok": "монитор не отстаёт", "lag_unknown": "монитор: нет данных",
    "all_open": "Всё течёт", "all_open_more": "Все затворы открыты. Тревог нет.",
    "verdict_more": "Транзакционная почта идёт, если её собственный затвор не закрыт.",
    "today": "Сегодня", "accepted": "Принято", "delivered": "Доставлено", "deferred": "Отложено",
    "bounced": "Отказы", "complaints": "Жалобы", "queued": "В очереди", "unknown": "нет данных",
    "of_ended": "от завершённых", "of_heard": "от писем тем, кто о жалобах сообщает", "retried": "попробуем снова",
    "taken": "взято на отправку", "gates": "Затворы",
    "open": "Открыт", "slowed": "Замедлено", "paused": "Пауза", "probing": "Проба", "hard_stopped": "Остановлено",
    "since": "с", "until": "до", "until_person": "до решения человека", "in": "через {span}", "overdue": "сейчас",
    "undo": "Открыть вручную", "rule": "правило", "by": "кем", "guard": "сторож", "of": "из", "limit": "порог",
    "evidence": "Сила доказательств", "acts_at": "действует от {limit}", "samples": "Что пришло в ответ",
    "probe_limit": "пройдёт писем: {n}; решит их исход", "slow_limit": "писем в час не более {n}",
    "needle_label": "Доля {rate}, интервал 95 % от {low} до {high}, порог {threshold}",
    "volume": "Объём", "volume_label": "Первые попытки в сутки по провайдерам; ниже — когда затвор был закрыт",
    "volume_hint": "Первые попытки в сутки. Полосы внизу показывают, когда затвор провайдера не был открыт.",
    "others": "другие", "lanes": "Линии", "lanes_hint": "источник × домен × провайдер, сегодня; интервалы 95 %",
    "lanes_none": "Ни одна линия ещё не отправляла. `penstock doctor` скажет, чего не хватает; затем отправьте: "
    "POST /v1/messages или `penstock send`.", "lane": "Линия", "warmup": "Прогрев", "cap": "Предел на день",
    "trend": "Последние дни", "state": "Затвор", "step": "шаг {n}", "warm": "прогрета", "no_limit": "без предела",
    "no_feedback": "не сообщает", "no_feedback_more": "Этот провайдер не присылает отчётов о жалобах",
    "cap_label": "отправлено {used} из {cap}", "n": "n",
    "mark_person": "Удерживает {by} до {until}", "mark_person_open": "Удерживает {by} до отмены",
    "mark_braked": "Новых писем нет до {until}", "mark_back": "Шаг назад до {until}",
    "mark_held": "Тот же шаг до {until}", "mark_next": "дальше {cap} в день; до цели чистых дней: {days}",
    "mark_late": "не успевает к сроку",
    "decisions": "Решения", "decisions_none": "Решений ещё нет.", "alerts": "Тревоги",
    "alerts_none": "Сообщать не о чем.", "firing": "действует", "resolved": "завершена", "told": "сообщено",
    "not_told": "не принято", "placement": "Попадание во входящие",
    "placement_none": "Контрольных писем ещё не искали. Укажите ящики в [[seeds.mailboxes]].", "inbox": "входящие",
    "spam": "спам", "missing": "нет письма",
    "blind": "ящик недоступен", "limit_full": "Лимит исчерпан", "limit_until": "до",
    "queue": "Очередь", "queue_none": "Очередь пуста.", "unrouted": "маршрут не найден",
    "suppressions": "Стоп-лист", "suppressions_none": "Стоп-лист пуст.", "hard_bounce": "жёсткий отказ",
    "complaint": "жалоба", "unsubscribe": "отписка", "manual": "вручную", "sunset": "ушедшие",
    "dmarc": "Отчёты DMARC",
    "dmarc_none": "Отчётов ещё не было. Укажите rua= и направьте отчёты сюда (docs/reports.md).", "reports": "отчётов",
    "messages": "писем",
    "aligned": "согласованы", "sources": "адресов-источников",
    "replies": "Действующие правила ответов", "replies_none": "Ответы провайдеров ничего не задерживают.",
    "reply_probe": "проба: прошло {n} из {of}", "reply_mail": "почта", "reply_hits": "ответов: {hits} из {answers}",
    "unknown_replies": "Ответы, которых не знает ни одно правило", "unknown_none": "Все ответы недели понятны.",
    "findings": "Что видят правила", "findings_none": "Правила, которые только сообщают, ничего не нашли.",
    "budget": "Заявленные ложные тревоги", "budget_none": "Правила не загружены.",
    "budget_rules": "Каждое правило ({n})",
    "budget_hint": "Как часто правило может задержать исправную почту, по всем его областям вместе.",
    "started": "Начата", "advanced": "Шаг вперёд", "held": "Без изменений",
    "stepped_back": "Шаг назад", "resumed": "Удержание снято", "imported": "Принята прогретой",
    "held_by": "удерживает {who}", "finished": "Прогрета", "lanes_n": "линий: {n}", "more": "и ещё {n}",
    "foot": "Время всюду UTC. Показатели считаются по часу первой отправки письма.",
    "command": "команда", "other_language": "English", "other_code": "en", "critical": "критично",
    "warning": "внимание", "expiry": "Конец", "provider": "Провайдер", "empty_scope": "вся почта",
}  # fmt: skip


def phrase(key: str, language: Language) -> str:
    """The words of a key.  KeyError is a defect of ours."""
    return (EN if language == "en" else RU)[key]


def date(at: float, language: Language) -> str:
    """'25 Nov'."""
    when = utc(at)
    return f"{when.day} {_MONTHS[language][when.month - 1]}"


def moment(at: float, language: Language) -> str:
    """'25 Nov, 14:05 UTC'."""
    return f"{date(at, language)}, {utc(at):%H:%M}\u00a0UTC"


def compact(value: float, language: Language) -> str:
    """A scale's label: 0, 250, 1.5k, 20k, 3M."""
    thousand, million = ("k", "M") if language == "en" else ("\u00a0тыс", "\u00a0млн")
    for size, name in ((1_000_000, million), (1000, thousand)):
        if value >= size:
            return number(value / size, language, 0 if value % size == 0 else 1) + name
    return number(value, language, 0 if value == int(value) else 1)


def plural(count: int, key: str, language: Language) -> str:
    """'2 scopes are paused': count and noun in the form that the language asks for."""
    forms = _PLURALS[key, language]
    if language == "en":
        form = forms[0] if count == 1 else forms[1]
    elif count % 10 == 1 and count % 100 != 11:
        form = forms[0]
    elif count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14):
        form = forms[1]
    else:
        form = forms[2]
    return f"{number(count, language)} {form}"


_PLURALS: dict[tuple[str, Language], tuple[str, ...]] = {
    ("closed", "en"): ("gate is closed", "gates are closed"),
    ("closed", "ru"): ("затвор закрыт", "затвора закрыты", "затворов закрыты"),
    ("watched", "en"): ("gate lets mail through slowly", "gates let mail through slowly"),
    ("watched", "ru"): ("затвор пропускает почту медленно", "затвора пропускают почту медленно",
                        "затворов пропускают почту медленно"),
    ("resting", "en"): ("pair of source and site rests", "pairs of source and site rest"),
    ("resting", "ru"): ("пара источника и узла отдыхает", "пары источника и узла отдыхают",
                        "пар источника и узла отдыхают"),
    ("firing", "en"): ("alert is firing", "alerts are firing"),
    ("firing", "ru"): ("тревога действует", "тревоги действуют", "тревог действуют"),
}  # fmt: skip
