"""Sections 0 and 1 of PROTOCOL.md: base64, NodeIDs, keys, strict canonical JSON, DSSE."""

import re
from base64 import b32decode, b32encode, b64decode, b64encode
from binascii import Error
from collections.abc import Collection
from hashlib import sha256
from json import loads
from typing import Any

import nacl.bindings as sodium
import rfc8785
from nacl.exceptions import BadSignatureError, CryptoError

MOST = 2**53
NODE = re.compile(r"n1[a-z2-7]{51}[aq]")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
COUNT = 2**31 - 1
LAST_SECOND = 253_402_300_799
MARKINGS = ("clear", "green", "amber", "amber+strict", "red")


def sha(raw: bytes) -> bytes:
    return sha256(raw).digest()


def unbase64(text: Any, length: int | None = None) -> bytes | None:
    """Section 0: padded, in its one spelling; of `length` bytes, if one is given."""
    try:
        raw = b64decode(text, validate=True)
    except (Error, ValueError, TypeError):
        return None
    right = b64encode(raw).decode() == text and length in {None, len(raw)}
    return raw if right else None


def respelt(text: Any) -> bool:
    """Base64 whose last letter carries bits that nobody reads: another spelling of the same bytes (P-10)."""
    try:
        raw = b64decode(text, validate=True)
        return len(raw) in {24, 32, 1216} and b64encode(raw).decode() != text
    except (Error, ValueError, TypeError):
        return False


def node_bytes(node_id: str) -> bytes:
    return b32decode(node_id[2:].upper() + "====")


def node_id(raw: bytes) -> str:
    """P-11, of 32 bytes."""
    return "n1" + b32encode(raw).decode().lower().rstrip("=")


def number(value: Any, least: int = 0, most: int = MOST - 1) -> bool:
    """A whole number; true and false are none."""
    return type(value) is int and least <= value <= most


def printed(value: Any, most: int) -> bool:
    """A name: 1 to `most` printable characters, without a space at either end."""
    return (
        isinstance(value, str) and 1 <= len(value) <= most and value.isprintable() and value.strip() == value
    )


def above(marking: str, ceiling: str) -> bool:
    return MARKINGS.index(marking) > MARKINGS.index(ceiling)


def sound(public: bytes) -> bool:
    """P-12: a canonical point of full order."""
    return len(public) == 32 and bool(sodium.crypto_core_ed25519_is_valid_point(public))


def signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    """P-12: as libsodium does."""
    try:
        sodium.crypto_sign_open(signature + message, public)
    except (BadSignatureError, ValueError, CryptoError):
        return False
    return sound(public)


def key(public: bytes, message: bytes, signature: bytes) -> str | None:
    """P-12: registered, then used."""
    if len(public) != 32:
        return "key-malformed"
    if not sound(public):
        return "key-weak"
    return None if len(signature) == 64 and signed_by(public, message, signature) else "bad-signature"


def canonical(raw: bytes, levels: int = 32) -> Any:
    """P-10. Raises ValueError."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items) or not all(name.isascii() for name in made):
            raise ValueError(raw)
        return made

    def no(_text: str) -> Any:
        raise ValueError(raw)

    depth = most = 0
    for byte in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", raw):
        depth += (byte in b"[{") - (byte in b"]}")
        most = max(most, depth)
    if most > levels:
        raise ValueError(raw)
    value = loads(raw.decode(), object_pairs_hook=pairs, parse_float=no, parse_constant=no)
    if rfc8785.dumps(value) != raw:
        raise ValueError(raw)
    return value


def strict(raw: bytes, most: int) -> str | None:
    """P-01 and P-10."""
    if len(raw) > most:
        return "too-large"
    try:
        canonical(raw)
    except (ValueError, RecursionError):
        return "not-canonical"
    return None


def read(raw: bytes, most: int) -> dict[str, Any] | None:
    """An object in strict canonical JSON of at most `most` bytes, else nothing."""
    try:
        value = canonical(raw) if len(raw) <= most else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def dsse(raw: bytes, kind: str) -> tuple[bytes, dict[str, bytes]] | None:
    """The payload of an envelope of the payload type `kind`, and its signatures by key name; nothing if it is none."""
    envelope = read(raw, 36_864)
    if envelope is None or set(envelope) != {"payload", "payloadType", "signatures"}:
        return None
    payload, listed = unbase64(envelope["payload"]), envelope["signatures"]
    if payload is None or envelope["payloadType"] != kind or not isinstance(listed, list):
        return None
    signatures = {}
    for each in listed:
        if not isinstance(each, dict) or set(each) != {"keyid", "sig"} or each["keyid"] in signatures:
            return None
        signature = unbase64(each["sig"], 64)
        if signature is None or not re.fullmatch("[0-9a-f]{16}", str(each["keyid"])):
            return None
        signatures[each["keyid"]] = signature
    return (payload, signatures) if list(signatures) == sorted(signatures) else None


def named(keys: Collection[bytes], signatures: dict[str, bytes]) -> dict[bytes, bytes]:
    """Distinct ones of `keys` that a signature names."""
    names = {sha(public).hex()[:16]: public for public in keys}
    return {names[keyid]: signature for keyid, signature in signatures.items() if keyid in names}


def signers(payload: bytes, kind: str, signatures: dict[str, bytes], keys: Collection[bytes]) -> int:
    """How many distinct ones of `keys` signed DSSE's PAE."""
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    found = named(keys, signatures)
    return sum(signed_by(public, message, signature) for public, signature in found.items())


def vkey(text: Any, kind: int) -> tuple[str, bytes] | None:
    """A verifier key of C2SP signed-note: its name and its 32 bytes."""
    parts = str(text).split("+", 2)
    raw = unbase64(parts[2], 33) if len(parts) == 3 else None
    if raw is None or raw[0] != kind or not re.fullmatch(r"[^\s+]+", parts[0]):
        return None
    key_id = sha(parts[0].encode() + b"\n" + raw)[:4].hex()
    return (parts[0], raw[1:]) if parts[1] == key_id else None
