"""The outbox as to incidents taken together: floods, digests, repeats, and what changed since it was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.deliveries import Job
from tocsin_node.storage.disputed import OVER, STANDS
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Told:
    """How many new incidents a place was told one by one within a while: all, and those of one organisation."""

    room: int
    origin: int


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest of a place. `root`: the first of its flood; `waits`: it has not gone out; `age_s`: since it was due.

    `taken_up`: somebody has acknowledged its flood.
    """

    id: int
    root: int
    alert_id: int
    waits: bool
    age_s: float
    taken_up: bool


@dataclass(frozen=True, slots=True)
class Overdue:
    """An alert that nobody acknowledged: it rings again on a channel in `due_s` seconds, for the `nth` time."""

    alert_id: int
    channel: str
    grade: str
    nth: int
    open_s: float
    due_s: float


@dataclass(frozen=True, slots=True)
class Shown:
    """A message that can be edited. `body`: as it is shown now; `edited_s`: since the last edit, None without one."""

    id: int
    alert_id: int
    channel: str
    room: str
    txn: str
    waits: bool
    edited_s: float | None


# One courier of a place at a time decides what is one too many.
TURN = "select pg_advisory_xact_lock(hashtextextended('tocsin-flood ' || $1 || ' ' || $2, 0))"

# What fellows told in the room counts there too.
TOLD = """
select count(*)::int + (
        select count(distinct report_id)::int from fellow_message
        where room = $2 and at > now() - make_interval(secs => $5) and kind in ('raise', 'escalate')),
    (count(*) filter (where a.origin = $4))::int
from delivery d join alert a on a.id = d.alert_id
where d.channel = $1 and d.room = $2 and d.id <> $3 and d.kind = 'ring' and d.thread is null and d.said is null
  and d.first_try_at > now() - make_interval(secs => $5) and d.state <> 'superseded'
  and a.kind not in ('test', 'digest')
"""

LAST_DIGEST = """
select id, coalesce(thread, id), alert_id, state = 'pending' and attempts = 0,
    extract(epoch from now() - greatest(created_at, not_before))::float8,
    exists (select from act k where k.alert_id = delivery.alert_id and k.kind = 'ack' and k.revoked_at is null)
from delivery where channel = $1 and room = $2 and kind = 'digest' and state not in ('failed', 'superseded')
  and greatest(created_at, not_before) > now() - make_interval(secs => $3)
order by id desc limit 1
"""

# The flood that other places are told of and this one is not, so that one answer is enough.
FLOOD = """
select a.id from alert a
where a.kind = 'digest' and a.raised_at > now() - make_interval(secs => $3)
  and not exists (select from act k where k.alert_id = a.id and k.kind = 'ack' and k.revoked_at is null)
  and not exists (select from delivery d where d.alert_id = a.id and d.channel = $1 and d.room = $2)
order by a.id desc limit 1
"""

GRAVER = """
update alert set grade = $2, level = $3, facts = jsonb_set(facts, '{grade}', to_jsonb($2::text)) where id = $1
"""

# As if it had not been leased: nobody was told.
COVER = """
update delivery set state = 'covered', thread = $2, held = $3, event_id = $4, attempts = 0, first_try_at = null,
    lease_until = null
where id = $1
"""

HOLD = """
update delivery set state = 'pending', not_before = $2, held = $3, attempts = 0, first_try_at = null, lease_until = null
where id = $1
"""

BECOME_NOTICE = """
update delivery set kind = 'notice', thread = $2, said = $3::jsonb, held = $4, state = 'pending', attempts = 0,
    txn = $5, content = $6::jsonb, first_try_at = null, lease_until = null
where id = $1
"""

DIGESTED = "select alert_id from delivery where thread = $1 and state = 'covered' order by alert_id"

STIRRED = "delete from stirred where id in (select id from stirred order by id limit 500) returning incident"

SHOWN = """
select d.id, d.alert_id, d.channel, d.room, d.txn,
    exists (select from delivery u where u.edits = d.id and u.state = 'pending' and u.attempts = 0),
    (select extract(epoch from now() - max(coalesce(u.accepted_at, u.first_try_at, u.created_at)))::float8
     from delivery u where u.edits = d.id and u.state not in ('failed', 'superseded'))
from delivery d join alert a on a.id = d.alert_id
where a.incident = any($1::text[]) and d.channel = any($2::text[]) and d.kind in ('ring', 'escalation')
  and d.thread is null and d.edits is null and d.state in ('pending', 'sending', 'accepted', 'echoed', 'seen')
  and d.created_at > now() - interval '30 days' and d.last_error is distinct from 'removed-from-room'
"""

LAST_SHOWN = """
select coalesce(content -> 'm.new_content' ->> 'body', content ->> 'body', content ->> 'text') from delivery
where $1 in (id, edits) and state in ('accepted', 'echoed', 'seen') order by id desc limit 1
"""

NEWEST = "select max(id) from alert where incident = $1 and kind not in ('withdrawn', 'test', 'duty')"

# An early warning that is open, no milder, and was told there.
INHIBITOR = """
select a.id from alert a
where a.kind = 'cluster' and a.incident = any($1::text[]) and a.level >= $2
  and not exists (select from act k where k.alert_id = a.id and k.kind = 'ack' and k.revoked_at is null)
  and exists (select from delivery d where d.alert_id = a.id and d.channel = $3 and d.room = $4
              and d.kind = 'ring' and d.state in ('accepted', 'echoed', 'seen'))
order by a.id desc limit 1
"""

_OPEN = f"""
    not {OVER}
    and not exists (select from act k where k.alert_id = a.id and k.kind = 'ack' and k.revoked_at is null)
    and not exists (select from act k where k.via = 'peer' and k.kind in ('ack', 'take', 'resolve')
                    and k.report_id = a.report_id
                    and k.ver >= a.ver and {STANDS})
    and not exists (select from alert newer where newer.incident = a.incident and newer.id > a.id
                    and newer.kind <> 'duty')
"""

# An alert rings again on the channels where it rang, by the time of the last loud word about its incident there.
IS_OPEN = f"select exists (select from alert a where a.id = $1 and {_OPEN})"

WAS_TOLD = """
select exists (select from delivery d join alert a on a.id = d.alert_id
               where a.incident = $1 and d.channel = $2 and d.id <> $3
                 and (d.state in ('accepted', 'echoed', 'seen', 'covered') or d.attempts > 0))
"""

# An alert for which people are still called is rung by that, and not a second time by this.
OVERDUE = f"""
select alert_id, channel, grade, (said_times + 1)::int, open_s, (every_s - silent_s)::float8 from (
    select a.id as alert_id, d.channel, a.grade,
        count(*) filter (where d.kind = 'ring' and d.said is not null) as said_times,
        extract(epoch from now() - a.raised_at)::float8 as open_s,
        extract(epoch from now() - max(d.accepted_at))::float8 as silent_s,
        bool_or(d.state in ('pending', 'sending')) as under_way,
        case a.grade when 'I' then $1::float8 when 'II' then $2 else $3 end as every_s
    from alert a join delivery d on d.alert_id = a.id
    where a.kind in ('raise', 'escalate', 'cluster', 'digest', 'emergency')
      and a.raised_at > now() - interval '24 hours'
      and d.kind in ('ring', 'escalation', 'digest') and d.state in ('pending', 'sending', 'accepted', 'echoed', 'seen')
      and not exists (select from followup f where f.alert_id = a.id and f.next_at is not null)
      and not exists (select from act m where m.alert_id = a.id and m.kind = 'mute' and m.revoked_at is null
                      and m.until > now())
      and {_OPEN}
    group by a.id, d.channel
) as told where every_s > 0 and not under_way and silent_s >= every_s - $4
order by grade, alert_id limit 200
"""

REPEATED = """
select d.channel, count(*)::int from delivery d
where d.kind = 'ring' and d.said is not null and d.created_at > now() - make_interval(secs => $1) group by d.channel
"""


async def take_turn(conn: Connection, channel: str, room: str) -> None:
    """Wait, until the transaction ends, for nobody else to decide what is one too many in that place."""
    await conn.execute(TURN, channel, room)


async def told(
    conn: Connection, channel: str, room: str, origin: str, window_s: float, *, but: int = 0
) -> Told:
    """How many new incidents were told in a place, other than by the message `but`."""
    return Told(*await conn.fetchrow(TOLD, channel, room, but, origin, window_s))


async def last_digest(conn: Connection, channel: str, room: str, within_s: float) -> Digest | None:
    """The newest digest of a place."""
    row = await conn.fetchrow(LAST_DIGEST, channel, room, within_s)
    return None if row is None else Digest(*row)


async def flood(conn: Connection, channel: str, room: str, within_s: float) -> int | None:
    """The alert about a flood that nobody has taken up and that this place was not told of."""
    found: int | None = await conn.fetchval(FLOOD, channel, room, within_s)
    return found


async def graver(conn: Connection, alert_id: int, grade: str, level: int) -> None:
    """Let the alert about a flood be of another grade: that of the gravest that it tells."""
    await conn.execute(GRAVER, alert_id, grade, level)


async def inhibitor(
    conn: Connection, clusters: Sequence[str], level: int, channel: str, room: str
) -> int | None:
    """The open alert about one of these clusters that stands for a report of this level there."""
    found: int | None = await conn.fetchval(INHIBITOR, list(clusters), level, channel, room)
    return found


async def is_open(conn: Connection, alert_id: int) -> bool:
    """Whether nobody has taken it up, and nothing newer about its incident has rung."""
    found: bool = await conn.fetchval(IS_OPEN, alert_id)
    return found


async def was_told(conn: Connection, incident: str, channel: str, *, but: int = 0) -> bool:
    """Whether the incident was told on the channel, by another message than `but`."""
    found: bool = await conn.fetchval(WAS_TOLD, incident, channel, but)
    return found


async def cover(
    conn: Connection, job: Job, why: str, *, thread: int | None = None, event_id: str | None = None
) -> None:
    """Another message tells it: one of ours (`thread`), or a fellow's (`event_id`)."""
    await conn.execute(COVER, job.id, thread, why, event_id)


async def hold(conn: Connection, job: Job, until: datetime | None, why: str) -> None:
    """It waits on purpose."""
    await conn.execute(HOLD, job.id, until, why)


async def become_notice(
    conn: Connection, job: Job, *, thread: int | None, said: str, why: str, txn: str, content: str
) -> None:
    """A ring that is told without ringing, in another thread."""
    await conn.execute(BECOME_NOTICE, job.id, thread, said, why, txn, content)


async def digested(conn: Connection, digest_id: int) -> list[int]:
    """The alerts that a digest tells."""
    return [row[0] for row in await conn.fetch(DIGESTED, digest_id)]


async def stirred(conn: Connection) -> frozenset[str]:
    """Take the incidents of which something may look otherwise than it was told."""
    return frozenset(row[0] for row in await conn.fetch(STIRRED))


async def shown(conn: Connection, incidents: frozenset[str], channels: frozenset[str]) -> list[Shown]:
    """Where these incidents stand as a root that can be edited."""
    return [Shown(*row) for row in await conn.fetch(SHOWN, list(incidents), list(channels))]


async def last_shown(conn: Connection, root_id: int) -> str | None:
    """The text of a message as its last edit left it."""
    body: str | None = await conn.fetchval(LAST_SHOWN, root_id)
    return body


async def newest(conn: Connection, incident: str) -> int | None:
    """The number of the newest alert about an incident."""
    found: int | None = await conn.fetchval(NEWEST, incident)
    return found


async def overdue(
    conn: Connection, *, every_i_s: float, every_ii_s: float, every_iii_s: float, ahead_s: float
) -> list[Overdue]:
    """What is open and has to ring again now or within `ahead_s` seconds, the gravest first; 0: never."""
    return [Overdue(*row) for row in await conn.fetch(OVERDUE, every_i_s, every_ii_s, every_iii_s, ahead_s)]


async def repeated(conn: Connection, window_s: float) -> dict[str, int]:
    """How often something rang again within a while, on each channel."""
    return {row[0]: row[1] for row in await conn.fetch(REPEATED, window_s)}
