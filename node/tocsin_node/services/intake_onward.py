"""The intake's desk for what is passed on, and for complaints about it.

What others wrote and a peer passes on is a report of its author, proven, that came through the peer. What a peer passes
on of our own reports is noted: to whom. What was passed on although its marking forbids it is not taken, and kept as a
complaint in the same transaction, for its author. The rules are the federation's (`tocsin_federation.onward`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tocsin_federation.envelope import Opened
from tocsin_federation.errors import EntryRefused
from tocsin_federation.frames import Frame
from tocsin_federation.identity import Identity
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import Header
from tocsin_federation.onward import (
    Passed,
    Share,
    admit_complaint,
    admit_share,
    permitted,
    read_complaint,
    read_share,
    refuse_onward,
)
from tocsin_federation.proof import Proof, Proven, write_proof
from tocsin_federation.sharing import PeerPolicy, agree
from tocsin_node.data_keys import DataKeys
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.storage import complaints, onward, reports
from tocsin_node.storage.complaints import NewComplaint
from tocsin_node.storage.onward import Passing, Through
from tocsin_node.storage.pool import Connection
from tocsin_schema.check import check_bundle
from tocsin_schema.report import IncidentReport


@dataclass(frozen=True, slots=True)
class Onward:
    """A share or a complaint that was opened, or what became of it when that is known already.

    `passed`: what is passed on, also when it is refused; `report`: it, if it may be taken; `client`: as the messenger
    says; `accused`: the share that is complained of, and `showed` its proof.
    """

    passed: Passed | None = None
    report: IncidentReport | None = None
    client: bool = False
    accused: Proven | None = None
    showed: Proof | None = None
    outcome: Outcome | None = None
    code: str | None = None


class OnwardDoor:
    """Opens shares and complaints; asks nothing but memory, so it may be called from a thread."""

    def __init__(self, peering: Peering, ownership: Ownership, us: Identity) -> None:
        self._peering = peering
        self._ownership = ownership
        self._us = us

    def open(self, opened: Opened, policy: PeerPolicy) -> Onward:
        """What `opened`, a share or a complaint of the peer with that `policy`, comes to. Raises: EntryRefused."""
        header, me = opened.header, self._us.node_id
        if header.t == "complain":
            showed = read_complaint(opened.content)
            accused = admit_complaint(header, showed, policy=policy, me=me, known=self._known)
            return Onward(accused=accused, showed=showed)
        share = read_share(opened.content)
        passed = admit_share(header, share, policy=policy, me=me, known=self._known)
        if passed.author == me:
            return Onward(passed=passed, client=share.client)
        author = self._peering.by_id(passed.author)
        try:
            refuse_onward(passed, share, policy=policy, author=None if author is None else author.policy)
        except EntryRefused as exc:
            return Onward(passed=passed, client=share.client, outcome=Outcome.REFUSED, code=exc.code)
        return self._report(passed, share)

    def _report(self, passed: Passed, share: Share) -> Onward:
        """The report that is passed on, judged as if its author had sent it. Raises: EntryRefused."""
        checked = check_bundle(passed.disclosed.content)
        report = checked.report
        if report is None:
            first = next(f for f in checked.findings if f.level == "error")
            return Onward(outcome=Outcome.QUARANTINED, code=f"content-{first.code}")
        agree(
            passed.header,
            content_id=report.id,
            content_tlp=report.tlp,
            content_revoked=report.revoked,
            content_node=self._ownership.node_behind(report),
        )
        if report.personal_data == "present":
            return Onward(outcome=Outcome.REFUSED, code="personal-data")
        return Onward(passed=passed, report=report, client=share.client)

    def called(self, author: str, org: str) -> str:
        """What an author is called in an alert; of a stranger its own word."""
        peer = self._peering.by_id(author)
        return f"{org} (its own word)" if peer is None else peer.called

    def learn(self, authors: Mapping[str, str]) -> None:
        """Their reports are stored now: NodeID → what it calls itself."""
        self._peering.strangers.update(authors)

    def _known(self, node_id: str) -> Identity | None:
        return self._us if node_id == self._us.node_id else self._peering.identity_of(node_id)


class OnwardDesk:
    """What one peer passes on, and complains of, in one batch."""

    def __init__(
        self, peer: Peer, us: str, data_keys: DataKeys, door: OnwardDoor, came: Mapping[str, Through]
    ) -> None:
        self._peer = peer
        self._door = door
        self._sources: dict[tuple[str, int], str] = {}
        self._us = us
        self._data_keys = data_keys
        self._came = dict(came)  # of what is held: through whom it came
        self._through: dict[tuple[str, int], Through] = {}
        self._passings: list[Passing] = []
        self._noted: set[tuple[bytes, str]] = set()
        self._complaints: list[NewComplaint] = []
        self._direct: list[tuple[str, int, str]] = []
        self._authors: dict[str, str] = {}

    @classmethod
    async def open(
        cls,
        conn: Connection,
        peer: Peer,
        us: str,
        data_keys: DataKeys,
        door: OnwardDoor,
        held: Mapping[str, reports.Held],
    ) -> "OnwardDesk":
        """Read through whom came what is held."""
        versions = [(one.id, one.ver) for one in held.values()]
        return cls(peer, us, data_keys, door, await onward.through(conn, versions) if versions else {})

    def source(self, report_id: str, ver: int) -> str:
        """From whom a version of the batch is, for an alert."""
        return self._sources.get((report_id, ver), self._peer.called)

    def came_on(self, report_id: str, ver: int) -> bool:
        """Whether a version of the batch was passed on."""
        return (report_id, ver) in self._through

    def learn(self, report: reports.NewReport, came: Onward | None) -> None:
        """A version that is going to be stored."""
        self._came.pop(report.report.id, None)
        if came is None or came.passed is None:
            return
        passed = came.passed
        org = passed.identity.statement.org.name
        self._authors[passed.author] = org
        author = self._door.called(passed.author, org)
        self._sources[report.report.id, report.ver] = f"{author}, through {self._peer.called}"
        through = Through(
            report.report.id,
            report.ver,
            self._peer.node_id,
            org,
            write_proof(passed.proof),
            self._data_keys.lock(passed.leaf_hash, passed.disclosed.data_key),
        )
        self._through[report.report.id, report.ver] = self._came[report.report.id] = through

    def direct(self, report_id: str, ver: int, tlp: str) -> bool:
        """A version that is held has come from its author, marked so; whether it had come through somebody before."""
        came = self._came.get(report_id)
        if came is None or came.ver != ver:
            return False
        del self._came[report_id]
        self._through.pop((report_id, ver), None)
        self._direct.append((report_id, ver, tlp))
        return True

    def judge(self, came: Onward, place: reports.Place, frame: Frame, opened: Opened) -> Outcome:
        """Note what is passed on of ours, or complained of. `place`: of the peer's entry."""
        header = opened.header
        if came.accused is not None and came.showed is not None:
            told = came.accused
            gen = next(s.log.gen for s in told.identity.statements if s.log.origin == told.checkpoint.origin)
            where = reports.Place(gen, told.index, told.leaf_hash)
            proof = write_proof(came.showed)
            self._complain(told.header, where, self._us, by=self._peer.node_id, proof=proof)
            return Outcome.STORED
        assert came.passed is not None, "what is no complaint passes something on"
        recipients = tuple(node for node in header.aud.nodes if node != self._us)
        self._passings.append(
            Passing(self._peer.node_id, place, header.id, header.ver, recipients, came.client)
        )
        self._noted |= {(place.leaf_hash, node) for node in recipients}
        if not permitted(came.passed.header, by=self._peer.node_id, client=came.client):
            self.refused(came, place, frame, opened)
        return Outcome.STORED

    def refused(self, came: Onward, place: reports.Place, frame: Frame, opened: Opened) -> None:
        """What was passed on although the marking forbids it is complained of, to its author."""
        assert came.passed is not None, "it was proven before it was judged"
        key = self._data_keys.lock(place.leaf_hash, opened.data_key)
        sealed = (frame.leaf, frame.ct, key)
        self._complain(opened.header, place, came.passed.author, by=self._us, sealed=sealed)

    @property
    def noted(self) -> set[tuple[bytes, str]]:
        """What is passed on of ours by entries of the batch so far: leaf hash of each, NodeID that it went to."""
        return self._noted

    @property
    def authors(self) -> dict[str, str]:
        """NodeID → what it calls itself, of whose reports were passed on."""
        return self._authors

    @property
    def anything(self) -> bool:
        """Whether somebody should look after this batch."""
        return bool(self._passings or self._complaints)

    async def write(self, conn: Connection) -> None:
        """Store it all, after the reports of the batch."""
        if self._direct:
            await onward.forget_through(conn, self._direct)
        for through in self._through.values():
            await onward.keep_through(conn, through)
        for passing in self._passings:
            await onward.record(conn, passing, onward.MOST_READERS)
        for complaint in self._complaints:
            await complaints.complain(conn, complaint)

    def _complain(
        self,
        header: Header,
        place: reports.Place,
        author: str,
        *,
        by: str,
        sealed: tuple[bytes, bytes, bytes] | None = None,
        proof: bytes | None = None,
    ) -> None:
        self._complaints.append(
            NewComplaint(
                by=by,
                against=header.by,
                place=place,
                report_id=header.id,
                ver=header.ver,
                tlp=header.tlp.value,
                author=author,
                recipients=tuple(node for node in header.aud.nodes if node != author),
                tag=self._data_keys.tag(f"{header.id} {header.ver}".encode()),
                sealed=sealed,
                proof=proof,
            )
        )
