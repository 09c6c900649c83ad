"""A circle: organisations that share with each other, named by manifests that people sign together.

A manifest says who the members are, up to which marking they share, and which keys may write the next manifest. Each
is one epoch. An epoch follows another only when enough of the admins of *both* have signed it (The Update Framework,
5.3.4 and 5.3.5): so no few of them can add a member, and nobody can be made an admin who did not agree.

Circle and manifests are the admins' word about who belongs; whom a node shares with stays its own decision
(`circle_rules`). This module knows the form of a manifest and what a chain of them proves.
"""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.dsse import Signature, sign_as, signers
from tocsin_federation.errors import CanonicalRefused, CircleRefused, KeyRefused
from tocsin_federation.keys import check_public, public_of
from tocsin_federation.messages import Hash, NodeId
from tocsin_federation.statement import PublicKey, Seconds
from tocsin_schema.marking import Tlp

PAYLOAD_TYPE: Final = "application/vnd.tocsin.circle+json"
MAX_MANIFEST_BYTES = 24 * 1024
MAX_ENVELOPE_BYTES = 36 * 1024
MAX_FILE_BYTES = 1024 * 1024
MAX_EPOCHS = 256
MAX_MEMBERS = 256
MAX_ADMINS = 16
MAX_TERM_S = 400 * 86_400
AHEAD = timedelta(days=1)  # how far ahead of a reader's clock a manifest may be dated


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all forms have in common."""


class Manifest(_Form, frozen=True, kw_only=True):
    """One epoch of a circle. `circle`, `prev`: SHA-256 of the manifests of epoch 0 and of the epoch before.

    `members`: NodeIDs, ascending; none means nobody. `admins`: public Ed25519 keys of people, ascending; `threshold` of
    them must sign. `max_tlp`: the highest marking that may be addressed to the circle; never RED. `roster`: of version
    2; who is a member is for those alone who were handed the manifest as a file (P-218).
    """

    v: Literal[1, 2]
    roster: Literal["hidden"] | None = None
    circle: Hash | None = None
    epoch: Annotated[int, Meta(ge=0, lt=MAX_EPOCHS)]
    prev: Hash | None = None
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    members: Annotated[tuple[NodeId, ...], Meta(max_length=MAX_MEMBERS)]
    admins: Annotated[tuple[PublicKey, ...], Meta(min_length=1, max_length=MAX_ADMINS)]
    threshold: Annotated[int, Meta(ge=1, le=MAX_ADMINS)]
    max_tlp: Tlp
    iat: Seconds
    exp: Seconds

    def __post_init__(self) -> None:
        """Refuse what the types cannot."""
        first = self.epoch == 0
        ok = (
            (self.circle is None) == (self.prev is None) == first
            and (self.v == 2) == (self.roster is not None)
            and _ascending(self.members)
            and _ascending(self.admins)
            and self.threshold <= len(self.admins)
            and self.max_tlp is not Tlp.RED
            and 0 < self.exp - self.iat <= MAX_TERM_S
            and self.name.isprintable()
            and self.name.strip() == self.name
        )
        if not ok:
            raise ValueError("not a manifest")

    @property
    def expires_at(self) -> datetime:
        """`exp` as an aware datetime."""
        return datetime.fromtimestamp(self.exp, UTC)


class _Envelope(_Form, frozen=True, kw_only=True, rename="camel"):
    payload: Annotated[bytes, Meta(max_length=MAX_MANIFEST_BYTES)]
    payload_type: Literal["application/vnd.tocsin.circle+json"]
    signatures: Annotated[tuple[Signature, ...], Meta(max_length=2 * MAX_ADMINS)]

    def __post_init__(self) -> None:
        if not _ascending([s.keyid for s in self.signatures]):
            raise ValueError("signatures are not ascending")


class _File(_Form, frozen=True, kw_only=True):
    v: Literal[1]
    chain: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MAX_EPOCHS)]


MANIFEST: Final = Form(Manifest, max_bytes=MAX_MANIFEST_BYTES)
_ENVELOPE: Final = Form(_Envelope, max_bytes=MAX_ENVELOPE_BYTES)
_FILE: Final = Form(_File, max_bytes=MAX_FILE_BYTES)


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest as it came: its form holds, its signatures are not looked at yet. `digest`: SHA-256 of its bytes."""

    payload: bytes
    manifest: Manifest
    signatures: tuple[Signature, ...]

    @property
    def digest(self) -> bytes:
        """What the next epoch names as `prev`."""
        return sha256(self.payload).digest()

    def signers(self, admins: Sequence[bytes]) -> set[bytes]:
        """Those of `admins` that signed, each once. Raises: CircleRefused `key-weak`."""
        try:
            return signers(PAYLOAD_TYPE, self.payload, {s.keyid: s.sig for s in self.signatures}, admins)
        except KeyRefused as exc:
            raise CircleRefused("key-weak") from exc


@dataclass(frozen=True, slots=True)
class Circle:
    """A chain of manifests that holds. `chain`: the envelopes as they came, epoch 0 first."""

    chain: tuple[bytes, ...]
    manifests: tuple[Manifest, ...]
    digests: tuple[bytes, ...]

    @property
    def id(self) -> bytes:
        """The circle's id: SHA-256 of the manifest of epoch 0."""
        return self.digests[0]

    @property
    def newest(self) -> Manifest:
        """The manifest of the newest epoch."""
        return self.manifests[-1]

    @property
    def epoch(self) -> int:
        """The newest epoch."""
        return self.newest.epoch

    @property
    def hidden(self) -> bool:
        """Whether its members do not see each other: all its epochs say so, or none (P-218)."""
        return self.newest.roster == "hidden"

    def at(self, epoch: int) -> Manifest | None:
        """The manifest of an epoch, if it is known."""
        return self.manifests[epoch] if epoch < len(self.manifests) else None

    def ever(self) -> frozenset[str]:
        """All that are members or have been."""
        return frozenset(node for manifest in self.manifests for node in manifest.members)


def circle_entry_id(circle: bytes) -> str:
    """How the header of a `circle` entry names the circle: a UUID of version 8 from its id (P-206)."""
    raw = bytearray(circle[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80
    return f"circle--{uuid.UUID(bytes=bytes(raw))}"


def write_file(chain: Sequence[bytes]) -> bytes:
    """A circle's file, and the content of a `circle` entry: the envelopes, epoch 0 first."""
    return _FILE.encode(_File(v=1, chain=tuple(chain)))


def read_file(raw: bytes) -> tuple[bytes, ...]:
    """The envelopes in a circle's file; what they hold is not looked at.

    Raises: CircleRefused `circle-malformed`, `circle-unsupported`.
    """
    try:
        return _FILE.decode(raw).chain
    except CanonicalRefused as exc:
        raise CircleRefused("circle-unsupported" if _is_later(exc) else "circle-malformed") from exc


def draft(manifest: Manifest) -> bytes:
    """The envelope of a manifest that nobody has signed yet. Raises: CircleRefused `circle-malformed`."""
    raw = _ENVELOPE.encode(
        _Envelope(payload=MANIFEST.encode(manifest), payload_type=PAYLOAD_TYPE, signatures=())
    )
    read_manifest(raw)
    return raw


def sign_manifest(envelope: bytes, private: bytes) -> bytes:
    """The envelope with one more signature; the same key signs once. Raises: CircleRefused as `read_manifest`."""
    held = read_manifest(envelope)
    new = sign_as(PAYLOAD_TYPE, held.payload, private)
    kept = [s for s in held.signatures if s.keyid != new.keyid]
    signatures = tuple(sorted([*kept, new], key=lambda s: s.keyid))
    return _ENVELOPE.encode(_Envelope(payload=held.payload, payload_type=PAYLOAD_TYPE, signatures=signatures))


def read_manifest(envelope: bytes) -> SignedManifest:
    """The manifest in a DSSE envelope, its form checked (P-200).

    Raises: CircleRefused `circle-malformed`, `circle-unsupported`.
    """
    try:
        outer = _ENVELOPE.decode(envelope)
        manifest = MANIFEST.decode(outer.payload)
    except CanonicalRefused as exc:
        raise CircleRefused("circle-unsupported" if _is_later(exc) else "circle-malformed") from exc
    return SignedManifest(outer.payload, manifest, outer.signatures)


def may_sign(before: Manifest | None, manifest: Manifest) -> tuple[bytes, ...]:
    """The keys whose signatures count for a manifest: the admins of its own epoch and of the one before."""
    return tuple(sorted({*(before.admins if before else ()), *manifest.admins}))


def is_admin(private: bytes, before: Manifest | None, manifest: Manifest) -> bool:
    """Whether the signature of this key would count."""
    return public_of(private) in may_sign(before, manifest)


def verify_circle(chain: Sequence[bytes], *, now: datetime, held: Circle | None = None) -> Circle:
    """What a chain of manifests proves, beside what is `held` of that circle.

    All of this must hold, in this order (PROTOCOL.md, 15):

    1. [P-201] there are 1 to 256 manifests, together within 1 MiB;
    2. [P-200] each is canonical and of its form;
    3. [P-202] the first is epoch 0; each further one is the next epoch of that circle, names the one before by its
       hash, is not dated before it, and hides its members if that one does;
    4. [P-203] each is signed by the threshold of its own admins, of distinct keys, and none of the keys is weak;
    5. [P-203] and by the threshold of the admins of the epoch before;
    6. [P-204] it is the circle that is held, holds all epochs that are held, and each as it is held;
    7. [P-205] the newest is not dated more than a day ahead, and has not expired.

    Raises: CircleRefused with the code of the first that fails.
    """
    # (1) P-201
    if not 1 <= len(chain) <= MAX_EPOCHS or sum(map(len, chain)) > MAX_FILE_BYTES:
        raise CircleRefused("circle-too-long")
    # (2) P-200
    read = [read_manifest(envelope) for envelope in chain]
    for n, one in enumerate(read):
        # (3) P-202
        _refuse_broken(n, one, read)
        # (4) P-203
        _refuse_unsigned(one, one.manifest)
        # (5) P-203
        if n > 0:
            _refuse_unsigned(one, read[n - 1].manifest)
    # (6) P-204
    digests = tuple(one.digest for one in read)
    if held is not None:
        if held.id != digests[0]:
            raise CircleRefused("wrong-circle")
        if any(a != b for a, b in zip(held.digests, digests, strict=False)):
            raise CircleRefused("circle-forked")
        if len(digests) < len(held.digests):
            raise CircleRefused("circle-stale")
    # (7) P-205
    newest = read[-1].manifest
    if newest.iat > (now + AHEAD).timestamp():
        raise CircleRefused("circle-from-future")
    if newest.exp <= now.timestamp():
        raise CircleRefused("circle-expired")
    return Circle(tuple(chain), tuple(one.manifest for one in read), digests)


def restore_circle(chain: Sequence[bytes]) -> Circle:
    """The circle of a chain that was verified when it was kept."""
    return _restored(tuple(chain))


@lru_cache(maxsize=64)  # a long one takes milliseconds, and is asked for again and again
def _restored(chain: tuple[bytes, ...]) -> Circle:
    read = [read_manifest(envelope) for envelope in chain]
    return Circle(chain, tuple(one.manifest for one in read), tuple(one.digest for one in read))


def _refuse_broken(n: int, one: SignedManifest, read: Sequence[SignedManifest]) -> None:
    manifest = one.manifest
    if manifest.epoch != n:
        raise CircleRefused("circle-broken")
    if n == 0:
        return
    before = read[n - 1]
    follows = manifest.circle == read[0].digest and manifest.prev == before.digest
    if not follows or manifest.iat < before.manifest.iat or manifest.roster != before.manifest.roster:
        raise CircleRefused("circle-broken")


def _refuse_unsigned(one: SignedManifest, by: Manifest) -> None:
    try:
        for admin in by.admins:
            check_public(admin)
    except KeyRefused as exc:
        raise CircleRefused("key-weak") from exc
    if len(one.signers(by.admins)) < by.threshold:
        raise CircleRefused("circle-unsigned")


def _ascending(items: Sequence[Any]) -> bool:
    return all(a < b for a, b in itertools.pairwise(items))


def _is_later(exc: CanonicalRefused) -> bool:
    """Whether what was refused is canonical and of another version."""
    value = exc.value
    if not isinstance(value, dict):
        return False
    version = value.get("v")
    return type(version) is int and version not in {1, 2}
