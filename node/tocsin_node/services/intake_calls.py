"""The intake's desk for calls and for answers to ours: judges one batch's, and rings for what they come to.

The rules are the federation's (`tocsin_federation.calls`); here is what they are asked about, and the limit of a day
that keeps a peer from crying emergency without end. Only what a batch comes to in the end rings: an emergency that was
stood down meanwhile wakes nobody.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

import msgspec

from tocsin_federation.calls import (
    Basis,
    Call,
    CallAnswer,
    Standing,
    decide_call,
    emergency_id,
    moment,
    refuse_baseless,
)
from tocsin_federation.envelope import Opened
from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.emergency_ring import again, ring, tell, tell_answer
from tocsin_node.storage import emergencies, emergency_answers, remarks, remote, reports
from tocsin_node.storage.emergencies import NewCall, NewEmergency, Rang, StoredEmergency
from tocsin_node.storage.emergency_answers import NewAnswer
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.remarks import NewRemark
from tocsin_schema.marking import Tlp

FRESH = timedelta(days=7)  # what was said longer ago is kept and shown, and wakes nobody
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What rings as an emergency, in a day and of one peer. `budget`: alerts of a day that further ones may use up.

    A part of the peer's alerts must be left for its reports.
    """

    emergencies: int
    drills: int
    budget: int = 0


class CallDesk:
    """The calls and answers of one peer in one batch. `peer`, `us`: NodeIDs."""

    def __init__(
        self,
        peer: str,
        us: str,
        held: Mapping[str, StoredEmergency] | None = None,
        tlps: Mapping[tuple[str, int], str] | None = None,
        ours: Mapping[bytes, tuple[str, int]] | None = None,
    ) -> None:
        self._peer = peer
        self._us = us
        self._held = dict(held or {})
        self._tlps = dict(tlps or {})
        self._ours = dict(ours or {})
        # What its author disputes gives way to whatever it says now (P-252).
        self._standing = {name: _standing(each) for name, each in self._held.items() if not each.disputed}
        self._calls: list[tuple[str, Call, NewCall]] = []
        self._answers: list[tuple[CallAnswer, reports.Place]] = []

    @classmethod
    async def open(
        cls,
        conn: Connection,
        peer: str,
        us: str,
        came: Sequence[tuple[Opened, Call]],
        answered: Sequence[tuple[Opened, CallAnswer]],
    ) -> Self:
        """Read what a batch's will be judged by; nothing is asked when there are none."""
        held: Mapping[str, StoredEmergency] = {}
        tlps: Mapping[tuple[str, int], str] = {}
        ours: Mapping[bytes, tuple[str, int]] = {}
        if came:
            held = await emergencies.held(conn, [emergency_id(peer, call.key) for _, call in came])
            tlps = await remarks.tlps(conn, [(call.report_id, call.ver) for _, call in came])
        if answered:
            refs = [opened.header.ref for opened, _ in answered if opened.header.ref is not None]
            ours = await emergencies.sealed_to(conn, peer, us, refs)
        return cls(peer, us, held, tlps, ours)

    def learn(self, report: reports.NewReport) -> None:
        """A report that came before, in the same batch."""
        self._tlps[report.report.id, report.ver] = report.report.tlp.value

    def judge_call(
        self, opened: Opened, call: Call, report: reports.Held | None, place: reports.Place
    ) -> tuple[Outcome, str | None]:
        """What becomes of a call about the report that is held, and why when it is refused."""
        name = emergency_id(self._peer, call.key)
        tlp = self._tlps.get((call.report_id, call.ver))
        basis = None
        if report is not None:
            basis = Basis(report.origin, None if tlp is None else Tlp(tlp), report.state == "withdrawn")
        try:
            refuse_baseless(call, opened.header.tlp, basis, by=self._peer)
        except EntryRefused as exc:
            return Outcome.REFUSED, exc.code
        digest = hashlib.sha256(opened.content).digest()
        outcome, code = decide_call(self._standing.get(name), call, sha256=digest)
        if outcome is Outcome.STORED:
            self._standing[name] = Standing(
                call.report_id, call.drill, call.seq, digest, call.state == "stood-down"
            )
            self._calls.append((name, call, _row(name, call, opened, digest, place)))
        return outcome, code

    def judge_answer(
        self, opened: Opened, answer: CallAnswer, place: reports.Place
    ) -> tuple[Outcome, str | None]:
        """What becomes of an answer: it must answer a call of ours that was sealed to the peer (P-147)."""
        ref = opened.header.ref
        if ref is None or self._ours.get(ref) != (answer.emergency, answer.ver):
            return Outcome.REFUSED, "not-ours"
        self._answers.append((answer, place))
        return Outcome.STORED, None

    async def write(
        self, conn: Connection, alarms: AlarmPlanner, *, caller: str, limits: CallLimits, now: datetime
    ) -> bool:
        """Store what stands, after the reports of the batch, and ring; whether anything is to be sent."""
        for name in dict.fromkeys(name for name, _, _ in self._calls):
            if name not in self._held:
                await self._begin(conn, name, limits, now)
            elif self._held[name].disputed:
                await emergencies.insert_anew(conn, self._new(name, self._held[name].rang))
            rows = [row for other, _, row in self._calls if other == name]
            held = self._held.get(name)
            await emergencies.unsay(conn, name, rows[0].seq, everything=held is not None and held.disputed)
            for row in rows:
                await emergencies.insert_call(conn, row)
            stored = await emergencies.get(conn, name)
            assert stored is not None, "it was written a moment ago"
            late = held is not None and (stored.rang == "late" or (held.disputed and stored.alert_id is None))
            if late:
                stored = await self._late(conn, stored, limits, now)
            if held is None or late:
                await ring(conn, alarms, stored, caller=caller, ours=False)
            elif held.disputed and stored.open:
                await again(conn, alarms, stored, caller=caller)
            else:
                await tell(conn, alarms, stored, caller=caller, ours=False)
        await self._hear(conn, alarms, caller)
        return bool(self._calls or self._answers)

    def _last(self, name: str) -> Call:
        return next(call for other, call, _ in reversed(self._calls) if other == name)

    async def _begin(self, conn: Connection, name: str, limits: CallLimits, now: datetime) -> None:
        rang = await self._rings_as(conn, self._last(name), limits, now)
        await emergencies.insert(conn, self._new(name, rang))

    def _new(self, name: str, rang: Rang) -> NewEmergency:
        last = self._last(name)
        return NewEmergency(name, last.key, last.report_id, self._peer, last.drill, moment(last.since), rang)

    async def _late(
        self, conn: Connection, stored: StoredEmergency, limits: CallLimits, now: datetime
    ) -> StoredEmergency:
        """What was old when it came, and woke nobody, is spoken of again."""
        rang = await self._rings_as(conn, self._last(stored.id), limits, now)
        await emergencies.set_rang(conn, stored.id, rang)
        return replace(stored, rang=rang)

    async def _rings_as(self, conn: Connection, call: Call, limits: CallLimits, now: datetime) -> Rang:
        """As what an emergency rings that is heard of for the first time (P-145)."""
        if call.state == "stood-down" or now - moment(call.at) > FRESH:
            return "late"
        limit = limits.drills if call.drill else limits.emergencies
        counted, disputed = await emergencies.rang_today(conn, self._peer, drill=call.drill)
        # A thief's do not use up the limit of his victim; but who ends log after log gets no further than twice that.
        if counted + max(0, disputed - limit) < limit:
            return "emergency"
        kind = "drills" if call.drill else "emergencies"
        logger.warning("peer %s: over its limit of %d %s a day", self._peer, limit, kind)
        spent = await remote.alerts_in_a_day(conn, self._peer)
        return "silent" if call.drill or spent >= limits.budget else "ordinary"

    async def _hear(self, conn: Connection, alarms: AlarmPlanner, who: str) -> None:
        for each, place in self._answers:
            new = NewAnswer(
                each.emergency,
                self._peer,
                each.stage,
                moment(each.at),
                said=each.said,
                revoked=each.revoked,
                place=place,
            )
            await record_answer(conn, alarms, new, who=who)


async def record_answer(conn: Connection, alarms: AlarmPlanner, new: NewAnswer, *, who: str) -> None:
    """Keep what a peer says about our emergency, and tell our people when it answers. `who`: what we call it."""
    await emergency_answers.record(conn, new)
    if new.stage != "answered" or new.revoked or new.said is None:
        return
    stored = await emergencies.get(conn, new.emergency)
    assert stored is not None, "an answer is about an emergency of ours"
    if not stored.open:
        return
    answers = await emergency_answers.of_emergency(conn, new.emergency)
    count = sum(a.stage == "answered" and not a.revoked and a.node in stored.audience for a in answers)
    await tell_answer(conn, alarms, stored, who=who, word=new.said, count=count)


async def hear_remarks(
    conn: Connection, alarms: AlarmPlanner, said: Sequence[NewRemark], *, peer: str, us: str, who: str
) -> bool:
    """Take what a peer says to be (affected or not) as its answer to our open emergencies; whether it was one.

    A drill is not answered so: what stands on a report must be true.
    """
    words = {one.remark.incident_id: one for one in said if one.remark.kind == "exposure"}
    if not words:
        return False
    heard = False
    for each in await emergencies.open_about(conn, list(words), us):
        if each.drill or peer not in each.audience:
            continue
        remark, place = words[each.report_id].remark, words[each.report_id].place
        new = NewAnswer(
            each.id, peer, "answered", remark.modified, said=remark.said, revoked=remark.revoked, place=place
        )
        await record_answer(conn, alarms, new, who=who)
        heard = True
    return heard


def _standing(stored: StoredEmergency) -> Standing:
    return Standing(stored.report_id, stored.drill, stored.seq, stored.sha256, not stored.open)


def _row(name: str, call: Call, opened: Opened, digest: bytes, place: reports.Place) -> NewCall:
    return NewCall(
        emergency=name,
        seq=call.seq,
        ver=call.ver,
        state=call.state,
        reason=call.reason,
        steps=json.dumps(msgspec.to_builtins(call.steps)),
        tlp=opened.header.tlp.value,
        at=moment(call.at),
        sha256=digest,
        place=place,
    )
