"""Further entries of our log that carry a version which stands already: to whom it went later than at first."""

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place


@dataclass(frozen=True, slots=True)
class Share:
    """Version `ver` of an own report, sealed to `recipients` (NodeIDs) in the entry at `place`."""

    report_id: str
    ver: int
    place: Place
    recipients: tuple[str, ...]


# A version that was filed for nobody has no place of its own until somebody gets it.
RECORD = """
with entry as (
    insert into report_share (report_id, ver, gen, idx) values ($1, $2, $3, $4)
)
update report set audience = audience || array(select unnest($6::text[]) except select unnest(audience)),
    log_gen = coalesce(log_gen, $3), log_index = coalesce(log_index, $4), leaf_hash = coalesce(leaf_hash, $5)
where id = $1 and ver = $2
"""

HAVING = """
select distinct w.recipient
from (
    select log_gen as gen, log_index as idx from report where id = $1 and log_index is not null
    union all
    select s.gen, s.idx from report_share s join report r on r.id = s.report_id and r.ver = s.ver where r.id = $1
) as entry
join log_wrap w on w.gen = entry.gen and w.idx = entry.idx
where w.recipient = any($2::text[])
"""


async def record(conn: Connection, share: Share) -> None:
    """Note the entry and widen the audience of the version that stands, inside the caller's transaction."""
    place = share.place
    await conn.execute(
        RECORD, share.report_id, share.ver, place.gen, place.index, place.leaf_hash, list(share.recipients)
    )


async def having(conn: Connection, report_id: str, node_ids: Sequence[str]) -> set[str]:
    """Those of `node_ids` to which the newest version of an own report was sealed."""
    return {row[0] for row in await conn.fetch(HAVING, report_id, list(node_ids))}
