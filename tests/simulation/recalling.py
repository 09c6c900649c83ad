"""How a simulated node takes back what it gave, does what peers take back, and tells and hears in receipts how far that got.

The order of calls is the product's (`services/recalling.py`, `receipting.py`, `erasing.py`); what decides is the core's.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.simulation.cast import START
from tests.simulation.handing import Came
from tests.simulation.state import Bell, Cried, Disk, Entry, Followed, Recall, Stored, Taken
from tests.simulation.world import World

from tocsin_federation import recall as recalls
from tocsin_federation import receipt as receipts
from tocsin_federation.envelope import Opened, Sealed
from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import read_header
from tocsin_federation.recall import Carried, What, recalled, stricter, write_recall
from tocsin_federation.receipt import Told, about, write_receipt
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

ROUND_S = 5.0
MOST_TOLD = 256
OWED = frozenset(
    {"recall", "share"}
)  # of all else a run would have receipts by the thousand, and they decide nothing
GIVES = frozenset({"publish", "revoke"})
DONE = {"purge": "purged", "narrow": "narrowed"}

Step = Generator[Any, Any, Any]
Ended = tuple[str, str | None]


class Recalling:
    """What a `Node` does about recalls. `asks_s`: how long its people think about a peer's; 0: it obeys by itself.

    What a god would see, and no restore takes back: `recalls`, that its log tells of; `story`, what of a report it had,
    had no more, and gave (word, report, node); `forgotten`, what had rung here about it; `narrowed`, what it marks anew.
    """

    world: World
    disk: Disk
    policies: dict[str, PeerPolicy]
    node_id: str
    ready: bool
    room: list[Bell]
    history: list[Cried]
    asks_s: float
    recalls: list[tuple[Recall, bytes]]
    story: list[tuple[str, str, str]]
    forgotten: set[Bell]
    narrowed: set[str]
    seal: Callable[..., Sealed]
    append: Callable[[Sealed], bytes]
    moment: Callable[..., Any]
    hear_onward: Callable[[str, receipts.Item], None]
    recall_onward: Callable[[str, What, Tlp, str], None]

    # Its own -------------------------------------------------------------------------------------------------

    def own_entries(self) -> Iterable[tuple[list[Entry], int, Entry]]:
        """All that its logs hold, oldest first: the list that it stands in, where, and it."""
        for log in [*(ended.entries for ended in self.disk.ended.values()), self.disk.entries]:
            yield from ((log, idx, entry) for idx, entry in enumerate(log))

    def recipients(self, report_id: str) -> dict[str, tuple[bytes, ...]]:
        """Who is served what of an own report: every entry, for a reader may have one and never come to another."""
        having: dict[str, tuple[bytes, ...]] = {}
        for _, _, entry in self.own_entries():
            if gives(entry, report_id, GIVES):
                for node in entry.wraps:
                    having[node] = (*having.get(node, ()), entry.leaf_hash)
        return having

    def shred(self, report_id: str, nodes: Iterable[str], kinds: frozenset[str] = GIVES) -> None:
        """Serve these nothing any more of what stands in its logs of the report."""
        gone = set(nodes)
        self.story += [("took back", report_id, node) for node in sorted(gone)]
        for log, idx, entry in list(self.own_entries()):
            if gone & set(entry.wraps) and gives(entry, report_id, kinds):
                wraps = {node: wrap for node, wrap in entry.wraps.items() if node not in gone}
                log[idx] = replace(entry, wraps=wraps)

    def recall(self, report_id: str, nodes: list[str] | None) -> bool:
        """Inside a transaction: take an own report back from `nodes`, or from all that were sent it."""
        stored = self.disk.reports.get(report_id)
        if stored is None or stored.held.origin != self.node_id:
            return False
        having = self.recipients(report_id)
        chosen = having if nodes is None else {node: having[node] for node in nodes if node in having}
        if not chosen:
            return False
        self.disk.recalls.append(Recall("purge", Tlp.GREEN, report_id, chosen))
        self.shred(report_id, chosen)
        stored.audience -= set(chosen)
        stored.taken_back |= set(chosen)
        return True

    def erase(self, report_id: str) -> bool:
        """Inside a transaction: leave nothing of an own report, and take it back from all that were sent it (P-195)."""
        stored = self.disk.reports.get(report_id)
        if stored is None or stored.held.origin != self.node_id:
            return False
        having = self.recipients(report_id)
        if having:
            self.disk.recalls.append(Recall("purge", Tlp.GREEN, report_id, having))
        self.forget(report_id, self.node_id)
        return True

    def raise_marking(self, report_id: str, tlp: Tlp, chosen: set[str]) -> None:
        """Inside a transaction, before a stricter version is sealed: it marks or takes back all that came before (P-193)."""
        having = self.recipients(report_id)
        out = {node: ref for node, ref in having.items() if node not in chosen}
        if out:
            self.disk.recalls.append(Recall("purge", tlp, report_id, out))
            self.shred(report_id, out)
        if stay := {node: ref for node, ref in having.items() if node in chosen}:
            self.disk.recalls.append(Recall("narrow", tlp, report_id, stay))

    def tell_recalls(self, report_id: str | None = None) -> None:
        """Inside a transaction: every recall that somebody has not been told of; `report_id`: those of that report alone.

        That comes before whatever gives the report anew (P-194), else it would take back what it does not mean.
        """
        for one in self.disk.recalls:
            to = {n: ref for n, ref in one.refs.items() if n not in one.told and n not in self.disk.stopped}
            if to and self.ready and report_id in {None, one.report_id}:
                refs = [ref for node in sorted(to) for ref in to[node]]
                now = self.moment()
                till = now + timedelta(hours=1)
                content = write_recall(one.what, refs, "It has to go.", at=now, deadline=till)
                leaf = self._say("recall", content, set(to), refs[0], one.tlp)
                one.told |= dict.fromkeys(to, leaf)
                self.recalls.append((one, leaf))

    def say_again(self) -> None:
        """In the transaction that begins a log: what readers of the ended one may never come to, is owed anew (P-154).

        A recall that nobody confirmed, unless the report was given anew since; and that what was recalled is done.
        """
        for one in self.disk.recalls:
            having = self.disk.passed.get(one.report_id, {}) if one.author else self.recipients(one.report_id)
            lost = {n for n, leaf in one.told.items() if (n, leaf, DONE[one.what]) not in self.disk.heard}
            for node in lost - set(having) if one.what == "purge" else ():
                del one.told[node]
        for leaf, taken in self.disk.recalled.items():
            if taken.done:
                self.disk.owing.append((taken.by, Told(leaf, DONE[taken.recall.what], START)))  # type: ignore[arg-type]

    def _say(self, kind: str, content: bytes, to: set[str], ref: bytes, tlp: Tlp = Tlp.GREEN) -> bytes:
        name = f"{kind}--{UUID(bytes=self.world.dice.randbytes(16), version=4)}"
        return self.append(self.seal(t=kind, id=name, ver=1, tlp=tlp, content=content, to=to, ref=ref))

    def recalling(self) -> Step:
        """Obey, tell of recalls, tell what is owed: each in transactions of its own."""
        while True:
            yield from self.obey()
            if self.ready and any(
                set(one.refs) - set(one.told) - set(self.disk.stopped) for one in self.disk.recalls
            ):
                yield self.tell_recalls
            if self.ready and self.disk.owing:
                yield self._tell_owed
            yield ROUND_S

    # Peers' --------------------------------------------------------------------------------------------------

    def open_recall(self, opened: Opened, policy: PeerPolicy) -> recalls.Recall:
        """A recall that may be looked at further. Raises: EntryRefused."""
        recall = recalls.read_recall(opened.content)
        recalls.admit_recall(opened.header, recall, policy=policy, me=self.node_id)
        return recall

    def take_recall(self, peer: str, came: Came) -> Ended:
        """Inside a transaction: keep a recall until it is done."""
        assert came.header is not None
        brought = {
            entry: Carried(i, self._owner(i, peer)) for entry, i in self._brought(peer, came.said.entries)
        }
        try:
            recalled(came.said, brought, by=peer)
        except EntryRefused as exc:
            return Outcome.REFUSED.value, exc.code
        self.disk.recalled.setdefault(
            came.leaf_hash,
            Taken(peer, came.said, came.header.tlp, came.gen, came.frame.idx, self.world.now_s),
        )
        return Outcome.STORED.value, None

    def _brought(self, peer: str, entries: Iterable[bytes]) -> list[tuple[bytes, str]]:
        return [(e, i) for e in entries if (i := self.disk.brought.get((peer, e))) is not None]

    def _owner(self, report_id: str, peer: str) -> str | None:
        stored = self.disk.reports.get(report_id)
        return None if stored is None else peer if stored.through == peer else stored.held.origin

    def obey(self, peer: str | None = None) -> Step:
        """Do what peers (`peer`: that one) recalled; nobody is asked about what reaches nothing that is held."""
        for leaf_hash, one in list(self.disk.recalled.items()):
            if one.done or peer not in {None, one.by} or self.disk.disputes(one.by, one.gen, one.idx):
                continue
            if self.world.now_s >= one.at_s + self.asks_s or not self._reached(one):
                yield lambda key=leaf_hash: self._do(key)

    def _reached(self, one: Taken) -> list[str]:
        """The reports that it reaches: not what its author has given anew beyond it (P-250)."""
        found = []
        for report_id in dict.fromkeys(i for _, i in self._brought(one.by, one.recall.entries)):
            stored = self.disk.reports.get(report_id)
            if stored is not None and self._owner(report_id, one.by) == one.by:
                anew = stored.held.origin == one.by and one.before(stored)
                found += [] if anew else [report_id]
        return found

    def _do(self, leaf_hash: bytes) -> None:
        """Inside a transaction: do it, pass it on, and owe the receipt."""
        one = self.disk.recalled[leaf_hash]
        if one.done or self.disk.disputes(one.by, one.gen, one.idx):
            return
        one.done = True
        for _, report_id in self._brought(one.by, one.recall.entries):
            stored = self.disk.reports.get(report_id)
            if stored is not None and stored.held.origin == one.by and one.before(stored):
                self._before_anew(one, report_id, stored)
        for report_id in self._reached(one):
            stored = self.disk.reports[report_id]
            self.recall_onward(report_id, one.recall.what, one.tlp, one.by)
            if one.recall.what == "narrow":
                self._mark(report_id, stored, one.tlp)
            elif stored.held.origin != one.by and stored.under is not None:
                self._unsay({bell for bell in self.disk.alerts if bell[:2] == (report_id, stored.held.ver)})
                self.disk.reports[report_id] = (
                    stored.under
                )  # what its author gave itself stands again (P-284)
            else:
                self.forget(report_id, one.by if stored.held.origin == one.by else None)
        if one.recall.what == "purge":
            for entry in one.recall.entries:
                self.disk.brought.pop((one.by, entry), None)
        self.disk.owing.append((one.by, Told(leaf_hash, DONE[one.recall.what], START)))  # type: ignore[arg-type]  # a state

    def _before_anew(self, one: Taken, report_id: str, stored: Stored) -> None:
        """What came before a version that was given anew goes, or is marked, all the same (P-250)."""
        if stored.under is not None and not one.before(stored.under) and one.recall.what == "purge":
            stored.under = None
        log = self._generation(one.by, one.gen)
        early = {ver for ver, leaf in stored.leaves.items() if leaf in log.leaves[: one.idx]}
        for ver in early - {stored.held.ver}:
            if one.recall.what == "purge":
                self._unsay({bell for bell in self.disk.alerts if bell[:2] == (report_id, ver)})
                stored.leaves.pop(ver)
            elif (marked := self.disk.marked.get((report_id, ver))) is not None:
                self.disk.marked[report_id, ver] = stricter(Tlp(marked), one.tlp).value

    def _generation(self, author: str, gen: int) -> Followed:
        log = self.disk.followed[author]
        return log if log.gen == gen else self.disk.past[author, gen]

    def _mark(self, report_id: str, stored: Stored, tlp: Tlp) -> None:
        """Inside a transaction: all that is held of it is marked at least so."""
        self.narrowed.add(report_id)
        stored.tlp = stricter(Tlp(stored.tlp), tlp).value
        for key, marked in self.disk.marked.items():
            if key[0] == report_id:
                self.disk.marked[key] = stricter(Tlp(marked), tlp).value

    def forget(self, report_id: str, by: str | None) -> None:
        """Inside a transaction: leave nothing of a report. `by`: who alone may give it anew; None: whoever has it."""
        disk, stored = self.disk, self.disk.reports.pop(report_id)
        self.story.append(("purged", report_id, by or ""))
        if by is not None:
            disk.erased[report_id] = by
            disk.erased_words[stored.held.sha256] = by
        self._unsay({bell for bell in disk.alerts if bell[0] == report_id})
        calls = {name for name, call in disk.calls.items() if call.report_id == report_id}
        self._unsay({bell for bell in disk.alerts if bell[0] in calls})
        disk.calls = {name: call for name, call in disk.calls.items() if name not in calls}
        self.forgotten |= {(name, 0, b"") for name in calls}
        self.history[:] = [cried for cried in self.history if cried.name not in calls]
        disk.untold = [one for one in disk.untold if one[1] != report_id]
        disk.unanswered = [one for one in disk.unanswered if one[2] != report_id]
        disk.remarks = {key: said for key, said in disk.remarks.items() if key[0] != report_id}
        disk.remark_at = {key: at for key, at in disk.remark_at.items() if key[0] != report_id}
        disk.marked = {key: tlp for key, tlp in disk.marked.items() if key[0] != report_id}
        disk.passed.pop(report_id, None)
        for log in [*disk.followed.values(), *disk.past.values()]:
            log.kept = {idx: kept for idx, kept in log.kept.items() if about(kept[0])[0] != report_id}
        for log_entries, idx, entry in list(self.own_entries()):
            if about(entry.leaf)[0] == report_id:
                log_entries[idx] = Entry(b"", entry.leaf_hash, b"", {}, entry.to)

    def _unsay(self, bells: set[Bell]) -> None:
        self.forgotten |= bells
        self.disk.hushed -= bells
        for bell in bells:
            del self.disk.alerts[bell]
        self.room[:] = [bell for bell in self.room if bell not in bells]

    def kept_out(self, peer: str, came: Came) -> bool:
        """Whether an entry brings what was purged or erased here, and not by whom it was taken back (P-192)."""
        named = about(came.frame.leaf)[0]
        words = getattr(came.said, "sha256", None)
        barred = self.disk.erased.get(named or "", peer), self.disk.erased_words.get(words or b"", peer)
        if any(by != peer for by in barred):
            return True
        mine = (one for one in self.disk.recalled.values() if one.by == peer and one.recall.what == "purge")
        return any(came.leaf_hash in one.recall.entries for one in mine)

    def note(self, peer: str, came: Came, outcome: Ended) -> None:
        """Inside a transaction: which report an entry brought, and what is owed for it."""
        named, _ = about(came.frame.leaf)
        if named is not None and outcome[1] not in {
            "erased",
            "hash-mismatch",
        }:  # no leaf of its is nobody's word
            self.disk.brought[peer, came.leaf_hash] = named
        if came.header is not None and came.header.t in OWED:
            told = Told(came.leaf_hash, outcome[0], START, outcome[1])  # type: ignore[arg-type]  # a state
            self.disk.owing.append((peer, told))

    # Receipts ------------------------------------------------------------------------------------------------

    def open_receipt(self, opened: Opened, policy: PeerPolicy) -> receipts.Receipt:
        """A receipt that may be looked at further. Raises: EntryRefused."""
        receipt = receipts.read_receipt(opened.content)
        receipts.admit_receipt(opened.header, receipt, policy=policy, me=self.node_id)
        return receipt

    def take_receipt(self, peer: str, receipt: receipts.Receipt) -> Ended:
        """Inside a transaction: what a peer did with entries of this node's, or says that others did with what it passed on."""
        try:
            if receipt.v == 1:
                sealed = {entry.leaf_hash for _, _, entry in self.own_entries() if peer in entry.to}
                for item in receipts.ours(receipt, sealed):
                    self.disk.heard.add((peer, item.entry, item.state))
                    self.hear_onward(peer, item)
            else:
                for item in receipts.onward(receipt, self.disk.readers):
                    self.disk.heard.add((item.by or "", item.entry, item.state))
        except EntryRefused as exc:
            return Outcome.REFUSED.value, exc.code
        return Outcome.STORED.value, None

    def _tell_owed(self) -> None:
        """Inside a transaction: the entry, and the end of the debt."""
        if not self.disk.owing or not self.ready:
            return
        peer, first = self.disk.owing[0]
        due = [t for p, t in self.disk.owing if p == peer and (t.by is None) == (first.by is None)][
            :MOST_TOLD
        ]
        self.disk.owing = [one for one in self.disk.owing if one[0] != peer or one[1] not in due]
        if peer not in self.disk.stopped:
            self._say("receipt", write_receipt(due), {peer}, due[0].entry)


def gives(entry: Entry, report_id: str, kinds: frozenset[str]) -> bool:
    """Whether an entry is of those kinds and about that report."""
    return about(entry.leaf)[0] == report_id and read_header(entry.leaf).t in kinds
