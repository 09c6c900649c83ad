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
from dataclasses import dataclass, field
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
from tocsin_node.services import alarm_check
from tocsin_node.services.alarm_channel import jitter_s
from tocsin_node.services.alarm_line import Line, ops_line, ops_settings, other_line, room_line
from tocsin_node.services.alarm_notice import Notices
from tocsin_node.services.alarm_plan import LOWEST_PRIORITY, AlarmPlanner, AlertPlan
from tocsin_node.services.alarm_reroute import Rerouter
from tocsin_node.services.alarm_rule import AlarmRule
from tocsin_node.services.alarm_view import ack_as_json, alert_as_json
from tocsin_node.services.alarm_way import MAIL, MATRIX, MATRIX_2, OPS, WEBHOOK, Way, ways_from
from tocsin_node.services.organisation import organisation_of, shortest_clock
from tocsin_node.settings import MatrixSettings, Settings
from tocsin_node.storage import alerts, deliveries
from tocsin_node.storage.alerts import NewAck, StoredAlert
from tocsin_node.storage.deliveries import Backlog
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.marking import Tlp

__all__ = ["AlarmPlanner", "Alarms", "AlertPlan", "AlertUnknown", "open_alarms"]

LATE_S = 60.0
AGAIN_MAX_S = 5.0
NOTE_BYTES = 500
CREDENTIAL = "matrix-token"
SECOND_CREDENTIAL = "matrix-second-token"
logger = logging.getLogger(__name__)


class AlertUnknown(NodeError):
    """There is no alert of that number."""

    code = "alert-unknown"
    hint = "`tocsin alert list` shows those there are."


@dataclass(frozen=True, slots=True)
class Carriers:
    """What carries messages, by channel: `rooms` can be read back, `others` cannot."""

    rooms: Mapping[str, Transport] = field(default_factory=dict)
    others: Mapping[str, Sender] = field(default_factory=dict)


class Alarms(AlarmPlanner):
    """Everything about alerts, for the rest of the node. Start `run()` once.

    `on_acknowledged` is called after acknowledgements by our own people, given or taken back, were committed.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        carriers: Carriers,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        ways = {way.channel: way for way in ways_from(settings)}
        rule = AlarmRule.from_settings(
            settings.alerts, shortest_clock(organisation_of(settings, settings.node.org))
        )
        super().__init__(rule, tuple(ways.values()), self._woken, now)
        self.on_acknowledged: Callable[[], None] = _nothing
        self._pool = pool
        self._org = settings.node.org
        self._unanswered_s = settings.ops.unacknowledged_s
        self._lines = self._lines_from(settings, ways, carriers)
        places = {name: line.place for name, line in self._lines.items()}
        self.notices = Notices(settings.node.org, places, now)
        self._rerouter = Rerouter(
            pool,
            self,
            self.notices,
            settings.alerts,
            self._ringing,
        )
        for line in self._lines.values():
            line.channel.recovered = partial(self._recovered, line)

    def _lines_from(self, settings: Settings, ways: Mapping[str, Way], carriers: Carriers) -> dict[str, Line]:
        pool, lines = self._pool, dict[str, Line]()
        for name, matrix in ((MATRIX, settings.matrix), (MATRIX_2, settings.matrix_second)):
            transport = carriers.rooms.get(name)
            if matrix is not None and transport is not None:
                lines[name] = room_line(pool, self, name, matrix, transport, self._acknowledged)
        for name, part in ((WEBHOOK, settings.webhook), (MAIL, settings.mail)):
            sender = carriers.others.get(name)
            if part is not None and sender is not None:
                lines[name] = other_line(pool, self, ways[name], part, sender)
        ops, transport = ops_settings(settings), carriers.rooms.get(OPS)
        if ops is not None and transport is not None:
            lines[OPS] = ops_line(pool, self, ops, transport)
        return lines

    @property
    def _ringing(self) -> dict[str, Line]:
        """The channels that alerts go to."""
        return {name: line for name, line in self._lines.items() if name != OPS}

    @property
    def ops_channels(self) -> tuple[str, ...]:
        """The operators' room, if there is one."""
        return (OPS,) if OPS in self._lines else ()

    def able(self) -> bool:
        """Whether an alert that is raised now would go out now, some way."""
        return any(line.alive() for line in self._ringing.values())

    async def run(self) -> None:
        """Ring and listen until cancelled; returns at once when there is no channel."""
        async with asyncio.TaskGroup() as group:
            for channel, line in self._lines.items():
                works = dict(line.works())
                if channel != OPS:
                    works["backlog"] = partial(self._ring_unrung, channel, line)
                for name, work in works.items():
                    group.create_task(_kept_up(f"{channel} {name}", work), name=f"alarm {channel} {name}")
            if self._lines:
                group.create_task(_kept_up("rerouter", self._rerouter.run), name="alarm rerouter")

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
            backlog = await deliveries.backlog(conn, list(self._ringing))
            unanswered = await alerts.unanswered(conn, self._unanswered_s)
        return (
            *(check for line in self._lines.values() for check in line.checks()),
            _backlog_check(backlog),
            _answers_check(unanswered=unanswered),
        )

    async def check(self, *others: Check) -> dict[str, Any]:
        """Whether an alert would get to a person now, looked at afresh, as JSON; `others` are judged with it."""
        async with self._pool.acquire() as conn:
            backlog = await deliveries.backlog(conn, list(self._ringing))
        return await alarm_check.judge(self._ringing, self._ways, (_backlog_check(backlog), *others))

    async def _ring_unrung(self, channel: str, line: Line) -> None:
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

    def _recovered(self, line: Line) -> None:
        line.courier.hurry()
        self._rerouter.wake()

    def _acknowledged(self) -> None:
        self.on_acknowledged()


@asynccontextmanager
async def open_alarms(
    settings: Settings, pool: Pool, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Alarms]:
    """The node's alarms, with the channels that the settings name."""
    async with AsyncExitStack() as stack:
        rooms: dict[str, Transport] = {}
        for name, matrix in _rooms(settings).items():
            from tocsin_node.links.matrix import MatrixTransport  # noqa: PLC0415  nio is slow to import

            credential = SECOND_CREDENTIAL if name == MATRIX_2 else CREDENTIAL
            token = partial(_read_token, settings.path(matrix.access_token_file), credential)
            rooms[name] = MatrixTransport(matrix, token, rings=name != OPS)
            stack.push_async_callback(rooms[name].close)
        others = other_senders(settings, now=now)
        for sender in others.values():
            stack.push_async_callback(sender.close)
        yield Alarms(settings, pool, Carriers(rooms, others), now=now)


def _rooms(settings: Settings) -> dict[str, MatrixSettings]:
    """The rooms that the settings name, by channel."""
    named = {MATRIX: settings.matrix, MATRIX_2: settings.matrix_second, OPS: ops_settings(settings)}
    return {name: matrix for name, matrix in named.items() if matrix is not None}


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


def _read_token(file: Path, credential: str) -> str:
    token = read_secret_at(file, credential=credential).decode("ascii", errors="replace")
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


def _answers_check(*, unanswered: bool) -> Check:
    if not unanswered:
        return Check("answers")
    hint = "Nobody has acknowledged an alert of grade I or II: `tocsin alert list --open` shows which."
    return Check("answers", "degraded", "alerts-unacknowledged", hint)


def _nothing() -> None:
    """Nobody wants to know."""
