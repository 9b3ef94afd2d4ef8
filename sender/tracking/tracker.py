"""Tracks the messages of streams that wish it: the composer's view of this room.

Contract: a stream without a wish costs one look into a dictionary.  Whole messages are cut once and then joined for
each recipient; what was cut is kept, bounded in number and bytes.  Always before DKIM: what is signed is what is sent.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from config.model import Settings
from core.links import sign_link
from core.messages import BodyId
from core.tokens import MessageId, Purpose, TokenSigner
from sender.headers import Prepared
from sender.template import Rendered
from sender.tracking.links import Wish, Writer, html_pieces, joined, text_pieces
from sender.tracking.whole import Cut, cut

MAX_CACHED = 64
MAX_CACHED_BYTES = 16_000_000


class Tracker:
    """See the module."""

    def __init__(self, signer: TokenSigner, settings: Settings) -> None:
        self._signer = signer
        self._own = settings.http.public_url
        self._wishes = {
            s.name: Wish(opens=s.track_opens, clicks=s.track_clicks, text=s.track_text)
            for s in settings.streams
            if s.track_opens or s.track_clicks
        }
        self._cuts: OrderedDict[BodyId, tuple[Cut | None, int]] = OrderedDict()
        self._bytes = 0

    def rendered(self, parts: Rendered, stream: str, message_id: MessageId, now: float) -> Rendered:
        """The texts of one recipient with his links."""
        wish = self._wishes.get(stream)
        if wish is None:
            return parts
        writer = self._writer(message_id, now)
        html = joined(html_pieces(parts.html, wish, self._own), writer) if parts.html else ""
        text = joined(text_pieces(parts.text, wish, self._own), writer) if wish.text else parts.text
        return replace(parts, html=html, text=text)

    def whole(self, ready: Prepared, stream: str, body_id: BodyId, message_id: MessageId, now: float) -> Prepared:
        """The message that came whole, with the links of one recipient."""
        wish = self._wishes.get(stream)
        if wish is None:
            return ready
        known = self._cut(ready, wish, body_id)
        if known is None:
            return ready
        return replace(ready, fields=known.fields, body=known.body(self._writer(message_id, now)))

    def _writer(self, message_id: MessageId, now: float) -> Writer:
        return Writer(
            click=lambda target: f"{self._own}/c/{sign_link(self._signer, message_id, target, now)}",
            pixel=lambda: f"{self._own}/t/{self._signer.sign(Purpose.OPEN, message_id, now)}.gif",
        )

    def _cut(self, ready: Prepared, wish: Wish, body_id: BodyId) -> Cut | None:
        known = self._cuts.get(body_id)
        if known is None:
            known = (cut(ready, wish, self._own), len(ready.body))
            self._cuts[body_id] = known
            self._bytes += known[1]
            while len(self._cuts) > 1 and (len(self._cuts) > MAX_CACHED or self._bytes > MAX_CACHED_BYTES):
                self._bytes -= self._cuts.popitem(last=False)[1][1]
        else:
            self._cuts.move_to_end(body_id)
        return known[0]
