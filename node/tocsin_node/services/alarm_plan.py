"""The alarms' half that works inside other people's transactions: decide, then write alert and message.

Whoever stores a report asks `plan` before the transaction and `record` inside it, so that a report that rings
and its alert are on the disk together or not at all. After the commit, `wake`. No message is sent from here.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from tocsin_federation.messages import Acknowledgement
from tocsin_node.links.alert_text import AlertFacts, bare, cut, short_words, still, words
from tocsin_node.services.alarm_rule import AlarmRule
from tocsin_node.settings import MatrixSettings
from tocsin_node.storage import alerts, deliveries
from tocsin_node.storage.alerts import NewAlert, StoredAlert
from tocsin_node.storage.pool import Connection
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

CHANNEL = "matrix"
PRIORITIES = {"I": 1, "II": 2, "III": 3, "IV": 4}
URGENT = 0  # grade I, or a life at risk
LOWEST_PRIORITY = 9
DEFAULT_CEILING = Tlp.AMBER


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """An alert that is going to be recorded. `facts` hold no more than the room may read."""

    facts: AlertFacts
    level: int
    origin: str
    ours: bool
    priority: int
    only: Literal["always", "new", "rung"] = "always"


@dataclass(frozen=True, slots=True)
class Room:
    """Where alerts go: the room, whom they mention, and up to which marking it may read details."""

    id: str
    responders: tuple[str, ...]
    ceiling: Tlp

    @classmethod
    def from_settings(cls, settings: MatrixSettings) -> "Room":
        """The room that the settings name."""
        return cls(settings.room, settings.responders, Tlp(settings.room_max_tlp))


class AlarmPlanner:
    """Plans and records alerts. Without a room they are recorded and wait for one."""

    def __init__(
        self, rule: AlarmRule, room: Room | None, wake: Callable[[], None], now: Callable[[], datetime]
    ) -> None:
        self._rule = rule
        self._now = now
        self._room = room
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
        # A room is on a homeserver, and what names people does not leave the node.
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
        if facts.report_id is not None and facts.kind != "duty":
            await deliveries.supersede(conn, facts.report_id, alert_id)
        await self.enqueue(conn, alert_id, facts, plan.priority)
        return alert_id

    async def enqueue(self, conn: Connection, alert_id: int, facts: AlertFacts, priority: int) -> None:
        """Put the alert's message into the outbox of the room, if there is one."""
        await self._enqueue(conn, alert_id, facts, priority, ())

    async def enqueue_stored(self, conn: Connection, alert: StoredAlert, *, short: bool = False) -> None:
        """The same for an alert that is stored already; `short`: in the form that no homeserver refuses."""
        facts, less = self._still(alert)
        priority = PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
        if not short:
            await self._enqueue(conn, alert.id, facts, priority, less)
        elif self._room is not None:
            content = short_words(facts, alert.id, self._room.responders)
            await _enqueue(
                conn, alert.id, self._room.id, content, priority, _txn(facts, self._room.id, "short")
            )

    def said_now(self, alert: StoredAlert, txn: str) -> tuple[str, str] | None:
        """Another transaction id and content (JSON) for a message that waits under `txn`; None: it stands as it is.

        Its words were frozen when the alert was raised. Since then the report may have been marked more strictly, or
        the room's ceiling lowered; then it says what may be said now, under an id that follows from that.
        """
        facts, less = self._still(alert)
        if self._room is None or not less:
            return None
        fresh = _txn(facts, self._room.id, *less)
        if txn.startswith(fresh):
            return None
        return fresh, json.dumps(_marked(words(facts, alert.id, self._room.responders), fresh))

    def _still(self, alert: StoredAlert) -> tuple[AlertFacts, tuple[str, ...]]:
        """What may be said of a stored alert now, and what tells that it is less than before: nothing if it is not."""
        facts = msgspec.json.decode(alert.facts, type=AlertFacts)
        now = still(facts, Tlp(alert.marking) if alert.marking else None, self.ceiling)
        return now, () if now == facts else (now.tlp.value, self.ceiling.value)

    async def _enqueue(
        self, conn: Connection, alert_id: int, facts: AlertFacts, priority: int, less: tuple[str, ...]
    ) -> None:
        if self._room is None:
            return
        room = self._room
        content = words(cut(facts, room.ceiling), alert_id, room.responders)
        await _enqueue(conn, alert_id, room.id, content, priority, _txn(facts, room.id, *less))

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
        """The facts that the room may read, or any room where there is none yet."""
        return cut(facts, self.ceiling)

    def wake(self) -> None:
        """Something was committed: the courier looks at once."""
        self._wake()

    @property
    def ceiling(self) -> Tlp:
        """Up to which marking the room may read details."""
        return DEFAULT_CEILING if self._room is None else self._room.ceiling


def renamed(content: str, txn: str) -> tuple[str, str]:
    """The same message as another one, after so long that the homeserver may have forgotten the first.

    Returns the new transaction id and content (JSON).
    """
    again: dict[str, Any] = json.loads(content)
    fresh = f"{txn[:40]}-{secrets.token_hex(4)}"
    again["body"] = f"(Perhaps for the second time.)\n{again['body']}"
    again["formatted_body"] = f"<p>(Perhaps for the second time.)</p>{again['formatted_body']}"
    return fresh, json.dumps(_marked(again, fresh))


async def _enqueue(
    conn: Connection, alert_id: int, room: str, content: dict[str, Any], priority: int, txn: str
) -> None:
    await deliveries.enqueue(
        conn,
        alert_id,
        channel=CHANNEL,
        room=room,
        priority=priority,
        content=json.dumps(_marked(content, txn)),
        txn=txn,
    )


def _marked(content: dict[str, Any], txn: str) -> dict[str, Any]:
    """With the transaction id inside, so that our message is known again whatever device reads it."""
    return {**content, "org.tocsin.alert": {**content["org.tocsin.alert"], "txn": txn}}


def _txn(facts: AlertFacts, room: str, *more: str) -> str:
    """Follows from what is told to which room: a database put back from a backup does not ring twice either."""
    if facts.report_id is None and not facts.cluster:
        return f"tocsin-{secrets.token_hex(16)}"
    what = (facts.report_id, facts.ver) if facts.report_id is not None else (facts.cluster, facts.since)
    parts: Sequence[object] = (*what, facts.kind, facts.grade, room, *more)
    if facts.clock:
        parts = (*parts, facts.clock)
    return f"tocsin-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"
