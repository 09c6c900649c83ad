"""Once a day a node compares with each of its peers by itself, so that nothing is missing for long and nobody knows.

Sync moves a cursor and believes what an answer says of what comes next [P-72]; comparing does not. What is missing
here, or was not opened there, is mended at once; what cannot be mended is told until it is gone.
"""

import asyncio
import logging
import random

from tocsin_federation.errors import FederationError
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.auditing import Auditing
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.reconciling import Reconciling, Side, Verified
from tocsin_node.storage import comparison
from tocsin_node.storage.audit import Act
from tocsin_node.storage.comparison import Comparison
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool

NAME = "comparing"
FIRST_S = 900.0  # at a start there is better to do
EVERY_S = 24 * 3600.0
PATIENCE_S = 300.0  # for one peer
VAIN_DAYS = 3  # so long nobody is told that a peer which can be reached cannot be compared with
MENDED_HERE = frozenset({"fetch", "offer"})
AMISS = MENDED_HERE | {"theirs"}
logger = logging.getLogger(__name__)


class Comparing:
    """Start `run()` once. What was found is a row for each peer, whoever had it compared."""

    def __init__(self, pool: Pool, reconciling: Reconciling, peering: Peering, auditing: Auditing) -> None:
        self._pool = pool
        self._reconciling = reconciling
        self._peering = peering
        self._auditing = auditing

    async def run(self) -> None:
        """Compare with everybody some minutes after the start and once a day, until cancelled."""
        rest_s = FIRST_S
        while True:
            await asyncio.sleep(random.uniform(rest_s / 2, rest_s))  # noqa: S311  no secret: not all at one time
            await self.round()
            rest_s = EVERY_S

    async def round(self) -> None:
        """Compare with every active peer, one after the other, and mend what can be. Who is away is passed over."""
        for peer in self._peering.active():
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._mended(peer)
            except TimeoutError:
                logger.info("%s took too long to compare with; that is done tomorrow", peer.row.name)
                await self._failed(peer, "timeout")
            except StorageError as exc:
                logger.info("it could not be compared with %s: %s", peer.row.name, exc)
            except (NodeError, FederationError) as exc:  # that it cannot be reached is told elsewhere
                logger.info("it could not be compared with %s: %s", peer.row.name, exc)
            except Exception:  # what one peer answered must not end the comparing with others
                logger.exception("comparing with %s failed", peer.row.name)
                await self._failed(peer, "internal-error")

    async def verify(self, name: str, *, repair: bool = False) -> Verified:
        """Compare with one peer now, as `Reconciling.verify`, and keep what was found.

        Raises: PeerUnknown, PeerUnreachable, PeerRefusal, StorageError.
        """
        peer = self._peering.named(name)
        if repair:
            await self._auditing.note(Act("peer.repair", f"peer:{peer.node_id}"))
        try:
            found = await self._reconciling.verify(name, repair=repair)
        except (NodeError, FederationError) as exc:
            if not isinstance(exc, StorageError):
                await self._failed(peer, exc.code)
            raise
        await self._keep(peer, found)
        return found

    async def of(self) -> dict[str, Comparison]:
        """What was found the last time, by NodeID."""
        async with self._pool.acquire() as conn:
            return await comparison.every(conn)

    async def _mended(self, peer: Peer) -> None:
        found = await self.verify(peer.node_id)
        if any(
            each.difference.remedy in MENDED_HERE
            for side in (found.theirs, found.ours)
            for each in side.found
        ):
            await self.verify(peer.node_id, repair=True)

    async def _keep(self, peer: Peer, found: Verified) -> None:
        sides = found.theirs, found.ours
        amiss, contradicted = sum(map(_left, sides)), any(side.head == "contradicted" for side in sides)
        mended = sum(each.repaired for side in sides for each in side.found)
        if mended:
            logger.warning(
                "%d entries of %s that were missing here were fetched again", mended, peer.row.name
            )
        trouble = next((side.trouble for side in sides if side.trouble is not None), None)
        if trouble is not None:
            await self._failed(peer, trouble)
            return
        async with self._pool.acquire() as conn:
            await comparison.found(conn, peer.node_id, amiss=amiss, contradicted=contradicted, mended=mended)
        if amiss or contradicted:
            logger.warning("%s and this node do not hold the same: `tocsin peer verify`", peer.row.name)

    async def _failed(self, peer: Peer, code: str) -> None:
        try:
            async with self._pool.acquire() as conn:
                await comparison.failed(conn, peer.node_id, code)
        except StorageError as exc:
            logger.info("that %s was not compared with could not be kept: %s", peer.row.name, exc)

    async def health(self) -> Check:
        """Whether some peer and we do not hold the same, as it was when they were compared, or cannot be compared.

        Anybody may read it: not which.
        """
        which = "a peer (the operators' room and this node's log say which)"
        return self._check(await self._left(), await self._in_vain(), which, "NAME")

    async def look(self) -> Check:
        """The same by our name for the peer; not for everybody."""
        left, vain = await self._left(), await self._in_vain()
        names = left or vain
        name = min(names, default="")
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return self._check(left, vain, f"{name}{others}", name)

    async def _in_vain(self) -> set[str]:
        """Names of the peers that were compared with before, and cannot be for days, though they answer all else."""
        async with self._pool.acquire() as conn:
            found = await comparison.in_vain(conn, VAIN_DAYS)
        return {p.row.name for p in self._peering.active() if p.node_id in found}

    async def _left(self) -> dict[str, Comparison]:
        found = await self.of()
        peers = ((p.row.name, found.get(p.node_id)) for p in self._peering.active())
        return {name: each for name, each in peers if each is not None and (each.amiss or each.contradicted)}

    @staticmethod
    def _check(left: dict[str, Comparison], vain: set[str], which: str, name: str) -> Check:
        if left:
            entries = sum(each.amiss for each in left.values())
            hint = (
                f"We do not hold the same as {which}: `tocsin peer verify {name}` says what differs, and why."
            )
            return Check(NAME, "degraded", "not-the-same", hint, count=entries)
        if vain:
            hint = (
                f"For {VAIN_DAYS} days nothing could be compared with {which}, which answers all else: who stands "
                f"between could hide entries so. `tocsin peer verify {name}` says how it ends; ask there."
            )
            return Check(NAME, "degraded", "not-compared", hint, count=len(vain))
        return Check(NAME)


def _left(side: Side) -> int:
    """How many entries one of both should hold and does not; an offer that was made anew counts until it is fetched."""
    return sum(not each.repaired for each in side.found if each.difference.remedy in AMISS)
