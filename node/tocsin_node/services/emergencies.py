"""Emergencies: call those that have a report of ours, tell what changes, stand it down; and answer those of others.

A call, its entry in our log, what it stores and the alert it raises here are one transaction. What is repeated after a
lost answer is done once: the caller names the emergency by a key of its own. A drill goes the same way to its end; it
never touches a report, a remark or a duty.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from tocsin_federation.calls import CALL, Call, Said, emergency_id, milliseconds
from tocsin_federation.envelope import Sealed
from tocsin_federation.errors import FederationError
from tocsin_federation.sharing import Release, Withheld, release
from tocsin_node.actor import person as named
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.alarm_orders import RoomAnswer
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.emergency_refusals import (
    AlreadyDeclared,
    AlreadyStoodDown,
    CallDisputed,
    EmergencyUnknown,
    NobodyToCall,
    NotAuthor,
    NotCaller,
    PersonUnnamed,
)
from tocsin_node.services.emergency_ring import ring, steps_of, tell, tell_answer, tell_disputed
from tocsin_node.services.emergency_steps import further_steps, screened, steps_of_bundle, tidy_reason
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.services.releasing import sealable_only
from tocsin_node.services.remarks import Remarks
from tocsin_node.services.report_refusals import AlreadyWithdrawn, ReportUnknown
from tocsin_node.services.screening import ReviewerUnnamed, reviewer
from tocsin_node.services.sealing import Sealing
from tocsin_node.storage import audit, emergencies, emergency_answers, remarks, reports, shares
from tocsin_node.storage.audit import Act
from tocsin_node.storage.emergencies import NewCall, NewEmergency, StoredEmergency
from tocsin_node.storage.emergency_answers import NewAnswer
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import Place
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp, strictest
from tocsin_schema.remark import check_remark
from tocsin_schema.remarks import exposure

BY_RULE = "the rule for grade I"
STEP = {
    "declared": "declare",
    "updated": "update",
    "stood-down": "stand-down",
}  # state → what the audit log calls it
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is to be declared. `steps`: name and text of each; `to`: names or NodeIDs, None for all who have it.

    `key`: a UUID of the asker's, so that asking again is the same emergency.
    """

    report_id: str
    reason: str
    by: str
    steps: tuple[tuple[str, str], ...] = ()
    drill: bool = False
    local: bool = False
    to: tuple[str, ...] | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Called:
    """What became of a call at this door. `emergency`: None after a dry run."""

    outcome: Literal["called", "unchanged", "dry-run"]
    emergency: StoredEmergency | None
    release: Release


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a call stands on: the version that it speaks of, where that stands in our log, and who was given it."""

    ver: int
    tlp: Tlp
    place: Place | None
    way: frozenset[str]


class Emergencies:
    """The verbs on emergencies. `on_answered` is called after an answer of ours was committed."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        alarms: Alarms,
        remarks_: Remarks,
        sealing: Sealing,
        *,
        node_id: str,
        producer: Mapping[str, Any],
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._alarms = alarms
        self._remarks = remarks_
        self._node_id = node_id
        self._producer = producer
        self._sealing = sealing
        self._now = now
        self._rng = rng
        self.on_answered: Callable[[], None] = _nothing

    # What is said ------------------------------------------------------------------------------------

    async def declare(self, wanted: Declaration, *, dry_run: bool = False) -> Called:
        """Declare an emergency or a drill; our own people ring at once, and so do those of whoever is called.

        Raises: ReportUnknown, NotAuthor, AlreadyWithdrawn, AlreadyDeclared, NobodyToCall, PeerUnknown, StorageError;
        FindingsRefused when the reason or a step seems to name people or hold a secret; NodeError `call-unfit`.
        """
        key = wanted.key or str(uuid.UUID(bytes=self._rng(16), version=4))
        name = emergency_id(self._node_id, key)
        async with self._pool.acquire() as conn:
            known = await emergencies.get(conn, name)
            stored = await reports.get(conn, wanted.report_id)
            about = await emergencies.open_about(conn, [wanted.report_id], self._node_id)
            ground = None if stored is None else await self._ground(conn, stored, local=wanted.local)
        if known is not None:
            return Called("unchanged", known, Release((), ()))
        if stored is None or ground is None:
            raise ReportUnknown
        self._refuse_out_of_place(wanted, stored, about)
        now = self._now()
        steps = further_steps(name, steps_of_bundle(stored.bundle), wanted.steps)
        call = Call(
            v=1,
            key=key,
            report_id=stored.id,
            ver=ground.ver,
            seq=1,
            state="declared",
            drill=wanted.drill,
            reason=tidy_reason(wanted.reason),
            since=milliseconds(now),
            at=milliseconds(now),
            steps=steps,
        )
        screened(call)
        released = self._release(ground, wanted.to) if not wanted.local else Release((), ())
        if not wanted.local and not released.to:
            raise NobodyToCall(facts={"withheld": [w.code for w in released.withheld]})
        if dry_run:
            return Called("dry-run", None, released)
        new = NewEmergency(
            name, key, stored.id, self._node_id, wanted.drill, now, "emergency", local=wanted.local
        )
        return await self._say(call, name, ground, released, wanted.by, new=new)

    async def follow(
        self,
        emergency: str,
        state: Literal["updated", "stood-down"],
        *,
        reason: str,
        by: str,
        steps: Sequence[tuple[str, str]] = (),
        to: Sequence[str] = (),
    ) -> Called:
        """Tell more of our own emergency, or stand it down; it goes to all that were called (P-148), and to `to`.

        The same again is unchanged. Raises: EmergencyUnknown, NotCaller, AlreadyStoodDown, FindingsRefused,
        PeerUnknown, StorageError; NodeError `call-unfit`.
        """
        async with self._pool.acquire() as conn:
            known = await self._known(conn, emergency)
            place = await reports.place_of(conn, known.report_id, known.ver)
            given = await shares.recipients(conn, known.report_id, known.ver)
            spoken = await remarks.tlps(conn, [(known.report_id, known.ver)])
        if known.origin != self._node_id:
            raise NotCaller
        told = tidy_reason(reason)
        same = (known.state, known.reason) == (state, told)
        if same and not (steps or to):
            return Called("unchanged", known, Release((), ()))
        if not known.open:
            raise AlreadyStoodDown
        now = self._now()
        call = Call(
            v=1,
            key=known.key,
            report_id=known.report_id,
            ver=known.ver,
            seq=known.seq + 1,
            state=state,
            drill=known.drill,
            reason=told,
            since=milliseconds(known.since),
            at=milliseconds(now),
            steps=further_steps(known.id, steps_of(known), steps),
        )
        screened(call)
        way = frozenset(known.audience) | given
        # Whoever was called must hear that it is over, even if the report was marked more strictly since.
        under = Tlp(spoken.get((known.report_id, known.ver), known.tlp))
        tlp = under if state == "stood-down" else strictest(under, Tlp(known.marking))
        ground = _Ground(known.ver, tlp, place, way)
        released = Release((), ()) if known.local else self._release(ground, (*known.audience, *to))
        return await self._say(call, known.id, ground, released, by)

    async def answer(self, emergency: str, word: Said, *, by: str, text: str = "") -> StoredEmergency:
        """Say whether we are affected: in earnest by a remark on the report, in a drill to the caller alone.

        Whoever answers has seen the alert: nobody further is called for it.

        Raises: EmergencyUnknown, AlreadyStoodDown, and what `Remarks.make` raises.
        """
        async with self._pool.acquire() as conn:
            known = await self._known(conn, emergency)
        if known.disputed:
            raise CallDisputed
        if not known.open:
            raise AlreadyStoodDown(hint="`tocsin report opinion REPORT` says it without an emergency.")
        if known.drill and text:
            raise NodeError(
                "In a drill only the word travels.", code="call-unfit", hint="Leave the note out."
            )
        if not known.drill:
            await self._remark(known, word, text)
        async with self._pool.transaction() as conn:
            said = NewAnswer(known.id, self._node_id, "answered", self._now(), said=word, by=by)
            await emergency_answers.record(conn, said)
            await audit.note(conn, _answered(said))
            await self._told_here(conn, known, word)
            if known.alert_id is not None:
                await self._alarms.seen(conn, known.alert_id, by=by)
        self.on_answered()
        self._alarms.wake()
        return known

    async def answer_in_room(self, conn: Connection, alert_id: int, answer: RoomAnswer) -> None:
        """Take the word of the room about the emergency of an alert, inside the transaction that reads it.

        The remark that it comes to is made afterwards (`catch_up`). A word that is read again, or too late, changes
        nothing.
        """
        known = await emergencies.of_alert(conn, alert_id)
        if known is None or not known.open:
            return
        said = NewAnswer(known.id, self._node_id, "answered", answer.at, said=answer.says, by=answer.by)
        if not await emergency_answers.record_newer(conn, said):
            return
        await audit.note(conn, _answered(said))
        who = self._peering.name_of(self._node_id)
        await tell_answer(
            conn, self._alarms, known, who=who, word=answer.says, count=await self._count(conn, known)
        )

    async def catch_up(self) -> None:
        """Make the remarks that answers from the room still lack. Raises: StorageError."""
        async with self._pool.acquire() as conn:
            lacking = await emergency_answers.unremarked(conn, self._node_id)
        for emergency, word in lacking:
            try:
                await self._remark(await self.get(emergency), word, "")
            except NodeError as exc:
                if exc.retryable:
                    raise
                logger.warning("the answer to emergency %s is no remark: %s", emergency, exc)

    async def filed(self, report_id: str) -> None:
        """Declare by itself, when a report of ours of grade I was filed that peers have; once a report.

        What stands in the way (nobody to call, a title that seems to name people) is for a person to see to: the report
        itself was filed, and rings.
        """
        async with self._pool.acquire() as conn:
            report = await reports.get(conn, report_id)
        if report is None or report.grade != "I" or report.state == "withdrawn":
            return
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{report_id} grade I"))
        reason = "A report of grade I was filed."
        try:
            await self.declare(Declaration(report_id, reason, by=BY_RULE, key=key))
        except (NodeError, FederationError) as exc:
            logger.warning("no emergency was declared about %s: %s (%s)", report_id, exc, exc.code)

    async def stand_otherwise(self, conn: Connection, others: Sequence[str]) -> None:
        """Tell our people of emergencies for which another call stands than before, or none, in that transaction."""
        for name in others:
            known = await self._known(conn, name)
            caller = self._peering.name_of(known.origin)
            await tell_disputed(conn, self._alarms, known, caller=caller)

    # What there is -----------------------------------------------------------------------------------

    async def list(
        self, *, open_only: bool, drill: bool | None, before: int | None, limit: int
    ) -> Sequence[StoredEmergency]:
        """Emergencies and drills, newest first; `before` is the `nth` of the last one seen."""
        async with self._pool.acquire() as conn:
            return await emergencies.listing(
                conn, before=before, open_only=open_only, drill=drill, limit=limit
            )

    async def get(self, emergency: str) -> StoredEmergency:
        """One emergency. Raises: EmergencyUnknown."""
        async with self._pool.acquire() as conn:
            return await self._known(conn, emergency)

    async def health(self) -> Check:
        """What is open, and whether a peer called more often than it may."""
        async with self._pool.acquire() as conn:
            earnest, drills, over = await emergencies.standings(conn, self._node_id)
        if over:
            hint = (
                f"{over} calls of peers today are over their limit of a day: they rang as ordinary alerts or "
                "not at all. `tocsin emergency list` shows them; speak with the peer."
            )
            return Check("emergencies", "degraded", "calls-over-limit", hint)
        parts = (
            ["1 emergency is open" if earnest == 1 else f"{earnest} emergencies are open"] if earnest else []
        )
        parts += ["1 DRILL is open" if drills == 1 else f"{drills} DRILLS are open"] if drills else []
        if not parts:
            return Check("emergencies")
        code = "emergency-open" if earnest else "drill-open"
        return Check("emergencies", "ok", code, f"{'; '.join(parts)}: `tocsin emergency list --open`.")

    # -------------------------------------------------------------------------------------------------

    async def _known(self, conn: Connection, emergency: str) -> StoredEmergency:
        try:
            name = str(uuid.UUID(emergency))
        except ValueError as exc:
            raise EmergencyUnknown from exc
        found = await emergencies.get(conn, name)
        if found is None:
            raise EmergencyUnknown
        return found

    async def _ground(self, conn: Connection, report: reports.StoredReport, *, local: bool) -> _Ground:
        """The newest version that peers know; of a report that was never shared, or for us alone, the one held."""
        shared = None if local else await remarks.shared(conn, report.id)
        if shared is None:
            return _Ground(report.ver, Tlp(report.tlp), None, frozenset())
        way = await shares.recipients(conn, report.id, shared.ver)
        tlp = strictest(Tlp(shared.tlp), Tlp(report.tlp))
        return _Ground(shared.ver, tlp, shared.place, frozenset(way))

    def _refuse_out_of_place(
        self, wanted: Declaration, report: reports.StoredReport, about: Sequence[StoredEmergency]
    ) -> None:
        if report.origin != self._node_id and not wanted.local:
            raise NotAuthor
        if report.state == "withdrawn":
            raise AlreadyWithdrawn
        for each in about:
            if each.drill == wanted.drill:
                raise AlreadyDeclared(facts={"id": each.id})

    def _release(self, ground: _Ground, to: Sequence[str] | None) -> Release:
        """Who is called; every peer that is not is named with the reason."""
        named: AbstractSet[str] = (
            ground.way if to is None else frozenset(self._peering_id(name) for name in to)
        )
        released = release(ground.tlp, self._peering.policies(), requested=sorted(ground.way & named))
        reason = "a call goes to those that have this version of the report"
        withheld = [
            Withheld(one.peer, "not-recipient", reason) if one.peer.node_id not in ground.way else one
            for one in released.withheld
        ]
        return sealable_only(replace(released, withheld=tuple(withheld)), self._peering)

    def _peering_id(self, name: str) -> str:
        """The NodeID of a peer by name; a NodeID that is no peer any more stays what it is: it is not reached."""
        return name if name.startswith("n1") and len(name) == 54 else self._peering.named(name).node_id

    async def _say(
        self,
        call: Call,
        name: str,
        ground: _Ground,
        released: Release,
        by: str,
        *,
        new: NewEmergency | None = None,
    ) -> Called:
        """Write one call: into the log if anybody is called, and into the tables; ring, or tell, our own people."""
        content = CALL.encode(call)
        audience = tuple(p.node_id for p in released.to)
        detail = {"seq": call.seq, "drill": call.drill, "recipients": len(audience)}
        act = Act(f"emergency.{STEP[call.state]}", f"emergency:{name}", detail, named(by))
        row = NewCall(
            emergency=name,
            seq=call.seq,
            ver=call.ver,
            state=call.state,
            reason=call.reason,
            steps=json.dumps(msgspec.to_builtins(call.steps)),
            tlp=ground.tlp.value,
            at=self._now(),
            sha256=hashlib.sha256(content).digest(),
            by=by,
            audience=audience,
        )
        if audience and ground.place is not None:
            sealed = await self._seal(call, content, ground, audience)
            gen = self._ledger.head.gen

            async def after(conn: Connection, index: int) -> None:
                await self._store(conn, replace(row, place=Place(gen, index, sealed.leaf_hash)), new)

            await self._ledger.post(Posting(sealed=sealed, after=after, acts=(act,)))
        else:
            async with self._pool.transaction() as conn:
                await self._store(conn, row, new)
                await audit.note(conn, act)
        self._alarms.wake()
        return Called("called", await self.get(name), released)

    async def _store(self, conn: Connection, row: NewCall, new: NewEmergency | None) -> None:
        if new is not None and not await emergencies.insert(conn, new):
            raise _raced()
        if not await emergencies.insert_call(conn, row):
            raise _raced()
        stored = await self._known(conn, row.emergency)
        caller = self._peering.name_of(self._node_id)
        if new is not None:
            await ring(conn, self._alarms, stored, caller=caller, ours=True)
        else:
            await tell(conn, self._alarms, stored, caller=caller, ours=True)

    async def _seal(self, call: Call, content: bytes, ground: _Ground, audience: Sequence[str]) -> Sealed:
        assert ground.place is not None, "what nobody was given is not called about"
        return await self._sealing.seal(
            "call",
            call.report_id,
            call.ver,
            to=audience,
            tlp=ground.tlp,
            content=content,
            ref=ground.place.leaf_hash,
            aud=self._peering.audience(audience),
        )

    async def _remark(self, known: StoredEmergency, word: Said, text: str) -> None:
        async with self._pool.acquire() as conn:
            stored = await reports.get(conn, known.report_id)
            said = await remarks.of_node(conn, self._node_id, [known.report_id])
        report = None if stored is None else check_bundle(stored.bundle).report
        if report is None:
            raise ReportUnknown
        before = next((check_remark(one.bundle).remark for one in said if one.kind == "exposure"), None)
        raw = exposure(report, word, producer=self._producer, now=self._now(), text=text, before=before)
        await self._remarks.make(raw, known.report_id, to=None)

    async def _told_here(self, conn: Connection, known: StoredEmergency, word: str) -> None:
        who = self._peering.name_of(self._node_id)
        await tell_answer(conn, self._alarms, known, who=who, word=word, count=await self._count(conn, known))

    async def _count(self, conn: Connection, known: StoredEmergency) -> int:
        answers = await emergency_answers.of_emergency(conn, known.id)
        return sum(a.stage == "answered" and not a.revoked and a.node in known.audience for a in answers)


def person(name: str) -> str:
    """The name of whoever declares, updates or stands down, as it is kept. Raises: PersonUnnamed."""
    try:
        return reviewer(name) or ""
    except ReviewerUnnamed as exc:
        raise PersonUnnamed from exc


def _answered(said: NewAnswer) -> Act:
    """What the audit log says of an answer of ours."""
    return Act("emergency.answer", f"emergency:{said.emergency}", {"said": said.said or ""}, named(said.by))


def _raced() -> NodeError:
    return NodeError(
        "Somebody else has said something about this emergency at the same moment.",
        code="version-conflict",
        hint="Look at it with `tocsin emergency show`, and say it again if it is still needed.",
    )


def _nothing() -> None:
    """Nobody wants to know."""
