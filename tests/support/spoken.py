"""What a node has said of its own accord: its log without the receipts, which come a moment later by themselves."""

import asyncpg

SPOKEN = """
select count(*) from log_entry
where position('"t":"receipt"'::bytea in leaf) = 0 and position(convert_to($1, 'UTF8') in leaf) > 0
"""


async def spoken_entries(conn: asyncpg.pool.PoolConnectionProxy | asyncpg.Connection, about: str = "") -> int:
    """How many entries the log of that database holds, receipts left out; `about`: only those with this id."""
    count: int = await conn.fetchval(SPOKEN, about)
    return count


async def spoken_at(url: str, about: str = "") -> int:
    """As `spoken_entries`, of the database at `url`."""
    conn = await asyncpg.connect(url)
    try:
        return await spoken_entries(conn, about)
    finally:
        await conn.close()
