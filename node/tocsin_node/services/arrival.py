"""Arrivals: frames of a peer's log, opened and held against everything that their own bytes and our policy decide.

What others have said before is not looked at here (`judging`). Opening touches neither database nor network, so that a
large batch is opened in a thread.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from tocsin_federation.calls import Call, CallAnswer, admit_answer, admit_call, read_answer, read_call
from tocsin_federation.circle import Circle, read_file, verify_circle
from tocsin_federation.envelope import Opened, open_entry
from tocsin_federation.errors import CircleRefused, EntryRefused
from tocsin_federation.frames import Frame
from tocsin_federation.inbox import Outcome
from tocsin_federation.keys import EncPrivateKey
from tocsin_federation.messages import Acknowledgement, Progress, read_acknowledgement
from tocsin_federation.recall import Recall, admit_recall, read_recall
from tocsin_federation.receipt import Receipt, about, admit_receipt, read_receipt
from tocsin_federation.remarks import admit_remark
from tocsin_federation.sharing import admit, admit_acknowledgement
from tocsin_node.services.faults import FAULT
from tocsin_node.services.intake_onward import Onward, OnwardDoor
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.peer import Peer
from tocsin_schema.check import check_bundle
from tocsin_schema.finding import Finding
from tocsin_schema.remark import Remark, check_remark
from tocsin_schema.report import IncidentReport

THREAD_FROM = 16  # batches this large are opened off the event loop, so that requests are answered meanwhile
THREAD_FROM_BYTES = 64 * 1024  # or this heavy: one report of a megabyte is more work than fifty usual ones
DAMAGE: Final = frozenset({"hash-mismatch", "ciphertext-mismatch", "bad-wrap"})
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

    def refused_as_erased(self) -> "Arrival":
        """The same, of which nothing is looked at any more, nor kept."""
        return replace(self, outcome=Outcome.REFUSED, code="erased", **_NOTHING)

    def set_aside(self, code: str) -> "Arrival":
        """The same for the quarantine: nothing of it is looked at any more, and it is kept as it came."""
        return replace(self, outcome=Outcome.QUARANTINED, code=code, **_NOTHING)

    def answers(self) -> tuple[bytes, ...]:
        """Leaf hashes of the entries that it answers: of ours, but in a remark of a report's author."""
        if self.receipt is not None:
            return tuple(item.entry for item in self.receipt.items)
        spoken = self.acknowledgement is not None or self.answer is not None or self.remark is not None
        ref = None if self.opened is None else self.opened.header.ref
        return (ref,) if spoken and ref is not None else ()

    def names(self) -> list[bytes]:
        """By what it would be known as erased: its leaf hash, the report's id, its content's SHA-256."""
        report_id, _ = about(self.frame.leaf)
        names = [self.leaf_hash] if report_id is None else [self.leaf_hash, report_id.encode()]
        return names if self.report is None else [*names, self.report.sha256]


_NOTHING: Final[dict[str, Any]] = dict.fromkeys(
    (
        "opened",
        "report",
        "acknowledgement",
        "remark",
        "call",
        "answer",
        "onward",
        "circle",
        "receipt",
        "recall",
    )
)


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening needs to know of this node."""

    node_id: str
    ownership: Ownership
    door: OnwardDoor
    now: Callable[[], datetime]

    def open(self, peer: Peer, frame: Frame, leaf_hash: bytes, keys: Mapping[str, EncPrivateKey]) -> Arrival:
        """Open one entry of `peer`'s log; whatever speaks against it is in the arrival, never raised."""
        arrival = Arrival(frame, leaf_hash)
        try:
            opened = open_entry(
                frame, expected_leaf_hash=leaf_hash, origin=peer.node_id, me=self.node_id, enc_private=keys
            )
            arrival = replace(arrival, opened=opened)
            return self._reader(opened.header.t)(peer, arrival, opened)
        except EntryRefused as exc:
            outcome = Outcome.REFUSED if exc.by_policy else Outcome.QUARANTINED
            return replace(arrival, outcome=outcome, code=exc.code)
        except CircleRefused as exc:
            return replace(arrival, outcome=Outcome.QUARANTINED, code=exc.code)
        except MemoryError:
            raise
        except Exception:  # it asks nothing but its bytes, so that another try would end alike
            logger.exception("entry %d of %s could not be read", frame.idx, peer.row.name)
            return arrival.set_aside(FAULT)

    def _reader(self, kind: str) -> Callable[[Peer, Arrival, Opened], Arrival]:
        match kind:
            case "ack":
                return self._acknowledgement
            case "remark":
                return self._remark
            case "call":
                return self._call
            case "answer":
                return self._answer
            case "share" | "complain":
                return self._onward
            case "circle":
                return self._circle
            case "receipt":
                return self._receipt
            case "recall":
                return self._recall
            case _:  # publish, revoke
                return self._report

    def _acknowledgement(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        acknowledgement = read_acknowledgement(opened.content)
        admit_acknowledgement(opened.header, acknowledgement, policy=peer.policy, me=self.node_id)
        return replace(arrival, acknowledgement=acknowledgement)

    def _remark(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        said = check_remark(opened.content)
        if said.remark is None:
            return _unsound(arrival, said.findings)
        admit_remark(opened.header, said.remark, policy=peer.policy, me=self.node_id)
        return replace(arrival, remark=said.remark)

    def _call(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        call = read_call(opened.content)
        admit_call(opened.header, call, policy=peer.policy, me=self.node_id)
        return replace(arrival, call=call)

    def _answer(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        answer = read_answer(opened.content)
        admit_answer(opened.header, answer, policy=peer.policy, me=self.node_id)
        return replace(arrival, answer=answer)

    def _onward(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        came = self.door.open(opened, peer.policy)
        return replace(arrival, onward=came, report=came.report, outcome=came.outcome, code=came.code)

    def _circle(self, _peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        return replace(arrival, circle=verify_circle(read_file(opened.content), now=self.now()))

    def _receipt(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        receipt = read_receipt(opened.content)
        admit_receipt(opened.header, receipt, policy=peer.policy, me=self.node_id)
        return replace(arrival, receipt=receipt)

    def _recall(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        recall = read_recall(opened.content)
        admit_recall(opened.header, recall, policy=peer.policy, me=self.node_id)
        return replace(arrival, recall=recall)

    def _report(self, peer: Peer, arrival: Arrival, opened: Opened) -> Arrival:
        checked = check_bundle(opened.content)
        report = checked.report
        if report is None:
            return _unsound(arrival, checked.findings)
        admit(
            opened.header,
            content_id=report.id,
            content_tlp=report.tlp,
            content_revoked=report.revoked,
            content_node=self.ownership.node_behind(report),
            policy=peer.policy,
            me=self.node_id,
        )
        if report.personal_data == "present":
            return replace(arrival, outcome=Outcome.REFUSED, code="personal-data")
        return replace(arrival, report=report)


def heavy(frames: Sequence[Frame]) -> bool:
    """Whether opening them would keep everybody else waiting."""
    return len(frames) >= THREAD_FROM or sum(len(f.ct) for f in frames) >= THREAD_FROM_BYTES


def _unsound(arrival: Arrival, findings: Sequence[Finding]) -> Arrival:
    """Content that breaks the profile, under the code of the first error."""
    first = next(f for f in findings if f.level == "error")
    return replace(arrival, outcome=Outcome.QUARANTINED, code=f"content-{first.code}")
