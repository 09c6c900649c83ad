"""The pen: who holds a lock in the database may write the log, and writes it on the connection that holds it.

The lock is a session lock on a connection of its own. When the connection is lost, so is the lock, and a
transaction on it can no longer commit: a second process can never write beside the first. Losing it is
reported to whoever is writing; the next writer takes it again, or learns that another process has it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tocsin_node.errors import NodeRunning
from tocsin_node.storage.errors import StorageUnavailable
from tocsin_node.storage.pool import Address, Connection, connect, translating

LOCK = 0x746F6373_696E_0002  # "tocsin", 2
TRY = "select pg_try_advisory_lock($1)"
HOLDER = """
select l.pid from pg_locks l
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and (l.classid::bigint << 32) + l.objid::bigint = $1
  and l.database = (select oid from pg_database where datname = current_database())
"""
# A node that was cut off the network must not keep the lock for the two hours that TCP would wait.
SESSION = {
    "application_name": "tocsin leader",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
}
TAKE_S = 5.0
TAKE_AGAIN_S = 1.0
TRY_EVERY_S = 0.2
logger = logging.getLogger(__name__)


class Leader:
    """Holds the lock from `open()` to `close()`, as far as the database lets it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._conn: Connection | None = None
        self._turn = asyncio.Lock()
        self._session: int | None = None  # the server's number of the session that has or had the lock

    @property
    def leading(self) -> bool:
        """Whether the lock is held, as far as this process knows."""
        return self._conn is not None and not self._conn.is_closed()

    async def open(self, *, wait_s: float = TAKE_S) -> None:
        """Take the lock, waiting for a predecessor that is just stopping.

        Raises: NodeRunning when another process keeps it; StorageUnavailable.
        """
        async with self._turn:
            await self._take(wait_s)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """The connection that holds the lock, for one writer at a time.

        The lock is taken again if it was lost.

        Raises: StorageUnavailable when the database is away or another process has the pen.
        """
        async with self._turn:
            if not self.leading:
                logger.warning("the connection with the log's lock was lost; taking it again")
                try:
                    await self._take(TAKE_AGAIN_S)
                except NodeRunning as exc:
                    raise StorageUnavailable(exc.message, hint=exc.hint) from exc
            assert self._conn is not None
            conn = self._conn
            try:
                with translating(conn):
                    yield conn
            except StorageUnavailable:
                conn.terminate()  # silent or broken: the next writer takes a fresh one, and the lock with it
                raise

    async def close(self) -> None:
        """Give the lock back."""
        conn, self._conn = self._conn, None
        if conn is not None and not conn.is_closed():
            try:
                async with asyncio.timeout(2):
                    await conn.close()
            except (TimeoutError, StorageUnavailable):
                conn.terminate()

    async def _take(self, wait_s: float) -> None:
        await self.close()
        conn = await connect(self._address, **SESSION)
        try:
            deadline = asyncio.get_running_loop().time() + wait_s
            while not await conn.fetchval(TRY, LOCK):
                holder = await conn.fetchval(HOLDER, LOCK)
                if holder is not None and holder == self._session:
                    # Ours, cut off: the server has not noticed yet.
                    await conn.execute("select pg_terminate_backend($1, 1000)", holder)
                    self._session = None
                elif asyncio.get_running_loop().time() >= deadline:
                    raise NodeRunning(  # noqa: TRY301  the connection is closed below in every case
                        f"Another process writes to this database (its session is {holder})."
                    )
                else:
                    await asyncio.sleep(
                        TRY_EVERY_S
                    )  # waiting inside the server would outlive a cut connection
        except BaseException:
            conn.terminate()
            raise
        self._conn, self._session = conn, conn.get_server_pid()
