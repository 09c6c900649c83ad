"""Witnessing: what a witness checks before it cosigns a checkpoint (C2SP tlog-witness), and how many make a quorum.

A witness remembers of each log the latest head that it cosigned, and cosigns a head only if that one is its beginning.
So two heads that contradict each other cannot both have the word of one honest witness, and with enough witnesses
[P-167] not both the word of enough.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Literal

from tocsin_federation.checkpoint import MAX_NOTE_BYTES, Checkpoint, note_lines, open_checkpoint
from tocsin_federation.errors import CheckpointRefused, ProofRefused, WitnessRefused
from tocsin_federation.merkle import EMPTY_ROOT, HASH_BYTES, verify_consistency

MAX_PROOF_LINES = 63
MAX_SUBMISSION_BYTES = MAX_NOTE_BYTES + 64 + MAX_PROOF_LINES * 45
_OLD = re.compile(r"old (0|[1-9][0-9]{0,15})", re.ASCII)

Trust = Literal["provisional", "witnessed", "disputed"]


@dataclass(frozen=True, slots=True)
class Submission:
    """An `add-checkpoint` request. `old`: the size that the witness is believed to have cosigned last."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def origin(self) -> str:
        """The log's name as it stands there, not verified."""
        return note_lines(self.note)[0].split("\n", 1)[0]


def write_submission(submission: Submission) -> bytes:
    """The body of `add-checkpoint`."""
    proof = "".join(f"{b64encode(each).decode()}\n" for each in submission.proof)
    return f"old {submission.old}\n{proof}\n".encode() + submission.note


def read_submission(body: bytes) -> Submission:
    """The parts of an `add-checkpoint` body, unverified. Raises: WitnessRefused `submission-malformed`."""
    if len(body) > MAX_SUBMISSION_BYTES:
        raise WitnessRefused("submission-malformed")
    head, gap, note = body.partition(b"\n\n")
    try:
        first, *proof = head.decode("ascii").split("\n")
        hashes = tuple(_hash(line) for line in proof)
        note_lines(note)
    except (UnicodeDecodeError, CheckpointRefused) as exc:
        raise WitnessRefused("submission-malformed") from exc
    old = _OLD.fullmatch(first)
    if old is None or not gap or len(hashes) > MAX_PROOF_LINES:
        raise WitnessRefused("submission-malformed")
    return Submission(int(old[1]), hashes, note)


def open_submission(submission: Submission, vkey: str) -> Checkpoint:
    """The checkpoint, once the log that `vkey` names is known to have signed it.

    Raises: WitnessRefused `not-signed` [P-164], `submission-malformed`.
    """
    try:
        return open_checkpoint(submission.note, vkey)
    except CheckpointRefused as exc:
        form = exc.code in {"note-malformed", "checkpoint-malformed"}
        code = "submission-malformed" if form else "not-signed"
        raise WitnessRefused(code) from exc


def judge(submission: Submission, checkpoint: Checkpoint, last: Checkpoint | None) -> None:
    """Return when `checkpoint` may be cosigned after `last`, the one cosigned before (None: there was none).

    All of this must hold, in this order (PROTOCOL.md, 13):

    - [P-165] the old size is not above the checkpoint's (`old-size`, 400);
    - [P-166] it is that of `last`, or 0 (`conflict`, 409), and of equal sizes the roots are equal (`conflict`);
    - [P-168] the proof leads from `last` to the checkpoint; it is empty for an old size of 0 (`inconsistent`, 422).

    Raises: WitnessRefused.
    """
    size, root = (0, EMPTY_ROOT) if last is None else (last.size, last.root)
    if submission.old > checkpoint.size:
        raise WitnessRefused("old-size")
    if submission.old != size or (size == checkpoint.size and root != checkpoint.root):
        raise WitnessRefused("conflict")
    try:
        verify_consistency(size, root, checkpoint.size, checkpoint.root, submission.proof)
    except ProofRefused as exc:
        raise WitnessRefused("inconsistent") from exc


def quorum(witnesses: int, faulty: int) -> int:
    """How many of `witnesses` must have cosigned so that, of two quora, more than `faulty` are in both [P-167]."""
    return (witnesses + faulty) // 2 + 1


def _hash(line: str) -> bytes:
    try:
        raw = b64decode(line, validate=True)
    except (ValueError, Base64Error) as exc:
        raise WitnessRefused("submission-malformed") from exc
    if len(raw) != HASH_BYTES or b64encode(raw).decode() != line:
        raise WitnessRefused("submission-malformed")
    return raw
