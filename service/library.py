"""The templates that callers name: files of one folder (`templates` of the settings).

Contract: a name is a file of the folder without its ending (`receipt` is receipt.toml, receipt.json or receipt.html);
it can lead nowhere else.  A file is read again when it changed, so a mended template needs no restart.  Bounded in
number and size.  Raises InvalidInput naming the template; a folder that is missing is one as well.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from pathlib import Path

from core.errors import InvalidInput
from service.commands.template_file import read_template

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_ENDINGS = (".toml", ".json", ".html")
MAX_CACHED = 64


class TemplateLibrary:
    """See the module.  `folder` None: nothing is found."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._cached: OrderedDict[str, tuple[tuple[float, ...], dict[str, str]]] = OrderedDict()

    async def parts(self, name: str) -> dict[str, str]:
        """The parts of that template, as POST /v1/messages takes them."""
        if self._folder is None:
            raise InvalidInput("template", "there is no folder of templates", "Set `templates` in penstock.toml")
        if not _NAME.fullmatch(name):
            raise _unknown(name)
        known = self._cached.get(name)
        found = await asyncio.to_thread(_read, self._folder, name, known[0] if known else ())
        if found is not None:
            self._cached[name] = known = found
            while len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)
        assert known is not None
        return dict(known[1])


def _read(folder: Path, name: str, stamp: tuple[float, ...]) -> tuple[tuple[float, ...], dict[str, str]] | None:
    """The parts with the folder's stamp; None when that is `stamp` still."""
    path = next((p for ending in _ENDINGS if (p := folder / f"{name}{ending}").is_file()), None)
    if path is None:
        raise _unknown(name)
    try:
        # a part may lie in a file beside it
        now = tuple(sorted(entry.stat().st_mtime for entry in os.scandir(folder)))
        return None if now == stamp else (now, read_template(path).parts)
    except OSError as error:
        raise InvalidInput("template", f"{name} cannot be read", "Check the file and its rights") from error


def _unknown(name: str) -> InvalidInput:
    shown = "".join(c if c.isprintable() else "?" for c in name[:100])
    return InvalidInput("template", f"there is no template {shown!r}", "Put NAME.toml into the folder `templates`")
