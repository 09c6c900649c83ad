"""Whether the log's database is the one that this machine wrote last: a note in memory that no backup holds.

After each commit the log's size is written to a file in the machine's shared memory. It outlives the process, not the
machine, and is in no backup. A database that has at least that size after a start is the one that was written; one that
has less was put in its place. Without the file nothing is known.
"""

import os
import re
from pathlib import Path
from typing import Literal

MEMORY = Path("/dev/shm")  # noqa: S108  a file of our own there, opened without following links
_FORM = re.compile(rb"([0-9]{1,10}) ([0-9]{1,16}) *\n", re.ASCII)
_WIDTH = 32

Found = Literal["same", "older", "unknown"]


class Continuity:
    """The note about one node's log."""

    def __init__(self, node_id: str, directory: Path = MEMORY) -> None:
        self.file = directory / f"tocsin-{os.getuid()}-{node_id}"
        self._directory = directory
        self._open: int | None = None

    def found(self, gen: int, size: int) -> Found:
        """What a database with so long a log is, by the note."""
        try:
            descriptor = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return "unknown"
        try:
            status = os.fstat(descriptor)
            if status.st_uid != os.getuid() or status.st_mode & 0o077:
                return "unknown"
            noted = _FORM.fullmatch(os.read(descriptor, _WIDTH + 1))
        finally:
            os.close(descriptor)
        if noted is None or int(noted[1]) != gen:
            return "unknown"
        return "same" if size >= int(noted[2]) else "older"

    def note(self, gen: int, size: int) -> None:
        """The log has this size now. Never raises: without the note peers are asked at the next start."""
        try:
            if self._open is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
                self._open = os.open(self.file, flags, 0o600)
            os.pwrite(self._open, f"{gen} {size}".encode().ljust(_WIDTH - 1) + b"\n", 0)
        except OSError:
            self.close()

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._open is not None:
            os.close(self._open)
            self._open = None
