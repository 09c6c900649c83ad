"""How far a report got at those that it was passed on to: what we tell its author, and what we are told of our own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tocsin_federation.receipt import Item
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Reader:
    """How far a version got at `node` (NodeID), to which `by` passed it on. Times are None while they are not known."""

    by: str
    node: str
    ver: int
    passed_at: datetime
    outcome: str | None
    code: str | None
    outcome_at: datetime | None
    alerted_at: datetime | None
    waiting_at: datetime | None
    narrowed_at: datetime | None
    purged_at: datetime | None


# The share must have been sealed to its author: else it was not to know of that reader (P-217).
_TO_AUTHOR = (
    "exists (select from log_wrap w where w.gen = s.gen and w.idx = s.idx and w.recipient = {author})"
)

TURNS: Final = 4  # ends of one entry that a reader may say in a day, and its author is told

# Only what is news, and of what turns and turns again no more than a few a day: else who says the same again and again,
# or now this and now that, has us write to authors as often (P-281).
_NEWS = f"""not exists (
    select from receipt k where k.node = $1 and k.gen = {{of}}.gen and k.idx = {{of}}.idx and case said.state
        when 'alerted' then k.alerted_at is not null when 'waiting' then k.waiting_at is not null
        when 'narrowed' then k.narrowed_at is not null when 'purged' then k.purged_at is not null
        else k.outcome = said.state and k.code is not distinct from said.code
            or k.turning_since > now() - interval '1 day' and k.turns >= {TURNS} end)"""

# What `node` says of shares of ours, and of our recalls of them, is owed to the authors of what was passed on, but not
# to itself: an author has the share, too.
# One batch may say a state of an entry twice, where we were away for a while: the later word is owed (P-280).
OWE = f"""
with said as (
    select * from unnest($3::bytea[], $4::text[], $5::text[], $6::timestamptz[])
        with ordinality as i (entry, state, code, at, nth)
), owed as (
    select r.origin, s.leaf_hash, said.state, said.code, said.at, said.nth
    from said join log_entry s on s.leaf_hash = said.entry
    join onward o on o.by = $2 and o.gen = s.gen and o.idx = s.idx
    join report r on r.id = o.report_id and r.origin <> $2
    where r.origin <> $1 and {_TO_AUTHOR.format(author="r.origin")} and {_NEWS.format(of="s")}
    union all
    select c.author, s.leaf_hash, said.state, null, said.at, said.nth
    from said join log_entry e on e.leaf_hash = said.entry
    join recall_peer p on p.gen = e.gen and p.idx = e.idx and p.node = $1
    join recall c on c.id = p.recall and c.author <> $1
    join log_entry s on s.leaf_hash = p.ref
    where said.state in ('waiting', 'narrowed', 'purged') and {_TO_AUTHOR.format(author="c.author")}
        and {_NEWS.format(of="e")}
)
insert into receipt_due (origin, leaf_hash, state, code, by, at)
select distinct on (origin, leaf_hash, state) origin, leaf_hash, state, code, $1, at from owed
order by origin, leaf_hash, state, nth desc
on conflict (origin, leaf_hash, state, by) do update set code = excluded.code, at = excluded.at
returning 1
"""

# What a peer ($1) passed on of ours ($2), to whom; of what is erased here its tag alone is known.
PASSED = """
select o.leaf_hash, node, o.report_id, o.ver, o.at, null::bytea
from onward o join report r on r.id = o.report_id and r.origin = $2 cross join unnest(o.recipients) as node
where o.by = $1 and o.leaf_hash = any($3::bytea[])
union all
select leaf_hash, node, null, ver, passed_at, tag from onward_reader where by = $1 and leaf_hash = any($3::bytea[])
"""

# The last word on an end counts, and the first on everything else.
HEAR = """
insert into onward_reader (by, leaf_hash, node, tag, ver, passed_at, outcome, code, outcome_at, alerted_at, waiting_at,
    narrowed_at, purged_at)
select $1, * from unnest($2::bytea[], $3::text[], $4::bytea[], $5::int[], $6::timestamptz[], $7::text[], $8::text[],
    $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[])
on conflict (by, leaf_hash, node) do update set
    outcome = coalesce(excluded.outcome, onward_reader.outcome),
    code = case when excluded.outcome is null then onward_reader.code else excluded.code end,
    outcome_at = coalesce(excluded.outcome_at, onward_reader.outcome_at),
    alerted_at = coalesce(onward_reader.alerted_at, excluded.alerted_at),
    waiting_at = coalesce(onward_reader.waiting_at, excluded.waiting_at),
    narrowed_at = coalesce(onward_reader.narrowed_at, excluded.narrowed_at),
    purged_at = coalesce(onward_reader.purged_at, excluded.purged_at)
"""

KEEP = """
insert into onward_reader (by, leaf_hash, node, tag, ver, passed_at)
select o.by, o.leaf_hash, node, $2, o.ver, o.at
from onward o join report r on r.id = o.report_id and r.origin = $3 cross join unnest(o.recipients) as node
where o.report_id = $1 and o.by <> $3
on conflict do nothing
"""

OF_REPORT = """
select o.by, t.reader, o.ver, o.at, coalesce(x.outcome, c.outcome), coalesce(x.code, c.code),
    coalesce(x.outcome_at, c.outcome_at), coalesce(x.alerted_at, c.alerted_at), x.waiting_at, x.narrowed_at, x.purged_at
from onward o cross join unnest(o.recipients) as t (reader)
left join onward_reader x on x.by = o.by and x.leaf_hash = o.leaf_hash and x.node = t.reader
left join receipt c on o.by = $3 and c.node = t.reader and c.gen = o.gen and c.idx = o.idx
where o.report_id = $1
union all
select x.by, x.node, x.ver, x.passed_at, x.outcome, x.code, x.outcome_at, x.alerted_at, x.waiting_at, x.narrowed_at,
    x.purged_at
from onward_reader x
where x.tag = $2 and not exists (
    select from onward o where o.report_id = $1 and o.by = x.by and o.leaf_hash = x.leaf_hash)
order by 1, 4, 3, 2
"""


async def owe(conn: Connection, node: str, us: str, items: Sequence[tuple[Item, datetime]]) -> bool:
    """What `node` says of what we passed on to it is owed to the authors, if it is news; whether anything is.

    Before it is kept by `receipts.hear`.
    """
    if not items:
        return False
    columns = [
        [item.entry for item, _ in items],
        [item.state for item, _ in items],
        [item.code for item, _ in items],
        [at for _, at in items],
    ]
    return bool(await conn.fetch(OWE, node, us, *columns))


@dataclass(frozen=True, slots=True)
class Passed:
    """A version of ours that was passed on. `report_id` is None, and `tag` known, where it is erased here."""

    report_id: str | None
    ver: int
    at: datetime
    tag: bytes | None


async def passed(
    conn: Connection, by: str, us: str, entries: Sequence[bytes]
) -> dict[tuple[bytes, str], Passed]:
    """Of entries of `by`'s log: what of ours each passed on, by leaf hash and the NodeID that it went to."""
    rows = await conn.fetch(PASSED, by, us, list(entries))
    found: dict[tuple[bytes, str], Passed] = {}
    for entry, node, *what in rows:
        found.setdefault((entry, node), Passed(*what))
    return found


async def hear(
    conn: Connection,
    by: str,
    items: Sequence[tuple[Item, datetime]],
    known: Mapping[tuple[bytes, str], tuple[bytes, Passed]],
) -> None:
    """Keep what `by` tells of its readers; `known`: by entry and reader, the report's tag and what was passed on."""
    lines: dict[tuple[bytes, str], dict[str, object]] = {}
    for item, at in items:
        line = lines.setdefault((item.entry, item.by or ""), {})
        if item.state in _OTHERS:
            line[item.state] = at
        else:
            line |= {"outcome": item.state, "code": item.code, "outcome_at": at}
    names = ("outcome", "code", "outcome_at", *_OTHERS)
    await conn.execute(
        HEAR,
        by,
        [entry for entry, _ in lines],
        [node for _, node in lines],
        [known[key][0] for key in lines],
        [known[key][1].ver for key in lines],
        [known[key][1].at for key in lines],
        *([line.get(name) for line in lines.values()] for name in names),
    )


_OTHERS = ("alerted", "waiting", "narrowed", "purged")


async def keep(conn: Connection, report_id: str, tag: bytes, us: str) -> None:
    """Before a report of ours is erased: to whom others passed it on, without its name."""
    await conn.execute(KEEP, report_id, tag, us)


async def of_report(conn: Connection, report_id: str, tag: bytes, us: str) -> list[Reader]:
    """How far a report got at those that it was passed on to, by who did so and when."""
    return [Reader(*row) for row in await conn.fetch(OF_REPORT, report_id, tag, us)]
