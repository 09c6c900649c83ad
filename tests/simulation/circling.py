"""What a simulated node does about circles: takes and tells manifests, files into a circle, counts what comes through it.

The order of calls is the product's (`services/circles.py`, `circle_standing.py`, `circle_backfill.py`, `intake_circles.py`);
what decides is the core's. That an epoch is over by the clock (P-213) takes an hour, and no run is so long.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise
from typing import Any

from tests.simulation.cast import START
from tests.simulation.handing import Came
from tests.simulation.recalling import GIVES, gives
from tests.simulation.state import Counted, Disk, Entry, Followed, Known, Placed, Stored
from tests.simulation.world import World

from tocsin_federation.circle import Circle, circle_entry_id, read_file, verify_circle, write_file
from tocsin_federation.circle_rules import (
    admit_addressed,
    admit_manifests,
    first_difference,
    next_count,
    release_into,
    why_closed,
)
from tocsin_federation.envelope import Opened, Sealed
from tocsin_federation.errors import CircleRefused, EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import Audience, Header
from tocsin_federation.receipt import about
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

COUNTED = frozenset({None, "above-circle", "circle-frozen"})
Ended = tuple[str, str | None]


class Circling:
    """What a `Node` does about circles.

    What a god would see, and no restore takes back: `turns`, when (how many entries it had written) it learnt an epoch,
    adopted, left or froze a circle; `unsealed`, the entries to circles that its keys opened.
    """

    world: World
    disk: Disk
    policies: dict[str, PeerPolicy]
    node_id: str
    ready: bool
    written: list[Entry]
    turns: list[tuple[int, str, Circle]]
    unsealed: set[bytes]
    seal: Callable[..., Sealed]
    append: Callable[[Sealed], bytes]
    own_entries: Callable[[], Iterable[tuple[list[Entry], int, Entry]]]
    tell_recalls: Callable[[str], None]
    _generation: Callable[[str, int], Followed]
    _judged: Callable[[str, Followed, Came], Ended]

    # Its operator ----------------------------------------------------------------------------------------------

    def adopt(self, raw: bytes | None, circle: bytes = b"") -> bool:
        """Inside a transaction: the operator's yes to a circle's file, or to what a peer has offered."""
        known = self.disk.circles.get(circle)
        if raw is None and known is None:
            return False
        try:
            offered = known.circle if raw is None and known is not None else self.verified(raw or b"")
        except CircleRefused:
            return False
        known = self.disk.circles.get(offered.id)
        if self.node_id not in offered.newest.members or (known is not None and known.rival is not None):
            return False
        if known is not None and first_difference(known.circle, offered) is not None:
            self._freeze(known, offered)
            return False
        if known is not None and offered.epoch < known.circle.epoch:
            return False
        self._learn_circle(offered, "adopted")
        self._turn("adopted", offered)
        return True

    def leave(self, circle: bytes) -> bool:
        """Inside a transaction: nothing goes to the circle any more."""
        known = self.disk.circles.get(circle)
        if known is None or known.state != "adopted":
            return False
        known.state = "left"
        self._turn("left", known.circle)
        return True

    def verified(self, raw: bytes) -> Circle:
        """What a circle's file proves by itself. Raises: CircleRefused."""
        return verify_circle(read_file(raw), now=START + timedelta(seconds=self.world.now_s))

    def _learn_circle(self, circle: Circle, state: str) -> None:
        known = self.disk.circles.setdefault(circle.id, Known(circle, state))
        known.state = state
        if circle.epoch >= known.circle.epoch:
            known.circle = circle
            self._turn("learnt", circle)

    def _freeze(self, known: Known, rival: Circle) -> None:
        known.rival = known.rival or rival
        self._turn("froze", known.circle)

    def _turn(self, word: str, circle: Circle) -> None:
        self.turns.append((len(self.written), word, circle))

    # What it files ---------------------------------------------------------------------------------------------

    def way(self, circle: bytes) -> Circle | None:
        """The circle, if it is open to this node."""
        known = self.disk.circles.get(circle)
        if known is None:
            return None
        state = "frozen" if known.rival is not None else known.state
        now = START + timedelta(seconds=self.world.now_s)
        return None if why_closed(known.circle, me=self.node_id, state=state, now=now) else known.circle

    def addressed(self, report_id: str) -> bytes | None:
        """The circle that an own report was addressed to last."""
        return next((p.circle for p in reversed(self.disk.placed) if p.report_id == report_id), None)

    def members(self, way: Circle, tlp: Tlp) -> set[str]:
        """Who gets what is marked so by the circle (P-211)."""
        return {p.node_id for p in release_into(way, tlp, list(self.policies.values()), me=self.node_id).to}

    def by_circle(
        self, way: Circle, report: Any, chosen: set[str], former: set[str], back: set[str]
    ) -> set[str]:
        """Who gets a version of a circle's report, of those who would have it otherwise and of its members (P-215)."""
        if report.tlp is Tlp.RED or report.revoked:
            return chosen
        gone = ((former | chosen) & way.ever()) - set(way.newest.members)
        return (chosen - gone) | (self.members(way, report.tlp) - back)

    def place(self, way: Circle, report: Any, chosen: set[str], back: set[str]) -> Audience | None:
        """The place in the circle of what goes to `chosen`, if it can be addressed to it at all (P-215, P-246)."""
        members = set(way.newest.members)
        shared = report.tlp is not Tlp.RED and report.tlp.rank <= way.newest.max_tlp.rank
        beyond = report.revoked and members - {self.node_id} - chosen  # others would hand it on to these
        if not shared or not chosen <= members or back & members or beyond:
            return None
        cseq, cprev = self.next_count(way.id)
        return Audience(circle=way.id, epoch=way.epoch, cseq=cseq, cprev=cprev)

    def next_count(self, circle: bytes) -> tuple[int, bytes | None]:
        """The next number; what stands beyond the good end of an ended log has none any more (P-243)."""
        flat = [entry for _, _, entry in self.own_entries()]
        at = {entry.leaf_hash: n for n, entry in enumerate(flat)}
        mine = [p for p in self.disk.placed if p.circle == circle and p.leaf_hash in at]
        last = max(mine, key=lambda p: p.cseq, default=None)
        after = flat if last is None else flat[at[last.leaf_hash] + 1 :]
        lost = sum(not entry.leaf and not entry.to for entry in after)
        return next_count(0, None, lost) if last is None else next_count(last.cseq, last.leaf_hash, lost)

    def placed(self, aud: Audience, leaf_hash: bytes, report_id: str) -> None:
        """In the transaction that logs the entry: its place in the count."""
        assert aud.circle is not None
        assert aud.cseq is not None
        self.disk.placed.append(Placed(aud.circle, aud.cseq, leaf_hash, report_id))

    def fill(self, circle: bytes) -> list[tuple[str, set[str]]]:
        """Inside a transaction: what was shared goes to those members that lack it (P-216); which report to whom."""
        way = self.way(circle)
        if way is None or not self.ready:
            return []
        filled = []
        for report_id in dict.fromkeys(p.report_id for p in self.disk.placed if p.circle == circle):
            stored = self.disk.reports.get(report_id)
            if stored is None or stored.held.origin != self.node_id:
                continue
            to = self.lacking(way, report_id, stored)
            if to:
                self._further(report_id, stored, to)
                filled.append((report_id, to))
        return filled

    def lacking(self, way: Circle, report_id: str, stored: Stored) -> set[str]:
        """Members that have not got the version that stands, and may have it."""
        having = {
            node
            for _, _, entry in self.own_entries()
            if about(entry.leaf)[1] == stored.held.ver and gives(entry, report_id, GIVES)
            for node in entry.wraps
        }
        return self.members(way, Tlp(stored.tlp)) - having - stored.taken_back

    def _further(self, report_id: str, stored: Stored, to: set[str]) -> None:
        self.tell_recalls(report_id)
        ver = stored.held.ver
        sealed = self.seal(
            t="revoke" if stored.held.final else "publish",
            id=report_id,
            ver=ver,
            tlp=Tlp(stored.tlp),
            content=stored.raw,
            to=to,
            prev=stored.leaves.get(ver - 1),
        )
        stored.earlier[self.append(sealed)] = ver
        stored.audience |= to

    # Manifests -------------------------------------------------------------------------------------------------

    def untold(self, known: Known) -> set[str]:
        """Members of the newest epoch and of the one before that have not shown that they know it (P-209)."""
        if known.state != "adopted" or known.rival is not None:
            return set()
        circle = known.circle
        before = circle.at(circle.epoch - 1) if circle.epoch else None
        concerned = {*circle.newest.members, *(before.members if before else ())} & set(self.policies)
        return {n for n in concerned if known.told.get(n, -1) < circle.epoch}

    def circling(self) -> Iterable[Callable[[], None]]:
        """The transactions that are due: telling, and trying again what waited."""
        if self.ready and any(map(self.untold, self.disk.circles.values())):
            yield self.tell_circles
        if any(self._known_now(came.header) for came in self.disk.awaited.values()):
            yield self.try_again

    def tell_circles(self) -> None:
        """Inside a transaction: manifests to those who do not know them, and that they were told."""
        for known in self.disk.circles.values():
            to, circle = self.untold(known), known.circle
            if to and self.ready:
                facts = {"t": "circle", "id": circle_entry_id(circle.id), "ver": circle.epoch + 1}
                content = write_file(circle.chain)
                self.append(self.seal(tlp=circle.newest.max_tlp, content=content, to=to, **facts))
                known.told |= dict.fromkeys(to, circle.epoch)

    def open_circle(self, opened: Opened, policy: PeerPolicy) -> Circle:
        """Manifests that may be looked at further. Raises: CircleRefused, EntryRefused."""
        circle = self.verified(opened.content)
        admit_manifests(opened.header, circle, policy=policy, me=self.node_id)
        return circle

    def take_circle(self, peer: str, circle: Circle) -> Ended:
        """Inside a transaction: what becomes of manifests beside what is held."""
        known = self.disk.circles.get(circle.id)
        if known is None:
            self._learn_circle(circle, "offered")
            outcome: Ended = (Outcome.STORED.value, None)
        elif first_difference(known.circle, circle) is not None:
            self._freeze(known, circle)
            return Outcome.QUARANTINED.value, "circle-forked"
        elif circle.epoch < known.circle.epoch:
            return Outcome.SUPERSEDED.value, None
        elif circle.epoch == known.circle.epoch:
            outcome = Outcome.UNCHANGED.value, None
        elif known.rival is not None:
            return Outcome.QUARANTINED.value, "circle-frozen"
        else:
            self._learn_circle(circle, known.state)
            outcome = Outcome.STORED.value, None
        told = self.disk.circles[circle.id].told
        told[peer] = max(told.get(peer, -1), circle.epoch)
        return outcome

    # What comes through one --------------------------------------------------------------------------------------

    def take_addressed(self, peer: str, came: Came) -> Ended | None:
        """Inside a transaction: why an entry to a circle is not taken, and its place in the author's count."""
        header = came.header
        assert header is not None
        aud, code = header.aud, self.barred(header)
        assert aud.circle is not None
        assert aud.cseq is not None
        if code in COUNTED:
            key = aud.circle, peer, came.leaf_hash
            self.disk.counted[key] = Counted(aud.cseq, aud.cprev, came.gen, came.frame.idx)
        self.disk.awaited.pop((peer, came.gen, came.frame.idx), None)
        if code is None:
            return None
        if code == "circle-awaited":
            self.disk.awaited[peer, came.gen, came.frame.idx] = came
        return (Outcome.REFUSED if EntryRefused(code).by_policy else Outcome.QUARANTINED).value, code

    def barred(self, header: Header) -> str | None:
        """The code of why an entry to a circle is not taken now, or None."""
        known = self.disk.circles.get(header.aud.circle or b"")
        if known is not None and known.state == "left":
            return "not-member"
        frozen_at = (
            None if known is None or known.rival is None else first_difference(known.circle, known.rival)
        )
        try:
            circle = None if known is None else known.circle
            admit_addressed(header, circle, me=self.node_id, frozen_at=frozen_at)
        except EntryRefused as exc:
            return exc.code
        return None

    def _known_now(self, header: Header | None) -> bool:
        assert header is not None
        known = self.disk.circles.get(header.aud.circle or b"")
        epoch = header.aud.epoch or 0
        return known is not None and known.rival is None and known.circle.epoch >= epoch

    def try_again(self) -> None:
        """Inside a transaction: what waited for a manifest that is known now, and that its author does not dispute."""
        for (peer, gen, idx), came in list(self.disk.awaited.items()):
            if self._known_now(came.header):
                del self.disk.awaited[peer, gen, idx]
                log = self._generation(peer, gen)
                if (
                    not self.disk.disputes(peer, gen, idx)
                    and log.outcomes.get(idx, ("", ""))[1] == "circle-awaited"
                ):
                    log.outcomes[idx] = self._judged(peer, log, came)

    def circle_of(self, header: Header) -> Circle | None:
        """The circle that an entry is addressed to, unless it was left or contradicts itself (P-244)."""
        known = self.disk.circles.get(header.aud.circle or b"")
        return None if known is None or known.rival is not None or known.state == "left" else known.circle

    def count(self, circle: bytes, author: str) -> tuple[int, int]:
        """How many numbers of an author's between those that came are missing, and how many stand twice (P-214)."""
        rows = sorted(
            (c.cseq, leaf, c.cprev or b"")
            for (cid, by, leaf), c in self.disk.counted.items()
            if (cid, by) == (circle, author)
            and c.idx < self._generation(author, c.gen).next
            and not self.disk.disputes(author, c.gen, c.idx)
        )
        if not rows:
            return 0, 0
        numbers = {cseq for cseq, _, _ in rows}
        missing = max(numbers) - min(numbers) + 1 - len(numbers)
        wrong = sum(b[0] == a[0] + 1 and b[2] != a[1] for a, b in pairwise(rows))
        return missing, len(rows) - len(numbers) + wrong
