"""Receipting: tell each author what became of its entries here, and see how far ours got at peers, and beyond them.

What is owed is written in the transaction that makes it so. It gathers for a moment, so that a busy author gets one
receipt for many entries, and a quiet one gets its receipt at once enough.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from tocsin_federation.receipt import MAX_ITEMS, write_receipt
from tocsin_node.services.ledger import Posting
from tocsin_node.services.ownership import NotOurs
from tocsin_node.services.report_refusals import ReportUnknown
from tocsin_node.services.telling import Telling
from tocsin_node.storage import onward_readers, receipts, reports
from tocsin_node.storage.onward_readers import Reader
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.receipts import Due, Progress
from tocsin_schema.marking import Tlp

GATHER_S = 1.0


class Receipting(Telling):
    """Start `run()` once; `wake()` after entries of a peer got their outcomes, rang or were purged."""

    what = "receipts"

    async def tell(self) -> int:
        """As every `Telling`, a moment later."""
        await asyncio.sleep(GATHER_S)
        return await super().tell()

    async def of_report(self, report_id: str) -> list[Progress]:
        """How far what we said of a report got, for each entry and recipient, oldest first.

        Raises: ReportUnknown; NotOurs for a report that did not go out from here.
        """
        async with self._pool.acquire() as conn:
            held = (await reports.held(conn, [report_id])).get(report_id)
            if held is None:
                raise ReportUnknown
            if held.origin != self._node_id:
                raise NotOurs(
                    "The report came from a peer: who else has it is known there alone.",
                    hint="What we answered is told by `tocsin report show ID`.",
                )
            return await receipts.of_report(conn, report_id, self._node_id)

    async def beyond(self, report_id: str, tag: bytes) -> list[Reader]:
        """How far a report got at those that it was passed on to; `tag`: its keyed hash, for one that is erased."""
        async with self._pool.acquire() as conn:
            return await onward_readers.of_report(conn, report_id, tag, self._node_id)

    async def _untold(self, peers: list[str]) -> tuple[list[Posting], bool]:
        async with self._pool.acquire() as conn:
            unnamed = [node for node in self._peering.known() if self._peering.unnamed(node)]
            waiting = await receipts.due(conn, peers, MAX_ITEMS, unnamed)
        together = groupby(sorted(waiting, key=_kind), key=_kind)
        postings = [await self._posting(origin, tuple(dues)) for (origin, _), dues in together]
        return postings, len(waiting) >= MAX_ITEMS

    async def _posting(self, origin: str, dues: Sequence[Due]) -> Posting:
        sealed = await self._sealing.seal(
            "receipt",
            self._sealing.fresh_id("receipt"),
            1,
            to=[origin],
            tlp=Tlp.GREEN,
            content=write_receipt([one.told for one in dues]),
            ref=dues[0].told.entry,
        )
        return Posting(sealed=sealed, after=partial(_mark, dues))


def _kind(due: Due) -> tuple[str, bool]:
    """What goes into one receipt: whom it is for, and whether it is what readers said of what we passed on."""
    return due.origin, due.told.by is not None


async def _mark(dues: Sequence[Due], conn: Connection, index: int) -> None:
    del index
    await receipts.told(conn, dues)
