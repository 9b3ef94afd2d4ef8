"""One file to its reports: strictly by expat; leniently by our own reader when the XML is broken.

Contract: `parse_aggregate(payload, filename)` returns one DmarcReport for each report in the file and a Refusal for
everything that is none.  It never raises for what is in the file, expands no entity, opens nothing, and keeps the
bounds of `Limits`.  Both readers call the same handlers; the lenient one begins anew at the file's start.
"""

from __future__ import annotations

from pyexpat import ExpatError, ParserCreate, XMLParserType
from pyexpat import errors as expat_errors

from collectors.dmarc.defects import Defect, Limits, Meter, Refusal, Refused
from collectors.dmarc.fold import Fold, Misnested
from collectors.dmarc.shapes import ShapedFeed
from collectors.dmarc.soup import read_soup
from collectors.dmarc.text import clean
from collectors.dmarc.unpack import Stream, unpack
from core.state import DmarcReport

Result = DmarcReport | Refusal
DEFAULT = Limits()
_FEED = 65_536


def parse_aggregate(payload: bytes, filename: str = "", limits: Limits = DEFAULT) -> list[Result]:
    """Every report in one attached or uploaded file, packed or not."""
    meter = Meter(limits)
    results: list[Result] = []
    for stream in unpack(payload, filename, meter):
        results += [stream] if isinstance(stream, Refusal) else read_stream(stream, meter)
    return results


def read_stream(stream: Stream, meter: Meter) -> list[Result]:
    """Every report in one unpacked file.  Its notes end with it."""
    try:
        return _read(stream, meter)
    finally:
        meter.notes.clear()


def _read(stream: Stream, meter: Meter) -> list[Result]:
    before, counted = list(meter.notes), meter.records
    fold = Fold(meter)
    try:
        try:
            _read_strict(stream, fold, meter)
        except (ExpatError, Misnested) as error:
            meter.notes.clear()
            for text in before:
                meter.note(text)
            text = str(error)
            if isinstance(error, ExpatError):
                text = f"{expat_errors.messages.get(error.code, 'error')}, line {error.lineno}"
            meter.note(f"the XML is broken ({text}): read leniently")
            meter.records = counted
            fold = Fold(meter)
            read_soup(clean(stream.open(), meter), fold, meter)
            if not fold.drafts and fold.root in ("", "feedback"):
                raise Refused(Defect.BROKEN_XML, f"no report can be recovered: {text}") from error
        if not fold.drafts:
            raise Refused(Defect.NOT_A_REPORT, f"the root element is <{fold.root[:40]}> and not <feedback>")
        return fold.results(stream.name)
    except Refused as error:
        return [error.of(stream.name, *fold.counted())]


def _read_strict(stream: Stream, fold: Fold, meter: Meter) -> None:
    names: dict[str, str] = {}
    # expat before 2.6 reads an unfinished token again with every feed: the bound on tokens keeps that harmless
    parser = ParserCreate("utf-8", None, names)
    parser.buffer_text = True
    parser.buffer_size = 8192
    parser.StartElementHandler = fold.begin
    parser.EndElementHandler = fold.end
    parser.CharacterDataHandler = fold.chars
    parser.EntityDeclHandler = _refuse_entity
    reader = _Expat(parser)
    feed = ShapedFeed(fold, reader)
    try:
        for piece in clean(stream.open(), meter):
            for at in range(0, len(piece), _FEED):
                feed.feed(piece[at : at + _FEED])
                fold.trim()
                if reader.fed - parser.CurrentByteIndex > meter.limits.token_bytes:
                    raise Refused(Defect.TOO_LARGE, f"one tag or text has more than {meter.limits.token_bytes} bytes")
            if len(names) > meter.limits.names:
                raise Refused(
                    Defect.TOO_MANY, f"more than {meter.limits.names} different names of elements and attributes"
                )
        feed.end()
        parser.Parse(b"", True)
    except ExpatError as error:
        error.lineno += feed.lines
        raise


class _Expat:
    """The strict reader."""

    def __init__(self, parser: XMLParserType) -> None:
        self._parser = parser
        self.fed = 0

    def give(self, text: bytes) -> None:
        self._parser.Parse(text, False)
        self.fed += len(text)

    def at_rest(self) -> bool:
        return self._parser.CurrentByteIndex == self.fed


def _refuse_entity(name: str, *rest: object) -> None:
    raise Refused(Defect.ENTITIES, f"declares the entity {name[:40]!r}; entities are never expanded")
