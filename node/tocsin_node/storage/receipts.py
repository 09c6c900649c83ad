"""Receipts in Postgres: what is owed to authors of entries that came here, and what peers say of ours."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_federation.receipt import Item, Told
from tocsin_node.storage.disputed import STANDS
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.shares import ENTRIES


@dataclass(frozen=True, slots=True)
class Due:
    """A state of an entry of `origin`'s log that its author has not been told. `told.at`: when it came to be so."""

    id: int
    origin: str
    told: Told


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one entry about a report got at one peer. Times are None while they are not known."""

    node: str
    kind: str
    ver: int
    gen: int
    index: int
    leaf_hash: bytes
    queued_at: datetime
    sent_at: datetime | None
    verified_at: datetime | None
    outcome: str | None
    code: str | None
    outcome_at: datetime | None
    alerted_at: datetime | None
    acknowledged_at: datetime | None


OWE = """
insert into receipt_due (origin, leaf_hash, state, code)
select $1, * from unnest($2::bytea[], $3::text[], $4::text[])
on conflict (origin, leaf_hash, state, by) do update set code = excluded.code, at = excluded.at
"""

# The first way to people that takes the alert of the version that stands says that it rang. Who never sealed it to us
# is told nothing.
OWE_ALERTED = """
insert into receipt_due (origin, leaf_hash, state)
select r.origin, coalesce(v.leaf_hash, r.leaf_hash), 'alerted' from delivery d join alert a on a.id = d.alert_id
join report r on r.id = a.report_id left join report_version v on v.report_id = a.report_id and v.ver = a.ver
where d.id = $1 and not a.ours and a.kind in ('raise', 'escalate') and coalesce(v.leaf_hash, r.leaf_hash) is not null
    and not exists (select from passed p where p.report_id = a.report_id and p.ver = a.ver)
    and not exists (select from delivery o where o.alert_id = a.id and o.id <> d.id and o.accepted_at is not null)
on conflict (origin, leaf_hash, state, by) do nothing
"""

DUE = """
select due.id, o.origin, due.leaf_hash, due.state, due.code, due.at, due.by from unnest($1::text[]) as o (origin)
cross join lateral (
    select id, leaf_hash, state, code, at, by from receipt_due
    where origin = o.origin and by <> all($3::text[]) order by id limit $2
) due order by due.id
"""

TOLD = "delete from receipt_due where (id, at) in (select * from unnest($1::bigint[], $2::timestamptz[]))"

SENT = """
insert into receipt (node, gen, idx, sent_at) select $1, $2, idx, now() from unnest($3::bigint[]) as i (idx)
on conflict (node, gen, idx) do update set sent_at = coalesce(receipt.sent_at, excluded.sent_at)
"""

SEALED = """
select e.leaf_hash from log_entry e join log_wrap w on w.gen = e.gen and w.idx = e.idx and w.recipient = $1
where e.leaf_hash = any($2::bytea[])
"""

# Whether it says another end than before.
_TURNS = """(excluded.outcome is not null
    and (excluded.outcome, excluded.code) is distinct from (receipt.outcome, receipt.code))"""

# The last word on an entry's end counts, and the first on everything else.
HEAR = f"""
insert into receipt (node, gen, idx, verified_at, outcome, code, outcome_at, alerted_at, waiting_at, narrowed_at,
    purged_at, turns, turning_since)
select $1, e.gen, e.idx, now(), i.outcome, i.code, i.outcome_at, i.alerted_at, i.waiting_at, i.narrowed_at, i.purged_at,
    (i.outcome is not null)::integer, case when i.outcome is not null then now() end
from unnest($2::bytea[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
    $8::timestamptz[], $9::timestamptz[])
    as i (leaf_hash, outcome, code, outcome_at, alerted_at, waiting_at, narrowed_at, purged_at)
join log_entry e on e.leaf_hash = i.leaf_hash
on conflict (node, gen, idx) do update set verified_at = coalesce(receipt.verified_at, excluded.verified_at),
    outcome = coalesce(excluded.outcome, receipt.outcome),
    code = case when excluded.outcome is null then receipt.code else excluded.code end,
    outcome_at = coalesce(excluded.outcome_at, receipt.outcome_at),
    alerted_at = coalesce(receipt.alerted_at, excluded.alerted_at),
    waiting_at = coalesce(receipt.waiting_at, excluded.waiting_at),
    narrowed_at = coalesce(receipt.narrowed_at, excluded.narrowed_at),
    purged_at = coalesce(receipt.purged_at, excluded.purged_at),
    turns = case when not {_TURNS} then receipt.turns
        when receipt.turning_since > now() - interval '1 day' then receipt.turns + 1 else 1 end,
    turning_since = case when not {_TURNS} or receipt.turning_since > now() - interval '1 day'
        then receipt.turning_since else now() end
"""

OF_REPORT = f"""
select w.recipient, e.kind, e.ver, e.gen, e.idx, e.leaf_hash, l.at, r.sent_at,
    coalesce(r.verified_at, case when (p.fetched_gen, p.fetched_next) > (e.gen, e.idx) then r.sent_at end),
    r.outcome, r.code, r.outcome_at, r.alerted_at, (
        select min(k.at) from act k where k.via = 'peer' and k.node = w.recipient and k.report_id = $1 and k.ver = e.ver
            and k.kind = 'ack' and {STANDS})
from (
    select 'report' as kind, ver, gen, idx, leaf_hash from ({ENTRIES.replace("any($1::text[])", "$1")}) x
    union all select 'remark', ver, log_gen, log_index, leaf_hash from remark
        where report_id = $1 and node = $2 and log_index is not null
    union all select 'call', c.ver, c.log_gen, c.log_index, c.leaf_hash from emergency_call c
        join emergency m on m.id = c.emergency where m.report_id = $1 and m.origin = $2 and c.log_index is not null
) e
join log_entry l on l.gen = e.gen and l.idx = e.idx
join log_wrap w on w.gen = e.gen and w.idx = e.idx
left join receipt r on r.node = w.recipient and r.gen = e.gen and r.idx = e.idx
left join peer p on p.node_id = w.recipient
order by e.gen, e.idx, w.recipient
"""


async def owe(conn: Connection, origin: str, states: Sequence[tuple[bytes, str, str | None]]) -> None:
    """What `origin` (NodeID) is to be told: (leaf hash, state, code) of entries of its log."""
    if states:
        await conn.execute(OWE, origin, *(list(column) for column in zip(*states, strict=True)))


async def owe_alerted(conn: Connection, delivery_id: int) -> None:
    """A message was taken: the author of the report that it tells of is to be told that it rang, once."""
    await conn.execute(OWE_ALERTED, delivery_id)


async def due(conn: Connection, origins: Sequence[str], limit: int, unnamed: Sequence[str] = ()) -> list[Due]:
    """What those authors are to be told, the oldest first, of each `limit` at most; nothing of readers `unnamed`."""
    rows = await conn.fetch(DUE, list(origins), limit, list(unnamed))
    return [Due(row[0], row[1], Told(row[2], row[3], row[5], row[4], row[6] or None)) for row in rows]


async def told(conn: Connection, dues: Sequence[Due]) -> None:
    """They were told; what has changed meanwhile stays."""
    await conn.execute(TOLD, [one.id for one in dues], [one.told.at for one in dues])


async def sent(conn: Connection, node: str, gen: int, indices: Sequence[int]) -> None:
    """Entries of our log were served to `node` (NodeID)."""
    if indices:
        await conn.execute(SENT, node, gen, list(indices))


async def sealed(conn: Connection, node: str, leaf_hashes: Collection[bytes]) -> set[bytes]:
    """Which of these are entries of our log that were sealed to `node`."""
    return {row[0] for row in await conn.fetch(SEALED, node, list(leaf_hashes))}


async def hear(conn: Connection, node: str, items: Sequence[tuple[Item, datetime]]) -> None:
    """Keep what `node` says of entries of ours that were sealed to it, with the moments that it names."""
    lines: dict[bytes, dict[str, object]] = {}
    for item, at in items:
        line = lines.setdefault(item.entry, {})
        if item.state in _OTHERS:
            line[item.state] = at
        else:
            line |= {"outcome": item.state, "code": item.code, "outcome_at": at}
    names = ("outcome", "code", "outcome_at", *_OTHERS)
    columns = [[line.get(name) for line in lines.values()] for name in names]
    await conn.execute(HEAR, node, list(lines), *columns)


_OTHERS = ("alerted", "waiting", "narrowed", "purged")


async def of_report(conn: Connection, report_id: str, us: str) -> list[Progress]:
    """How far what `us` said of a report got, for each entry and recipient, in the order of our log."""
    return [Progress(*row) for row in await conn.fetch(OF_REPORT, report_id, us)]
