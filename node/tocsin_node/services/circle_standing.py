"""A circle as this node holds it, and the way that a report takes into it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from tocsin_federation.circle import Circle, Manifest, restore_circle
from tocsin_federation.circle_rules import first_difference, next_count, release_into, why_closed
from tocsin_federation.messages import Audience
from tocsin_federation.sharing import PeerPolicy, Release, Withheld
from tocsin_node.errors import NodeError
from tocsin_node.storage import circles
from tocsin_node.storage.circles import CircleEntry, CircleRow
from tocsin_node.storage.errors import StorageContention
from tocsin_node.storage.pool import Connection
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

_CLOSED = {
    "circle-frozen": (
        "Two manifests of one epoch of this circle are known; nothing is shared into it.",
        "Call its admins, then `tocsin circle adopt FILE --resolve` with the one that stands.",
    ),
    "circle-left": ("This node has left the circle.", "`tocsin circle adopt FILE` joins it again."),
    "circle-not-adopted": (
        "Nobody here has adopted the circle: to be named in it is not to agree.",
        "Look at it with `tocsin circle show NAME`, then `tocsin circle adopt NAME`.",
    ),
    "circle-expired": (
        "The circle's newest manifest has expired.",
        "Its admins must sign the next epoch: `tocsin circle propose`.",
    ),
    "circle-not-member": ("This node is no member of the circle any more.", "Ask its admins."),
}


class CircleClosed(NodeError):
    """Nothing is shared into the circle."""

    code = "circle-closed"
    hint = "`tocsin circle show NAME` says how it stands."


@dataclass(frozen=True, slots=True)
class Standing:
    """A circle and how it stands here. `frozen_at`: the first epoch of which two manifests are known."""

    row: CircleRow
    circle: Circle
    frozen_at: int | None

    @classmethod
    def of(cls, row: CircleRow) -> "Standing":
        """From the database."""
        circle = restore_circle(row.chain)
        frozen_at = first_difference(circle, restore_circle(row.rival)) if row.rival else None
        return cls(row, circle, frozen_at)

    @property
    def state(self) -> str:
        """`offered`, `adopted`, `left` or `frozen`."""
        return self.row.state if self.frozen_at is None else "frozen"

    @property
    def newest(self) -> Manifest:
        """The manifest that stands."""
        return self.circle.newest

    def closed(self, me: str, now: datetime) -> str | None:
        """The code of why nothing is shared into it, or None."""
        return why_closed(self.circle, me=me, state=self.state, now=now)

    def refuse_closed(self, me: str, now: datetime) -> None:
        """Raises: CircleClosed with the finer code."""
        code = self.closed(me, now)
        if code is not None:
            message, hint = _CLOSED[code]
            raise CircleClosed(message, code=code, hint=hint)


@dataclass(frozen=True, slots=True)
class Way:
    """The way of one report into a circle: its place in our count is held until it is written or given up.

    `closed`: nothing is shared into it; there is no place, and all that it says is who has gone.
    """

    standing: Standing
    me: str
    gen: int
    cseq: int
    cprev: bytes | None
    closed: bool = False

    @property
    def members(self) -> frozenset[str]:
        """The NodeIDs of the newest epoch."""
        return frozenset(self.standing.newest.members)

    def release(self, tlp: Tlp, policies: Sequence[PeerPolicy]) -> Release:
        """Who gets a report by the circle, and why others do not."""
        return release_into(self.standing.circle, tlp, policies, me=self.me)

    def carries(self, report: IncidentReport, to: Collection[str], back: AbstractSet[str]) -> bool:
        """Whether the entry can be addressed to the circle: `to` (NodeIDs) are members, it shares that marking.

        And from none of its members a person took the report `back` (NodeIDs): others would hand it on to that one. A
        withdrawal goes to those who had the report, so it goes by name where a member is not among them.
        """
        if self.closed or (report.revoked and not self.members - {self.me} <= set(to)):
            return False
        marked = report.tlp is not Tlp.RED and report.tlp.rank <= self.standing.newest.max_tlp.rank
        return marked and bool(to) and set(to) <= self.members and not back & self.members

    def gone(self, former: Sequence[str]) -> frozenset[str]:
        """Those of `former` recipients who were members, and are no more."""
        return (frozenset(former) & self.standing.circle.ever()) - self.members

    @property
    def audience(self) -> Audience | None:
        """What the header says; nothing of a circle whose members do not see each other (P-218)."""
        if self.standing.circle.hidden:
            return None
        newest, circle = self.standing.newest, self.standing.circle
        return Audience(circle=circle.id, epoch=newest.epoch, cseq=self.cseq, cprev=self.cprev)

    def recording(
        self, leaf_hash: bytes, report_id: str, ver: int
    ) -> Callable[[Connection, int], Awaitable[None]]:
        """Writes the place down, in the transaction that logs the entry."""
        entry = CircleEntry(
            circle=self.standing.circle.id,
            origin=self.me,
            cseq=self.cseq,
            leaf_hash=leaf_hash,
            cprev=self.cprev,
            epoch=self.standing.newest.epoch,
            gen=self.gen,
            idx=0,
            report_id=report_id,
            ver=ver,
            ours=True,
        )
        return partial(_record, entry)


class Standings:
    """All circles that are known here, read and parsed once for each change: whoever is asked often asks this."""

    def __init__(self) -> None:
        self._held: dict[bytes, Standing] = {}

    async def all(self, conn: Connection) -> list[Standing]:
        """How every circle stands now. Raises: StorageError."""
        changed = await circles.changed(conn)
        stale = [i for i, at in changed.items() if i not in self._held or self._held[i].row.changed_at != at]
        if stale:
            rows = await circles.held(conn, stale, to_change=False)
            fresh = await asyncio.to_thread(lambda: {i: Standing.of(row) for i, row in rows.items()})
            self._held = {i: one for i, one in (self._held | fresh).items() if i in changed}
        return list(self._held.values())


def members_gone(released: Release, gone: frozenset[str]) -> Release:
    """The release, where those who have left the circle are told as such."""
    reason = "it is no member of the circle any more"
    told = [
        Withheld(w.peer, "not-member", reason) if w.peer.node_id in gone and w.code == "not-named" else w
        for w in released.withheld
    ]
    return Release(released.to, tuple(told))


async def _record(entry: CircleEntry, conn: Connection, index: int) -> None:
    """In the pen's turn: a newer manifest, or a restore that was found out meanwhile, has changed what comes next."""
    count = next_count(*await circles.last_ours(conn, entry.circle))
    if (*count, await circles.newest_epoch(conn, entry.circle)) != (entry.cseq, entry.cprev, entry.epoch):
        raise StorageContention("The circle, or our count in it, has changed meanwhile.")
    await circles.record_ours(conn, replace(entry, idx=index))
