"""DKIM signatures (RFC 6376, RFC 8301, RFC 8463): RSA-2048 and Ed25519 through OpenSSL, keys loaded once.

Contract: `sign` returns the message with CRLF line ends and one DKIM-Signature field for each key of its sending
domain on top, those of its second signatures (another d=) last, in the order of the settings; relaxed/relaxed, the
whole body, no l=.  Fields of OVERSIGNED are named once more than they occur, so that nobody can add a second From or
Subject to our mail; those of WHEN_PRESENT likewise when they occur at all.  A domain without keys gets its message
back unsigned.
Loading raises InvalidInput naming the key file and the remedy; the key itself never stands in an error.
Thread-safe after construction, but for the cache of body hashes, whose worst case is one hash too many.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.model import DkimKey, SendingDomain
from core.address import normal_domain
from core.errors import InvalidInput
from sender.dkim_canon import relaxed_body, relaxed_fields, selected, split_message
from sender.tidy import Tidy
from sender.wire import crlf

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]
PrivateKey = rsa.RSAPrivateKey | Ed25519PrivateKey

RSA_BITS = 2048
MIN_RSA_BITS = 1024  # RFC 8301 section 3.2: verifiers must refuse less
MAX_KEY_FILE = 65_536

OVERSIGNED: tuple[bytes, ...] = (
    b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version",
    b"content-type", b"content-transfer-encoding",
)  # fmt: skip
WHEN_PRESENT: tuple[bytes, ...] = (
    b"list-unsubscribe", b"list-unsubscribe-post", b"list-id", b"feedback-id", b"x-penstock-token", b"cfbl-address",
    b"cfbl-feedback-id", b"in-reply-to", b"references", b"auto-submitted", b"precedence", b"x-mailru-msgtype",
)  # fmt: skip

_CACHED_BODIES = 32
_CACHED_BODY_BYTES = 262_144
_CACHED_SHAPES = 256
_SHA256, _PKCS1 = hashes.SHA256(), padding.PKCS1v15()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signer:
    """One key, ready.  `head` is the constant beginning of its field."""

    head: bytes
    key: PrivateKey

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, _PKCS1, _SHA256)
        # RFC 8463 section 3: Ed25519 signs the SHA-256 of the data
        return self.key.sign(hashlib.sha256(data).digest())


class DkimSigner:
    """Signs for the given domains.  Reads every key file at construction: 40 ms an RSA key, once."""

    def __init__(self, domains: Sequence[SendingDomain]) -> None:
        self._signers = {
            normal_domain(domain.name): (
                *(_signer(normal_domain(domain.name), key) for key in domain.dkim),
                *(_signer(normal_domain(key.domain), key) for key in domain.second_signatures),
            )
            for domain in domains
        }
        self._bodies: dict[int, tuple[bytes, bytes]] = {}  # by id; the body is kept, so its id is its own
        self._shapes: dict[tuple[bytes, ...], tuple[tuple[int, ...], bytes]] = {}

    def sign(self, message: bytes, sending_domain: str, now: float) -> bytes:
        """The signed message; `now` in epoch seconds becomes t=.  Raises InvalidInput for a domain not ours."""
        message = crlf(message)
        return self.signature(*split_message(message), sending_domain, now) + message

    def signature(self, head: bytes, body: bytes, sending_domain: str, now: float) -> bytes:
        """The signature fields alone, for a message with CRLF line ends, split at its empty line: see `sign`."""
        signers = self._signers.get(sending_domain)
        if signers is None:
            raise InvalidInput(
                "sending_domain", f"{sending_domain!r} is not configured", "Add it under [[sending_domains]]"
            )
        if not signers:
            return b""
        fields = relaxed_fields(head)
        order, h = self._shape(fields)
        data = b"".join([b"%b:%b\r\n" % fields[at] for at in order])
        tail = b" t=%d;%b bh=%b;\r\n b=" % (int(now), h, self._body_hash(body))
        out: list[bytes] = []
        for signer in signers:
            field = signer.head + tail
            # each fold is CRLF and one space, so the canonical form only drops the CRLF
            signature = signer.sign(data + b"dkim-signature:" + field.replace(b"\r\n", b""))
            out.append(b"DKIM-Signature: " + field + _folded(base64.b64encode(signature)) + b"\r\n")
        return b"".join(out)

    def _body_hash(self, body: bytes) -> bytes:
        """Base64 of the body's hash.  A campaign shares one body: hashing it once saves most of what is not RSA.

        Known by identity: to look a body up by its bytes costs half of what it could save, for each that is new."""
        known = self._bodies.get(id(body))
        if known is not None and known[0] is body:
            return known[1]
        relaxed = body if isinstance(body, Tidy) else relaxed_body(body)
        found = base64.b64encode(hashlib.sha256(relaxed).digest())
        if len(body) <= _CACHED_BODY_BYTES:
            if len(self._bodies) >= _CACHED_BODIES:
                self._bodies.pop(next(iter(self._bodies)), None)
            self._bodies[id(body)] = body, found
        return found

    def _shape(self, fields: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[int, ...], bytes]:
        """Which fields are signed, in what order, and the h= tag, for a header with these names in this order."""
        there = tuple([name for name, _ in fields])
        found = self._shapes.get(there)
        if found is None:
            names = _names_to_sign(there)
            found = selected(there, names), _folded_names(names)
            if len(self._shapes) < _CACHED_SHAPES:
                self._shapes[there] = found
        return found


def new_key(algorithm: Algorithm) -> tuple[bytes, str]:
    """A fresh private key as PEM (PKCS#8), and the text of its DNS record."""
    match algorithm:
        case "rsa-sha256":
            key: PrivateKey = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        case "ed25519-sha256":
            key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, _record(key)


def public_record(pem: bytes) -> str:
    """The TXT record (one text, over 255 octets for RSA) at `SELECTOR._domainkey.DOMAIN`.  Raises InvalidInput."""
    return _record(_private_key(pem, "key"))


def _record(key: PrivateKey) -> str:
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        # RFC 8463 section 4.2: the bare 32 octets, not the structure around them
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"


def _signer(domain: str, row: DkimKey) -> _Signer:
    key = _load(row.key_file)
    fits = isinstance(key, rsa.RSAPrivateKey) == (row.algorithm == "rsa-sha256")
    if not fits:
        raise InvalidInput(
            str(row.key_file),
            f"does not hold a key for {row.algorithm}",
            f"Set the algorithm of selector {row.selector} to what the file holds, or name another file",
        )
    head = f"v=1; a={row.algorithm}; c=relaxed/relaxed; d={domain};\r\n s={row.selector};"
    return _Signer(head=head.encode("ascii"), key=key)


def _load(path: Path) -> PrivateKey:
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_KEY_FILE)
    except OSError as error:
        raise InvalidInput(
            str(path),
            f"the DKIM key cannot be read ({error.strerror})",
            "Make one with `penstock dkim new`, or name the file of the key that DNS announces",
        ) from error
    return _private_key(pem, str(path))


def _private_key(pem: bytes, place: str) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise InvalidInput(
            place, "the key is locked with a password", "Store it without, readable by us alone"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # `from None`: nothing of the file's content may reach a log
        raise InvalidInput(
            place, "is no private key in PEM form", "Write a PKCS#8 or PKCS#1 key: -----BEGIN PRIVATE KEY-----"
        ) from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidInput(place, "is neither an RSA nor an Ed25519 key", "DKIM knows only these two")
    if key.key_size < MIN_RSA_BITS:
        raise InvalidInput(place, f"has only {key.key_size} bits", f"Use {RSA_BITS}: receivers refuse under 1024")
    return key


def _names_to_sign(there: Sequence[bytes]) -> tuple[bytes, ...]:
    counts: dict[bytes, int] = {}
    for name in there:
        counts[name] = counts.get(name, 0) + 1
    names: list[bytes] = []
    for name in OVERSIGNED:
        names += [name] * (counts.get(name, 0) + 1)
    for name in WHEN_PRESENT:
        if name in counts:
            names += [name] * (counts[name] + 1)
    return tuple(names)


def _folded_names(names: Sequence[bytes]) -> bytes:
    """`CRLF h=a:b:…;CRLF`, folded after colons (RFC 6376 section 3.5 allows white space there)."""
    lines, line = [], b" h="
    for name in names:
        if len(line) + len(name) > 74:
            lines.append(line)
            line = b" "
        line += name + b":"
    return b"\r\n" + b"\r\n".join([*lines, line.rstrip(b":")]) + b";\r\n"


def _folded(text: bytes, width: int = 74) -> bytes:
    return b"\r\n ".join([text[i : i + width] for i in range(0, len(text), width)])
