"""Judging: what becomes of each entry of a batch, and what the batch is going to write.

Judged in the order of the log: later entries see what earlier ones will have changed. Nothing is written here; the
intake writes what stands in the `Batch`, and the desks what they have taken.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Held, Outcome, decide
from tocsin_federation.messages import Acknowledgement, Header, Progress
from tocsin_federation.recall import Carried, Recall, recalled
from tocsin_federation.receipt import about, owed
from tocsin_node.data_keys import DataKeys
from tocsin_node.services.arrival import Arrival
from tocsin_node.services.intake_calls import CallDesk
from tocsin_node.services.intake_circles import CircleDesk
from tocsin_node.services.intake_onward import OnwardDesk
from tocsin_node.services.intake_receipts import ReceiptDesk
from tocsin_node.services.intake_remarks import RemarkDesk
from tocsin_node.services.peer import Peer
from tocsin_node.storage import reports
from tocsin_node.storage.remote import EntryOutcome, Quarantined, RemoteLog

Verdict = tuple[Outcome, str | None]
OURS_LOST: Final = (
    "ours-lost"  # it answers an entry of ours that is lost, and is tried again when that is back
)
_UNGROUNDED: Final = frozenset({"not-ours", "not-recipient", "unknown-report"})
_NOT_TAKEN: Final = frozenset({Outcome.REFUSED, Outcome.QUARANTINED})
_TAKEN: Final = frozenset({Outcome.STORED.value, Outcome.UNCHANGED.value, Outcome.SUPERSEDED.value})


@dataclass(slots=True)
class Batch:
    """What one transaction is going to write."""

    outcomes: list[EntryOutcome] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    versions: list[tuple[reports.NewReport, reports.Held | None]] = field(default_factory=list)
    acknowledgements: list[tuple[Acknowledgement | Progress, reports.Place]] = field(default_factory=list)
    confirmed: list[tuple[str, int, reports.Place]] = field(default_factory=list)  # disputed no longer
    owed: list[tuple[bytes, str, str | None]] = field(default_factory=list)  # what it is to be told
    recalls: list[tuple[bytes, Header, Recall]] = field(default_factory=list)
    carried: dict[bytes, Carried] = field(default_factory=dict)  # by entries of the peer's log

    def leave_untaken(self) -> None:
        """Forget what was not taken: it came from another hand than its author's, who is asked for it anew."""
        self.outcomes = [o for o in self.outcomes if o.outcome in _TAKEN]
        self.owed = [one for one in self.owed if one[1] in _TAKEN]
        self.quarantined = []


@dataclass(frozen=True, slots=True)
class Hearing:
    """One batch of a peer's entries before those who judge it; verdicts and what follows gather in `batch`.

    `held`: the reports here that the entries speak of. `sent`: (report, version, leaf hash) of what we sealed to the
    peer, of the reports that are acknowledged here.
    `lost`: those of the entries that the batch answers which are ours, and lost.
    """

    peer: Peer
    log: RemoteLog
    held: dict[str, reports.Held]
    sent: AbstractSet[tuple[str, int, bytes]]
    remarks: RemarkDesk
    calls: CallDesk
    passing: OnwardDesk
    receipts: ReceiptDesk
    circles: CircleDesk
    data_keys: DataKeys
    batch: Batch
    lost: AbstractSet[bytes] = frozenset()

    def judge_all(self, arrivals: Sequence[Arrival]) -> None:
        """Give each its one terminal outcome."""
        for arrival in arrivals:
            outcome, code = self._verdict(arrival)
            frame = arrival.frame
            if outcome is Outcome.QUARANTINED:
                aside = Quarantined(frame.idx, code or "unknown", frame.leaf, frame.wrap, frame.ct)
                self.batch.quarantined.append(aside)
            # A header that is not the leaf's is nobody's word.
            named = (None, None) if code in {"erased", "hash-mismatch"} else about(frame.leaf)
            if named[0] is not None:
                self._note_carried(arrival, named[0], outcome)
            if owed(frame.leaf):
                said = code if outcome in _NOT_TAKEN else None
                self.batch.owed.append((arrival.leaf_hash, outcome.value, said))
            kept = self._kept(arrival, outcome)
            self.batch.outcomes.append(
                EntryOutcome(frame.idx, arrival.leaf_hash, outcome.value, code, *named, *kept)
            )

    def _verdict(self, arrival: Arrival) -> Verdict:
        outcome, opened = arrival.outcome, arrival.opened
        barred = self._barred(arrival)
        if outcome is None:
            return self._grounded(arrival) if barred is None else barred
        if arrival.code == "onward-forbidden" and arrival.onward is not None and opened is not None:
            self.passing.refused(arrival.onward, self._place(arrival), arrival.frame, opened)
        return outcome, arrival.code

    def _place(self, arrival: Arrival) -> reports.Place:
        return reports.Place(self.log.gen, arrival.frame.idx, arrival.leaf_hash)

    def _barred(self, arrival: Arrival) -> Verdict | None:
        """What circles say: all there is to say of manifests, and what forbids an entry addressed to a circle."""
        opened = arrival.opened
        if opened is None:
            return None
        if arrival.circle is not None:
            return self.circles.judge_manifests(opened, arrival.circle)
        if opened.header.aud.circle is None:
            return None
        return self.circles.judge_addressed(opened.header, self._place(arrival))

    def _grounded(self, arrival: Arrival) -> Verdict:
        """The outcome, but what answers an entry of ours that is lost is kept until that is back [P-247]."""
        awaited = not self.lost.isdisjoint(arrival.answers())
        if awaited and arrival.receipt is not None:
            return Outcome.QUARANTINED, OURS_LOST
        outcome, code = self._judge(arrival)
        return (Outcome.QUARANTINED, OURS_LOST) if awaited and code in _UNGROUNDED else (outcome, code)

    def _judge(self, arrival: Arrival) -> Verdict:
        """The outcome of an entry that was opened and admitted."""
        opened = arrival.opened
        assert opened is not None, "what could not be opened has its outcome already"
        if arrival.remark is not None:
            return self.remarks.judge(
                opened, arrival.remark, self._before(opened.header), self._place(arrival)
            )
        if arrival.call is not None:
            return self.calls.judge_call(
                opened, arrival.call, self._before(opened.header), self._place(arrival)
            )
        if arrival.answer is not None:
            return self.calls.judge_answer(opened, arrival.answer, self._place(arrival))
        if arrival.recall is not None:
            return self._judge_recall(arrival.leaf_hash, opened.header, arrival.recall)
        if arrival.receipt is not None:
            return self.receipts.judge(arrival.receipt, self.passing.noted)
        if arrival.acknowledgement is not None:
            header = opened.header
            if (header.id, header.ver, header.ref) not in self.sent:  # the entry it answers held it (P-85)
                return Outcome.REFUSED, "not-ours"
            self.batch.acknowledgements.append((arrival.acknowledgement, self._place(arrival)))
            return Outcome.STORED, None
        if arrival.onward is not None and (arrival.report is None or arrival.onward.passed is None):
            place = self._place(arrival)
            return self.passing.judge(arrival.onward, place, arrival.frame, opened), None
        return self._judge_report(arrival, opened.header)

    def _before(self, header: Header) -> reports.Held | None:
        return self.held.get(header.id)

    def _judge_recall(self, leaf_hash: bytes, header: Header, recall: Recall) -> Verdict:
        try:
            recalled(recall, self.batch.carried, by=self.peer.node_id)
        except EntryRefused as exc:
            return Outcome.REFUSED, exc.code
        self.batch.recalls.append((leaf_hash, header, recall))
        return Outcome.STORED, None

    def _judge_report(self, arrival: Arrival, header: Header) -> Verdict:
        """A version of a report, by its author's entry or by what another passed on of it."""
        report, came, place = arrival.report, arrival.onward, self._place(arrival)
        assert report is not None, "an entry of no other kind is opened"
        before = self._before(header)
        if came is not None and came.passed is not None:
            header = came.passed.header
            place = reports.Place(came.passed.gen, came.passed.index, came.passed.leaf_hash)
            if before is not None and before.disputed and before.origin == header.by:
                return Outcome.SUPERSEDED, None  # what its author disputes, the author alone mends (P-153)
        outcome, code = decide(
            _standing(before), header, sha256=report.sha256, origin=header.by, creator=report.created_by_ref
        )
        if outcome is Outcome.UNCHANGED and before is not None and before.origin == self.peer.node_id:
            if self.passing.direct(report.id, before.ver, report.tlp.value) or before.disputed:
                self.batch.confirmed.append((report.id, before.ver, place))
            self.held[report.id] = replace(before, disputed=False)
        if outcome is Outcome.STORED:
            new = reports.NewReport(report, header.by, header.ver, place)
            self.batch.versions.append((new, before))
            self.held[report.id] = _as_held(new)
            self.passing.learn(new, came)
            self.remarks.learn(new)
            self.calls.learn(new)
        return outcome, code

    def _note_carried(self, arrival: Arrival, report_id: str, outcome: Outcome) -> None:
        """Which report the entry brought, and whose it is here: what a recall that names the entry speaks of."""
        standing = self.held.get(report_id)
        passed = arrival.opened is not None and arrival.opened.header.t == "share"
        nobodys = standing is None or (passed and outcome is Outcome.STORED)
        owner = None if standing is None or nobodys else standing.origin
        self.batch.carried[arrival.leaf_hash] = Carried(report_id, owner)

    def _kept(self, arrival: Arrival, outcome: Outcome) -> tuple[bytes | None, bytes | None]:
        """Header and locked data key of what was taken; nothing of what was not."""
        if arrival.opened is None or outcome in _NOT_TAKEN:
            return None, None
        return arrival.frame.leaf, self.data_keys.lock(arrival.leaf_hash, arrival.opened.data_key)


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
