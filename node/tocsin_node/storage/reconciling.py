"""What two sides of one log hold for each other: sums over ranges of places, and single places."""

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_federation.reconciling import LABEL, Listed, Range, Sum
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry of ours that was sealed to a peer. `data_key`: locked; None and no `leaf`: erased or taken back."""

    idx: int
    leaf_hash: bytes
    leaf: bytes | None
    data_key: bytes | None


# Both read nothing but indexes: few entries are not taken, and those are left out by name.
_SUM = "select count(*), sha256($5::bytea || coalesce(string_agg(int8send(idx), ''::bytea order by idx), ''::bytea))"

SUM_SEALED = f"{_SUM} from log_wrap where recipient = $1 and gen = $2 and idx >= $3 and idx < $4"

SUM_TAKEN = f"""
with aside as materialized (
    select idx from remote_entry
    where origin = $1 and gen = $2 and idx >= $3 and idx < $4 and outcome in ('refused', 'quarantined')
)
{_SUM} from remote_entry e
where e.origin = $1 and e.gen = $2 and e.idx >= $3 and e.idx < $4
    and not exists (select from aside a where a.idx = e.idx)
"""

# What was taken back from the recipient is withheld from it, as what was erased is.
SEALED = """
select e.idx, e.leaf_hash, case when w.wrap <> '' then e.leaf end, case when w.wrap <> '' then e.data_key end
from unnest($3::bigint[], $4::bigint[]) r (low, high)
join log_wrap w on w.recipient = $1 and w.gen = $2 and w.idx >= r.low and w.idx < r.high
join log_entry e on e.gen = w.gen and e.idx = w.idx order by e.idx
"""

TAKEN = """
select e.idx, e.outcome, e.code from unnest($3::bigint[], $4::bigint[]) r (low, high)
join remote_entry e on e.origin = $1 and e.gen = $2 and e.idx >= r.low and e.idx < r.high order by e.idx
"""

NAMED = "select idx, report_id from remote_entry where origin = $1 and gen = $2 and idx = any($3::bigint[])"

NEW_WRAP = "update log_wrap set wrap = $4 where recipient = $1 and gen = $2 and idx = $3 and wrap <> ''"


async def sum_sealed(conn: Connection, recipient: str, gen: int, ranges: Sequence[Range]) -> list[Sum]:
    """Over what our log seals to `recipient` (NodeID), a sum for each range."""
    return await _sums(conn, SUM_SEALED, recipient, gen, ranges)


async def sum_taken(conn: Connection, origin: str, gen: int, ranges: Sequence[Range]) -> list[Sum]:
    """Over what was taken of `origin`'s log, a sum for each range."""
    return await _sums(conn, SUM_TAKEN, origin, gen, ranges)


async def sealed(conn: Connection, recipient: str, gen: int, ranges: Sequence[Range]) -> list[SealedEntry]:
    """What our log seals to `recipient` in these ranges, ascending."""
    low, high = zip(*ranges, strict=True)
    return [SealedEntry(*row) for row in await conn.fetch(SEALED, recipient, gen, list(low), list(high))]


async def taken(conn: Connection, origin: str, gen: int, ranges: Sequence[Range]) -> list[Listed]:
    """What became of `origin`'s entries in these ranges, ascending."""
    low, high = zip(*ranges, strict=True)
    rows = await conn.fetch(TAKEN, origin, gen, list(low), list(high))
    return [Listed(at=row[0], state=row[1], code=row[2]) for row in rows]


async def named(conn: Connection, origin: str, gen: int, indices: Sequence[int]) -> dict[int, str | None]:
    """Which reports entries of `origin`'s are about, as far as they could be read."""
    return {row[0]: row[1] for row in await conn.fetch(NAMED, origin, gen, list(indices))}


async def new_wrap(conn: Connection, recipient: str, gen: int, idx: int, wrap: bytes) -> None:
    """Put another wrap in the place of the one that `recipient` was given."""
    await conn.execute(NEW_WRAP, recipient, gen, idx, wrap)


async def _sums(conn: Connection, query: str, node: str, gen: int, ranges: Sequence[Range]) -> list[Sum]:
    rows = [await conn.fetchrow(query, node, gen, low, high, LABEL) for low, high in ranges]
    return [Sum(n=row[0], sum=row[1]) for row in rows]
