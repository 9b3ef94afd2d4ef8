"""What a source's name rests on, in Russian: stored once in English (collectors.reports.naming), read here by its form.

A form that is not known stays as it is.
"""

from __future__ import annotations

import re

from alerts.words import Language

_FORMS = (
    (re.compile(r"address of source (\S+)"), r"адрес источника \1"),
    (re.compile(r"(DKIM|SPF) passes for (\S+)"), r"\1 проходит для \2"),
    (re.compile(r"our signature (\S+) survived, SPF did not"), r"наша подпись \1 уцелела, SPF не проходит"),
    (re.compile(r", the return path was rewritten$"), ", обратный адрес переписан"),
)


def evidence_in(language: Language, text: str) -> str:
    """See the module."""
    if language == "ru":
        for form, russian in _FORMS:
            text = form.sub(russian, text, count=1)
    return text
