"""Once a day a node compares with each of its peers by itself, so that nothing is missing for long and nobody knows.

Sync moves a cursor and believes what an answer says of what comes next [P-72]; comparing does not. What is missing
here, or was not opened there, is mended at once; what cannot be mended is told until it is gone.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

from tocsin_federation.errors import FederationError
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.auditing import Auditing
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.reconciling import Reconciling, Side, Verified
from tocsin_node.storage import peers
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Pool

NAME = "comparing"
FIRST_S = 900.0  # at a start there is better to do
EVERY_S = 24 * 3600.0
PATIENCE_S = 300.0  # for one peer
VAIN_DAYS = 3  # so long nobody is told that a peer which can be reached cannot be compared with
MENDED_HERE = frozenset({"fetch", "offer"})
AMISS = MENDED_HERE | {"theirs"}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Amiss:
    """What was left the last time. `entries` that one side should hold and does not; `contradicted`: two pasts."""

    entries: int
    contradicted: bool


class Comparing:
    """Start `run()` once."""

    def __init__(self, pool: Pool, reconciling: Reconciling, peering: Peering, auditing: Auditing) -> None:
        self._pool = pool
        self._reconciling = reconciling
        self._peering = peering
        self._auditing = auditing
        self._amiss: dict[str, _Amiss] = {}
        self._vain: set[str] = set()  # NodeIDs that could not be compared with the last time

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
            self._vain.add(peer.node_id)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    found = await self._mended(peer)
                if all(side.trouble is None and side.complete for side in (found.theirs, found.ours)):
                    async with self._pool.acquire() as conn:
                        await peers.note_compared(conn, peer.node_id)
                    self._vain.discard(peer.node_id)
            except TimeoutError:
                logger.info("%s took too long to compare with; that is done tomorrow", peer.row.name)
            except (NodeError, FederationError) as exc:  # that it cannot be reached is told elsewhere
                logger.info("it could not be compared with %s: %s", peer.row.name, exc)
            except Exception:  # what one peer answered must not end the comparing with others
                logger.exception("comparing with %s failed", peer.row.name)
            else:
                self._judge(peer, found)

    async def _mended(self, peer: Peer) -> Verified:
        found = await self._reconciling.verify(peer.node_id)
        if not any(
            each.difference.remedy in MENDED_HERE
            for side in (found.theirs, found.ours)
            for each in side.found
        ):
            return found
        await self._auditing.note(Act("peer.repair", f"peer:{peer.node_id}"))
        return await self._reconciling.verify(peer.node_id, repair=True)

    def _judge(self, peer: Peer, found: Verified) -> None:
        sides = found.theirs, found.ours
        left = _Amiss(sum(map(_left, sides)), any(side.head == "contradicted" for side in sides))
        mended = sum(each.repaired for side in sides for each in side.found)
        if mended:
            logger.warning(
                "%d entries of %s that were missing here were fetched again", mended, peer.row.name
            )
        if left.entries or left.contradicted:
            logger.warning("%s and this node do not hold the same: `tocsin peer verify`", peer.row.name)
            self._amiss[peer.node_id] = left
        else:
            self._amiss.pop(peer.node_id, None)

    async def health(self) -> Check:
        """Whether some peer and we do not hold the same, as it was when they were compared, or cannot be compared.

        Anybody may read it: not which.
        """
        which = "a peer (the operators' room and this node's log say which)"
        return self._check(self._left(), await self._not_compared(), which, "NAME")

    async def look(self) -> Check:
        """The same by our name for the peer; not for everybody."""
        left, vain = self._left(), await self._not_compared()
        names = left or vain
        name = min(names, default="")
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return self._check(left, vain, f"{name}{others}", name)

    async def _not_compared(self) -> set[str]:
        """Names of the peers that were compared with before, and cannot be for days, though they answer all else."""
        if not self._vain:
            return set()
        async with self._pool.acquire() as conn:
            long_ago = await peers.not_compared(conn, VAIN_DAYS)
        return {p.row.name for p in self._peering.active() if p.node_id in self._vain & long_ago}

    def _left(self) -> dict[str, _Amiss]:
        return {
            p.row.name: self._amiss[p.node_id] for p in self._peering.active() if p.node_id in self._amiss
        }

    @staticmethod
    def _check(left: dict[str, _Amiss], vain: set[str], which: str, name: str) -> Check:
        if left:
            entries = sum(each.entries for each in left.values())
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
