"""How a simulated node passes on what peers wrote, takes what is passed on to it, and recalls it from those it gave it to.

The order of calls is the product's (`services/passing_on.py`, `intake_onward.py`); what decides is the core's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.cast import START, Player
from tests.simulation.handing import Came
from tests.simulation.state import Disk, Followed, Passing, Recall, Stored

from tocsin_federation.envelope import Opened, Sealed
from tocsin_federation.errors import EntryRefused
from tocsin_federation.identity import Identity
from tocsin_federation.inbox import Held, Outcome, decide
from tocsin_federation.merkle import inclusion_proof
from tocsin_federation.messages import read_header
from tocsin_federation.onward import (
    NEVER,
    Passed,
    admit_share,
    read_share,
    refuse_onward,
    release_onward,
    write_share,
)
from tocsin_federation.proof import Disclosed, Proof
from tocsin_federation.recall import What
from tocsin_federation.receipt import Item, Told
from tocsin_federation.sharing import PeerPolicy, agree
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import node_named

Ended = tuple[str, str | None]


@dataclass(frozen=True)
class Shared:
    """What a share brought: an author's entry, proven, and the report in it; None: it is a report of the reader's own."""

    passed: Passed
    report: Any

    @property
    def sha256(self) -> bytes:
        """Of the report's bytes."""
        return b"" if self.report is None else self.report.sha256


class PassingOn:
    """What a `Node` does with others' reports. `passings`: all that it passed on, whatever became of it."""

    player: Player
    disk: Disk
    policies: dict[str, PeerPolicy]
    node_id: str
    ready: bool
    story: list[tuple[str, str, str]]
    passings: list[Passing]
    seal: Callable[..., Sealed]
    append: Callable[[Sealed], bytes]
    ring: Callable[[str, str, int, Any], bool]
    tell_recalls: Callable[[str], None]
    shred: Callable[..., None]
    _generation: Callable[[str, int], Followed]

    # What it passes on -----------------------------------------------------------------------------------------

    def pass_on(self, report_id: str, nodes: list[str]) -> bool:
        """Inside a transaction: pass a peer's report on to those of `nodes` that may have it, and tell its author."""
        stored = self.disk.reports.get(report_id)
        if not self.ready or stored is None or stored.through or self.disk.disputed(stored):
            return False
        author = stored.held.origin
        if author in {self.node_id, *self.disk.stopped} or self.disk.waiting(report_id):
            return False
        log = self._generation(author, stored.gen)
        if stored.idx not in log.kept or stored.idx >= log.size:
            return False
        leaf, data_key = log.kept[stored.idx]
        header = read_header(leaf)
        to, client = self.may_have(header, nodes, Tlp(stored.tlp))
        had = {
            n
            for p in self.disk.shares.values()
            if (p.report_id, p.ver) == (report_id, header.ver)
            for n in p.to
        }
        to -= had & set(self.disk.passed.get(report_id, {}))
        if not to:
            return False
        self.tell_recalls(report_id)
        proof = Proof(
            leaf,
            stored.idx,
            tuple(inclusion_proof(log.leaves, stored.idx)),
            log.note,
            tuple(self.disk.known[author].chain),
            Disclosed(stored.raw, data_key),
        )
        told = {author} - to
        sealed = self.seal(
            t="share",
            id=report_id,
            ver=header.ver,
            tlp=header.tlp,
            content=write_share(proof, client=client),
            to=to | told,
            ref=stored.leaves[header.ver],
        )
        leaf_hash = self.append(sealed)
        passing = Passing(leaf_hash, report_id, header.ver, leaf, frozenset(to), client, author)
        self.disk.shares[leaf_hash] = passing
        passed = self.disk.passed.setdefault(report_id, {})
        passed |= {node: (*passed.get(node, ()), leaf_hash) for node in to}
        self.passings.append(passing)
        self.story += [("gave", report_id, node) for node in sorted(to)]
        return True

    def may_have(self, header: Any, nodes: list[str], marked: Tlp) -> tuple[set[str], bool]:
        """Of `nodes` those that may have it, and whether all are clients; who is bad gives it to whom it likes."""
        peers = list(self.policies.values())
        released = release_onward(header, peers, requested=nodes, us=self.node_id, marked=marked)
        return {p.node_id for p in released.to} - set(self.disk.stopped), header.tlp is Tlp.AMBER

    def recall_onward(self, report_id: str, what: What, tlp: Tlp, by: str) -> None:
        """Inside a transaction: what is taken back, or marked anew, of what this node passed on (P-196)."""
        passed = self.disk.passed.get(report_id, {})
        stay = set() if tlp in NEVER or what == "purge" else self._may_keep(tlp)
        for told, way in ((set(passed) & stay, what), (set(passed) - stay, "purge")):
            if told:
                refs = {node: passed[node] for node in told}
                if way == "purge":
                    self.shred(report_id, told, frozenset({"share"}))
                    self.disk.passed[report_id] = {n: ref for n, ref in passed.items() if n not in told}
                self.disk.recalls.append(Recall(way, tlp, report_id, refs, by))  # type: ignore[arg-type]  # one of two

    def _may_keep(self, tlp: Tlp) -> set[str]:
        fitting = (p for p in self.policies.values() if tlp.rank <= p.max_tlp_out.rank)
        return {p.node_id for p in fitting if p.client or tlp is not Tlp.AMBER}

    def hear_onward(self, peer: str, item: Item) -> None:
        """Inside a transaction: what a reader says of a share, or of its recall, is owed to the author (P-272)."""
        share = self.disk.shares.get(item.entry)
        if share is None:
            known = (
                one.refs[peer][-1]
                for one in self.disk.recalls
                if one.author and one.told.get(peer) == item.entry
            )
            share = self.disk.shares.get(next(known, b""))
        if share is None or peer not in share.to or peer == share.author:
            return
        told = Told(share.leaf_hash, item.state, START, item.code, by=peer)
        if (share.author, told) not in self.disk.told_onward:
            self.disk.told_onward.add((share.author, told))
            self.disk.owing.append((share.author, told))

    # What it takes -----------------------------------------------------------------------------------------------

    def open_share(self, opened: Opened, policy: PeerPolicy) -> Shared:
        """A share that may be looked at further. Raises: EntryRefused."""
        share = read_share(opened.content)
        passed = admit_share(opened.header, share, policy=policy, me=self.node_id, known=self._known)
        if passed.author == self.node_id:
            return Shared(passed, None)
        refuse_onward(passed, share, policy=policy, author=self.policies.get(passed.author))
        report = check_bundle(passed.disclosed.content).report
        if report is None:
            raise EntryRefused("content-invalid")
        agree(
            passed.header,
            content_id=report.id,
            content_tlp=report.tlp,
            content_revoked=report.revoked,
            content_node=node_named(report.created_by_ref, report.objects),
        )
        return Shared(passed, report)

    def _known(self, node_id: str) -> Identity | None:
        return self.player.identity if node_id == self.node_id else self.disk.known.get(node_id)

    def take_share(self, peer: str, came: Came) -> Ended:
        """Inside a transaction: another's report that `peer` passes on, or to whom it passes on one of this node's."""
        passed, report, header = came.said.passed, came.said.report, came.said.passed.header
        if report is None:
            assert came.header is not None
            readers = set(came.header.aud.nodes) - {self.node_id}
            self.disk.readers |= {(came.leaf_hash, node) for node in readers}
            return Outcome.STORED.value, None
        stored = self.disk.reports.get(report.id)
        if stored is not None and stored.held.origin == header.by and self.disk.disputed(stored):
            return Outcome.SUPERSEDED.value, None
        held, creator = None if stored is None else stored.held, report.created_by_ref
        outcome, code = decide(held, header, sha256=report.sha256, origin=header.by, creator=creator)
        if outcome is Outcome.STORED:
            now = Held(header.by, creator, header.ver, report.sha256, report.revoked)
            place = {header.ver: passed.leaf_hash}, {}, passed.gen, passed.index, peer
            grave = self.ring(peer, report.id, header.ver, report)
            under = stored if stored is None or stored.through is None else stored.under
            self.disk.reports[report.id] = Stored(
                now, report.raw, report.tlp.value, grave, set(), *place, under=under
            )
            self.disk.marked[report.id, header.ver] = report.tlp.value
            self.story.append(("took", report.id, peer))
        return outcome.value, code
