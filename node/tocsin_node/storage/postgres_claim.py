"""Who runs a node's PostgreSQL and who only shares it: two lock files, which the death of a process clears.

    owner.lock   held alone by the process that starts and stops the server
    guests.lock  held together by those who use it meanwhile, such as `tocsin token list` beside a running
    node

An owner that ends lets guests end first; a guest that comes too late waits and becomes the owner.
"""

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tocsin_node.errors import NodeRunning
from tocsin_node.storage.errors import StorageUnavailable
from tocsin_node.storage.postgres_server import read_pid_file

OWNER_WAITS_S = 5.0  # for a predecessor that is stopping, or a tool that is about to end
GUEST_WAITS_S = 60.0  # for a server that is being made, or recovers
TRY_EVERY_S = 0.05  # flock knows no waiting with a limit


@dataclass(frozen=True, slots=True)
class Claim:
    """What this process may do with the server."""

    owns: bool
    guests: IO[bytes] = field(repr=False)

    async def guests_gone(self, within_s: float) -> bool:
        """For the owner: wait until no guest is inside; from then on none comes in.

        False when it takes longer than `within_s`.
        """
        deadline = time.monotonic() + within_s
        while not _locked(self.guests, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(TRY_EVERY_S)
        return True


@asynccontextmanager
async def claim(home: Path, *, own: bool, wait_s: float | None = None) -> AsyncIterator[Claim]:
    """The right to own the server under `home` for the block, or, with `own` false, at least to share it.

    Raises: NodeRunning when another process keeps owning it; StorageUnavailable when the server of another
    process does not become ready.
    """
    patience_s = wait_s if wait_s is not None else OWNER_WAITS_S if own else GUEST_WAITS_S
    deadline = time.monotonic() + patience_s
    with ExitStack() as stack:
        owner = stack.enter_context((home / "owner.lock").open("ab"))
        guests = stack.enter_context((home / "guests.lock").open("ab"))
        while True:
            if _locked(owner, fcntl.LOCK_EX):
                yield Claim(owns=True, guests=guests)
                return
            if not own and _is_ready(home) and _locked(guests, fcntl.LOCK_SH):
                if _is_ready(home):
                    yield Claim(owns=False, guests=guests)
                    return
                fcntl.flock(guests, fcntl.LOCK_UN)
            if time.monotonic() > deadline:
                if own:
                    raise NodeRunning("Another process runs this node's PostgreSQL.")
                raise StorageUnavailable("The node's PostgreSQL does not take connections yet.")
            await asyncio.sleep(TRY_EVERY_S)


def _is_ready(home: Path) -> bool:
    return read_pid_file(home / "data")[1] == "ready"


def _locked(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
