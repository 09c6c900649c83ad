"""The node's audit log, taken out whole, and verified without trusting the node: from a file, or as it comes.

An export is read line by line; it may be larger than memory.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tocsin_cli.client import Client
from tocsin_cli.errors import AnswerBroken, FileUnreadable, NotVerified
from tocsin_cli.filing import member

if TYPE_CHECKING:
    from tocsin_federation.checkpoint import Checkpoint
    from tocsin_federation.identity import Identity

PAGE = 2000
_NOTE_MAX_BYTES = 64 * 1024
_UNSIGNED = (
    "Is the export, or what it is held --against, another node's? If not, it was forged: keep it as evidence."
)


@dataclass(frozen=True, slots=True)
class Verified:
    """What holds. `before`: the largest earlier checkpoint that it was found to have grown from."""

    identity: "Identity"
    checkpoint: "Checkpoint"
    note: bytes
    forgotten: int
    before: "Checkpoint | None"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        before = self.before and {"size": self.before.size, "root": self.before.root.hex()}
        return {
            "verified": True,
            "node_id": self.identity.node_id,
            "org": self.identity.statement.org.name,
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "forgotten": self.forgotten,
            "grown_from": before,
        }


def export(client: Client, advance: Callable[[int], None]) -> Iterator[bytes]:
    """The node's audit log as an export: the head, then each line, without line ends."""
    from tocsin_federation.audit import EXPORT_HEAD, ExportHead

    found = client.json("GET", "/v1/audit/head")
    try:
        chain = [base64.b64decode(text, validate=True) for text in member(found, "chain")]
        yield EXPORT_HEAD.encode(ExportHead(audit=1, chain=chain, note=str(member(found, "note"))))
    except (ValueError, TypeError) as exc:
        raise AnswerBroken("The node's chain of statements is not base64.") from exc
    size = member(found, "size")
    for start in range(0, size if isinstance(size, int) else 0, PAGE):
        query = [("from", str(start)), ("to", str(min(start + PAGE, size)))]
        yield from client.raw(
            "GET", "/v1/audit/lines", query=query, accept="application/x-ndjson"
        ).splitlines()
        advance(start + PAGE)


def lines_of(file: Path) -> Iterator[bytes]:
    """The lines of an exported file. Raises: FileUnreadable."""
    from tocsin_federation.audit import MAX_HEAD_BYTES

    try:
        with file.open("rb") as stream:
            while line := stream.readline(MAX_HEAD_BYTES + 1):
                yield line.removesuffix(b"\n")
    except OSError as exc:
        raise FileUnreadable(f"{file} cannot be read: {exc.strerror}.") from exc


def verify(lines: Iterator[bytes], earlier: Sequence[bytes], *, expected: str | None) -> Verified:
    """Hold an export against itself, and against `earlier` notes of the same log.

    Raises: NotVerified with the code of the first that does not hold.
    """
    from tocsin_federation.audit import EXPORT_HEAD, Reader, open_audit_note, read_export_head
    from tocsin_federation.errors import FederationError

    try:
        first = next(lines, b"")
        identity, checkpoint = read_export_head(first, expected=expected)
        before = [open_audit_note(note, identity.statements) for note in earlier]
        reader, forgotten = Reader(checkpoint, before), 0
        for raw in lines:
            line = reader.take(raw)
            forgotten += line.object is None and line.leaf.object is not None
        reader.finish()
    except FederationError as exc:
        hint = _UNSIGNED if exc.code == "note-unsigned" else exc.hint
        raise NotVerified(f"The audit log does not hold: {exc}", code=exc.code, hint=hint) from exc
    note = EXPORT_HEAD.decode(first).note.encode()
    return Verified(identity, checkpoint, note, forgotten, max(before, key=lambda c: c.size, default=None))


def note_of(file: Path) -> bytes:
    """The signed note in `file`: a note, or the one that an export begins with. Raises: FileUnreadable, NotVerified."""
    from tocsin_federation.audit import EXPORT_HEAD
    from tocsin_federation.errors import FederationError

    try:
        if file.stat().st_size <= _NOTE_MAX_BYTES and not (raw := file.read_bytes()).startswith(b"{"):
            return raw
    except OSError as exc:
        raise FileUnreadable(f"{file} cannot be read: {exc.strerror}.") from exc
    try:
        return EXPORT_HEAD.decode(next(lines_of(file), b"")).note.encode()
    except FederationError as exc:
        raise NotVerified(
            f"{file}: {exc}", code=exc.code, hint="Give a kept note, or an earlier export."
        ) from exc
