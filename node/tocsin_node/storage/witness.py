"""Cosignatures in Postgres: ours over the logs of peers, and those of peers over ours and each other's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.actor import NODE, person
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class CosignedHead:
    """The latest head of a log that this node has cosigned."""

    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One cosignature. `witness`: NodeID."""

    witness: str
    size: int
    at: datetime
    line: str


LATEST = "select size, root, note from cosigned where log = $1"

# The comparison and the record of our word are one statement: of two that were judged by the same latest head, one is
# kept, and a size never falls (C2SP tlog-witness).
COSIGN = """
with head as (
    insert into cosigned (log, size, root, note) values ($1, $3, $4, $5)
    on conflict (log) do update set size = excluded.size, root = excluded.root, note = excluded.note
    where cosigned.size = $2 and (cosigned.size < excluded.size or cosigned.root = excluded.root)
    returning log
)
insert into cosignature (log, witness, size, at, line) select log, $6, $3, $7, $8 from head
on conflict (log, witness, size) do update set at = greatest(cosignature.at, excluded.at), line = excluded.line
returning size
"""

KEEP = """
insert into cosignature (log, witness, size, at, line)
select $1, w.witness, $2, w.at, w.line from unnest($3::text[], $4::timestamptz[], $5::text[]) as w (witness, at, line)
on conflict (log, witness, size) do update set at = excluded.at, line = excluded.line
where cosignature.at < excluded.at
"""

LINES = "select witness, size, at, line from cosignature where log = $1 and size = $2 order by at, witness"

NEWEST = """
select distinct on (witness) witness, size, at, line from cosignature where log = $1 order by witness, size desc
"""

AT_LEAST = """
select size from cosignature where log = $1 and size > $2 and witness = any($3::text[])
    and ($5::bigint is null or size <= $5)
group by size having count(*) >= $4 order by size desc limit 1
"""

CONFIRM = "insert into log_confirmation (by, size) values ($1, $2)"

PRUNE = """
delete from cosignature c where at < now() - interval '100 days' and exists (
    select from cosignature n where n.log = c.log and n.witness = c.witness and n.size > c.size)
"""


STAND_BY = """
insert into bystander (author, peer)
select a, $1 from unnest($2::text[]) a where exists (select from remote_log l where l.origin = a and l.size > 0)
on conflict do nothing returning author
"""
TAKE_PART = "delete from bystander where peer = $1 and author = any($2::text[])"
BYSTANDERS = "select author, peer from bystander"


async def latest(conn: Connection, log: str) -> CosignedHead | None:
    """The head of `log` (origin line) that we cosigned last."""
    row = await conn.fetchrow(LATEST, log)
    return None if row is None else CosignedHead(*row)


async def cosign(
    conn: Connection,
    log: str,
    *,
    old: int,
    size: int,
    root: bytes,
    note: bytes,
    witness: str,
    at: datetime,
    line: str,
) -> bool:
    """Give our word for a head if the one before is still of size `old` (0: there may be none); atomic.

    False: another head came between. The caller has judged the proof from `old` to `size`.
    """
    async with conn.transaction():
        given = await conn.fetchval(COSIGN, log, old, size, root, note, witness, at, line) is not None
        if given and size > old:  # the same head again is no new word
            await audit.note(conn, Act("peer.cosign", f"log:{log}", {"size": size}, NODE))
    return given


async def keep(conn: Connection, log: str, size: int, lines: Sequence[Line]) -> None:
    """Keep verified cosignatures over the head of `size`; of one witness the latest."""
    if lines:
        columns = [e.witness for e in lines], [e.at for e in lines], [e.line for e in lines]
        await conn.execute(KEEP, log, size, *columns)


async def lines(conn: Connection, log: str, size: int) -> list[Line]:
    """All cosignatures over the head of `size`, the oldest first."""
    return [Line(*row) for row in await conn.fetch(LINES, log, size)]


async def newest(conn: Connection, log: str) -> list[Line]:
    """Of each witness the cosignature over the largest head."""
    return [Line(*row) for row in await conn.fetch(NEWEST, log)]


async def witnessed_size(
    conn: Connection, log: str, beyond: int, witnesses: Sequence[str], required: int, within: int | None
) -> int | None:
    """The largest head above `beyond` (of at most `within`) that `required` of `witnesses` have cosigned themselves."""
    size: int | None = await conn.fetchval(AT_LEAST, log, beyond, list(witnesses), required, within)
    return size


async def take_part(conn: Connection, peer: str, authors: Sequence[str]) -> None:
    """Keep that a peer has answered that it knows the logs of these nodes."""
    await conn.execute(TAKE_PART, peer, list(authors))


async def stand_by(conn: Connection, peer: str, authors: Sequence[str]) -> list[str]:
    """Keep that a peer knows nothing of their logs; returns of which: what is empty here, nobody knows more of yet."""
    return [row[0] for row in await conn.fetch(STAND_BY, peer, list(authors))]


async def bystanders(conn: Connection) -> set[tuple[str, str]]:
    """Author and peer, of each peer that answered that it does not know that author's log."""
    return {(row[0], row[1]) for row in await conn.fetch(BYSTANDERS)}


async def confirm(conn: Connection, by: str, size: int) -> None:
    """Keep who let the log go on from `size`."""
    async with conn.transaction():
        await conn.execute(CONFIRM, by, size)
        await audit.note(conn, Act("log.confirm", None, {"size": size}, person(by)))


async def prune(conn: Connection) -> None:
    """Forget cosignatures over 100 days old, but of each witness the newest."""
    await conn.execute(PRUNE)
