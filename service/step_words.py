"""The reasons of warm-up steps in Russian.  Pure.

Contract: events hold English texts (warmup.judge, warmup.adaptive, warmup.operator, warmup.words); `reason_words` says
the known ones in the asked language and leaves everything else, such as a person's own words, as it is.
`tests/unit/service/test_step_words.py` holds the table against what the controllers say.
"""

from __future__ import annotations

import re

_N = r"([\d,]+)"
_P = r"([\d.]+%)"
_RUSSIAN = [
    (re.compile(pattern), russian)
    for pattern, russian in (
        (r"first mail of this lane", "первое письмо этой линии"),
        (rf"no mail for {_N} days: warmed again from the beginning", r"писем не было \1 дн.: прогрев сначала"),
        (rf"no mail for {_N} days: reputation fades", r"писем не было \1 дн.: репутация угасает"),
        (r"nothing was sent", "ничего не отправлено"),
        (rf"blocked: {_N} of {_N} refused for reputation", r"блокировка: \1 из \2 отклонено из-за репутации"),
        (rf"{_P} refused for reputation, limit {_P}", r"\1 отклонено из-за репутации, предел \2"),
        (rf"{_P} complained, limit {_P}", r"\1 жалоб, предел \2"),
        (rf"{_P} bounced, limit {_P}", r"\1 недоставлено, предел \2"),
        (rf"{_P} deferred, limit {_P}", r"\1 отложено, предел \2"),
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
        (r"started by hand", "начата вручную"),
        (r"stepped back by hand", "возвращена вручную"),
        (r"hold lifted", "удержание снято"),
        (r"no reason given", "причина не указана"),
        (r"held: (.+)", r"удержание: \1"),
        (r"held by (\S+): (.+)", r"удерживает \1: \2"),
    )
]


def reason_words(reason: str, language: str) -> str:
    """The reason in 'ru'; in any other language as it stands."""
    if language != "ru":
        return reason
    for pattern, russian in _RUSSIAN:
        if found := pattern.fullmatch(reason):
            return _spaced(found.expand(russian))
    return reason


def _spaced(text: str) -> str:
    """12,345 as Russian writes it."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "\u00a0", text)
