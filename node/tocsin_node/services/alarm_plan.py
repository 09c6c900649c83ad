"""The alarms' half that works inside other people's transactions: decide, then write alert and message.

Whoever stores a report asks `plan` before the transaction and `record` inside it, so that a report that rings
and its alert are on the disk together or not at all. After the commit, `wake`. No message is sent from here.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self

import msgspec

from tocsin_federation.messages import Acknowledgement
from tocsin_node.links.alert_text import AlertFacts, bare, cut, still
from tocsin_node.links.alert_thread import NOTICE, Saying
from tocsin_node.services.alarm_rule import AlarmRule
from tocsin_node.services.alarm_way import MATRIX, ROOMS, URGENT, Root, Telling, Way, marked
from tocsin_node.storage import alerts, deliveries, rerouting
from tocsin_node.storage.alerts import NewAlert, StoredAlert
from tocsin_node.storage.deliveries import DeliveryKind, Job, NewDelivery
from tocsin_node.storage.pool import Connection
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

__all__ = ["URGENT", "AlarmPlanner", "AlertPlan", "renamed"]
PRIORITIES = {"I": 1, "II": 2, "III": 3, "IV": 4}
LOWEST_PRIORITY = 9
DEFAULT_CEILING = Tlp.AMBER


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """An alert that is going to be recorded. `facts` hold no more than any channel may read."""

    facts: AlertFacts
    level: int
    origin: str
    ours: bool
    priority: int
    only: Literal["always", "new", "rung"] = "always"

    def marked(self, *, unwitnessed: bool) -> Self:
        """The same; it tells whether witnesses are still to cosign what it is about."""
        facts = msgspec.structs.replace(self.facts, unwitnessed=unwitnessed)
        return replace(self, facts=facts)


class AlarmPlanner:
    """Plans and records alerts, a message for each way. Without any they are recorded and wait for one."""

    def __init__(
        self, rule: AlarmRule, ways: Sequence[Way], wake: Callable[[], None], now: Callable[[], datetime]
    ) -> None:
        self._rule = rule
        self._now = now
        self._ways = {way.channel: way for way in ways}
        self._wake = wake

    def plan(
        self, report: IncidentReport, *, origin: str, ours: bool, previous_grade: str | None
    ) -> AlertPlan | None:
        """Whether `report` rings, and with what. `origin`: the organisation's name.

        `previous_grade`: of the version that it replaces; None when it is the first here.
        """
        ring = self._rule.decide(report, previous_grade=previous_grade, received=not ours, now=self._now())
        if ring is None:
            return None
        severity = report.severity
        facts = AlertFacts(
            kind=ring.kind,
            grade=severity.grade,
            tlp=report.tlp,
            report_id=report.id,
            level=severity.level,
            score=severity.score,
            title=report.name,
            summary=report.description,
            origin=origin,
            systems=report.systems,
            drivers=severity.drivers,
            reasons=ring.reasons,
        )
        priority = URGENT if ring.urgent else PRIORITIES.get(severity.grade, LOWEST_PRIORITY)
        # A room is on a homeserver, mail on its way; what names people does not leave the node.
        told = bare(facts) if report.personal_data == "present" else cut(facts, self.ceiling)
        return AlertPlan(told, severity.level, origin, ours, priority, ring.only)

    async def record(self, conn: Connection, plan: AlertPlan, *, report_ver: int | None) -> int | None:
        """Write the alert and its message inside the caller's transaction; returns the alert's id.

        None: it does not ring after all, because this version did already, or no earlier one did where that
        matters.
        """
        facts = msgspec.structs.replace(plan.facts, ver=report_ver)
        new = NewAlert(
            report_id=facts.report_id,
            ver=report_ver,
            kind=facts.kind,
            grade=facts.grade,
            level=plan.level,
            tlp=facts.tlp.value,
            origin=plan.origin,
            ours=plan.ours,
            facts=msgspec.json.encode(facts).decode(),
            only=plan.only,
        )
        alert_id = await alerts.insert(conn, new)
        if alert_id is None:
            return None
        ways = await self._admitting(conn, facts, plan.priority)
        if facts.report_id is not None and facts.kind != "duty":
            await deliveries.supersede(conn, facts.report_id, alert_id, [way.channel for way in ways])
        alert = await alerts.get(conn, alert_id)
        assert alert is not None, "it was written a moment ago"
        for way in ways:
            await self._enqueue(conn, way, alert, facts, plan.priority)
        return alert_id

    async def say(
        self,
        conn: Connection,
        alert_id: int,
        kind: DeliveryKind,
        saying: Saying,
        *,
        channels: Sequence[str] | None = None,
    ) -> int:
        """Say something more about an alert, in its incident's thread, inside the caller's transaction.

        `channels`: by name, whether they told of it or not (there it stands by itself); None: those that told of the
        incident. A `notice` rings nobody. The same `saying.what` again about the same alert is no second message.
        Returns how many messages were written. After the commit, `wake`.
        """
        alert = await alerts.get(conn, alert_id)
        if alert is None:
            return 0
        named = await deliveries.tellers(conn, alert.incident) if channels is None else channels
        priority = LOWEST_PRIORITY if kind == NOTICE else PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
        written = 0
        for way in self._ways.values():
            if way.channel in named:
                facts, less = _still(alert, way, way.ceiling.value)
                written += await self._enqueue(
                    conn, way, alert, facts, priority, *less, kind=kind, saying=saying
                )
        return written

    async def enqueue_stored(self, conn: Connection, alert: StoredAlert, channel: str) -> None:
        """Put the message of a stored alert into the outbox of a channel, if it is for that channel."""
        way = self._ways[channel]
        priority = PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
        facts = msgspec.json.decode(alert.facts, type=AlertFacts)
        if way not in await self._admitting(conn, facts, priority):
            return
        told, less = _still(alert, way, way.ceiling.value)
        await self._enqueue(conn, way, alert, told, priority, *less)

    async def reroute(self, conn: Connection, alert: StoredAlert, channel: str) -> str | None:
        """Put an alert that a channel does not take into the outbox of the next way that does not have it.

        Ways stand in for each other in their order, whatever grades they are for. Where another room has rung with it
        already, that is its way. Returns that way's channel; None: there is none.
        """
        others = [room for room in ROOMS if room != channel]
        if channel in ROOMS and (rung := await rerouting.taken_by(conn, alert.id, others)) is not None:
            return rung
        order = list(self._ways)
        later = order[order.index(channel) + 1 :] if channel in order else []
        known = set(await rerouting.channels_of(conn, alert.id))
        to = next((name for name in later if name not in known), None)
        if to is not None:
            way = self._ways[to]
            told, less = _still(alert, way, way.ceiling.value)
            priority = PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
            await self._enqueue(conn, way, alert, told, priority, *less)
        return to

    async def enqueue_short(
        self,
        conn: Connection,
        alert: StoredAlert,
        channel: str,
        kind: DeliveryKind = "ring",
        saying: Saying | None = None,
    ) -> None:
        """The same in the form that nobody refuses: no foreign text at all."""
        if saying is not None:
            if not saying.facts:
                return  # it was the short form
            saying = msgspec.structs.replace(saying, facts=False)
        way = self._ways[channel]
        priority = PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
        facts, _ = _still(alert, way, None)
        await self._enqueue(conn, way, alert, bare(facts), priority, "short", kind=kind, saying=saying)

    def said_now(
        self,
        alert: StoredAlert,
        txn: str,
        *,
        channel: str = MATRIX,
        ceiling: str | None = None,
        kind: DeliveryKind = "ring",
        saying: Saying | None = None,
    ) -> tuple[str, str] | None:
        """Another transaction id and content (JSON) for a message that waits under `txn`; None: it stands as it is.

        Its words were frozen under `ceiling` when the alert was raised. Since then the report may have been marked
        more strictly, or the channel's ceiling lowered; then it says what may be said now, under an id that follows
        from that.
        """
        way = self._ways.get(channel)
        if way is None or (saying is not None and not saying.facts):
            return None
        facts, less = _still(alert, way, ceiling)
        if not less:
            return None
        fresh = _txn(alert, facts, way.place, *_said(kind, saying), *less)
        if txn.startswith(fresh):
            return None
        told = Telling(facts, alert.id, alert.incident, alert.raised_at, fresh, kind, saying)
        return fresh, json.dumps(way.compose(told))

    def tied(self, job: Job, channel: str) -> str:
        """The content (JSON) of a leased message, tied to the root of its thread or put into its place."""
        way = self._ways.get(channel)
        if way is None or job.root_txn is None:
            return job.content
        tie = way.follow if job.edits is None else way.replace
        return json.dumps(tie(json.loads(job.content), Root(job.root_txn, job.root_event)))

    def ceiling_of(self, channel: str) -> str | None:
        """The channel's ceiling; None where the settings have no such channel."""
        way = self._ways.get(channel)
        return None if way is None else way.ceiling.value

    async def _admitting(self, conn: Connection, facts: AlertFacts, priority: int) -> list[Way]:
        """The ways that the alert goes; a withdrawal goes wherever the report was told."""
        ways = []
        for way in self._ways.values():
            withdrawn = facts.kind == "withdrawn" and facts.report_id is not None
            if way.admits(facts, priority) or (
                withdrawn and await deliveries.told(conn, way.channel, facts.report_id or "")
            ):
                ways.append(way)
        return ways

    async def _enqueue(
        self,
        conn: Connection,
        way: Way,
        alert: StoredAlert,
        facts: AlertFacts,
        priority: int,
        *less: str,
        kind: DeliveryKind = "ring",
        saying: Saying | None = None,
    ) -> bool:
        """Write the message for one way, in its incident's thread if there is one there; False: it was written."""
        told = cut(facts, way.ceiling)
        txn = _txn(alert, told, way.place, *_said(kind, saying), *less)
        thread = await deliveries.root(conn, alert.incident, way.channel, way.place)
        content = way.compose(
            Telling(told, alert.id, alert.incident, alert.raised_at, txn, kind, saying),
        )
        new = NewDelivery(
            alert.id,
            channel=way.channel,
            room=way.place,
            priority=priority,
            content=json.dumps(content),
            txn=txn,
            max_tlp=way.ceiling.value,
            kind=kind,
            said=None if saying is None else msgspec.json.encode(saying).decode(),
            thread=thread,
        )
        written = await deliveries.enqueue(conn, new)
        if written is not None and thread is None:
            await deliveries.follow(conn, written)
        return written is not None

    async def record_remote_ack(
        self, conn: Connection, acknowledgement: Acknowledgement, *, node_id: str, org: str
    ) -> None:
        """Keep, inside the caller's transaction, that a peer's people acknowledged a report, or took it back."""
        await alerts.record_peer_ack(
            conn,
            report_id=acknowledgement.report_id,
            ver=acknowledgement.ver,
            node_id=node_id,
            org=org,
            at_ms=acknowledgement.at,
            revoked=acknowledgement.revoked,
        )

    def cut(self, facts: AlertFacts) -> AlertFacts:
        """The facts that some channel may read, or any room where there is none yet."""
        return cut(facts, self.ceiling)

    def wake(self) -> None:
        """Something was committed: the couriers look at once."""
        self._wake()

    @property
    def ceiling(self) -> Tlp:
        """Up to which marking some channel may read details."""
        ceilings = [way.ceiling for way in self._ways.values()]
        return max(ceilings, key=lambda tlp: tlp.rank) if ceilings else DEFAULT_CEILING


def renamed(content: str, txn: str) -> tuple[str, str]:
    """The same message as another one, after so long that the homeserver may have forgotten the first.

    Returns the new transaction id and content (JSON).
    """
    again: dict[str, Any] = json.loads(content)
    fresh = f"{txn[:40]}-{secrets.token_hex(4)}"
    if "m.new_content" not in again:  # to edit a message twice does no harm
        again["body"] = f"(Perhaps for the second time.)\n{again['body']}"
        again["formatted_body"] = f"<p>(Perhaps for the second time.)</p>{again['formatted_body']}"
    return fresh, json.dumps(marked(again, fresh))


def _still(alert: StoredAlert, way: Way, ceiling: str | None) -> tuple[AlertFacts, tuple[str, ...]]:
    """What may be said of a stored alert now, and what tells that it is less than before: nothing if it is not.

    `ceiling`: under which it was said before; None: not yet, or everything that is stored.
    """
    stored = msgspec.json.decode(alert.facts, type=AlertFacts)
    before = stored if ceiling is None else cut(stored, Tlp(ceiling))
    now = still(before, Tlp(alert.marking) if alert.marking else None, way.ceiling)
    return now, () if now == before else (now.tlp.value, way.ceiling.value)


def _said(kind: DeliveryKind, saying: Saying | None) -> tuple[str, ...]:
    """What tells a message that follows from the ring, and from what else is said."""
    return () if saying is None else (kind, saying.what)


def _txn(alert: StoredAlert, facts: AlertFacts, room: str, *more: str) -> str:
    """Follows from what is told to which room: a database put back from a backup does not ring twice either."""
    what: Sequence[object]
    if facts.report_id is not None:
        what = (facts.report_id, facts.ver)
    elif facts.cluster:
        what = (facts.cluster, facts.since)
    else:  # a number may come again after that, for another test
        what = (alert.incident, alert.raised_at.isoformat())
    parts: Sequence[object] = (*what, facts.kind, facts.grade, room, *more)
    if facts.clock:
        parts = (*parts, facts.clock)
    return f"tocsin-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"
