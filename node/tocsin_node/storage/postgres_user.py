"""Which operating system user runs PostgreSQL, and whether that user can see the programs.

PostgreSQL refuses to run as root. A node started by root therefore runs it as another user that exists
already; none is made. The data directory is opened before the rights are dropped (see `postgres_child`), so
the directories above it may be closed to that user, and none of them is ever changed.
"""

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tocsin_node.storage import postgres_child
from tocsin_node.storage.errors import PostgresFailed, PostgresUserMissing
from tocsin_node.storage.postgres_binaries import Binaries

ORDINARY_USERS = ("tocsin", "postgres", "nobody")
CHILD = Path(postgres_child.__file__)
DIRECTORY_FD = postgres_child.DIRECTORY_FD


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who runs PostgreSQL. `drop`: the node is root and gives its rights up for it."""

    name: str
    uid: int
    gid: int
    drop: bool

    def command(self, directory: Path, program: list[str], *, parent: int = 0) -> list[str]:
        """The command line that runs `program` in `directory` as this user.

        `parent`: the process whose end ends it (0: none).
        """
        uid, gid = (self.uid, self.gid) if self.drop else (-1, -1)
        child = [sys.executable, "-I", "-S", str(CHILD)]
        return [*child, str(uid), str(gid), str(directory), str(parent), *program]

    def sees(self, directory: Path) -> str:
        """The name by which a program run by `command` reaches its directory, past closed doors."""
        return f"/proc/self/fd/{DIRECTORY_FD}" if self.drop and sys.platform == "linux" else str(directory)

    def can_run(self, binaries: Binaries) -> bool:
        """Whether this user can execute the programs: tried, not guessed from permission bits."""
        if not self.drop:
            return os.access(binaries.postgres, os.X_OK)
        command = self.command(Path("/"), [str(binaries.postgres), "--version"])
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  our own


def server_user(home: Path, *, wanted: str = "") -> ServerUser:
    """Who is to run the server whose files are under `home`.

    An ordinary user runs it as itself. Root takes: the owner of the data, else `wanted`, else the owner of
    the node's directory, else the first of tocsin, postgres, nobody that exists.

    Raises: PostgresUserMissing; PostgresFailed when the data belongs to somebody else.
    """
    me, owner = os.geteuid(), _owner(home / "data")
    if me != 0:
        if owner not in {None, me}:
            raise PostgresFailed(
                f"{home / 'data'} belongs to {_name(owner)}, not to {_name(me)}.",
                hint=f"Run the node as {_name(owner)}, or give the files over: chown -R {_name(me)} {home}",
            )
        return _user(_entry(me), drop=False)
    if owner:
        return _owner_as(owner, home, wanted)
    if wanted:
        return _user(_named(wanted), drop=True)
    parent = _owner(home.parent)
    if parent:
        return _user(_entry(parent), drop=True)
    for name in ORDINARY_USERS:
        try:
            return _user(pwd.getpwnam(name), drop=True)
        except KeyError:
            continue
    raise PostgresUserMissing


def give(path: Path, user: ServerUser) -> None:
    """Make `path` an owner-only directory of the server's user."""
    path.mkdir(mode=0o700, exist_ok=True)
    if user.drop and path.stat().st_uid != user.uid:
        os.chown(path, user.uid, user.gid)


def _owner_as(owner: int, home: Path, wanted: str) -> ServerUser:
    if wanted and _named(wanted).pw_uid != owner:
        raise PostgresFailed(
            f"{home / 'data'} belongs to {_name(owner)}, but database.user is {wanted}.",
            hint=f"Leave database.user out, or give the files over: chown -R {wanted} {home}",
        )
    return _user(_entry(owner), drop=True)


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None


def _user(entry: pwd.struct_passwd, *, drop: bool) -> ServerUser:
    if drop and entry.pw_uid == 0:
        raise PostgresUserMissing("PostgreSQL refuses to run as root, and database.user names root.")
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, drop)


def _named(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError as exc:
        raise PostgresUserMissing(f"database.user names {name}, but there is no such user.") from exc


def _entry(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError as exc:
        raise PostgresUserMissing(
            f"User id {uid} has no name on this machine; PostgreSQL needs one.",
            hint="Run the node as a user that /etc/passwd knows, or set database.url to a server elsewhere.",
        ) from exc


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid if uid is not None else -1).pw_name
    except (KeyError, OverflowError):
        return f"user id {uid}"
