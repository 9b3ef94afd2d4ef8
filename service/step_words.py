"""Reasons and details that events hold in English, in Russian.  Pure.

Contract: `reason_words` says the known ones in the asked language and leaves everything else, such as a person's own
words, as it is.  Known are those of warm-up steps (warmup.judge, warmup.adaptive, warmup.operator, warmup.words), of
mail that is held (warmup.admission, sender.limiting, sender.replies), of outages and of suppressions.
`tests/unit/service/test_step_words.py` holds the table against what the controllers say.
"""

from __future__ import annotations

import re

_N = r"([\d,]+)"
_P = r"([\d.]+%)"
_RUSSIAN: list[tuple[re.Pattern[str], str | None]] = [
    (re.compile(pattern), russian)
    for pattern, russian in (
        (r"first mail of this lane", "первое письмо этой линии"),
        (rf"no mail for {_N} days: warmed again from the beginning", r"писем не было \1 дн.: прогрев сначала"),
        (rf"no mail for {_N} days: reputation fades", r"писем не было \1 дн.: репутация угасает"),
        (r"nothing was sent", "ничего не отправлено"),
        (rf"blocked: {_N} of {_N} refused for reputation", r"блокировка: \1 из \2 отклонено из-за репутации"),
        (rf"{_P} refused for reputation, limit {_P}", r"\1 отклонено из-за репутации, порог \2"),
        (rf"{_P} complained, limit {_P}", r"жалобы: \1, порог \2"),
        (rf"{_P} bounced, limit {_P}", r"\1 недоставлено, порог \2"),
        (rf"{_P} deferred, limit {_P}", r"\1 отложено, порог \2"),
        (rf"{_N} of {_N} seed mails lay in the spam folder", r"\1 из \2 контрольных писем в спаме"),
        (r"rule (\S+) found something over (.+)", r"сработало правило \1: \2"),
        (r"the gate closed over (.+)", r"закрыт затвор: \1"),
        (r"the ramp is finished", "прогрев закончен"),
        (rf"only {_N} of {_N} sent", r"отправлено только \1 из \2"),
        (rf"{_N} sent at the target of {_N} a day", r"отправлено \1 при цели \2 в день"),
        (rf"{_N} of {_N} sent, nothing against it", r"отправлено \1 из \2, ничто не против"),
        (rf"{_N} taken: the block is over", r"принято \1: блокировка снята"),
        (
            rf"put off {_N} times after {_N} taken: no more new mail today",
            r"отложено \1 раз после \2 принятых: новых писем сегодня больше нет",
        ),
        (
            rf"put off {_N} times, though {_N} a day were taken before: held till it is over",
            r"отложено \1 раз, хотя прежде принималось \2 в день: ждём, пока пройдёт",
        ),
        (
            rf"put off {_N} times: {_N} a day is what it takes, (×[\d.]+) of what it took before",
            r"отложено \1 раз: принимает \2 в день, \3 от прежнего",
        ),
        (rf"put off {_N} times: {_N} a day is what it takes", r"отложено \1 раз: принимает \2 в день"),
        (
            rf"{_N} taken so far today, nothing against it: (×[\d.]+)",
            r"сегодня уже принято \1, ничто не против: \2",
        ),
        (rf"{_N} taken, nothing against it: (×[\d.]+)", r"принято \1, ничто не против: \2"),
        (
            rf"warmed elsewhere: {_N} a day at best in the last {_N} sending days, {_N} days ago",
            r"прогрета в другом месте: до \1 в день за последние \2 дн. отправки, \3 дн. назад",
        ),
        (
            rf"warmed elsewhere: {_N} a day at best in the last {_N} sending days",
            r"прогрета в другом месте: до \1 в день за последние \2 дн. отправки",
        ),
        (r"started by hand", "начата вручную"),
        (r"stepped back by hand", "возвращена вручную"),
        (r"hold lifted", "удержание снято"),
        (r"no reason given", "причина не указана"),
        (r"held: (.+)", r"удержание: \1"),
        (r"held by (\S+): (.+)", r"удерживает \1: \2"),
        # held mail
        (r"outcomes are awaited", "ждём исхода"),
        (rf"{_N} an hour", r"\1 в час"),
        (rf"step {_N} of (\S+): {_N} of {_N} sent today", r"шаг \1 плана \2: сегодня отправлено \3 из \4"),
        (rf"{_N} of {_N} sent, the rest over the day", r"отправлено \1 из \2, остальное в течение дня"),
        (r"(\S+) has no step for today yet", r"у плана \1 ещё нет шага на сегодня"),
        (rf"the monitor is {_N} s behind", r"монитор отстаёт на \1 с"),
        (r"(\S+) sends from (\d+:00) to (\d+:00) (\S+)", r"\1 отправляет с \2 до \3 \4"),
        (r"(\S+) sends from (\d+:00) to (\d+:00) (\S+) on (.+)", r"\1 отправляет с \2 до \3 \4 по дням: \5"),
        (rf"(.+): {_N} a day, shared by {_N} lanes", r"\1: \2 в день на линий: \3"),
        (rf"{_N} and a fifth above it sent today", r"сегодня отправлено \1 и пятая часть сверх того"),
        (r"rests after trouble", "отдыхает после сбоя"),
        (r"limit (\S+): (\S+) messages", r"лимит \1: писем \2"),
        (r"limit (\S+): (\S+) openings", r"лимит \1: новых соединений \2"),
        (rf"limit (\S+): {_N} connections", r"лимит \1: соединений \2"),
        (r"(\S+): (\S+) new connections a minute from (\S+)", r"\1: новых соединений в минуту \2 с \3"),
        # reply rules
        (r"its time is over", "время истекло"),
        (rf"{_N} messages went through", r"прошло писем: \1"),
        (r"(\S+) connections", r"соединений: \1"),
        (r"(\S+) messages a connection", r"писем за соединение: \1"),
        (r"(\S+) messages a minute", r"писем в минуту: \1"),
        (r"(\S+ connections), (.+)", None),
        (r"(\S+ messages a connection), (.+)", None),
        # outages, suppressions, cancellations
        (r"recipients are known again", "получатели снова известны"),
        (r"no proof either way within (\S+) hours", r"за \1 ч ничего не доказано"),
        (rf"no sign of life in {_N} days, {_N} mails", r"без признаков жизни \1 дн., писем: \2"),
        (r"by (\S+)", r"кем: \1"),
        (r"by (\S+): (.+)", r"кем: \1, \2"),
        (r"preferences", "страница настроек"),
        (r"abuse report from (\S+)", r"сообщает \1"),
        (r"cancelled", "отменено"),
    )
]


def reason_words(reason: str, language: str) -> str:
    """The reason in 'ru'; in any other language as it stands."""
    if language != "ru":
        return reason
    for pattern, russian in _RUSSIAN:
        if found := pattern.fullmatch(reason):
            if russian is None:  # two in a row
                return ", ".join(reason_words(part, language) for part in found.groups())
            return _spaced(found.expand(russian))
    return reason


def _spaced(text: str) -> str:
    """12,345 and 2.5% as Russian writes them."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "\u00a0", text)
    return re.sub(r"(\d+)(?:\.(\d+))?%", lambda found: ",".join(filter(None, found.groups())) + "\u00a0%", text)
