"""Acknowledging: what is done here about a peer's report, its origin learns.

That somebody has seen it, takes it, mutes it (until when), calls further people or says that it is over, that any of
this was taken back, and that everybody was called and nobody has answered. An act is its own outbox: it stays untold
until the entry of our log that tells it is committed, in the transaction that marks it. Nobody's name travels, and no
note: the origin learns which organisation, when, which version.
"""

from functools import partial

from tocsin_federation.messages import State, write_acknowledgement
from tocsin_node.services.ledger import Posting
from tocsin_node.services.telling import BATCH, Telling
from tocsin_node.storage import acknowledgements
from tocsin_node.storage.acknowledgements import Untold
from tocsin_node.storage.pool import Connection
from tocsin_schema.marking import Tlp

STATES: dict[str, State] = {
    "ack": "acknowledged",
    "take": "taken",
    "resolve": "resolved",
    "unanswered": "unanswered",
    "mute": "muted",
    "escalate": "escalated",
}


class Acknowledging(Telling):
    """Tells origins. Start `run()` once; `wake()` after an act was stored or taken back."""

    what = "acknowledgements"

    async def _untold(self, peers: list[str]) -> tuple[list[Posting], bool]:
        async with self._pool.acquire() as conn:
            waiting = await acknowledgements.untold(conn, peers, BATCH)
        return [await self._posting(one) for one in waiting], len(waiting) == BATCH

    async def _posting(self, untold: Untold) -> Posting:
        sealed = await self._sealing.seal(
            "ack",
            untold.report_id,
            untold.ver,
            to=[untold.origin],
            tlp=Tlp.GREEN,
            content=write_acknowledgement(
                untold.report_id,
                untold.ver,
                untold.at,
                revoked=untold.revoked,
                state=STATES[untold.kind],
                until=untold.until,
            ),
            ref=untold.leaf_hash,
        )
        return Posting(sealed=sealed, after=partial(_mark, untold))


async def _mark(untold: Untold, conn: Connection, index: int) -> None:
    await acknowledgements.mark_told(conn, untold, index)
