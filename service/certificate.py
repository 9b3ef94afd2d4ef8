"""The certificate that a listener of ours shows, read anew when it was renewed.

Contract: `read` builds the context (TLS 1.2 and later), None where no certificate is set; `fresh()` gives it, with the
files as they are now: a renewed pair serves from the next connection on, a broken one leaves the old in place and is
logged.  Raises InvalidInput naming the key of the settings when the first pair cannot be loaded.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from core.errors import InvalidInput

logger = logging.getLogger("penstock.certificate")


class Certificate:
    """See the module.  `door` is the table of the settings that names the files."""

    def __init__(self, door: str, chain: Path | None, key: Path | None) -> None:
        self._door = door
        self._files = (chain, key) if chain is not None and key is not None else None
        self._stamp = self._stamped()
        self._context = self._read()

    def fresh(self) -> ssl.SSLContext | None:
        """The context with the newest good pair; always the same object, which listening sockets hold."""
        stamp = self._stamped()
        if self._context is None or self._files is None or stamp == self._stamp:
            return self._context
        self._stamp = stamp
        try:
            self._read()
        except InvalidInput as error:
            logger.error("%s: the old certificate stays: %s", self._door, error)
            return self._context
        self._context.load_cert_chain(*self._files)  # the pair fits
        logger.info("%s: the certificate was read anew", self._door)
        return self._context

    def _stamped(self) -> tuple[int, ...]:
        """Changes when a file was written again."""
        found = []
        for path in self._files or ():
            try:
                found.append(path.stat().st_mtime_ns)
            except OSError:  # between removing and writing: looked at again at the next connection
                found.append(-1)
        return tuple(found)

    def _read(self) -> ssl.SSLContext | None:
        if self._files is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"{self._door}.tls_cert", f"{self._files[0]} cannot be loaded ({error.__class__.__name__})",
                "Give a PEM certificate chain and its key",
            ) from error  # fmt: skip
        return context
