"""Proofs for strangers: one file that shows, without a node and without a network, what stands in a node's log.

The file is a C2SP tlog-proof: the index of an entry, its audit path, and the log's signed checkpoint with whatever
cosignatures it carries. In its `extra` line stands what is needed to know what was proven: the header of the entry,
the statements that tie the log's key to a NodeID, and, if the prover chose to, the content with its data key. Extra
data is not signed, so each part is checked against what is: the header hashes to the leaf, the log's key stands in
the chain, and content and key give the ciphertext that the header names.

A data key shows one entry and no other. Without it the header says which report and version was told to whom, when,
under which marking; what it said stays closed.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.checkpoint import Checkpoint, open_checkpoint, signers
from tocsin_federation.cosignature import Cosignature, cosignatures
from tocsin_federation.envelope import check_disclosed
from tocsin_federation.errors import CanonicalRefused, CheckpointRefused, EntryRefused, ProofRefused
from tocsin_federation.identity import MAX_CHAIN, Identity, verify_chain
from tocsin_federation.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from tocsin_federation.messages import MAX_LEAF_BYTES, Header, read_header
from tocsin_federation.padding import MAX_CONTENT_BYTES
from tocsin_federation.statement import Statement

MAX_PROOF_BYTES = 8 * 1024 * 1024
MAX_PATH = 53  # hashes: the depth of the largest tree
_ANY_TIME = 2**63  # a proof outlives the clock that it is read by
_HEAD = "c2sp.org/tlog-proof@v1"


class _Extra(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The `extra` line. `content` and `data_key` come together or not at all."""

    v: Literal[1]
    chain: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MAX_CHAIN)]
    leaf: Annotated[bytes, Meta(max_length=MAX_LEAF_BYTES)]
    content: Annotated[bytes, Meta(max_length=MAX_CONTENT_BYTES)] | None = None
    data_key: Annotated[bytes, Meta(min_length=32, max_length=32)] | None = None


_EXTRA = Form(_Extra, max_bytes=MAX_PROOF_BYTES)


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What an entry said: its exact bytes, and the data key that shows it."""

    content: bytes = field(repr=False)
    data_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof's parts, nothing of it verified. `path`: 32-byte hashes, from the leaf's sibling up; `chain`: DSSE."""

    leaf: bytes
    index: int
    path: tuple[bytes, ...]
    note: bytes
    chain: tuple[bytes, ...]
    disclosed: Disclosed | None = None


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof showed.

    `signers`: the names on the checkpoint's other signature lines, as they stand there; `cosigned`: what those of the
    witnesses that were asked about have signed.
    """

    identity: Identity
    header: Header
    leaf_hash: bytes
    index: int
    checkpoint: Checkpoint
    signers: tuple[str, ...]
    cosigned: tuple[Cosignature, ...]
    content: bytes | None = field(repr=False)


def write_proof(proof: Proof) -> bytes:
    """The file of a proof, UTF-8."""
    disclosed = proof.disclosed
    extra = _Extra(
        v=1,
        chain=proof.chain,
        leaf=proof.leaf,
        content=None if disclosed is None else disclosed.content,
        data_key=None if disclosed is None else disclosed.data_key,
    )
    lines = [_HEAD, f"extra {b64encode(_EXTRA.encode(extra)).decode()}", f"index {proof.index}"]
    lines += [b64encode(sibling).decode() for sibling in proof.path]
    return "\n".join(lines).encode() + b"\n\n" + proof.note


def read_proof(raw: bytes) -> Proof:
    """The parts of a file that `write_proof` could have written (P-130).

    Raises: ProofRefused `proof-malformed`.
    """
    if len(raw) > MAX_PROOF_BYTES:
        raise ProofRefused("proof-malformed")
    top, gap, note = raw.partition(b"\n\n")
    try:
        head, extra_line, index_line, *siblings = top.decode().split("\n")
        extra = _EXTRA.decode(_b64(_after("extra ", extra_line)))
    except (UnicodeDecodeError, ValueError, CanonicalRefused) as exc:
        raise ProofRefused("proof-malformed") from exc
    index = _after("index ", index_line)
    if (
        head != _HEAD
        or not gap
        or len(siblings) > MAX_PATH
        or (extra.content is None) != (extra.data_key is None)
    ):
        raise ProofRefused("proof-malformed")
    if not (index.isascii() and index.isdigit() and len(index) <= 16 and index == str(int(index))):
        raise ProofRefused("proof-malformed")
    path = tuple(map(_b64, siblings))
    if any(len(sibling) != HASH_BYTES for sibling in path):
        raise ProofRefused("proof-malformed")
    disclosed = None
    if extra.content is not None and extra.data_key is not None:
        disclosed = Disclosed(extra.content, extra.data_key)
    return Proof(extra.leaf, int(index), path, note, extra.chain, disclosed)


def verify_proof(proof: Proof, *, expected: str | None = None, witnesses: Iterable[str] = ()) -> Proven:
    """What `proof` shows, once every part holds. `expected`: the NodeID it must be by; None: it says by whom.

    `witnesses`: verifier keys (type 0x04) whose cosignatures are looked for; a missing one is no error.

    All of this must hold (PROTOCOL.md, 11):

    - [P-131] the chain proves a NodeID, which is the author in the header; its terms do not count, since a proof
      outlives them;
    - [P-132] the checkpoint is signed by a log's key of that chain, and the entry is not among what a later
      statement voided;
    - [P-133] the header hashes to the leaf that the path leads from to the checkpoint's root;
    - [P-134] a disclosed content is what the entry was sealed from.

    Raises: IdentityRefused, CheckpointRefused, EntryRefused, ProofRefused with the code of the first that fails.
    """
    identity = verify_chain(proof.chain, expected=expected, now=None)
    header = read_header(proof.leaf)
    if header.by != identity.node_id:
        raise EntryRefused("wrong-origin")
    checkpoint = _checkpoint(proof, identity.statements)
    hashed = leaf_hash(proof.leaf)
    verify_inclusion(hashed, proof.index, checkpoint.size, proof.path, checkpoint.root)
    if proof.disclosed is not None:
        check_disclosed(header, proof.disclosed.data_key, proof.disclosed.content)
    content = None if proof.disclosed is None else proof.disclosed.content
    others = tuple(name for name in signers(proof.note) if name != checkpoint.origin)
    cosigned = tuple(cosignatures(proof.note, witnesses, now=_ANY_TIME))
    return Proven(identity, header, hashed, proof.index, checkpoint, others, cosigned, content)


def _checkpoint(proof: Proof, statements: Sequence[Statement]) -> Checkpoint:
    """The checkpoint, signed by a log of the chain, newest generation first."""
    logs = {statement.log.vkey: statement.log.gen for statement in statements}
    refusal = CheckpointRefused("note-unsigned")
    for vkey, gen in reversed(logs.items()):
        try:
            checkpoint = open_checkpoint(proof.note, vkey)
        except CheckpointRefused as exc:
            refusal = exc if exc.code != "note-unsigned" else refusal
            continue
        voided = (s.void for s in statements if s.void is not None and s.void.gen == gen)
        if any(proof.index >= void.size for void in voided):
            raise ProofRefused("proof-void")
        return checkpoint
    raise refusal


def _after(prefix: str, line: str) -> str:
    if not line.startswith(prefix):
        raise ProofRefused("proof-malformed")
    return line.removeprefix(prefix)


def _b64(text: str) -> bytes:
    """Standard base64 in its one spelling. Raises: ProofRefused."""
    try:
        raw = b64decode(text, validate=True)
    except (ValueError, Base64Error) as exc:
        raise ProofRefused("proof-malformed") from exc
    if b64encode(raw).decode() != text:
        raise ProofRefused("proof-malformed")
    return raw
