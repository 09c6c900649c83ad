"""The ear: read the room's stream, see our own messages arrive, and take what people say.

The position in the stream is committed in the same transaction as what was read up to it, so a crash repeats
a piece and loses none; every act is known by its event's id and counts once. What a stream can
miss (a start without a position, a gap too wide) is made good by asking for all that relates to each alert,
at the start, after a gap, and every ten minutes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from tocsin_node.links.answer import TakenBack, read
from tocsin_node.links.matrix_answers import CANARY, mapping
from tocsin_node.links.transport import ChannelDown, Heard, Retry, RoomEvent, Transport
from tocsin_node.services.alarm_canary import Canary
from tocsin_node.services.alarm_channel import Channel
from tocsin_node.services.alarm_desk import Desk
from tocsin_node.services.alarm_fellow import told_by_fellow
from tocsin_node.services.alarm_orders import Orders
from tocsin_node.services.alarm_readings import Readings
from tocsin_node.services.alarm_way import Room
from tocsin_node.storage import acts, channels, deliveries, fellows
from tocsin_node.storage.pool import Connection, Pool

WATCHED_ALERTS = 100
RECONCILE_S = 600.0
RETRY_S = 15.0  # when it could not be asked
SOMEBODY = "somebody"  # a reaction that is gone does not say who took it away
OWN_TYPES = ("m.room.message", CANARY)
QUIET_S = 0.5  # who answers at once with nothing is not asked again at once


class Listener:
    """Reads one room. `acted` is called after acts, done or taken back, were committed; `answered` after answers."""

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        channel: Channel,
        room: Room,
        orders: Orders,
        desk: Desk,
        *,
        name: str,
        canary: Canary,
        me: str,
        stream: str,
        acted: Callable[[], None],
        answered: Callable[[], None],
        fellows: tuple[str, ...] = (),
        taken_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._channel = channel
        self._room = room
        self._orders = orders
        self._desk = desk
        self._name = name
        self._canary = canary
        self._readings = Readings(pool, transport, room, name, self._is_reader)
        self._me = me
        self._stream = stream
        self._acted = acted
        self._answered = answered
        self._fellows = fellows
        self._taken_over = taken_over
        self._position: str | None = None
        self._reconcile_at_s = 0.0
        self.heard = asyncio.Event()  # that the room was read up to the present, once

    async def run(self) -> None:
        """Listen until cancelled."""
        self._reconcile_at_s = 0.0
        self._position = await self._channel.open(self._stream)
        while True:
            await self._channel.usable.wait()
            rest_s = await self.listen()
            if rest_s:
                await asyncio.sleep(rest_s)

    async def listen(self) -> float:
        """Hear what is new and commit it; returns the seconds to rest before the next time.

        Raises: StorageError; the position is then what it was.
        """
        began_s = time.monotonic()
        if began_s >= self._reconcile_at_s:  # before the wait for news, which may be long
            self._reconcile_at_s = began_s + (RECONCILE_S if await self.reconcile() else RETRY_S)
        caught_up = (
            self._channel.caught_up
        )  # otherwise a long wait would keep it from being known that it is back
        since = self._position
        heard = await self._transport.sync(self._room.id, since, wait=caught_up)
        if not isinstance(heard, Heard):
            return await self._not_heard(heard)
        await self._take(heard)
        self.heard.set()
        if not heard.complete:
            self._reconcile_at_s = 0.0
        elif not since:  # what was sent while the present was looked for may lie before it
            self._reconcile_at_s = began_s + RETRY_S
        await self._channel.worked(warning=heard.warning)
        self._channel.heard()
        if heard.trouble is not None:
            await self._channel.broke(heard.trouble)
        return 0.0 if heard.events or time.monotonic() - began_s > QUIET_S else QUIET_S

    async def reconcile(self) -> bool:
        """Make good what the stream may have missed about the newest alerts; False: not all could be asked."""
        async with self._pool.acquire() as conn:
            watched = await deliveries.watched(conn, self._name, self._room.id, WATCHED_ALERTS)
        for alert_id, events in watched:
            related: list[RoomEvent] = []
            for event_id in events:
                found = await self._transport.relations(self._room.id, event_id)
                if isinstance(found, Retry | ChannelDown):
                    return False
                related += found
            await self._settle(alert_id, related)
        return True

    async def _not_heard(self, trouble: Retry | ChannelDown) -> float:
        if isinstance(trouble, ChannelDown):
            await self._channel.broke(trouble)
            return 0.0
        if trouble.code == "position-lost":
            self._position, self._reconcile_at_s = None, 0.0
        await self._channel.stumbled(trouble)
        return max(self._channel.pause_s(), self._channel.rest_s())

    async def _take(self, heard: Heard) -> None:
        readings = await self._readings.of(heard)
        async with self._pool.transaction() as conn:
            changed, ignored = await self._read(conn, heard.events)
            await self._readings.keep(conn, readings)
            await channels.advance(conn, self._name, heard.next, ignored)
        self._position = heard.next
        for event in heard.events:
            if event.sender == self._me and event.type in OWN_TYPES:
                self._channel.proved_s = time.monotonic()
                self._canary.came_back(_own_txn(event) or "")
        self._tell(changed)

    async def _settle(self, alert_id: int, related: Sequence[RoomEvent]) -> None:
        """Take what relates to an alert that stands in the room; a reaction that is not among it was taken back."""
        async with self._pool.transaction() as conn:
            changed, _ = await self._read(conn, related)
            standing = [e.event_id for e in related]
            gone = await acts.revoke_missing(conn, alert_id, self._name, standing)
            if gone:
                await self._desk.undone(conn, alert_id, SOMEBODY)
            await deliveries.found(conn, alert_id, self._name)
        self._tell(changed or gone)

    def _tell(self, changed: bool) -> None:
        if changed:
            self._acted()
        else:
            self._answered()

    async def _read(self, conn: Connection, events: Sequence[RoomEvent]) -> tuple[bool, int]:
        """Whether an act came or went, and how many came from people who may not act."""
        changed, ignored = False, 0
        for event in events:
            if event.sender == self._me:
                await self._see_own(conn, event)
                continue
            if event.sender in self._fellows:
                message = told_by_fellow(event, self._room.id)
                if message is not None:
                    await fellows.heard(conn, message)
                if event.type != "m.room.redaction":
                    continue
            answer = read(event)
            if answer is None:
                continue
            if isinstance(answer, TakenBack):
                changed |= await self._take_back(conn, event, answer.target)
                if await fellows.removed(conn, answer.target):
                    self._taken_over()
                continue
            done = await self._orders.obey(conn, event, answer)
            ignored += done is None
            changed |= bool(done)
        return changed, ignored

    def _is_reader(self, person: str) -> bool:
        return person != self._me and self._orders.may_act(person)

    async def _take_back(self, conn: Connection, event: RoomEvent, target: str) -> bool:
        alert_id = await acts.revoke(conn, target, event.at, event.sender)
        await deliveries.removed(conn, target)
        if alert_id is not None:
            await self._desk.undone(conn, alert_id, event.sender)
        return alert_id is not None

    async def _see_own(self, conn: Connection, event: RoomEvent) -> None:
        """Our own message has come round: the room has it."""
        txn = _own_txn(event)
        if txn is not None and event.type == "m.room.message":
            await deliveries.echoed(conn, txn, event.event_id, event.at)
        elif txn is not None and event.type == CANARY:
            await channels.canary_back(conn, self._name, txn)


def _own_txn(event: RoomEvent) -> str | None:
    """Our name for a message of ours; it stands inside too, for when another device of the bot sent it."""
    inside = event.content if event.type == CANARY else mapping(event.content.get("org.tocsin.alert"))
    txn = event.txn or inside.get("txn")
    return txn if isinstance(txn, str) else None
