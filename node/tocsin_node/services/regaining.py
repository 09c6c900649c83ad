"""Regaining: entries of ours that a restored database lost are had back from those that they were sealed to.

A restored log goes on from its hashes [P-176]; header, content and data key of what it lost are with its recipients.
Each gives back what stands with it, sealed to us, and every byte is held against the leaf hash and the header's
commitments: so nobody can give us words that we did not write. Nothing rings for what comes back.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from tocsin_federation.envelope import Opened, open_returned, wrap_info
from tocsin_federation.errors import EntryRefused, FederationError
from tocsin_federation.frames import Frame
from tocsin_federation.identity import Identity
from tocsin_federation.keys import EncPrivateKey
from tocsin_node.data_keys import DataKeys
from tocsin_node.errors import NodeError
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.services.heads import log_id
from tocsin_node.services.ledger import Ledger
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.resting import rest
from tocsin_node.storage import log, remarks, reports
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.remarks import NewRemark
from tocsin_node.storage.reports import NewReport, Place
from tocsin_schema.check import check_bundle
from tocsin_schema.remark import check_remark

AGAIN_S = 60.0
MOST = 100_000  # lost entries that are looked for in one round
logger = logging.getLogger(__name__)


class Regaining:
    """Start `run()` once; `wake()` when entries were lost."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        ledger: Ledger,
        client: PeerClient,
        data_keys: DataKeys,
        identity: Identity,
        *,
        enc_private: Callable[[], Mapping[str, EncPrivateKey]],
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._ledger = ledger
        self._client = client
        self._data_keys = data_keys
        self._node_id = identity.node_id
        self._log = log_id(identity.statement.log.origin)
        self._gen = identity.statement.log.gen
        self._enc_private = enc_private
        self._now = now
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    async def run(self) -> None:
        """Ask for what is lost until nothing is, or nobody has it; then again now and then, until cancelled."""
        while True:
            self._woken.clear()
            lost = True
            try:
                lost = bool(await self.round())
            except StorageError as exc:
                logger.warning("what was lost cannot be had back now: %s", exc)
            except Exception:
                logger.exception("having back what was lost failed")
            await rest(self._woken, AGAIN_S if lost else None)

    async def round(self) -> int:
        """Ask every peer once; how many entries are still lost. Raises: StorageError."""
        async with self._pool.acquire() as conn:
            lost = await log.lost_entries(conn, self._gen, MOST)
        for peer in self._peering.active():
            if not lost:
                break
            try:
                await self._ask(peer, lost)
            except StorageError:
                raise
            except (NodeError, FederationError) as exc:
                logger.info("%s gave nothing of ours back: %s", peer.row.name, exc)
        return len(lost)

    async def _ask(self, peer: Peer, lost: dict[int, bytes]) -> None:
        """Take from one peer whatever it has of `lost` (place → leaf hash); what came is lost no more."""
        start, end, back = min(lost), max(lost) + 1, 0
        while start < end:
            batch = await self._client.entries(peer.row.url, peer.node_id, self._log, start=start, limit=512)
            for frame in batch.frames:
                if frame.idx in lost and await self._regained(frame, lost[frame.idx], peer.node_id):
                    del lost[frame.idx]
                    back += 1
            if batch.next_index <= start:
                break
            start = batch.next_index
        if back:
            logger.warning("%s gave back %d entries of ours; %d are lost", peer.row.name, back, len(lost))

    async def _regained(self, frame: Frame, leaf_hash: bytes, giver: str) -> bool:
        try:
            opened = await asyncio.to_thread(
                open_returned,
                frame,
                expected_leaf_hash=leaf_hash,
                me=self._node_id,
                enc_private=self._enc_private(),
            )
        except EntryRefused as exc:
            logger.warning("what was given back for entry %d is not sound: %s", frame.idx, exc.code)
            return False
        place = Place(self._gen, frame.idx, leaf_hash)
        readers = opened.header.aud.nodes or (
            giver,
        )  # of those that are not named one has shown that it is meant
        async with self._pool.transaction() as conn:
            locked = self._data_keys.lock(leaf_hash, opened.data_key)
            if not await log.regain(conn, place.gen, place.index, frame.leaf, frame.ct, locked):
                return True
            await log.add_wraps(conn, place.gen, place.index, self._wraps(opened, leaf_hash, readers))
            await self._stored(conn, opened, place, readers)
        return True

    def _wraps(self, opened: Opened, leaf_hash: bytes, readers: Sequence[str]) -> dict[str, bytes]:
        """A wrap for each reader that can still be sealed to; the rest of its readers have it, or had it."""
        wraps = {}
        for node_id in readers:
            peer = self._peering.by_id(node_id)
            if peer is None:
                continue
            try:
                key = peer.identity.enc_key(self._now())
            except FederationError:
                continue
            wraps[node_id] = key.wrap(opened.data_key, wrap_info(leaf_hash, self._node_id, node_id))
        return wraps

    async def _stored(
        self, conn: Connection, opened: Opened, place: Place, audience: tuple[str, ...]
    ) -> None:
        header = opened.header
        if header.t in {"publish", "revoke"}:
            report = check_bundle(opened.content).report
            if report is not None:
                new = NewReport(report, self._node_id, header.ver, place, audience)
                await reports.regain(conn, new)
        elif header.t == "remark":
            said = check_remark(opened.content).remark
            if said is not None and await reports.held(conn, [said.incident_id]):
                await remarks.put(conn, NewRemark(said, self._node_id, header.ver, place, audience))
