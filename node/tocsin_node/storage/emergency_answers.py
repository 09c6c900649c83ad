"""How far each call got, at whom: what peers told us, what we tell them, and what there is to tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_federation.calls import Said, Stage
from tocsin_node.storage.disputed import disputed, over
from tocsin_node.storage.emergencies import STANDING_CALL
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """What a node says about an emergency at one stage. `said`: its word, of the stage answered; `by`: who of us.

    `place`: where in its log a peer says so.
    """

    emergency: str
    node: str
    stage: str
    at: datetime
    said: str | None = None
    revoked: bool = False
    by: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """How far a call got at a node. `first_at`: when it first got there; `heard_at`: when we first heard of it.

    `revoked`: it was taken back, or stands where its node's log is disputed (P-253).
    """

    node: str
    stage: str
    said: str | None
    first_at: datetime
    at: datetime
    revoked: bool
    heard_at: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class Untold:
    """Something that the caller of an emergency has not been told as it stands."""

    emergency: str
    report_id: str
    origin: str
    ver: int
    leaf_hash: bytes
    stage: Stage
    at: datetime
    said: Said | None
    revoked: bool


# One word after the other: how many have answered is counted with each.
LOCK = "select id from emergency where id = $1::uuid for update"

# A word is not earlier than the emergency and not later than it comes here: clocks of others may say anything.
_DISPUTED = disputed("emergency_answer.node", "emergency_answer.log_gen", "emergency_answer.log_index")

RECORD = f"""
insert into emergency_answer (emergency, node, stage, said, first_at, at, by, revoked, log_gen, log_index)
select e.id, $2, $3, $4, w.at, w.at, $6, $7, $8, $9
from emergency e, least(greatest($5::timestamptz, e.since), now()) as w (at) where e.id = $1::uuid
on conflict (emergency, node, stage) do update set said = excluded.said, at = excluded.at, by = excluded.by,
    revoked = excluded.revoked, log_gen = excluded.log_gen, log_index = excluded.log_index,
    first_at = case when emergency_answer.revoked or {_DISPUTED} then excluded.first_at
                    else emergency_answer.first_at end
"""

RECORD_NEWER = f"""
{RECORD.rstrip()}
where emergency_answer.at < excluded.at returning node
"""

# What a room answered in earnest, and nobody said on the report since.
UNREMARKED = f"""
select w.emergency::text, w.said from emergency_answer w join emergency e on e.id = w.emergency
where w.node = $1 and w.stage = 'answered' and not w.revoked and not e.drill
    and not {over("e.id")}
    and not exists (select from remark r where r.report_id = e.report_id and r.node = $1 and r.kind = 'exposure'
                    and (not r.revoked and r.said = w.said or r.stored_at > w.at))
order by w.at
"""

OF_EMERGENCY = f"""
select node, stage, said, first_at, at, revoked or {_DISPUTED}, heard_at, by from emergency_answer
where emergency = $1::uuid order by first_at, node, stage
"""

# How far a call got here. When that is taken back, `at` is null.
_STAGES = """
cross join lateral (
    select 'stored' as stage, e.stored_at as at, null::text as said
    union all
    select 'rung', min(d.accepted_at), null from alert a join delivery d on d.alert_id = a.id
    where a.emergency = e.id and d.kind = 'ring'
    union all
    select 'acknowledged', min(k.at), null from alert a join act k on k.alert_id = a.id and k.kind = 'ack'
    where a.emergency = e.id and k.node is null and k.revoked_at is null
    union all
    select 'answered', w.first_at, w.said from emergency_answer w
    where w.emergency = e.id and w.node = $1 and w.stage = 'answered' and not w.revoked
) s
"""

HERE = f"select s.stage, s.at, s.said from emergency e {_STAGES} where e.id = $2::uuid and s.at is not null"

# In earnest our answer is a remark, which goes its own way. Of what rang nobody its caller has our receipt: a peer that
# calls without end has us write so many answers as it may ring, and no more (P-286).
UNTOLD = f"""
select e.id::text, e.report_id, e.origin, c.ver, c.leaf_hash, s.stage, coalesce(s.at, now()),
    coalesce(s.said, t.said), s.at is null
from emergency e
{STANDING_CALL}
{_STAGES}
left join emergency_told t on t.emergency = e.id and t.stage = s.stage
where e.origin <> $1 and e.origin = any($2::text[]) and c.leaf_hash is not null and not c.disputed
    and e.stored_at > now() - interval '30 days' and e.rang in ('emergency', 'ordinary')
    and (e.drill or s.stage <> 'answered')
    and case when t.emergency is null then s.at is not null
             else t.revoked <> (s.at is null) or s.at is not null and t.said is distinct from s.said end
order by e.nth, s.at limit $3
"""

MARK_TOLD = """
insert into emergency_told (emergency, stage, said, revoked, log_index) values ($1::uuid, $2, $3, $4, $5)
on conflict (emergency, stage) do update set said = excluded.said, revoked = excluded.revoked,
    log_index = excluded.log_index
"""


async def record(conn: Connection, new: NewAnswer) -> None:
    """Keep what a node says: one row an emergency, node and stage, the latest word counts.

    Who says something about the same emergency at the same time waits for the end of this transaction.
    """
    await conn.fetchval(LOCK, new.emergency)
    await conn.execute(RECORD, *_row(new))


async def record_newer(conn: Connection, new: NewAnswer) -> bool:
    """The same, unless as late a word of that node is kept; whether it was."""
    await conn.fetchval(LOCK, new.emergency)
    done = await conn.fetchval(RECORD_NEWER, *_row(new))
    return done is not None


async def unremarked(conn: Connection, us: str) -> list[tuple[str, Said]]:
    """(emergency, word) of what we answered to emergencies that are open, where our remark says something else yet."""
    return [(row[0], row[1]) for row in await conn.fetch(UNREMARKED, us)]


async def of_emergency(conn: Connection, emergency_id: str) -> list[StoredAnswer]:
    """What every node said about an emergency, what it took back too; oldest first."""
    return [StoredAnswer(*row) for row in await conn.fetch(OF_EMERGENCY, emergency_id)]


async def here(conn: Connection, us: str, emergency_id: str) -> dict[str, tuple[datetime, str | None]]:
    """How far the call got at our own house: stage → (when, in which word)."""
    return {row[0]: (row[1], row[2]) for row in await conn.fetch(HERE, us, emergency_id)}


async def untold(conn: Connection, us: str, origins: Sequence[str], limit: int) -> list[Untold]:
    """What those of `origins` (NodeIDs) who called us do not know yet, of the last 30 days."""
    return [Untold(*row) for row in await conn.fetch(UNTOLD, us, list(origins), limit)]


async def mark_told(conn: Connection, told: Untold, index: int) -> None:
    """Our log entry `index` tells the caller."""
    await conn.execute(MARK_TOLD, told.emergency, told.stage, told.said, told.revoked, index)


def _row(new: NewAnswer) -> tuple[object, ...]:
    place = () if new.place is None else (new.place.gen, new.place.index)
    said = (new.emergency, new.node, new.stage, new.said, new.at, new.by, new.revoked)
    return (*said, *(place or (None, None)))
