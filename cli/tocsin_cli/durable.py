"""Files that are whole or absent, whatever happens in between.

A file is written beside its place, synced, renamed into it, and the directory is synced: a crash or a
loss of power leaves the old content or the new, never a part. Directories are 0700 and files 0600, since
reports rest here.
"""

import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def private_directory(path: Path) -> Path:
    """Make `path` (0700) where it is missing and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_durably(path: Path, content: bytes) -> None:
    """Put `content` at `path` (0600); when this returns, it is on the disk."""
    directory = private_directory(path.parent)
    beside = directory / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(directory)


def stream_durably(path: Path, pieces: Iterable[bytes], *, overwrite: bool) -> None:
    """Put the pieces at `path` (0600), whole or not at all, in a directory that is there.

    Raises: FileExistsError when a file is there by now and `overwrite` is not given; then it is untouched.
    """
    beside = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        if overwrite:
            beside.replace(path)
        else:
            _link(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _link(beside: Path, path: Path) -> None:
    """Rename without overwriting: atomic where the file system has hard links, a look before where it has none."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError from None
        beside.replace(path)
    else:
        beside.unlink()


def tidy(directory: Path, *, older_than_s: float) -> None:
    """Take away what a run that was killed in the middle of a write has left behind."""
    for path in directory.glob(".*.part"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()


def remove_durably(path: Path) -> None:
    """Take `path` away; nothing happens when it is gone already."""
    path.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
