"""Receipts: what is done here about a peer's report, its origin learns.

That somebody has seen it, takes it, mutes it (until when), calls further people or says that it is over, that any of
this was taken back, and that everybody was called and nobody has answered. An act is its own outbox: it stays untold
until the entry of our log that tells it is committed, in the transaction that marks it. Nobody's name travels, and no
note: the origin learns which organisation, when, which version.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from tocsin_federation.envelope import seal
from tocsin_federation.errors import FederationError
from tocsin_federation.messages import State, write_acknowledgement
from tocsin_node.errors import NodeError
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.storage import acknowledgements
from tocsin_node.storage.acknowledgements import Untold
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.marking import Tlp

STATES: dict[str, State] = {
    "ack": "acknowledged",
    "take": "taken",
    "resolve": "resolved",
    "unanswered": "unanswered",
    "mute": "muted",
    "escalate": "escalated",
}
BATCH = 64
RETRY_S = 5.0
logger = logging.getLogger(__name__)


class Receipts:
    """Tells origins. Start `run()` once; `wake()` after an act was stored or taken back."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        *,
        node_id: str,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._node_id = node_id
        self._now = now
        self._rng = rng
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
                logger.warning("receipts wait: %s", exc)
                await asyncio.sleep(RETRY_S)  # nothing tells when the database or a peer's key is back
                self._woken.set()

    async def tell(self) -> int:
        """Tell the oldest untold acts; returns how many went out. Raises: StorageError.

        Those of origins that nothing can be sealed to at the moment wait, and do not stand in the way of others.
        """
        origins = [
            p.node_id for p in self._peering.present() if p.active and self._peering.sealable(p.node_id)
        ]
        async with self._pool.acquire() as conn:
            waiting = await acknowledgements.untold(conn, origins, BATCH)
        if waiting:
            await self._ledger.post(*map(self._posting, waiting))
        if len(waiting) == BATCH:
            self._woken.set()
        return len(waiting)

    def _posting(self, untold: Untold) -> Posting:
        sealed = seal(
            t="ack",
            by=self._node_id,
            id=untold.report_id,
            ver=untold.ver,
            tlp=Tlp.GREEN,
            content=write_acknowledgement(
                untold.report_id,
                untold.ver,
                untold.at,
                revoked=untold.revoked,
                state=STATES[untold.kind],
                until=untold.until,
            ),
            recipients=self._peering.enc_keys([untold.origin]),
            now=self._now(),
            rng=self._rng,
            ref=untold.leaf_hash,
        )
        return Posting(sealed=sealed, after=partial(_mark, untold))


async def _mark(untold: Untold, conn: Connection, index: int) -> None:
    await acknowledgements.mark_told(conn, untold, index)
