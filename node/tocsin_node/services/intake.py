"""The intake: open one batch of a peer's entries, judge each, and write what follows from it in one transaction.

Reports, outcomes, the cursor, alerts and their outbox rows are committed together: a crash repeats a batch or does
not, and never half of it. Every entry gets exactly one terminal outcome; what cannot be taken is kept whole in
quarantine, and the stream goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tocsin_federation.calls import (
    Call,
    CallAnswer,
    admit_answer,
    admit_call,
    moment,
    read_answer,
    read_call,
)
from tocsin_federation.circle import Circle, read_file, verify_circle
from tocsin_federation.envelope import Opened, open_entry
from tocsin_federation.errors import CircleRefused, EntryRefused
from tocsin_federation.frames import Frame
from tocsin_federation.inbox import Held, Outcome, decide
from tocsin_federation.keys import EncPrivateKey
from tocsin_federation.messages import Acknowledgement, Header, Progress, read_acknowledgement
from tocsin_federation.recall import Carried, Recall, admit_recall, read_recall, recalled
from tocsin_federation.receipt import Item, Receipt, about, admit_receipt, ours, owed, read_receipt
from tocsin_federation.relaying import LAID_TO_THE_GIVER, MENDABLE, handable
from tocsin_federation.remarks import admit_remark
from tocsin_federation.sharing import admit, admit_acknowledgement
from tocsin_node.actor import of_peer
from tocsin_node.data_keys import DataKeys
from tocsin_node.links.peer_client import PeerUnreachable
from tocsin_node.services.alarm_plan import URGENT
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.erasing import Erasing
from tocsin_node.services.intake_calls import CallDesk, CallLimits, hear_remarks
from tocsin_node.services.intake_circles import LATER, TOO_MANY, WAITING, CircleDesk
from tocsin_node.services.intake_onward import Onward, OnwardDesk, OnwardDoor
from tocsin_node.services.intake_remarks import RemarkDesk
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.peer_policy import lesser_budget
from tocsin_node.services.peering import Peer
from tocsin_node.services.trust import Trusting
from tocsin_node.storage import audit, recalls, receipts, relays, remote, reports, shares
from tocsin_node.storage.audit import Act
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.remote import EntryOutcome, Quarantined, RemoteLog
from tocsin_schema.check import check_bundle
from tocsin_schema.finding import Finding
from tocsin_schema.remark import Remark, check_remark
from tocsin_schema.report import IncidentReport

RETRY_ENTRIES = 50  # entries of a later version of the protocol that are tried again at once after an update
THREAD_FROM = 16  # batches this large are opened off the event loop, so that requests are answered meanwhile
THREAD_FROM_BYTES = 64 * 1024  # or this heavy: one report of a megabyte is more work than fifty usual ones
TRANSFER_TRIES = (
    3  # bytes that do not hash to their leaf may have been damaged on the way: ask again before judging
)
_NOT_TAKEN = frozenset({Outcome.REFUSED, Outcome.QUARANTINED})
DAMAGE = frozenset({"hash-mismatch", "ciphertext-mismatch", "bad-wrap"})
TAKEN = frozenset({Outcome.STORED.value, Outcome.UNCHANGED.value, Outcome.SUPERSEDED.value})
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame after opening: what it holds, or the outcome that opening it already decided."""

    frame: Frame
    leaf_hash: bytes
    opened: Opened | None = None
    report: IncidentReport | None = None
    acknowledgement: Acknowledgement | Progress | None = None
    remark: Remark | None = None
    call: Call | None = None
    answer: CallAnswer | None = None
    onward: Onward | None = None
    circle: Circle | None = None
    receipt: Receipt | None = None
    recall: Recall | None = None
    outcome: Outcome | None = None
    code: str | None = None


@dataclass(slots=True)
class _Batch:
    """What one transaction is going to write."""

    outcomes: list[EntryOutcome] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    versions: list[tuple[reports.NewReport, reports.Held | None]] = field(default_factory=list)
    acknowledgements: list[Acknowledgement | Progress] = field(default_factory=list)
    confirmed: list[tuple[str, int, reports.Place]] = field(default_factory=list)  # disputed no longer
    told: list[Item] = field(default_factory=list)  # what the peer says of entries of ours
    owed: list[tuple[bytes, str, str | None]] = field(default_factory=list)  # what it is to be told
    recalls: list[tuple[bytes, Header, Recall]] = field(default_factory=list)
    carried: dict[bytes, Carried] = field(default_factory=dict)  # by entries of the peer's log

    def leave_untaken(self) -> None:
        """Forget what was not taken: it came from another hand than its author's, who is asked for it anew."""
        self.outcomes = [o for o in self.outcomes if o.outcome in TAKEN]
        self.owed = [one for one in self.owed if one[1] in TAKEN]
        self.quarantined = []


class _LookAgain(StorageError):
    """The table changed between look and write; the batch is taken again."""


class Intake:
    """Turns frames into stored reports and outcomes."""

    def __init__(
        self,
        pool: Pool,
        alarms: Alarms,
        ownership: Ownership,
        trusting: Trusting,
        door: OnwardDoor,
        *,
        node_id: str,
        enc_private: Callable[[], Mapping[str, EncPrivateKey]],
        data_keys: DataKeys,
        alert_budget: Callable[[Peer], int],
        calls: CallLimits,
        erasing: Erasing,
        obeys: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._alarms = alarms
        self._ownership = ownership
        self._trusting = trusting
        self._door = door
        self._node_id = node_id
        self._enc_private = enc_private
        self._data_keys = data_keys
        self._alert_budget = alert_budget
        self._call_limits = calls
        self._erasing = erasing
        self._obeys = obeys
        self._now = now
        self.on_called: Callable[[], None] = _nobody  # after calls of peers were stored
        self._tries: dict[tuple[str, int], int] = {}
        self._retried: dict[tuple[str, int], int] = {}
        self._learned = 0  # how often more came to be known of circles
        self.on_circles: Callable[[], None] = _nobody  # more is known of circles: what waited is tried again
        self.on_stored: Callable[[], None] = _nobody  # after reports of a peer were committed
        self.obey: Callable[[str], Awaitable[None]] = (
            _nothing_to_do  # do what that peer (NodeID) has recalled
        )
        self._obeyed: set[str] = set()
        self.on_passed: Callable[[], None] = _nobody  # after something was passed on, or complained of
        self.on_outcomes: Callable[[], None] = _nobody  # after a peer is owed receipts

    async def take(self, peer: Peer, log: RemoteLog, frames: Sequence[Frame], next_index: int) -> RemoteLog:
        """Take `frames` (ascending, all in [log.next_index, next_index)) and move the cursor to `next_index`.

        Raises: PeerUnreachable (code `damaged`) when bytes do not match their leaf and asking again may help;
        StorageError (retryable: take the batch again).
        """
        async with self._pool.acquire() as conn:
            leaves = await remote.leaves(conn, log, log.next_index, next_index)
        keys = self._enc_private()

        def open_all() -> list[Arrival]:
            return [self._open(peer, f, leaves[f.idx - log.next_index], keys) for f in frames]

        arrivals = await asyncio.to_thread(open_all) if heavy(frames) else open_all()
        self._refuse_damage(log, arrivals)
        return await self._apply_in_turn(peer, log, arrivals, next_index)

    async def _apply_in_turn(
        self, peer: Peer, log: RemoteLog, arrivals: Sequence[Arrival], next_index: int
    ) -> RemoteLog:
        """Up to each recall, which is then obeyed: what its author says after it, it says of what is left."""
        if peer.node_id not in self._obeyed:  # one may wait since before we started
            await self.obey(peer.node_id)
            self._obeyed.add(peer.node_id)
        start = 0
        for nth, arrival in enumerate(arrivals, 1):
            if arrival.recall is not None:
                log = await self._apply_isolating(peer, log, arrivals[start:nth], arrival.frame.idx + 1)
                await self.obey(peer.node_id)
                start = nth
        return await self._apply_isolating(peer, log, arrivals[start:], next_index)

    async def take_from(
        self, giver: Peer, peer: Peer, log: RemoteLog, frames: Sequence[Frame]
    ) -> tuple[int, str | None]:
        """Take entries of `peer`'s that `giver` hands on; `log`'s cursor stays, so that `peer` is asked for them anew.

        Only what opens and is taken gets an outcome; all else is left for its author to serve. Returns how many were
        taken, and the code of what was not sound, which is laid to `giver` alone [P-223]. Raises: StorageError.
        """
        async with self._pool.acquire() as conn:
            leaves = await relays.unseen(conn, log, [f.idx for f in frames if f.idx >= log.next_index])
        keys = self._enc_private()

        def open_all() -> list[Arrival]:
            return [self._open(peer, f, leaves[f.idx], keys) for f in frames if f.idx in leaves]

        arrivals = await asyncio.to_thread(open_all) if heavy(frames) else open_all()
        sound = [a for a in arrivals if a.opened and a.outcome is None and handable(a.opened.header)]
        if sound:
            await self._apply_isolating(peer, log, sound, log.next_index, via=giver)
        return len(sound), next((a.code for a in arrivals if a.code in LAID_TO_THE_GIVER), None)

    async def mend(self, giver: Peer, peer: Peer, log: RemoteLog, leaf_hash: bytes, frame: Frame) -> bool:
        """Try what `giver` (`peer` itself, or another recipient) shows in place of an entry in quarantine.

        False: it does not open either, and the quarantine stays. Raises: StorageError.
        """
        arrival = await asyncio.to_thread(self._open, peer, frame, leaf_hash, self._enc_private())
        if arrival.code in MENDABLE | LAID_TO_THE_GIVER:
            return False
        via = None if giver is peer else giver
        await self._apply_isolating(peer, log, [arrival], log.next_index, again=True, via=via)
        return True

    async def retry(self, peer: Peer, log: RemoteLog) -> int:
        """Open again what could not be taken when it came, and may be now; returns how many were tried.

        That is what was of a later version of the protocol, and what is addressed to circles that were not known.
        """
        learned = self._learned
        if self._retried.get((log.origin, log.gen)) == learned:  # nothing was learnt meanwhile
            return 0
        count, after = 0, -1
        while waiting := await self._waiting(log, after):
            after = waiting[-1][1].idx
            understood = await asyncio.to_thread(self._understood, peer, waiting, self._enc_private())
            async with self._pool.acquire() as conn:
                ready = await CircleDesk.ready(conn, [a.opened for a in understood if a.opened is not None])
            understood = [a for a in understood if a.opened is None or a.opened in ready]
            if understood:
                await self._apply_isolating(peer, log, understood, log.next_index, again=True)
            count += len(understood)
        self._retried[log.origin, log.gen] = (
            learned  # only now: what a moment of trouble cut short begins anew
        )
        return count

    def learn_circles(self) -> None:
        """More is known of circles than before."""
        self._learned += 1
        self.on_circles()

    async def _waiting(self, log: RemoteLog, after: int) -> list[tuple[bytes, Frame]]:
        async with self._pool.acquire() as conn:
            full = await CircleDesk.full(conn, log.origin)
            codes = [code for code in ("unsupported", *WAITING) if not (full and code == TOO_MANY)]
            return await remote.waiting(conn, log, after, RETRY_ENTRIES, codes)

    def _understood(
        self, peer: Peer, waiting: Sequence[tuple[bytes, Frame]], keys: Mapping[str, EncPrivateKey]
    ) -> list[Arrival]:
        arrivals = [self._open(peer, frame, leaf_hash, keys) for leaf_hash, frame in waiting]
        return [a for a in arrivals if a.code not in {"unsupported", LATER}]

    # Opening -----------------------------------------------------------------------------------------

    def _open(self, peer: Peer, frame: Frame, leaf_hash: bytes, keys: Mapping[str, EncPrivateKey]) -> Arrival:
        arrival = Arrival(frame, leaf_hash)
        try:
            opened = open_entry(
                frame, expected_leaf_hash=leaf_hash, origin=peer.node_id, me=self._node_id, enc_private=keys
            )
            arrival = replace(arrival, opened=opened)
            if opened.header.t == "ack":
                acknowledgement = read_acknowledgement(opened.content)
                admit_acknowledgement(opened.header, acknowledgement, policy=peer.policy, me=self._node_id)
                return replace(arrival, acknowledgement=acknowledgement)
            if opened.header.t == "remark":
                said = check_remark(opened.content)
                if said.remark is None:
                    return _unsound(arrival, said.findings)
                admit_remark(opened.header, said.remark, policy=peer.policy, me=self._node_id)
                return replace(arrival, remark=said.remark)
            if opened.header.t == "call":
                call = read_call(opened.content)
                admit_call(opened.header, call, policy=peer.policy, me=self._node_id)
                return replace(arrival, call=call)
            if opened.header.t == "answer":
                answer = read_answer(opened.content)
                admit_answer(opened.header, answer, policy=peer.policy, me=self._node_id)
                return replace(arrival, answer=answer)
            if opened.header.t in {"share", "complain"}:
                came = self._door.open(opened, peer.policy)
                return replace(arrival, onward=came, report=came.report, outcome=came.outcome, code=came.code)
            if opened.header.t == "circle":
                return replace(arrival, circle=verify_circle(read_file(opened.content), now=self._now()))
            if opened.header.t == "receipt":
                receipt = read_receipt(opened.content)
                admit_receipt(opened.header, receipt, policy=peer.policy, me=self._node_id)
                return replace(arrival, receipt=receipt)
            if opened.header.t == "recall":
                recall = read_recall(opened.content)
                admit_recall(opened.header, recall, policy=peer.policy, me=self._node_id)
                return replace(arrival, recall=recall)
            checked = check_bundle(opened.content)
            report = checked.report
            if report is None:
                return _unsound(arrival, checked.findings)
            admit(
                opened.header,
                content_id=report.id,
                content_tlp=report.tlp,
                content_revoked=report.revoked,
                content_node=self._ownership.node_behind(report),
                policy=peer.policy,
                me=self._node_id,
            )
            if report.personal_data == "present":
                return replace(arrival, outcome=Outcome.REFUSED, code="personal-data")
            return replace(arrival, report=report)
        except EntryRefused as exc:
            outcome = Outcome.REFUSED if exc.by_policy else Outcome.QUARANTINED
            return replace(arrival, outcome=outcome, code=exc.code)
        except CircleRefused as exc:
            return replace(arrival, outcome=Outcome.QUARANTINED, code=exc.code)

    def _refuse_damage(self, log: RemoteLog, arrivals: Sequence[Arrival]) -> None:
        """All that is damaged is counted at once, so that many bad entries cost three requests together."""
        damaged = [(log.origin, a.frame.idx) for a in arrivals if a.code in DAMAGE]
        for key in damaged:
            self._tries[key] = self._tries.get(key, 0) + 1
        if any(self._tries[key] < TRANSFER_TRIES for key in damaged):
            raise PeerUnreachable("An entry was damaged on the way; it is asked for again.", code="damaged")
        for arrival in arrivals:
            self._tries.pop((log.origin, arrival.frame.idx), None)

    # Applying ----------------------------------------------------------------------------------------

    async def _apply_isolating(
        self,
        peer: Peer,
        log: RemoteLog,
        arrivals: Sequence[Arrival],
        next_index: int,
        *,
        again: bool = False,
        via: Peer | None = None,
    ) -> RemoteLog:
        """Apply; when the database refuses what a batch holds, go entry by entry and set only the bad one aside.

        Only errors that speak about data judge an entry. All others (away, full, a disk that cannot be read, a fault
        of the server's own) say nothing about it: they are raised, and the batch is taken again.
        """
        try:
            return await self._apply(peer, log, arrivals, next_index, again=again, via=via)
        except _LookAgain:
            return await self._apply_isolating(peer, log, arrivals, next_index, again=again, via=via)
        except StorageError as exc:
            if not exc.of_data or not arrivals or arrivals[0].code == exc.code:
                raise
            if len(arrivals) == 1:
                aside = replace(arrivals[0], outcome=Outcome.QUARANTINED, code=exc.code)
                return await self._apply(peer, log, [aside], next_index, again=again, via=via)
            for arrival in arrivals[:-1]:
                # The cursor is past what is tried again, and before what others hand on.
                following = next_index if again or via else arrival.frame.idx + 1
                log = await self._apply_isolating(peer, log, [arrival], following, again=again, via=via)
            return await self._apply_isolating(peer, log, arrivals[-1:], next_index, again=again, via=via)

    async def _apply(
        self,
        peer: Peer,
        log: RemoteLog,
        arrivals: Sequence[Arrival],
        next_index: int,
        *,
        again: bool = False,
        via: Peer | None = None,
    ) -> RemoteLog:
        async with self._pool.transaction() as conn:
            if again:
                await remote.forget_outcomes(conn, log, [a.frame.idx for a in arrivals])
            elif via is None and log.next_index < log.relayed_to:
                await relays.release(conn, log, [a.frame.idx for a in arrivals])
            arrivals = await self._without_erased(conn, peer.node_id, arrivals)
            ids = [a.opened.header.id for a in arrivals if a.opened is not None]
            held = await reports.held(conn, ids) if ids else {}
            answered = [a.acknowledgement.report_id for a in arrivals if a.acknowledgement is not None]
            sent = await shares.sealed_to(conn, peer.node_id, self._node_id, answered) if answered else set()
            came = [(a.opened, a.remark) for a in arrivals if a.opened is not None and a.remark is not None]
            desk = await RemarkDesk.open(conn, peer.node_id, self._node_id, came)
            calls = [(a.opened, a.call) for a in arrivals if a.opened is not None and a.call is not None]
            answers = [
                (a.opened, a.answer) for a in arrivals if a.opened is not None and a.answer is not None
            ]
            called = await CallDesk.open(conn, peer.node_id, self._node_id, calls, answers)
            told = [item.entry for a in arrivals if a.receipt is not None for item in a.receipt.items]
            sealed = await receipts.sealed(conn, peer.node_id, told) if told else set()
            batch = _Batch(carried=await _carried(conn, peer.node_id, arrivals))
            belonging = await self._circle_desk(conn, peer, log, arrivals)
            passing = await OnwardDesk.open(conn, peer, self._node_id, self._data_keys, self._door, held)
            _judge_all(
                batch,
                peer,
                log,
                arrivals,
                held,
                sent,
                sealed,
                desk,
                called,
                passing,
                belonging,
                self._data_keys,
            )
            if via is not None and not again:
                batch.leave_untaken()
            await _write_reports(conn, batch)
            await passing.write(conn)
            for report_id, ver, place in batch.confirmed:
                await reports.move(conn, report_id, ver, place)
            await desk.write(conn)
            await belonging.write(conn)
            rang = await self._ring(conn, peer, batch, passing, via)
            rang |= await self._hear(conn, peer, desk, called)
            for acknowledgement in batch.acknowledgements:
                await self._alarms.record_remote_ack(
                    conn, acknowledgement, node_id=peer.node_id, org=peer.called
                )
            if batch.told:
                await receipts.hear(conn, peer.node_id, [(item, moment(item.at)) for item in batch.told])
            await self._keep_recalls(conn, peer.node_id, batch)
            await receipts.owe(conn, peer.node_id, batch.owed)
            await self._record(conn, log, batch, next_index, via)
        for outcome in batch.outcomes:
            if outcome.code is not None:
                logger.warning(
                    "peer %s: entry %d was %s: %s", peer.row.name, outcome.idx, outcome.outcome, outcome.code
                )
        if rang or batch.acknowledgements or batch.confirmed:
            self._alarms.wake()
        if calls:
            self.on_called()
        if belonging.learned:
            self.learn_circles()
        if batch.versions:
            self.on_stored()
        self._door.learn(passing.authors)
        if passing.anything:
            self.on_passed()
        if batch.owed:
            self.on_outcomes()
        return replace(log, next_index=next_index)

    async def _without_erased(
        self, conn: Connection, peer: str, arrivals: Sequence[Arrival]
    ) -> list[Arrival]:
        """The batch with all refused that was erased here or taken back: nothing of it is looked at, nor kept."""
        named = {n: _names(a) for n, a in enumerate(arrivals)}
        gone = await self._erasing.among([name for names in named.values() for name in names], conn, peer)
        gone |= await recalls.named(conn, peer, [a.leaf_hash for a in arrivals])
        return [
            replace(a, outcome=Outcome.REFUSED, code="erased", **_NOTHING) if gone & set(named[n]) else a
            for n, a in enumerate(arrivals)
        ]

    async def _keep_recalls(self, conn: Connection, peer: str, batch: _Batch) -> None:
        for leaf_hash, header, recall in batch.recalls:
            await recalls.store(
                conn,
                leaf_hash,
                peer,
                what=recall.what,
                tlp=header.tlp.value,
                entries=recall.entries,
                reason=recall.reason,
                at=moment(recall.at),
                deadline=moment(recall.deadline),
            )
            if not self._obeys:
                batch.owed.append((leaf_hash, "waiting", None))

    async def _circle_desk(
        self, conn: Connection, peer: Peer, log: RemoteLog, arrivals: Sequence[Arrival]
    ) -> CircleDesk:
        came = [
            (a.opened.header, reports.Place(log.gen, a.frame.idx, a.leaf_hash))
            for a in arrivals
            if a.opened is not None and a.opened.header.aud.circle is not None
        ]
        brought = [a.circle for a in arrivals if a.circle is not None]
        origin = next((s.log.origin for s in peer.identity.statements if s.log.gen == log.gen), "")
        return await CircleDesk.open(conn, peer.policy, self._node_id, origin, came, brought, self._now)

    async def _record(
        self, conn: Connection, log: RemoteLog, batch: _Batch, next_index: int, via: Peer | None
    ) -> None:
        by = None if via is None else via.node_id
        outcomes = batch.outcomes
        await remote.record_outcomes(conn, log, outcomes, batch.quarantined, next_index=next_index, via=by)
        if by is not None and outcomes:
            await relays.note_taken(conn, log, by, [o.idx for o in outcomes])
        await audit.note(conn, *(_act(log.origin, by, log.gen, outcome) for outcome in outcomes))

    async def _hear(self, conn: Connection, peer: Peer, desk: RemarkDesk, called: CallDesk) -> bool:
        """Take calls, and what answers ours; whether there is anything to send."""
        wrote = await called.write(
            conn, self._alarms, caller=peer.row.name, limits=self._limits(peer), now=self._now()
        )
        heard = await hear_remarks(
            conn, self._alarms, desk.stored, peer=peer.node_id, us=self._node_id, who=peer.row.name
        )
        return wrote or heard

    def _limits(self, peer: Peer) -> CallLimits:
        return replace(self._call_limits, budget=lesser_budget(self._alert_budget(peer)))

    async def _ring(
        self, conn: Connection, peer: Peer, batch: _Batch, passing: OnwardDesk, via: Peer | None
    ) -> bool:
        plans = []
        through = "" if via is None else via.row.name
        for new, before in batch.versions:
            # A copy that came another way was nobody's word, and rang for nobody.
            grade = before.grade if before and before.origin == new.origin else None
            source = passing.source(new.report.id, new.ver)
            plan = self._alarms.plan(new.report, origin=source, ours=False, previous_grade=grade)
            if plan is not None:
                place = None if passing.came_on(new.report.id, new.ver) else new.place
                unwitnessed = place is not None and await self._trusting.awaited(conn, peer, place)
                plans.append((plan.marked(unwitnessed=unwitnessed, through=through), new.ver))
        if not plans:
            return False
        spent = await remote.alerts_in_a_day(conn, peer.node_id)
        within = _within_budget([plan.priority for plan, _ in plans], spent, self._alert_budget(peer))
        for nth in within:  # as they came: a later version's alert takes the place of an earlier one's
            plan, ver = plans[nth]
            await self._alarms.record(conn, plan, report_ver=ver)
        over = len(plans) - len(within)
        if over:
            logger.warning("peer %s: %d alerts are over its budget of a day", peer.row.name, over)
        return bool(within)


def _nobody() -> None:
    """Nobody wants to know."""


async def _nothing_to_do(_peer: str) -> None:
    """Nothing is recalled."""


def _act(peer: str, via: str | None, gen: int, entry: EntryOutcome) -> Act:
    """What the audit log says of an entry of `peer`, which `via` gave us if it was not its author."""
    detail: dict[str, Any] = {"gen": gen, "index": entry.idx}
    detail |= {} if entry.code is None else {"code": entry.code}
    detail |= {} if entry.ver is None else {"ver": entry.ver}
    detail |= {} if via is None else {"origin": peer}
    report = None if entry.report_id is None else f"report:{entry.report_id}"
    return Act(f"entry.{entry.outcome}", report, detail, of_peer(via or peer))


def _within_budget(priorities: Sequence[int], spent: int, budget: int) -> list[int]:
    """Which of a batch's alerts may ring, when `spent` did today: the urgent have their pick first. Ascending."""
    within: list[int] = []
    for nth in sorted(range(len(priorities)), key=priorities.__getitem__):
        if spent + len(within) < (budget if priorities[nth] == URGENT else lesser_budget(budget)):
            within.append(nth)
    return sorted(within)


def heavy(frames: Sequence[Frame]) -> bool:
    """Whether opening them would keep everybody else waiting."""
    return len(frames) >= THREAD_FROM or sum(len(f.ct) for f in frames) >= THREAD_FROM_BYTES


def _unsound(arrival: Arrival, findings: Sequence[Finding]) -> Arrival:
    """Content that breaks the profile, under the code of the first error."""
    first = next(f for f in findings if f.level == "error")
    return replace(arrival, outcome=Outcome.QUARANTINED, code=f"content-{first.code}")


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("opened", "report", "acknowledgement", "remark", "call", "answer", "receipt", "recall")
)


def _names(arrival: Arrival) -> list[bytes]:
    """By what an arrival would be known as erased: its leaf hash, the report's id, its content's SHA-256."""
    report_id, _ = about(arrival.frame.leaf)
    names = [arrival.leaf_hash] if report_id is None else [arrival.leaf_hash, report_id.encode()]
    return names if arrival.report is None else [*names, arrival.report.sha256]


async def _carried(conn: Connection, peer: str, arrivals: Sequence[Arrival]) -> dict[bytes, Carried]:
    """What the entries that are recalled here brought, as far as they came in earlier batches."""
    entries = [entry for a in arrivals if a.recall is not None for entry in a.recall.entries]
    if not entries:
        return {}
    found = await recalls.carried(conn, peer, entries)
    return {entry: Carried(*brought) for entry, brought in found.items()}


def _judge_all(
    batch: _Batch,
    peer: Peer,
    log: RemoteLog,
    arrivals: Sequence[Arrival],
    held: dict[str, reports.Held],
    sent: AbstractSet[tuple[str, int, bytes]],
    sealed: AbstractSet[bytes],
    desk: RemarkDesk,
    called: CallDesk,
    passing: OnwardDesk,
    belonging: CircleDesk,
    data_keys: DataKeys,
) -> None:
    """Judge in the order of the log; later entries of the batch see what earlier ones will have changed.

    `sent`: (report, version, leaf hash) of what we sealed to the peer, of the reports that are acknowledged here;
    `sealed`: leaf hashes of the same, of what receipts speak of.
    """
    for arrival in arrivals:
        outcome, code = arrival.outcome, arrival.code
        barred = _barred(arrival, belonging, reports.Place(log.gen, arrival.frame.idx, arrival.leaf_hash))
        if outcome is None and barred is not None:
            outcome, code = barred
        if outcome is None:
            outcome, code = _judge(peer, log, arrival, held, sent, sealed, desk, called, passing, batch)
        elif code == "onward-forbidden" and arrival.onward is not None and arrival.opened is not None:
            place = reports.Place(log.gen, arrival.frame.idx, arrival.leaf_hash)
            passing.refused(arrival.onward, place, arrival.frame, arrival.opened)
        if outcome is Outcome.QUARANTINED:
            frame = arrival.frame
            batch.quarantined.append(
                Quarantined(frame.idx, code or "unknown", frame.leaf, frame.wrap, frame.ct)
            )
        named = (None, None) if code == "erased" else about(arrival.frame.leaf)
        if named[0] is not None:
            standing = held.get(named[0])
            through = arrival.opened is not None and arrival.opened.header.t == "share"
            owner = None if standing is None or (through and outcome is Outcome.STORED) else standing.origin
            batch.carried[arrival.leaf_hash] = Carried(named[0], owner)
        if owed(arrival.frame.leaf):
            batch.owed.append((arrival.leaf_hash, outcome.value, code if outcome in _NOT_TAKEN else None))
        batch.outcomes.append(
            EntryOutcome(
                arrival.frame.idx,
                arrival.leaf_hash,
                outcome.value,
                code,
                *named,
                *_kept(arrival, outcome, data_keys),
            )
        )


def _barred(
    arrival: Arrival, belonging: CircleDesk, place: reports.Place
) -> tuple[Outcome, str | None] | None:
    """What circles say of an entry: all there is to say of manifests, and what forbids one addressed to a circle."""
    opened = arrival.opened
    if opened is None:
        return None
    if arrival.circle is not None:
        return belonging.judge_manifests(opened, arrival.circle)
    return None if opened.header.aud.circle is None else belonging.judge_addressed(opened.header, place)


def _judge(
    peer: Peer,
    log: RemoteLog,
    arrival: Arrival,
    held: dict[str, reports.Held],
    sent: AbstractSet[tuple[str, int, bytes]],
    sealed: AbstractSet[bytes],
    desk: RemarkDesk,
    called: CallDesk,
    passing: OnwardDesk,
    batch: _Batch,
) -> tuple[Outcome, str | None]:
    """The outcome of an entry that was opened and admitted; what it changes goes into `batch`, `held` and the desks."""
    opened = arrival.opened
    assert opened is not None, "what could not be opened has its outcome already"
    before = held.get(opened.header.id)
    place = reports.Place(log.gen, arrival.frame.idx, arrival.leaf_hash)
    if arrival.remark is not None:
        return desk.judge(opened, arrival.remark, before, place)
    if arrival.call is not None:
        return called.judge_call(opened, arrival.call, before, place)
    if arrival.answer is not None:
        return called.judge_answer(opened, arrival.answer)
    if arrival.recall is not None:
        try:
            recalled(arrival.recall, batch.carried, by=peer.node_id)
        except EntryRefused as exc:
            return Outcome.REFUSED, exc.code
        batch.recalls.append((arrival.leaf_hash, opened.header, arrival.recall))
        return Outcome.STORED, None
    if arrival.receipt is not None:
        try:
            batch.told += ours(arrival.receipt, sealed)
        except EntryRefused as exc:
            return Outcome.REFUSED, exc.code
        return Outcome.STORED, None
    if arrival.acknowledgement is not None:
        if not _told(sent, opened.header):
            return Outcome.REFUSED, "not-ours"
        batch.acknowledgements.append(arrival.acknowledgement)
        return Outcome.STORED, None
    came, header, report = arrival.onward, opened.header, arrival.report
    if came is not None:
        if report is None or came.passed is None:
            return passing.judge(came, place, arrival.frame, opened), None
        header = came.passed.header
        place = reports.Place(came.passed.gen, came.passed.index, came.passed.leaf_hash)
        if before is not None and before.disputed and before.origin == header.by:
            return Outcome.SUPERSEDED, None  # what its author disputes, the author alone mends (P-153)
    assert report is not None, "an entry of no other kind is opened"
    outcome, code = decide(
        _standing(before), header, sha256=report.sha256, origin=header.by, creator=report.created_by_ref
    )
    if outcome is Outcome.UNCHANGED and before is not None and before.origin == peer.node_id:
        if passing.direct(report.id, before.ver) or before.disputed:
            batch.confirmed.append((report.id, before.ver, place))
        held[report.id] = replace(before, disputed=False)
    if outcome is Outcome.STORED:
        new = reports.NewReport(report, header.by, header.ver, place)
        batch.versions.append((new, before))
        held[report.id] = _as_held(new)
        passing.learn(new, came)
        desk.learn(new)
        called.learn(new)
    return outcome, code


def _kept(arrival: Arrival, outcome: Outcome, data_keys: DataKeys) -> tuple[bytes | None, bytes | None]:
    """Header and locked data key of what was taken; nothing of what was not."""
    if arrival.opened is None or outcome in _NOT_TAKEN:
        return None, None
    return arrival.frame.leaf, data_keys.lock(arrival.leaf_hash, arrival.opened.data_key)


def _told(sent: AbstractSet[tuple[str, int, bytes]], header: Header) -> bool:
    """Whether the version that an acknowledgement speaks of was sealed to its sender in the entry it answers (P-85)."""
    return (header.id, header.ver, header.ref) in sent


async def _write_reports(conn: Connection, batch: _Batch) -> None:
    first = [new for new, before in batch.versions if before is None]
    if len(await reports.insert(conn, first)) != len(first):
        raise _LookAgain  # an own filing took one of the ids meanwhile
    for new, before in batch.versions:
        if before is not None and not await reports.replace(
            conn, new, held_ver=before.ver, held_origin=before.origin, anew=before.disputed
        ):
            raise _LookAgain


def _standing(held: reports.Held | None) -> Held | None:
    if held is None:
        return None
    return Held(
        origin=held.origin,
        creator=held.creator,
        ver=held.ver,
        sha256=held.sha256,
        final=held.state == "withdrawn",
        disputed=held.disputed,
    )


def _as_held(new: reports.NewReport) -> reports.Held:
    report = new.report
    return reports.Held(
        id=report.id,
        origin=new.origin,
        ver=new.ver,
        state="withdrawn" if report.revoked else "active",
        grade=report.severity.grade,
        tlp=report.tlp.value,
        sha256=report.sha256,
        audience=(),
        leaf_hash=new.place.leaf_hash if new.place else None,
        modified=report.modified,
        creator=report.created_by_ref,
    )
