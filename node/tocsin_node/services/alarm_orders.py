"""Orders from the room: who may give them, which alert they mean, what they do, and what is answered.

Acts are done at the desk, which tells the room of them in the alert's thread. What only asks is answered where it was
asked. Each event is obeyed and answered once, however often it is read; what was asked long ago is not answered any
more, and a hint goes out once an hour.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from tocsin_federation.calls import Said
from tocsin_node.errors import NodeError
from tocsin_node.links.answer import ABOUT_ALERTS, Order, Reacted, Unknown
from tocsin_node.links.emergency_words import ROOM_ANSWERS
from tocsin_node.links.room_words import (
    NO_ALERT,
    NO_EMERGENCY,
    help_lines,
    hint_line,
    oncall_lines,
    reply_content,
    status_line,
)
from tocsin_node.links.transport import RoomEvent
from tocsin_node.services.alarm_desk import Desk
from tocsin_node.services.alarm_plan import LOWEST_PRIORITY
from tocsin_node.services.alarm_way import Room, marked
from tocsin_node.services.oncall import Oncall
from tocsin_node.services.subscriptions import Subscriptions
from tocsin_node.storage import alerts, deliveries
from tocsin_node.storage.acts import Kind, NewAct
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.deliveries import NewDelivery
from tocsin_node.storage.pool import Connection

FRESH = timedelta(hours=1)
HINT_EVERY = timedelta(hours=1)
OPEN_SHOWN = 10
RoomAnswered = Callable[[Connection, int, "RoomAnswer"], Awaitable[None]]
Show = Callable[[Connection, Sequence[StoredAlert]], Awaitable[Sequence[dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class RoomAnswer:
    """What somebody in the room says about an emergency: whether we are affected."""

    says: Said
    by: str
    at: datetime
    text: str


class Orders:
    """Obeys one room. `channel`: the name that it goes by; `show` gives alerts as the API shows them.

    `answered` takes, inside the transaction, the word by which the room answers an emergency.
    """

    def __init__(
        self,
        channel: str,
        room: Room,
        desk: Desk,
        oncall: Oncall,
        subscriptions: Subscriptions,
        show: Show,
        answered: RoomAnswered,
        now: Callable[[], datetime],
    ) -> None:
        self._channel = channel
        self._room = room
        self._desk = desk
        self._oncall = oncall
        self._subscriptions = subscriptions
        self._show = show
        self._answered = answered
        self._now = now

    def may_act(self, person: str) -> bool:
        """Whether somebody may act in this room."""
        return self._oncall.may_act(person, self._room.responders)

    async def obey(self, conn: Connection, event: RoomEvent, said: Reacted | Order | Unknown) -> bool | None:
        """Do what was said; whether anything about an alert changed, None when its sender may not act."""
        alert = await self._meant(conn, said)
        if not self.may_act(event.sender):
            return None if alert is not None else False
        if isinstance(said, Reacted):
            if alert is None:
                return False
            act = NewAct("ack", event.sender, "reaction", event.at, event.event_id, channel=self._channel)
            return await self._desk.do(conn, alert, act)
        if isinstance(said, Unknown):
            await self._answer(conn, event, said.thread, [hint_line(said.word)], hint=True)
            return False
        if said.verb in ABOUT_ALERTS:
            return await self._about(conn, event, said, alert)
        await self._answer(conn, event, said.thread, await self._told(conn, event, said))
        return False

    async def _about(
        self, conn: Connection, event: RoomEvent, said: Order, alert: StoredAlert | None
    ) -> bool:
        if said.verb == "status":
            await self._answer(conn, event, said.thread, await self._status(conn, said, alert))
            return False
        if alert is None:
            missing = NO_ALERT.format(verb=said.verb)
            if said.number is not None:
                missing = f"There is no alert {said.number}. !status lists those that are open."
            await self._answer(conn, event, said.thread, [missing])
            return False
        if said.verb in ROOM_ANSWERS:
            return await self._call_answered(conn, event, said, alert)
        if said.verb == "mute" and not said.span:
            await self._answer(conn, event, said.thread, ["For how long? !mute 2h, or !mute 30m."])
            return False
        until = event.at + said.span if said.verb == "mute" and said.span else None
        kind = cast("Kind", said.verb)  # status was answered above
        act = NewAct(
            kind, event.sender, "reply", event.at, event.event_id, said.note, until, channel=self._channel
        )
        try:
            if act.kind == "escalate":
                return await self._desk.call_now(conn, alert, act)
            return await self._desk.do(conn, alert, act)
        except NodeError as exc:
            await self._answer(conn, event, said.thread, [f"{exc.message} {exc.hint}"])
            return False

    async def _call_answered(
        self, conn: Connection, event: RoomEvent, said: Order, alert: StoredAlert
    ) -> bool:
        """Take a word about an emergency; whoever says it has seen the alert."""
        if alert.kind != "emergency":
            await self._answer(conn, event, said.thread, [NO_EMERGENCY.format(alert=alert.id)])
            return False
        act = NewAct("ack", event.sender, "reply", event.at, event.event_id, said.note, channel=self._channel)
        await self._desk.do(conn, alert, act)
        word = RoomAnswer(ROOM_ANSWERS[said.verb], event.sender, event.at, said.note or "")
        await self._answered(conn, alert.id, word)
        return True

    async def _meant(self, conn: Connection, said: Reacted | Order | Unknown) -> StoredAlert | None:
        """The alert by number; else of the message answered; else the newest of the thread."""
        if isinstance(said, Unknown):
            return None
        if isinstance(said, Order) and said.number is not None:
            return await alerts.get(conn, said.number)
        alert_id: int | None = None
        if said.target is not None:
            alert_id = await deliveries.alert_of(conn, said.target)
        if alert_id is None and isinstance(said, Order) and said.thread is not None:
            root = await deliveries.alert_of(conn, said.thread)
            alert_id = None if root is None else await alerts.newest_of_incident(conn, root)
        return None if alert_id is None else await alerts.get(conn, alert_id)

    async def _status(self, conn: Connection, said: Order, alert: StoredAlert | None) -> list[str]:
        if alert is not None:
            found = [alert]
        elif said.number is not None:
            return [f"There is no alert {said.number}."]
        else:
            found = await alerts.listing(conn, before=None, open_only=True, limit=OPEN_SHOWN + 1)
        lines = [status_line(each, self._oncall.zone) for each in await self._show(conn, found[:OPEN_SHOWN])]
        if len(found) > OPEN_SHOWN:
            lines.append("There are more: `tocsin alert list --open`.")
        return lines or ["No alert is open."]

    async def _told(self, conn: Connection, event: RoomEvent, said: Order) -> list[str]:
        if said.verb == "oncall":
            return oncall_lines(await self._oncall.show(conn, event.at), self._oncall.zone)
        if said.verb == "subscriptions":
            return await self._subscriptions.lines(conn, event.sender)
        if said.verb == "unsubscribe":
            return [await self._subscriptions.end_by(conn, event.sender, said.number)]
        return help_lines()

    async def _answer(
        self,
        conn: Connection,
        event: RoomEvent,
        thread: str | None,
        lines: Sequence[str],
        *,
        hint: bool = False,
    ) -> None:
        """Answer one event. The name of the answer follows from the event, that of a hint from the hour."""
        if self._now() - event.at > FRESH:
            return
        hour = int(event.at.timestamp() // HINT_EVERY.total_seconds())
        what = f"hint {hour}" if hint else event.event_id
        name = hashlib.sha256(json.dumps([self._room.id, what]).encode()).hexdigest()[:32]
        txn = f"tocsin-answer-{name}"
        content = marked(reply_content(lines, event.event_id, thread), txn)
        new = NewDelivery(
            None,
            channel=self._channel,
            room=self._room.id,
            priority=LOWEST_PRIORITY,
            content=json.dumps(content),
            txn=txn,
            max_tlp=self._room.ceiling.value,
            kind="notice",
        )
        await deliveries.enqueue(conn, new)
