"""An earlier version of a peer's report stands again, since a later one was taken back by who passed it on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place


@dataclass(frozen=True, slots=True)
class Former:
    """The newest version that its author (`origin`) gave itself, below `held_ver`. `tlp`: as it is marked here.

    `withdrawn`: what stands now is the author's withdrawal.
    """

    origin: str
    held_ver: int
    withdrawn: bool
    ver: int
    tlp: str
    stored_at: datetime
    place: Place
    bundle: bytes = field(repr=False)


# Whoever writes about the report waits, as when it is erased.
FORMER = """
select h.origin, h.ver, h.state = 'withdrawn', v.ver, v.tlp, v.stored_at, v.log_gen, v.log_index, v.leaf_hash, v.bundle
from report h join report_version v on v.report_id = h.id and v.ver between 1 and h.ver - 1
where h.id = $1 and h.origin <> $2 and v.leaf_hash is not null
    and not exists (select from passed p where p.report_id = v.report_id and p.ver = v.ver)
order by v.ver desc limit 1 for update of h
"""

ALERTS = "select id from alert where report_id = $1 and ver > $2"

STANDS = "update report set tlp = $2, stored_at = $3 where id = $1"

# Of the report $1 what is about versions above $2.
FORGET: Final = (
    "delete from remark where report_id = $1 and ver > $2",
    "delete from review where report_id = $1 and ver > $2",
    "delete from passed where report_id = $1 and ver > $2",
    "delete from report_version where report_id = $1 and ver >= $2",
    "update duty_subject set basis = '' where report_id = $1 and ver > $2",
)

UNSHOW = """
update remote_entry set leaf = null, data_key = null where report_id = $1 and ver > $2 and origin = $3
"""


async def former(conn: Connection, report_id: str, through: str) -> Former | None:
    """What stands without what `through` (NodeID) passed on; None: nothing does, or the report is its own."""
    row = await conn.fetchrow(FORMER, report_id, through)
    if row is None:
        return None
    origin, held_ver, withdrawn, ver, tlp, stored_at, gen, index, leaf_hash, bundle = row
    return Former(origin, held_ver, withdrawn, ver, tlp, stored_at, Place(gen, index, leaf_hash), bundle)


async def alerts(conn: Connection, report_id: str, ver: int) -> Sequence[int]:
    """The alerts about versions of a report above `ver`."""
    return [row[0] for row in await conn.fetch(ALERTS, report_id, ver)]


async def forget(conn: Connection, former: Former, report_id: str, through: str) -> None:
    """Leave nothing of later versions, and mark the one that stands as it was. Its row is in its place already."""
    await conn.execute(STANDS, report_id, former.tlp, former.stored_at)
    for statement in FORGET:
        await conn.execute(statement, report_id, former.ver)
    await conn.execute(UNSHOW, report_id, former.ver, through)
