"""Who has read an alert: from the public read receipts of the people who may acknowledge.

A receipt names the last event that somebody has read, which may be any event of the room; an alert is covered when it
does not stand after that one. Receipts are personal, so no history of them is kept: of each alert, who was the first
to read it and when. It never leaves this house.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.links.transport import Heard, Transport
from tocsin_node.services.alarm_way import Room
from tocsin_node.storage import deliveries
from tocsin_node.storage.pool import Connection, Pool

REMEMBERED = 2000
ASKED_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """`by` has read all that happened up to `up_to` (the homeserver's clock), at `at`; `thread` as in `Receipt`."""

    by: str
    at: datetime
    up_to: datetime
    thread: str | None


class Readings:
    """Turns a room's receipts into readings. Remembers when the latest events happened; others it asks for.

    `counts`: whose readings are kept.
    """

    def __init__(
        self, pool: Pool, transport: Transport, room: Room, name: str, counts: Callable[[str], bool]
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._room = room
        self._name = name
        self._counts = counts
        self._times: OrderedDict[str, datetime] = OrderedDict()

    async def of(self, heard: Heard) -> list[Reading]:
        """What people are now known to have read. May ask the homeserver; what it does not tell is left out."""
        for event in heard.events:
            self._remember(event.event_id, event.at)
        readings = []
        asked = 0
        for receipt in heard.receipts:
            if not self._counts(receipt.user):
                continue
            up_to = self._times.get(receipt.event_id)
            if up_to is None and asked < ASKED_AT_ONCE:
                asked += 1
                found = await self._transport.happened_at(self._room.id, receipt.event_id)
                if isinstance(found, datetime):
                    self._remember(receipt.event_id, found)
                    up_to = found
            if up_to is not None:
                readings.append(Reading(receipt.user, receipt.at, up_to, receipt.thread))
        return readings

    async def keep(self, conn: Connection, readings: list[Reading]) -> None:
        """Keep who was first, in the caller's transaction."""
        for reading in sorted(readings, key=lambda r: r.at):
            await deliveries.seen(
                conn,
                self._name,
                self._room.id,
                up_to=reading.up_to,
                by=reading.by,
                at=reading.at,
                thread=reading.thread,
            )

    def _remember(self, event_id: str, at: datetime) -> None:
        self._times[event_id] = at
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
