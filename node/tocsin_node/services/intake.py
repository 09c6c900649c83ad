"""The intake: open one batch of a peer's entries, judge each, and write what follows from it in one transaction.

Reports, outcomes, the cursor, alerts and their outbox rows are committed together: a crash repeats a batch or does
not, and never half of it. Every entry gets exactly one terminal outcome; what cannot be taken is kept whole in
quarantine, and the stream goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tocsin_federation.calls import moment
from tocsin_federation.frames import Frame
from tocsin_federation.keys import EncPrivateKey
from tocsin_federation.recall import Carried
from tocsin_federation.relaying import LAID_TO_THE_GIVER, MENDABLE, handable
from tocsin_node.actor import of_peer
from tocsin_node.data_keys import DataKeys
from tocsin_node.links.peer_client import PeerUnreachable
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.arrival import DAMAGE, Arrival, Opening, heavy
from tocsin_node.services.erasing import Erasing
from tocsin_node.services.faults import FAULT, OURS, Faults, code_of
from tocsin_node.services.intake_calls import CallDesk, CallLimits, hear_remarks
from tocsin_node.services.intake_circles import LATER, TOO_MANY, WAITING, CircleDesk
from tocsin_node.services.intake_onward import OnwardDesk, OnwardDoor
from tocsin_node.services.intake_receipts import ReceiptDesk
from tocsin_node.services.intake_remarks import RemarkDesk
from tocsin_node.services.judging import OURS_LOST, Batch, Hearing
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.pace import URGENT
from tocsin_node.services.peer import Peer
from tocsin_node.services.peer_policy import lesser_budget
from tocsin_node.services.trust import Trusting
from tocsin_node.storage import audit, disputed, recalls, receipts, relays, remote, reports, shares
from tocsin_node.storage import log as own_log
from tocsin_node.storage.audit import Act
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.remote import EntryOutcome, RemoteLog

RETRY_ENTRIES = 50  # entries of a later version of the protocol that are tried again at once after an update
TRANSFER_TRIES = (
    3  # bytes that do not hash to their leaf may have been damaged on the way: ask again before judging
)
logger = logging.getLogger(__name__)


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
        faults: Faults,
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
        self._trusting = trusting
        self._door = door
        self._faults = faults
        self._node_id = node_id
        self._opening = Opening(node_id, ownership, door, now)
        self._enc_private = enc_private
        self._data_keys = data_keys
        self._alert_budget = alert_budget
        self._call_limits = calls
        self._erasing = erasing
        self._obeys = obeys
        self._now = now
        self.unsure: Callable[[], bool] = lambda: False  # whether our own log may be longer than we know
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
            return [self._opening.open(peer, f, leaves[f.idx - log.next_index], keys) for f in frames]

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
            return [self._opening.open(peer, f, leaves[f.idx], keys) for f in frames if f.idx in leaves]

        arrivals = await asyncio.to_thread(open_all) if heavy(frames) else open_all()
        sound = [a for a in arrivals if a.opened and a.outcome is None and handable(a.opened.header)]
        if sound:
            await self._apply_isolating(peer, log, sound, log.next_index, via=giver)
        return len(sound), next((a.code for a in arrivals if a.code in LAID_TO_THE_GIVER), None)

    async def mend(self, giver: Peer, peer: Peer, log: RemoteLog, leaf_hash: bytes, frame: Frame) -> bool:
        """Try what `giver` (`peer` itself, or another recipient) shows in place of an entry in quarantine.

        False: it does not open either, and the quarantine stays. Raises: StorageError.
        """
        arrival = await asyncio.to_thread(self._opening.open, peer, frame, leaf_hash, self._enc_private())
        if arrival.code in MENDABLE | LAID_TO_THE_GIVER | {FAULT}:
            return False
        via = None if giver is peer else giver
        await self._apply_isolating(peer, log, [arrival], log.next_index, again=True, via=via)
        return True

    async def retry(self, peer: Peer, log: RemoteLog) -> int:
        """Open again what could not be taken when it came, and may be now; returns how many were tried.

        That is what was of a later version of the protocol, and what is addressed to circles that were not known; at a
        start also what this program itself could not judge; and what answers entries of ours that were lost.
        """
        learned = self._learned
        started = (log.origin, log.gen) not in self._retried
        if self._retried.get((log.origin, log.gen)) == learned:  # nothing was learnt meanwhile
            return 0
        count, after = 0, -1
        while waiting := await self._waiting(log, after, OURS if started else ()):
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

    def learn(self) -> None:
        """More is known of circles than before, or of what our own log held."""
        self._learned += 1
        self.on_circles()

    async def _waiting(self, log: RemoteLog, after: int, faults: Sequence[str]) -> list[tuple[bytes, Frame]]:
        async with self._pool.acquire() as conn:
            full = await CircleDesk.full(conn, log.origin)
            codes = [
                code
                for code in ("unsupported", OURS_LOST, *WAITING, *faults)
                if not (full and code == TOO_MANY)
            ]
            return await remote.waiting(conn, log, after, RETRY_ENTRIES, codes)

    def _understood(
        self, peer: Peer, waiting: Sequence[tuple[bytes, Frame]], keys: Mapping[str, EncPrivateKey]
    ) -> list[Arrival]:
        arrivals = [self._opening.open(peer, frame, leaf_hash, keys) for leaf_hash, frame in waiting]
        return [a for a in arrivals if a.code not in {"unsupported", LATER, FAULT}]

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
        """Apply; when that fails over what a batch holds, go entry by entry and set only the bad one aside.

        Of the database's errors those that speak about data judge an entry. All others (away, full, a disk that cannot
        be read, a fault of the server's own) say nothing about it: they are raised, and the batch is taken again. So is
        what we cannot explain (`faults`), but only so often; then the entry waits for an
        update, and the stream goes on.
        """
        try:
            return await self._apply(peer, log, arrivals, next_index, again=again, via=via)
        except _LookAgain:
            return await self._apply_isolating(peer, log, arrivals, next_index, again=again, via=via)
        except Exception as exc:
            code = code_of(exc)
            if code is None or not arrivals:
                raise
            if len(arrivals) == 1:
                (arrival,) = arrivals
                if via is not None and not again:
                    return log  # left for its author to serve
                if arrival.code == code or not (
                    again or self._faults.spent(log.origin, log.gen, arrival.frame.idx, exc)
                ):
                    raise
                aside = arrival.set_aside(code)
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
            before: set[tuple[bytes, str, str | None]] = set()
            if again:
                before = await remote.forget_outcomes(conn, log, [a.frame.idx for a in arrivals])
            elif via is None and log.next_index < log.relayed_to:
                damaged = [a.frame.idx for a in arrivals if a.code in DAMAGE]
                sound = await relays.taken(conn, log, damaged) if damaged else set()
                arrivals = [
                    a for a in arrivals if a.frame.idx not in sound
                ]  # the author's bytes came from another
                await relays.release(conn, log, [a.frame.idx for a in arrivals])
            arrivals = await self._without_erased(conn, peer.node_id, arrivals)
            # Before all that is held against it: what comes back between the two is not lost to the later look.
            answered_to = [entry for a in arrivals for entry in a.answers()]
            lost = (
                await own_log.lost_among(conn, answered_to, unknown=self.unsure()) if answered_to else set()
            )
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
            said = [a.receipt for a in arrivals if a.receipt is not None]
            kept_out = {a.leaf_hash for a in arrivals if a.code == "erased"}
            heard = await ReceiptDesk.open(conn, peer.node_id, self._node_id, moment, said, kept_out)
            batch = Batch(carried=await _carried(conn, peer.node_id, arrivals))
            belonging = await self._circle_desk(conn, peer, log, arrivals)
            passing = await OnwardDesk.open(conn, peer, self._node_id, self._data_keys, self._door, held)
            keys = self._data_keys
            hearing = Hearing(
                peer, log, held, sent, desk, called, passing, heard, belonging, keys, batch, lost
            )
            hearing.judge_all(arrivals)
            if via is not None and not again:
                batch.leave_untaken()
            await _write_reports(conn, batch)
            await passing.write(conn)
            for report_id, ver, place in batch.confirmed:
                await reports.move(conn, report_id, ver, place)
            mended = [
                new.report.id for new, before in batch.versions if before is not None and before.disputed
            ]
            await disputed.stir_reports(conn, [*(each[0] for each in batch.confirmed), *mended])
            await desk.write(conn)
            await belonging.write(conn)
            rang = await self._ring(conn, peer, batch, passing, via)
            rang |= await self._hear(conn, peer, desk, called)
            for acknowledgement, place in batch.acknowledgements:
                await self._alarms.record_remote_ack(
                    conn, acknowledgement, node_id=peer.node_id, org=peer.called, place=place
                )
            owing = await heard.write(conn, self._erasing.tag)
            await self._keep_recalls(conn, peer.node_id, batch)
            batch.owed = [one for one in batch.owed if one not in before]  # that was told
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
            self.learn()
        if batch.versions:
            self.on_stored()
        self._door.learn(passing.authors)
        if passing.anything:
            self.on_passed()
        if batch.owed or owing:
            self.on_outcomes()
        return replace(log, next_index=next_index)

    async def _without_erased(
        self, conn: Connection, peer: str, arrivals: Sequence[Arrival]
    ) -> list[Arrival]:
        """The batch with all refused that was erased here or taken back: nothing of it is looked at, nor kept."""
        named = [a.names() for a in arrivals]
        gone = await self._erasing.among([name for names in named for name in names], conn, peer)
        gone |= await recalls.named(conn, peer, [a.leaf_hash for a in arrivals])
        return [
            a.refused_as_erased() if gone & set(names) else a
            for a, names in zip(arrivals, named, strict=True)
        ]

    async def _keep_recalls(self, conn: Connection, peer: str, batch: Batch) -> None:
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
        self, conn: Connection, log: RemoteLog, batch: Batch, next_index: int, via: Peer | None
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
        self, conn: Connection, peer: Peer, batch: Batch, passing: OnwardDesk, via: Peer | None
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


async def _carried(conn: Connection, peer: str, arrivals: Sequence[Arrival]) -> dict[bytes, Carried]:
    """What the entries that are recalled here brought, as far as they came in earlier batches."""
    entries = [entry for a in arrivals if a.recall is not None for entry in a.recall.entries]
    if not entries:
        return {}
    found = await recalls.carried(conn, peer, entries)
    return {entry: Carried(*brought) for entry, brought in found.items()}


async def _write_reports(conn: Connection, batch: Batch) -> None:
    first = [new for new, before in batch.versions if before is None]
    if len(await reports.insert(conn, first)) != len(first):
        raise _LookAgain  # an own filing took one of the ids meanwhile
    for new, before in batch.versions:
        if before is not None and not await reports.replace(
            conn, new, held_ver=before.ver, held_origin=before.origin, anew=before.disputed
        ):
            raise _LookAgain
