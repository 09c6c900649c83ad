"""Node statements: what a node says of itself, as signed bytes (DSSE around strict canonical JSON).

A statement names the organisation, the addresses, the log, the keys with their terms, and the hashes of the
root keys that alone may sign the next statement. This module knows the form of one statement and who signed
it; how statements follow each other is `identity`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import IPv6Address
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import MAX_INT, Form
from tocsin_federation.dsse import Kid, Signature, sign_as, signers
from tocsin_federation.errors import CanonicalRefused, IdentityRefused, KeyRefused
from tocsin_federation.keys import (
    VKEY_COSIGNATURE,
    VerifierKey,
    check_public,
    decode_vkey,
    kid,
    load_enc_public,
)
from tocsin_federation.messages import Hash

PAYLOAD_TYPE: Final = "application/vnd.tocsin.node+json"
MAX_STATEMENT_BYTES = 24 * 1024
MAX_ENVELOPE_BYTES = 36 * 1024
MAX_TERM_S = 100 * 86_400  # a node that is silent longer than this has ended
KEM: Final = "647a"  # X-Wing's HPKE identifier

_DOMAIN = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
_HOST = rf"(?:{_DOMAIN}|\[(?P<v6>[0-9a-f:]+)\])"
DOMAIN_PATTERN: Final = rf"\A{_DOMAIN}\Z"
URL_PATTERN: Final = rf"\Ahttps?://{_HOST}(?::(?P<port>[1-9][0-9]{{0,4}}))?(?:/[A-Za-z0-9._~-]+)*\Z"

PublicKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all forms have in common."""


class Org(_Form, frozen=True, kw_only=True):
    """Who runs the node. Both are claims: the NodeID is what is proven."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    domain: Annotated[str, Meta(max_length=253, pattern=DOMAIN_PATTERN)]


class LogKey(_Form, frozen=True, kw_only=True):
    """The node's log: its generation, its origin line, and the key of its checkpoints (vkey, type 0x01)."""

    gen: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    origin: Annotated[str, Meta(min_length=1, max_length=400)]
    vkey: Annotated[str, Meta(max_length=600)]


class HttpKey(_Form, frozen=True, kw_only=True):
    """A key that signs requests, in force from `nbf` until before `exp`."""

    kid: Kid
    pk: PublicKey
    nbf: Seconds
    exp: Seconds


class EncEntry(_Form, frozen=True, kw_only=True):
    """A key to seal to, in force from `nbf` until before `exp`."""

    kid: Kid
    kem: Literal["647a"]
    pk: Annotated[bytes, Meta(min_length=1216, max_length=1216)]
    nbf: Seconds
    exp: Seconds


class Void(_Form, frozen=True, kw_only=True):
    """The last good head of an earlier generation of the log: whatever it holds beyond is disputed."""

    gen: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    size: Annotated[int, Meta(ge=0, le=MAX_INT)]
    root: Hash


class Statement(_Form, frozen=True, kw_only=True):
    """One statement. `prev`: SHA-256 of the statement before; absent in statement 0.

    `root`: the keys that sign this statement, exposed by it and never used again. `next`: SHA-256 of the keys
    that may sign the next one; `threshold` of them must. `wit`: the key for cosigning others' checkpoints
    (vkey, 0x04).
    """

    v: Literal[1]
    seq: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    prev: Hash | None = None
    root: Annotated[tuple[PublicKey, ...], Meta(min_length=1, max_length=8)]
    next: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=8)]
    threshold: Annotated[int, Meta(ge=1, le=8)]
    org: Org
    urls: Annotated[
        tuple[Annotated[str, Meta(max_length=512, pattern=URL_PATTERN)], ...],
        Meta(min_length=1, max_length=4),
    ]
    log: LogKey
    wit: Annotated[str, Meta(max_length=600)]
    http: Annotated[tuple[HttpKey, ...], Meta(min_length=1, max_length=4)]
    enc: Annotated[tuple[EncEntry, ...], Meta(min_length=1, max_length=8)]
    void: Void | None = None
    iat: Seconds
    exp: Seconds

    @property
    def issued_at(self) -> datetime:
        """`iat` as an aware datetime."""
        return datetime.fromtimestamp(self.iat, UTC)

    @property
    def expires_at(self) -> datetime:
        """`exp` as an aware datetime."""
        return datetime.fromtimestamp(self.exp, UTC)


class _Envelope(_Form, frozen=True, kw_only=True, rename="camel"):
    payload: Annotated[bytes, Meta(max_length=MAX_STATEMENT_BYTES)]
    payload_type: Literal["application/vnd.tocsin.node+json"]
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=16)]

    def __post_init__(self) -> None:
        """Refuse two signatures of one key: one reader would take the first, another the last."""
        keyids = [s.keyid for s in self.signatures]
        if any(a >= b for a, b in pairwise(keyids)):
            raise ValueError("signatures are not ascending")


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement as it arrived: its form holds, its signatures are not looked at yet."""

    payload: bytes
    statement: Statement
    signatures: tuple[tuple[str, bytes], ...]

    def signers(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of `keys` (public, 32 bytes) that signed these bytes. Raises: IdentityRefused `key-weak`."""
        try:
            return signers(PAYLOAD_TYPE, self.payload, dict(self.signatures), keys)
        except KeyRefused as exc:
            raise IdentityRefused("key-weak") from exc


STATEMENT: Final = Form(Statement, max_bytes=MAX_STATEMENT_BYTES)
_ENVELOPE: Final = Form(_Envelope, max_bytes=MAX_ENVELOPE_BYTES)


def sign_statement(statement: Statement, root_privates: Sequence[bytes]) -> bytes:
    """The DSSE envelope over `statement`, signed by each root key.

    Raises: IdentityRefused as `read_statement`.
    """
    payload = STATEMENT.encode(statement)
    signatures = [sign_as(PAYLOAD_TYPE, payload, key) for key in root_privates]
    signatures.sort(key=lambda s: s.keyid)
    raw = _ENVELOPE.encode(
        _Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signatures=tuple(signatures))
    )
    read_statement(raw)
    return raw


def read_statement(raw: bytes) -> Signed:
    """The statement in a DSSE envelope, with the form of its own fields checked.

    Raises: IdentityRefused `statement-malformed`, `statement-unsupported`, `not-canonical`, `key-weak` (of the log and
    for cosigning, since what an earlier statement named still signs proofs).
    """
    try:
        envelope = _ENVELOPE.decode(raw)
        statement = STATEMENT.decode(envelope.payload)
    except CanonicalRefused as exc:
        if exc.code == "not-canonical":
            raise IdentityRefused("not-canonical") from exc
        later = isinstance(exc.value, dict) and _is_later(exc.value)
        raise IdentityRefused("statement-unsupported" if later else "statement-malformed") from exc
    _check_fields(statement)
    _verifier_keys(statement)
    return Signed(envelope.payload, statement, tuple((s.keyid, s.sig) for s in envelope.signatures))


def check_keys(statement: Statement) -> None:
    """Return when every key that peers are to use is sound.

    Raises: IdentityRefused `key-weak`, `statement-malformed` (a key of wrong form, or one key in two roles).
    """
    log, witness = _verifier_keys(statement)
    try:
        requests = [check_public(http.pk) for http in statement.http]
        for enc in statement.enc:
            load_enc_public(enc.pk)
    except KeyRefused as exc:
        raise _refusal(exc) from exc
    roles = [log.public, witness.public, *statement.root, *requests]
    if log.name != statement.log.origin or not _distinct(roles):
        raise IdentityRefused("statement-malformed")


def digest(public: bytes) -> bytes:
    """How a root key is announced before it is exposed."""
    return sha256(public).digest()


def _check_fields(statement: Statement) -> None:
    """What the types cannot say."""
    keys: list[HttpKey | EncEntry] = [*statement.http, *statement.enc]
    ok = (
        (statement.prev is None) == (statement.seq == 0)
        and statement.threshold <= min(len(statement.root), len(statement.next))
        and _distinct(statement.root)
        and _distinct(statement.next)
        and _distinct([key.kid for key in keys])
        and all(key.kid == kid(key.pk) and key.nbf < key.exp <= statement.exp for key in keys)
        and 0 < statement.exp - statement.iat <= MAX_TERM_S
        and all(map(is_url, statement.urls))
        and statement.org.name.isprintable()
        and statement.org.name.strip() == statement.org.name
    )
    if not ok:
        raise IdentityRefused("statement-malformed")


def _verifier_keys(statement: Statement) -> tuple[VerifierKey, VerifierKey]:
    """Those of the log and for cosigning. Raises: IdentityRefused `key-weak`, `statement-malformed`."""
    try:
        return decode_vkey(statement.log.vkey), decode_vkey(statement.wit, VKEY_COSIGNATURE)
    except KeyRefused as exc:
        raise _refusal(exc) from exc


def _refusal(exc: KeyRefused) -> IdentityRefused:
    return IdentityRefused("key-weak" if exc.code == "key-weak" else "statement-malformed")


def _distinct(items: Sequence[object]) -> bool:
    return len(set(items)) == len(items)


def _is_later(value: dict[str, Any]) -> bool:
    version = value.get("v")
    return type(version) is int and version != 1


def is_domain(text: str) -> bool:
    """Whether `text` may stand as an organisation's domain."""
    return len(text) <= 253 and re.match(DOMAIN_PATTERN, text) is not None


def is_url(text: str) -> bool:
    """Whether `text` may stand as a node's address: scheme, host, port, path; nothing else.

    What stands in brackets is an IPv6 address, and a port is below 2^16: readers of URLs fail on anything else.
    """
    match = re.match(URL_PATTERN, text) if len(text) <= 512 else None
    return (
        match is not None and int(match["port"] or 1) < 2**16 and (match["v6"] is None or _is_v6(match["v6"]))
    )


def _is_v6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
