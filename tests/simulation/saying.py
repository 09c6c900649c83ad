"""What a node in the simulation says about reports: remarks, emergency calls and answers, and what it takes of others'.

The order of calls is the product's (`services/intake_remarks.py`, `intake_calls.py`); what decides is the core's.
"""

import uuid
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

from tests.simulation.cast import START, Player
from tests.simulation.handing import Came
from tests.simulation.state import Cried, Disk
from tests.simulation.world import World

from tocsin_federation import calls, remarks
from tocsin_federation.calls import ANSWER, CALL, Call, CallAnswer, emergency_id
from tocsin_federation.envelope import Opened, Sealed
from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import Header
from tocsin_federation.sharing import PeerPolicy, release
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import Remark, check_remark
from tocsin_schema.remarks import exposure
from tocsin_schema.stix import node_identity

SPOKEN = frozenset({"remark", "call", "answer"})
EMERGENCIES = 3  # of one peer that ring as such, in a day: no run is longer
Ended = tuple[str, str | None]


class Saying:
    """What a `Node` does beside reports. `history`: every call that it ever took, in order, which no restore takes back."""

    world: World
    player: Player
    disk: Disk
    policies: dict[str, PeerPolicy]
    node_id: str
    ready: bool
    history: list[Cried]
    _skew_s: float
    seal: Callable[..., Sealed]
    append: Callable[[Sealed], bytes]

    def moment(self, *, later_s: float = 0.0) -> Any:
        """What its clock says."""
        return START + timedelta(seconds=self.world.now_s + self._skew_s + later_s)

    # Its own words ---------------------------------------------------------------------------------------------

    def remark(self, report_id: str, word: str) -> bytes | None:
        """Inside a transaction: say whether it is affected, to the report's origin, or to those who have its own."""
        stored = self.disk.reports.get(report_id)
        ref = None if stored is None else stored.leaves.get(stored.held.ver)
        if not self.ready or stored is None or ref is None or stored.held.final:
            return None
        to = self._readers(stored) if stored.held.origin == self.node_id else {stored.held.origin}
        report = check_bundle(stored.raw).report
        assert report is not None
        key = report_id, self.node_id, "exposure"
        producer = node_identity(self.player.name, self.node_id)
        before = self.disk.remarks.get(key)
        raw = exposure(report, word, producer=producer, now=self.moment(), before=before)
        if to & set(self.policies):
            facts = {"t": "remark", "id": report_id, "ver": stored.held.ver, "tlp": report.tlp, "ref": ref}
            self.append(self.seal(content=raw, to=to & set(self.policies), **facts))
        said = check_remark(raw).remark
        assert said is not None
        self.disk.remarks[key] = said
        return raw

    def call(self, report_id: str, *, key: str, state: str, drill: bool) -> bytes | None:
        """Inside a transaction: declare, update or stand down an emergency about an own report."""
        stored = self.disk.reports.get(report_id)
        if not self.ready or stored is None or stored.held.origin != self.node_id:
            return None
        standing = self.disk.calls.get(emergency_id(self.node_id, key))
        seq = 1 if standing is None else standing.seq + 1
        if (state == "declared") != (seq == 1) or (standing is not None and standing.final):
            return None
        content = self.words(report_id, stored.held.ver, key=key, seq=seq, state=state, drill=drill)
        return content if self.cry(content, Tlp(stored.tlp), self._readers(stored)) else None

    def words(self, report_id: str, ver: int, **facts: Any) -> bytes:
        """A call's content."""
        at = calls.milliseconds(START) + int(self.world.now_s * 1000)
        return CALL.encode(
            Call(v=1, report_id=report_id, ver=ver, reason="It is spreading.", since=at, at=at, **facts)
        )

    def cry(self, content: bytes, tlp: Tlp, to: set[str], ref: bytes | None = None) -> bool:
        """Inside a transaction: seal a call and keep it as one's own. `ref`: of no entry that there is."""
        call = calls.read_call(content)
        stored = self.disk.reports.get(call.report_id)
        ref = ref if stored is None else stored.leaves.get(call.ver)
        if not to or ref is None:
            return False
        facts = {"t": "call", "id": call.report_id, "ver": call.ver, "tlp": tlp, "ref": ref}
        leaf_hash = self.append(self.seal(content=content, to=to, **facts))
        name = emergency_id(self.node_id, call.key)
        self.disk.calls[name] = _standing(call, content)
        self.disk.called[leaf_hash] = name, call.ver, frozenset(to)
        return True

    def _readers(self, stored: Any) -> set[str]:
        """Who has the version that stands, and may have it still."""
        peers = [self.policies[p] for p in sorted(stored.audience) if p in self.policies]
        return {p.node_id for p in release(Tlp(stored.tlp), peers, requested=[p.node_id for p in peers]).to}

    def answer_one(self) -> None:
        """Inside a transaction: tell the author of a call that it is stored here."""
        if not self.disk.unanswered or not self.ready:
            return
        origin, name, report_id, ver, ref = self.disk.unanswered.pop(0)
        if origin not in self.disk.stopped and origin in self.policies:
            at = calls.milliseconds(START) + int(self.world.now_s * 1000)
            content = ANSWER.encode(
                CallAnswer(
                    v=1, emergency=name, report_id=report_id, ver=ver, stage="stored", at=at, revoked=False
                )
            )
            facts = {"t": "answer", "id": report_id, "ver": ver, "tlp": Tlp.CLEAR, "ref": ref}
            self.append(self.seal(content=content, to={origin}, **facts))

    # What it takes ---------------------------------------------------------------------------------------------

    def open_spoken(self, opened: Opened, policy: PeerPolicy) -> Any:
        """A remark, a call or an answer that may be looked at further. Raises: EntryRefused."""
        header = opened.header
        if header.t == "remark":
            said = check_remark(opened.content).remark
            if said is None:
                raise EntryRefused("content-invalid")
            remarks.admit_remark(header, said, policy=policy, me=self.node_id)
            return said
        if header.t == "call":
            call = calls.read_call(opened.content)
            calls.admit_call(header, call, policy=policy, me=self.node_id)
            return call, opened.content
        answer = calls.read_answer(opened.content)
        calls.admit_answer(header, answer, policy=policy, me=self.node_id)
        return answer

    def take_spoken(self, peer: str, came: Came) -> Ended:
        """Inside a transaction: what becomes of it."""
        header, said = came.header, came.said
        assert header is not None
        try:
            if header.t == "remark":
                outcome = self._take_remark(peer, header, said)
                if outcome[0] == Outcome.STORED.value:
                    self.disk.remark_at[header.id, peer, said.kind] = came.gen, came.frame.idx
                return outcome
            if header.t == "call":
                return self._take_call(peer, header, *said, came.leaf_hash)
            return self._take_answer(peer, header, said)
        except EntryRefused as exc:
            return Outcome.REFUSED.value, exc.code

    def _take_remark(self, peer: str, header: Header, said: Remark) -> Ended:
        stored = self.disk.reports.get(header.id)
        ground = None
        if stored is not None:
            given = stored.carried(header.ver, header.ref) and peer in stored.audience
            marked = self.disk.marked.get((header.id, header.ver))
            tlp = None if marked is None else Tlp(marked)
            ground = remarks.Ground(stored.held.origin, (peer,) if given else (), header.ver, tlp)
        remarks.refuse_groundless(said, ground, by=peer, me=self.node_id)
        key = header.id, peer, said.kind
        before = self.disk.remarks.get(key)
        disputed = key in self.disk.remark_at and self.disk.disputes(peer, *self.disk.remark_at[key])
        standing = None if before is None or disputed else remarks.Standing(before.modified, before.sha256)
        outcome = remarks.decide_remark(standing, said)
        if outcome is Outcome.STORED:
            self.disk.remarks[key] = said
        return outcome.value, None

    def _take_call(self, peer: str, header: Header, call: Call, content: bytes, leaf_hash: bytes) -> Ended:
        stored = self.disk.reports.get(call.report_id)
        basis = None
        if stored is not None:
            marked = self.disk.marked.get((call.report_id, call.ver))
            basis = calls.Basis(
                stored.held.origin, None if marked is None else Tlp(marked), stored.held.final
            )
        calls.refuse_baseless(call, header.tlp, basis, by=peer)
        name = emergency_id(peer, call.key)
        outcome, code = calls.decide_call(self.disk.calls.get(name), call, sha256=sha256(content).digest())
        if outcome is Outcome.STORED:
            new = name not in self.disk.calls
            self.disk.calls[name] = _standing(call, content)
            self.history.append(Cried(peer, name, call.state, call.drill, content))
            if new and self.rings(peer):
                self.disk.alerts.setdefault((name, 0, b""), False)
            self.disk.unanswered.append((peer, name, call.report_id, call.ver, leaf_hash))
        return outcome.value, code

    def rings(self, peer: str) -> bool:
        """Inside a transaction: whether one more emergency of that peer rings, and count it."""
        self.disk.cried[peer] = self.disk.cried.get(peer, 0) + 1
        return self.disk.cried[peer] <= EMERGENCIES

    def _take_answer(self, peer: str, header: Header, answer: CallAnswer) -> Ended:
        name, ver, to = self.disk.called.get(header.ref or b"", ("", 0, frozenset()))
        if (name, ver) != (answer.emergency, answer.ver) or peer not in to:
            return Outcome.REFUSED.value, "not-ours"
        self.disk.answers.add((answer.emergency, peer))
        return Outcome.STORED.value, None


def _standing(call: Call, content: bytes) -> calls.Standing:
    return calls.Standing(
        call.report_id, call.drill, call.seq, sha256(content).digest(), call.state == "stood-down"
    )


def key_of(raw: bytes) -> str:
    """A key for an emergency from 16 bytes."""
    return str(uuid.UUID(bytes=raw, version=4))
