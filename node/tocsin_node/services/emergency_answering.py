"""What the caller of an emergency hears from us: that the call is stored, that it rang, that a person has seen it.

What there is to tell follows from what is stored, and what was told is marked in the transaction that logs it: a crash
tells it again or not at all, never half. Nobody's name travels.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from tocsin_federation.calls import ANSWER, CallAnswer, milliseconds
from tocsin_node.services.ledger import Posting
from tocsin_node.services.telling import BATCH, Telling
from tocsin_node.storage import emergency_answers
from tocsin_node.storage.emergency_answers import Untold
from tocsin_node.storage.pool import Connection
from tocsin_schema.marking import Tlp


class Answering(Telling):
    """Tells callers. Start `run()` once; `wake()` when a call was stored, rang, was acknowledged or answered."""

    what = "answers to calls"
    before: Callable[[], Awaitable[None]]  # what has to be done before anything is told

    async def tell(self) -> int:
        """As every `Telling`; first what came while nobody looked."""
        await self.before()
        return await super().tell()

    async def _untold(self, peers: list[str]) -> tuple[list[Posting], bool]:
        async with self._pool.acquire() as conn:
            waiting = await emergency_answers.untold(conn, self._node_id, peers, BATCH)
        return [await self._posting(one) for one in waiting], len(waiting) == BATCH

    async def _posting(self, untold: Untold) -> Posting:
        sealed = await self._sealing.seal(
            "answer",
            untold.report_id,
            untold.ver,
            to=[untold.origin],
            tlp=Tlp.GREEN,
            content=ANSWER.encode(_answer(untold)),
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


async def _mark(untold: Untold, conn: Connection, index: int) -> None:
    await emergency_answers.mark_told(conn, untold, index)
