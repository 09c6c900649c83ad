"""The gatekeeper: finds out all that the gate looks at, and does what it says, in the courier's transaction."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import msgspec

from tocsin_node.links.alert_text import AlertFacts
from tocsin_node.links.alert_thread import CALL, Saying
from tocsin_node.services.alarm_gate import (
    Circumstances,
    Digested,
    Drop,
    Go,
    Hold,
    Join,
    LeaveTo,
    Verdict,
    judge,
)
from tocsin_node.services.alarm_plan import LOWEST_PRIORITY, PRIORITIES, REFUSED, AlarmPlanner
from tocsin_node.services.alarm_timing import BEHIND_FELLOW_S
from tocsin_node.services.alarm_way import Way
from tocsin_node.services.pace import URGENT
from tocsin_node.storage import alerts, clusters, deliveries, fellows, followups, grouping, silences, threads
from tocsin_node.storage.alerts import NewAlert, StoredAlert
from tocsin_node.storage.deliveries import Job, NewDelivery
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.silences import Subject
from tocsin_schema.marking import Tlp

LATER_DIGESTS_S = 3600.0  # a digest within so long of the last one follows it
UNWRITTEN = "{}"  # the words come when it goes out


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Stands before one channel."""

    planner: AlarmPlanner
    way: Way

    async def passes(self, conn: Connection, job: Job, alert: StoredAlert) -> bool:
        """Whether a leased message that was not tried yet goes out now; if not, it is where it belongs."""
        if job.held == REFUSED:
            return True
        if job.kind == CALL:
            return not await self._told_further(conn, job, alert)
        if job.kind not in {"ring", "escalation"}:
            return True
        verdict = await self.verdict(conn, job, alert)
        match verdict:
            case Go():
                return True
            case Drop(why=why):
                await deliveries.drop(conn, job, why)
            case Hold(until=until, why=why):
                await grouping.hold(conn, job, until, why)
            case LeaveTo(event_id=event_id, sender=sender):
                await grouping.cover(conn, job, f"told by {sender}", event_id=event_id)
                await followups.give_way(conn, alert.id, BEHIND_FELLOW_S)
            case Join(alert_id=other):
                await self._join(conn, job, alert, other)
            case Digested(why=why):
                digest = await self._digest(conn, job, alert)
                await grouping.cover(conn, job, why, thread=digest)
            case _:
                assert_never(verdict)
        return False

    async def verdict(self, conn: Connection, job: Job, alert: StoredAlert) -> Verdict:
        """What the gate says, with nobody else deciding about the same place meanwhile."""
        limits = self.planner.timing.grouping
        await grouping.take_turn(conn, self.way.channel, job.room)
        subject = await silences.subject(conn, alert.report_id, alert.grade)
        urgent = job.priority == URGENT or alert.grade == "I"
        again = job.said is not None
        now = Circumstances(
            kind=alert.kind,
            urgent=urgent,
            is_open=await grouping.is_open(conn, alert.id),
            was_told=await grouping.was_told(conn, alert.incident, self.way.channel, but=job.id),
            again=again,
            called=job.kind == "escalation",
            follows=job.thread is not None,
            released=(job.held or "").startswith("silence "),
            caps=self.way.digest is not None,
            fellow=await self._fellow(conn, job, alert),
            silence=await silences.matching(conn, as_urgent(subject, urgent=urgent)),
            inhibitor=await self.inhibitor(conn, alert.kind, alert.level, subject.keys),
            told=await grouping.told(
                conn, self.way.channel, job.room, alert.origin, limits.flood_window_s, but=job.id
            ),
        )
        return judge(now, limits)

    async def _fellow(self, conn: Connection, job: Job, alert: StoredAlert) -> tuple[str, str] | None:
        """The event in which a fellow told the same, and who it was."""
        bots = self.planner.timing.fellows(self.way.channel)
        about = about_of(alert)
        if not bots or about is None:
            return None
        return await fellows.told(
            conn, job.room, about=about, ver=alert.ver or 1, kind=alert.kind, grade=alert.grade, fellows=bots
        )

    async def _told_further(self, conn: Connection, job: Job, alert: StoredAlert) -> bool:
        """Whether a fellow has told what this call says or a later one: then it is left to that message."""
        bots, about = self.planner.timing.fellows(self.way.channel), about_of(alert)
        seq = 0 if job.said is None else msgspec.json.decode(job.said, type=Saying).seq
        if not bots or about is None or not seq:
            return False
        found = await fellows.told(
            conn, job.room, about=about, ver=seq, kind=CALL, grade=alert.grade, fellows=bots
        )
        if found is None:
            return False
        await grouping.cover(conn, job, f"told by {found[1]}", event_id=found[0])
        return True

    async def inhibitor(self, conn: Connection, kind: str, level: int, keys: Sequence[str]) -> int | None:
        """The open early warning that stands for a report with these facets."""
        if kind not in {"raise", "escalate"} or not keys:
            return None
        of = clusters.clusters_of(keys)
        return await grouping.inhibitor(conn, of, level, self.way.channel, self.way.place)

    async def _join(self, conn: Connection, job: Job, alert: StoredAlert, other: int) -> None:
        """Tell it in the other alert's thread."""
        standing = await alerts.get(conn, other)
        assert standing is not None, "alerts are not deleted"
        thread = await threads.root(conn, standing.incident, self.way.channel, job.room)
        saying = Saying(
            what=f"part of {standing.incident}",
            line=f"Part of alert {other}, which is open: this one rings nobody.",
            facts=True,
        )
        txn, content = self.planner.composed(alert, self.way, "notice", saying)
        said = msgspec.json.encode(saying).decode()
        why = f"part of alert {other}"
        await grouping.become_notice(conn, job, thread=thread, said=said, why=why, txn=txn, content=content)

    async def _digest(self, conn: Connection, job: Job, alert: StoredAlert) -> int:
        """The digest that is being gathered for the place; begun if there is none."""
        limits = self.planner.timing.grouping
        last = await grouping.last_digest(conn, self.way.channel, job.room, LATER_DIGESTS_S)
        if last is not None and last.waits:
            await self._weigh(conn, last.alert_id, alert)
            return last.id
        after_s = limits.wait_ii_s if last is None else max(limits.wait_ii_s, limits.interval_s - last.age_s)
        if last is None or last.taken_up:  # who has seen the last one has not seen this
            alert_id, thread = await self._flood_alert(conn, job.room, alert), None
        else:
            alert_id, thread = last.alert_id, last.root
        await self._weigh(conn, alert_id, alert)
        new = NewDelivery(
            alert_id,
            channel=self.way.channel,
            room=job.room,
            priority=PRIORITIES["II"],
            content=UNWRITTEN,
            txn=f"tocsin-digest-{secrets.token_hex(16)}",
            max_tlp=self.way.ceiling.value,
            kind="digest",
            thread=thread,
            after_s=after_s,
            held="gathering",
        )
        digest = await deliveries.enqueue(conn, new)
        assert digest is not None, "its name is new"
        return digest

    async def _weigh(self, conn: Connection, flood_id: int, alert: StoredAlert) -> None:
        """A flood is as grave as the gravest that it tells, and waited for as that is."""
        flood = await alerts.get(conn, flood_id)
        if flood is not None and _rank(alert.grade) < _rank(flood.grade):
            await grouping.graver(conn, flood_id, alert.grade, alert.level)
            flood = await alerts.get(conn, flood_id)
            assert flood is not None, "alerts are not deleted"
            await self.planner.begin(conn, flood, _rank(flood.grade))

    async def _flood_alert(self, conn: Connection, room: str, alert: StoredAlert) -> int:
        """The alert that a digest tells of, the same in all places; its timer runs as that of any other."""
        await grouping.take_turn(conn, "flood", "")
        told = await grouping.flood(conn, self.way.channel, room, LATER_DIGESTS_S)
        if told is not None:
            return told
        facts = AlertFacts(kind="digest", grade=alert.grade, tlp=Tlp.CLEAR)
        new = NewAlert(
            report_id=None,
            ver=None,
            kind="digest",
            grade=alert.grade,
            level=alert.level,
            tlp=Tlp.CLEAR.value,
            origin="",
            ours=False,
            facts=msgspec.json.encode(facts).decode(),
        )
        alert_id = await alerts.insert(conn, new)
        flood = await alerts.get(conn, alert_id)
        assert flood is not None, "only alerts about reports can have rung already"
        await self.planner.begin(conn, flood, _rank(flood.grade))
        return flood.id


def as_urgent(subject: Subject, *, urgent: bool) -> Subject:
    """A risk to life counts as grade I."""
    return Subject(subject.report_id, subject.origin, subject.keys, 1) if urgent else subject


def about_of(alert: StoredAlert) -> str | None:
    """What fellows know an alert by: the emergency's id, else the report's; None: each node tells its own."""
    if alert.kind == "emergency":
        return msgspec.json.decode(alert.facts, type=AlertFacts).emergency or None
    return alert.report_id


def _rank(grade: str) -> int:
    return PRIORITIES.get(grade, LOWEST_PRIORITY)
