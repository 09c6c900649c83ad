"""Recalls of ours that came back from a reader: kept again, and done again in our own log and audience."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place


@dataclass(frozen=True, slots=True)
class Back:
    """A recall of ours as its entry at `place` says it. `id`: the entry's; `tag`: None while its report is unknown."""

    id: str
    tag: bytes | None
    what: str
    tlp: str
    entries: tuple[bytes, ...]
    reason: str
    by: str
    at: datetime
    deadline: datetime
    place: Place


# The name in a header, as the index `log_entry_about` has it.
_NAME = r"substring(leaf from position('\x226964223a22'::bytea in leaf) + 6 for 46)"

NAMED = f"""
select convert_from({_NAME}, 'UTF8') from log_entry where leaf_hash = any($1::bytea[]) and leaf is not null limit 1
"""

ADD = """
insert into recall (id, tag, what, tlp, reason, by, at, deadline, regained_at, awaits)
values ($1::uuid, coalesce($2::bytea, ''::bytea), $3, $4, $5, $6, $7, $8, now(),
    case when $2::bytea is null then $9::bytea[] end)
on conflict do nothing
"""

# To each the newest entry that was sealed to it; as long as none is known, the first.
ADD_PEERS = """
insert into recall_peer (recall, node, ref, gen, idx)
select $1::uuid, n, coalesce((
    select e.leaf_hash from log_entry e left join log_wrap w on w.gen = e.gen and w.idx = e.idx and w.recipient = n
    where e.leaf_hash = any($3::bytea[]) and e.leaf is not null
    order by w.recipient is null, e.gen desc, e.idx desc limit 1), ($3::bytea[])[1]), $4, $5
from unnest($2::text[]) n on conflict do nothing
"""

FOUND = """
with found as (update recall set tag = $1, awaits = null where awaits @> array[$2::bytea] returning id)
update recall_peer p set ref = $2 from found where p.recall = found.id
"""

# What was said before the recall is served to nobody that it went to; who was given nothing after it gets no more.
DO = f"""
with purged as (
    select distinct on (p.node) p.node, p.gen, p.idx from recall r join recall_peer p on p.recall = r.id
    where r.tag = $1 and r.what = 'purge' and r.regained_at is not null and p.idx is not null
    order by p.node, p.gen desc, p.idx desc
), about as (
    select w.recipient, w.gen, w.idx from log_entry e join log_wrap w on w.gen = e.gen and w.idx = e.idx
    where {_NAME.replace("leaf", "e.leaf")} = convert_to($2, 'UTF8')
), shredded as (
    update log_wrap w set wrap = '' from about a
    join purged p on p.node = a.recipient and (a.gen, a.idx) < (p.gen, p.idx)
    where w.gen = a.gen and w.idx = a.idx and w.recipient = a.recipient
)
update report set audience = array(
    select n from unnest(audience) n where n not in (select node from purged) union
    select p.node from purged p join about a on a.recipient = p.node and (a.gen, a.idx) > (p.gen, p.idx))
where id = $2 and exists (select from purged)
"""

# Of reports that are still here, so long that somebody has seen it.
HERE = f"""
select count(distinct r.tag) from recall r join recall_peer p on p.recall = r.id
join log_entry e on e.leaf_hash = p.ref and e.leaf is not null
join report h on h.id = convert_from({_NAME.replace("leaf", "e.leaf")}, 'UTF8')
where r.what = 'purge' and r.regained_at > $1
"""


async def named(conn: Connection, entries: Sequence[bytes]) -> str | None:
    """The report that these entries of our log (leaf hashes) are about; None: none of them is known."""
    found: str | None = await conn.fetchval(NAMED, list(entries))
    return found


async def add(conn: Connection, back: Back, nodes: Collection[str]) -> None:
    """Keep a recall that came back, as told to these (NodeIDs); also one more that shows that it got it."""
    await conn.execute(
        ADD,
        back.id,
        back.tag,
        back.what,
        back.tlp,
        back.reason,
        back.by,
        back.at,
        back.deadline,
        list(back.entries),
    )
    place = back.place
    await conn.execute(ADD_PEERS, back.id, list(nodes), list(back.entries), place.gen, place.index)


async def found(conn: Connection, tag: bytes, leaf_hash: bytes) -> None:
    """An entry of ours is back: recalls that wait for it are of the report with this keyed hash."""
    await conn.execute(FOUND, tag, leaf_hash)


async def do(conn: Connection, tag: bytes, report_id: str) -> None:
    """Serve and send nothing of the report to those that it was taken back from, as far as such recalls came back."""
    await conn.execute(DO, tag, report_id)


async def here(conn: Connection, since: datetime) -> int:
    """Of how many reports that are held here a purge came back since then."""
    count: int = await conn.fetchval(HERE, since)
    return count
