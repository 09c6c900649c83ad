"""What is handed on between recipients of one author's entries: what we hold to give, what we took, and of whom."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tocsin_federation.frames import Frame
from tocsin_node.storage.disputed import unsaid
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.remote import RemoteLog

SCANNED = 2048  # entries looked at for one answer, whomever they are for


@dataclass(frozen=True, slots=True)
class HeldEntry:
    """An entry of a peer as it was taken here, with whatever content may belong to it. `data_key`: locked.

    `tlp`: how its report is marked here now; `report`, `remark`: exact bytes; `call`: what is kept of a call, as text,
    in the order of the query. Of a share `report` is what it passes on, `proof` and `passed_key` (locked) its author's.
    `recall`: what, entries, reason, at and deadline of a recall of the caller's own.
    """

    idx: int
    leaf_hash: bytes
    leaf: bytes = field(repr=False)
    data_key: bytes = field(repr=False)
    tlp: str | None
    report: bytes | None = field(repr=False)
    remark: bytes | None = field(repr=False)
    call: list[str] | None = field(repr=False)
    proof: bytes | None = field(repr=False)
    passed_key: bytes | None = field(repr=False)
    recall: tuple[Any, ...] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mendable:
    """An entry in quarantine that does not open because of what came beside its leaf. `leaf_hash`: the verified one."""

    leaf_hash: bytes
    frame: Frame


@dataclass(frozen=True, slots=True)
class Relay:
    """What went from hand to hand between us and `node`, of `origin`'s. `given`: by us."""

    origin: str
    node: str
    given: bool
    entries: int
    first_at: datetime
    last_at: datetime
    problem_code: str | None
    problem_at: datetime | None


# What stands here and nothing else: a version that was replaced, or a report that its author takes back, is given to
# nobody, and nothing about it is. The author, who may have lost its own words, gets those that were replaced too ($6).
HELD = f"""
with looked as (
    select idx, leaf_hash, leaf, data_key, report_id, ver from remote_entry
    where origin = $1 and gen = $2 and idx >= $3 and idx < $4 and leaf is not null and data_key is not null
    order by idx limit $7
), taken_back as (
    select e.report_id from recalled c join remote_entry e on e.origin = c.origin and e.leaf_hash = any(c.entries)
    where c.done_at is null and e.report_id is not null and not {unsaid("c")}
), reached as (select max(idx) as idx, count(*) as entries from looked)
select reached.idx, reached.entries, e.idx, e.leaf_hash, e.leaf, e.data_key,
    (select s.tlp from report s where s.id = e.report_id), coalesce(r.bundle, v.bundle, w.bundle), m.bundle,
    case when k.seq is not null then array[
        g.key::text, k.seq::text, k.ver::text, k.state, g.drill::text, k.reason, k.steps::text,
        (extract(epoch from g.since) * 1000)::bigint::text, (extract(epoch from k.at) * 1000)::bigint::text
    ] end, p.proof, p.data_key, c.what, c.entries, c.reason, c.at,
    c.deadline
from reached left join (
    select * from looked
    where exists (select from unnest($5::text[]) n where position(convert_to(n, 'UTF8') in leaf) > 0)
        and ($6 or report_id is null or report_id not in (select report_id from taken_back))
) e on true
left join report r on r.id = e.report_id and r.ver = e.ver and r.origin = $1
left join report_version v on $6 and v.report_id = e.report_id and v.ver = e.ver and v.leaf_hash = e.leaf_hash
left join remark m on m.report_id = e.report_id and m.node = $1 and m.leaf_hash = e.leaf_hash
left join emergency_call k on k.leaf_hash = e.leaf_hash
left join emergency g on g.id = k.emergency and g.origin = $1
left join passed p on p.report_id = e.report_id and p.ver = e.ver and p.through = $1
left join report w on w.id = p.report_id and w.ver = p.ver
left join recalled c on $6 and c.leaf_hash = e.leaf_hash and c.origin = $1 and c.reason is not null
order by e.idx
"""

LEAVES_AT = """
select l.idx, l.leaf_hash from remote_leaf l
where l.origin = $1 and l.gen = $2 and l.idx = any($3::bigint[])
    and not exists (select from remote_entry e where e.origin = $1 and e.gen = $2 and e.idx = l.idx)
"""

RELEASE = """
delete from remote_entry where origin = $1 and gen = $2 and idx = any($3::bigint[]) and via is not null
"""

RELAYED = """
select idx from remote_entry where origin = $1 and gen = $2 and idx = any($3::bigint[]) and via is not null
"""

TAKEN = """
with reached as (
    update remote_log set relayed_to = greatest(relayed_to, $4) where origin = $1 and gen = $5
)
insert into relay (origin, node, given, entries) values ($1, $2, false, $3)
on conflict (origin, node, given) do update set entries = relay.entries + excluded.entries, last_at = now(),
    problem_code = null, problem_at = null
"""

GIVEN = """
insert into relay (origin, node, given, entries) values ($1, $2, true, $3)
on conflict (origin, node, given) do update set entries = relay.entries + excluded.entries, last_at = now()
"""

PROBLEM = """
insert into relay (origin, node, given, problem_code, problem_at) values ($1, $2, false, $3, now())
on conflict (origin, node, given) do update set problem_code = $3, problem_at = now()
"""

OF = """
select origin, node, given, entries, first_at, last_at, problem_code, problem_at from relay
where origin = $1 or node = $1 order by last_at desc limit 100
"""

MENDABLE = """
update quarantine q set asked_at = now() from (
    select origin, gen, idx from quarantine
    where origin = $1 and gen = $2 and code in ('bad-wrap', 'commitment', 'hash-mismatch', 'ciphertext-mismatch')
        and (asked_at is null or asked_at < now() - $3 * interval '1 second')
    order by asked_at nulls first, idx limit $4
) due join remote_entry e using (origin, gen, idx)
where q.origin = due.origin and q.gen = due.gen and q.idx = due.idx
returning e.leaf_hash, q.idx, q.leaf, q.wrap, q.ct
"""

LEAF_ASIDE = "select leaf from quarantine where origin = $1 and gen = $2 and idx = $3"

HEARD = "select coalesce(last_contact_at, approved_at, added_at) from peer where node_id = $1"

VIA = """
select e.via, e.idx >= l.next_index from remote_entry e join remote_log l on l.origin = e.origin and l.gen = e.gen
where e.origin = $1 and e.gen = $2 and e.idx = $3 and e.via is not null
"""

AWAITED = """
select via, count(*) from remote_entry
where origin = $1 and gen = $2 and idx >= $3 and via is not null group by via order by via
"""


async def held(
    conn: Connection, log: RemoteLog, start: int, stop: int, names: Sequence[str], *, replaced: bool
) -> tuple[list[HeldEntry], int]:
    """What was taken of [start, stop) and names one of `names` in its header, and up to where was looked.

    At most `SCANNED` entries are looked at. `replaced`: with versions of reports that do not stand any more.
    """
    rows = await conn.fetch(HELD, log.origin, log.gen, start, stop, list(names), replaced, SCANNED)
    entries = [_held(row) for row in rows if row[2] is not None]
    full = rows[0][1] == SCANNED
    return entries, rows[0][0] + 1 if full else stop


def _held(row: Sequence[Any]) -> HeldEntry:
    recall = None if row[-5] is None else tuple(row[-5:])
    return HeldEntry(*[*row[2:-5], recall])


async def unseen(conn: Connection, log: RemoteLog, indices: Sequence[int]) -> dict[int, bytes]:
    """The verified leaf hashes at these places, where no entry has an outcome yet."""
    rows = await conn.fetch(LEAVES_AT, log.origin, log.gen, list(indices))
    return {row[0]: row[1] for row in rows}


async def release(conn: Connection, log: RemoteLog, indices: Sequence[int]) -> None:
    """The author itself serves these now: what became of them when others did makes way, inside the transaction."""
    await conn.execute(RELEASE, log.origin, log.gen, list(indices))


async def taken(conn: Connection, log: RemoteLog, indices: Sequence[int]) -> set[int]:
    """Which of the entries at these places others have handed on, as their author sealed them."""
    return {row[0] for row in await conn.fetch(RELAYED, log.origin, log.gen, list(indices))}


async def note_taken(conn: Connection, log: RemoteLog, node: str, indices: Collection[int]) -> None:
    """Entries at these places were taken from `node`, inside the caller's transaction."""
    await conn.execute(TAKEN, log.origin, node, len(indices), max(indices) + 1, log.gen)


async def note_given(conn: Connection, origin: str, node: str, entries: int) -> None:
    """So many entries of `origin`'s were given to `node`."""
    await conn.execute(GIVEN, origin, node, entries)


async def note_problem(conn: Connection, origin: str, node: str, code: str) -> None:
    """What `node` gave of `origin`'s was not sound."""
    await conn.execute(PROBLEM, origin, node, code)


async def of_peer(conn: Connection, node_id: str) -> list[Relay]:
    """Everything between us and that peer, and everything that others gave us of its own. The latest first."""
    return [Relay(*row) for row in await conn.fetch(OF, node_id)]


async def mendable(conn: Connection, log: RemoteLog, *, again_s: float, limit: int) -> list[Mendable]:
    """Entries in quarantine that another holder may be asked for now; each is due again after `again_s`."""
    rows = await conn.fetch(MENDABLE, log.origin, log.gen, again_s, limit)
    return [Mendable(row[0], Frame(*row[1:])) for row in rows]


async def leaf_aside(conn: Connection, log: RemoteLog, idx: int) -> bytes:
    """The header that stands in quarantine at that place, as it came; empty when none does."""
    return await conn.fetchval(LEAF_ASIDE, log.origin, log.gen, idx) or b""


async def heard_at(conn: Connection, node_id: str) -> datetime:
    """When that peer last answered us, or was approved."""
    at: datetime = await conn.fetchval(HEARD, node_id)
    return at


async def via(conn: Connection, origin: str, gen: int, idx: int) -> tuple[str, bool] | None:
    """Who gave us that entry, and whether its author has still to serve it itself; None: it came from the author."""
    row = await conn.fetchrow(VIA, origin, gen, idx)
    return None if row is None else (row[0], row[1])


async def awaited(conn: Connection, log: RemoteLog) -> list[tuple[str, int]]:
    """Of whom we have how many entries that the author has not served itself yet."""
    return [tuple(row) for row in await conn.fetch(AWAITED, log.origin, log.gen, log.next_index)]
