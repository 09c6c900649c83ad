"""Our own log in Postgres: entries, wraps, checkpoints. One writer (the ledger); readers are the peers' requests.

An append is one statement, so that a batch is either wholly in the log, with its checkpoint, or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage import audit, reports
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import NewReport


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log stands. `frontier` is the compact range over the first `size` leaves."""

    gen: int
    size: int
    root: bytes
    frontier: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class CameBack:
    """Entries [`start`, `stop`) of our log that this database had not known and peers gave back.

    `confirmed`: somebody has said since that they are ours.
    """

    gen: int
    start: int
    stop: int
    at: datetime
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One sealed entry with its place. `wraps`: NodeID → sealed data key. `data_key`: locked, for ourselves."""

    idx: int
    leaf_hash: bytes
    leaf: bytes
    ct: bytes
    wraps: dict[str, bytes]
    data_key: bytes


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """What is needed to show one entry; None: was not kept, or lost. `data_key`: locked."""

    leaf: bytes | None
    ct: bytes | None
    data_key: bytes | None


@dataclass(frozen=True, slots=True)
class VisibleEntry:
    """What one recipient is served of an entry."""

    idx: int
    leaf: bytes
    wrap: bytes
    ct: bytes


HEAD = """
select gen, size, root, frontier, note from log_checkpoint
where gen = $1 order by size desc limit 1
"""

HEAD_WITHIN = """
select gen, size, root, frontier, note from log_checkpoint
where gen = $1 and ($2::bigint is null or size <= $2) order by size desc limit 1
"""

_ENTRIES = """
with entry as (
    insert into log_entry (gen, idx, leaf_hash, leaf, ct, data_key)
    select $1, e.idx, e.leaf_hash, e.leaf, e.ct, e.data_key
    from unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $13::bytea[])
        as e (idx, leaf_hash, leaf, ct, data_key)
), wrap as (
    insert into log_wrap (gen, recipient, idx, wrap)
    select $1, w.recipient, w.idx, w.wrap
    from unnest($6::text[], $7::bigint[], $8::bytea[]) as w (recipient, idx, wrap)
)"""
_CHECKPOINT = "insert into log_checkpoint (gen, size, root, frontier, note) values ($1, $9, $10, $11, $12)"
_NOTED = f"noted as ({audit.insertion(14)})"
_FILED = 14 + audit.WIDTH
APPEND = f"{_ENTRIES}, {_NOTED}\n{_CHECKPOINT}"
APPEND_ONE = f"{_ENTRIES}, {_NOTED}, {reports.insertion(_FILED, many=False)}\n{_CHECKPOINT}"
APPEND_MANY = f"{_ENTRIES}, {_NOTED}, {reports.insertion(_FILED, many=True)}\n{_CHECKPOINT}"

ENTRY = "select leaf, ct, data_key from log_entry where gen = $1 and idx = $2"

LEAF_HASHES = "select leaf_hash from log_entry where gen = $1 and idx >= $2 and idx < $3 order by idx"

# What the leaves hash to now (RFC 6962: SHA-256 of 00 and the leaf), not what was computed when they were written.
HASHED_ANEW = """
select coalesce(sha256('\\x00'::bytea || leaf), leaf_hash) from log_entry
where gen = $1 and idx >= $2 and idx < $3 order by idx
"""

# octet_length reads the size without fetching the body, so the sum costs nothing; one entry always fits.
VISIBLE = """
select idx, leaf, wrap, ct, of_limit from (
    select e.idx, e.leaf, w.wrap, e.ct, count(*) over () as of_limit, row_number() over (order by e.idx) as nth,
        sum(octet_length(e.leaf) + octet_length(w.wrap) + octet_length(e.ct) + 32) over (order by e.idx) as running
    from (
        select gen, idx, wrap from log_wrap
        where recipient = $1 and gen = $2 and idx >= $3 and idx < $4 and wrap <> '' order by idx limit $5
    ) w join log_entry e on e.gen = w.gen and e.idx = w.idx
) served
where running <= $6 or nth = 1
order by idx
"""

ADOPT = """
with entry as (
    insert into log_entry (gen, idx, leaf_hash)
    select $1, $2 + n - 1, h from unnest($3::bytea[]) with ordinality as l (h, n)
)
insert into log_checkpoint (gen, size, root, frontier, note, came_back) values ($1, $4, $5, $6, $7, true)
"""

CAME_BACK = """
select c.gen, coalesce((select max(p.size) from log_checkpoint p where p.gen = c.gen and p.size < c.size), 0),
    c.size, c.at, c.at <= coalesce((select max(at) from log_confirmation), '-infinity')
from log_checkpoint c where c.came_back order by c.gen, c.size
"""

LOST = "select count(*) from log_entry where gen = $1 and leaf is null and erased_at is null"

LOST_ENTRIES = """
select idx, leaf_hash from log_entry where gen = $1 and leaf is null and erased_at is null order by idx limit $2
"""

LOST_AMONG = """
select h from unnest($1::bytea[]) h left join log_entry e on e.leaf_hash = h
where e.leaf is null and e.erased_at is null and (e.leaf_hash is not null or $2)
"""

REGAIN = """
update log_entry set leaf = $3, ct = $4, data_key = $5
where gen = $1 and idx = $2 and leaf is null and erased_at is null returning idx
"""

ADD_WRAPS = """
insert into log_wrap (gen, recipient, idx, wrap)
select $1, w.recipient, $2, w.wrap from unnest($3::text[], $4::bytea[]) as w (recipient, wrap) on conflict do nothing
"""

WAITING = "select count(*) from log_wrap where recipient = $1 and gen = $2 and idx >= $3 and wrap <> ''"


async def head(conn: Connection, gen: int) -> Head | None:
    """The newest checkpoint of generation `gen`, or None for an empty log."""
    row = await conn.fetchrow(HEAD, gen)
    return None if row is None else Head(*row)


async def head_within(conn: Connection, gen: int, size: int | None) -> Head | None:
    """The newest checkpoint of generation `gen` over at most `size` entries (None: over all)."""
    row = await conn.fetchrow(HEAD_WITHIN, gen, size)
    return None if row is None else Head(*row)


async def append(
    conn: Connection,
    entries: Sequence[Entry],
    new_head: Head,
    filed: Sequence[NewReport] = (),
    acts: Sequence[Act] = (),
) -> None:
    """Insert `entries`, the checkpoint that covers them, the first versions `filed` and what is noted, all or nothing.

    Raises: StorageConflict when an index or a size is taken already (another writer), or with the constraint
    `reports.ID_TAKEN` a report's id.
    """
    wraps = [(recipient, e.idx, wrap) for e in entries for recipient, wrap in e.wraps.items()]
    statement: str = APPEND
    rest: tuple[object, ...] = ()
    if len(filed) == 1:
        statement, rest = APPEND_ONE, reports.row(filed[0])
    elif filed:
        statement, rest = APPEND_MANY, tuple(reports.columns(filed))
    await conn.execute(
        statement,
        new_head.gen,
        [e.idx for e in entries],
        [e.leaf_hash for e in entries],
        [e.leaf for e in entries],
        [e.ct for e in entries],
        [w[0] for w in wraps],
        [w[1] for w in wraps],
        [w[2] for w in wraps],
        new_head.size,
        new_head.root,
        new_head.frontier,
        new_head.note,
        [e.data_key for e in entries],
        *audit.columns(acts),
        *rest,
    )


async def adopt(conn: Connection, start: int, leaves: Sequence[bytes], head: Head) -> None:
    """Insert entries from index `start` on of which only the hash is known, and the checkpoint that covers them.

    Raises: StorageConflict when an index or a size is taken already.
    """
    await conn.execute(ADOPT, head.gen, start, list(leaves), head.size, head.root, head.frontier, head.note)


async def came_back(conn: Connection) -> list[CameBack]:
    """What was adopted, of all generations, oldest first."""
    return [CameBack(*row) for row in await conn.fetch(CAME_BACK)]


async def lost(conn: Connection, gen: int) -> int:
    """Of how many entries only the hash is known."""
    count: int = await conn.fetchval(LOST, gen)
    return count


async def lost_entries(conn: Connection, gen: int, limit: int) -> dict[int, bytes]:
    """The places of entries of which only the hash is known, and these hashes."""
    return {row[0]: row[1] for row in await conn.fetch(LOST_ENTRIES, gen, limit)}


async def lost_among(conn: Connection, leaf_hashes: Sequence[bytes], *, unknown: bool) -> set[bytes]:
    """Those that are ours, and of which only the hash is known; `unknown`: with those that are not known at all."""
    return {row[0] for row in await conn.fetch(LOST_AMONG, list(leaf_hashes), unknown)}


async def regain(conn: Connection, gen: int, idx: int, leaf: bytes, ct: bytes, data_key: bytes) -> bool:
    """Put back what was lost of an entry; `data_key`: locked. False when it is not lost."""
    return await conn.fetchval(REGAIN, gen, idx, leaf, ct, data_key) is not None


async def add_wraps(conn: Connection, gen: int, idx: int, wraps: Mapping[str, bytes]) -> None:
    """Wraps of an entry for further recipients (NodeIDs)."""
    await conn.execute(ADD_WRAPS, gen, idx, list(wraps), list(wraps.values()))


async def entry(conn: Connection, gen: int, idx: int) -> KeptEntry | None:
    """One entry as it was sealed."""
    row = await conn.fetchrow(ENTRY, gen, idx)
    return None if row is None else KeptEntry(*row)


async def leaf_hashes(conn: Connection, gen: int, start: int, stop: int) -> list[bytes]:
    """Leaf hashes [start, stop), as far as the log reaches, 32 bytes each, in order."""
    return [row[0] for row in await conn.fetch(LEAF_HASHES, gen, start, stop)]


async def hashed_anew(conn: Connection, gen: int, start: int, stop: int) -> list[bytes]:
    """The same from the leaves as they stand in the database now: for whoever wants to know that none was altered."""
    return [row[0] for row in await conn.fetch(HASHED_ANEW, gen, start, stop)]


async def visible_entries(
    conn: Connection, gen: int, recipient: str, start: int, stop: int, *, limit: int, max_bytes: int
) -> tuple[list[VisibleEntry], int]:
    """The entries of [start, stop) that hold a wrap for `recipient`, and the index to go on from.

    At most `limit` entries and about `max_bytes` bytes, but always one when there is one.
    """
    rows = await conn.fetch(VISIBLE, recipient, gen, start, stop, limit, max_bytes)
    entries = [VisibleEntry(*row[:4]) for row in rows]
    complete = not rows or (len(rows) == rows[0]["of_limit"] and len(rows) < limit)
    return entries, stop if complete else entries[-1].idx + 1


async def waiting(conn: Connection, gen: int, recipient: str, start: int) -> int:
    """How many entries from `start` on are addressed to `recipient`."""
    count: int = await conn.fetchval(WAITING, recipient, gen, start)
    return count
