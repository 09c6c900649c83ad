"""The heartbeat: a watchman outside is called as long as this node can alert, since a dead node cannot say that it is.

Able means: the database took a write just now, a courier of a channel that answers is at work. When the node is not
able it stays silent, on purpose: then the watchman rings.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from tocsin_node.health import Check
from tocsin_node.links.heartbeat import HeartbeatCaller
from tocsin_node.secrets import read_secret_at
from tocsin_node.settings.record import Settings
from tocsin_node.storage import heartbeats
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.heartbeats import StoredHeartbeat
from tocsin_node.storage.pool import Pool

NAME = "heartbeat"
UNABLE = "not-able"
AGAIN_S = 5.0
MISSED = 3
UNABLE_HINT = "This node cannot alert at the moment, so the watchman outside is not called and will ring."
FAILED_HINT = (
    "The watchman outside could not be called and may ring, though alerts go out: look at heartbeat.url_file."
)


NONE = Check(
    NAME,
    "degraded",
    "no-heartbeat",
    "Nobody outside notices when this node dies: add a [heartbeat] section to node.toml.",
)


class Heartbeat:
    """Calls every `every_s` seconds. `able`: whether alerts would get out now, the database apart."""

    def __init__(self, pool: Pool, caller: HeartbeatCaller, every_s: float, able: Callable[[], bool]) -> None:
        self._pool = pool
        self._caller = caller
        self._every_s = every_s
        self._able = able
        self._fails = 0
        self._code: str | None = None

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            well = await self.beat()
            await asyncio.sleep(self._every_s if well else min(self._every_s, AGAIN_S))

    async def beat(self) -> bool:
        """Call once if the node is able to alert; False: it was not called, or not reached."""
        try:
            async with self._pool.acquire() as conn:
                await heartbeats.tried(conn)
            self._code = await self._caller.call() if self._able() else UNABLE
            async with self._pool.acquire() as conn:
                await heartbeats.ended(conn, self._code)
        except StorageError:
            self._code = UNABLE
        self._fails = 0 if self._code is None else self._fails + 1
        return self._code is None

    async def last(self) -> StoredHeartbeat | None:
        """The last call, here or before a restart."""
        async with self._pool.acquire() as conn:
            return await heartbeats.last(conn)

    async def check(self) -> Check:
        """Whether the watchman is called. A single call that is missed is nothing: he waits a while."""
        if self._code is None or self._fails < MISSED:
            return Check(NAME)
        if self._code == UNABLE:
            return Check(NAME, "degraded", UNABLE, UNABLE_HINT)
        return Check(NAME, "degraded", self._code, FAILED_HINT)


def heartbeat_of(settings: Settings, pool: Pool, able: Callable[[], bool]) -> Heartbeat | None:
    """The heartbeat that the settings name."""
    wanted = settings.heartbeat
    if wanted is None:
        return None
    url = partial(read_secret_at, settings.path(wanted.url_file), credential="heartbeat-url")
    token = (
        partial(read_secret_at, settings.path(wanted.token_file), credential="heartbeat-token")
        if wanted.token_file
        else None
    )
    return Heartbeat(pool, HeartbeatCaller(wanted, url, token), wanted.every_s, able)
