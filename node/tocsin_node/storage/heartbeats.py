"""The last call to the watchman outside. Writing it proves that the database takes writes."""

from dataclasses import dataclass

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class StoredHeartbeat:
    """Seconds since the last try and since the last that arrived, and why the last did not."""

    tried_s: float
    sent_s: float | None
    code: str | None


TRIED = """
insert into heartbeat (tried_at) values (now())
on conflict (one) do update set tried_at = now()
"""

ENDED = "update heartbeat set code = $1, sent_at = case when $1::text is null then now() else sent_at end"

LAST = """
select extract(epoch from now() - tried_at)::float8, extract(epoch from now() - sent_at)::float8, code from heartbeat
"""


async def tried(conn: Connection) -> None:
    """It is about to be called."""
    await conn.execute(TRIED)


async def ended(conn: Connection, code: str | None) -> None:
    """It was called, or why not."""
    await conn.execute(ENDED, code)


async def last(conn: Connection) -> StoredHeartbeat | None:
    """The last call; None when there was none."""
    row = await conn.fetchrow(LAST)
    return None if row is None else StoredHeartbeat(*row)
