"""The answer that comes late: what is done in between must not be undone by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tocsin_node.storage.pool import Connection, Pool


class Late:
    """A pool that takes its time to take its first connection back, as the database's answer to that may be late.

    `written` is set when the first user is done with it; he goes on when `go_on` is set.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.written, self.go_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as conn:
            yield conn
            if not self.written.is_set():
                self.written.set()
                await self.go_on.wait()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
