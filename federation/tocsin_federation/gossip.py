"""Gossip of heads: two nodes find out whether the logs that both know look the same to both of them.

One asks: here are the logs that I know, each under a veil that only who knows the log too can lift. The other answers
with the newest signed heads that it holds of those, and with evidence against those that have forked. Nothing of it is
believed: notes are signed by their logs, and evidence proves itself. Who asks about its own log learns the largest head
of it that others hold: so a node that was restored from a backup finds out before it signs.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.checkpoint import MAX_NOTE_BYTES
from tocsin_federation.errors import CanonicalRefused, GossipRefused

MAX_LOGS = 1024  # asked about at once
MAX_EVIDENCE = 8  # told at once
MAX_ANSWER_BYTES = 8 * 1024 * 1024
SALT_BYTES = 16
_VEIL_BYTES = 16
T = TypeVar("T", bound=msgspec.Struct)
_Note = Annotated[bytes, Meta(max_length=MAX_NOTE_BYTES)]


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`salt`: 16 random bytes; `logs`: a `veil` for each log."""

    v: Literal[1]
    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    logs: Annotated[
        tuple[Annotated[bytes, Meta(min_length=_VEIL_BYTES, max_length=_VEIL_BYTES)], ...],
        Meta(max_length=MAX_LOGS),
    ]


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`heads`: signed notes, one a log; `evidence`: files of evidence (`evidence.py`)."""

    v: Literal[1]
    heads: Annotated[tuple[_Note, ...], Meta(max_length=MAX_LOGS)]
    evidence: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_ANSWER_BYTES)], ...], Meta(max_length=MAX_EVIDENCE)
    ]


_QUESTION = Form(Question, max_bytes=64 * 1024)
_ANSWER = Form(Answer, max_bytes=MAX_ANSWER_BYTES)


def veil(salt: bytes, origin: str) -> bytes:
    """What a log is called in a question with this salt: 16 bytes that tell nothing to who does not know it."""
    return sha256(b"tocsin/1/heads\0" + salt + origin.encode()).digest()[:_VEIL_BYTES]


def write_question(salt: bytes, origins: Iterable[str]) -> bytes:
    """The question about logs by their origin lines: strict canonical JSON."""
    return _QUESTION.encode(Question(v=1, salt=salt, logs=tuple(sorted(veil(salt, o) for o in origins))))


def read_question(raw: bytes) -> Question:
    """Raises: GossipRefused `heads-malformed`."""
    return _read(_QUESTION, raw)


def write_answer(heads: Iterable[bytes], evidence: Iterable[bytes] = ()) -> bytes:
    """The answer: strict canonical JSON."""
    return _ANSWER.encode(Answer(v=1, heads=tuple(heads), evidence=tuple(evidence)))


def read_answer(raw: bytes) -> Answer:
    """The parts, nothing of them verified. Raises: GossipRefused `heads-malformed`."""
    return _read(_ANSWER, raw)


def _read(form: Form[T], raw: bytes) -> T:
    try:
        return form.decode(raw)
    except CanonicalRefused as exc:
        raise GossipRefused("heads-malformed") from exc
