"""A throwaway self-signed certificate."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.daemons.process import program


def make_certificate(folder: Path, name: str, *also: str) -> tuple[Path, Path]:
    """(certificate, key) for these names and 127.0.0.1."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "30", "-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={name}",
         "-addext", "subjectAltName=" + "".join(f"DNS:{one}," for one in (name, *also)) + "IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
