"""After a log has ended: what is ours goes into the one in force, to those who had it.

What came back from peers beyond the last good entry may be a thief's, and goes only when a person names it.

Which reports are left is asked of the database each time, so it may be cut off and called again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tocsin_federation.identity import Identity
from tocsin_federation.sharing import Release, release
from tocsin_node.health import Check
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.services.releasing import sealable_only
from tocsin_node.services.report_entries import ReportEntries
from tocsin_node.services.reporting import Reporting
from tocsin_node.services.submission import checked
from tocsin_node.storage import log, shares
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.shares import Outside
from tocsin_schema.marking import Tlp

BATCH = 64
Outcome = Literal["stored", "dry-run", "left", "changed", "came-back"]


@dataclass(frozen=True, slots=True)
class Republished:
    """What became of one report. `left`: nobody of those who had it may have it now. `changed`: it was, meanwhile.

    `came-back`: it came from peers, beyond what is good of the log that ended; it goes when it is named.
    """

    report_id: str
    ver: int
    title: str
    outcome: Outcome
    release: Release


class Republishing:
    """Puts reports of ours from ended generations of the log into the newest one."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        reporting: Reporting,
        entries: ReportEntries,
        *,
        identity: Identity,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._reporting = reporting
        self._entries = entries
        self._node_id = identity.node_id
        self._gen = identity.statement.log.gen
        self._voids = [s.void for s in identity.statements if s.void is not None]
        self._settled = self._gen == 1

    async def republish(self, ids: Sequence[str] = (), *, dry_run: bool = False) -> list[Republished]:
        """Give out again what stands in an ended log (of `ids`, or all), each to those who had it and may have it now.

        Nobody is shown anything new: the same bytes under the same count. Raises: StorageError, NodeStopping.
        """
        found = await self._outside(ids)
        doubtful = [] if ids else await self._doubtful(found)
        done = [
            Republished(one.report_id, one.ver, one.name, "came-back", self._release(one)) for one in doubtful
        ]
        found = [one for one in found if one not in doubtful]
        for start in range(0, len(found), BATCH):
            batch = [(one, self._release(one)) for one in found[start : start + BATCH]]
            postings = [
                (one, to, None if dry_run or not to.to else await self._posting(one, to)) for one, to in batch
            ]
            wanted = [posting for _, _, posting in postings if posting is not None]
            posted = iter(await self._ledger.post(*wanted) if wanted else ())
            for one, to, posting in postings:
                outcome: Outcome = "dry-run" if to.to else "left"
                if posting is not None:
                    outcome = "stored" if next(posted).outcome == "stored" else "changed"
                done.append(Republished(one.report_id, one.ver, one.name, outcome, to))
        return done

    async def health(self) -> Check:
        """Whether reports still stand in an ended log alone, and somebody waits for them."""
        found = [] if self._settled else await self._outside()
        doubtful = await self._doubtful(found)
        found = [one for one in found if one not in doubtful]
        self._settled = not found  # what is filed from now on stands in the log in force
        if not any(self._release(one).to for one in found):
            return Check("ended-log")
        hint = "Reports of ours stand in a log that has ended, and peers may dispute them: `tocsin key republish`."
        return Check("ended-log", "degraded", "republish-waiting", hint)

    async def _outside(self, ids: Sequence[str] = ()) -> list[Outside]:
        async with self._pool.acquire() as conn:
            return await shares.outside(conn, self._node_id, self._gen, ids)

    async def _doubtful(self, found: Sequence[Outside]) -> list[Outside]:
        """Those that came back from peers and stand beyond what is good of their log."""
        if not found:
            return []
        async with self._pool.acquire() as conn:
            back = await log.came_back(conn)
        return [
            one
            for one in found
            if any(b.gen == one.gen and b.start <= one.index < b.stop for b in back)
            and any(void.gen == one.gen and void.size <= one.index for void in self._voids)
        ]

    def _release(self, one: Outside) -> Release:
        released = release(Tlp(one.tlp), self._peering.policies(), requested=sorted(one.recipients))
        had = tuple(w for w in released.withheld if w.peer.node_id in one.recipients)
        return sealable_only(Release(released.to, had), self._peering)

    async def _posting(self, one: Outside, to: Release) -> Posting:
        stored = await self._reporting.get(one.report_id)
        audience = [p.node_id for p in to.to]
        return await self._entries.further(
            checked(stored.bundle)[0], stored.ver, audience, action="report.republish"
        )
