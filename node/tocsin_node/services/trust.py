"""How far an entry can be trusted to be the same for everybody: provisional, witnessed or disputed.

Its origin's signature alone makes it provisional: another reader may have been shown another log. Witnessed is what
stands in a head that enough witnesses whom this node knows have cosigned. Disputed is what stands in a log that was
shown to contradict itself, or in a part that its owner has declared void. None of it says whether a report is true.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_federation.cosignature import FRESH_S
from tocsin_federation.identity import Identity
from tocsin_federation.statement import Statement
from tocsin_federation.witness import Trust, quorum
from tocsin_node.health import Check
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.settings.federation import FederationSettings
from tocsin_node.storage import witness
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import Place, StoredReport


@dataclass(frozen=True, slots=True)
class At:
    """A place in somebody's log. `author`: NodeID; `disputed`: its author is known to vouch for it no longer."""

    author: str
    gen: int
    index: int
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How an entry stands. `by`: NodeIDs of the witnesses that vouch for it; `required` of `witnesses` must."""

    trust: Trust
    by: tuple[str, ...]
    required: int
    witnesses: int

    @property
    def reachable(self) -> bool:
        """Whether there are witnesses enough for it ever to be witnessed."""
        return self.required <= self.witnesses


class Trusting:
    """Judges entries by the cosignatures that are kept."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        identity: Identity,
        settings: FederationSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._identity = identity
        self._settings = settings
        self._now = now
        self._sizes: dict[str, dict[str, int]] = {}  # by origin line: witness → largest head it has cosigned
        self._bystanders: set[tuple[str, str]] = set()  # author, peer: a copy of the rows

    async def load(self) -> None:
        """Read what was known before the start. Raises: StorageError."""
        async with self._pool.acquire() as conn:
            self._bystanders = await witness.bystanders(conn)

    async def hear(self, peer: str, answered: Mapping[str, bool]) -> None:
        """A peer (NodeID) has answered of whose logs it knows. Raises: StorageError."""
        news = {a: known for a, known in answered.items() if known is ((a, peer) in self._bystanders)}
        if not news:
            return
        known = [author for author, does in news.items() if does]
        async with self._pool.transaction() as conn:
            await witness.take_part(conn, peer, known)
            unknown = await witness.stand_by(conn, peer, [author for author in news if author not in known])
        self._bystanders -= {(author, peer) for author in known}
        self._bystanders |= {(author, peer) for author in unknown}

    def forget(self, author: str) -> None:
        """There are new cosignatures over that node's log."""
        for statement in self._statements(author):
            self._sizes.pop(statement.log.origin, None)

    def policy(self, author: str) -> tuple[list[str], int]:
        """Whose cosignatures over that node's log count here (NodeIDs), and how many are enough.

        Whoever answered that it does not know that log is not waited for. Who was not asked yet is: an author must not
        choose its witnesses by being slow to be known.
        """
        counted = [
            p.node_id
            for p in self._peering.active()
            if p.row.witness and p.node_id != author and (author, p.node_id) not in self._bystanders
        ]
        peer = self._peering.by_id(author)
        if peer is not None and peer.row.witnessed:
            counted.append(self._identity.node_id)
        fixed = self._settings.witnesses_required
        return counted, fixed or quorum(len(counted), self._settings.witnesses_faulty)

    async def of_report(self, report: StoredReport) -> Standing | None:
        """How a report's present version stands; None when it stands in no log."""
        (standing,) = await self.of_reports([report])
        return standing

    async def of_reports(self, reports: Sequence[StoredReport]) -> list[Standing | None]:
        """The same for many."""
        places = [
            None
            if r.log_gen is None or r.log_index is None
            else At(r.origin, r.log_gen, r.log_index, r.disputed)
            for r in reports
        ]
        if all(each is None for each in places):
            return [None] * len(places)
        async with self._pool.acquire() as conn:
            return [None if at is None else await self.of(conn, at) for at in places]

    async def of(self, conn: Connection, at: At) -> Standing:
        """How one entry stands."""
        counted, required = self.policy(at.author)
        statements = self._statements(at.author)
        origin = next((s.log.origin for s in statements if s.log.gen == at.gen), None)
        sizes = {} if origin is None else await self._known(conn, origin)
        by = tuple(node for node in counted if sizes.get(node, 0) > at.index)
        voids = [s.void for s in statements if s.void is not None and s.void.gen == at.gen]
        peer = self._peering.by_id(at.author)
        trust: Trust = "witnessed" if len(by) >= required else "provisional"
        suspect = peer is not None and peer.row.state == "suspect"
        if at.disputed or suspect or any(at.index >= void.size for void in voids):
            trust = "disputed"
        return Standing(trust, by, required, len(counted))

    async def awaited(self, conn: Connection, peer: Peer, place: Place) -> bool:
        """Whether an entry of a peer may still be witnessed: there are witnesses enough, and not enough words yet."""
        standing = await self.of(conn, At(peer.node_id, place.gen, place.index))
        return standing.trust == "provisional" and standing.reachable

    async def witnessed_size(
        self, conn: Connection, author: str, origin: str, index: int, *, within: int | None = None
    ) -> int | None:
        """The largest head over that entry (of at most `within`) that enough witnesses have cosigned, if any."""
        counted, required = self.policy(author)
        return await witness.witnessed_size(conn, origin, index, counted, required, within)

    async def stale(self) -> list[Peer]:
        """The peers of whose log no head has been cosigned for 25 hours, though it once was."""
        found = []
        async with self._pool.acquire() as conn:
            for peer in self._peering.active():
                newest = await witness.newest(conn, peer.identity.statement.log.origin)
                if newest and (self._now() - max(line.at for line in newest)).total_seconds() > FRESH_S:
                    found.append(peer)
        return found

    async def health(self) -> Check:
        """Whether some log may be withheld from us. Anybody may read it: neither which nor how many."""
        if await self.stale():
            hint = "No head of a peer's log was cosigned for 25 hours: it may be withheld; see `tocsin peer list`."
            return Check("witnesses", "degraded", "head-stale", hint)
        return Check("witnesses")

    async def _known(self, conn: Connection, origin: str) -> dict[str, int]:
        if origin not in self._sizes:
            newest = await witness.newest(conn, origin)
            self._sizes[origin] = {line.witness: line.size for line in newest}
        return self._sizes[origin]

    def _statements(self, author: str) -> Sequence[Statement]:
        if author == self._identity.node_id:
            return self._identity.statements
        peer = self._peering.by_id(author)
        return () if peer is None else peer.identity.statements
