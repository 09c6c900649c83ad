"""What a channel did not take in time, and what it has to be told when it is back.

The timers are the rows themselves: when a message was written, and its alert's grade. A message is looked at once; if
there was another way it is `rerouted` and sleeps, until its channel is back: then it is counted there if another way
has brought the alert to people, and rings if none has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_node.storage.pool import Connection

SETTLE_S = 15.0  # so long the other way has to take what it was given


@dataclass(frozen=True, slots=True)
class Late:
    """A message that its channel has not taken."""

    id: int
    alert_id: int
    channel: str


@dataclass(frozen=True, slots=True)
class Returned:
    """An alert that went another way while this channel could not be reached."""

    delivery_id: int
    alert_id: int
    through: str


_LIMIT = "make_interval(secs => case when a.grade in ('I', 'II') then $1::float8 else $2::float8 end)"
_WAITS = """
from delivery d join alert a on a.id = d.alert_id
where d.state in ('pending', 'sending') and d.accepted_at is null and d.rerouted_at is null
  and d.kind in ('ring', 'escalation', 'digest') and a.kind not in ('test', 'withdrawn')
  and not exists (select from act k where k.alert_id = a.id and k.kind = 'ack' and k.revoked_at is null)
"""

LATE = f"""
select d.id, d.alert_id, d.channel {_WAITS} and greatest(d.created_at, d.not_before) + {_LIMIT} <= now()
order by d.priority, d.id limit 100 for update of d skip locked
"""

NEXT = f"select extract(epoch from min(greatest(d.created_at, d.not_before) + {_LIMIT}) - now())::float8 {_WAITS}"

GIVEN_TO = "select array_agg(distinct channel) from delivery where alert_id = $1"

TAKEN_BY = """
select channel from delivery where alert_id = $1 and channel = any($2::text[]) and accepted_at is not null
order by accepted_at limit 1
"""

REROUTE = """
update delivery set state = case when $2::text is null then state else 'rerouted' end, rerouted_to = $2,
    rerouted_at = now(), lease_until = case when $2::text is null then lease_until end
where id = $1
"""

_ELSEWHERE = """exists (select from delivery o
    where o.alert_id = d.alert_id and o.channel <> d.channel and o.accepted_at is not null)"""

RETURNED = f"""
update delivery d set returned_at = now()
where d.channel = $1 and d.state = 'rerouted' and d.returned_at is null and {_ELSEWHERE}
returning d.id, d.alert_id, (select o.channel from delivery o where o.alert_id = d.alert_id and o.channel <> d.channel
    and o.accepted_at is not null order by o.accepted_at limit 1)
"""

AGAIN = f"""
update delivery d set state = 'pending', next_at = now()
where d.channel = $1 and d.state = 'rerouted' and d.returned_at is null and not {_ELSEWHERE}
    and d.rerouted_at < now() - make_interval(secs => $2)
returning d.id
"""


async def late(conn: Connection, urgent_s: float, mild_s: float) -> list[Late]:
    """What waits longer than its grade allows: grades I and II `urgent_s`, all others `mild_s`. Locks the rows."""
    return [Late(*row) for row in await conn.fetch(LATE, urgent_s, mild_s)]


async def next_in_s(conn: Connection, urgent_s: float, mild_s: float) -> float | None:
    """Seconds until something will have waited too long; None when nothing waits."""
    seconds: float | None = await conn.fetchval(NEXT, urgent_s, mild_s)
    return seconds


async def channels_of(conn: Connection, alert_id: int) -> list[str]:
    """The channels that have, had, or are on their way to have an alert."""
    return list(await conn.fetchval(GIVEN_TO, alert_id) or ())


async def taken_by(conn: Connection, alert_id: int, channels: Sequence[str]) -> str | None:
    """The one of these channels that took the alert first."""
    channel: str | None = await conn.fetchval(TAKEN_BY, alert_id, list(channels))
    return channel


async def reroute(conn: Connection, delivery_id: int, to: str | None) -> None:
    """The message went another way, or there is none: then it goes on waiting."""
    await conn.execute(REROUTE, delivery_id, to)


async def returned(conn: Connection, channel: str) -> list[Returned]:
    """The alerts that people got another way meanwhile, each told once."""
    return [Returned(*row) for row in await conn.fetch(RETURNED, channel)]


async def again(conn: Connection, channel: str) -> bool:
    """Let ring here, after all, what no other way has taken; True when there is something."""
    return bool(await conn.fetch(AGAIN, channel, SETTLE_S))
