"""The embedded PostgreSQL: made, started, watched and stopped by the node, in a directory of its own.

    postgres/data          the data directory, 0700, C locale, checksums, durable
    postgres/run           the Unix socket, 0700; no TCP port is opened
    postgres/postgres.log  what the server says
    postgres/*.lock        who runs the server and who shares it (postgres_claim)

Who holds the lock owns the server: it starts it, and stops it at the end. Others on the same machine and user
attach. The server dies with its owner (Linux: the kernel sends it a fast shutdown), so a server that still
runs when the lock is free is an orphan and is stopped first. Sessions are let in by operating system user
(peer), so there is no password to keep.
"""

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

from tocsin_node.storage.errors import PostgresFailed
from tocsin_node.storage.pool import Address, connect
from tocsin_node.storage.postgres_binaries import Binaries, choose, private_copy, stage
from tocsin_node.storage.postgres_claim import claim
from tocsin_node.storage.postgres_server import PORT, SUPERUSER, Server, read_pid_file
from tocsin_node.storage.postgres_user import ServerUser, server_user

DATABASE = "tocsin"
GUESTS_END_S = 5.0
OPEN_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  public directories are what is wanted here
SOCKET_PATH_MAX = 107
logger = logging.getLogger(__name__)


class Postgres:
    """A running server. `address` is where the node's database is; `owned` says whether we stop it."""

    def __init__(self, home: Path, address: Address, server: Server | None) -> None:
        self.home = home
        self.address = address
        self._server = server

    @property
    def owned(self) -> bool:
        """Whether this process started the server."""
        return self._server is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong with the server at the moment, in words; None when it runs."""
        return self._server.trouble if self._server else None

    @property
    def pid(self) -> int | None:
        """The server's process id, when it runs."""
        return read_pid_file(self.home / "data")[0]


@asynccontextmanager
async def run_postgres(
    home: Path,
    *,
    binaries: str = "",
    user: str = "",
    options: Sequence[tuple[str, str]] = (),
    own: bool = True,
    wait_s: float | None = None,
) -> AsyncIterator[Postgres]:
    """Run the server under `home` for the block, making its data directory at the first time.

    `own=False` attaches to the server of another process when there is one. `options` are server settings on
    top of the fixed ones. Must be entered from the program's main thread: the server lives as long as that
    thread.

    Raises: NodeRunning when another process keeps owning it (for 5 s, unless `wait_s` is given);
    PostgresMissing, PostgresUserMissing, PostgresVersion, PostgresFailed.
    """
    # The driver takes a socket's directory for a host name unless it begins with a slash.
    home = home.absolute()  # noqa: ASYNC240  asks nothing of the disk
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with claim(home, own=own, wait_s=wait_s) as claimed:
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(_socket_directory(home / "run", claimed.owns))
            address = Address(f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(run, safe='/')}&port={PORT}")
            if not claimed.owns:
                await _ensure_database(address)
                yield Postgres(home, address, None)
                return
            who = server_user(home, wanted=user)
            programs = stack.enter_context(_within_sight(choose(home / "data", preferred=binaries), who))
            server = Server(home, programs, who, tuple(options))
            await server.prepare()
            try:
                await server.start()
                async with _watched(server):
                    await _ensure_database(address)
                    yield Postgres(home, address, server)
                    if not await claimed.guests_gone(GUESTS_END_S):
                        logger.warning("a tool still uses the node's PostgreSQL and is cut off")
            finally:
                await server.stop()


@asynccontextmanager
async def _watched(server: Server) -> AsyncIterator[None]:
    watcher = asyncio.create_task(server.watch(), name="postgres watcher")
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


@contextmanager
def _socket_directory(run: Path, create: bool) -> Iterator[str]:
    """The socket's directory as a path short enough for a socket address (108 bytes with its end)."""
    if create:
        run.mkdir(mode=0o700, exist_ok=True)
    if len(os.fsencode(run / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX:
        yield str(run)
        return
    if sys.platform != "linux":
        raise PostgresFailed(
            f"The path {run} is too long for a Unix socket.",
            hint="Choose a node directory with a shorter path.",
        )
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def _within_sight(binaries: Binaries, user: ServerUser) -> Iterator[Binaries]:
    """The programs where the server's user can execute them; a copy for the block if need be."""
    if user.can_run(binaries):
        yield binaries
        return
    if not binaries.wheel:
        raise PostgresFailed(
            f"{user.name} may not execute {binaries.postgres}.",
            hint="Name other programs in database.binaries.",
        )
    with contextlib.ExitStack() as stack:
        for place in dict.fromkeys((tempfile.gettempdir(), *OPEN_PLACES)):
            if not os.access(place, os.W_OK):
                continue
            staged = stage(binaries, stack.enter_context(private_copy(Path(place))))
            if user.can_run(staged):
                yield staged
                return
            stack.pop_all().close()
        raise PostgresFailed(
            f"{user.name} can execute PostgreSQL neither in {binaries.directory} nor in a copy of it.",
            hint="Set TMPDIR to a directory where all users may execute programs, install PostgreSQL 15 or newer "
            "for all users, or run the node as an ordinary user.",
        )


async def _ensure_database(address: Address) -> None:
    conn = await connect(address.with_database("postgres"))
    try:
        await conn.execute("select pg_advisory_lock(1)")  # owner and guests may come here at once
        if not await conn.fetchval("select 1 from pg_database where datname = $1", DATABASE):
            await conn.execute(f"create database {DATABASE}")
    finally:
        await conn.close()
