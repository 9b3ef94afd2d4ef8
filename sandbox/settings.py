"""The sandbox's `penstock.toml`: one sending domain, two sources on loopback, seeds at every provider, short waits.

Contract: `sample_settings` writes the secrets that the settings name (seed passwords, one SMTP user, mode 0600, made
anew at each start) and the trust anchor of the sandbox's servers below `data_dir/sandbox`, and returns the text of the
file.  DKIM keys are named there and made by the caller (`DKIM_KEYS`).  Plan and rules are the sandbox's own.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

DOMAIN = "meadow.example"
RETURN_PATH = f"rp.{DOMAIN}"
DMARC_ADDRESS = f"dmarc@{RETURN_PATH}"
FEEDBACK_ADDRESS = f"fbl@{RETURN_PATH}"
SOURCES = {"river": "127.7.1.1", "brook": "127.7.1.2"}
SMTP_USER = "demo"
# selector, algorithm, file below data_dir/sandbox
DKIM_KEYS: tuple[tuple[str, Literal["rsa-sha256", "ed25519-sha256"], str], ...] = (
    ("s1", "rsa-sha256", "dkim-rsa.pem"),
    ("e1", "ed25519-sha256", "dkim-ed25519.pem"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAccount:
    """A seed mailbox and its password at a provider's IMAP server."""

    address: str
    provider: str
    host: str
    password: str


def ehlo_of(source: str) -> str:
    """EHLO name of a source of the sandbox."""
    return f"{source}.{DOMAIN}"


def folder_of(data_dir: Path) -> Path:
    """Where the sandbox's files lie."""
    return data_dir.resolve() / "sandbox"


def sample_settings(
    data_dir: Path,
    *,
    http_port: int,
    smtp_port: int,
    imap_port: int,
    inbound: tuple[str, int],
    submission_port: int,
    seeds: Sequence[SeedAccount],
    trust_anchor: str,
) -> str:
    """Write the secrets and return the settings.  OSError when the folder cannot be written."""
    folder = folder_of(data_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "ca.pem").write_text(trust_anchor)
    _secret(folder / "smtp-user.password", secrets.token_urlsafe(18))
    for seed in seeds:
        _secret(folder / f"{seed.address}.password", seed.password)
    data = files("sandbox") / "data"
    lines = [
        "# Settings of the sandbox, written anew at each start: what you change here is lost.",
        *_table("", {"node": "sandbox", "data_dir": str(data_dir.resolve())}),
        *_table("[sending_domains]", {"name": DOMAIN, "return_path": RETURN_PATH}),
    ]
    for selector, algorithm, name in DKIM_KEYS:
        values = {"selector": selector, "algorithm": algorithm, "key_file": str(folder / name)}
        lines += _table("[sending_domains.dkim]", values)
    for source, bind in SOURCES.items():
        lines += _table("[sources]", {"name": source, "bind": bind, "ehlo": ehlo_of(source)})
    transactional = {"name": "transactional", "kind": "transactional", "priority": 0, "unsubscribe": False}
    lines += _table("[streams]", transactional)
    # the audience is small and a day short: with the usual caps the story would run out of people
    lines += _table("[streams]", {"name": "triggered", "priority": 3, "per_day": 0, "per_week": 0})
    lines += _table("[streams]", {"name": "bulk", "priority": 5, "per_day": 0, "per_week": 0})
    lines += _table("http", {"port": http_port, "public_url": f"http://127.0.0.1:{http_port}"})
    lines += _table("submission", {"host": "127.0.0.1", "port": submission_port, "require_tls": False})
    user = {"name": SMTP_USER, "password_file": str(folder / "smtp-user.password"), "sending_domain": DOMAIN}
    lines += _table("[submission.users]", user)
    listener = {
        "host": inbound[0],
        "port": inbound[1],
        "dmarc_address": DMARC_ADDRESS,
        "feedback_address": FEEDBACK_ADDRESS,
    }
    lines += _table("inbound", listener)
    delivery = {
        "port": smtp_port,
        "connect_timeout_seconds": 5,
        "command_timeout_seconds": 20,
        "idle_seconds": 2,
        "lease_seconds": 60,
    }
    lines += _table("delivery", delivery)
    lines += _table("warmup", {"plans": [str(data / "plan.toml")]})
    lines += _table("monitor", {"rules": str(data / "rules.toml"), "max_lag_seconds": 20})
    lines += _table("alerts", {"post_interval_seconds": 5})
    alert_mail = {"name": "ops", "to": ["ops@workshop.example"], "sender": f"alerts@{DOMAIN}"}
    lines += _table("[alerts.mails]", alert_mail)
    lines += _table("seeds", {"poll_seconds": 2, "quiet_seconds": 2})
    for seed in seeds:
        mailbox = {
            "mailbox": seed.address,
            "provider": seed.provider,
            "host": seed.host,
            "port": imap_port,
            "security": "tls",
            "ca_file": str(folder / "ca.pem"),
            "user": seed.address,
            "password_file": str(folder / f"{seed.address}.password"),
        }
        lines += _table("[seeds.mailboxes]", mailbox)
    return "\n".join(lines) + "\n"


def _table(name: str, values: Mapping[str, object]) -> list[str]:
    """One table; strings, numbers, booleans and lists of strings are written alike in JSON and in TOML."""
    head = ["", f"[{name}]"] if name else []
    return [*head, *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())]


def _secret(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value + "\n")
