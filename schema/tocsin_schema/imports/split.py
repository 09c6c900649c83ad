"""Taking a stream of JSON apart into pieces, without ever holding more than one or two MiB of it.

Three forms are known. A stream of at most 1 MiB is one document or one document a line. A longer stream
whose first line is a document has one a line. Any other longer stream is a bundle or a list and comes out
object by object, as the files that collections publish have hundreds of megabytes. Only brackets and
strings are looked at here; whether a piece is JSON its reader finds out.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final, Literal, NamedTuple

import orjson

MAX_PIECE: Final = 1024 * 1024
MAX_OBJECT: Final = MAX_PIECE * 3 // 2  # a report of full size, as an artifact carries it
_CHUNK: Final = 64 * 1024
_LIST: Final = re.compile(rb'\A\s*\[|"objects"\s*:\s*\[')
# A whole string (possessive, so no backtracking), a bracket, or the quote of a string that has not ended yet.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.DOTALL)
_REST: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)  # of a string, up to its last quote

Kind = Literal["document", "object", "too-large"]


class Piece(NamedTuple):
    """A document, an object out of a larger list, or one that had to be passed over because of its size."""

    kind: Kind
    number: int  # counts the pieces of the stream from 1
    raw: bytes


def split(stream: BinaryIO) -> Iterator[Piece]:
    """The pieces of a stream, in order."""
    pieces = _parts(stream)
    for number, (kind, raw) in enumerate(pieces, start=1):
        yield Piece(kind, number, raw)


def _parts(stream: BinaryIO) -> Iterator[tuple[Kind, bytes]]:
    head = _read_up_to(stream, MAX_PIECE + 1)
    if len(head) <= MAX_PIECE:
        if _is_json(head) or not _is_json(head.lstrip().partition(b"\n")[0]):
            yield "document", head
        else:
            yield from (("document", line) for line in head.split(b"\n") if line.strip())
    elif _is_json(head.lstrip().partition(b"\n")[0]):
        yield from _lines(head, stream)
    else:
        yield from _elements(head, stream)


def _read_up_to(stream: BinaryIO, size: int) -> bytes:
    """Read until `size` bytes or the end; pipes give less than asked for."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def _lines(head: bytes, stream: BinaryIO) -> Iterator[tuple[Kind, bytes]]:
    buffer, passing = head, False
    while True:
        *full, buffer = buffer.split(b"\n")
        for line in full:
            if passing:
                passing = False
            elif len(line) > MAX_PIECE:
                yield "too-large", b""
            elif line.strip():
                yield "document", line
        if len(buffer) > MAX_PIECE and not passing:
            passing = True
            yield "too-large", b""
        buffer = b"" if passing else buffer
        chunk = stream.read(_CHUNK)
        if not chunk:
            break
        buffer += chunk
    if buffer.strip() and not passing:
        yield "document", buffer


def _elements(head: bytes, stream: BinaryIO) -> Iterator[tuple[Kind, bytes]]:
    """The objects of every list named `objects`, or of the list that the stream begins with."""
    scan = _ListScan(head)
    while True:
        yield from scan.objects()
        chunk = stream.read(_CHUNK)
        if not chunk:
            break
        scan.buffer += chunk
    if scan.inside:
        yield "document", bytes(scan.buffer[:MAX_PIECE])  # cut off in the middle: the reader says so


class _ListScan:
    """Where in a long text we are; `buffer` holds what has not been given out yet."""

    def __init__(self, head: bytes) -> None:
        self.buffer = bytearray(head)
        self.inside = False  # in a list
        self._at = 0  # up to here the buffer has been looked at
        self._depth = 0  # inside the list
        self._start = -1  # where the current object begins
        self._in_string = False  # in a string whose end is not in the buffer yet
        self._passing = False  # the current object is too large and is passed over

    def objects(self) -> Iterator[tuple[Kind, bytes]]:
        """What can be given out of the buffer as it is."""
        while self.inside or self._enter():
            yield from self._list()
            if self.inside:
                break  # the list goes on in the next chunk
        self._forget()

    def _enter(self) -> bool:
        match = _LIST.search(self.buffer, self._at)
        if match is None:
            self._at = max(self._at, len(self.buffer) - 64)  # the beginning of `"objects" : [` may be there
            return False
        self.inside, self._at, self._depth = True, match.end(), 0
        return True

    def _list(self) -> Iterator[tuple[Kind, bytes]]:
        if not self._in_string or self._leave_string():
            yield from self._tokens()
        if self._start >= 0 and len(self.buffer) - self._start > MAX_OBJECT and not self._passing:
            self._passing = True
            yield "too-large", b""

    def _tokens(self) -> Iterator[tuple[Kind, bytes]]:
        for match in _TOKEN.finditer(self.buffer, self._at):
            token = match[0]
            self._at = match.end()
            if token == b'"':
                self._in_string = True
                self._leave_string()
                return
            if token in (b"{", b"["):
                if self._depth == 0:
                    self._start = match.start()
                self._depth += 1
            elif token in (b"}", b"]"):
                self._depth -= 1
                if self._depth < 0:
                    self.inside = False
                    return
                if self._depth == 0:
                    yield from self._give(match.end())

    def _leave_string(self) -> bool:
        """Go on to the end of a string, if it is in the buffer; no byte of it is looked at twice."""
        rest = _REST.match(self.buffer, self._at)
        self._at = rest.end() if rest is not None else self._at
        if self.buffer[self._at : self._at + 1] != b'"':
            return False  # it goes on in the next chunk, perhaps behind a backslash that stands last
        self._at += 1
        self._in_string = False
        return True

    def _give(self, end: int) -> Iterator[tuple[Kind, bytes]]:
        if not self._passing:
            yield "object", bytes(self.buffer[self._start : end])
        self._start, self._passing = -1, False

    def _forget(self) -> None:
        keep = self._at if self._passing or self._start < 0 else self._start
        # A single string may be longer than any piece: then its beginning goes too, as it is being passed over.
        del self.buffer[:keep]
        self._at -= keep
        self._start = 0 if self._start >= 0 else -1
