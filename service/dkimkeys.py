"""DKIM keys of our sending domains: files, selectors, records, and the settings that name them.

Contract: the settings are the source of truth: the signer signs with the keys that they name and with no other.  A key
that lies in the folder and is not named is *prepared*: its record can be published and checked first.  `prepare` never
overwrites a file and writes mode 0600.  `with_key` edits the text of a settings file: of one `[[sending_domains.dkim]]`
table it replaces `selector` and `key_file` and touches nothing else; it raises InvalidInput when it cannot find them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.model import DkimKey, SendingDomain, Settings
from core.address import normal_domain
from core.errors import InvalidInput
from sender.dkim import Algorithm, new_key, public_record

MAX_STRING = 255  # octets of one string of a TXT record (RFC 1035 section 3.3.14)
_FILE = re.compile(r"(?P<selector>[a-z0-9][a-z0-9_.-]{0,62})\._domainkey\.(?P<domain>.+)\.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key.  `active`: the settings name it, so mail is signed with it."""

    domain: str
    selector: str
    algorithm: Algorithm
    path: Path
    record: str
    active: bool

    @property
    def name(self) -> str:
        """Where its record lies."""
        return f"{self.selector}._domainkey.{self.domain}"


class KeyRing:
    """The keys of the settings and those prepared in a folder (default: `keys` in the data folder)."""

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        self._settings = settings
        self.folder = folder or settings.data_dir / "keys"

    def domain(self, name: str = "") -> SendingDomain:
        """The sending domain of that name, or the only one.  Raises InvalidInput."""
        ours = self._settings.sending_domains
        if not name and len(ours) == 1:
            return ours[0]
        found = next((d for d in ours if name and normal_domain(d.name) == normal_domain(name)), None)
        if found is None:
            known = ", ".join(d.name for d in ours)
            raise InvalidInput(
                "--domain", f"{name!r} is no sending domain" if name else "is needed", f"One of: {known}"
            )
        return found

    def keys(self, domain: str = "") -> list[Key]:
        """Active keys first, then prepared ones; of one domain, or of all.  Raises InvalidInput for a bad key file."""
        chosen = [self.domain(domain)] if domain else self._settings.sending_domains
        return [key for one in chosen for key in (*self._active(one), *self._prepared(one))]

    def key(self, domain: str, selector: str) -> Key:
        """One key.  Raises InvalidInput when there is no such selector."""
        for key in self.keys(domain):
            if key.selector == selector:
                return key
        raise InvalidInput("--selector", f"{selector!r} is no key of {domain}", "See `penstock dkim list`")

    def prepare(self, domain: str, selector: str, algorithm: Algorithm) -> Key:
        """Make a key file.  Raises InvalidInput when the selector is taken or no name."""
        name = normal_domain(self.domain(domain).name)
        if _FILE.fullmatch(f"{selector}._domainkey.{name}.pem") is None:
            raise InvalidInput("--selector", f"{selector!r} is no selector", "Lower-case letters, digits, '-'")
        if any(key.selector == selector for key in self.keys(name)):
            raise InvalidInput("--selector", f"{selector!r} is taken", "A selector is never used for a second key")
        pem, record = new_key(algorithm)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{selector}._domainkey.{name}.pem"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        return Key(domain=name, selector=selector, algorithm=algorithm, path=path, record=record, active=False)

    def next_selector(self, domain: str, selector: str) -> str:
        """The first free one after `selector`: p1, p2 → p3."""
        taken = {key.selector for key in self.keys(domain)}
        stem, digits = re.fullmatch(r"(.*?)(\d*)", selector, re.S).groups()  # type: ignore[union-attr]  # always matches
        number = int(digits[-6:] or 1) + 1
        while f"{stem}{number}" in taken:
            number += 1
        return f"{stem}{number}"

    def _active(self, domain: SendingDomain) -> Iterator[Key]:
        for row in domain.dkim:
            yield _key(normal_domain(domain.name), row)
        for second in domain.second_signatures:
            yield _key(normal_domain(second.domain), second)

    def _prepared(self, domain: SendingDomain) -> Iterator[Key]:
        name = normal_domain(domain.name)
        named = {row.selector for row in domain.dkim}
        for path in sorted(self.folder.glob(f"*._domainkey.{name}.pem")) if self.folder.is_dir() else ():
            match = _FILE.fullmatch(path.name)
            if match is None or match["domain"] != name or match["selector"] in named:
                continue
            record = public_record(_read(path))
            algorithm: Algorithm = "ed25519-sha256" if "k=ed25519" in record else "rsa-sha256"
            yield Key(
                domain=name, selector=match["selector"], algorithm=algorithm, path=path, record=record, active=False
            )  # fmt: skip


def zone_line(key: Key) -> str:
    """The record as a zone file holds it, in strings of at most 255 octets."""
    parts = [key.record[i : i + MAX_STRING] for i in range(0, len(key.record), MAX_STRING)]
    return f"{key.name}. 3600 IN TXT " + " ".join(f'"{part}"' for part in parts)


def table_of(key: Key, folder: Path) -> str:
    """The settings that make the signer use it; the path counts from `folder`, where the settings lie."""
    path = key.path.resolve()
    shown = path.relative_to(folder.resolve()) if path.is_relative_to(folder.resolve()) else path
    return f'[[sending_domains.dkim]]\nselector = "{key.selector}"\nalgorithm = "{key.algorithm}"\nkey_file = "{shown}"'


def with_key(text: str, domain: str, selector: str, new: Key, folder: Path) -> str:
    """The settings text with `new` in the place of the domain's `selector`."""
    lines = text.splitlines(keepends=True)
    start = _table_start(lines, domain, selector)
    end = next((n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    wanted = dict(re.findall(r'(?m)^(selector|key_file) = (".*")$', table_of(new, folder)))
    for name, value in wanted.items():
        for n in range(start, end):
            found = re.match(rf"(\s*{name}\s*=\s*)([\"'])[^\"']*\2", lines[n])
            if found is not None:
                lines[n] = found[1] + value + lines[n][found.end() :]
                break
        else:
            raise InvalidInput("settings", f"no line sets {name} of selector {selector}", "Write it by hand")
    return "".join(lines)


def _table_start(lines: Sequence[str], domain: str, selector: str) -> int:
    """The line of the head of the `[[sending_domains.dkim]]` table of that domain and selector."""
    ours, start = "", -1
    for n, line in enumerate(lines):
        bare = line.split("#")[0].strip()
        if bare.startswith("["):
            start = n if bare == "[[sending_domains.dkim]]" else -1
            ours = "" if bare == "[[sending_domains]]" else ours
        elif match := re.fullmatch(r"(name|selector)\s*=\s*[\"']([^\"']*)[\"']", bare):
            if match[1] == "name" and start < 0 and not ours:
                ours = match[2]
            elif (
                (match[1], match[2]) == ("selector", selector)
                and start >= 0
                and normal_domain(ours or domain) == normal_domain(domain)
            ):
                return start
    raise InvalidInput("settings", f"no [[sending_domains.dkim]] table sets selector {selector}", "Write it by hand")


def _key(domain: str, row: DkimKey) -> Key:
    return Key(
        domain=domain, selector=row.selector, algorithm=row.algorithm, path=row.key_file,
        record=public_record(_read(row.key_file)), active=True,
    )  # fmt: skip


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(65_536)
    except OSError as error:
        raise InvalidInput(str(path), f"cannot be read ({error.strerror})", "Mend the path or its rights") from error
