"""What the caller of an emergency hears from us: that the call is stored, that it rang, that a person has seen it.

What there is to tell follows from what is stored, and what was told is marked in the transaction that logs it: a crash
tells it again or not at all, never half. Nobody's name travels.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from tocsin_federation.calls import ANSWER, CallAnswer, milliseconds
from tocsin_federation.envelope import seal
from tocsin_federation.errors import FederationError
from tocsin_node.errors import NodeError
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.storage import emergency_answers
from tocsin_node.storage.emergency_answers import Untold
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.marking import Tlp

BATCH = 64
RETRY_S = 5.0
logger = logging.getLogger(__name__)


class Answering:
    """Tells callers. Start `run()` once; `wake()` when a call was stored, rang, was acknowledged or answered."""

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
        self.before: Callable[[], Awaitable[None]] = _nothing  # what has to be done before anything is told

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
                await self.before()
                await self.tell()
            except (NodeError, FederationError) as exc:
                logger.warning("answers to calls wait: %s", exc)
                await asyncio.sleep(RETRY_S)  # nothing tells when the database or a peer's key is back
                self._woken.set()

    async def tell(self) -> int:
        """Tell the oldest that is untold; returns how many answers went out. Raises: StorageError.

        Callers that nothing can be sealed to at the moment wait, and do not stand in the way of others.
        """
        origins = [
            p.node_id for p in self._peering.present() if p.active and self._peering.sealable(p.node_id)
        ]
        async with self._pool.acquire() as conn:
            waiting = await emergency_answers.untold(conn, self._node_id, origins, BATCH)
        if waiting:
            await self._ledger.post(*map(self._posting, waiting))
        if len(waiting) == BATCH:
            self._woken.set()
        return len(waiting)

    def _posting(self, untold: Untold) -> Posting:
        sealed = seal(
            t="answer",
            by=self._node_id,
            id=untold.report_id,
            ver=untold.ver,
            tlp=Tlp.GREEN,
            content=ANSWER.encode(_answer(untold)),
            recipients=self._peering.enc_keys([untold.origin]),
            now=self._now(),
            rng=self._rng,
            ref=untold.leaf_hash,
        )
        return Posting(sealed=sealed, after=partial(_mark, untold))


def _answer(untold: Untold) -> CallAnswer:
    return CallAnswer(
        v=1,
        emergency=untold.emergency,
        report_id=untold.report_id,
        ver=untold.ver,
        stage=untold.stage,
        at=milliseconds(untold.at),
        revoked=untold.revoked,
        said=untold.said,
    )


async def _nothing() -> None:
    """There is nothing."""


async def _mark(untold: Untold, conn: Connection, index: int) -> None:
    await emergency_answers.mark_told(conn, untold, index)
