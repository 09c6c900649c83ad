"""What bots of other nodes told in a room that we share with them."""

from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class FellowMessage:
    """What a fellow's bot told of an alert. `about`: the report's id, or the emergency's.

    `kind`: of the alert, with the report's version as `ver`; or `call` and `escalation`, with the call's number and the
    level.
    """

    event_id: str
    room: str
    sender: str
    about: str
    ver: int
    kind: str
    grade: str
    at: datetime


HEARD = """
insert into fellow_message (event_id, room, sender, report_id, ver, kind, grade, at)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (event_id) do nothing
"""

# Said of this version or a later one, and no less grave.
TOLD = """
select event_id, sender from fellow_message
where room = $1 and report_id = $2 and ver >= $3 and kind = $4 and grade = $5 and removed_at is null
  and sender = any($6::text[])
order by at, event_id limit 1
"""

# Whoever calls people to an alert is alive.
CALLED = """
select exists (select from fellow_message where room = $1 and report_id = $2 and kind = 'escalation'
    and removed_at is null and sender = any($3::text[]) and at > $4)
"""

REMOVED = "update fellow_message set removed_at = now() where event_id = $1 and removed_at is null returning event_id"

TAKE_OVER = """
update delivery set state = 'pending', event_id = null, held = null, last_error = null, next_at = now(),
    not_before = now()
where state = 'covered' and event_id = $1
"""

FORGET = "delete from fellow_message where at < now() - interval '90 days'"


async def heard(conn: Connection, message: FellowMessage) -> None:
    """Keep what a fellow told; a message counts once."""
    m = message
    await conn.execute(HEARD, m.event_id, m.room, m.sender, m.about, m.ver, m.kind, m.grade, m.at)


async def told(
    conn: Connection, room: str, *, about: str, ver: int, kind: str, grade: str, fellows: tuple[str, ...]
) -> tuple[str, str] | None:
    """The event in which one of these fellows told the same, and who it was."""
    row = await conn.fetchrow(TOLD, room, about, ver, kind, grade, list(fellows))
    return None if row is None else (row[0], row[1])


async def called(conn: Connection, room: str, about: str, fellows: tuple[str, ...], since: datetime) -> bool:
    """Whether one of these fellows has called people to that alert since then."""
    found: bool = await conn.fetchval(CALLED, room, about, list(fellows), since)
    return found


async def removed(conn: Connection, event_id: str) -> bool:
    """A fellow's message was taken out of the room: what we left to it is ours again. False: it was none."""
    if await conn.fetchval(REMOVED, event_id) is None:
        return False
    await conn.execute(TAKE_OVER, event_id)
    return True


async def forget(conn: Connection) -> None:
    """Let go of what is too old to matter."""
    await conn.execute(FORGET)
