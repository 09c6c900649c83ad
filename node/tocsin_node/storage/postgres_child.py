"""Becomes PostgreSQL: drops root's rights, ties itself to the node's life, then executes the server.

Started as `python -I -S postgres_child.py UID GID DIRECTORY PARENT PROGRAM ARGUMENT…`. A process of its own,
not a hook between fork and exec: those are not safe in a program with threads. UID -1 keeps the user. PARENT
0 ties it to nobody. It imports nothing but the standard library, since it runs where the node's packages may
be out of sight.

With a PARENT, Linux sends this process SIGINT (PostgreSQL's fast shutdown) when the thread that started it
ends. The order matters: a change of user clears that wish, and the parent may be gone before it was made.
"""

import os
import signal
import sys
from collections.abc import Callable

CANNOT_EXECUTE = 126
PR_SET_PDEATHSIG = 1
DIRECTORY_FD = (
    9  # DIRECTORY stays open under this number; on Linux /proc/self/fd/9 leads there past closed doors
)


def main(uid: int, gid: int, directory: str, parent: int, program: list[str]) -> int:
    """Does not return when all goes well."""
    prctl = _prctl() if parent and sys.platform == "linux" else None
    os.umask(0o077)
    # Opened before the rights go: the directories above may be closed to the new user.
    os.dup2(os.open(directory, os.O_RDONLY), DIRECTORY_FD)
    os.chdir("/")
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if parent and os.getppid() != parent:
        return 1
    try:
        os.execv(program[0], program)  # noqa: S606  no shell is wanted
    except OSError as exc:
        sys.stderr.write(f"{program[0]}: {exc.strerror}\n")
    return CANNOT_EXECUTE


def _prctl() -> Callable[[int, int], int]:
    import ctypes  # noqa: PLC0415  only where it is used: it costs as much as all the rest

    prctl: Callable[[int, int], int] = ctypes.CDLL(None).prctl
    return prctl


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5:]))
