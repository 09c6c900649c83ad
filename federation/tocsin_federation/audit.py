"""The audit log of a node: the form of its lines, its checkpoints, and how an export of it is verified.

It is a Merkle tree of its own over what people and machines did at one node. It never leaves the node by itself: no
peer is given a line or a checkpoint of it. Its checkpoints are signed by the key of the node's log under the origin
`<origin of the log>/audit`. Origin and key name are part of what is signed, and a peer takes checkpoints only of the
origin that a statement names, so neither can be shown for the other.

A line names what it is about by a commitment, SHA-256 over a salt and the name. Beside the line the name and the salt
are kept; when a report is erased they go, and the line still hashes into every root that was ever signed.

An export is lines of canonical JSON: a head with the chain of statements and the checkpoint, then every line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import MAX_INT, Form
from tocsin_federation.checkpoint import MAX_NOTE_BYTES, Checkpoint, open_checkpoint, sign_checkpoint
from tocsin_federation.errors import AuditRefused, CanonicalRefused, CheckpointRefused
from tocsin_federation.identity import MAX_CHAIN, Identity, verify_chain
from tocsin_federation.keys import VKEY_ED25519, decode_vkey, encode_vkey
from tocsin_federation.merkle import Frontier, leaf_hash
from tocsin_federation.messages import Hash
from tocsin_federation.statement import MAX_ENVELOPE_BYTES, Statement

SUFFIX: Final = "/audit"
SALT_BYTES: Final = 16
MAX_LINE_BYTES: Final = 1024 * 1024
MAX_HEAD_BYTES: Final = MAX_CHAIN * MAX_ENVELOPE_BYTES * 4 // 3 + 2 * MAX_NOTE_BYTES
_COMMITMENT = b"tocsin audit object\n"

Text = Annotated[str, Meta(min_length=1, max_length=400)]
Count = Annotated[int, Meta(ge=-MAX_INT, le=MAX_INT)]
Fact = Count | bool | Annotated[str, Meta(max_length=400)] | list[Annotated[str, Meta(max_length=400)]]


class Leaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One act, as it is hashed. `seq` counts from 0; `at` is UTC with milliseconds, as `2026-11-29T16:05:00.123Z`.

    `who` did it, `via` which door; `object`: the commitment to what it was done to.
    """

    v: Literal[1]
    seq: Annotated[int, Meta(ge=0, le=MAX_INT)]
    at: Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z")]
    who: Text
    via: Text
    action: Text
    object: Hash | None = None
    detail: Annotated[dict[str, Fact], Meta(max_length=32)] = {}


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A leaf with what opens its commitment, where that has not been erased."""

    leaf: Leaf
    object: Text | None = None
    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)] | None = None


class ExportHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an export begins with. `chain`: the node's statements, oldest first; `note`: the checkpoint."""

    audit: Literal[1]
    chain: Annotated[list[bytes], Meta(min_length=1, max_length=MAX_CHAIN)]
    note: Annotated[str, Meta(max_length=MAX_NOTE_BYTES)]


LEAF: Final = Form(Leaf, max_bytes=MAX_LINE_BYTES)
LINE: Final = Form(Line, max_bytes=MAX_LINE_BYTES)
EXPORT_HEAD: Final = Form(ExportHead, max_bytes=MAX_HEAD_BYTES)


def commitment(salt: bytes, name: str) -> bytes:
    """What a leaf says of the object `name`: nobody without the salt (16 random bytes) can tell whether it is it."""
    return sha256(_COMMITMENT + salt + name.encode()).digest()


def audit_origin(origin: str) -> str:
    """The origin of the audit log beside the log `origin`."""
    return origin + SUFFIX


def audit_vkey(vkey: str) -> str:
    """The verifier key of the audit log beside the log that `vkey` names: the same key under another name."""
    key = decode_vkey(vkey)
    return encode_vkey(audit_origin(key.name), VKEY_ED25519, key.public)


def sign_audit(origin: str, frontier: Frontier, private: bytes) -> bytes:
    """The checkpoint over `frontier`. `origin`: of the node's log; `private`: that log's 64-byte key."""
    return sign_checkpoint(audit_origin(origin), frontier.size, frontier.root(), private)


def open_audit_note(note: bytes, statements: Sequence[Statement]) -> Checkpoint:
    """The checkpoint in `note`, signed by the log's key of any of the statements, the newest first.

    Raises: CheckpointRefused.
    """
    refusal = CheckpointRefused("note-unsigned")
    for vkey in reversed(dict.fromkeys(statement.log.vkey for statement in statements)):
        try:
            return open_checkpoint(note, audit_vkey(vkey))
        except CheckpointRefused as exc:
            refusal = exc if exc.code != "note-unsigned" else refusal
    raise refusal


def time_text(at: datetime) -> str:
    """A leaf's time: UTC, cut to milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Reader:
    """Takes an audit log line by line, and says at the end whether it is the one that was signed.

    All of this must hold:

    1. every line has its form, in its one canonical spelling;
    2. the lines count on from 0 without a gap: none is missing, none is there twice, none has changed places;
    3. the name beside a line is the one that it commits to;
    4. there are as many lines as were signed;
    5. what they hash to is the root that was signed;
    6. the first of them hash to the root of each checkpoint that was signed before.

    `before`: earlier checkpoints of this log, their signatures verified.
    """

    signed: Checkpoint
    before: Sequence[Checkpoint] = ()
    tree: Frontier = field(default_factory=Frontier)

    def __post_init__(self) -> None:
        """Raise AuditRefused `audit-rolled-back` when more was signed before."""
        if any(earlier.size > self.signed.size for earlier in self.before):
            raise AuditRefused("audit-rolled-back")
        self._look_back()

    def take(self, raw: bytes) -> Line:
        """The next line. Raises: AuditRefused."""
        try:
            line = LINE.decode(raw)  # (1)
        except CanonicalRefused as exc:
            raise AuditRefused("audit-line-malformed") from exc
        self.admit(line, leaf_hash(LEAF.encode(line.leaf)))
        return line

    def admit(self, line: Line, hashed: bytes) -> None:
        """The next line, whose leaf hashes to `hashed`. Raises: AuditRefused."""
        if line.leaf.seq != self.tree.size:  # (2)
            raise AuditRefused("audit-line-missing")
        if (line.object is None) != (line.salt is None):  # (3)
            raise AuditRefused("audit-object-differs")
        opened = line.object is not None and line.salt is not None
        if opened and line.leaf.object != commitment(line.salt or b"", line.object or ""):
            raise AuditRefused("audit-object-differs")
        if self.tree.size >= self.signed.size:  # (4)
            raise AuditRefused("audit-too-long")
        self.tree.append(hashed)
        self._look_back()

    def finish(self) -> None:
        """All lines were taken. Raises: AuditRefused `audit-truncated`, `audit-root-differs`."""
        if self.tree.size < self.signed.size:  # (4)
            raise AuditRefused("audit-truncated")
        if self.tree.root() != self.signed.root:  # (5)
            raise AuditRefused("audit-root-differs")

    def _look_back(self) -> None:
        for earlier in self.before:  # (6)
            if earlier.size == self.tree.size and earlier.root != self.tree.root():
                raise AuditRefused("audit-rewritten")


def read_export_head(raw: bytes, *, expected: str | None = None) -> tuple[Identity, Checkpoint]:
    """Who the export is of, and the checkpoint that its lines must lead to. `expected`: the NodeID that it must be.

    The terms of the statements do not count, since an export outlives them.
    Raises: AuditRefused, IdentityRefused, CheckpointRefused.
    """
    try:
        head = EXPORT_HEAD.decode(raw)
    except CanonicalRefused as exc:
        raise AuditRefused("audit-head-malformed") from exc
    identity = verify_chain(head.chain, expected=expected, now=None)
    return identity, open_audit_note(head.note.encode(), identity.statements)
