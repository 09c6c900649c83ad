"""Reading secrets: a systemd credential if there is one, else a file that only its owner can read.

Nothing here puts a secret into an error, a log or the environment.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from tocsin_node.errors import SecretError

KEYS_DIRECTORY = "keys"
TOKEN_FILE = "token"  # noqa: S105  a file name
PICKLE_KEY = "matrix-pickle-key"
RECOVERY_KEYS = ("matrix-recovery-key", "matrix-second-recovery-key")  # of the first bot and of the second
CREDENTIALS = "CREDENTIALS_DIRECTORY"
SECRET_MAX_BYTES = 64 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_secret(directory: Path, name: str, environment: Mapping[str, str] | None = None) -> bytes:
    """The secret `name` of the node in `directory`, without white space at its ends.

    Looked for as $CREDENTIALS_DIRECTORY/NAME (which systemd guards), then as DIR/keys/NAME.

    Raises: SecretError when there is none, or when others can read the file.
    """
    return read_secret_at(directory / KEYS_DIRECTORY / name, credential=name, environment=environment)


def read_secret_at(file: Path, *, credential: str, environment: Mapping[str, str] | None = None) -> bytes:
    """The systemd credential of that name if there is one, else the content of `file`.

    Raises: SecretError when there is neither, or when others can read the file.
    """
    credentials = (os.environ if environment is None else environment).get(CREDENTIALS)
    if credentials:
        guarded = Path(credentials) / credential
        if guarded.is_file():
            return _content(guarded)
    return read_secret_file(file)


def secret_files(
    directory: Path, name: str, environment: Mapping[str, str] | None = None
) -> list[tuple[Path, bool]]:
    """Where the secret `name` lies, the first to be taken first, each with whether systemd guards it."""
    credentials = (os.environ if environment is None else environment).get(CREDENTIALS)
    found = [(Path(credentials) / name, True)] if credentials else []
    return [each for each in [*found, (directory / KEYS_DIRECTORY / name, False)] if each[0].is_file()]


def read_secret_file(file: Path, *, carried: bool = False) -> bytes:
    """The content of a file that only its owner can read, without white space at its ends.

    `carried`: it comes on a stick, whose file system may know no owners.

    Raises: SecretError.
    """
    try:
        mode = file.stat().st_mode
    except FileNotFoundError as exc:
        raise SecretError(f"There is no secret at {file}.") from exc
    except OSError as exc:
        raise SecretError(f"{file} cannot be read: {exc.strerror}.") from exc
    if mode & OTHERS and not carried:
        raise SecretError(f"Others can read {file}.", hint=f"Take their rights away: chmod 600 {file}")
    return _content(file)


def write_secret_file(file: Path, content: str) -> None:
    """Write a new file that only its owner can read, and see it safely onto the disk.

    Raises: SecretError when it exists already or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise SecretError(
            f"{file} cannot be written: {exc.strerror}.", hint="Nothing was overwritten."
        ) from exc
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(SECRET_MAX_BYTES + 1)
    except OSError as exc:
        raise SecretError(f"{file} cannot be read: {exc.strerror}.") from exc
    if len(content) > SECRET_MAX_BYTES:
        raise SecretError(f"{file} is far too large for a secret.")
    if not content.strip():
        raise SecretError(f"{file} is empty.")
    return content.strip()
