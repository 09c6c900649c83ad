"""The peers' logs as we verified them, and what became of every entry addressed to us."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_federation.frames import Frame
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class RemoteLog:
    """How far one origin's log is verified (`size`) and worked through (`next_index`).

    Entries from `next_index` up to `relayed_to` may have come from others, while the origin was away.
    """

    origin: str
    gen: int
    size: int
    frontier: bytes
    note: bytes | None
    next_index: int
    ended: bool = False
    disputed_from: int | None = None
    relayed_to: int = 0


@dataclass(frozen=True, slots=True)
class EntryOutcome:
    """The terminal outcome of one entry. `leaf` and `data_key` (locked): of what was taken, to show it to others."""

    idx: int
    leaf_hash: bytes
    outcome: str
    code: str | None = None
    report_id: str | None = None
    ver: int | None = None
    leaf: bytes | None = None
    data_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An entry that we could not take, kept whole."""

    idx: int
    code: str
    leaf: bytes
    wrap: bytes
    ct: bytes


@dataclass(frozen=True, slots=True)
class KeptLeaf:
    """What is needed to show one entry of a peer. `data_key`: locked."""

    leaf: bytes
    data_key: bytes | None


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """Two notes of one log that contradict each other; `path`: hashes, 32 bytes each, one after the other."""

    held: bytes
    offered: bytes
    path: bytes


@dataclass(frozen=True, slots=True)
class RecentOutcome:
    """One line of an operator's view of a peer."""

    idx: int
    outcome: str
    code: str | None
    report_id: str | None
    at: datetime


OPEN = """
insert into remote_log (origin, gen, frontier) values ($1, $2, $3)
on conflict (origin, gen) do update set origin = excluded.origin
returning origin, gen, size, frontier, note, next_index, ended, disputed_from, relayed_to
"""

STANDING = (
    "select origin, gen, size, frontier, note, next_index, ended, disputed_from, relayed_to from remote_log "
    "where origin = $1 and gen = $2"
)

ADVANCE_HEAD = """
with leaf as (
    insert into remote_leaf (origin, gen, idx, leaf_hash)
    select $1, $2, $3 + n - 1, h from unnest($8::bytea[]) with ordinality as l (h, n)
), checkpoint as (
    insert into remote_checkpoint (origin, gen, size, root, note) values ($1, $2, $4, $5, $7) on conflict do nothing
)
update remote_log set size = $4, root = $5, frontier = $6, note = $7 where origin = $1 and gen = $2 and size = $3
"""

NOTE_AT = "select note from remote_checkpoint where origin = $1 and gen = $2 and size = $3"

RENEW_NOTE = "update remote_log set note = $4 where origin = $1 and gen = $2 and size = $3"

LEAVES = (
    "select leaf_hash from remote_leaf where origin = $1 and gen = $2 and idx >= $3 and idx < $4 order by idx"
)

RECORD = """
with outcome as (
    insert into remote_entry (origin, gen, idx, leaf_hash, outcome, code, report_id, ver, leaf, data_key, via)
    select $1, $2, *, $18 from unnest($5::bigint[], $6::bytea[], $7::text[], $8::text[], $9::text[], $10::int[],
        $16::bytea[], $17::bytea[])
), aside as (
    insert into quarantine (origin, gen, idx, code, leaf, wrap, ct)
    select $1, $2, * from unnest($11::bigint[], $12::text[], $13::bytea[], $14::bytea[], $15::bytea[])
)
update remote_log set next_index = $4 where origin = $1 and gen = $2 and next_index = $3
"""

KEPT = """
select leaf, data_key from remote_entry where origin = $1 and gen = $2 and idx = $3 and leaf is not null
"""

WAITING = """
select q.idx, e.leaf_hash, q.leaf, q.wrap, q.ct
from quarantine q join remote_entry e on e.origin = q.origin and e.gen = q.gen and e.idx = q.idx
where q.origin = $1 and q.gen = $2 and q.code = any($5::text[]) and q.idx > $3 order by q.idx limit $4
"""

FORGET_OUTCOMES = """
with released as (delete from quarantine where origin = $1 and gen = $2 and idx = any($3::bigint[]))
delete from remote_entry where origin = $1 and gen = $2 and idx = any($3::bigint[]) returning leaf_hash, outcome, code
"""

# The codes stand in the text, so that the index of few rows is used however many others are in quarantine.
SET_ASIDE = """
select count(*) from quarantine where code in ('judging-failed', 'storage-unfit', 'storage-conflict')
"""

DISPUTE = "update remote_log set disputed_from = $3 where origin = $1 and gen = $2"

END = "update remote_log set ended = true where origin = $1 and gen = $2"

KEEP_EVIDENCE = """
insert into evidence (origin, code, held, offered, path) values ($1, $2, $3, $4, $5) on conflict do nothing
"""

EVIDENCE_OF = """
select held, offered, path from evidence where origin = $1 and code = 'log-fork' order by id desc limit 1
"""

KEPT_OUT = """
select leaf_hash from remote_entry where leaf_hash = any($2::bytea[]) and origin = $1 and code = 'erased'
"""

COUNTS = "select outcome, code, count(*) from remote_entry where origin = $1 group by outcome, code"

# What our own people erased is kept out because they said so, and nobody has to look at it.
NOT_TAKEN = """
select count(*) from remote_entry
where outcome in ('refused', 'quarantined') and at > now() - interval '24 hours' and code is distinct from 'erased'
"""

RECENT = """
select idx, outcome, code, report_id, at from remote_entry where origin = $1 order by gen desc, idx desc limit $2
"""

# What was passed on counts as its messenger's.
ALERTS_TODAY = """
select (
    select count(*) from alert a left join report r on r.id = a.report_id left join emergency e on e.id = a.emergency
    left join passed p on p.report_id = a.report_id and p.ver = a.ver
    where (coalesce(p.through, r.origin) = $1 or e.origin = $1 and e.rang = 'ordinary')
        and a.raised_at > now() - interval '24 hours'
) + (
    select count(*) from spent where node = $1 and what = 'alert' and at > now() - interval '24 hours'
)
"""


async def open_log(conn: Connection, origin: str, gen: int, empty_frontier: bytes) -> RemoteLog:
    """What we hold of `origin`'s log; begun here when it is new."""
    return await standing(conn, origin, gen) or RemoteLog(
        *await conn.fetchrow(OPEN, origin, gen, empty_frontier)
    )


async def standing(conn: Connection, origin: str, gen: int) -> RemoteLog | None:
    """What we hold of `origin`'s log, if anything."""
    row = await conn.fetchrow(STANDING, origin, gen)
    return None if row is None else RemoteLog(*row)


async def advance_head(
    conn: Connection,
    log: RemoteLog,
    leaves: Sequence[bytes],
    *,
    size: int,
    root: bytes,
    frontier: bytes,
    note: bytes,
) -> None:
    """Keep a verified longer log: its new leaf hashes, its checkpoint, its compact range. All or nothing."""
    await conn.execute(ADVANCE_HEAD, log.origin, log.gen, log.size, size, root, frontier, note, list(leaves))


async def note_at(conn: Connection, log: RemoteLog, size: int) -> bytes | None:
    """The verified note of that size, if there was one."""
    note: bytes | None = await conn.fetchval(NOTE_AT, log.origin, log.gen, size)
    return note


async def renew_note(conn: Connection, log: RemoteLog, note: bytes) -> None:
    """Keep a verified note over the same head: it carries other cosignatures."""
    await conn.execute(RENEW_NOTE, log.origin, log.gen, log.size, note)


async def dispute(conn: Connection, origin: str, gen: int, start: int) -> None:
    """From index `start` on, what `origin`'s log of that generation holds is disputed."""
    await conn.execute(DISPUTE, origin, gen, start)


async def end(conn: Connection, origin: str, gen: int) -> None:
    """Nothing more is to be taken from that generation."""
    await conn.execute(END, origin, gen)


async def leaves(conn: Connection, log: RemoteLog, start: int, stop: int) -> list[bytes]:
    """Verified leaf hashes [start, stop) of `log`."""
    return [row[0] for row in await conn.fetch(LEAVES, log.origin, log.gen, start, stop)]


async def record_outcomes(
    conn: Connection,
    log: RemoteLog,
    outcomes: Sequence[EntryOutcome],
    quarantined: Sequence[Quarantined],
    *,
    next_index: int,
    via: str | None = None,
) -> None:
    """Write the outcomes and move the cursor from `log.next_index` to `next_index`, inside the caller's transaction.

    `via`: NodeID of who handed them on; then the cursor stays where it is. Raises: StorageError when an entry has an
    outcome already (two followers of one log).
    """
    await conn.execute(
        RECORD,
        log.origin,
        log.gen,
        log.next_index,
        next_index,
        [o.idx for o in outcomes],
        [o.leaf_hash for o in outcomes],
        [o.outcome for o in outcomes],
        [o.code for o in outcomes],
        [o.report_id for o in outcomes],
        [o.ver for o in outcomes],
        [q.idx for q in quarantined],
        [q.code for q in quarantined],
        [q.leaf for q in quarantined],
        [q.wrap for q in quarantined],
        [q.ct for q in quarantined],
        [o.leaf for o in outcomes],
        [o.data_key for o in outcomes],
        via,
    )


async def kept(conn: Connection, origin: str, gen: int, idx: int) -> KeptLeaf | None:
    """What was kept of an entry that was taken."""
    row = await conn.fetchrow(KEPT, origin, gen, idx)
    return None if row is None else KeptLeaf(*row)


async def waiting(
    conn: Connection, log: RemoteLog, after: int, limit: int, codes: Sequence[str]
) -> list[tuple[bytes, Frame]]:
    """(leaf hash, frame) of entries that could not be taken when they came, for one of the reasons `codes`.

    Those above index `after`, ascending, `limit` at most.
    """
    rows = await conn.fetch(WAITING, log.origin, log.gen, after, limit, list(codes))
    return [(row[1], Frame(row[0], *row[2:])) for row in rows]


async def forget_outcomes(
    conn: Connection, log: RemoteLog, indices: Sequence[int]
) -> set[tuple[bytes, str, str | None]]:
    """Take entries out of quarantine, to be given a new outcome inside the caller's transaction.

    Returns what they had: leaf hash, outcome, code.
    """
    return {tuple(row) for row in await conn.fetch(FORGET_OUTCOMES, log.origin, log.gen, list(indices))}


async def set_aside(conn: Connection) -> int:
    """How many entries are in quarantine by a fault of this program."""
    count: int = await conn.fetchval(SET_ASIDE)
    return count


async def keep_evidence(
    conn: Connection, origin: str, code: str, *, held: bytes, offered: bytes, path: bytes
) -> None:
    """Keep two checkpoints of `origin` that contradict each other, and the hashes (32 bytes each) that show it."""
    await conn.execute(KEEP_EVIDENCE, origin, code, held, offered, path)


async def evidence_of(conn: Connection, origin: str) -> StoredEvidence | None:
    """The newest proof that `origin` has forked its log."""
    row = await conn.fetchrow(EVIDENCE_OF, origin)
    return None if row is None else StoredEvidence(*row)


async def outcome_counts(conn: Connection, origin: str) -> list[tuple[str, str | None, int]]:
    """(outcome, code, how many) over all entries of `origin` addressed to us."""
    return [tuple(row) for row in await conn.fetch(COUNTS, origin)]


async def kept_out(conn: Connection, origin: str, entries: Sequence[bytes]) -> set[bytes]:
    """Those of the entries of a peer's log (leaf hashes) that were refused because they were erased here."""
    return {row[0] for row in await conn.fetch(KEPT_OUT, origin, list(entries))}


async def not_taken_in_a_day(conn: Connection) -> int:
    """How many entries addressed to us were refused or quarantined in the last 24 hours; not what was erased."""
    count: int = await conn.fetchval(NOT_TAKEN)
    return count


async def recent(conn: Connection, origin: str, limit: int) -> list[RecentOutcome]:
    """The newest outcomes, newest first."""
    return [RecentOutcome(*row) for row in await conn.fetch(RECENT, origin, limit)]


async def alerts_in_a_day(conn: Connection, origin: str) -> int:
    """How many alerts `origin` has raised here in the last 24 hours: by reports, and by calls past their limit."""
    count: int = await conn.fetchval(ALERTS_TODAY, origin)
    return count
