"""Circles in Postgres: chains of manifests, who was told them, and the entries addressed to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tocsin_node.actor import NODE, acting, of_peer
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class CircleRow:
    """A circle as it is kept. `rival`: another chain of it that is signed as well; then it is frozen."""

    id: bytes
    chain: tuple[bytes, ...]
    state: str
    rival: tuple[bytes, ...] | None
    told_by: str | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class CircleEntry:
    """An entry addressed to a circle. `gen`, `idx`: its place in the log of `origin`."""

    circle: bytes
    origin: str
    cseq: int
    leaf_hash: bytes
    cprev: bytes | None
    epoch: int
    gen: int
    idx: int
    report_id: str
    ver: int
    ours: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How one author's entries to a circle have come. `missing`: how many in between did not.

    `doubled`: numbers that stand on more than one entry, or whose entry before is another than the one shown here.
    """

    circle: bytes
    origin: str
    entries: int
    first: int
    last: int
    missing: int
    doubled: int


LOOKED_AT = 1000  # entries of an author to a circle that are looked at for gaps
_COLUMNS = "id, chain, state, rival, told_by, changed_at"

ALL = f"select {_COLUMNS} from circle order by changed_at, id"
GET = f"select {_COLUMNS} from circle where id = $1"
HELD = f"select {_COLUMNS} from circle where id = any($1::bytea[])"
LOCK = "lock table circle in share row exclusive mode"
EPOCHS = "select id, cardinality(chain) from circle where rival is null"
CHANGED = "select id, changed_at from circle"
NEWEST = "select coalesce((select cardinality(chain) from circle where id = $1), 0) - 1"
OFFERED = "select count(*) from circle where state = 'offered' and told_by = $1"

PUT = """
with kept as (
    insert into circle (id, chain, state, told_by) values ($1, $2, $3, $4)
    on conflict (id) do update set chain = excluded.chain, state = excluded.state, rival = null, changed_at = now()
    returning id
)
insert into circle_epoch (circle, epoch) select $1, n from generate_series(0, cardinality($2::bytea[]) - 1) n
on conflict do nothing
"""

FREEZE = "update circle set rival = coalesce(rival, $2), changed_at = now() where id = $1"
LEAVE = "update circle set state = 'left', changed_at = now() where id = $1"
LEARNED = "select epoch, learned_at from circle_epoch where circle = $1"

TOLD = """
insert into circle_told (circle, node, epoch) select $1, n, $3 from unnest($2::text[]) n
on conflict (circle, node) do update set epoch = greatest(circle_told.epoch, excluded.epoch)
"""
UNTOLD_FORGET = "delete from circle_told where circle = $1"
TOLD_OF = "select node, epoch from circle_told where circle = $1"

# With how many entries that came after it are known by their hashes alone: each may have had a number.
LAST_OURS = """
with last as (
    select cseq, leaf_hash, gen, idx from circle_entry where circle = $1 and ours order by cseq desc limit 1
)
select coalesce((select cseq from last), 0), (select leaf_hash from last), (
    select count(*) from log_entry e where e.leaf is null and e.erased_at is null
        and (not exists (select from last) or (e.gen, e.idx) > (select gen, idx from last))
)
"""

RECORD = """
insert into circle_entry (circle, origin, cseq, leaf_hash, cprev, epoch, gen, idx, report_id, ver, ours)
select * from unnest($1::bytea[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::int[], $7::int[],
    $8::bigint[], $9::text[], $10::int[], $11::boolean[])
on conflict (circle, origin, cseq, leaf_hash) do nothing
"""

RECORD_OURS = """
insert into circle_entry (circle, origin, cseq, leaf_hash, cprev, epoch, gen, idx, report_id, ver, ours)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""

REGAIN = f"{RECORD_OURS.strip()} on conflict do nothing"

OF_REPORT = """
select circle from circle_entry where report_id = $1 group by circle order by max(at) desc, circle
"""

OURS_SINCE = """
select distinct e.report_id from circle_entry e join report r on r.id = e.report_id
where e.circle = $1 and e.ours and ($2::timestamptz is null or r.modified >= $2) order by 1
"""

# Of the newest entries alone, so that it costs the same however many there are; what its author has not served itself
# yet, and what it disputes, is not counted. An entry whose `cprev` is not the one
# that was shown here under the number before says that there are two of it.
COUNTS = """
select circle, origin, count(*), min(cseq), max(cseq), max(cseq) - min(cseq) + 1 - count(distinct cseq),
    count(*) - count(distinct cseq) + count(*) filter (where before = cseq - 1 and cprev is distinct from leaf_before)
from (
    select c.circle, o.origin, e.cseq, e.cprev,
        lag(e.cseq) over numbered as before, lag(e.leaf_hash) over numbered as leaf_before
    from unnest($1::bytea[]) c (circle) cross join unnest($2::text[]) o (origin) cross join lateral (
        select n.cseq, n.leaf_hash, n.cprev from circle_entry n
        join remote_log l on l.origin = n.origin and l.gen = n.gen and n.idx < l.next_index
            and (l.disputed_from is null or n.idx < l.disputed_from)
        where n.circle = c.circle and n.origin = o.origin order by n.cseq desc limit $3
    ) e
    window numbered as (partition by c.circle, o.origin order by e.cseq, e.leaf_hash)
) entries
group by circle, origin order by origin, circle
"""

LOGGED_BY = """
select min(at) from (
    select seen_at as at from remote_checkpoint where origin = $1 and gen = $2 and size > $3
    union all select at from cosignature where log = $4 and size > $3
) seen
"""


async def all_circles(conn: Connection) -> list[CircleRow]:
    """Every circle that is known here."""
    return [_row(row) for row in await conn.fetch(ALL)]


async def held(conn: Connection, ids: Sequence[bytes], *, to_change: bool = True) -> dict[bytes, CircleRow]:
    """The circles of those ids. `to_change`: nobody else changes any until the caller's transaction ends."""
    if to_change:
        await conn.execute(LOCK)
    return {row["id"]: _row(row) for row in await conn.fetch(HELD, list(ids))}


async def changed(conn: Connection) -> dict[bytes, datetime]:
    """When each circle that is known here changed last."""
    return {row[0]: row[1] for row in await conn.fetch(CHANGED)}


async def get(conn: Connection, circle: bytes) -> CircleRow | None:
    """One circle."""
    row = await conn.fetchrow(GET, circle)
    return None if row is None else _row(row)


async def epochs(conn: Connection) -> dict[bytes, int]:
    """The newest epoch of every circle that is known here, and is not frozen."""
    return {row[0]: row[1] - 1 for row in await conn.fetch(EPOCHS)}


async def offered_by(conn: Connection, node: str) -> int:
    """How many circles that nobody here has adopted a peer has brought."""
    count: int = await conn.fetchval(OFFERED, node)
    return count


async def put(
    conn: Connection, circle: bytes, chain: Sequence[bytes], state: str, *, told_by: str | None = None
) -> None:
    """Keep a verified chain in place of the one held, as the one that stands; its new epochs are known from now on."""
    await conn.execute(PUT, circle, list(chain), state, told_by)
    by_hand = acting() != NODE
    teller = acting() if told_by is None else of_peer(told_by)
    detail = {"epoch": len(chain) - 1, "state": state}
    await audit.note(
        conn,
        Act("circle.adopt" if by_hand else "circle.learn", f"circle:{circle.hex()}", detail, teller),
    )


async def freeze(conn: Connection, circle: bytes, rival: Sequence[bytes]) -> None:
    """Keep the first chain that contradicts the one held."""
    await conn.execute(FREEZE, circle, list(rival))
    await audit.note(conn, Act("circle.freeze", f"circle:{circle.hex()}"))


async def leave(conn: Connection, circle: bytes) -> None:
    """Nothing goes to the circle any more, and nothing comes from it."""
    async with conn.transaction():
        await conn.execute(LEAVE, circle)
        await audit.note(conn, Act("circle.leave", f"circle:{circle.hex()}"))


async def learned(conn: Connection, circle: bytes) -> dict[int, datetime]:
    """When each epoch came to be known here."""
    return {row[0]: row[1] for row in await conn.fetch(LEARNED, circle)}


async def note_told(conn: Connection, circle: bytes, nodes: Sequence[str], epoch: int) -> None:
    """These nodes know the circle up to that epoch."""
    await conn.execute(TOLD, circle, list(nodes), epoch)


async def forget_told(conn: Connection, circle: bytes) -> None:
    """Everybody is to be told anew: another chain stands."""
    await conn.execute(UNTOLD_FORGET, circle)


async def told(conn: Connection, circle: bytes) -> dict[str, int]:
    """NodeID → the newest epoch that it knows."""
    return {row[0]: row[1] for row in await conn.fetch(TOLD_OF, circle)}


async def last_ours(conn: Connection, circle: bytes) -> tuple[int, bytes | None, int]:
    """The number and the leaf hash of our newest entry to a circle that is known; (0, None) before the first.

    And how many entries of our log after it are lost.
    """
    return tuple(await conn.fetchrow(LAST_OURS, circle))


async def newest_epoch(conn: Connection, circle: bytes) -> int:
    """The newest epoch of a circle that is known here; -1 for a circle that is not."""
    epoch: int = await conn.fetchval(NEWEST, circle)
    return epoch


async def regain(conn: Connection, entry: CircleEntry) -> None:
    """Put back where an entry of our own stood in our count, unless that is known."""
    await conn.execute(REGAIN, *(getattr(entry, name) for name in CircleEntry.__dataclass_fields__))


async def record(conn: Connection, entries: Sequence[CircleEntry]) -> None:
    """Keep where entries of a peer stand in its count; what is known already stays as it is."""
    columns = [[getattr(e, name) for e in entries] for name in CircleEntry.__dataclass_fields__]
    await conn.execute(RECORD, *columns)


async def record_ours(conn: Connection, entry: CircleEntry) -> None:
    """Keep where an entry of our own stands. Raises: StorageConflict when the number is taken."""
    await conn.execute(RECORD_OURS, *(getattr(entry, name) for name in CircleEntry.__dataclass_fields__))


async def of_report(conn: Connection, report_id: str) -> list[bytes]:
    """The circles that a report was addressed to, the latest first."""
    return [row[0] for row in await conn.fetch(OF_REPORT, report_id)]


async def ours_since(conn: Connection, circle: bytes, since: datetime | None) -> list[str]:
    """Own reports that were addressed to a circle, of those changed at `since` or later."""
    return [row[0] for row in await conn.fetch(OURS_SINCE, circle, since)]


async def counts(conn: Connection, ids: Sequence[bytes], origins: Sequence[str]) -> list[Count]:
    """How the newest entries of peers (NodeIDs) to circles have come; at most `LOOKED_AT` of each author and circle."""
    return [Count(*row) for row in await conn.fetch(COUNTS, list(ids), list(origins), LOOKED_AT)]


async def logged_by(conn: Connection, origin: str, gen: int, idx: int, log: str) -> datetime | None:
    """By when the log (`log`: its origin line) of `origin` held the entry at `idx`, as far as is known here.

    That is our own first sight of it, or the earliest cosignature over it.
    """
    at: datetime | None = await conn.fetchval(LOGGED_BY, origin, gen, idx, log)
    return at


def _row(row: Sequence[Any]) -> CircleRow:
    return CircleRow(row[0], tuple(row[1]), row[2], None if row[3] is None else tuple(row[3]), row[4], row[5])
