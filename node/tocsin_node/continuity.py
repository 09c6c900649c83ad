"""Whether the log's database is the one that was written last, by two notes of the log's size outside it.

After each commit the size is written to a file in the machine's shared memory, and to one in the node's directory. The
first outlives the process, not the machine, and is in no backup: a database of at least that size was written here.
The second outlives the machine, and may have been put back together with the database: it only tells of a restore when
it is larger. Neither is forced to the disk; one that fell behind says less, and never something false.
"""

import logging
import os
import re
from pathlib import Path
from typing import Literal

MEMORY = Path("/dev/shm")  # noqa: S108  a file of our own there, opened without following links
_FORM = re.compile(rb"([0-9]{1,10}) ([0-9]{1,16}) *\n", re.ASCII)
_WIDTH = 32
logger = logging.getLogger(__name__)

Found = Literal["same", "likely", "older", "unknown"]


class Continuity:
    """The notes about one node's log. `kept`: the one in the node's directory."""

    def __init__(self, node_id: str, kept: Path, memory: Path = MEMORY) -> None:
        self.file = memory / f"tocsin-{os.getuid()}-{node_id}"
        self.kept = kept
        self._open: int | None = None
        self._warned = False

    def found(self, gen: int, size: int) -> Found:
        """What a database with so long a log is, by the notes; `likely`: by the one in no memory."""
        remembered, kept = _compared(self.file, gen, size), _compared(self.kept, gen, size)
        if "older" in (remembered, kept):
            return "older"
        if remembered == "same":
            return "same"
        return "likely" if kept == "same" else "unknown"

    def note(self, gen: int, size: int) -> None:
        """The log has this size now. Never raises: without the notes peers are asked at the next start."""
        line = f"{gen} {size}".encode().ljust(_WIDTH - 1) + b"\n"
        try:
            if self._open is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
                self._open = os.open(self.file, flags, 0o600)
            os.pwrite(self._open, line, 0)
        except OSError:
            self.close()
        try:
            _replace(self.kept, line)
        except OSError as exc:
            if not self._warned:
                logger.warning("how long our log is could not be noted in %s: %s", self.kept, exc)
            self._warned = True

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._open is not None:
            os.close(self._open)
            self._open = None


def _compared(file: Path, gen: int, size: int) -> Found:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return "unknown"
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            return "unknown"
        noted = _FORM.fullmatch(os.read(descriptor, _WIDTH + 1))
    finally:
        os.close(descriptor)
    if noted is None:
        return "unknown"
    noted_gen, noted_size = int(noted[1]), int(noted[2])
    if noted_gen < gen and size == 0:
        return "same"  # a generation that was begun since, and not written in
    if noted_gen != gen:
        return "unknown"
    return "same" if size >= noted_size else "older"


def _replace(file: Path, line: bytes) -> None:
    fresh = file.with_name(f".{file.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    fresh.replace(file)
