"""How each way to people is, and how far its stream has been read."""

from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """A channel as it was last known."""

    state: str
    code: str | None
    hint: str | None
    since: datetime
    last_ok_at: datetime | None
    pause_s: float
    ignored_acks: int


OPEN = """
insert into channel (name, state, code, sync_of) values ($1, 'degraded', 'starting', $2)
on conflict (name) do update set sync_of = excluded.sync_of,
    sync_since = case when channel.sync_of = excluded.sync_of then channel.sync_since end
returning sync_since
"""

GET = """
select state, code, hint, since, last_ok_at,
    greatest(coalesce(extract(epoch from paused_until - now()), 0), 0)::float8, ignored_acks
from channel where name = $1
"""

SET_STATE = """
update channel set state = $2, code = $3, hint = $4, fail_count = $5,
    since = case when state = $2 and code is not distinct from $3 then since else now() end,
    last_ok_at = case when $2 = 'up' then now() else last_ok_at end
where name = $1
"""

PAUSE = "update channel set paused_until = now() + make_interval(secs => $2) where name = $1"

ADVANCE = """
update channel set sync_since = $2, last_ok_at = now(), ignored_acks = ignored_acks + $3 where name = $1
"""


CANARY_OUT = "update channel set canary_txn = $2, canary_out_at = now() where name = $1"

CANARY_BACK = """
update channel set canary_txn = null, canary_back_at = now(),
    canary_trip_s = extract(epoch from now() - canary_out_at)
where name = $1 and canary_txn = $2
"""

CANARY = """
select extract(epoch from now() - canary_back_at)::float8, canary_trip_s
from channel where name = $1 and canary_back_at is not null
"""


@dataclass(frozen=True, slots=True)
class StoredCanary:
    """The last canary of a channel that came back: seconds since it did, and how long it took."""

    age_s: float
    round_trip_s: float


async def open_channel(conn: Connection, name: str, sync_of: str) -> str | None:
    """Make the channel known; returns how far its stream was read, if it is still the same stream."""
    position: str | None = await conn.fetchval(OPEN, name, sync_of)
    return position


async def get(conn: Connection, name: str) -> StoredChannel | None:
    """The channel as it was last known."""
    row = await conn.fetchrow(GET, name)
    return None if row is None else StoredChannel(*row)


async def set_state(
    conn: Connection, name: str, state: str, code: str | None, hint: str | None, fails: int
) -> None:
    """Keep how the channel is; `since` moves when state or code change."""
    await conn.execute(SET_STATE, name, state, code, hint, fails)


async def pause(conn: Connection, name: str, seconds: float) -> None:
    """The other side told us to wait."""
    await conn.execute(PAUSE, name, seconds)


async def advance(conn: Connection, name: str, position: str, ignored: int) -> None:
    """The stream was read up to `position`; in the same transaction as what followed from it."""
    await conn.execute(ADVANCE, name, position, ignored)


async def canary_out(conn: Connection, name: str, txn: str) -> None:
    """A canary is about to go out under that transaction id."""
    await conn.execute(CANARY_OUT, name, txn)


async def canary_back(conn: Connection, name: str, txn: str) -> None:
    """Our own client saw it in the room."""
    await conn.execute(CANARY_BACK, name, txn)


async def canary(conn: Connection, name: str) -> StoredCanary | None:
    """The last canary of a channel that came back; None when none did."""
    row = await conn.fetchrow(CANARY, name)
    return None if row is None else StoredCanary(*row)
