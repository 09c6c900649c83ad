"""Which entries of our log carry which version of a report of ours, and whom they were sealed to.

A version stands in the entry that it was filed with, and in a further one each time that it was sent to further peers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place


@dataclass(frozen=True, slots=True)
class Share:
    """Version `ver` of an own report, sealed to `recipients` (NodeIDs) in the further entry at `place`."""

    report_id: str
    ver: int
    place: Place
    recipients: tuple[str, ...]


# A version that was filed for nobody has no place of its own until somebody gets it. In a new generation of the log it
# stands anew; where it stood before is kept, since peers answer the entry that they got.
RECORD = """
with entry as (
    insert into report_share (report_id, ver, gen, idx, leaf_hash) values ($1, $2, $3, $4, $5)
), former as (
    insert into report_share (report_id, ver, gen, idx, leaf_hash)
    select id, ver, log_gen, log_index, leaf_hash from report where id = $1 and ver = $2 and log_gen < $3
    on conflict do nothing
)
update report set audience = audience || array(select unnest($6::text[]) except select unnest(audience)),
    log_gen = case when log_gen = $3 then log_gen else $3 end,
    log_index = case when log_gen = $3 then log_index else $4 end,
    leaf_hash = case when log_gen = $3 then leaf_hash else $5 end
where id = $1 and ver = $2
"""

# Every entry that carries a version of the reports $1.
ENTRIES = """
select id as report_id, ver, log_gen as gen, log_index as idx, leaf_hash from report
where id = any($1::text[]) and log_index is not null
union
select report_id, ver, log_gen, log_index, leaf_hash from report_version
where report_id = any($1::text[]) and log_index is not null
union
select report_id, ver, gen, idx, leaf_hash from report_share where report_id = any($1::text[])
"""

RECIPIENTS = f"""
select distinct w.recipient from ({ENTRIES}) e join log_wrap w on w.gen = e.gen and w.idx = e.idx
where e.ver = $2 and w.wrap <> ''
"""

SEALED_TO = f"""
select e.report_id, e.ver, e.leaf_hash from ({ENTRIES}) e
join report r on r.id = e.report_id and r.origin = $2
join log_wrap w on w.recipient = $3 and w.gen = e.gen and w.idx = e.idx
"""

# From whom a person took a report back, as long as it was not given to it anew by name.
TAKEN_BACK = f"""
select w.recipient from ({ENTRIES}) e join log_wrap w on w.gen = e.gen and w.idx = e.idx and w.wrap = ''
except select unnest(audience) from report where id = any($1::text[])
"""

OUTSIDE = f"""
select r.id, r.ver, r.name, r.tlp, array_agg(distinct w.recipient), r.log_gen, r.log_index from report r
cross join lateral ({ENTRIES.replace("any($1::text[])", "r.id")}) e
join log_wrap w on w.gen = e.gen and w.idx = e.idx and w.wrap <> ''
where r.origin = $1 and r.log_gen < $2 and e.ver = r.ver and (cardinality($3::text[]) = 0 or r.id = any($3::text[]))
group by r.id, r.ver, r.name, r.tlp, r.log_gen, r.log_index, r.seq order by r.seq
"""


@dataclass(frozen=True, slots=True)
class Outside:
    """A report of ours whose newest version stands in an ended log alone. `recipients`: who was sent it (NodeIDs).

    `gen`, `index`: where it stands.
    """

    report_id: str
    ver: int
    name: str
    tlp: str
    recipients: tuple[str, ...]
    gen: int
    index: int


async def outside(conn: Connection, us: str, gen: int, ids: Sequence[str] = ()) -> list[Outside]:
    """What `us` shared and does not stand in generation `gen` or later; of all reports, or of `ids`. Oldest first."""
    rows = await conn.fetch(OUTSIDE, us, gen, list(ids))
    return [Outside(row[0], row[1], row[2], row[3], tuple(row[4]), row[5], row[6]) for row in rows]


async def record(conn: Connection, share: Share) -> None:
    """Note the further entry and widen the audience of the version that stands, inside the caller's transaction."""
    place = share.place
    await conn.execute(
        RECORD, share.report_id, share.ver, place.gen, place.index, place.leaf_hash, list(share.recipients)
    )


async def recipients(conn: Connection, report_id: str, ver: int) -> set[str]:
    """NodeIDs that our log sealed version `ver` of an own report to."""
    return {row[0] for row in await conn.fetch(RECIPIENTS, [report_id], ver)}


async def taken_back(conn: Connection, report_id: str) -> set[str]:
    """NodeIDs from which an own report was taken back by a person: no version goes to them unless they are named."""
    return {row[0] for row in await conn.fetch(TAKEN_BACK, [report_id])}


async def sealed_to(
    conn: Connection, peer: str, us: str, report_ids: Sequence[str]
) -> set[tuple[str, int, bytes]]:
    """(report, version, leaf hash) of what `us` sealed to `peer` of some reports of our own."""
    return {tuple(row) for row in await conn.fetch(SEALED_TO, list(report_ids), us, peer)}
