"""Recalling: take back what was given, mark it more strictly at those who have it, and obey when a peer does.

What is to be told stands in rows (`recall_peer`) that are written with what it follows from, and is told by an entry of
our log as soon as it can be sealed: to an absent peer later. What a peer recalled is obeyed after it is committed, in a
transaction of the ledger's, or waits for a person where the settings say so.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from tocsin_federation.messages import MAX_RECIPIENTS
from tocsin_federation.recall import What, write_recall
from tocsin_node.actor import NODE, person
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services import recalls_back
from tocsin_node.services.audience import Left
from tocsin_node.services.erasing import Erased, Erasing, ReasonTells, refuse_telling
from tocsin_node.services.falling_back import fall_back
from tocsin_node.services.faults import code_of
from tocsin_node.services.ledger import Beside, Ledger, Posting
from tocsin_node.services.ownership import NotOurs
from tocsin_node.services.peer_refusals import PeerUnknown
from tocsin_node.services.peering import Peering
from tocsin_node.services.report_refusals import ReportUnknown
from tocsin_node.services.sealing import Sealing
from tocsin_node.services.telling import BATCH, Telling
from tocsin_node.storage import complaints, given_anew, recalls, receipts, redactions, reports
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.recalls import NewRecall, OfPeer, Recalled, Untold
from tocsin_schema.marking import Tlp

DEADLINE_H = 72
LONGEST_H = 8760.0  # a deadline of a peer may be the end of all calendars
SOON = timedelta(hours=12)
STUCK = timedelta(minutes=10)  # what nobody is asked about is done at once
MARKED = "Its marking was raised."
PASSED = "Its author recalled it."
NEVER_ONWARD = frozenset({Tlp.AMBER_STRICT, Tlp.RED})
logger = logging.getLogger(__name__)
WITHHELD = frozenset({"above-ceiling", "red-unnamed", "not-named", "peer-removed"})


class NobodyHasIt(NodeError):
    """The report went to nobody whom a recall could reach."""

    code = "nobody-has-it"
    hint = "`tocsin report receipts ID` shows who was sent what."


class RecallUnknown(NodeError):
    """There is no such recall of a peer here."""

    code = "recall-unknown"
    hint = "`tocsin report recalls` shows them."


class RecallDisputed(NodeError):
    """The peer has ended the log that this recall stands in, before it."""

    code = "recall-disputed"
    hint = "Somebody else may have said it with its keys. If it is meant, the peer says it again: ask there."


@dataclass(frozen=True, slots=True)
class Planned:
    """What a recall or an erasing comes to. `peers`: NodeIDs that are told; `redactions`: ids, of what is erased."""

    report_id: str
    erased: bool
    peers: tuple[str, ...]
    deadline: datetime
    redactions: tuple[str, ...] = ()


class Recalling(Telling):
    """Start `run()` once; `wake()` after recalls of ours or of peers were stored. `obeys`: without being asked."""

    what = "recalls"

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        sealing: Sealing,
        erasing: Erasing,
        *,
        node_id: str,
        obeys: bool,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
    ) -> None:
        super().__init__(pool, ledger, peering, sealing, node_id=node_id)
        self._erasing = erasing
        self._obeys = obeys
        self._now = now
        self._rng = rng
        self._turn = asyncio.Lock()
        self._telling = asyncio.Lock()  # two at once would tell one recall twice
        self._failing: set[bytes] = (
            set()
        )  # leaf hashes of peers' recalls that could not be done since the start
        # Leaf hashes of those that wait for a person: with each that comes only the new ones are looked at.
        self._asks: set[bytes] = set()
        self.on_done: Callable[[], None] = _nobody  # after a peer is owed a receipt
        self.on_erased: Callable[[], None] = _nobody  # after messages are to be taken back

    # Ours ------------------------------------------------------------------------------------------------

    async def recall(
        self,
        report_id: str,
        *,
        peers: Sequence[str] | None,
        reason: str,
        by: str,
        deadline_h: float = DEADLINE_H,
        dry_run: bool = False,
    ) -> Planned:
        """Take a report back from `peers` (names or NodeIDs; None: all that were sent it): they may hold it no more.

        We keep it; they get no later version. Raises: ReportUnknown, NotOurs, PeerUnknown, NobodyHasIt, ReasonTells.
        """
        async with self._pool.acquire() as conn:
            report = await self._known(conn, report_id)
            if report.origin != self._node_id:
                raise NotOurs("Only who gave a report can take it back.")
            having = await recalls.recipients(conn, report_id)
        refuse_telling(reason, report_id, report.bundle)
        chosen = (
            having if peers is None else {node: having[node] for node in self._named(peers) if node in having}
        )
        if not chosen:
            raise NobodyHasIt
        new = self._new("purge", report_id, report.tlp, chosen, reason, by, deadline_h)
        if not dry_run:
            nodes = list(chosen)
            await self._write(
                partial(
                    _in_turn,
                    [
                        partial(recalls.add, new=new),
                        partial(recalls.shred, report_id=report_id, nodes=nodes),
                        partial(recalls.leave_out, report_id=report_id, nodes=nodes),
                    ],
                ),
                Act("report.recall", f"report:{report_id}", {"recipients": len(nodes)}, person(by)),
            )
        return Planned(report_id, erased=False, peers=tuple(chosen), deadline=new.deadline)

    async def erase(
        self,
        report_id: str,
        *,
        reason: str,
        by: str,
        deadline_h: float = DEADLINE_H,
        dry_run: bool = False,
    ) -> Planned:
        """Leave nothing of a report here, and take it back from all that were sent it by us.

        A report of a peer is taken back from those that we passed it on to, and from nobody else.
        Raises: ReportUnknown, Erased when that was done before, ReasonTells.
        """
        async with self._pool.acquire() as conn:
            report = await self._known(conn, report_id)
            ours = report.origin == self._node_id
            having = await self._having(conn, report_id, ours=ours)
            made = [one.id for one in await redactions.made_from(conn, report_id)]
        refuse_telling(reason, report_id, report.bundle)
        new = replace(
            self._new("purge", report_id, report.tlp, having, reason, by, deadline_h),
            erased=True,
            author=None if ours else report.origin,
        )
        if not dry_run:
            erase = self._erasing.erasing(
                [report_id], origin=None, by=by, reason=reason, told=f"{by} erased its report.", key=new.id
            )
            act = Act("report.erase", None, {"recipients": len(having)}, person(by))
            recall = partial(self._from_all, report_id, ours, new)
            await self._write(partial(_in_turn, [recall, erase]), act)
            self.on_erased()
        return Planned(
            report_id, erased=True, peers=tuple(having), deadline=new.deadline, redactions=tuple(made)
        )

    async def narrowing(self, held: reports.Held, tlp: Tlp, left: Sequence[Left], by: str) -> Beside | None:
        """What a version marked `tlp` means for those that have an earlier one, for the transaction that files it.

        Whoever gets it is told that earlier versions are marked so, too; whoever may not have it (`left`) must give
        back what it has. None: it is not marked more strictly.
        """
        if tlp.rank <= Tlp(held.tlp).rank:
            return None
        async with self._pool.acquire() as conn:
            having = await recalls.recipients(conn, held.id)
        out = {one.node_id for one in left if one.code in WITHHELD}
        parts: list[tuple[What, dict[str, bytes]]] = [
            ("narrow", {node: ref for node, ref in having.items() if node not in out}),
            ("purge", {node: ref for node, ref in having.items() if node in out}),
        ]
        acts: list[Beside] = []
        for what, peers in parts:
            if peers:
                new = self._new(what, held.id, tlp.value, peers, MARKED, by, DEADLINE_H)
                acts.append(partial(recalls.add, new=new))
                if what == "purge":  # a later version that they may have goes to them again
                    acts.append(partial(recalls.shred, report_id=held.id, nodes=list(peers)))
        return partial(_in_turn, acts) if acts else None

    async def of_report(self, report_id: str) -> list[OfPeer]:
        """How far recalls of a report got, also of one that is erased."""
        async with self._pool.acquire() as conn:
            return await recalls.of_report(conn, self._erasing.tag(report_id))

    async def ours(self, limit: int) -> list[OfPeer]:
        """How far our recalls got: first where a peer is late, then the newest."""
        async with self._pool.acquire() as conn:
            return await recalls.newest(conn, limit, self._now())

    async def titles(self, report_ids: Iterable[str]) -> dict[str, str]:
        """What the reports of these that are held here are called."""
        async with self._pool.acquire() as conn:
            return await recalls.titles(conn, list(set(report_ids)))

    # Peers' ----------------------------------------------------------------------------------------------

    async def theirs(self, limit: int) -> list[Recalled]:
        """What peers recalled and is not done, or was of late; newest first."""
        async with self._pool.acquire() as conn:
            return await recalls.lately(conn, limit)

    async def obey(self, leaf_hash: bytes, *, by: str) -> Recalled:
        """A person decides to do what a peer's recall asks. Raises: RecallUnknown, RecallDisputed."""
        async with self._pool.acquire() as conn:
            found = await recalls.one(conn, leaf_hash)
        if found is None:
            raise RecallUnknown
        if found.disputed and found.done_at is None:
            raise RecallDisputed
        if found.done_at is None:
            await self._do(found, by)
            self._failing.discard(leaf_hash)
        return found

    async def tell(self) -> int:
        """As every `Telling`; first what peers ask is done."""
        await self.obey_all()
        async with self._telling:
            return await super().tell()

    async def before_giving(self, report_id: str) -> None:
        """Return when recalls of a report stand in our log before what gives it anew (P-194).

        A recall behind that would take back what it does not mean. Raises: as `Ledger.post`.
        """
        async with self._telling:
            while True:
                async with self._pool.acquire() as conn:
                    waits = await recalls.waits(conn, self._erasing.tag(report_id), self._sealable())
                if not waits or not await super().tell():
                    return

    async def obey_all(self, origin: str | None = None) -> None:
        """Do what peers recalled (`origin`: that one, NodeID), unless a person is to be asked. Raises: StorageError.

        Nobody is asked about what reaches nothing that is held: its author hears at once that it is not here (P-191).
        One over which this program stumbles stays open, is told of and tried again at the next call: it holds up
        neither the others nor its author's entries.
        """
        async with self._turn:
            if origin is None:
                self._asks.clear()  # what they reach may have gone meanwhile
            last: Recalled | None = None
            while True:
                async with self._pool.acquire() as conn:
                    waiting = await recalls.open_ones(conn, BATCH, origin, but=self._asks, after=last)
                for found in waiting:
                    last = found
                    if found.report_ids and not self._obeys:
                        self._asks.add(found.leaf_hash)
                    else:
                        await self._done(found)
                if len(waiting) < BATCH:
                    break

    async def _done(self, found: Recalled) -> bool:
        """Whether it could be done. Raises: what says nothing of this recall, such as StorageError."""
        try:
            await self._do(found, None)
        except Exception as exc:
            if code_of(exc) is None:
                raise
            logger.exception("a recall of %s cannot be done", self._peering.name_of(found.origin))
            self._failing.add(found.leaf_hash)
            return False
        self._failing.discard(found.leaf_hash)
        return True

    async def health(self) -> Check:
        """Whether peers do in time what our recalls ask."""
        async with self._pool.acquire() as conn:
            late = await recalls.overdue(conn, self._now())
        if late:
            hint = f"{len(late)} peers have not said that they did what a recall of ours asks: `tocsin report recalls`."
            return Check("recalls", "degraded", "recall-overdue", hint, count=len(late))
        return Check("recalls")

    async def back(self) -> Check:
        """Whether a restore brought back reports of which recalls of ours came back."""
        return await recalls_back.health(self._pool, self._now())

    async def asked(self) -> Check:
        """Whether what peers' recalls ask of us is done: nothing waits for a person, or could not be done."""
        if self._failing:
            hint = (
                "Recalls of peers cannot be done, by a fault of this program: update the node. Until then "
                "`tocsin report recalls` shows them, and `tocsin report erase` removes what they take back."
            )
            return Check("recalls-of-peers", "degraded", "recall-failed", hint, count=len(self._failing))
        now = self._now()
        async with self._pool.acquire() as conn:
            waiting = await recalls.open_ones(conn, BATCH)
        if self._obeys:
            waiting = [found for found in waiting if now - found.stored_at > STUCK]
        if not waiting:
            return Check("recalls-of-peers")
        first = min(found.deadline for found in waiting)
        code = "recall-waits" if first - now > SOON else "recall-due"
        hint = f"{len(waiting)} recalled by peers are to be done here, the first until {first:%Y-%m-%d %H:%M} UTC: "
        return Check(
            "recalls-of-peers", "degraded", code, hint + "`tocsin report recalls`.", count=len(waiting)
        )

    async def _do(self, found: Recalled, by: str | None) -> None:
        ids, keep = found.report_ids, await self._tells_nothing(found)
        if found.what == "narrow":
            act: Beside = partial(
                _in_turn,
                [
                    partial(recalls.narrow, report_ids=ids, tlp=found.tlp, by=found.origin),
                    partial(given_anew.narrow_before, leaf_hash=found.leaf_hash, tlp=found.tlp),
                ],
            )
        else:
            act = partial(
                _in_turn,
                [
                    partial(self._purge, found, by),
                    partial(given_anew.purge_before, leaf_hash=found.leaf_hash),
                    partial(recalls.let_go, origin=found.origin, entries=found.entries),
                    partial(complaints.asked, against=found.origin, entries=found.entries, us=self._node_id),
                ],
            )
        state = "narrowed" if found.what == "narrow" else "purged"
        await self._write(
            partial(
                _in_turn,
                [
                    partial(self._pass_on, found),  # first: erasing forgets whom it was passed on to
                    act,
                    partial(recalls.done, leaf_hash=found.leaf_hash, by=by, reports=len(ids), keep=keep),
                    partial(receipts.owe, origin=found.origin, states=[(found.leaf_hash, state, None)]),
                ],
            ),
            Act(
                "report.obey",
                f"peer:{found.origin}",
                {"reports": len(ids)},
                NODE if by is None else person(by),
            ),
        )
        self.on_erased()
        self.on_done()

    # -------------------------------------------------------------------------------------------------------

    async def _purge(self, found: Recalled, by: str | None, conn: Connection) -> None:
        """Leave nothing of what it reaches; but what an author gave before another passed it on stays."""
        stay = await fall_back(conn, found.report_ids, found.origin)
        told = f"{self._peering.name_of(found.origin)} recalled its report."
        ids = [one for one in found.report_ids if one not in stay]
        key = found.leaf_hash.hex()
        await self._erasing.erasing(ids, origin=found.origin, by=by, reason=None, told=told, key=key)(conn)

    async def _tells_nothing(self, found: Recalled) -> bool:
        """Whether its reason repeats nothing of what goes: then it stays, and its author can have the recall back."""
        async with self._pool.acquire() as conn:
            held = [await reports.get(conn, report_id) for report_id in found.report_ids]
        if found.reason is None or not held:
            return False
        try:
            for one in held:
                if one is not None:
                    refuse_telling(found.reason, one.id, one.bundle)
        except ReasonTells:
            return False
        return True

    async def _pass_on(self, found: Recalled, conn: Connection) -> None:
        """What a peer recalled and we passed on is recalled from those we passed it to (P-196).

        In the transaction of the pen that does it, so that nothing is passed on between the look and the deed.
        """
        passed = await recalls.passed_on(conn, found.report_ids, self._node_id)
        hours = min(max(1.0, (found.deadline - self._now()) / timedelta(hours=1)), LONGEST_H)
        by = self._peering.name_of(found.origin)
        still = self._may_keep(Tlp(found.tlp)) if found.what == "narrow" else set()
        for report_id, peers in passed.items():
            kept = {node: ref for node, ref in peers.items() if node in still}
            lost = {node: ref for node, ref in peers.items() if node not in still}
            parts: list[tuple[What, dict[str, bytes]]] = [("narrow", kept), ("purge", lost)]
            for what, told in parts:
                # Else who narrows again and again has us write to all of them as often (P-282).
                known = await recalls.told_so(conn, self._erasing.tag(report_id), what, found.tlp)
                news = {node: ref for node, ref in told.items() if (node, ref) not in known}
                if news:
                    new = self._new(what, report_id, found.tlp, news, PASSED, by, hours)
                    await recalls.add(conn, replace(new, author=found.origin))
            await recalls.shred_passed(conn, report_id, self._node_id, list(lost))

    async def _having(self, conn: Connection, report_id: str, *, ours: bool) -> dict[str, bytes]:
        """Who has a report from us: of a peer's report those that we passed it on to."""
        if ours:
            return await recalls.recipients(conn, report_id)
        return (await recalls.passed_on(conn, [report_id], self._node_id)).get(report_id, {})

    async def _from_all(self, report_id: str, ours: bool, new: NewRecall, conn: Connection) -> None:
        """The recall of what is erased, to all that have it by now; in the transaction of the pen, as `_pass_on`."""
        await recalls.add(conn, replace(new, peers=await self._having(conn, report_id, ours=ours)))

    def _may_keep(self, tlp: Tlp) -> set[str]:
        """Peers (NodeIDs) that what we passed on may stay with under that marking."""
        if tlp in NEVER_ONWARD:
            return set()
        fitting = (p for p in self._peering.policies() if tlp.rank <= p.max_tlp_out.rank)
        return {p.node_id for p in fitting if p.client or tlp is not Tlp.AMBER}

    async def _known(self, conn: Connection, report_id: str) -> reports.StoredReport:
        report = await reports.get(conn, report_id)
        if report is None:
            if await self._erasing.among([report_id.encode()], conn):
                raise Erased  # who did not hear the answer asks again
            raise ReportUnknown
        return report

    def _named(self, names: Sequence[str]) -> list[str]:
        """NodeIDs, also of peers that were removed since."""
        found = []
        for name in names:
            try:
                found.append(self._peering.named(name).node_id)
            except PeerUnknown:
                if name not in self._peering.known():
                    raise
                found.append(name)
        return found

    def _new(
        self,
        what: What,
        report_id: str,
        tlp: str,
        peers: Mapping[str, bytes],
        reason: str,
        by: str,
        deadline_h: float,
    ) -> NewRecall:
        now = self._now()
        return NewRecall(
            id=str(uuid.UUID(bytes=self._rng(16), version=4)),
            tag=self._erasing.tag(report_id),
            what=what,
            tlp=tlp,
            reason=reason,
            by=by,
            at=now,
            deadline=now + timedelta(hours=deadline_h),
            peers=dict(peers),
        )

    async def _write(self, act: Beside, *acts: Act) -> None:
        await self._ledger.post(Posting(beside=act, acts=acts))
        self.wake()

    async def _untold(self, peers: list[str]) -> tuple[list[Posting], bool]:
        async with self._pool.acquire() as conn:
            waiting = await recalls.untold(conn, peers, BATCH)
        return [await self._posting(one) for one in waiting], len(waiting) == BATCH

    async def _posting(self, untold: Untold) -> Posting:
        refs = [ref for _, ref in untold.peers]
        what: What = "narrow" if untold.what == "narrow" else "purge"
        named = list(dict.fromkeys([*refs, *untold.also]))[:MAX_RECIPIENTS]
        content = write_recall(what, named, untold.reason, at=untold.at, deadline=untold.deadline)
        nodes = [node for node, _ in untold.peers]
        sealed = await self._sealing.seal(
            "recall",
            self._sealing.fresh_id("recall"),
            1,
            to=nodes,
            tlp=Tlp(untold.tlp) if what == "narrow" else Tlp.GREEN,
            content=content,
            ref=refs[0],
            aud=self._peering.audience(nodes),
        )
        return Posting(sealed=sealed, after=partial(self._mark, untold.id, nodes))

    async def _mark(self, recall: str, nodes: Sequence[str], conn: Connection, index: int) -> None:
        await recalls.told(conn, recall, self._ledger.head.gen, index, nodes)


async def _in_turn(acts: Sequence[Beside], conn: Connection) -> None:
    for act in acts:
        await act(conn)


def _nobody() -> None:
    """Nobody wants to know."""
