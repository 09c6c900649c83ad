"""Nodes that recall and receipt, as the product's do: what is owed is written with what it follows from, then told."""

from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.simulation.cast import START
from tests.simulation.node import Came, Node
from tests.simulation.state import Followed

from tocsin_federation.envelope import open_entry
from tocsin_federation.errors import EntryRefused
from tocsin_federation.frames import Frame
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import Header, read_header
from tocsin_federation.recall import Carried, Recall, admit_recall, read_recall, recalled, write_recall
from tocsin_federation.receipt import (
    Receipt,
    Told,
    about,
    admit_receipt,
    ours,
    owed,
    read_receipt,
    write_receipt,
)
from tocsin_schema.marking import Tlp


class Recaller(Node):
    """`heard`: what peers said of entries of its own: (peer, leaf hash, state). `erased`: what comes in no more."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.heard: set[tuple[str, bytes, str]] = (
            set()
        )  # all of this is on the disk: it is changed in commits alone
        self.owing: list[tuple[str, Told]] = []
        self.erased: set[str] = set()
        self._brought: dict[str, dict[bytes, str]] = {}  # by peer and leaf hash: what its entry was about
        self.recalls: list[tuple[str, bytes, frozenset[str]]] = []

    def start(self) -> None:
        super().start()
        self._work(self._receipting())

    def recall(self, report_id: str) -> None:
        """Inside a transaction: take an own report back from everybody that was sent it."""
        stored = self.disk.reports[report_id]
        entries = [e for e in self.disk.entries if about(e.leaf)[0] == report_id and e.wraps]
        nodes = {node for entry in entries for node in entry.wraps}
        if not nodes:
            return
        newest = [next(e.leaf_hash for e in reversed(entries) if node in e.wraps) for node in sorted(nodes)]
        content = write_recall(
            "purge", newest, "It has to go.", at=START, deadline=START + timedelta(hours=1)
        )
        leaf_hash = self.append(
            self.seal(
                t="recall",
                id=self._name("recall"),
                ver=1,
                tlp=Tlp.GREEN,
                content=content,
                to=nodes,
                ref=newest[0],
            )
        )
        for entry in entries:
            self.disk.entries[self.disk.entries.index(entry)] = replace(entry, wraps={})
        stored.audience.clear()
        self.recalls.append((report_id, leaf_hash, frozenset(nodes)))

    def _name(self, kind: str) -> str:
        return f"{kind}--{UUID(bytes=self.world.dice.randbytes(16), version=4)}"

    def _open(self, peer: str, frame: Frame, log: Followed) -> Came:
        try:
            kind = read_header(frame.leaf).t
        except EntryRefused:
            kind = ""
        if kind not in {"recall", "receipt"}:
            return super()._open(peer, frame, log)
        leaf_hash, policy = log.leaves[frame.idx], self.policies[peer]
        try:
            opened = open_entry(
                frame, expected_leaf_hash=leaf_hash, origin=peer, me=self.node_id, enc_private=self.player.enc
            )
            if kind == "recall":
                recall = read_recall(opened.content)
                admit_recall(opened.header, recall, policy=policy, me=self.node_id)
                return Came(frame, opened.header, recall, opened.data_key)
            receipt = read_receipt(opened.content)
            admit_receipt(opened.header, receipt, policy=policy, me=self.node_id)
        except EntryRefused as exc:
            return Came(frame, code=exc.code)
        return Came(frame, opened.header, receipt, opened.data_key)

    def _apply(self, peer: str, log: Followed, opened: list[Came], start: int, following: int) -> None:
        if log.next != start:
            return
        super()._apply(peer, log, [self._unerased(one) for one in opened], start, following)
        for came in opened:
            if owed(came.frame.leaf):
                self._owe(peer, came.frame, self.disk.followed[peer].outcomes[came.frame.idx][0])

    def _unerased(self, came: Came) -> Came:
        gone = about(came.frame.leaf)[0] in self.erased
        return Came(came.frame, code="erased") if gone else came

    def _owe(self, peer: str, frame: Frame, state: Any) -> None:
        leaf_hash = self.disk.followed[peer].leaves[frame.idx]
        code = (
            self.disk.followed[peer].outcomes[frame.idx][1] if state in {"refused", "quarantined"} else None
        )
        self.owing.append((peer, Told(leaf_hash, state, START, code)))

    def _take_report(self, peer: str, came: Came, header: Header, report: Any) -> tuple[str, str | None]:
        if isinstance(report, Receipt):
            return self._hear(peer, report)
        if isinstance(report, Recall):
            return self._obey(peer, came.frame, report)
        return super()._take_report(peer, came, header, report)

    def _hear(self, peer: str, receipt: Receipt) -> tuple[str, str | None]:
        sealed = {e.leaf_hash for e in self.written if peer in read_header(e.leaf).aud.nodes}
        try:
            self.heard |= {(peer, item.entry, item.state) for item in ours(receipt, sealed)}
        except EntryRefused as exc:
            return Outcome.REFUSED.value, exc.code
        return Outcome.STORED.value, None

    def _obey(self, peer: str, frame: Frame, recall: Recall) -> tuple[str, str | None]:
        try:
            reached = recalled(recall, self._carried(peer), by=peer)
        except EntryRefused as exc:
            return Outcome.REFUSED.value, exc.code
        for report_id in reached:
            self.disk.reports.pop(report_id, None)
            self.disk.untold = [one for one in self.disk.untold if one[1] != report_id]
            self.erased.add(report_id)
        self._owe(peer, frame, "purged")
        return Outcome.STORED.value, None

    def _carried(self, peer: str) -> dict[bytes, Carried]:
        found = {}
        for leaf_hash, report_id in self._brought.get(peer, {}).items():
            stored = self.disk.reports.get(report_id)
            found[leaf_hash] = Carried(report_id, None if stored is None else stored.held.origin)
        return found

    def _refuse_damage(self, peer: str, opened: list[Came]) -> None:
        super()._refuse_damage(peer, opened)
        self._note_brought(peer, opened)

    def apply_handed(self, peer: str, opened: list[Came]) -> None:
        super().apply_handed(peer, [self._unerased(one) for one in opened])
        self._note_brought(peer, opened)

    def _note_brought(self, peer: str, opened: list[Came]) -> None:
        for came in opened:
            report_id = about(came.frame.leaf)[0]
            if report_id is not None:
                self._brought.setdefault(peer, {})[self.disk.followed[peer].leaves[came.frame.idx]] = (
                    report_id
                )

    def _receipting(self) -> Generator[Any, Any, Any]:
        """Tell authors what is owed: the entry and the end of the debt are one transaction."""
        while True:
            if self.owing and self.ready:
                yield self._receipt_one
            yield 7.0

    def _receipt_one(self) -> None:
        if not self.owing or not self.ready:
            return
        peer = self.owing[0][0]
        mine = [told for other, told in self.owing if other == peer][:256]
        self.owing = [one for one in self.owing if one[0] != peer or one[1] not in mine]
        content = write_receipt(mine)
        self.append(
            self.seal(
                t="receipt",
                id=self._name("receipt"),
                ver=1,
                tlp=Tlp.GREEN,
                content=content,
                to={peer},
                ref=mine[0].entry,
            )
        )


class Impostor(Recaller):
    """Recalls what others gave, and says that others' entries are purged."""

    honest = False

    def mischief(self) -> None:
        """Name entries of others' logs, in a recall and in a receipt, sealed to everybody."""
        theirs = [leaf for followed in self.disk.followed.values() for leaf in followed.leaves]
        if not theirs:
            return
        entries = self.world.dice.sample(theirs, min(5, len(theirs)))
        recall = write_recall("purge", entries, "Mine now.", at=START, deadline=START)
        receipt = write_receipt([Told(entry, "purged", START) for entry in entries])
        for kind, content in (("recall", recall), ("receipt", receipt)):
            facts: dict[str, Any] = {"t": kind, "id": self._name(kind), "ver": 1, "tlp": Tlp.GREEN}
            self.append(self.seal(**facts, content=content, to=set(self.policies), ref=entries[0]))
