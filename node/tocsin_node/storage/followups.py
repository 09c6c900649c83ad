"""What is still to be done for an alert after its first message. The timer of its escalation stands here alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Followup:
    """`waits_min`: minutes that each level is waited for. `level`: who was called last, from 0.

    `urgent`: grade I, or a life at risk. `next_at`: when the next are called; None: nobody waits for an answer.
    """

    alert_id: int
    waits_min: tuple[int, ...]
    urgent: bool
    level: int
    next_at: datetime | None


_FOLLOWUP = "alert_id, waits_min, urgent, level, next_at"

START = """
insert into followup (alert_id, waits_min, urgent, next_at) values ($1, $2, $3, $4)
on conflict (alert_id) do update set waits_min = excluded.waits_min, next_at = excluded.next_at
where followup.level = 0
"""

# What is newer about the same report has a timer of its own, or tells that there is nothing to wait for any more.
LEAVE_EARLIER = """
update followup f set next_at = null from alert a
where a.id = f.alert_id and a.report_id = $1 and a.id < $2 and a.kind <> 'duty' and f.next_at is not null
returning f.alert_id
"""

DUE = f"select {_FOLLOWUP} from followup where next_at <= $1 order by next_at limit 1 for update skip locked"

OF = f"select {_FOLLOWUP} from followup where alert_id = $1 for update"

OF_ALERTS = f"select {_FOLLOWUP} from followup where alert_id = any($1::bigint[])"

SET = "update followup set level = $2, next_at = $3 where alert_id = $1"

NEXT_AT = "select min(next_at) from followup where next_at is not null"

VOID = """
select exists (select from alert a join report r on r.id = a.report_id where a.id = $1 and r.state = 'withdrawn')
    or exists (select from alert a join alert b on b.report_id = a.report_id and b.id > a.id and b.kind <> 'duty'
               where a.id = $1)
"""


# A call that has not gone out says less than the one that follows it.
OVERTAKEN = """
update delivery set state = 'superseded', held = 'called-again'
where alert_id = $1 and kind = 'escalation' and state = 'pending' and accepted_at is null
"""

LEFT_TO_FELLOW = """
select array_agg(distinct channel) from delivery where alert_id = $1 and state = 'covered' and event_id is not null
"""

# When a ring that a silence held is let go: people can answer it from then on.
LET_GO_AT = """
select max(not_before) from delivery where alert_id = $1 and kind = 'ring' and held like 'silence %'
"""

# No timer reaches further than its level's minutes, unless somebody muted the alert.
SHORTEN = """
update followup f set next_at = greatest(least(f.next_at, soon.at), (
    select max(k.until) from act k where k.alert_id = f.alert_id and k.kind = 'mute' and k.revoked_at is null))
from (select s.alert_id, $1::timestamptz + make_interval(
          mins => s.waits_min[least(s.level + 1, array_length(s.waits_min, 1))]) as at from followup s) as soon
where soon.alert_id = f.alert_id and f.next_at > soon.at
"""

# Told in a digest or in another alert's thread: people answer there, and it rings nobody by itself. What a fellow told
# is not left for good: it may have died since.
LEFT = """
select coalesce(bool_or(state = 'covered' and thread is not null), false)
    or coalesce(bool_or(state = 'covered' and event_id is null or kind = 'notice' and held is not null), false)
    and not coalesce(bool_or(kind = 'ring' and state not in ('failed', 'superseded')
                             and (state <> 'covered' or event_id is not null)), false)
from delivery where alert_id = $1
"""

GIVE_WAY = (
    "update followup set next_at = next_at + make_interval(secs => $2) where alert_id = $1 and level = 0"
)


async def start(
    conn: Connection, alert_id: int, waits_min: Sequence[int], next_at: datetime | None, *, urgent: bool
) -> None:
    """Wait for an answer to a new alert until `next_at`; None: not at all."""
    await conn.execute(START, alert_id, list(waits_min), urgent, next_at)


async def leave_earlier(conn: Connection, report_id: str, alert_id: int) -> list[int]:
    """Wait for no answer to earlier alerts about the report any more; which those were."""
    return [row[0] for row in await conn.fetch(LEAVE_EARLIER, report_id, alert_id)]


async def due(conn: Connection, now: datetime) -> Followup | None:
    """The one that waits longest beyond its time, locked for the transaction."""
    row = await conn.fetchrow(DUE, now)
    return None if row is None else _followup(row)


async def of(conn: Connection, alert_id: int) -> Followup | None:
    """That of an alert, locked for the transaction; None: it was raised before there were any."""
    row = await conn.fetchrow(OF, alert_id)
    return None if row is None else _followup(row)


async def of_alerts(conn: Connection, alert_ids: Sequence[int]) -> dict[int, Followup]:
    """Those of several alerts."""
    found = [_followup(row) for row in await conn.fetch(OF_ALERTS, list(alert_ids))]
    return {each.alert_id: each for each in found}


async def put(conn: Connection, followup: Followup) -> None:
    """Keep a new level and time."""
    await conn.execute(SET, followup.alert_id, followup.level, followup.next_at)


async def overtake(conn: Connection, alert_id: int) -> None:
    """Drop the calls for an alert that wait to go out: another follows."""
    await conn.execute(OVERTAKEN, alert_id)


async def left_to_fellow(conn: Connection, alert_id: int) -> frozenset[str]:
    """The channels where another node told of an alert in our stead."""
    return frozenset(await conn.fetchval(LEFT_TO_FELLOW, alert_id) or ())


async def give_way(conn: Connection, alert_id: int, by_s: float) -> None:
    """Let the first call for an alert come so much later, and with it those that follow."""
    await conn.execute(GIVE_WAY, alert_id, by_s)


async def let_go_at(conn: Connection, alert_id: int) -> datetime | None:
    """When a silence lets an alert ring, or did; None: none held it."""
    at: datetime | None = await conn.fetchval(LET_GO_AT, alert_id)
    return at


async def shorten(conn: Connection, now: datetime) -> None:
    """Let no timer wait longer than its level does; a mute stands."""
    await conn.execute(SHORTEN, now)


async def next_at(conn: Connection) -> datetime | None:
    """When the next is due."""
    at: datetime | None = await conn.fetchval(NEXT_AT)
    return at


async def left_to_others(conn: Connection, alert_id: int) -> bool:
    """Whether an alert was told as part of something else, and rang nobody."""
    found: bool = await conn.fetchval(LEFT, alert_id)
    return found


async def void(conn: Connection, alert_id: int) -> bool:
    """Whether an alert's report is withdrawn, also where that rang nobody, or has a newer alert."""
    found: bool = await conn.fetchval(VOID, alert_id)
    return found


def _followup(row: Any) -> Followup:
    return Followup(row[0], tuple(row[1]), *row[2:])
