"""Telling: the task of a service that has things to tell peers, and writes each into our log once.

What is untold stands in the database, and what was told is marked in the transaction that logs it: a crash tells it
again or not at all, never half. Peers that nothing can be sealed to at the moment wait, and do not stand in the way.
"""

import asyncio
import logging
from abc import ABC, abstractmethod

from tocsin_federation.errors import FederationError
from tocsin_node.errors import NodeError
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.services.sealing import Sealing
from tocsin_node.storage.pool import Pool

BATCH = 64
RETRY_S = 5.0
logger = logging.getLogger(__name__)


class Telling(ABC):
    """Start `run()` once; `wake()` when there may be something to tell. `what`: for the log of the program."""

    what = "what is told"

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        sealing: Sealing,
        *,
        node_id: str,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._sealing = sealing
        self._node_id = node_id
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may be untold."""
        self._woken.set()

    async def run(self) -> None:
        """Tell what is untold, now and whenever woken, until cancelled."""
        self._woken.set()
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.tell()
            except (NodeError, FederationError) as exc:
                logger.warning("%s wait: %s", self.what, exc)
                await self._again()
            except Exception:  # what one peer sent must not take the node down, start after start
                logger.exception("%s could not be told", self.what)
                await self._again()

    async def _again(self) -> None:
        await asyncio.sleep(RETRY_S)  # nothing tells when the database or a peer's key is back
        self._woken.set()

    async def tell(self) -> int:
        """Tell the oldest that is untold; returns how many entries went out. Raises: StorageError."""
        postings, more = await self._untold(self._sealable())
        if postings:
            await self._ledger.post(*postings)
        if more:
            self._woken.set()
        return len(postings)

    def _sealable(self) -> list[str]:
        """NodeIDs of the peers that something can be sealed to now."""
        return [p.node_id for p in self._peering.present() if p.active and self._peering.sealable(p.node_id)]

    @abstractmethod
    async def _untold(self, peers: list[str]) -> tuple[list[Posting], bool]:
        """The next entries, for `peers` (NodeIDs) alone, and whether there may be more after them."""
