"""Connections to Postgres. Only this package names the driver; its exceptions leave here as `StorageError`.

A `Connection` is asyncpg's with our errors. Sessions are set up alike everywhere: UTC, a statement limit, an
idle limit inside transactions, so that no forgotten transaction holds rows for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import asyncpg

from tocsin_node.settings.record import Settings
from tocsin_node.storage.errors import DRIVER_ERRORS, StorageRefused, StorageUnavailable, translate

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 65.0  # above the server's own limit: for a connection that has gone silent
CLOSE_TIMEOUT_S = 5.0
SESSION = {
    "application_name": "tocsin",
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",  # what was acknowledged is on the disk, whatever the server's default
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}
LOWEST_VERSION = 15

Record = asyncpg.Record


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """One session. Statements raise StorageError; parameters are `$1`, `$2` and so on.

    A session of the pool is handed on as it is: leave nothing behind in it (no `set` beyond the transaction, no
    advisory lock beyond it, no `listen`).
    """

    def get_reset_query(self) -> str:
        """Nothing: a reset would cost a round trip at every release. An open transaction is rolled back in any case."""
        return ""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """Run one statement (or several without arguments); returns the command tag, such as `INSERT 0 3`."""
        try:
            tag: str = await super().execute(query, *args, timeout=timeout)
        except DRIVER_ERRORS as exc:
            raise translate(exc) from exc
        return tag

    async def executemany(
        self,
        command: str,
        args: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Run one statement for each row of `args`, all or nothing."""
        try:
            await super().executemany(command, args, timeout=timeout)
        except DRIVER_ERRORS as exc:
            raise translate(exc) from exc

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109
        """All rows."""
        try:
            rows: list[Any] = await super().fetch(query, *args, timeout=timeout)
        except DRIVER_ERRORS as exc:
            raise translate(exc) from exc
        return rows

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """The first row, or None."""
        try:
            return await super().fetchrow(query, *args, timeout=timeout)
        except DRIVER_ERRORS as exc:
            raise translate(exc) from exc

    async def fetchval(
        self,
        query: str,
        *args: Any,
        column: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Any:
        """One value of the first row, or None."""
        try:
            return await super().fetchval(query, *args, column=column, timeout=timeout)
        except DRIVER_ERRORS as exc:
            raise translate(exc) from exc


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: `postgresql://user:password@host:port/database?…`; several hosts are allowed."""

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raise StorageRefused for anything but such a URL."""
        try:
            scheme = urlsplit(self.url).scheme
        except ValueError as exc:
            raise StorageRefused("database.url cannot be read as a URL.") from exc
        if scheme not in {"postgresql", "postgres"}:
            raise StorageRefused("database.url must begin with postgresql://")

    def __str__(self) -> str:
        """For people and logs: without user and password."""
        parts = urlsplit(self.url)
        sockets = parse_qs(parts.query).get("host", ["the local socket"])
        host = parts.netloc.rpartition("@")[2] or sockets[0]
        return f"{unquote(parts.path.lstrip('/')) or 'the default database'} at {host}"

    def with_database(self, database: str) -> Self:
        """The same server, another database."""
        return type(self)(urlsplit(self.url)._replace(path=f"/{quote(database)}").geturl())


async def connect(address: Address, **session: str) -> Connection:
    """One connection outside the pool, for locks and migrations. The caller closes it.

    Raises: StorageUnavailable, StorageRefused.
    """
    try:
        conn: Connection = await asyncpg.connect(
            address.url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            connection_class=Connection,
            server_settings={**SESSION, **session},
        )
    except (*DRIVER_ERRORS, ValueError) as exc:
        raise translate(exc) from exc
    return conn


class Pool:
    """A bounded set of connections; who asks when all are taken waits, for at most ten seconds."""

    def __init__(self, driver_pool: Any, address: Address) -> None:
        self._pool = driver_pool
        self.address = address

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """One connection for the block.

        Raises: StorageUnavailable when the database is away or all connections stay taken.
        """
        try:
            conn = await self._pool.acquire(timeout=CONNECT_TIMEOUT_S)
        except (*DRIVER_ERRORS, ValueError) as exc:
            raise translate(exc) from exc
        try:
            with translating(conn):
                yield conn
        finally:
            await self._release(conn)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One connection and a transaction: committed at the block's end, rolled back on any exception.

        Raises: StorageUnavailable as `acquire` does. An idle connection that turns out to be dead before anything was
        written is let go, and the next one is taken: a server that has cut its sessions costs nobody his work.
        """
        async with AsyncExitStack() as stack:
            yield await self._begin(stack)

    async def _begin(self, stack: AsyncExitStack) -> Connection:
        for _ in range(self._pool.get_max_size()):
            async with AsyncExitStack() as trial:
                conn = await trial.enter_async_context(self.acquire())
                try:
                    with translating(conn):
                        await trial.enter_async_context(conn.transaction())
                except StorageUnavailable:
                    if gone(conn):
                        continue
                    raise
                stack.push_async_exit(trial.pop_all())
                return conn
        raise StorageUnavailable("Every connection to the database was cut.")

    async def close(self) -> None:
        """Wait a few seconds for connections in use, then cut them off."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except (TimeoutError, *DRIVER_ERRORS):
            self._pool.terminate()

    async def _release(self, conn: Any) -> None:
        try:
            await self._pool.release(conn)
        except DRIVER_ERRORS:
            with suppress(*DRIVER_ERRORS):  # the pool may have let go of it already
                conn.terminate()  # a session that cannot be reset is worth nothing to the next one


def gone(conn: Any) -> bool:
    """Whether this session has ended. The driver takes back a lent session that dies, and then refuses to answer."""
    try:
        return bool(conn.is_closed())
    except asyncpg.InterfaceError:
        return True


@contextmanager
def translating(conn: Any) -> Iterator[None]:
    """Make the driver's errors ours that no method of `Connection` sees: at a transaction's end, of a cursor.

    The block's own trouble with files and sockets stays what it is.
    """
    try:
        yield
    except DRIVER_ERRORS as exc:
        if isinstance(exc, OSError) and not gone(conn):
            raise
        raise translate(exc) from exc


@asynccontextmanager
async def open_pool(settings: Settings, address: Address) -> AsyncIterator[Pool]:
    """The node's pool at `address`, open for the block. The server must be PostgreSQL 15 or newer.

    Raises: StorageUnavailable, StorageRefused.
    """
    try:
        driver_pool = await asyncpg.create_pool(
            address.url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            min_size=0,  # a floor makes the driver log a traceback at each try while the database is away
            max_size=settings.database.connections,
            max_inactive_connection_lifetime=300,
            connection_class=Connection,
            server_settings=SESSION,
        )
    except (*DRIVER_ERRORS, ValueError) as exc:
        raise translate(exc) from exc
    pool = Pool(driver_pool, address)
    try:
        async with pool.acquire() as conn:
            check_version(conn)
        yield pool
    finally:
        await pool.close()


def check_version(conn: Connection) -> None:
    """Raise StorageRefused unless the server is PostgreSQL 15 or newer."""
    version = conn.get_server_version()
    if version.major < LOWEST_VERSION:
        raise StorageRefused(
            f"The database is PostgreSQL {version.major}; the node needs {LOWEST_VERSION} or newer.",
            hint="Upgrade the server, or leave database.url out to use the embedded one.",
        )
