"""How messages about one incident hang together in a place: the root of the thread, and who told of it at all."""

from tocsin_node.storage.pool import Connection

# The oldest message about the incident that stands in that place by itself, or is going to.
ROOT = """
select d.id from delivery d join alert a on a.id = d.alert_id
where a.incident = $1 and d.channel = $2 and d.room = $3 and d.kind in ('ring', 'escalation', 'digest')
  and d.thread is null and d.edits is null and d.state not in ('failed', 'superseded', 'rerouted')
  and d.last_error is distinct from 'removed-from-room'
order by d.id limit 1
"""

# What follows a message that is not going to be there follows the one that took its place.
FOLLOW = """
update delivery d set thread = case when d.thread = gone.id then $1 else d.thread end,
    edits = case when d.edits = gone.id then $1 else d.edits end
from delivery gone, delivery root, alert a, alert b
where root.id = $1 and a.id = root.alert_id and b.incident = a.incident and gone.alert_id = b.id
  and gone.channel = root.channel and gone.room = root.room and gone.state in ('failed', 'superseded', 'rerouted')
  and gone.id in (d.thread, d.edits) and d.id <> root.id and d.channel = root.channel
  and d.state in ('pending', 'sending')
"""

# Notices, and letters to single people, follow or stand beside; they do not make a channel one that told of it.
TELLERS = """
select distinct d.channel from delivery d join alert a on a.id = d.alert_id
where a.incident = $1 and d.kind <> 'notice' and d.state not in ('failed', 'superseded', 'rerouted')
"""


async def root(conn: Connection, incident: str, channel: str, room: str) -> int | None:
    """The message that a thread about the incident hangs on in that place, whether or not it is there yet."""
    found: int | None = await conn.fetchval(ROOT, incident, channel, room)
    return found


async def follow(conn: Connection, root_id: int) -> None:
    """Let this message be the root of what waits for one about the same incident that is not going to be there."""
    await conn.execute(FOLLOW, root_id)


async def tellers(conn: Connection, incident: str) -> frozenset[str]:
    """The channels that told of the incident, or are on their way to."""
    return frozenset(row[0] for row in await conn.fetch(TELLERS, incident))
