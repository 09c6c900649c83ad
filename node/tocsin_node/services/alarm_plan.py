"""The alarms' half that works inside other people's transactions: decide, then write alert and message.

Whoever stores a report asks `plan` before the transaction and `record` inside it, so that a report that rings
and its alert are on the disk together or not at all. After the commit, `wake`. No message is sent from here.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Self

import msgspec

from tocsin_federation.messages import Acknowledgement, Progress, State
from tocsin_node.links.alert_text import NAME_BYTES, AlertFacts, bare, cut, foreign, still
from tocsin_node.links.alert_thread import CALL, NOTICE, Saying, letter_words, list_words
from tocsin_node.services.alarm_rule import AlarmRule
from tocsin_node.services.alarm_timing import Timing
from tocsin_node.services.alarm_way import MAIL, MATRIX, ROOMS, Root, Telling, Way, marked
from tocsin_node.services.alarm_words import said_of, still_of, told_of, txn_of
from tocsin_node.services.pace import URGENT
from tocsin_node.storage import acts, alerts, deliveries, grouping, rerouting, threads
from tocsin_node.storage.alerts import NewAlert, StoredAlert
from tocsin_node.storage.deliveries import DeliveryKind, Job, NewDelivery
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

PRIORITIES = {"I": 1, "II": 2, "III": 3, "IV": 4}
LOWEST_PRIORITY = 9
ACTS_OF: dict[State, str] = {
    "acknowledged": "ack",
    "taken": "take",
    "resolved": "resolve",
    "unanswered": "unanswered",
    "muted": "mute",
    "escalated": "escalate",
}
PEER_WORDS: dict[State, tuple[str, str]] = {  # said, and taken back
    "acknowledged": ("has taken it up", "no longer has it"),
    "taken": ("works on it", "no longer works on it"),
    "resolved": ("says that it is over there", "says that it is not over there after all"),
    "unanswered": ("has called everybody, and nobody answers there", "has an answer now"),
    "muted": ("calls nobody about it for a while", "calls people about it again"),
    "escalated": ("has called further people", "needs no further people any more"),
}
DEFAULT_CEILING = Tlp.AMBER
REFUSED = "refused"  # why a short form goes: the full one was


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """An alert that is going to be recorded. `facts` hold no more than any channel may read.

    `reasons`: why it rings, for those who may read all.
    """

    facts: AlertFacts
    level: int
    origin: str
    ours: bool
    priority: int
    only: Literal["always", "new", "rung"] = "always"
    reasons: tuple[str, ...] = ()

    def marked(self, *, unwitnessed: bool, through: str = "") -> Self:
        """The same; it tells whether witnesses are still to cosign what it is about, and who handed it on, if any."""
        facts = msgspec.structs.replace(self.facts, unwitnessed=unwitnessed, through=through)
        return replace(self, facts=facts)


class AlarmPlanner:
    """Plans and records alerts, a message for each way. Without any they are recorded and wait for one."""

    def __init__(
        self,
        rule: AlarmRule,
        ways: Sequence[Way],
        timing: Timing,
        wake: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self.timing = timing
        self._rule = rule
        self._now = now
        self._ways = {way.channel: way for way in ways}
        self._wake = wake
        self.on_sent: Callable[[], None] = _nothing  # after a channel took a message

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
        facts = told_of(report, kind=ring.kind, origin=origin, reasons=ring.reasons)
        priority = URGENT if ring.urgent else PRIORITIES.get(severity.grade, LOWEST_PRIORITY)
        return AlertPlan(
            cut(facts, self.ceiling), severity.level, origin, ours, priority, ring.only, ring.reasons
        )

    def why_quiet(self, report: IncidentReport, *, ours: bool) -> str:
        """Why a report that `plan` lets be does not ring."""
        return self._rule.why_quiet(report, received=not ours, now=self._now())

    def present_time(self) -> datetime:
        """Now, by the clock of the alarms."""
        return self._now()

    async def record(self, conn: Connection, plan: AlertPlan, *, report_ver: int | None) -> int | None:
        """Write the alert and its message inside the caller's transaction; returns the alert's id.

        None: it does not ring after all, because this version did already, or no earlier one did where that
        matters.
        """
        facts = msgspec.structs.replace(plan.facts, ver=report_ver)
        new = NewAlert(
            report_id=None if facts.emergency else facts.report_id,
            ver=None if facts.emergency else report_ver,
            kind=facts.kind,
            grade=facts.grade,
            level=plan.level,
            tlp=facts.tlp.value,
            origin=plan.origin,
            ours=plan.ours,
            facts=msgspec.json.encode(facts).decode(),
            only=plan.only,
            emergency=facts.emergency or None,
        )
        alert_id = await alerts.insert(conn, new)
        if alert_id is None:
            return None
        ways = await self._admitting(conn, facts, plan.priority)
        if facts.report_id is not None and facts.kind not in {"duty", "emergency"}:
            await deliveries.supersede(conn, facts.report_id, alert_id, [way.channel for way in ways])
        alert = await alerts.get(conn, alert_id)
        assert alert is not None, "it was written a moment ago"
        for way in ways:
            await self._enqueue(
                conn, way, alert, facts, plan.priority, after_s=self.after_s(way, facts, plan.priority)
            )
        return alert_id

    def after_s(self, way: Way, facts: AlertFacts, priority: int) -> float:
        """How long a new alert waits on a way: for what belongs to it, and in a shared room for those before us."""
        urgent = priority == URGENT
        wait_s = self.timing.wait_s(facts.kind, facts.grade, urgent=urgent)
        return wait_s + self._head_start_s(way, facts, priority)

    def _head_start_s(self, way: Way, facts: AlertFacts, priority: int) -> float:
        key = facts.emergency or facts.report_id
        if facts.kind in {"duty", "cluster", "test"}:
            return 0.0
        return self.timing.head_start_s(way.channel, key, urgent=priority == URGENT)

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
        named = await threads.tellers(conn, alert.incident) if channels is None else channels
        priority = LOWEST_PRIORITY if kind == NOTICE else PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
        written = 0
        for way in self._ways.values():
            if way.channel in named:
                facts, less = still_of(alert, way, way.ceiling.value, saying)
                first_s = self._head_start_s(way, facts, URGENT) if kind == CALL else 0.0
                written += await self._enqueue(
                    conn, way, alert, facts, priority, *less, kind=kind, saying=saying, after_s=first_s
                )
        return written

    async def write(
        self,
        conn: Connection,
        alert: StoredAlert,
        people: Sequence[str],
        saying: Saying,
        *,
        ceiling: Tlp | None = None,
    ) -> None:
        """Write a letter of its own to each of these addresses, inside the caller's transaction.

        It stands in nobody's thread. `ceiling`: another than the mail's, where that is stricter.
        """
        way = self._ways.get(MAIL)
        if way is None:
            return
        strictest = min(way.ceiling, ceiling or way.ceiling, key=lambda tlp: tlp.rank)
        facts, less = still_of(alert, way, strictest.value)
        for person in people:
            apart = hashlib.sha256(person.encode()).hexdigest()[:8]
            said = msgspec.structs.replace(saying, what=f"{saying.what} {apart}")
            txn = txn_of(alert, facts, way.place, *said_of("notice", said), *less)
            told = Telling(facts, alert.id, alert.incident, alert.raised_at, txn, "notice", said)
            new = NewDelivery(
                alert.id,
                channel=MAIL,
                room=way.place,
                priority=PRIORITIES.get(alert.grade, LOWEST_PRIORITY),
                content=json.dumps({**way.compose(told), "to": [person]}),
                txn=txn,
                max_tlp=strictest.value,
                kind="notice",
                said=msgspec.json.encode(said).decode(),
            )
            await deliveries.enqueue(conn, new)

    async def tell(
        self,
        conn: Connection,
        person: str,
        head: str,
        lines: Sequence[str],
        *,
        what: str,
        at: datetime,
    ) -> None:
        """Tell one person something that is about no single alert: in the room by mention, or by a letter.

        `lines` hold no more than that place may read. The same `what` again is no second message.
        """
        way = self._ways.get(MATRIX if person.startswith("@") else MAIL)
        if way is None:
            return
        txn = f"tocsin-{hashlib.sha256(json.dumps([way.place, person, what]).encode()).hexdigest()[:32]}"
        if way.channel == MATRIX:
            content = marked(list_words(person, head, lines), txn)
        else:
            content = letter_words(head, lines, at) | {"to": [person]}
        new = NewDelivery(
            None,
            channel=way.channel,
            room=way.place,
            priority=LOWEST_PRIORITY,
            content=json.dumps(content),
            txn=txn,
            max_tlp=way.ceiling.value,
            kind="notice",
        )
        await deliveries.enqueue(conn, new)

    def facts_now(self, alert: StoredAlert, ceiling: Tlp) -> AlertFacts:
        """The facts of a stored alert that may be told now under that ceiling."""
        stored = msgspec.json.decode(alert.facts, type=AlertFacts)
        return still(stored, Tlp(alert.marking) if alert.marking else None, ceiling)

    async def enqueue_stored(self, conn: Connection, alert: StoredAlert, channel: str) -> None:
        """Put the message of a stored alert into the outbox of a channel, if it is for that channel."""
        way = self._ways[channel]
        priority = PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
        facts = msgspec.json.decode(alert.facts, type=AlertFacts)
        if way not in await self._admitting(conn, facts, priority):
            return
        told, less = still_of(alert, way, way.ceiling.value)
        first_s = self._head_start_s(way, facts, priority)
        await self._enqueue(conn, way, alert, told, priority, *less, after_s=first_s)

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
            told, less = still_of(alert, way, way.ceiling.value)
            priority = PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
            first_s = self._head_start_s(way, told, priority)
            await self._enqueue(conn, way, alert, told, priority, *less, after_s=first_s)
        return to

    async def enqueue_short(
        self, conn: Connection, alert: StoredAlert, channel: str, refused: Job, saying: Saying | None
    ) -> None:
        """The same in the form that nobody refuses: no foreign text at all. A short form has none of its own."""
        if refused.kind == "update" or refused.held == REFUSED:
            return
        kind, more = refused.kind, ["short"]
        if kind == "digest":  # that there is one, and where to look
            kind, more = "ring", ["short", refused.txn]
        if saying is not None:
            saying = msgspec.structs.replace(saying, facts=False)
        way = self._ways[channel]
        priority = PRIORITIES.get(alert.grade, LOWEST_PRIORITY)
        facts, _ = still_of(alert, way, None, saying)
        await self._enqueue(
            conn, way, alert, bare(facts), priority, *more, kind=kind, saying=saying, held=REFUSED
        )

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
        facts, less = still_of(alert, way, ceiling, saying)
        if not less:
            return None
        fresh = txn_of(alert, facts, way.place, *said_of(kind, saying), *less)
        if txn.startswith(fresh):
            return None
        told = Telling(facts, alert.id, alert.incident, alert.raised_at, fresh, kind, saying)
        return fresh, json.dumps(way.compose(told))

    def way(self, channel: str) -> Way | None:
        """The channel as the settings have it; None where they have none of that name."""
        return self._ways.get(channel)

    @property
    def ways(self) -> Sequence[Way]:
        """All channels of the settings."""
        return tuple(self._ways.values())

    def composed(
        self, alert: StoredAlert, way: Way, kind: DeliveryKind, saying: Saying | None
    ) -> tuple[str, str]:
        """Transaction id and content (JSON) of a message about a stored alert, as it may be said now."""
        facts, less = still_of(alert, way, way.ceiling.value)
        txn = txn_of(alert, facts, way.place, *said_of(kind, saying), *less)
        told = Telling(facts, alert.id, alert.incident, alert.raised_at, txn, kind, saying)
        return txn, json.dumps(way.compose(told))

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
        after_s: float = 0.0,
        held: str | None = None,
    ) -> bool:
        """Write the message for one way, in its incident's thread if there is one there; False: it was written."""
        told = cut(facts, way.ceiling)
        txn = txn_of(alert, told, way.place, *said_of(kind, saying), *less)
        thread = await threads.root(conn, alert.incident, way.channel, way.place)
        mention = await self.called(conn, alert)
        content = way.compose(
            Telling(told, alert.id, alert.incident, alert.raised_at, txn, kind, saying, mention=mention)
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
            after_s=after_s,
            held=held,
        )
        written = await deliveries.enqueue(conn, new)
        if written is not None and thread is None:
            await threads.follow(conn, written)
        return written is not None

    async def begin(self, conn: Connection, alert: StoredAlert, priority: int) -> None:
        """Wait for an answer to an alert that was just recorded, in the caller's transaction."""

    async def settle(self, conn: Connection, alert_id: int) -> None:
        """Wait for an answer to an alert again, after it came to be open again, in the caller's transaction."""

    async def called(self, conn: Connection, alert: StoredAlert) -> tuple[str, ...] | None:  # noqa: ARG002
        """Whom an alert is going to ring in the room; None: those that the room's settings name."""
        return None

    async def on_call(self, conn: Connection) -> tuple[str, ...] | None:  # noqa: ARG002
        """Whom alerts ring now; None: those that the room's settings name."""
        return None

    async def record_remote_ack(
        self,
        conn: Connection,
        acknowledgement: Acknowledgement | Progress,
        *,
        node_id: str,
        org: str,
        place: Place | None = None,
    ) -> None:
        """Keep, inside the caller's transaction, how far a peer's people are with a report, or took that back.

        Each is told once for a version, however often the peer changes its mind.
        """
        kept = await acts.record_peer(
            conn,
            kind=ACTS_OF[acknowledgement.state],
            report_id=acknowledgement.report_id,
            ver=acknowledgement.ver,
            node_id=node_id,
            org=org,
            at_ms=acknowledgement.at,
            revoked=acknowledgement.revoked,
            until_ms=acknowledgement.until,
            place=place,
        )
        alert_id = await grouping.newest(conn, acknowledgement.report_id)
        if kept and alert_id is not None:
            what = PEER_WORDS[acknowledgement.state][acknowledgement.revoked]
            saying = Saying(
                what=f"peer {node_id} {acknowledgement.ver} {what}",
                line=f"{foreign(org, NAME_BYTES)} {what}.",
            )
            await self.say(conn, alert_id, NOTICE, saying)

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


def _nothing() -> None:
    """Nobody wants to know."""
