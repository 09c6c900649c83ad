"""The outbox of alerts: each row is one message for one place of one channel, its content and transaction id frozen.

A worker leases a row, talks to the other side outside any transaction, and writes down what happened. If it
dies in between, the lease runs out and another repeats the same message under the same transaction id, which
the other side takes for the one it has. So nothing here has to be on the disk before it counts, except the
row itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tocsin_node.storage.pool import Connection

# Leases and outcomes may be lost in a crash of the database: the message is repeated then, without harm.
_MAY_BE_LOST = "set_config('synchronous_commit', 'off', true) is not null"


@dataclass(frozen=True, slots=True)
class Job:
    """A leased delivery. `content` is JSON, written under the ceiling `max_tlp` (None: before there were several).

    `stale`: the other side may have forgotten its transaction id.
    """

    id: int
    alert_id: int
    room: str
    priority: int
    content: str = field(repr=False)
    txn: str
    attempts: int
    max_tlp: str | None
    stale: bool


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """How far a message got."""

    alert_id: int
    channel: str
    room: str
    state: str
    attempts: int
    event_id: str | None
    accepted_at: datetime | None
    echoed_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What does not go well: seconds that the oldest message waits, and counts."""

    waiting_s: float
    unseen: int
    failed: int


ENQUEUE = """
insert into delivery (alert_id, channel, room, priority, content, txn, max_tlp)
values ($1, $2, $3, $4, $5::jsonb, $6, $7)
on conflict (txn) do nothing
"""

# A message that has not gone out and says less than the one that follows it. A legal clock says something else.
SUPERSEDE = """
update delivery d set state = 'superseded' from alert a
where a.id = d.alert_id and a.report_id = $1 and a.id < $2 and a.kind <> 'duty' and d.state = 'pending'
    and d.attempts = 0 and d.channel = any($3::text[])
"""

TOLD = """
select exists (select from delivery d join alert a on a.id = d.alert_id
               where d.channel = $1 and a.report_id = $2 and d.state <> 'superseded')
"""

LEASE = f"""
update delivery d set state = 'sending', attempts = d.attempts + 1,
    first_try_at = coalesce(d.first_try_at, now()), lease_until = now() + make_interval(secs => $3)
from (select id, first_try_at from delivery
      where channel = $1 and priority <= $2
        and (state = 'pending' and next_at <= now() or state = 'sending' and lease_until < now())
      order by priority, id limit 1 for update skip locked) as due
where d.id = due.id and {_MAY_BE_LOST}
returning d.id, d.alert_id, d.room, d.priority, d.content, d.txn, d.attempts, d.max_tlp,
    coalesce(due.first_try_at < now() - make_interval(secs => $4), false)
"""

NEXT_DUE = """
select extract(epoch from min(case state when 'pending' then next_at else lease_until end) - now())::float8
from delivery where channel = $1 and state in ('pending', 'sending')
"""

# The echo may have been heard before the answer was.
ACCEPTED = f"""
update delivery set state = case state when 'echoed' then state else 'accepted' end,
    event_id = coalesce(event_id, $2), accepted_at = coalesce(accepted_at, now()), lease_until = null,
    last_error = null
where id = $1 and {_MAY_BE_LOST}
"""

DEFER = f"""
update delivery set state = 'pending', lease_until = null, last_error = $2,
    next_at = now() + make_interval(secs => $3)
where id = $1 and state = 'sending' and {_MAY_BE_LOST}
"""

FAIL = """
update delivery set state = 'failed', lease_until = null, last_error = $2 where id = $1 and state = 'sending'
"""

RENAME = """
update delivery set txn = $2, content = $3::jsonb, max_tlp = $4, first_try_at = now() where id = $1
"""

RELEASE = """
update delivery set state = 'pending', lease_until = null, next_at = now()
where channel = $1 and state = 'sending'
"""

HURRY = "update delivery set next_at = now() where channel = $1 and state = 'pending' and next_at > now()"

ECHOED = """
update delivery set state = 'echoed', event_id = coalesce(event_id, $2), echoed_at = now(),
    accepted_at = coalesce(accepted_at, now()), lease_until = null, last_error = null
where txn = $1 and state in ('pending', 'sending', 'accepted')
"""

FOUND = "update delivery set state = 'echoed', echoed_at = now() where alert_id = $1 and state = 'accepted'"

REMOVED = "update delivery set last_error = 'removed-from-room' where event_id = $1"

ALERT_OF = "select alert_id from delivery where event_id = $1 limit 1"

WATCHED = """
select a.id, array_agg(d.event_id) from alert a join delivery d on d.alert_id = a.id
where d.channel = $1 and d.room = $2 and d.event_id is not null and a.raised_at > now() - interval '7 days'
group by a.id order by a.id desc limit $3
"""

OF_ALERTS = """
select alert_id, channel, room, state, attempts, event_id, accepted_at, echoed_at, last_error
from delivery where alert_id = any($1::bigint[]) order by id
"""

# After the room was set for the first time or changed: what is still open and not on its way to this room.
LEAVE_ROOM = """
update delivery set state = 'superseded', last_error = 'room-changed'
where channel = $1 and room <> $2 and state = 'pending'
"""

UNRUNG = """
select a.id from alert a
where a.kind in ('raise', 'escalate', 'duty', 'cluster') and a.raised_at > now() - interval '7 days'
  and not exists (select from delivery d where d.alert_id = a.id and d.channel = $2
                  and (d.state in ('accepted', 'echoed') or d.state <> 'superseded' and d.room = $1))
  and not exists (select from alert newer where newer.report_id = a.report_id and newer.id > a.id
                  and (newer.kind = 'duty') = (a.kind = 'duty'))
  and not exists (select from act k where k.alert_id = a.id and k.kind = 'ack' and k.revoked_at is null)
order by a.id limit 200
"""

BACKLOG = """
select
    coalesce(extract(epoch from now() - min(created_at) filter (where state in ('pending', 'sending'))),
    0)::float8, count(*) filter (where channel = 'matrix' and state = 'accepted'
                                 and accepted_at < now() - interval '60 seconds'),
    count(*) filter (where state = 'failed')
from delivery where created_at > now() - interval '7 days' and channel = any($1::text[])
"""


async def enqueue(
    conn: Connection,
    alert_id: int,
    *,
    channel: str,
    room: str,
    priority: int,
    content: str,
    txn: str,
    max_tlp: str,
) -> None:
    """Put a message into the outbox, in the caller's transaction; the same `txn` never twice."""
    await conn.execute(ENQUEUE, alert_id, channel, room, priority, content, txn, max_tlp)


async def supersede(conn: Connection, report_id: str, alert_id: int, channels: Sequence[str]) -> None:
    """Drop messages about earlier versions of a report that nobody has tried to send yet, where a newer one goes."""
    await conn.execute(SUPERSEDE, report_id, alert_id, list(channels))


async def told(conn: Connection, channel: str, report_id: str) -> bool:
    """Whether this channel has, or is on its way to have, an alert about the report."""
    found: bool = await conn.fetchval(TOLD, channel, report_id)
    return found


async def lease(conn: Connection, channel: str, *, up_to: int, lease_s: float, stale_s: float) -> Job | None:
    """Take the most urgent message that is due, of priority `up_to` at most; no other worker gets it."""
    row = await conn.fetchrow(LEASE, channel, up_to, lease_s, stale_s)
    return None if row is None else Job(*row)


async def due_in_s(conn: Connection, channel: str) -> float | None:
    """Seconds until something is due, negative when something is; None when the outbox is empty."""
    seconds: float | None = await conn.fetchval(NEXT_DUE, channel)
    return seconds


async def accepted(conn: Connection, job: Job, event_id: str | None) -> None:
    """The other side has it."""
    await conn.execute(ACCEPTED, job.id, event_id)


async def defer(conn: Connection, job: Job, code: str, after_s: float) -> None:
    """Try again after `after_s` seconds."""
    await conn.execute(DEFER, job.id, code, after_s)


async def fail(conn: Connection, job: Job, code: str) -> None:
    """Never try this message again."""
    await conn.execute(FAIL, job.id, code)


async def rename(conn: Connection, job: Job, *, txn: str, content: str, max_tlp: str | None) -> None:
    """Give a leased message another transaction id: the first may be forgotten, or stands for words that may not be."""
    await conn.execute(RENAME, job.id, txn, content, max_tlp)


async def release(conn: Connection, channel: str) -> None:
    """Take back all leases: their worker is gone."""
    await conn.execute(RELEASE, channel)


async def hurry(conn: Connection, channel: str) -> None:
    """Make everything that waits for its next try due."""
    await conn.execute(HURRY, channel)


async def echoed(conn: Connection, txn: str, event_id: str) -> None:
    """Our own client saw it in the room."""
    await conn.execute(ECHOED, txn, event_id)


async def found(conn: Connection, alert_id: int) -> None:
    """The homeserver, asked about an alert's messages, has those that it accepted."""
    await conn.execute(FOUND, alert_id)


async def removed(conn: Connection, event_id: str) -> None:
    """Somebody with power over the room took our message away."""
    await conn.execute(REMOVED, event_id)


async def alert_of(conn: Connection, event_id: str) -> int | None:
    """The alert that this event of the room is, if it is one."""
    alert_id: int | None = await conn.fetchval(ALERT_OF, event_id)
    return alert_id


async def watched(conn: Connection, channel: str, room: str, limit: int) -> list[tuple[int, list[str]]]:
    """The newest alerts that stand in the room, each with its events."""
    return [(row[0], row[1]) for row in await conn.fetch(WATCHED, channel, room, limit)]


async def of_alerts(conn: Connection, alert_ids: list[int]) -> list[StoredDelivery]:
    """How far the messages of these alerts got."""
    return [StoredDelivery(*row) for row in await conn.fetch(OF_ALERTS, alert_ids)]


async def unrung(conn: Connection, channel: str, room: str) -> list[int]:
    """Open alerts of the last week that this channel has nowhere and that are not on their way to this place.

    Messages that wait for another place of the channel are dropped.
    """
    await conn.execute(LEAVE_ROOM, channel, room)
    return [row[0] for row in await conn.fetch(UNRUNG, room, channel)]


async def backlog(conn: Connection, channels: Sequence[str]) -> Backlog:
    """What waits, what was not seen in the room, what failed in the last week, on these channels."""
    return Backlog(*await conn.fetchrow(BACKLOG, list(channels)))
