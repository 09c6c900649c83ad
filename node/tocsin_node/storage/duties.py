"""Duties in Postgres: what is owed, the history of each, and which warnings went out. Nothing is ever deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.actor import NODE, person
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Reckoned:
    """One stage of a duty as the rule has it now; `facts` is JSON."""

    regime: str
    stage: str
    nth: int
    standing: str
    in_force: bool
    start_at: datetime | None
    due_conservative: datetime | None
    due_legal: datetime | None
    sort_at: datetime
    facts: str


@dataclass(frozen=True, slots=True)
class StoredDuty:
    """A duty as it is kept; `facts` is JSON, `name`, `tlp`, `grade` are the report's, `warned` percents."""

    id: int
    report_id: str
    regime: str
    stage: str
    nth: int
    standing: str
    state: str
    in_force: bool
    start_at: datetime | None
    start_stated: bool
    due_conservative: datetime | None
    due_legal: datetime | None
    sort_at: datetime
    facts: str
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    done_at: datetime | None
    reference: str | None
    missed_at: datetime | None
    created_at: datetime
    name: str
    tlp: str
    grade: str
    origin: str
    warned: list[int]


@dataclass(frozen=True, slots=True)
class Event:
    """One step in the history of a duty. `by`: a named person; None: the rule or the clock."""

    at: datetime
    what: str
    by: str | None
    via: str | None
    said: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How the clocks are: open duties of which 50 % and 80 % have run."""

    half: int
    late: int


_DUTY = """d.id, d.report_id, d.regime, d.stage, d.nth, d.standing, d.state, d.in_force, d.start_at, d.start_stated,
    d.due_conservative, d.due_legal, d.sort_at, d.facts, d.decided_by, d.decided_at, d.reason, d.done_at, d.reference,
    d.missed_at, d.created_at, r.name, r.tlp, r.grade, r.origin,
    array(select w.percent::integer from duty_warning w where w.duty_id = d.id and w.due = d.due_conservative
          order by w.percent) as warned"""
_OPEN = "d.state in ('proposed', 'confirmed') and d.in_force and d.standing <> 'no-longer'"

# Reports of ours, and those a person asked for, that changed or were never looked at, or are judged by other rules now.
UNLOOKED = """
select r.id from report r left join duty_subject s on s.report_id = r.id
where (r.origin = $1 or s.tracked_at is not null) and (s.report_id is null or s.ver <> r.ver or s.basis <> $2)
order by r.seq limit $3
"""

# The row is locked by this until the transaction ends: one report is reckoned once at a time.
LOOKED = """
insert into duty_subject (report_id, ver, basis, looked_at) values ($1, $2, $3, $4)
on conflict (report_id) do update set ver = excluded.ver, basis = excluded.basis, looked_at = excluded.looked_at
returning tracked_at is not null
"""

TRACK = """
insert into duty_subject (report_id, ver, basis, looked_at, tracked_by, tracked_reason, tracked_at)
select id, 0, ''::bytea, $4, $2, $3, $4 from report where id = $1
on conflict (report_id) do update set tracked_by = coalesce(duty_subject.tracked_by, excluded.tracked_by),
    tracked_reason = coalesce(duty_subject.tracked_reason, excluded.tracked_reason),
    tracked_at = coalesce(duty_subject.tracked_at, excluded.tracked_at)
returning report_id
"""

INSERT = """
insert into duty (report_id, regime, stage, nth, standing, in_force, start_at, due_conservative, due_legal, sort_at,
    facts, state, decided_by, decided_at, reason, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14, $15, $16)
returning id
"""

RECKON = """
update duty set standing = $2, in_force = $3, start_at = $4, due_conservative = $5, due_legal = $6, sort_at = $7,
    facts = $8::jsonb
where id = $1
"""

# Steps that the audit log knows of: what people decide, and that a date has passed. What is reckoned follows from them.
AUDITED = {
    "confirmed": "duty.confirm",
    "dismissed": "duty.dismiss",
    "done": "duty.done",
    "missed": "duty.missed",
}

NO_LONGER = "update duty set standing = 'no-longer' where id = $1"

DECIDE = """
update duty set state = $3, decided_by = $4, decided_at = $5, reason = $6
where report_id = $1 and regime = $2 and state in ('proposed', 'confirmed', 'dismissed')
returning id
"""

STATE_START = "update duty set start_at = $2, start_stated = true where id = $1"

SETTLE = """
update duty set state = 'done', done_at = $2, reference = $3, decided_by = coalesce(decided_by, $4),
    decided_at = coalesce(decided_at, $5)
where id = $1
"""

MISS = "update duty set missed_at = $2 where id = $1 and missed_at is null"

WARN = """
insert into duty_warning (duty_id, percent, due, at, alert_id) values ($1, $2, $3, $4, $5) on conflict do nothing
returning percent
"""

NOTE = "insert into duty_event (duty_id, at, what, by, via, said) values ($1, $2, $3, $4, $5, $6)"

GET = f"select {_DUTY} from duty d join report r on r.id = d.report_id where d.id = $1"

LOCK = "select report_id from duty_subject where report_id = (select report_id from duty where id = $1) for update"

OF_REPORT = f"""
select {_DUTY} from duty d join report r on r.id = d.report_id where d.report_id = $1 order by d.sort_at, d.id
"""

LIST = f"""
select {_DUTY} from duty d join report r on r.id = d.report_id
where (d.sort_at, d.id) > ($1, $2) and ($3::text is null or d.report_id = $3) and (not $4 or {_OPEN})
order by d.sort_at, d.id limit $5
"""

# Reports with a clock that has crossed a threshold nobody was told of, or a legal date that nobody has noted.
RUN = f"""
select distinct d.report_id from duty d
where {_OPEN} and d.start_at is not null and d.due_conservative is not null
  and $1 >= d.start_at + (d.due_conservative - d.start_at) * 0.5
  and (d.missed_at is null and d.due_legal <= $1
       or (select count(*) from duty_warning w where w.duty_id = d.id and w.due = d.due_conservative) <
          (case when $1 >= d.due_conservative then 3
                when $1 >= d.start_at + (d.due_conservative - d.start_at) * 0.8 then 2 else 1 end))
order by d.report_id limit $2
"""

HISTORY = "select at, what, by, via, said from duty_event where duty_id = $1 order by id"

STANDING = f"""
select count(*),
    count(*) filter (where $1 >= d.start_at + (d.due_conservative - d.start_at) * 0.8)
from duty d
where {_OPEN} and d.start_at is not null and $1 >= d.start_at + (d.due_conservative - d.start_at) * 0.5
"""


async def unlooked(conn: Connection, node_id: str, basis: bytes, limit: int) -> list[str]:
    """Reports whose duties have to be reckoned (anew)."""
    return [row[0] for row in await conn.fetch(UNLOOKED, node_id, basis, limit)]


async def looked(conn: Connection, report_id: str, ver: int, basis: bytes, now: datetime) -> bool:
    """Note that a version was looked at, and hold its row; returns whether a person tracks the report."""
    tracked: bool = await conn.fetchval(LOOKED, report_id, ver, basis, now)
    return tracked


async def track(conn: Connection, report_id: str, *, by: str, reason: str | None, now: datetime) -> bool:
    """Reckon the duties of a report from now on; False when there is no such report."""
    async with conn.transaction():
        there = await conn.fetchval(TRACK, report_id, by, reason, now) is not None
        if there:
            await audit.note(conn, Act("duty.track", f"report:{report_id}", actor=person(by)))
    return there


async def insert(
    conn: Connection, report_id: str, new: Reckoned, like: StoredDuty | None, now: datetime
) -> int:
    """Store a new duty; `like` is another of its regime whose decision it shares."""
    decision = ("proposed", None, None, None)
    if like is not None and like.decided_by is not None:
        state = "dismissed" if like.state == "dismissed" else "confirmed"
        decision = (state, like.decided_by, like.decided_at, like.reason)  # type: ignore[assignment]  # all of one kind
    duty_id: int = await conn.fetchval(
        INSERT,
        report_id,
        new.regime,
        new.stage,
        new.nth,
        new.standing,
        new.in_force,
        new.start_at,
        new.due_conservative,
        new.due_legal,
        new.sort_at,
        new.facts,
        *decision,
        now,
    )
    return duty_id


async def reckon(conn: Connection, duty_id: int, new: Reckoned) -> None:
    """Put what the rule says now in the place of what it said."""
    await conn.execute(
        RECKON,
        duty_id,
        new.standing,
        new.in_force,
        new.start_at,
        new.due_conservative,
        new.due_legal,
        new.sort_at,
        new.facts,
    )


async def no_longer(conn: Connection, duty_id: int) -> None:
    """The rule does not ask for it any more."""
    await conn.execute(NO_LONGER, duty_id)


async def decide(
    conn: Connection, duty: StoredDuty, state: str, *, by: str, reason: str | None, now: datetime
) -> list[int]:
    """A person's decision about a whole regime for a report; returns the duties that it changed."""
    rows = await conn.fetch(DECIDE, duty.report_id, duty.regime, state, by, now, reason)
    return [row[0] for row in rows]


async def state_start(conn: Connection, duty_id: int, start: datetime) -> None:
    """A person says when the clock started."""
    await conn.execute(STATE_START, duty_id, start)


async def settle(
    conn: Connection, duty_id: int, at: datetime, *, reference: str | None, by: str, now: datetime
) -> None:
    """The report to the authority was made."""
    await conn.execute(SETTLE, duty_id, at, reference, by, now)


async def miss(conn: Connection, duty_id: int, now: datetime) -> None:
    """The legal date has passed without it."""
    await conn.execute(MISS, duty_id, now)


async def warn(
    conn: Connection, duty_id: int, percent: int, due: datetime, *, now: datetime, alert_id: int | None
) -> None:
    """Note that a threshold of a clock was told."""
    await conn.execute(WARN, duty_id, percent, due, now, alert_id)


async def note(conn: Connection, duty_id: int, event: Event) -> None:
    """Add a step to the history."""
    await conn.execute(NOTE, duty_id, event.at, event.what, event.by, event.via, event.said)
    if event.what in AUDITED:
        actor = NODE if event.by is None else person(event.by)
        await audit.note(conn, Act(AUDITED[event.what], f"duty:{duty_id}", actor=actor))


async def get(conn: Connection, duty_id: int) -> StoredDuty | None:
    """One duty."""
    row = await conn.fetchrow(GET, duty_id)
    return None if row is None else StoredDuty(*row)


async def lock(conn: Connection, duty_id: int) -> None:
    """Hold the duties of the report of this duty until the transaction ends."""
    await conn.execute(LOCK, duty_id)


async def of_report(conn: Connection, report_id: str) -> list[StoredDuty]:
    """All duties of a report, shortest due first."""
    return [StoredDuty(*row) for row in await conn.fetch(OF_REPORT, report_id)]


async def listing(
    conn: Connection, after: tuple[datetime, int], *, report_id: str | None, open_only: bool, limit: int
) -> list[StoredDuty]:
    """Shortest due first; `after` is `sort_at` and `id` of the last one seen."""
    return [StoredDuty(*row) for row in await conn.fetch(LIST, *after, report_id, open_only, limit)]


async def run(conn: Connection, now: datetime, limit: int) -> list[str]:
    """Reports with clocks about which something has to be told or noted."""
    return [row[0] for row in await conn.fetch(RUN, now, limit)]


async def history(conn: Connection, duty_id: int) -> Sequence[Event]:
    """Every step of a duty, oldest first."""
    return [Event(*row) for row in await conn.fetch(HISTORY, duty_id)]


async def standing(conn: Connection, now: datetime) -> Standing:
    """How many open clocks have run for half of their time, and for most of it."""
    return Standing(*await conn.fetchrow(STANDING, now))
