"""Finding: searches over what is stored, and filling in what an earlier program did not write for them.

Facets are written with each report. Reports from before there were facets get theirs while the node runs, newest
first; until that is done they are missing in lists, and `health` says so. It may be stopped and started at any time.
"""

import asyncio
import logging
from collections.abc import Sequence

from tocsin_node.health import Check
from tocsin_node.storage import facets, search
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.search import Counted, Page, Place, Wanted
from tocsin_schema.check import check_bundle

BATCH = 200
AGAIN_S = 5.0
logger = logging.getLogger(__name__)


class Finding:
    """Searches. Start `run()` once; it ends when every report can be found."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._filled = False

    async def look(self) -> None:
        """Learn whether there is anything to fill in: at the start, before anybody asks for the health."""
        async with self._pool.acquire() as conn:
            self._filled = not await facets.missing(conn, below=search.UNSEEN, limit=1)

    async def run(self) -> None:
        """Give facets to the reports that lack them."""
        while not self._filled:
            try:
                await self._fill()
            except StorageError as exc:
                logger.warning("filling in what reports are found by waits for the database: %s", exc)
                await asyncio.sleep(AGAIN_S)

    async def page(self, wanted: Wanted, *, at: Place, limit: int) -> Page:
        """One page of what is wanted."""
        return await search.page(self._pool, wanted, at=at, limit=limit)

    async def count(self, wanted: Wanted) -> Counted:
        """How often each value of each facet occurs among what is wanted."""
        return await search.count(self._pool, wanted)

    async def health(self) -> tuple[Check, ...]:
        """Whether every report can be found."""
        if self._filled:
            return (Check("search"),)
        hint = "Reports from before the last update are being made searchable; lists are complete in a few minutes."
        return (Check("search", "degraded", "search-filling", hint),)

    async def _fill(self) -> None:
        below, done = search.UNSEEN, 0
        while True:
            async with self._pool.acquire() as conn:
                missing = await facets.missing(conn, below=below, limit=BATCH)
            if not missing:
                break
            rows = await asyncio.to_thread(_rows, missing)
            async with self._pool.transaction() as conn:
                await facets.fill(conn, rows)
                await facets.fill_bare(conn, [each.id for each in missing])
            below = missing[-1].seq
            done += len(missing)
        if done:
            logger.info("%d reports were made searchable", done)
        self._filled = True


def _rows(missing: Sequence[facets.Missing]) -> list[tuple[object, ...]]:
    """The facets of those that this program's check passes."""
    checked = ((each, check_bundle(each.bundle).report) for each in missing)
    return [facets.row(report, each.origin) for each, report in checked if report is not None]
