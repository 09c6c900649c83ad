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
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from tocsin_node.errors import NodeError
from tocsin_node.health import Check, utc_now
from tocsin_node.links.alert_text import AlertFacts, foreign
from tocsin_node.links.alert_thread import Saying
from tocsin_node.links.transport import Transport
from tocsin_node.services import alarm_check
from tocsin_node.services.alarm_carriers import Carriers, other_senders, room_transport
from tocsin_node.services.alarm_channel import jitter_s
from tocsin_node.services.alarm_courier import Courier
from tocsin_node.services.alarm_desk import Desk
from tocsin_node.services.alarm_escalation import Escalation
from tocsin_node.services.alarm_gate import SILENCED
from tocsin_node.services.alarm_line import Hearing, Line, ops_line, ops_settings, other_line, room_line
from tocsin_node.services.alarm_notice import Notices
from tocsin_node.services.alarm_orders import Orders, RoomAnswer
from tocsin_node.services.alarm_plan import LOWEST_PRIORITY, AlarmPlanner, AlertPlan
from tocsin_node.services.alarm_reroute import Rerouter
from tocsin_node.services.alarm_rounds import Rounds
from tocsin_node.services.alarm_rule import AlarmRule
from tocsin_node.services.alarm_timing import Timing
from tocsin_node.services.alarm_view import act_as_json, alert_as_json
from tocsin_node.services.alarm_way import MAIL, MATRIX, MATRIX_2, OPS, WEBHOOK, Room, Way, ways_from
from tocsin_node.services.oncall import Oncall
from tocsin_node.services.organisation import organisation_of, shortest_clock
from tocsin_node.services.subscriptions import Subscriptions
from tocsin_node.settings.channels import MatrixSettings
from tocsin_node.settings.record import Settings
from tocsin_node.storage import acts, alerts, audit, deliveries, fellows, followups, silences
from tocsin_node.storage.acts import NewAct
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.audit import Act
from tocsin_node.storage.deliveries import Backlog
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.marking import Tlp

LATE_S = 60.0
AGAIN_MAX_S = 5.0
NOTE_BYTES = 500
logger = logging.getLogger(__name__)


class AlertUnknown(NodeError):
    """There is no alert of that number."""

    code = "alert-unknown"
    hint = "`tocsin alert list` shows those there are."


class Alarms(AlarmPlanner):
    """Everything about alerts, for the rest of the node. Start `run()` once.

    `on_acknowledged` is called after what stands of our own people's acts, or that nobody answers, was committed;
    `on_sent` after a channel took a message. `on_room_answer` takes, inside the transaction, how the room answers an
    emergency.
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
        timing = Timing.from_settings(
            settings.grouping, {MATRIX: settings.matrix, MATRIX_2: settings.matrix_second}
        )
        super().__init__(rule, tuple(ways.values()), timing, self._woken, now)
        self.on_acknowledged: Callable[[], None] = _nothing
        self.on_room_answer: Callable[[Connection, int, RoomAnswer], Awaitable[None]] = _nobody
        self._pool = pool
        self._org = settings.node.org
        self.oncall = Oncall(settings, pool, now)
        self.subscriptions = Subscriptions(pool, self, zone=settings.oncall.zone, told=self._told, now=now)
        self.escalation = Escalation(
            pool, self, self.oncall, settings.oncall, called=self._people_called, now=now
        )
        self._desk = Desk(self, self.escalation, self.oncall, now)
        self._rounds = Rounds(pool, self, self._told)
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
                hearing = Hearing(self._orders(name, matrix), self._desk, self._acted, self._told)
                lines[name] = room_line(pool, self, name, matrix, transport, hearing)
        for name, part in ((WEBHOOK, settings.webhook), (MAIL, settings.mail)):
            sender = carriers.others.get(name)
            if part is not None and sender is not None:
                lines[name] = other_line(pool, self, ways[name], part, sender)
        ops, transport = ops_settings(settings), carriers.rooms.get(OPS)
        if ops is not None and transport is not None:
            lines[OPS] = ops_line(pool, self, ops, transport)
        return lines

    def _orders(self, name: str, matrix: MatrixSettings) -> Orders:
        room = Room.from_settings(matrix)
        return Orders(
            name, room, self._desk, self.oncall, self.subscriptions, self._shown, self._answered, self._now
        )

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

    async def forget(self) -> None:
        """Let go of what fellows told long ago."""
        async with self._pool.acquire() as conn:
            await fellows.forget(conn)

    def courier(self, channel: str) -> Courier:
        """Who carries the outbox of a channel that the settings have."""
        return self._lines[channel].courier

    async def run(self) -> None:
        """Ring, listen and wait for answers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part, run in (("escalation", self.escalation.run), ("subscriptions", self.subscriptions.run)):
                group.create_task(_kept_up(part, run), name=f"alarm {part}")
            if self._lines:
                group.create_task(_kept_up("rounds", self._rounds.run), name="alarm rounds")
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
            return await self._shown(conn, found)

    async def get(self, alert_id: int) -> dict[str, Any]:
        """One alert as JSON.

        Raises: AlertUnknown.
        """
        async with self._pool.acquire() as conn:
            alert = await alerts.get(conn, alert_id)
            if alert is None:
                raise AlertUnknown(f"There is no alert {alert_id}.")
            return (await self._shown(conn, [alert]))[0]

    async def record(self, conn: Connection, plan: AlertPlan, *, report_ver: int | None) -> int | None:
        """Write the alert, its messages and its timer inside the caller's transaction; see `AlarmPlanner.record`."""
        alert_id = await super().record(conn, plan, report_ver=report_ver)
        alert = await alerts.get(conn, alert_id)
        if alert is None:
            return None
        await self.begin(conn, alert, plan.priority)
        letters = [p for p in await self._on_call(conn, alert) or () if not p.startswith("@")]
        line = f"You are on call: alert {alert.id} waits for an answer."
        await self.write(conn, alert, letters, Saying("on-call", line, facts=True))
        return alert_id

    async def begin(self, conn: Connection, alert: StoredAlert, priority: int) -> None:
        """Start the timer after which the next are called."""
        await self.escalation.begin(conn, alert, priority)

    async def settle(self, conn: Connection, alert_id: int) -> None:
        """Set the timer anew."""
        await self.escalation.settle(conn, alert_id)

    async def called(self, conn: Connection, alert: StoredAlert) -> tuple[str, ...] | None:
        """Who is on call rings in the room; when that is nobody of Matrix, those that the settings name."""
        return None if alert.kind == "test" else await self.on_call(conn)

    async def on_call(self, conn: Connection) -> tuple[str, ...] | None:
        """Who of Matrix is called first now; None: nobody in particular."""
        people = await self.oncall.people(conn, 0, self._now())
        return tuple(p for p in people if p.startswith("@")) or None

    async def _on_call(self, conn: Connection, alert: StoredAlert) -> tuple[str, ...] | None:
        return None if alert.kind == "test" else await self.oncall.people(conn, 0, self._now())

    async def act(
        self,
        alert_id: int,
        kind: Literal["ack", "take", "mute", "resolve"],
        *,
        by: str,
        note: str | None = None,
        span: timedelta | None = None,
    ) -> dict[str, Any]:
        """Do what a person in the room could do; the same by the same name only once. `span`: of a mute.

        Raises: AlertUnknown, MuteTooLong.
        """
        now = self._now()
        said = NewAct(
            kind,
            by,
            "api",
            now,
            note=foreign(note or "", NOTE_BYTES) or None,
            until=None if span is None else now + span,
        )
        async with self._pool.transaction() as conn:
            new = await self._desk.do(conn, await self._known(conn, alert_id), said)
        if new:
            self._acted()
        return await self.get(alert_id)

    async def seen(self, conn: Connection, alert_id: int, *, by: str) -> None:
        """Somebody has answered what an alert is about: acknowledge it, in the caller's transaction; then `wake`."""
        alert = await self._known(conn, alert_id)
        await self._desk.do(conn, alert, NewAct("ack", by, "api", self._now()))

    async def undo(
        self, alert_id: int, kind: Literal["ack", "take", "mute", "resolve"], *, by: str
    ) -> dict[str, Any]:
        """Take back what stands of that kind about an alert, whoever did it.

        Raises: AlertUnknown.
        """
        async with self._pool.transaction() as conn:
            await self._known(conn, alert_id)
            changed = await self._desk.undo(conn, alert_id, kind, by=by)
        if changed:
            self._acted()
        return await self.get(alert_id)

    async def escalate(self, alert_id: int, *, by: str, note: str | None = None) -> dict[str, Any]:
        """Call the next now, because a person wants help; an acknowledgement stands, and the timer goes on.

        Raises: AlertUnknown.
        """
        async with self._pool.transaction() as conn:
            alert = await self._known(conn, alert_id)
            said = foreign(note or "", NOTE_BYTES) or None
            act = NewAct("escalate", by, "api", self._now(), note=said)
            await self.escalation.call_now(conn, alert, act)
        self._acted()
        return await self.get(alert_id)

    async def _known(self, conn: Connection, alert_id: int) -> StoredAlert:
        alert = await alerts.get(conn, alert_id)
        if alert is None:
            raise AlertUnknown(f"There is no alert {alert_id}.")
        return alert

    async def progress(self, report_id: str) -> Sequence[dict[str, Any]]:
        """How far people are with a report, here and at peers, as JSON, oldest first."""
        async with self._pool.acquire() as conn:
            return [act_as_json(a) for a in await acts.of_report(conn, report_id)]

    async def test(self) -> dict[str, Any]:
        """Raise an alert that says TEST; it goes every way to its end, and each is looked at afresh."""
        facts = AlertFacts(kind="test", grade="none", tlp=Tlp.CLEAR)
        plan = AlertPlan(facts, 0, self._org, ours=True, priority=LOWEST_PRIORITY)
        async with self._pool.transaction() as conn:
            alert_id = await self.record(conn, plan, report_ver=None)
            await audit.note(conn, Act("alert.test", f"alert:{alert_id}"))
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
            unanswered = await acts.unanswered(conn)
        return (
            *(check for line in self._lines.values() for check in line.checks()),
            _backlog_check(backlog),
            _answers_check(unanswered),
        )

    async def check(self, *others: Check) -> dict[str, Any]:
        """Whether an alert would get to a person now, looked at afresh, as JSON; `others` are judged with it."""
        async with self._pool.acquire() as conn:
            backlog = await deliveries.backlog(conn, list(self._ringing))
        checks = (_backlog_check(backlog), *others)
        return await alarm_check.judge(self._ringing, self._ways, checks, on_rota=self.oncall.matrix_members)

    async def _ring_unrung(self, channel: str, line: Line) -> None:
        """Give a channel what is open and on no way to it: it was set, or changed, after that was recorded."""
        async with self._pool.transaction() as conn:
            for alert_id in await deliveries.unrung(conn, channel, line.place):
                alert = await alerts.get(conn, alert_id)
                if alert is not None:
                    await self.enqueue_stored(conn, alert, channel)
        self.wake()

    async def _shown(self, conn: Connection, found: Sequence[StoredAlert]) -> Sequence[dict[str, Any]]:
        done = await acts.of_alerts(conn, found)
        ids = [a.id for a in found]
        messages = await deliveries.of_alerts(conn, ids)
        waiting = await followups.of_alerts(conn, ids)
        holding = {
            SILENCED.format(s.id): s
            for s in await silences.listing(conn, before=None, active_only=True, limit=500)
        }
        now = self._now()
        return [
            alert_as_json(a, done, messages, waiting.get(a.id), self.ceiling, holding, now) for a in found
        ]

    def _woken(self) -> None:
        self._told()
        self._rounds.wake()
        self.escalation.wake()
        self.subscriptions.wake()

    def _told(self) -> None:
        """Something is in the outbox."""
        for line in self._lines.values():
            line.courier.wake()

    def _recovered(self, line: Line) -> None:
        line.courier.hurry()
        self._rerouter.wake()

    def _acted(self) -> None:
        """Acts were committed: the room and the origin are told, and a timer may have changed."""
        self._told()
        self._rounds.wake()
        self.escalation.wake()
        self.on_acknowledged()
        self.wake()  # what was said in the room may have led to a message

    def _people_called(self) -> None:
        self._told()
        self.on_acknowledged()

    async def _answered(self, conn: Connection, alert_id: int, answer: RoomAnswer) -> None:
        await self.on_room_answer(conn, alert_id, answer)


@asynccontextmanager
async def open_alarms(
    settings: Settings, pool: Pool, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Alarms]:
    """The node's alarms, with the channels that the settings name."""
    async with AsyncExitStack() as stack:
        rooms: dict[str, Transport] = {}
        for name, matrix in _rooms(settings).items():
            rooms[name] = room_transport(settings, name, matrix, pool)
            stack.push_async_callback(rooms[name].close)
        others = other_senders(settings, now=now)
        for sender in others.values():
            stack.push_async_callback(sender.close)
        yield Alarms(settings, pool, Carriers(rooms, others), now=now)


def _rooms(settings: Settings) -> dict[str, MatrixSettings]:
    """The rooms that the settings name, by channel."""
    named = {MATRIX: settings.matrix, MATRIX_2: settings.matrix_second, OPS: ops_settings(settings)}
    return {name: matrix for name, matrix in named.items() if matrix is not None}


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


def _answers_check(unanswered: Sequence[int]) -> Check:
    if not unanswered:
        return Check("answers")
    count = len(unanswered)
    hint = (
        f"Everybody was called and nobody has answered ({count} alert{'' if count == 1 else 's'}). "
        "`tocsin alert list --open` shows which, `tocsin alert ack` answers."
    )
    return Check("answers", "degraded", "alerts-unanswered", hint)


def _nothing() -> None:
    """Nobody wants to know."""


async def _nobody(_conn: Connection, _alert_id: int, _answer: RoomAnswer) -> None:
    """There are no emergencies to answer."""
