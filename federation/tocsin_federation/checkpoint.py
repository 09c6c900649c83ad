"""Checkpoints: what a log signs, in the formats that others read too (C2SP signed-note, tlog-checkpoint).

Any witness that speaks C2SP can cosign our logs and sees nothing but origin, size and root. Of the formats'
freedom this protocol takes the least: Ed25519 (type 0x01), a key name equal to the origin, no extension
lines. Signatures by keys that are not asked about are passed over, as C2SP demands: that is how cosignatures
travel.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_federation.errors import CheckpointRefused, KeyRefused
from tocsin_federation.keys import VKEY_ED25519, decode_vkey, note_key_id, public_of, sign, verify
from tocsin_federation.merkle import HASH_BYTES

MAX_NOTE_BYTES = 16 * 1024
MAX_SIGNATURES = 64
_MAX_SIZE = 2**53 - 1
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's own word: at `size` leaves its root is `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes


def sign_checkpoint(origin: str, size: int, root: bytes, private: bytes) -> bytes:
    """The signed note over (origin, size, root). `private`: the log's 64-byte key. ~200 bytes."""
    text = checkpoint_text(Checkpoint(origin, size, root))
    return sign_note(text, origin, private)


def open_checkpoint(note: bytes, vkey: str) -> Checkpoint:
    """The checkpoint in `note`, once it is known to be signed by the log that `vkey` names.

    Raises: CheckpointRefused `note-malformed`, `note-unsigned`, `bad-signature`, `checkpoint-malformed`,
    `wrong-origin` (signed by the log's key but over another origin); KeyRefused for a bad `vkey`.
    """
    text = open_note(note, vkey)
    checkpoint = parse_checkpoint_text(text)
    if checkpoint.origin != decode_vkey(vkey).name:
        raise CheckpointRefused("wrong-origin")
    return checkpoint


# The note ---------------------------------------------------------------------------------------------


def sign_note(text: str, name: str, private: bytes) -> bytes:
    """`text` (ending in a newline) and its Ed25519 signature line under key `name`."""
    raw = text.encode()
    blob = note_key_id(name, VKEY_ED25519, public_of(private)) + sign(private, raw)
    return raw + f"\n{_DASH}{name} {b64encode(blob).decode()}\n".encode()


def open_note(note: bytes, vkey: str) -> str:
    """The text of `note`, once the key behind `vkey` is known to have signed it.

    The first signature line with that key's name and ID decides. Raises: CheckpointRefused, KeyRefused.
    """
    key = decode_vkey(vkey)
    text, lines = note_lines(note)
    signature: bytes | None = None
    for line in lines:
        name, blob = parse_line(line)
        if signature is None and name == key.name and blob[:4] == key.key_id:
            signature = blob[4:]
    if signature is None:
        raise CheckpointRefused("note-unsigned")
    try:
        verify(key.public, text.encode(), signature)
    except KeyRefused as exc:
        raise CheckpointRefused("bad-signature") from exc
    return text


def signers(note: bytes) -> tuple[str, ...]:
    """The key names on the signature lines of `note`, as they stand there, none of them verified.

    Raises: CheckpointRefused `note-malformed`.
    """
    return tuple(parse_line(line)[0] for line in note_lines(note)[1])


def note_lines(note: bytes) -> tuple[str, list[str]]:
    """The text of `note` and its signature lines, unverified. Raises: CheckpointRefused `note-malformed`."""
    if len(note) > MAX_NOTE_BYTES:
        raise CheckpointRefused("note-malformed")
    try:
        whole = note.decode()
    except UnicodeDecodeError as exc:
        raise CheckpointRefused("note-malformed") from exc
    text, gap, signatures = whole.rpartition("\n\n")
    lines = signatures.split("\n")
    if not gap or lines.pop() != "" or not 0 < len(lines) <= MAX_SIGNATURES:
        raise CheckpointRefused("note-malformed")
    if _CONTROL.search(whole):
        raise CheckpointRefused("note-malformed")
    return text + "\n", lines


def join_note(text: str, lines: Sequence[str]) -> bytes:
    """The note that `note_lines` takes apart."""
    return "\n".join([text, *lines, ""]).encode()


def parse_line(line: str) -> tuple[str, bytes]:
    """The key's name and the blob (key ID and signature) of a signature line. Raises: CheckpointRefused."""
    if not line.startswith(_DASH):
        raise CheckpointRefused("note-malformed")
    name, gap, encoded = line.removeprefix(_DASH).partition(" ")
    blob = _b64(encoded) if gap and name and "+" not in name else b""
    if len(blob) < 5 or _CONTROL.search(line):  # key ID and at least one byte
        raise CheckpointRefused("note-malformed")
    return name, blob


# The checkpoint ---------------------------------------------------------------------------------------


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """The three lines that are signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"


def parse_checkpoint_text(text: str) -> Checkpoint:
    """The checkpoint that `text` writes in its one form. Raises: CheckpointRefused `checkpoint-malformed`."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:  # three lines, each ended
        raise CheckpointRefused("checkpoint-malformed")
    origin, size_text, root_text = lines[:3]
    if not (size_text.isascii() and size_text.isdigit() and len(size_text) <= 16):
        raise CheckpointRefused("checkpoint-malformed")
    try:
        root = b64decode(root_text, validate=True)
    except (ValueError, Base64Error) as exc:
        raise CheckpointRefused("checkpoint-malformed") from exc
    checkpoint = Checkpoint(origin, int(size_text), root)
    if len(root) != HASH_BYTES or checkpoint.size > _MAX_SIZE or checkpoint_text(checkpoint) != text:
        raise CheckpointRefused("checkpoint-malformed")
    return checkpoint


def _b64(text: str) -> bytes:
    """Standard base64 in its one spelling, or nothing."""
    try:
        raw = b64decode(text, validate=True)
    except (ValueError, Base64Error):
        return b""
    return raw if b64encode(raw).decode() == text else b""
