"""Alarms: people are told of what rings, and what they answer is kept.

The transaction that stores a report also stores its alert and the message (`AlarmPlanner`). The courier
carries messages to the room, the listener reads what comes back, the channel knows whether the way is open. A
webhook and e-mail are further channels, each with a courier of its own; nothing is read back from them.
Nothing is kept in memory that a crash must not lose. Without any channel in the settings, alerts are recorded and
listed, `health` says that nobody is rung, and a channel that is set later gets those of the last week that are
still open.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tocsin_node.errors import NodeError, SecretError
from tocsin_node.health import Check, utc_now
from tocsin_node.links.alert_text import AlertFacts, foreign
from tocsin_node.links.mail import Mail
from tocsin_node.links.transport import Sender, Transport
from tocsin_node.links.webhook import Webhook
from tocsin_node.secrets import read_secret_at
from tocsin_node.services.alarm_channel import Channel, jitter_s
from tocsin_node.services.alarm_courier import Courier
from tocsin_node.services.alarm_listener import Listener, RoomAnswer
from tocsin_node.services.alarm_plan import LOWEST_PRIORITY, AlarmPlanner, AlertPlan
from tocsin_node.services.alarm_rule import AlarmRule
from tocsin_node.services.alarm_view import ack_as_json, alert_as_json
from tocsin_node.services.alarm_way import MAIL, MATRIX, WEBHOOK, Room, Way, ways_from
from tocsin_node.services.organisation import organisation_of, shortest_clock
from tocsin_node.services.pace import Pace
from tocsin_node.settings import MailSettings, MatrixSettings, Settings, WebhookSettings
from tocsin_node.storage import alerts, deliveries
from tocsin_node.storage.alerts import NewAck, StoredAlert
from tocsin_node.storage.deliveries import Backlog
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.marking import Tlp

__all__ = ["AlarmPlanner", "Alarms", "AlertPlan", "AlertUnknown", "open_alarms"]

DEAF_S = 90.0
LATE_S = 60.0
AGAIN_MAX_S = 5.0
NOTE_BYTES = 500
CREDENTIAL = "matrix-token"
NEVER_S = 1e9  # our name for a message stays with it: a receiver may know it for ever
OTHERS = {WEBHOOK: "The webhook's receiver", MAIL: "The mail server"}
logger = logging.getLogger(__name__)


class AlertUnknown(NodeError):
    """There is no alert of that number."""

    code = "alert-unknown"
    hint = "`tocsin alert list` shows those there are."


@dataclass(frozen=True, slots=True)
class _Line:
    """The parts that work on one channel. `listener`: where something can be read back;."""

    channel: Channel
    courier: Courier
    place: str
    listener: Listener | None = None

    async def open_and_look(self) -> None:
        """What the channel does; where nobody listens, it takes up itself what is known from before."""
        if self.listener is None:
            await self.channel.open(self.place)
        await self.channel.run()


class Alarms(AlarmPlanner):
    """Everything about alerts, for the rest of the node. Start `run()` once.

    `on_acknowledged` is called after acknowledgements by our own people, given or taken back, were committed; `on_sent`
    after a channel took a message. `on_room_answer` takes, inside the transaction, how the room answers an emergency.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        transport: Transport | None,
        *,
        others: Mapping[str, Sender] | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        ways = {way.channel: way for way in ways_from(settings)}
        rule = AlarmRule.from_settings(
            settings.alerts, shortest_clock(organisation_of(settings, settings.node.org))
        )
        super().__init__(rule, tuple(ways.values()), self._woken, now)
        self.on_acknowledged: Callable[[], None] = _nothing
        self.on_sent: Callable[[], None] = _nothing
        self.on_room_answer: Callable[[Connection, int, RoomAnswer], Awaitable[None]] = _nobody
        self._pool = pool
        self._org = settings.node.org
        self._lines: dict[str, _Line] = {}
        if settings.matrix is not None and transport is not None:
            self._lines[MATRIX] = self._room_line(settings.matrix, transport)
        for name, part in ((WEBHOOK, settings.webhook), (MAIL, settings.mail)):
            sender = (others or {}).get(name)
            if part is not None and sender is not None:
                self._lines[name] = self._other_line(ways[name], part, sender)

    def _room_line(self, matrix: MatrixSettings, transport: Transport) -> _Line:
        room = Room.from_settings(matrix)
        channel = Channel(self._pool, transport, MATRIX, room.id)
        pace = Pace(matrix.sends_per_s, matrix.send_burst)
        courier = Courier(
            self._pool,
            transport,
            MATRIX,
            channel,
            self,
            pace,
            request_timeout_s=matrix.request_timeout_s,
            sent=self._sent,
        )
        listener = Listener(
            self._pool,
            transport,
            channel,
            room,
            me=matrix.user_id,
            stream=f"{matrix.homeserver} {matrix.user_id} {room.id}",
            acknowledged=self._acknowledged,
            answered=self._answered,
        )
        channel.recovered = courier.hurry
        return _Line(channel, courier, room.id, listener)

    def _other_line(self, way: Way, part: WebhookSettings | MailSettings, sender: Sender) -> _Line:
        channel = Channel(
            self._pool, sender, way.channel, way.place, other=OTHERS[way.channel], look_proves=False
        )
        courier = Courier(
            self._pool,
            sender,
            way.channel,
            channel,
            self,
            Pace(part.sends_per_s, part.send_burst),
            request_timeout_s=part.request_timeout_s,
            stale_s=NEVER_S,
            sent=self._sent,
        )
        channel.recovered = courier.hurry
        return _Line(channel, courier, way.place)

    async def run(self) -> None:
        """Ring and listen until cancelled; returns at once when there is no channel."""
        async with asyncio.TaskGroup() as group:
            for channel, line in self._lines.items():
                works: dict[str, Callable[[], Awaitable[None]]] = {
                    "channel": line.open_and_look,
                    "backlog": partial(self._ring_unrung, channel, line),
                    "courier": line.courier.run,
                }
                if line.listener is not None:
                    works["listener"] = line.listener.run
                for name, work in works.items():
                    group.create_task(_kept_up(f"{channel} {name}", work), name=f"alarm {channel} {name}")

    async def list(self, *, open_only: bool, before: int | None, limit: int) -> Sequence[dict[str, Any]]:
        """Alerts as JSON, newest first; `before` is the id of the last one seen."""
        async with self._pool.acquire() as conn:
            found = await alerts.listing(conn, before=before, open_only=open_only, limit=limit)
            return await _shown(conn, found, self.ceiling)

    async def get(self, alert_id: int) -> dict[str, Any]:
        """One alert as JSON.

        Raises: AlertUnknown.
        """
        async with self._pool.acquire() as conn:
            alert = await alerts.get(conn, alert_id)
            if alert is None:
                raise AlertUnknown(f"There is no alert {alert_id}.")
            return (await _shown(conn, [alert], self.ceiling))[0]

    async def acknowledge(
        self, alert_id: int, *, by: str, via: Literal["api"] = "api", note: str | None = None
    ) -> dict[str, Any]:
        """Acknowledge an alert as a reaction in the room would; by the same name only once.

        Raises: AlertUnknown.
        """
        said = NewAck(by, via, self._now(), note=foreign(note or "", NOTE_BYTES) or None)
        async with self._pool.acquire() as conn:
            new = await alerts.acknowledge(conn, alert_id, said)
        if new:
            self.on_acknowledged()
        return await self.get(alert_id)

    async def acknowledgements(self, report_id: str) -> Sequence[dict[str, Any]]:
        """What was acknowledged about a report, here and at peers, as JSON, oldest first."""
        async with self._pool.acquire() as conn:
            return [ack_as_json(a) for a in await alerts.acks_of_report(conn, report_id)]

    async def test(self) -> dict[str, Any]:
        """Raise an alert that says TEST; it goes every way to its end, and each is looked at afresh."""
        facts = AlertFacts(kind="test", grade="none", tlp=Tlp.CLEAR)
        plan = AlertPlan(facts, 0, self._org, ours=True, priority=LOWEST_PRIORITY)
        async with self._pool.transaction() as conn:
            alert_id = await self.record(conn, plan, report_ver=None)
        assert alert_id is not None, "only alerts about reports can have rung already"
        for line in self._lines.values():
            line.channel.look()
        self.wake()
        return await self.get(alert_id)

    async def health(self) -> tuple[Check, ...]:
        """How each channel is, and whether alerts get there."""
        if not self._lines:
            hint = "Alerts are recorded but nobody is rung. Add a [matrix], [webhook] or [mail] section to node.toml."
            return (Check("matrix", "degraded", "no-channel", hint),)
        async with self._pool.acquire() as conn:
            backlog = await deliveries.backlog(conn, list(self._lines))
        return (
            *(_line_check(name, line.channel) for name, line in self._lines.items()),
            _backlog_check(backlog),
        )

    async def _ring_unrung(self, channel: str, line: _Line) -> None:
        """Give a channel what is open and on no way to it: it was set, or changed, after that was recorded."""
        async with self._pool.transaction() as conn:
            for alert_id in await deliveries.unrung(conn, channel, line.place):
                alert = await alerts.get(conn, alert_id)
                if alert is not None:
                    await self.enqueue_stored(conn, alert, channel)
        self.wake()

    def _woken(self) -> None:
        for line in self._lines.values():
            line.courier.wake()

    def _acknowledged(self) -> None:
        self.on_acknowledged()
        self.wake()  # what was said in the room may have led to a message

    async def _answered(self, conn: Connection, alert_id: int, answer: RoomAnswer) -> None:
        await self.on_room_answer(conn, alert_id, answer)

    def _sent(self) -> None:
        self.on_sent()


@asynccontextmanager
async def open_alarms(
    settings: Settings, pool: Pool, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Alarms]:
    """The node's alarms, with the channels that the settings name."""
    async with AsyncExitStack() as stack:
        transport: Transport | None = None
        matrix = settings.matrix
        if matrix is not None:
            from tocsin_node.links.matrix import MatrixTransport  # noqa: PLC0415  nio is slow to import

            transport = MatrixTransport(matrix, partial(_read_token, settings.path(matrix.access_token_file)))
            stack.push_async_callback(transport.close)
        others = other_senders(settings, now=now)
        for sender in others.values():
            stack.push_async_callback(sender.close)
        yield Alarms(settings, pool, transport, others=others, now=now)


def other_senders(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> dict[str, Sender]:
    """What carries alerts besides the room, by channel."""
    senders: dict[str, Sender] = {}
    webhook, mail = settings.webhook, settings.mail
    if webhook is not None:
        secret = partial(read_secret_at, settings.path(webhook.secret_file), credential="webhook-secret")
        senders[WEBHOOK] = Webhook(webhook, secret, _beside(settings, webhook.ca_file), now=now)
    if mail is not None:
        password = partial(read_secret_at, settings.path(mail.password_file), credential="mail-password")
        senders[MAIL] = Mail(mail, password, _beside(settings, mail.ca_file))
    return senders


def _beside(settings: Settings, file: str) -> Path | None:
    return settings.path(file) if file else None


async def _shown(conn: Connection, found: Sequence[StoredAlert], ceiling: Tlp) -> Sequence[dict[str, Any]]:
    acks = await alerts.acks_of(conn, found)
    messages = await deliveries.of_alerts(conn, [a.id for a in found])
    return [alert_as_json(alert, acks, messages, ceiling) for alert in found]


def _read_token(file: Path) -> str:
    token = read_secret_at(file, credential=CREDENTIAL).decode("ascii", errors="replace")
    if not token or not token.isprintable() or "\ufffd" in token or " " in token:
        raise SecretError("The Matrix access token is not one: it has to be one word of plain characters.")
    return token


async def _kept_up(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` again whenever it fails: an alarm that stopped for one bad moment would be worse than any error."""
    fails = 0
    while True:
        began_s = time.monotonic()
        try:
            return await work()
        except StorageError as exc:
            logger.warning("the alarm %s waits for the database: %s", name, exc)
        except Exception:
            logger.exception("the alarm %s failed and is started again", name)
        fails = fails + 1 if time.monotonic() - began_s < LATE_S else 1
        await asyncio.sleep(jitter_s(0.25 * 2.0 ** min(fails, 10), AGAIN_MAX_S))


def _line_check(name: str, channel: Channel) -> Check:
    standing = channel.standing
    if standing.status != "up":
        return Check(name, standing.status, standing.code, standing.hint)
    if channel.heard_s is not None and time.monotonic() - channel.heard_s > DEAF_S:
        hint = "The room's stream is silent; acknowledgements may be late. Alerts still go out."
        return Check("matrix", "degraded", "not-listening", hint)
    return Check(name)


def _backlog_check(backlog: Backlog) -> Check:
    look = "`tocsin alert list` shows which."
    if backlog.waiting_s > LATE_S:
        return Check("alerts", "degraded", "alerts-waiting", f"Alerts wait to go out. {look}")
    if backlog.unseen:
        hint = f"Alerts were accepted by the homeserver but not seen in the room. {look}"
        return Check("alerts", "degraded", "alerts-unseen", hint)
    if backlog.failed:
        return Check("alerts", "degraded", "alerts-refused", f"Alerts were refused as they were. {look}")
    return Check("alerts")


def _nothing() -> None:
    """Nobody wants to know."""


async def _nobody(_conn: Connection, _alert_id: int, _answer: RoomAnswer) -> None:
    """There are no emergencies to answer."""
