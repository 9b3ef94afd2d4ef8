"""What the sandbox's providers find out about a message's authentication: SPF, DKIM and their alignment.

Contract: real checks against the sandbox's zone.  SPF (RFC 7208) knows ip4, a plain `all` and nothing else; DKIM
(RFC 6376, RFC 8463) verifies rsa-sha256 and ed25519-sha256, canonicalised simple or relaxed, over the whole body.
Alignment is relaxed.  Nothing is refused for it: results go into Authentication-Results and DMARC reports.
A signature that cannot be read is a failed one; nothing raises.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sandbox.dns import ZoneResolver
from sandbox.feedback import Sent, field_value, header_fields

MAX_SIGNATURES = 5
_SPACE = re.compile(rb"[ \t]+")
PublicKey: TypeAlias = RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One DKIM signature; `passed` when it verified."""

    domain: str
    selector: str
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthResults:
    """Outcome of one message.  `spf` is 'pass', 'fail' or 'none'."""

    header_from: str
    envelope_from: str
    spf: str
    signatures: tuple[Signature, ...]

    @property
    def spf_aligned(self) -> bool:
        return self.spf == "pass" and aligned(self.envelope_from, self.header_from)

    @property
    def dkim_aligned(self) -> bool:
        return any(s.passed and aligned(s.domain, self.header_from) for s in self.signatures)

    def header(self, host: str) -> str:
        """An Authentication-Results field (RFC 8601), with its CRLF."""
        parts = [
            f"dkim={'pass' if s.passed else 'fail'} header.d={s.domain} header.s={s.selector}" for s in self.signatures
        ]
        parts += [
            f"spf={self.spf} smtp.mailfrom={self.envelope_from}",
            f"dmarc={'pass' if self.spf_aligned or self.dkim_aligned else 'fail'} header.from={self.header_from}",
        ]
        return f"Authentication-Results: {host};\r\n\t" + ";\r\n\t".join(parts) + "\r\n"


def aligned(domain: str, header_from: str) -> bool:
    """Relaxed alignment, without a public suffix list: one lies in the other."""
    return domain == header_from or domain.endswith("." + header_from) or header_from.endswith("." + domain)


class Authenticator:
    """Checks messages against one zone.  Keys are loaded once and kept."""

    def __init__(self, zone: ZoneResolver) -> None:
        self._zone = zone
        self._keys: dict[tuple[str, str], PublicKey] = {}

    def check(self, sent: Sent) -> AuthResults:
        """The results for one message."""
        envelope_from = sent.mail_from.rpartition("@")[2].lower()
        head, _, body = sent.content.partition(b"\r\n\r\n")
        fields = header_fields(head + b"\r\n\r\n")
        signatures = [f for name, f in fields if name == "dkim-signature"][:MAX_SIGNATURES]
        return AuthResults(
            header_from=field_value(sent.content, "from").rpartition("@")[2].strip(" <>").lower(),
            envelope_from=envelope_from,
            spf=self._spf(sent.ip, envelope_from),
            signatures=tuple(self._verify(signature, fields, body) for signature in signatures),
        )

    def _spf(self, ip: str, domain: str) -> str:
        record = self._zone.text_now(domain, "v=spf1")
        if not record:
            return "none"
        for term in record.split()[1:]:
            if term.startswith("ip4:"):
                try:
                    if ipaddress.ip_address(ip) in ipaddress.ip_network(term[4:], strict=False):
                        return "pass"
                except ValueError:
                    return "none"
        return "fail" if record.endswith("all") else "none"

    def _verify(self, signature: bytes, fields: list[tuple[str, bytes]], body: bytes) -> Signature:
        tags = _tags(signature)
        domain, selector = tags.get("d", "").lower(), tags.get("s", "")
        try:
            passed = self._holds(signature, tags, fields, body)
        except (KeyError, ValueError, binascii.Error, InvalidSignature, UnsupportedAlgorithm):
            passed = False
        return Signature(domain=domain, selector=selector, passed=passed)

    def _holds(self, signature: bytes, tags: dict[str, str], fields: list[tuple[str, bytes]], body: bytes) -> bool:
        header_form, _, body_form = tags.get("c", "simple/simple").partition("/")
        hashed = hashlib.sha256(_body(body, relaxed=body_form == "relaxed")).digest()
        if "l" in tags or base64.b64decode(tags["bh"]) != hashed:
            return False
        relaxed = header_form == "relaxed"
        left = list(fields)
        signed = bytearray()
        for name in tags["h"].lower().split(":"):
            for at in range(len(left) - 1, -1, -1):  # the lowest instance first (RFC 6376 section 5.4.2)
                if left[at][0] == name.strip():
                    signed += _field(left.pop(at)[1], relaxed=relaxed)
                    break
        emptied = re.sub(rb"([;:\s]b\s*=)[^;]*", rb"\1", signature, count=1)
        signed += _field(emptied, relaxed=relaxed).rstrip(b"\r\n")
        key = self._key(tags["s"], tags["d"].lower())
        value = base64.b64decode(tags["b"])
        if isinstance(key, Ed25519PublicKey):
            key.verify(value, hashlib.sha256(signed).digest())
        else:
            key.verify(value, bytes(signed), PKCS1v15(), SHA256())
        return True

    def _key(self, selector: str, domain: str) -> PublicKey:
        found = self._keys.get((selector, domain))
        if found is None:
            tags = _tags(b"x:" + self._zone.text_now(f"{selector}._domainkey.{domain}").encode())
            raw = base64.b64decode(tags["p"])
            if tags.get("k") == "ed25519":
                found = Ed25519PublicKey.from_public_bytes(raw)
            else:
                loaded = load_der_public_key(raw)
                if not isinstance(loaded, RSAPublicKey):
                    raise ValueError("not an RSA key")
                found = loaded
            self._keys[selector, domain] = found
        return found


def _tags(field: bytes) -> dict[str, str]:
    """Tag list of a DKIM-Signature field or key record; white space inside values is dropped."""
    text = field.partition(b":")[2].decode("ascii", "replace")
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): "".join(value.split()) for name, _, value in pairs if name.strip()}


def _field(field: bytes, *, relaxed: bool) -> bytes:
    if not relaxed:
        return field
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip() + b"\r\n"


def _body(body: bytes, *, relaxed: bool) -> bytes:
    if relaxed:
        body = b"\r\n".join(_SPACE.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n"))
    stripped = body.rstrip(b"\r\n")
    return stripped + b"\r\n" if stripped or not relaxed else b""
