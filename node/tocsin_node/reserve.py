"""A file of fixed size whose place on the disk is taken beforehand: lines can be written into it when the disk is full.

Lines are written one behind the other over the zeros that stand there, and are on the disk when `append` returns. What
a power cut has cut off is no line, and counts as one that did not fit.
"""

import os
from collections.abc import Sequence
from pathlib import Path

SIZE = 256 * 1024
COUNT_BYTES = 16  # at the end: how many lines did not fit, in decimal digits


class Reserve:
    """Raises OSError. One process writes it; nothing here waits for a lock."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._end: int | None = None  # before what stands there is known nothing is written over it
        self._lost = 0

    @property
    def lost(self) -> int:
        """How many lines did not fit."""
        return self._lost

    def open(self) -> Sequence[bytes]:
        """Take the place on the disk, unless it is taken; the lines that stand there."""
        if not self._file.exists():
            fresh = self._file.with_name(f".{self._file.name}.part")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                stream.write(bytes(SIZE))
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._file)
        with self._file.open("rb") as stream:
            content = stream.read(SIZE).ljust(SIZE, b"\0")
        *lines, rest = content[:-COUNT_BYTES].rstrip(b"\0").split(b"\n")
        self._end = sum(len(line) + 1 for line in lines)
        digits = content[-COUNT_BYTES:].rstrip(b"\0")
        self._lost = (int(digits) if digits.isdigit() else 0) + bool(rest)
        return lines

    def append(self, line: bytes) -> None:
        """Write a line, which has no line feed; where it does not fit, count it."""
        if self._end is None:
            raise OSError(f"{self._file} was not read")
        if self._end + len(line) + 1 > SIZE - COUNT_BYTES:
            self._lost += 1
            self._put(SIZE - COUNT_BYTES, str(self._lost).encode().ljust(COUNT_BYTES, b"\0"))
            return
        self._put(self._end, line + b"\n")
        self._end += len(line) + 1

    def clear(self) -> None:
        """Leave nothing of the lines."""
        self._put(0, bytes(SIZE))
        self._end = self._lost = 0

    def _put(self, at: int, content: bytes) -> None:
        descriptor = os.open(self._file, os.O_WRONLY)
        try:
            rest = memoryview(content)
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest, at = rest[written:], at + written
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
