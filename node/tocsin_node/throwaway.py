"""The directory of a throw-away node: gone with its process, or, after a kill, with the next one.

Its process holds a lock on the file `ephemeral` in it for as long as it lives; the system lets go of the lock
however the process ends. So a directory whose lock is free has been abandoned. It gets its name only when the
lock is held: nobody can take it for an abandoned one before.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "tocsin-node-"
MARKER = "ephemeral"


@contextmanager
def directory() -> Iterator[Path]:
    """A fresh directory (0700) for the block; those that killed processes have left are taken away first."""
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{PREFIX}*"):
        _delete_if_abandoned(left)
    home = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
    try:
        with (home / MARKER).open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            home = home.rename(home.with_name(home.name.removeprefix(".")))
            yield home
    finally:
        shutil.rmtree(home)


def _delete_if_abandoned(home: Path) -> None:
    """Take `home` away, if all of this holds.

    1. it is a directory of our own user, no link; 2. so is its marker a file; 3. nobody holds the lock.
    """
    try:
        if not _ours(home.lstat(), stat.S_ISDIR):
            return
        with os.fdopen(os.open(home / MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as lock:
            if not _ours(os.fstat(lock.fileno()), stat.S_ISREG):
                return
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in home.iterdir():
                if part.is_dir() and not part.is_symlink():
                    shutil.rmtree(part)
                elif part.name != MARKER:
                    part.unlink()
            shutil.rmtree(home)  # with the marker last: a sweep that is cut short is ended by the next one
    except OSError:
        return  # no node, in use, not deletable yet since its PostgreSQL is ending, or being deleted by another


def _ours(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    return status.st_uid == os.geteuid() and is_kind(status.st_mode)
