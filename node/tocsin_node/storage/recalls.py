"""Recalls in Postgres: what we took back and of whom, and what peers took back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_federation.messages import MAX_RECIPIENTS
from tocsin_node.storage.disputed import unsaid
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.shares import ENTRIES


@dataclass(frozen=True, slots=True)
class NewRecall:
    """A recall about to be kept. `peers`: NodeID → leaf hash of the newest entry about the report that it was sent.

    `author`: NodeID of whose report it is, where we passed it on.
    """

    id: str
    tag: bytes
    what: str
    tlp: str
    reason: str
    by: str
    at: datetime
    deadline: datetime
    peers: dict[str, bytes]
    erased: bool = False
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Untold:
    """A recall of ours that stands in no entry for `peers` yet: (NodeID, leaf hash of the newest entry it was sent).

    `also`: what else any of them was sent about the report.
    """

    id: str
    what: str
    tlp: str
    reason: str
    at: datetime
    deadline: datetime
    peers: tuple[tuple[str, bytes], ...]
    also: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OfPeer:
    """How far a recall of ours got at one peer. `report_id`: None once the report is erased here."""

    recall: str
    tag: bytes
    report_id: str | None
    what: str
    tlp: str
    reason: str
    by: str
    at: datetime
    deadline: datetime
    erased: bool
    node: str
    gen: int | None
    index: int | None
    sent_at: datetime | None
    verified_at: datetime | None
    outcome: str | None
    code: str | None
    waiting_at: datetime | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a peer took back. `report_ids`: what it reaches here now. `disputed`: it vouches for that no longer."""

    leaf_hash: bytes
    origin: str
    what: str
    tlp: str
    entries: tuple[bytes, ...]
    reason: str | None
    at: datetime
    deadline: datetime
    stored_at: datetime
    done_at: datetime | None
    done_by: str | None
    report_ids: tuple[str, ...]
    disputed: bool


# The name in a header, as the index `log_entry_about` has it.
_NAME = r"substring({0}.leaf from position('\x226964223a22'::bytea in {0}.leaf) + 6 for 46)"
_GIVES = " or ".join(
    f"""position(convert_to('"t":"{kind}"', 'UTF8') in e.leaf) > 0"""
    for kind in ("publish", "revoke", "share")
)

# A peer may hold an earlier version and have come to no later one: whichever it took has to be named.
ADD = f"""
with recall as (
    insert into recall (id, tag, what, tlp, reason, by, at, deadline, erased, author)
    values ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $12)
)
insert into recall_peer (recall, node, ref, also)
select $1::uuid, p.node, p.ref, array(
    select e.leaf_hash from log_entry o
    join log_entry e on {_NAME.format("e")} = {_NAME.format("o")}
    join log_wrap w on w.gen = e.gen and w.idx = e.idx and w.recipient = p.node and w.wrap <> ''
    where o.leaf_hash = p.ref and e.leaf_hash <> p.ref and ({_GIVES})
    order by e.gen desc, e.idx desc limit {MAX_RECIPIENTS - 1})
from unnest($10::text[], $11::bytea[]) as p (node, ref)
"""

UNTOLD = """
select r.id::text, r.what, r.tlp, r.reason, r.at, r.deadline, array_agg(p.node order by p.node),
    array_agg(p.ref order by p.node), array(
        select distinct a from recall_peer b, unnest(b.also) a
        where b.recall = r.id and b.idx is null and b.node = any($1::text[]))
from recall r join recall_peer p on p.recall = r.id
where p.idx is null and p.node = any($1::text[]) group by r.id order by r.at, r.id limit $2
"""

WAITS = """
select exists (select from recall r join recall_peer p on p.recall = r.id
where r.tag = $1 and p.idx is null and p.node = any($2::text[]))
"""

# A reader may dispute what a log that has ended says beyond what it holds of it, and never come to it (P-154): recalls
# that nobody confirmed are told again, but for those who were given the report anew, and that peers' were done.
SAY_AGAIN = (
    f"""
update recall_peer p set gen = null, idx = null from recall r
where r.id = p.recall and r.what = 'purge' and p.idx is not null
    and not exists (select from receipt c where (c.node, c.gen, c.idx) = (p.node, p.gen, p.idx)
        and (c.purged_at is not null or c.code = 'not-owner'))
    and not exists (
        select from log_entry o join log_entry e on {_NAME.format("e")} = {_NAME.format("o")}
        join log_wrap w on w.gen = e.gen and w.idx = e.idx and w.recipient = p.node and w.wrap <> ''
        where o.leaf_hash = p.ref and ({_GIVES}))
""",
    """
insert into receipt_due (origin, leaf_hash, state)
select origin, leaf_hash, case what when 'purge' then 'purged' else 'narrowed' end from recalled
where done_at > now() - interval '90 days'
on conflict do nothing
""",
)

TOLD = "update recall_peer set gen = $2, idx = $3 where recall = $1::uuid and node = any($4::text[])"

# Whom any version was sealed to, with the newest entry that each was sent.
RECIPIENTS = f"""
select distinct on (w.recipient) w.recipient, e.leaf_hash
from ({ENTRIES}) e join log_wrap w on w.gen = e.gen and w.idx = e.idx and w.wrap <> ''
order by w.recipient, e.gen desc, e.idx desc
"""

# What was taken back of a peer is served to it no more.
SHRED = f"""
update log_wrap w set wrap = '' from ({ENTRIES}) e
where w.gen = e.gen and w.idx = e.idx and w.recipient = any($2::text[])
"""

SHRED_PASSED = """
update log_wrap w set wrap = '' from onward o
where o.by = $2 and o.report_id = $1 and w.gen = o.gen and w.idx = o.idx and w.recipient = any($3::text[])
"""

LEAVE_OUT = """
update report set audience = array(select a from unnest(audience) a where a <> all($2::text[]))
where id = any($1::text[])
"""

# Of a report that is erased here nothing says its name: the header of the entry that was sent is gone.
_OF_PEER = r"""
select r.id::text as recall, r.tag,
    convert_from(substring(e.leaf from position('\x226964223a22'::bytea in e.leaf) + 6 for 46), 'UTF8') as report_id,
    r.what, r.tlp, r.reason, r.by, r.at, r.deadline, r.erased, p.node, p.gen, p.idx, c.sent_at,
    c.verified_at, c.outcome, c.code, c.waiting_at,
    case r.what when 'purge' then c.purged_at else c.narrowed_at end as done_at
from recall r join recall_peer p on p.recall = r.id
left join receipt c on c.node = p.node and c.gen = p.gen and c.idx = p.idx
left join log_entry e on e.leaf_hash = p.ref
"""
OF_REPORT = f"{_OF_PEER} where r.tag = $1 order by r.at, r.id, p.node"
# Who is late comes first: however many there are since, nobody loses sight of them.
ALL = f"""
select * from ({_OF_PEER}) o
order by done_at is null and deadline < $2 and code is distinct from 'not-owner' desc, at desc, recall, node limit $1
"""
TITLES = "select id, name from report where id = any($1::text[])"
# Who has it from its author by now owes us nothing; who was removed from the peers will say nothing more.
OVERDUE = f"""
select distinct node from ({_OF_PEER}) o
where done_at is null and deadline < $1 and code is distinct from 'not-owner'
    and exists (select from peer p where p.node_id = o.node and p.state <> 'removed')
"""

STORE = """
insert into recalled (leaf_hash, origin, what, tlp, entries, reason, at, deadline)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing
"""

# Nothing but what is held: the header of an entry that was not taken may name whatever it likes.
_REACHED = """array(
    select distinct h.id from remote_entry e join report h on h.id = e.report_id
    where e.origin = r.origin and e.leaf_hash = any(r.entries) and e.report_id is not null
        and (h.origin = r.origin or exists (
            select from passed p where p.report_id = h.id and p.ver = h.ver and p.through = r.origin))
        and not exists (  -- its author has given it anew since
            select from remote_entry m where h.origin = r.origin and m.origin = r.origin and m.leaf_hash = r.leaf_hash
                and (m.gen, m.idx) < (h.log_gen, h.log_index)) order by 1)"""
_RECALLED = f"""
select leaf_hash, origin, what, tlp, entries, reason, at, deadline, stored_at, done_at, done_by, {_REACHED},
    {unsaid("r")}
from recalled r
"""
OPEN = f"""
{_RECALLED} where done_at is null and ($2::text is null or origin = $2) and not {unsaid("r")}
    and leaf_hash <> all($3::bytea[]) and ($4::timestamptz is null or (stored_at, leaf_hash) > ($4, $5::bytea))
order by stored_at, leaf_hash limit $1
"""
ONE = f"{_RECALLED} where leaf_hash = $1"
WAITING = f"""
select exists (select from recalled c join remote_entry e on e.origin = c.origin and e.leaf_hash = any(c.entries)
where c.done_at is null and e.report_id = $1 and not {unsaid("c")})
"""
LATELY = f"{_RECALLED} where done_at is null or done_at > now() - interval '30 days' order by stored_at desc limit $1"

DONE = """
update recalled set done_at = now(), done_by = $2, reports = $3,
    reason = case when $4 then reason end
where leaf_hash = $1 and done_at is null
"""

NAMED = """
select e from recalled, unnest(entries) e
where origin = $1 and what = 'purge' and entries && $2::bytea[] and e = any($2::bytea[])
"""

# What entries of a peer's log brought here, and whose the report held is: also its who passed it on, while it is held
# through that one alone.
CARRIED = """
select e.leaf_hash, e.report_id, case when exists (
        select from passed p where p.report_id = h.id and p.ver = h.ver and p.through = $1) then $1 else h.origin end
from remote_entry e left join report h on h.id = e.report_id
where e.origin = $1 and e.leaf_hash = any($2::bytea[]) and e.report_id is not null
"""

# The line of the audit log that tells of such an entry forgets the name that its header gave.
_FORGET = """
    set object = null, salt = null from gone g
    where a.object = 'report:' || g.report_id and a.action in ('entry.refused', 'entry.quarantined')
        and a.who in ('peer:' || $1, 'peer:' || g.via)
        and (a.detail ->> 'gen', a.detail ->> 'index') = (g.gen::text, g.idx::text)
"""

LET_GO = f"""
with gone as (
    select origin, gen, idx, report_id, via from remote_entry
    where origin = $1 and leaf_hash = any($2::bytea[]) and outcome in ('refused', 'quarantined')
), lines as (update audit_line a {_FORGET}), waiting as (update audit_waiting a {_FORGET}), nameless as (
    update remote_entry r set report_id = null, ver = null from gone g
    where r.origin = g.origin and r.gen = g.gen and r.idx = g.idx
)
delete from quarantine q using gone where q.origin = $1 and q.gen = gone.gen and q.idx = gone.idx
"""

PASSED_ON = """
select distinct on (o.report_id, node) o.report_id, node, o.leaf_hash from onward o, unnest(o.recipients) as node
where o.by = $2 and o.report_id = any($1::text[]) order by o.report_id, node, o.gen desc, o.idx desc
"""

# Whom a recall of ours has told as much already, of the very entry that is the newest that each was sent.
TOLD_SO = """
with ranks as (
    select * from unnest(array['clear', 'green', 'amber', 'amber+strict', 'red']) with ordinality as t (tlp, rank)
)
select p.node, p.ref from recall r join recall_peer p on p.recall = r.id
where r.tag = $1 and (r.what = 'purge' or $2 = 'narrow'
    and (select rank from ranks where tlp = r.tlp) >= (select rank from ranks where tlp = $3))
"""

# The stricter of two markings counts, of earlier versions too; but who passed a version on ($3) speaks of that alone.
NARROW = """
with ranks as (
        select * from unnest(array['clear', 'green', 'amber', 'amber+strict', 'red']) with ordinality as t (tlp, rank)
    ),
    milder as (select tlp from ranks where rank < (select rank from ranks where tlp = $2)),
    versions as (
        update report_version v set tlp = $2 where report_id = any($1::text[]) and tlp in (select tlp from milder)
            and (exists (select from report r where r.id = v.report_id and r.origin = $3) or exists (
                select from passed p where p.report_id = v.report_id and p.ver = v.ver and p.through = $3))
    ), said as (
        update remark k set tlp = $2 where report_id = any($1::text[]) and tlp in (select tlp from milder)
            and (exists (select from report r where r.id = k.report_id and r.origin = $3) or exists (
                select from passed p where p.report_id = k.report_id and p.ver = k.ver and p.through = $3))
    )
update report set tlp = $2 where id = any($1::text[]) and tlp in (select tlp from milder)
"""


async def add(conn: Connection, new: NewRecall) -> None:
    """Keep a recall of ours and whom it goes to, inside the caller's transaction."""
    await conn.execute(
        ADD,
        new.id,
        new.tag,
        new.what,
        new.tlp,
        new.reason,
        new.by,
        new.at,
        new.deadline,
        new.erased,
        list(new.peers),
        list(new.peers.values()),
        new.author,
    )


async def untold(conn: Connection, peers: Sequence[str], limit: int) -> list[Untold]:
    """Recalls that some of `peers` (NodeIDs) have not been told in our log, oldest first."""
    rows = await conn.fetch(UNTOLD, list(peers), limit)
    return [Untold(*row[:6], tuple(zip(row[6], row[7], strict=True)), tuple(row[8])) for row in rows]  # type: ignore[call-arg]  # six


async def waits(conn: Connection, tag: bytes, peers: Sequence[str]) -> bool:
    """Whether a recall of the report with this keyed hash is still to be told to one of `peers` (NodeIDs)."""
    found: bool = await conn.fetchval(WAITS, tag, list(peers))
    return found


async def say_again(conn: Connection) -> None:
    """In the transaction that begins a log: recalls that nobody confirmed wait again; that peers' are done is owed."""
    for statement in SAY_AGAIN:
        await conn.execute(statement)


async def told(conn: Connection, recall: str, gen: int, index: int, nodes: Sequence[str]) -> None:
    """Our log says it to these."""
    await conn.execute(TOLD, recall, gen, index, list(nodes))


async def recipients(conn: Connection, report_id: str) -> dict[str, bytes]:
    """Whom any version of an own report was sealed to (NodeIDs), with the newest entry that each was sent."""
    return {row[0]: row[1] for row in await conn.fetch(RECIPIENTS, [report_id])}


async def shred(conn: Connection, report_id: str, nodes: Sequence[str]) -> None:
    """Serve these nothing any more of what stands in our log of the report."""
    await conn.execute(SHRED, [report_id], list(nodes))


async def shred_passed(conn: Connection, report_id: str, us: str, nodes: Sequence[str]) -> None:
    """Serve these nothing any more of what `us` passed on of another's report."""
    await conn.execute(SHRED_PASSED, report_id, us, list(nodes))


async def leave_out(conn: Connection, report_id: str, nodes: Sequence[str]) -> None:
    """Send these no later version of the report."""
    await conn.execute(LEAVE_OUT, [report_id], list(nodes))


async def of_report(conn: Connection, tag: bytes) -> list[OfPeer]:
    """How far recalls of the report with this keyed hash got."""
    return [OfPeer(*row) for row in await conn.fetch(OF_REPORT, tag)]


async def newest(conn: Connection, limit: int, now: datetime) -> list[OfPeer]:
    """How far our recalls got: first where a peer is late, then the newest."""
    return [OfPeer(*row) for row in await conn.fetch(ALL, limit, now)]


async def titles(conn: Connection, report_ids: Sequence[str]) -> dict[str, str]:
    """What the reports of these that are held are called."""
    return {row[0]: row[1] for row in await conn.fetch(TITLES, list(report_ids))}


async def overdue(conn: Connection, now: datetime) -> list[str]:
    """Peers (NodeIDs) that have not said by the deadline that they have done what a recall of ours asks.

    Not those that a person has removed since: the list of recalls goes on to show them.
    """
    return [row[0] for row in await conn.fetch(OVERDUE, now)]


async def carried(
    conn: Connection, origin: str, entries: Sequence[bytes]
) -> dict[bytes, tuple[str, str | None]]:
    """By leaf hash: the report that an entry of `origin`'s log brought here, and the NodeID that it belongs to."""
    return {row[0]: (row[1], row[2]) for row in await conn.fetch(CARRIED, origin, list(entries))}


async def passed_on(conn: Connection, report_ids: Sequence[str], us: str) -> dict[str, dict[str, bytes]]:
    """Whom `us` passed reports of others on to: report → NodeID → leaf hash of the newest entry that did."""
    found: dict[str, dict[str, bytes]] = {}
    for report_id, node, leaf_hash in await conn.fetch(PASSED_ON, list(report_ids), us):
        found.setdefault(report_id, {})[node] = leaf_hash
    return found


async def told_so(conn: Connection, tag: bytes, what: str, tlp: str) -> set[tuple[str, bytes]]:
    """(NodeID, leaf hash of the entry) of whom a recall of ours tells as much of the report with this keyed hash."""
    return {tuple(row) for row in await conn.fetch(TOLD_SO, tag, what, tlp)}


async def named(conn: Connection, origin: str, entries: Sequence[bytes]) -> set[bytes]:
    """Which entries of `origin`'s log it has taken back: whoever hands them on now, they are not taken any more."""
    return {row[0] for row in await conn.fetch(NAMED, origin, list(entries))}


async def store(
    conn: Connection,
    leaf_hash: bytes,
    origin: str,
    *,
    what: str,
    tlp: str,
    entries: Sequence[bytes],
    reason: str,
    at: datetime,
    deadline: datetime,
) -> None:
    """Keep a peer's recall until it is done."""
    await conn.execute(STORE, leaf_hash, origin, what, tlp, list(entries), reason, at, deadline)


async def open_ones(
    conn: Connection,
    limit: int,
    origin: str | None = None,
    *,
    but: Collection[bytes] = (),
    after: Recalled | None = None,
) -> list[Recalled]:
    """Peers' recalls that are not done, oldest first; `origin`: of that peer (NodeID) alone.

    `but`: without these (leaf hashes); `after`: those that follow on that one.
    """
    place = (None, None) if after is None else (after.stored_at, after.leaf_hash)
    return [_recalled(row) for row in await conn.fetch(OPEN, limit, origin, list(but), *place)]


async def waiting(conn: Connection, report_id: str) -> bool:
    """Whether a peer's recall of this report is here, and not done."""
    found: bool = await conn.fetchval(WAITING, report_id)
    return found


async def lately(conn: Connection, limit: int) -> list[Recalled]:
    """Peers' recalls that are not done or were of late, newest first."""
    return [_recalled(row) for row in await conn.fetch(LATELY, limit)]


async def one(conn: Connection, leaf_hash: bytes) -> Recalled | None:
    """A peer's recall, by the hash of the entry that says so."""
    row = await conn.fetchrow(ONE, leaf_hash)
    return None if row is None else _recalled(row)


async def let_go(conn: Connection, origin: str, entries: Sequence[bytes]) -> None:
    """Leave nothing of what was not taken of these entries of `origin`'s log."""
    await conn.execute(LET_GO, origin, list(entries))


async def done(conn: Connection, leaf_hash: bytes, *, by: str | None, reports: int, keep: bool) -> None:
    """It was obeyed; `by`: who decided so, None: by itself. `keep`: the reason, so that its author can have it back."""
    await conn.execute(DONE, leaf_hash, by, reports, keep)


async def narrow(conn: Connection, report_ids: Sequence[str], tlp: str, by: str) -> None:
    """What is held of these reports is marked at least so; `by`: NodeID of their author, or of who passed them on."""
    await conn.execute(NARROW, list(report_ids), tlp, by)


def _recalled(row: tuple[object, ...]) -> Recalled:
    values = list(row)
    values[4], values[11] = tuple(row[4]), tuple(row[11])  # type: ignore[arg-type]  # arrays of the database
    return Recalled(*values)  # type: ignore[arg-type]  # the columns of the statement
