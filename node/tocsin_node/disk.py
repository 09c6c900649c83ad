"""The three steps that a ceremony on a node's files is made of. Each is on the disk when it returns.

A power cut between any two of them, or within one, must leave a node that starts: tests cut it at every step.
"""

import os
from pathlib import Path

from tocsin_node.errors import SecretError


class Disk:
    """Steps on owner-only files. All raise SecretError with the file's name when the disk refuses."""

    def write(self, file: Path, content: bytes) -> None:
        """Write a new file; one that stands there is replaced only when the new one is whole.

        When root writes, it belongs to whoever owns the directory: the node may run as somebody else.
        """
        fresh = file.with_name(f".{file.name}.part")
        try:
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                if os.geteuid() == 0:
                    owner = file.parent.stat()
                    os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
                self._put(stream.fileno(), content)
                os.fsync(stream.fileno())
        except OSError as exc:
            raise SecretError(f"{file} cannot be written: {exc.strerror}.") from exc
        self.move(fresh, file)

    def move(self, file: Path, to: Path) -> None:
        """Put `file` in the place of `to`, at once."""
        try:
            file.replace(to)
            _settle(to.parent)
        except OSError as exc:
            raise SecretError(f"{to} cannot be replaced: {exc.strerror}.") from exc

    def remove(self, file: Path) -> None:
        """Delete `file`, if it is there."""
        try:
            file.unlink(missing_ok=True)
            _settle(file.parent)
        except OSError as exc:
            raise SecretError(f"{file} cannot be deleted: {exc.strerror}.") from exc

    def _put(self, descriptor: int, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
