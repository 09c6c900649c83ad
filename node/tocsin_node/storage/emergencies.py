"""Emergencies in Postgres: what was called, by whom, about which report. The call with the highest count stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tocsin_node.storage.disputed import CALL, disputed, over, unvouched
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place

Rang = Literal["emergency", "ordinary", "silent", "late"]


@dataclass(frozen=True, slots=True)
class NewEmergency:
    """An emergency that is heard of for the first time. `local`: nobody but our own people is called."""

    id: str
    key: str
    report_id: str
    origin: str
    drill: bool
    since: datetime
    rang: Rang
    local: bool = False


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call about to be stored. `steps`: JSON. `audience`: NodeIDs it was sealed to, `by`: who said it (own only)."""

    emergency: str
    seq: int
    ver: int
    state: str
    reason: str
    steps: str
    tlp: str
    at: datetime
    sha256: bytes
    place: Place | None = None
    by: str | None = None
    audience: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredEmergency:
    """An emergency as its newest call has it. `steps`: JSON; `said_at`: when that call was said, `heard_at` stored.

    `audience`: NodeIDs that any call of it was sealed to; `by`: who of us said the newest. `marking`: the report's TLP
    now; `name`: its title. `said`: the word of everybody who says whether it is affected. `disputed`: its author has
    ended the log before each of its calls; else the newest that is not disputed stands.
    `gen`: the log's in which that call came.
    """

    id: str
    key: str
    report_id: str
    origin: str
    drill: bool
    local: bool
    since: datetime
    rang: Rang
    stored_at: datetime
    nth: int
    seq: int
    ver: int
    state: str
    reason: str
    steps: str
    tlp: str
    said_at: datetime
    heard_at: datetime
    by: str | None
    sha256: bytes = field(repr=False)
    leaf_hash: bytes | None = field(repr=False)
    audience: list[str]
    alert_id: int | None
    name: str
    report_state: str
    marking: str
    said: list[str]
    disputed: bool
    gen: int | None

    @property
    def open(self) -> bool:
        """Whether it was called and not stood down."""
        return self.state != "stood-down" and not self.disputed


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One call of an emergency, for its history. `told`: how many nodes it was sealed to."""

    seq: int
    ver: int
    state: str
    reason: str
    at: datetime
    by: str | None
    told: int
    heard_at: datetime
    disputed: bool


# `c`, the call that stands for the emergency `e`: the newest that its author vouches for, if there is one.
STANDING_CALL = f"""cross join lateral (select k.*, {disputed("e.origin", "k.log_gen", "k.log_index")} as disputed
    from emergency_call k where k.emergency = e.id order by disputed, k.seq desc limit 1) c"""
_ANSWER_DISPUTED = disputed("w.node", "w.log_gen", "w.log_index")
_REMARK_DISPUTED = disputed("m.node", "m.log_gen", "m.log_index")

_EMERGENCY = f"""
select e.id::text, e.key::text, e.report_id, e.origin, e.drill, e.local, e.since, e.rang, e.stored_at, e.nth,
    c.seq, c.ver, c.state, c.reason, c.steps::text, c.tlp, c.at, c.stored_at, c.by, c.sha256, c.leaf_hash,
    array(select distinct node from emergency_call k, unnest(k.audience) node where k.emergency = e.id order by 1),
    (select a.id from alert a where a.emergency = e.id), r.name, r.state, r.tlp,
    case when e.drill then array(select w.said from emergency_answer w
                                 where w.emergency = e.id and w.stage = 'answered' and not w.revoked
                                     and not {_ANSWER_DISPUTED})
         else array(select m.said from remark m
                    where m.report_id = e.report_id and m.kind = 'exposure' and not m.revoked
                        and not {_REMARK_DISPUTED}) end,
    c.disputed, c.log_gen
from emergency e join report r on r.id = e.report_id
{STANDING_CALL}
"""

GET = f"{_EMERGENCY} where e.id = $1::uuid"

GET_MANY = f"{_EMERGENCY} where e.id = any($1::uuid[])"

OF_ALERT = f"{_EMERGENCY} where e.id = (select a.emergency from alert a where a.id = $1)"

LIST = f"""
{_EMERGENCY} where ($1::bigint is null or e.nth < $1) and (not $2 or c.state <> 'stood-down' and not c.disputed)
    and ($3::bool is null or e.drill = $3)
order by e.nth desc limit $4
"""

OPEN_ABOUT = f"""{_EMERGENCY} where e.report_id = any($1::text[]) and e.origin = $2
    and c.state <> 'stood-down' and not c.disputed order by e.nth"""

INSERT = """
insert into emergency (id, key, report_id, origin, drill, local, since, rang)
values ($1::uuid, $2::uuid, $3, $4, $5, $6, least($7, now()), $8) on conflict (id) do nothing returning id
"""

# Whoever had the author's keys may have said something else under its name.
INSERT_ANEW = """
update emergency set report_id = $2, drill = $3, since = least($4, now()) where id = $1::uuid
"""

WAYS = "select distinct channel from delivery where alert_id = $1 and kind = 'ring'"

SET_RANG = "update emergency set rang = $2 where id = $1::uuid"

INSERT_CALL = f"""
insert into emergency_call as c (emergency, seq, ver, state, reason, steps, tlp, at, by, sha256, audience, log_gen,
    log_index, leaf_hash)
values ($1::uuid, $2, $3, $4, $5, $6::jsonb, $7, least($8, now()), $9, $10, $11, $12, $13, $14)
on conflict (emergency, seq) do update set ver = excluded.ver, state = excluded.state, reason = excluded.reason,
    steps = excluded.steps, tlp = excluded.tlp, at = excluded.at, by = excluded.by, sha256 = excluded.sha256,
    audience = excluded.audience, log_gen = excluded.log_gen, log_index = excluded.log_index,
    leaf_hash = excluded.leaf_hash, stored_at = now()
where {disputed("(select o.origin from emergency o where o.id = c.emergency)", "c.log_gen", "c.log_index")}
returning seq
"""

# What waits to be said of a call that gives way to another; $3: of all that was said.
UNSAY = """
update delivery d set state = 'superseded', held = 'disputed' from alert a
where a.id = d.alert_id and a.emergency = $1::uuid and d.state = 'pending' and d.accepted_at is null
    and (d.kind = 'call' and (d.said ->> 'seq')::integer >= $2 or $3 and d.kind in ('ring', 'escalation', 'call'))
"""

CALLS = f"""
select k.seq, k.ver, k.state, k.reason, k.at, k.by, cardinality(k.audience), k.stored_at, {CALL}
from emergency_call k join emergency o on o.id = k.emergency where k.emergency = $1::uuid order by k.seq
"""

RANG_TODAY = f"""
select count(*) filter (where not disputed), count(*) filter (where disputed) from (
    select {unvouched("e.id")} as disputed from emergency e
    where e.origin = $1 and e.rang = 'emergency' and e.drill = $2 and e.stored_at > now() - interval '24 hours'
    union all
    select {disputed("s.node", "s.gen", "s.idx")} from spent s
    where s.node = $1 and s.what = case when $2 then 'drill' else 'emergency' end
        and s.at > now() - interval '24 hours'
) rang
"""

TOLD_TODAY = f"""
select count(*) from emergency_call k join emergency o on o.id = k.emergency
where k.emergency = $1::uuid and k.stored_at > now() - interval '24 hours' and not {CALL}
"""

SEALED_TO = """
select k.leaf_hash, k.emergency::text, k.ver from emergency_call k join emergency e on e.id = k.emergency
where k.leaf_hash = any($1::bytea[]) and e.origin = $2 and $3 = any(k.audience)
"""

STANDINGS = f"""
select count(*) filter (where not e.drill), count(*) filter (where e.drill),
    (select count(*) from emergency o where o.origin <> $1 and o.stored_at > now() - interval '24 hours'
        and o.rang in ('ordinary', 'silent'))
from emergency e
where not {over("e.id")}
"""


async def get(conn: Connection, emergency_id: str) -> StoredEmergency | None:
    """One emergency."""
    row = await conn.fetchrow(GET, emergency_id)
    return None if row is None else StoredEmergency(*row)


async def of_alert(conn: Connection, alert_id: int) -> StoredEmergency | None:
    """The emergency that an alert is about, if it is about one."""
    row = await conn.fetchrow(OF_ALERT, alert_id)
    return None if row is None else StoredEmergency(*row)


async def held(conn: Connection, ids: Sequence[str]) -> dict[str, StoredEmergency]:
    """Those of `ids` that are known here."""
    return {row[0]: StoredEmergency(*row) for row in await conn.fetch(GET_MANY, list(ids))}


async def listing(
    conn: Connection, *, before: int | None, open_only: bool, drill: bool | None, limit: int
) -> list[StoredEmergency]:
    """Newest first; `before` is the `nth` of the last one seen; `drill`: only drills, or only those that are none."""
    return [StoredEmergency(*row) for row in await conn.fetch(LIST, before, open_only, drill, limit)]


async def open_about(conn: Connection, report_ids: Sequence[str], by: str) -> list[StoredEmergency]:
    """What `by` (NodeID) called about some reports, drills too, and did not stand down; oldest first."""
    return [StoredEmergency(*row) for row in await conn.fetch(OPEN_ABOUT, list(report_ids), by)]


async def calls(conn: Connection, emergency_id: str) -> list[StoredCall]:
    """Everything that was said about an emergency by its author, oldest first."""
    return [StoredCall(*row) for row in await conn.fetch(CALLS, emergency_id)]


async def insert(conn: Connection, new: NewEmergency) -> bool:
    """Store an emergency that is new; False: it is known."""
    done = await conn.fetchval(
        INSERT, new.id, new.key, new.report_id, new.origin, new.drill, new.local, new.since, new.rang
    )
    return done is not None


async def insert_call(conn: Connection, new: NewCall) -> bool:
    """Store a call, in place of a disputed one; False: one of that count is there."""
    place = new.place
    done = await conn.fetchval(
        INSERT_CALL,
        new.emergency,
        new.seq,
        new.ver,
        new.state,
        new.reason,
        new.steps,
        new.tlp,
        new.at,
        new.by,
        new.sha256,
        list(new.audience),
        None if place is None else place.gen,
        None if place is None else place.index,
        None if place is None else place.leaf_hash,
    )
    return done is not None


async def insert_anew(conn: Connection, new: NewEmergency) -> None:
    """What an emergency is about, of which everything that was said before is disputed."""
    await conn.execute(INSERT_ANEW, new.id, new.report_id, new.drill, new.since)


async def unsay(conn: Connection, emergency_id: str, seq: int, *, everything: bool) -> None:
    """Nothing that still waits to be told of calls from that count on goes out, or of the whole emergency."""
    await conn.execute(UNSAY, emergency_id, seq, everything)


async def ways(conn: Connection, alert_id: int) -> list[str]:
    """The channels that an alert was to ring on, whether it did or not."""
    return [row[0] for row in await conn.fetch(WAYS, alert_id)]


async def set_rang(conn: Connection, emergency_id: str, rang: Rang) -> None:
    """It rings after all."""
    await conn.execute(SET_RANG, emergency_id, rang)


async def rang_today(conn: Connection, origin: str, *, drill: bool) -> tuple[int, int]:
    """How many emergencies (or drills) of a node rang as such within 24 hours: those that count, and disputed ones."""
    row = await conn.fetchrow(RANG_TODAY, origin, drill)
    return row[0], row[1]


async def said_today(conn: Connection, emergency_id: str) -> int:
    """How many calls of an emergency came in the last 24 hours."""
    count: int = await conn.fetchval(TOLD_TODAY, emergency_id)
    return count


async def sealed_to(
    conn: Connection, peer: str, us: str, leaf_hashes: Sequence[bytes]
) -> dict[bytes, tuple[str, int]]:
    """Which of some entries are calls of ours that were sealed to `peer`: leaf hash → (emergency, version)."""
    rows = await conn.fetch(SEALED_TO, list(leaf_hashes), us, peer)
    return {row[0]: (row[1], row[2]) for row in rows}


async def standings(conn: Connection, us: str) -> tuple[int, int, int]:
    """How many emergencies and how many drills are open; how many calls of peers were over their limit today."""
    row = await conn.fetchrow(STANDINGS, us)
    return row[0], row[1], row[2]
