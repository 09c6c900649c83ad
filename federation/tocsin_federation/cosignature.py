"""Cosignatures: a witness's word that this was the largest head of a log that it knew at a time (tlog-cosignature).

Ed25519, type 0x04: the witness signs the time and the checkpoint's text. Its lines stand beside the log's own on the
note. What a line of an unknown key says is passed over.
"""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from tocsin_federation.checkpoint import MAX_NOTE_BYTES, MAX_SIGNATURES, join_note, note_lines, parse_line
from tocsin_federation.errors import CheckpointRefused, KeyRefused
from tocsin_federation.keys import (
    SIGNATURE_BYTES,
    VKEY_COSIGNATURE,
    decode_vkey,
    note_key_id,
    public_of,
    sign,
    verify,
)

AHEAD_S = 300  # how far a witness's clock may be ahead; later ones would look fresh for ever
FRESH_S = 25 * 3600  # a head without a younger cosignature is stale
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified line. `vkey`: whose it is; `at`: seconds since 1970; `line`: as it stands on the note, no newline."""

    vkey: str
    at: int
    line: str


def cosign(text: str, name: str, private: bytes, *, at: int) -> str:
    """The signature line (no newline) of witness `name` over a checkpoint's `text`, at `at` seconds since 1970."""
    blob = note_key_id(name, VKEY_COSIGNATURE, public_of(private)) + at.to_bytes(_TIME_BYTES, "big")
    return f"\u2014 {name} {b64encode(blob + sign(private, _signed(text, at))).decode()}"


def cosignatures(note: bytes, vkeys: Iterable[str], *, now: int) -> list[Cosignature]:
    """What the witnesses `vkeys` (type 0x04) have put on `note`: of each the latest line that verifies.

    Lines of other keys, that do not verify, or are dated more than 5 minutes ahead of `now` count for nothing
    [P-162]. The log's own signature is not looked at. Raises: CheckpointRefused `note-malformed`, KeyRefused.
    """
    text, lines = note_lines(note)
    keys = {}
    for vkey in vkeys:
        key = decode_vkey(vkey, VKEY_COSIGNATURE)
        keys[key.name, key.key_id] = vkey, key.public
    found: dict[str, Cosignature] = {}
    for line in lines:
        name, blob = parse_line(line)
        known = keys.get((name, blob[:4]))
        if known is None or len(blob) != 4 + _TIME_BYTES + SIGNATURE_BYTES:
            continue
        vkey, public = known
        at = int.from_bytes(blob[4 : 4 + _TIME_BYTES], "big")
        if at > now + AHEAD_S or (vkey in found and found[vkey].at >= at):
            continue
        try:
            verify(public, _signed(text, at), blob[4 + _TIME_BYTES :])
        except KeyRefused:
            continue
        found[vkey] = Cosignature(vkey, at, line)
    return list(found.values())


def read_lines(body: bytes) -> list[str]:
    """The signature lines of a witness's answer, none of them verified.

    Raises: CheckpointRefused `note-malformed` for anything but 1 to 63 lines of that form, each ended.
    """
    try:
        lines = body.decode().split("\n")
    except UnicodeDecodeError as exc:
        raise CheckpointRefused("note-malformed") from exc
    if lines.pop() != "" or not 0 < len(lines) < MAX_SIGNATURES:
        raise CheckpointRefused("note-malformed")
    for line in lines:
        parse_line(line)
    return lines


def with_lines(note: bytes, lines: Iterable[str]) -> bytes:
    """`note` with further lines at its end, of each key the last, as far as a note has room (64 lines, 16 KiB)."""
    text, standing = note_lines(note)
    together: dict[tuple[str, bytes], str] = {}
    for line in [*standing, *lines]:
        name, blob = parse_line(line)
        together[name, blob[:4]] = line
    kept: list[str] = []
    room = MAX_NOTE_BYTES - len(join_note(text, []))
    for line in list(together.values())[:MAX_SIGNATURES]:
        room -= len(line.encode()) + 1
        if room >= 0:
            kept.append(line)
    return join_note(text, kept)


def _signed(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()
