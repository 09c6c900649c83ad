"""Keys of encrypted Matrix rooms: mautrix's own store on the node's pool, in a schema of its own, and two lists.

The library's tables hold the bot's account, its sessions with other devices, the keys of rooms, and whose
devices there are; secret parts are encrypted there with a key that is not in the database. Whatever is called
inside `transaction()` is committed together. The library's memory runs ahead of a transaction that is rolled
back: make a new `KeyStore` then.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mautrix.crypto.store.asyncpg import PgCryptoStore
from mautrix.util.async_db import Database, Scheme
from mautrix.util.async_db.connection import LoggingConnection
from yarl import URL

from tocsin_node.storage.pool import Connection, Pool

SCHEMA = "set local search_path to matrix_crypto"
SCHEMA_LACKS = "select to_regnamespace('matrix_crypto') is null"
MAKE_SCHEMA = "create schema matrix_crypto"
HEARD = "select digest from public.matrix_heard where account = $1 and digest = any($2::bytea[])"
HEAR = """
insert into public.matrix_heard (account, digest) select $1, unnest($2::bytea[]) on conflict do nothing
"""
OVERHEARD = "delete from public.matrix_heard where account = $1 and digest <> all($2::bytea[])"
SET_ASIDE = """
insert into public.matrix_set_aside (account, event_id, room, session_id, event) values ($1, $2, $3, $4, $5)
on conflict do nothing
"""
ASKED = "select exists (select from public.matrix_set_aside where account = $1 and session_id = $2)"
WAITING = "select event_id, event from public.matrix_set_aside where account = $1 and room = $2 order by at, event_id"
GIVEN = "update public.matrix_set_aside set given = $3 where account = $1 and event_id = any($2::text[])"
PASSED = """
delete from public.matrix_set_aside where account = $1 and (given = $2 or at < now() - interval '7 days')
"""
SPARE = """
delete from public.matrix_set_aside
where account = $1 and event_id in (
    select event_id from public.matrix_set_aside where account = $1 order by at desc, event_id offset 1000
)
"""
UNREAD = "select count(*) from public.matrix_set_aside where account = $1 and given is null and room = $2"


class _Database(Database):  # type: ignore[misc]  # see pyproject: their types are not followed
    """The library's idea of a database: each piece of work is a transaction of ours, and sees only its schema."""

    scheme = Scheme.POSTGRES

    def __init__(self, pool: Pool) -> None:
        log: Any = logging.getLogger("mau.db")
        super().__init__(URL("postgresql://"), upgrade_table=PgCryptoStore.upgrade_table, log=log)
        self._pool = pool

    @asynccontextmanager
    async def acquire_direct(self) -> AsyncIterator[LoggingConnection]:
        async with self._pool.transaction() as conn:
            await conn.execute(SCHEMA)
            yield LoggingConnection(self.scheme, _as_theirs(conn), self.log)

    async def stop(self) -> None:
        """The pool is not its own."""


class KeyStore(PgCryptoStore):  # type: ignore[misc]  # the same
    """All keys of one bot. `pickle_key` encrypts their secret parts."""

    def __init__(self, pool: Pool, user_id: str, pickle_key: str) -> None:
        super().__init__(user_id, pickle_key, _Database(pool))

    async def prepare(self) -> None:
        """Make or migrate the library's tables.

        Raises: StorageError; where the database's user may not make a schema, its owner makes `matrix_crypto` for it.
        """
        async with self.db.acquire() as conn:
            if await conn.fetchval(SCHEMA_LACKS):
                await conn.execute(MAKE_SCHEMA)
        await self.db.start()

    async def heard(self, digests: Sequence[bytes]) -> set[bytes]:
        """Which messages with these SHA-256 digests were taken in already."""
        return {row["digest"] for row in await self.db.fetch(HEARD, self.account_id, digests)}

    async def hear(self, digests: Sequence[bytes]) -> None:
        """These, and only these, are the messages of the newest answer."""
        await self.db.execute(OVERHEARD, self.account_id, digests)
        await self.db.execute(HEAR, self.account_id, digests)

    async def set_aside(self, event_id: str, room: str, session_id: str, event: str) -> bool:
        """Keep an event until its key comes; whether it is the first that waits for that key."""
        first = not await self.db.fetchval(ASKED, self.account_id, session_id)
        await self.db.execute(SET_ASIDE, self.account_id, event_id, room, session_id, event)
        await self.db.execute(SPARE, self.account_id)
        return first

    async def waiting(self, room: str) -> list[tuple[str, str]]:
        """Id and JSON of the events that wait, or were handed on and not passed yet, oldest first."""
        return [
            (row["event_id"], row["event"]) for row in await self.db.fetch(WAITING, self.account_id, room)
        ]

    async def given(self, event_ids: Sequence[str], position: str) -> None:
        """These events were handed on together with that position."""
        await self.db.execute(GIVEN, self.account_id, event_ids, position)

    async def passed(self, position: str) -> None:
        """The position was reached for good: forget what was handed on with it, and what waited a week."""
        await self.db.execute(PASSED, self.account_id, position)

    async def unread(self, room: str) -> int:
        """How many events of the room cannot be read."""
        return int(await self.db.fetchval(UNREAD, self.account_id, room))


def _as_theirs(conn: Connection) -> Any:
    return conn
