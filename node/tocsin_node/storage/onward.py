"""What is passed on, by whom, to whom; and what is held because it was passed on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place


@dataclass(frozen=True, slots=True)
class Passing:
    """The entry of `by` at `place` passes a version on to `recipients` (NodeIDs, without the author)."""

    by: str
    place: Place
    report_id: str
    ver: int
    recipients: tuple[str, ...]
    client: bool


@dataclass(frozen=True, slots=True)
class StoredPassing:
    """The same as it is kept."""

    report_id: str
    by: str
    ver: int
    recipients: tuple[str, ...]
    client: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Through:
    """A version that is held because `through` passed it on. `org`: its author's own word; `data_key`: locked."""

    report_id: str
    ver: int
    through: str
    org: str
    proof: bytes = field(repr=False)
    data_key: bytes = field(repr=False)


MOST_READERS: Final = (
    1024  # of one report through one peer: that many names cost a second to show, and to erase
)

RECORD = """
insert into onward (by, gen, idx, leaf_hash, report_id, ver, recipients, client)
select $1::text, $2::int, $3::bigint, $4::bytea, $5::text, $6::int, $7::text[], $8::boolean
where $9::bigint is null or $9 > (
    select coalesce(sum(cardinality(recipients)), 0) from onward where report_id = $5 and by = $1)
on conflict do nothing
"""

OF_REPORTS = """
select report_id, by, ver, recipients, client, at from onward where report_id = any($1::text[]) order by at, gen, idx
"""

KEEP_THROUGH = """
insert into passed (report_id, ver, through, org, proof, data_key) values ($1, $2, $3, $4, $5, $6)
on conflict (report_id, ver) do update set through = excluded.through, org = excluded.org, proof = excluded.proof,
    data_key = excluded.data_key, at = now()
"""

# It is marked as its author marks it from now on, or has marked it since; what who passed it on said of that is over.
FORGET_THROUGH = """
with given as (select * from unnest($1::text[], $2::int[], $3::text[]) as w (id, ver, tlp)),
    ranks as (
        select * from unnest(array['clear', 'green', 'amber', 'amber+strict', 'red']) with ordinality as t (tlp, rank)
    ),
    marked as (
        update report r set tlp = (
            select k.tlp from ranks k where k.tlp = g.tlp or k.tlp in (
                select c.tlp from remote_entry e join recalled c on c.entries @> array[e.leaf_hash]
                where e.report_id = g.id and e.origin = r.origin and c.origin = r.origin and c.what = 'narrow'
                    and c.done_at is not null)
            order by k.rank desc limit 1)
        from given g where r.id = g.id and r.ver = g.ver
    )
delete from passed p using given g where p.report_id = g.id and p.ver = g.ver
"""

THROUGH = """
select p.report_id, p.ver, p.through, p.org, p.proof, p.data_key
from unnest($1::text[], $2::int[]) as w (id, ver) join passed p on p.report_id = w.id and p.ver = w.ver
"""

STRANGERS = """
select distinct on (r.origin) r.origin, p.org from passed p
join report r on r.id = p.report_id order by r.origin, p.at desc
"""

# Withdrawn by their authors, and passed on by us ($1) before to some of $2 that were not told so yet.
STALE = """
select r.id, array_agg(distinct one.recipient) from report r
join onward o on o.report_id = r.id and o.by = $1 cross join lateral unnest(o.recipients) as one (recipient)
where r.state = 'withdrawn' and r.origin <> $1 and r.tlp not in ('red', 'amber+strict')
    and one.recipient = any($2::text[]) and not exists (
    select from onward t where t.report_id = r.id and t.by = $1 and t.ver = r.ver and one.recipient = any(t.recipients))
group by r.id order by r.id limit 256
"""


async def record(conn: Connection, passing: Passing, most: int | None = None) -> None:
    """Keep that a version was passed on, unless `most` or more readers of that report are kept of who did."""
    place = passing.place
    await conn.execute(
        RECORD,
        passing.by,
        place.gen,
        place.index,
        place.leaf_hash,
        passing.report_id,
        passing.ver,
        list(passing.recipients),
        passing.client,
        most,
    )


async def of_reports(conn: Connection, report_ids: Sequence[str]) -> list[StoredPassing]:
    """Who has passed on which versions of some reports to whom, as far as we know; oldest first."""
    rows = await conn.fetch(OF_REPORTS, list(report_ids))
    return [StoredPassing(row[0], row[1], row[2], tuple(row[3]), *row[4:]) for row in rows]


async def keep_through(conn: Connection, came: Through) -> None:
    """Keep through whom a version came."""
    await conn.execute(
        KEEP_THROUGH, came.report_id, came.ver, came.through, came.org, came.proof, came.data_key
    )


async def forget_through(conn: Connection, versions: Sequence[tuple[str, int, str]]) -> None:
    """These (report, version, marking) have come from their authors themselves."""
    await conn.execute(FORGET_THROUGH, *(list(column) for column in zip(*versions, strict=True)))


async def through(conn: Connection, versions: Sequence[tuple[str, int]]) -> dict[str, Through]:
    """By report: through whom those of `versions` (report, version) came that did not come from their authors."""
    rows = await conn.fetch(THROUGH, [name for name, _ in versions], [ver for _, ver in versions])
    return {row[0]: Through(*row) for row in rows}


async def strangers(conn: Connection) -> dict[str, str]:
    """NodeID → what it called itself last, of everybody whose reports were passed on to us."""
    return {row[0]: row[1] for row in await conn.fetch(STRANGERS)}


async def stale(conn: Connection, us: str, among: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """(report, NodeIDs of `among`): what was withdrawn since we passed it on, and who is not told; 256 at most."""
    return [(row[0], tuple(row[1])) for row in await conn.fetch(STALE, us, list(among))]
