"""Evidence of a fork: two checkpoints of one log that cannot both be true, for anybody to verify offline.

Of one size, two roots are enough. Of two sizes, hashes show that the tree which the later checkpoint signs begins with
another past than the earlier one signed. Nothing else convicts a node: an old checkpoint, leaves that do not fit or a
signature that does not verify may be a proxy's doing, or a backup's.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.checkpoint import MAX_NOTE_BYTES, Checkpoint, open_checkpoint
from tocsin_federation.errors import CanonicalRefused, CheckpointRefused, ProofRefused
from tocsin_federation.identity import MAX_CHAIN, Identity, verify_chain
from tocsin_federation.merkle import roots_of_past

MAX_EVIDENCE_BYTES = 4 * 1024 * 1024
_Note = Annotated[bytes, Meta(max_length=MAX_NOTE_BYTES)]
_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two notes of one log. `chain`: DSSE, oldest first; `path`: `merkle.past_proof`, empty for notes of one size."""

    v: Literal[1]
    kind: Literal["fork"]
    chain: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MAX_CHAIN)]
    held: _Note
    offered: _Note
    path: Annotated[tuple[_Hash, ...], Meta(max_length=108)]


_EVIDENCE = Form(Evidence, max_bytes=MAX_EVIDENCE_BYTES)


@dataclass(frozen=True, slots=True)
class Convicted:
    """Whose log it is, and the two checkpoints, the smaller first."""

    identity: Identity
    first: Checkpoint
    second: Checkpoint


def write_evidence(evidence: Evidence) -> bytes:
    """The file: strict canonical JSON, binary values in base64."""
    return _EVIDENCE.encode(evidence)


def read_evidence(raw: bytes) -> Evidence:
    """The parts, nothing of them verified. Raises: ProofRefused `proof-malformed`."""
    try:
        return _EVIDENCE.decode(raw)
    except CanonicalRefused as exc:
        raise ProofRefused("proof-malformed") from exc


def verify_evidence(evidence: Evidence, *, expected: str | None = None) -> Convicted:
    """Who is convicted, once it is certain. `expected`: the NodeID it must be; None: it says whose.

    All of this must hold (PROTOCOL.md, 11):

    - [P-135] the chain proves a NodeID, and both notes are signed by one log's key of it;
    - [P-136] of one size they have two roots; else the path leads to the later root from another past than the
      earlier one has.

    Raises: IdentityRefused, CheckpointRefused, ProofRefused.
    """
    identity = verify_chain(evidence.chain, expected=expected, now=None)
    first, second = _both(evidence, identity)
    if first.size > second.size:
        first, second = second, first
    if not contradict(first, second, evidence.path):
        raise ProofRefused("proof-mismatch")
    return Convicted(identity, first, second)


def contradict(first: Checkpoint, second: Checkpoint, path: tuple[bytes, ...]) -> bool:
    """Whether `path` shows that two checkpoints of one log, the smaller first, cannot both be true.

    Raises: ProofRefused `proof-malformed`, `proof-mismatch` for a path of another form.
    """
    if first.size == second.size:
        return not path and first.root != second.root
    if first.size == 0:
        return False
    past, whole = roots_of_past(first.size, second.size, path)
    return whole == second.root and past != first.root


def _both(evidence: Evidence, identity: Identity) -> tuple[Checkpoint, Checkpoint]:
    refusal = CheckpointRefused("note-unsigned")
    for vkey in reversed(list(dict.fromkeys(s.log.vkey for s in identity.statements))):
        try:
            return open_checkpoint(evidence.held, vkey), open_checkpoint(evidence.offered, vkey)
        except CheckpointRefused as exc:
            refusal = exc if exc.code != "note-unsigned" else refusal
    raise refusal
