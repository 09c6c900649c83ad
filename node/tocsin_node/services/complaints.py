"""Complaints: that somebody passed on what its marking forbids. They are told to the author, and shown to people.

Nothing follows from one by itself: it is proven by the log of who is complained of, and a person decides what it means.
What we complain of waits in a row until the entry that tells its author is committed with the mark that it was told,
and no longer than `storage.complaints` says: it holds what its marking kept from us.
"""

import asyncio
import logging
from dataclasses import replace
from functools import partial

from tocsin_federation.envelope import Sealed, open_disclosed
from tocsin_federation.errors import FederationError
from tocsin_federation.messages import read_header
from tocsin_federation.onward import write_complaint
from tocsin_federation.proof import Disclosed, Proof, read_proof, write_proof
from tocsin_node.data_keys import DataKeys
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.services.proving import NotKept, Proving
from tocsin_node.services.resting import keep_at
from tocsin_node.services.sealing import Sealing
from tocsin_node.storage import complaints
from tocsin_node.storage.audit import Act
from tocsin_node.storage.complaints import Complaint, Evidence
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import Place
from tocsin_schema.marking import Tlp

LISTED = 200
LOOK_EVERY_S = 300.0  # an author may have become a peer
logger = logging.getLogger(__name__)


class ComplaintUnknown(NodeError):
    """There is no complaint of that number."""

    code = "complaint-unknown"
    hint = "`tocsin peer complaints` lists them."


class EvidenceGone(NodeError):
    """What proved this complaint was let go of: its report was taken back, or its time was over."""

    code = "evidence-gone"
    hint = "Who holds the log of who did it can still see that the entry stands there; its author may have the proof."


class Complaints:
    """The verbs. Start `run()` once; `wake()` when there is something to tell."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        proving: Proving,
        data_keys: DataKeys,
        sealing: Sealing,
        *,
        node_id: str,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._proving = proving
        self._data_keys = data_keys
        self._sealing = sealing
        self._node_id = node_id
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to tell."""
        self._woken.set()

    async def run(self) -> None:
        """Tell authors, now and whenever woken, until cancelled."""
        await keep_at(self.tell, self._woken, LOOK_EVERY_S, what="complaints")

    async def tell(self) -> int:
        """Tell every author that is an active peer what was done with its reports; how many were told.

        Before that, let go of what proves those that have come to their end. Raises: StorageError. What cannot be shown
        any more is passed over, and stays listed here.
        """
        await self._end()
        authors = [p.node_id for p in self._peering.active() if self._peering.sealable(p.node_id)]
        count, after = 0, 0
        while True:
            async with self._pool.acquire() as conn:
                complaint = await complaints.untold(conn, self._node_id, authors, after)
                if complaint is None:
                    return count
                after = complaint.id
                found = await complaints.one(conn, self._node_id, complaint.id)
                try:
                    content = write_complaint(await self._proof(conn, complaint, found[1])) if found else b""
                    sealed = await self._seal(complaint, content)
                except StorageError:
                    raise
                except (NodeError, FederationError) as exc:
                    logger.warning("complaint %d cannot be told: %s", complaint.id, exc)
                    continue
            act = Act("peer.complain", None, {"complaint": complaint.id})
            await self._ledger.post(
                Posting(sealed=sealed, after=partial(self._mark, complaint.id), acts=(act,))
            )
            count += 1

    async def listing(self, against: str | None = None) -> list[Complaint]:
        """The newest complaints, of all or against one node (NodeID), ours too."""
        async with self._pool.acquire() as conn:
            return await complaints.listing(conn, self._node_id, against, LISTED)

    async def counts(self) -> dict[str, int]:
        """NodeID → how many complaints there are against it."""
        async with self._pool.acquire() as conn:
            return await complaints.counts(conn)

    async def evidence(self, number: int, *, disclose: bool = False) -> bytes:
        """The proof of the entry that is complained of, for anybody.

        With `disclose` it shows what the entry holds, as long as that is kept: the report itself. Without, its header:
        whose log, which report, which marking, to whom. Raises: ComplaintUnknown, EvidenceGone, NotKept.
        """
        async with self._pool.acquire() as conn:
            found = await complaints.one(conn, self._node_id, number)
            if found is None:
                raise ComplaintUnknown
            complaint, kept = found
            if complaint.report_id is None:
                raise EvidenceGone
            proof = read_proof(kept.proof) if kept.proof else await self._proof(conn, complaint, kept)
        return write_proof(proof if disclose else replace(proof, disclosed=None))

    async def health(self) -> Check:
        """Whether people should look. Anybody may read it: neither at whom nor by whom."""
        async with self._pool.acquire() as conn:
            count = await complaints.in_a_day(conn)
        if count:
            hint = (
                "Reports were passed on against their marking in the last 24 hours: `tocsin peer complaints`."
            )
            return Check("complaints", "degraded", "passed-on-against-marking", hint, count=count)
        return Check("complaints")

    async def _proof(self, conn: Connection, complaint: Complaint, kept: Evidence) -> Proof:
        """The proof of the entry complained of; with what it held as long as that is kept here."""
        if kept.leaf is None:
            raise NotKept
        disclosed = None
        if kept.ct is not None and kept.data_key is not None:
            data_key = self._data_keys.unlock(complaint.leaf_hash, kept.data_key)
            disclosed = Disclosed(open_disclosed(read_header(kept.leaf), data_key, kept.ct), data_key)
        place = Place(complaint.gen, complaint.idx, complaint.leaf_hash)
        return await self._proving.of_entry(conn, complaint.against, place, kept.leaf, disclosed)

    async def _end(self) -> None:
        async with self._pool.acquire() as conn:
            due = await complaints.due(conn, self._node_id)
        if due:  # under the pen, since entries of our log go with them

            async def end(conn: Connection) -> None:
                await complaints.end(conn, self._node_id)

            await self._ledger.post(Posting(beside=end, acts=(Act("peer.evidence-end"),)))

    async def _mark(self, number: int, conn: Connection, index: int) -> None:
        await complaints.mark_told(conn, number, self._ledger.head.gen, index)

    async def _seal(self, complaint: Complaint, content: bytes) -> Sealed:
        assert complaint.report_id is not None, "it is untold, so it is not ended"
        assert complaint.ver is not None, "the same"
        return await self._sealing.seal(
            "complain",
            complaint.report_id,
            complaint.ver,
            to=[complaint.author],
            tlp=Tlp(complaint.tlp),
            content=content,
            ref=complaint.leaf_hash,
        )
