"""The parts that work on one channel, put together: what carries, what listens, what looks whether it can."""

from asyncio import Event
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import monotonic

import msgspec

from tocsin_node.health import Check
from tocsin_node.links.transport import ChannelDown, Ready, Retry, Sender, Transport
from tocsin_node.services.alarm_canary import Canary
from tocsin_node.services.alarm_channel import Channel
from tocsin_node.services.alarm_courier import Courier
from tocsin_node.services.alarm_desk import Desk
from tocsin_node.services.alarm_listener import Listener
from tocsin_node.services.alarm_orders import Orders
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.alarm_way import MAIL, OPS, WEBHOOK, Room, Way, hint_for
from tocsin_node.services.pace import Pace
from tocsin_node.settings.channels import MailSettings, MatrixSettings, WebhookSettings
from tocsin_node.settings.record import Settings
from tocsin_node.storage.pool import Pool

DEAF_S = 90.0
NEVER_S = 1e9  # our name for a message stays with it: a receiver may know it for ever
OTHERS = {WEBHOOK: "The webhook's receiver", MAIL: "The mail server"}


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is done with what a room says. `acted`, `answered`: as the listener calls them."""

    orders: Orders
    desk: Desk
    acted: Callable[[], None]
    answered: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One channel at work. `listener` and `canary`: where something can be read back."""

    name: str
    place: str
    sender: Sender
    channel: Channel
    courier: Courier
    listener: Listener | None = None
    canary: Canary | None = None

    def works(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        """All that has to run, by name."""
        yield "channel", self._open_and_look
        yield "courier", self.courier.run
        if self.listener is not None:
            yield "listener", self.listener.run
        if self.canary is not None:
            yield "canary", self.canary.run

    async def look(self) -> Ready | Retry | ChannelDown:
        """Look afresh at all that must hold, without a word to anybody."""
        return await self.sender.preflight(self.place)

    def alive(self) -> bool:
        """Whether what is put into its outbox now would go out now."""
        return self.channel.well and self.courier.alive

    def back(self) -> bool:
        """Whether it answers, and what it already has is known."""
        return self.channel.well and (self.listener is None or self.channel.caught_up)

    def checks(self) -> Iterator[Check]:
        """How the channel is, as `/healthz` shows it."""
        standing, heard_s = self.channel.standing, self.channel.heard_s
        if standing.status != "up":
            yield Check(self.name, standing.status, standing.code, standing.hint)
        elif heard_s is not None and monotonic() - heard_s > DEAF_S:
            hint = "The room's stream is silent; acknowledgements may be late. Alerts still go out."
            yield Check(self.name, "degraded", "not-listening", hint)
        else:
            yield Check(self.name)
        if self.canary is not None:
            yield self.canary.check()

    def said(self, found: Ready | Retry | ChannelDown) -> tuple[str | None, str | None]:
        """Code and hint of a look, in the words of the channel's own section; two None: all is well."""
        if isinstance(found, Retry):
            return found.code, "The other side does not answer now; alerts wait and go out by themselves."
        trouble = found.warning if isinstance(found, Ready) else found
        return (None, None) if trouble is None else (trouble.code, hint_for(self.name, trouble.hint))

    async def _open_and_look(self) -> None:
        """What the channel does; where nobody listens, it takes up itself what is known from before."""
        if self.listener is None:
            await self.channel.open(self.place)
        await self.channel.run()


def room_line(
    pool: Pool,
    planner: AlarmPlanner,
    name: str,
    matrix: MatrixSettings,
    transport: Transport,
    hearing: Hearing,
) -> Line:
    """A room that is rung and listened to."""
    room = Room.from_settings(matrix)
    channel = Channel(pool, transport, name, room.id, invited=partial(transport.invited, room.id))
    canary = Canary(
        pool,
        transport,
        channel,
        name,
        room.id,
        every_s=matrix.canary_s,
        back_within_s=matrix.canary_back_s,
    )
    listener = Listener(
        pool,
        transport,
        channel,
        room,
        hearing.orders,
        hearing.desk,
        name=name,
        canary=canary,
        me=matrix.user_id,
        stream=f"{matrix.homeserver} {matrix.user_id} {room.id}",
        acted=hearing.acted,
        answered=hearing.answered,
        fellows=matrix.fellows,
        taken_over=planner.wake,
    )
    heard = listener.heard if matrix.fellows else None
    courier = _room_courier(pool, planner, name, matrix, transport, channel, heard)
    return Line(name, room.id, transport, channel, courier, listener, canary)


def ops_line(pool: Pool, planner: AlarmPlanner, matrix: MatrixSettings, transport: Transport) -> Line:
    """The operators' room: written to, not listened to; no alert goes there."""
    channel = Channel(pool, transport, OPS, matrix.room, invited=partial(transport.invited, matrix.room))
    courier = _room_courier(pool, planner, OPS, matrix, transport, channel)
    return Line(OPS, matrix.room, transport, channel, courier)


def other_line(
    pool: Pool, planner: AlarmPlanner, way: Way, part: WebhookSettings | MailSettings, sender: Sender
) -> Line:
    """A channel from which nothing is read back."""
    channel = Channel(pool, sender, way.channel, way.place, other=OTHERS[way.channel], look_proves=False)
    courier = Courier(
        pool,
        sender,
        way.channel,
        channel,
        planner,
        Pace(part.sends_per_s, part.send_burst),
        request_timeout_s=part.request_timeout_s,
        stale_s=NEVER_S,
    )
    return Line(way.channel, way.place, sender, channel, courier)


def ops_settings(settings: Settings) -> MatrixSettings | None:
    """The first homeserver's settings, for the operators' room; None where there is no such room.

    That room is in the clear: it shares the first room's device, whose keys only one may read.
    """
    if settings.matrix is None or not settings.ops.room:
        return None
    clear = {"encrypted": False, "room_max_tlp": ""}
    return msgspec.structs.replace(settings.matrix, room=settings.ops.room, responders=(), **clear)


def _room_courier(
    pool: Pool,
    planner: AlarmPlanner,
    name: str,
    matrix: MatrixSettings,
    transport: Sender,
    channel: Channel,
    listening: Event | None = None,
) -> Courier:
    pace = Pace(matrix.sends_per_s, matrix.send_burst)
    timeout_s = matrix.request_timeout_s
    return Courier(
        pool, transport, name, channel, planner, pace, request_timeout_s=timeout_s, listening=listening
    )
