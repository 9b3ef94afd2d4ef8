"""A template as one recipient would get it, with the sizes that matter.

Contract: `preview` renders for sample values as the composer does (text made, styles inlined, links tagged) and raises
InvalidInput naming the part or variable that stands in the way.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sender.headers import text_part
from sender.preparing.lint import CLIPPED_AT, samples
from sender.template import MailTemplate, tagged

_HEADER_ROOM = 3500  # bytes of header fields with two DKIM signatures


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Finished parts; sizes in bytes.  `message` is what goes over the wire, header fields and signatures estimated."""

    sender: str
    subject: str
    preheader: str
    text: str
    html: str
    text_size: int
    html_size: int
    message_size: int
    clipped: bool
    clipped_at: int = CLIPPED_AT


def preview(
    parts: Mapping[str, str],
    variables: Mapping[str, str],
    *,
    source: str = "example.com",
    campaign: str = "",
    stream: str = "",
) -> Preview:
    """See the module.  `source`, `campaign` and `stream` go into UTM parameters."""
    template = MailTemplate(parts)
    values = samples(variables)
    rendered = template.render(values)
    if template.utm:
        rendered = tagged(
            rendered, template.utm, source=source, campaign=campaign, stream=stream, spare=(values["unsubscribe_url"],)
        )
    line = parts.get("preheader", "")
    shown = MailTemplate({"text": line}).render(values).text if line else ""
    html_size = len(rendered.html.encode())
    encoded = sum(
        len(b"\r\n".join(text_part(kind, text)))
        for kind, text in (("plain", rendered.text), ("html", rendered.html))
        if text
    )
    return Preview(
        sender=rendered.sender, subject=rendered.subject, preheader=shown, text=rendered.text, html=rendered.html,
        text_size=len(rendered.text.encode()), html_size=html_size, message_size=encoded + _HEADER_ROOM,
        clipped=html_size > CLIPPED_AT,
    )  # fmt: skip
