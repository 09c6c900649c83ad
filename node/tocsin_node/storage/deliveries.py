"""The outbox of alerts: each row is one message for one place of one channel, its content and transaction id frozen.

A worker leases a row, talks to the other side outside any transaction, and writes down what happened. If it
dies in between, the lease runs out and another repeats the same message under the same transaction id, which
the other side takes for the one it has. So nothing here has to be on the disk before it counts, except the
row itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tocsin_node.actor import NODE
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.disputed import CALL, OVER, unvouched
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import DISPUTED

DeliveryKind = Literal["ring", "update", "notice", "escalation", "digest", "call", "unsay"]

# Leases and outcomes may be lost in a crash of the database: the message is repeated then, without harm.
_MAY_BE_LOST = "set_config('synchronous_commit', 'off', true) is not null"


@dataclass(frozen=True, slots=True)
class Job:
    """A leased delivery. `content` is JSON, written under the ceiling `max_tlp` (None: before there were several).

    `alert_id`: None for what is about the node itself. `said`: JSON of what it says beside the alert's own words.
    `thread`, `edits`: the row that it follows or replaces; `root_txn`, `root_event` name that one's message, None where
    there is none (yet, or any more). `stale`: the other side may have forgotten the transaction id.
    """

    id: int
    alert_id: int | None
    room: str
    priority: int
    content: str = field(repr=False)
    txn: str
    attempts: int
    max_tlp: str | None
    kind: DeliveryKind
    said: str | None
    thread: int | None
    edits: int | None
    root_txn: str | None
    root_event: str | None
    held: str | None
    stale: bool


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """How far a message got. `held`: why it waits on purpose until `not_before`, or was not sent."""

    id: int
    alert_id: int
    channel: str
    room: str
    kind: str
    thread: int | None
    edits: int | None
    state: str
    held: str | None
    not_before: datetime | None
    attempts: int
    event_id: str | None
    accepted_at: datetime | None
    echoed_at: datetime | None
    seen_at: datetime | None
    seen_by: str | None
    rerouted_to: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message for one place. `alert_id`: None where it is about no alert. `content`, `said`: JSON.

    `after_s`: it waits so long on purpose, because of `held`.
    """

    alert_id: int | None
    channel: str
    room: str
    priority: int
    content: str = field(repr=False)
    txn: str
    max_tlp: str
    kind: DeliveryKind = "ring"
    said: str | None = None
    thread: int | None = None
    edits: int | None = None
    after_s: float = 0.0
    held: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What does not go well: seconds that the oldest message waits, and counts."""

    waiting_s: float
    unseen: int
    failed: int


ENQUEUE = """
insert into delivery (alert_id, channel, room, priority, content, txn, max_tlp, kind, said, thread, edits,
    not_before, held)
values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9::jsonb, $10, $11,
    case when $12::float8 > 0 then now() + make_interval(secs => $12) end, $13)
on conflict (txn) do nothing
returning id
"""

# A message that has not gone out and says less than the one that follows it. A legal clock says something else.
SUPERSEDE = """
update delivery d set state = 'superseded' from alert a
where a.id = d.alert_id and a.report_id = $1 and a.id < $2 and a.kind <> 'duty' and d.state = 'pending'
    and d.kind = 'ring' and d.attempts = 0 and d.channel = any($3::text[])
"""

TOLD = """
select exists (select from delivery d join alert a on a.id = d.alert_id
               where d.channel = $1 and a.report_id = $2 and d.state <> 'superseded')
"""

# What may go now. What follows another message waits some minutes for it to be there; what replaces it, for ever.
_READY = """
    (root.id is null or root.state in ('accepted', 'echoed', 'seen', 'covered', 'failed', 'superseded', 'rerouted')
     or d.edits is null and greatest(d.created_at, d.not_before) < now() - interval '10 minutes')
"""
# What is about a report or a call that its author disputes waits, but for the update that says so; one about a version
# that gave way never goes.
_VOUCHED = f"""not exists (
    select from alert a join report r on r.id = a.report_id
    where a.id = d.alert_id and a.kind in ('raise', 'escalate')
        and (a.ver < 0 or d.kind <> 'update' and {DISPUTED}))
and not exists (
    select from alert a join emergency o on o.id = a.emergency
    where a.id = d.alert_id and case d.kind
        when 'call' then exists (
            select from emergency_call k where k.emergency = o.id and k.seq = (d.said ->> 'seq')::integer and {CALL})
        else d.kind in ('ring', 'escalation') and {unvouched("o.id")} end)"""
_ROOT = "left join delivery root on root.id = coalesce(d.edits, d.thread)"

LEASE = f"""
update delivery q set state = 'sending', attempts = q.attempts + 1,
    first_try_at = coalesce(q.first_try_at, now()), lease_until = now() + make_interval(secs => $3)
from (select d.id, d.first_try_at,
          case when root.state not in ('failed', 'superseded', 'rerouted') then root.txn end as root_txn,
          case when root.state not in ('failed', 'superseded', 'rerouted') then root.event_id end as root_event
      from delivery d {_ROOT}
      where d.channel = $1 and d.priority <= $2
        and (d.state = 'pending' and greatest(d.next_at, d.not_before) <= now()
             or d.state = 'sending' and d.lease_until < now())
        and {_READY} and {_VOUCHED}
      order by d.priority, d.id limit 1 for update of d skip locked) as due
where q.id = due.id and {_MAY_BE_LOST}
returning q.id, q.alert_id, q.room, q.priority, q.content, q.txn, q.attempts, q.max_tlp, q.kind, q.said, q.thread,
    q.edits, due.root_txn, due.root_event, q.held,
    coalesce(due.first_try_at < now() - make_interval(secs => $4), false)
"""

NEXT_DUE = f"""
select extract(epoch from
    min(case d.state when 'pending' then greatest(d.next_at, d.not_before) else d.lease_until end) - now())::float8
from delivery d {_ROOT}
where d.channel = $1 and d.state in ('pending', 'sending') and {_READY} and {_VOUCHED}
"""

# The echo may have been heard before the answer was, and people may have read it before that.
ACCEPTED = f"""
with noted as ({audit.insertion(3)})
update delivery set state = case when state in ('echoed', 'seen') then state else 'accepted' end,
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

UNSAID = """
update delivery set state = 'accepted', accepted_at = now(), lease_until = null, last_error = null, content = '{}'
where id = $1
"""

NOT_UNSAID = "select count(*) from delivery where kind = 'unsay' and state = 'failed'"

FREEZE = "update delivery set content = $2::jsonb where id = $1"

DROP = """
update delivery set state = 'superseded', lease_until = null, held = $2 where id = $1 and state = 'sending'
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
update delivery set state = 'echoed', event_id = coalesce(event_id, $2), echoed_at = now(), room_at = $3,
    accepted_at = coalesce(accepted_at, now()), lease_until = null, last_error = null
where txn = $1 and state in ('pending', 'sending', 'accepted', 'rerouted')
"""

FOUND = """
update delivery set state = 'echoed', echoed_at = now()
where alert_id = $1 and channel = $2 and state = 'accepted'
"""

# Who reads on has read what stands above; only who came first is kept. Threads are read apart from the room.
SEEN = """
update delivery d set state = 'seen', seen_by = $4, seen_at = least($5, now()), echoed_at = coalesce(echoed_at, now()),
    accepted_at = coalesce(accepted_at, now()), lease_until = null
where channel = $1 and room = $2 and seen_at is null and event_id is not null and coalesce(room_at, accepted_at) <= $3
    and state in ('pending', 'sending', 'accepted', 'echoed', 'rerouted') and created_at > now() - interval '7 days'
    and case when $6::text is null then true when $6 = 'main' then thread is null
             else (select root.event_id from delivery root where root.id = d.thread) = $6 end
"""

REMOVED = "update delivery set last_error = 'removed-from-room' where event_id = $1"

ALERT_OF = "select alert_id from delivery where event_id = $1 order by id limit 1"

WATCHED = """
select a.id, array_agg(d.event_id) from alert a join delivery d on d.alert_id = a.id
where d.channel = $1 and d.room = $2 and d.event_id is not null and a.raised_at > now() - interval '7 days'
group by a.id order by a.id desc limit $3
"""

OF_ALERTS = """
select id, alert_id, channel, room, kind, thread, edits, state, held, not_before, attempts, event_id, accepted_at,
    echoed_at, seen_at, seen_by, rerouted_to, last_error
from delivery where alert_id = any($1::bigint[]) order by id
"""

# After the room was set for the first time or changed: what is still open and not on its way to this room.
LEAVE_ROOM = """
update delivery set state = 'superseded', last_error = 'room-changed'
where channel = $1 and room <> $2 and state = 'pending'
"""

UNRUNG = f"""
select a.id from alert a
where a.kind in ('raise', 'escalate', 'duty', 'cluster', 'emergency') and a.raised_at > now() - interval '7 days'
  and not exists (select from delivery d where d.alert_id = a.id and d.channel = $2
                  and (d.state in ('accepted', 'echoed', 'seen') or d.state <> 'superseded' and d.room = $1))
  and not exists (select from alert newer where newer.report_id = a.report_id and newer.id > a.id
                  and (newer.kind = 'duty') = (a.kind = 'duty'))
  and not exists (select from act k where k.alert_id = a.id and k.kind = 'ack' and k.revoked_at is null)
  and not {OVER}
order by a.id limit 200
"""

# What waits for its author to vouch for it waits for no channel.
BACKLOG = f"""
select
    coalesce(extract(epoch from now() - min(greatest(created_at, not_before))
        filter (where state in ('pending', 'sending') and coalesce(not_before, now()) <= now() and {_VOUCHED})),
        0)::float8,
    count(*) filter (where channel like 'matrix%' and state = 'accepted'
                     and accepted_at < now() - interval '60 seconds'),
    count(*) filter (where state = 'failed')
from delivery d where created_at > now() - interval '7 days' and channel = any($1::text[]) and alert_id is not null
"""


async def enqueue(conn: Connection, new: NewDelivery) -> int | None:
    """Put a message into the outbox, in the caller's transaction; None: one of that `txn` is there already."""
    delivery_id: int | None = await conn.fetchval(
        ENQUEUE,
        new.alert_id,
        new.channel,
        new.room,
        new.priority,
        new.content,
        new.txn,
        new.max_tlp,
        new.kind,
        new.said,
        new.thread,
        new.edits,
        new.after_s,
        new.held,
    )
    return delivery_id


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


async def accepted(conn: Connection, job: Job, event_id: str | None, *, channel: str) -> None:
    """The other side, `channel`, has it."""
    detail = {"channel": channel, "kind": job.kind, "attempts": job.attempts}
    act = Act("alert.deliver", f"alert:{job.alert_id}", detail, NODE)
    await conn.execute(ACCEPTED, job.id, event_id, *audit.columns([] if job.alert_id is None else [act]))


async def unsaid(conn: Connection, job: Job) -> None:
    """A message of ours was taken back, and what named it is forgotten."""
    await conn.execute(UNSAID, job.id)


async def not_unsaid(conn: Connection) -> int:
    """How many messages the other side refuses to take back."""
    count: int = await conn.fetchval(NOT_UNSAID)
    return count


async def defer(conn: Connection, job: Job, code: str, after_s: float) -> None:
    """Try again after `after_s` seconds."""
    await conn.execute(DEFER, job.id, code, after_s)


async def fail(conn: Connection, job: Job, code: str) -> None:
    """Never try this message again."""
    await conn.execute(FAIL, job.id, code)


async def rename(conn: Connection, job: Job, *, txn: str, content: str, max_tlp: str | None) -> None:
    """Give a leased message another transaction id: the first may be forgotten, or stands for words that may not be."""
    await conn.execute(RENAME, job.id, txn, content, max_tlp)


async def freeze(conn: Connection, job: Job) -> None:
    """Keep a leased message as it is going to be sent, at every try."""
    await conn.execute(FREEZE, job.id, job.content)


async def drop(conn: Connection, job: Job, why: str) -> None:
    """Let a leased message be: there is no point in it any more."""
    await conn.execute(DROP, job.id, why)


async def release(conn: Connection, channel: str) -> None:
    """Take back all leases: their worker is gone."""
    await conn.execute(RELEASE, channel)


async def hurry(conn: Connection, channel: str) -> None:
    """Make everything that waits for its next try due."""
    await conn.execute(HURRY, channel)


async def echoed(conn: Connection, txn: str, event_id: str, at: datetime) -> None:
    """Our own client saw it in the room; `at`: the homeserver's clock."""
    await conn.execute(ECHOED, txn, event_id, at)


async def found(conn: Connection, alert_id: int, channel: str) -> None:
    """The homeserver of a channel, asked about an alert's messages, has those that it accepted."""
    await conn.execute(FOUND, alert_id, channel)


async def seen(
    conn: Connection,
    channel: str,
    room: str,
    *,
    up_to: datetime,
    by: str,
    at: datetime,
    thread: str | None,
) -> None:
    """A responder has read the room at `at`, as far as what happened there at `up_to` (the homeserver's clock).

    `thread`: only the thread of that root event, or what is in none (`main`); None: all.
    """
    await conn.execute(SEEN, channel, room, up_to, by, at, thread)


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
