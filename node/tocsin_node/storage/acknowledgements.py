"""Acknowledgements, and what follows them, on their way to the origins of the reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Untold:
    """An act here that the report's origin has not been told as it stands.

    `kind`: ack, take, resolve, mute, escalate or unanswered. `at`, `revoked`, `until`: what to tell, for all of us: one
    of us may look away while another still stands by it; of a mute and of a call the latest counts. `taken_back`:
    whether this one was.
    """

    id: int
    kind: str
    report_id: str
    ver: int
    at: datetime
    until: datetime | None
    revoked: bool
    taken_back: bool
    origin: str
    leaf_hash: bytes


UNTOLD = """
select a.id, a.kind, a.report_id, a.ver, coalesce(standing.at, a.revoked_at), standing.until, standing.at is null,
    a.revoked_at is not null, r.origin, coalesce(v.leaf_hash, r.leaf_hash)
from act a
join report r on r.id = a.report_id
left join report_version v on v.report_id = a.report_id and v.ver = a.ver
cross join lateral (
    select case when a.kind in ('mute', 'escalate') then max(k.at) else min(k.at) end as at,
        (array_agg(k.until order by k.at desc, k.id desc))[1] as until
    from act k
    where k.report_id = a.report_id and k.ver = a.ver and k.kind = a.kind and k.node is null and k.revoked_at is null
) standing
where a.shared_idx is null and a.node is null and a.kind <> 'override'
    and a.ver is not null and r.origin = any($1::text[])
    and coalesce(v.leaf_hash, r.leaf_hash) is not null
    and not exists (select from passed p where p.report_id = a.report_id and p.ver = a.ver)
order by a.id limit $2
"""

# Every version of our own reports that was sealed to a peer, with the hash of the entry that it went in.
# Only as it stood when it was sealed: a change in between is told by the next round.
TOLD = "update act set shared_idx = $2 where id = $1 and (revoked_at is not null) = $3"


async def untold(conn: Connection, origins: Sequence[str], limit: int) -> list[Untold]:
    """The oldest acts about reports of `origins` (NodeIDs) that those do not know yet."""
    return [Untold(*row) for row in await conn.fetch(UNTOLD, list(origins), limit)]


async def mark_told(conn: Connection, act: Untold, index: int) -> None:
    """Our log entry `index` tells the origin."""
    await conn.execute(TOLD, act.id, index, act.taken_back)
