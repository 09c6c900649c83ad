"""A recall, and a report that its author has given anew since: what was given anew stays, what came before it goes.

So the end is the same whether the recall is obeyed before the new version comes, or after: because a person had to be
asked, because an older program could not read it, or because others handed the new version on first.
"""

from typing import Final

from tocsin_node.storage import erasing
from tocsin_node.storage.pool import Connection

# Reports that a recall names, of which a version stands that lies beyond it. `since`: the count of the first such.
_ANEW: Final = """
with anew as (
    select h.id, m.gen, m.idx, least(h.ver, (
        select min(v.ver) from report_version v
        where v.report_id = h.id and (m.gen, m.idx) < (v.log_gen, v.log_index))) as since
    from recalled r join remote_entry m on m.origin = r.origin and m.leaf_hash = r.leaf_hash
        join report h on h.origin = r.origin and (m.gen, m.idx) < (h.log_gen, h.log_index)
    where r.leaf_hash = $1 and h.id in (
        select e.report_id from remote_entry e where e.origin = r.origin and e.leaf_hash = any(r.entries)))
"""
_ALERTS: Final = f"{_ANEW} select a.id from alert a join anew n on n.id = a.report_id where a.ver < n.since"
_PURGED: Final = (
    f"{_ANEW} delete from remark k using anew n where k.report_id = n.id and k.ver < n.since",
    f"""{_ANEW} update remote_entry e set leaf = null, data_key = null from anew n
    where e.report_id = n.id and e.origin = (select origin from recalled where leaf_hash = $1)
        and (e.gen, e.idx) < (n.gen, n.idx)""",
    f"{_ANEW} delete from report_version v using anew n where v.report_id = n.id and v.ver < n.since",
)
_NARROWED: Final = f"""{_ANEW},
    ranks as (
        select * from unnest(array['clear', 'green', 'amber', 'amber+strict', 'red']) with ordinality as t (tlp, rank)
    )
update report_version v set tlp = $2 from anew n
where v.report_id = n.id and v.ver < n.since
    and (select rank from ranks where tlp = v.tlp) < (select rank from ranks where tlp = $2)
"""


async def purge_before(conn: Connection, leaf_hash: bytes) -> None:
    """Leave nothing of earlier versions, and of what people were told of them. `leaf_hash`: of the recall."""
    await erasing.forget_alerts(conn, [row[0] for row in await conn.fetch(_ALERTS, leaf_hash)])
    for statement in _PURGED:
        await conn.execute(statement, leaf_hash)


async def narrow_before(conn: Connection, leaf_hash: bytes, tlp: str) -> None:
    """Mark earlier versions at least so."""
    await conn.execute(_NARROWED, leaf_hash, tlp)
