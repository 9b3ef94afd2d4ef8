"""Events and other frozen values to JSON text and back.

The kind of an event is its class name, stored beside the JSON: a closed union needs no guessing.  Infinite floats are
kept (the evidence of a rule may have no bound): as `null`, the default, they could never be read again.  What cannot
be UTF-8 (half a surrogate pair in a text from outside) becomes `?`, so that no text can keep an event out of the log.
Raises ValueError for an unknown kind (a log written by a newer version).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import Any, TypeAlias, get_args

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

from core.events import Event, Logged
from core.reply import Reply
from core.state import DmarcReport, Gate, StepState

_CLASSES: dict[str, type[Event]] = {cls.__name__: cls for cls in get_args(Event)}
KINDS = frozenset(_CLASSES)

GATE: TypeAdapter[Gate] = TypeAdapter(Gate)
STEP: TypeAdapter[StepState] = TypeAdapter(StepState)
DMARC: TypeAdapter[DmarcReport] = TypeAdapter(DmarcReport)
REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)


def text_of(value: Any) -> str:
    """JSON text of a frozen dataclass."""
    try:
        return to_json(value, inf_nan_mode="constants").decode()
    except (PydanticSerializationError, UnicodeEncodeError):
        return json.dumps(asdict(value), ensure_ascii=False).encode("utf-8", "replace").decode()


EncodedEvent: TypeAlias = dict[str, object]  # the log's columns


def event_row(event: Event) -> EncodedEvent:
    """The log's columns for an event."""
    kind = type(event).__name__
    return {
        "at": event.at,
        "kind": kind,
        "message_id": getattr(event, "message_id", None),
        "pause_id": getattr(event, "pause_id", None),
        "body": text_of(event),
    }


def logged(seq: int, kind: str, body: str) -> Logged:
    """An event read from the log."""
    if kind not in KINDS:
        raise ValueError(f"event {seq} is of the unknown kind {kind!r}: it was written by a newer version")
    return Logged(seq=seq, event=_adapter(kind).validate_json(body))


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    # at the first event of the kind: all at once take 5 MB, and a process that only writes needs none
    return TypeAdapter(_CLASSES[kind])
