"""Yandex and Rambler: Postfix at heart, with a greeting in Russian and English around `<address>: …`."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="yandex",
    order=27,
    marks=(
        r"mailer-daemon@yandex",
        r"yandex[\w.-]* mail",
        r"почтов\w+ систем\w+ (?:яндекс|рамблер)",
        r"(?:yandex|rambler)\.ru",
        r"rambler",
    ),
    item=rf"^[ \t]*<?(?P<address>{ADDRESS})>?:[ \t]*(?P<reason>[^\n]+)$",
)
