"""Vectors for cosignatures: what Birch, as a witness, says of Alder's checkpoint. `at`: when, by the line that counts.

`note-unsigned`: none of her lines counts; a reader passes over those that do not.
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

from tocsin_federation.checkpoint import note_lines, sign_checkpoint
from tocsin_federation.cosignature import AHEAD_S, cosign, with_lines
from tocsin_federation.keys import VKEY_COSIGNATURE, decode_vkey, sign
from workshop.case import Case, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, NOW

_NOTE: Final = sign_checkpoint(ALDER.identity.statement.log.origin, 12, bytes(32), ALDER.keys.log)
_TEXT: Final = note_lines(_NOTE)[0]
_WIT: Final = BIRCH.identity.statement.wit
_NAME: Final = decode_vkey(_WIT, VKEY_COSIGNATURE).name
_AT: Final = int(NOW.timestamp())


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("cosignature", _counted(), _passed_over())


def _line(at: int = _AT, *, key: bytes = BIRCH.keys.witness, text: str = _TEXT) -> str:
    return cosign(text, _NAME, key, at=at)


def _given(*lines: str, at: int = _AT, note: bytes | None = None) -> dict[str, Any]:
    whole = with_lines(_NOTE, lines) if note is None else note
    return {"note": whole, "vkey": _WIT, "now": NOW, "at": at}


def _raw(*lines: str) -> bytes:
    """The note with lines that a careful writer would have gathered."""
    return _NOTE + "".join(f"{line}\n" for line in lines).encode()


def _counted() -> Iterator[Row]:
    yield "valid", "ok", "P-160", "Birch cosigns Alder's head.", _given(_line())
    ahead = _given(_line(_AT + AHEAD_S), at=_AT + AHEAD_S)
    yield "valid-ahead", "ok", "P-162", "Her clock is five minutes ahead.", ahead
    old = _given(_line(_AT - 86_400), at=_AT - 86_400)
    yield "valid-old", "ok", "P-171", "It is a day old, and still hers.", old
    both = _given(note=_raw(_line(_AT - 3600), _line(_AT - 7200)), at=_AT - 3600)
    yield "valid-two", "ok", "P-161", "Of two the later one counts, in whatever order.", both
    beside = _given(note=_raw(_line(key=CEDAR.keys.witness), _line()))
    yield (
        "valid-beside-a-forged",
        "ok",
        "P-162",
        "A line under her name that is not hers stands before it.",
        beside,
    )


def _passed_over() -> Iterator[Row]:
    none = "note-unsigned"
    yield "missing", none, "P-161", "Nobody has cosigned.", _given(note=_NOTE)
    late = _given(_line(_AT + AHEAD_S + 1))
    yield "dated-ahead", none, "P-162", "Five minutes and a second ahead: it would look fresh for ever.", late
    yield "of-another-witness", none, "P-162", "Cedar's key.", _given(_line(key=CEDAR.keys.witness))
    other = _line(text=_TEXT.replace("\n12\n", "\n13\n"))
    yield "of-another-head", none, "P-162", "She signed another size.", _given(other)
    blob = base64.b64decode(_line().rpartition(" ")[2])
    moved = blob[:4] + (_AT + 60).to_bytes(8, "big") + blob[12:]
    yield "time-changed", none, "P-162", "A minute was added.", _given(_written(moved))
    plain = blob[:12] + sign(BIRCH.keys.witness, _TEXT.encode())
    yield "signed-as-a-log-signs", none, "P-13", "The text alone, without the time.", _given(_written(plain))
    yield "cut", none, "P-160", "A byte is missing.", _given(_written(blob[:-1]))


def _written(blob: bytes) -> str:
    return f"\u2014 {_NAME} {base64.b64encode(blob).decode()}"
