"""Regaining: entries of ours that a restored database lost are had back from those that they were sealed to.

A restored log goes on from its hashes [P-176]; header, content and data key of what it lost are with its recipients.
Each gives back what stands with it, sealed to us (`returned`). All are asked side by side, each for so long a round and
until it gave so much that is not sound [P-242]: who is slow or lies holds up nobody.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tocsin_federation.errors import FederationError
from tocsin_federation.identity import Identity
from tocsin_node.errors import NodeError
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.services.heads import log_id
from tocsin_node.services.ledger import Ledger, Unconfirmed
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.resting import rest
from tocsin_node.services.returned import Returned
from tocsin_node.storage import log, regained
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool

AGAIN_S = 60.0
BUDGET_S = 20.0  # so long one peer is listened to in a round
UNSOUND = 16  # so many entries that are not sound end a peer's round: each costs the opening of a wrap
AT_ONCE = 8  # peers
MOST = 100_000  # lost entries that are looked for in one round
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Asked:
    """How far one peer was asked in the last round, and whether it used up its time or our patience."""

    reached: int | None = None
    held_up: bool = False
    unsound: int = field(default=0)


class Regaining:
    """Start `run()` once; `wake()` when entries were lost."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        ledger: Ledger,
        client: PeerClient,
        returned: Returned,
        identity: Identity,
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._ledger = ledger
        self._client = client
        self._returned = returned
        self._log = log_id(identity.statement.log.origin)
        self._gen = identity.statement.log.gen
        self.budget_s = BUDGET_S  # for one peer in a round
        self._woken = asyncio.Event()
        self._asked: dict[str, _Asked] = {}
        self._settled = asyncio.Event()
        self.on_back: Callable[[], None] = lambda: None  # entries are lost no more

    def wake(self) -> None:
        """Entries were lost: look now."""
        self._settled.clear()
        self._woken.set()

    async def settled(self) -> None:
        """Return when everybody was asked once for what is lost, or after the time that one peer has for it.

        Whether anything is, is known when our log may be signed; that is waited for, too, for as long as a caller does.
        """
        with contextlib.suppress(Unconfirmed):
            await self._ledger.signable()
        await rest(self._settled, self.budget_s)

    async def run(self) -> None:
        """Ask for what is lost until nothing is, or nobody has it; then again now and then, until cancelled."""
        while True:
            self._woken.clear()
            lost = True
            try:
                lost = bool(await self.round())
                if not self._woken.is_set():  # else it began before something was lost
                    self._settled.set()
            except StorageError as exc:
                logger.warning("what was lost cannot be had back now: %s", exc)
            except Exception:
                logger.exception("having back what was lost failed")
            await rest(self._woken, AGAIN_S if lost else None)

    async def round(self) -> int:
        """Ask every peer once; how many entries are still lost or in doubt. Raises: StorageError."""
        peers = self._peering.active()
        async with self._pool.acquire() as conn:
            lost = await log.lost_entries(conn, self._gen, MOST)
            await regained.forget_others(conn, [p.node_id for p in peers])
            doubts = await regained.left(conn, self._gen)
        if not lost and not doubts:
            return 0
        before, slots = len(lost), asyncio.Semaphore(AT_ONCE)
        # Who held us up the last time comes last, so that it takes no slot from those that do not.
        random.shuffle(peers)
        peers.sort(key=lambda p: self._asked.get(p.node_id, _Asked()).held_up)
        answers = await asyncio.gather(
            *(self._ask(peer, lost, slots) for peer in peers), return_exceptions=True
        )
        for failed in answers:
            if isinstance(failed, BaseException):
                raise failed
        async with self._pool.acquire() as conn:
            doubts = await regained.left(conn, self._gen)
        if len(lost) < before:
            self.on_back()
            if doubts:
                self._woken.set()  # what came back names nobody: the others are asked for it at once
        return len(lost) + doubts

    async def _ask(self, peer: Peer, lost: dict[int, bytes], slots: asyncio.Semaphore) -> None:
        """Take from one peer whatever it has of `lost` (place → leaf hash), within its budget. Raises: StorageError."""
        asked = self._asked.setdefault(peer.node_id, _Asked())
        asked.held_up, asked.unsound = False, 0
        async with slots:
            try:
                async with asyncio.timeout(self.budget_s):
                    await self._from(peer, lost, asked)
            except TimeoutError:
                asked.held_up = True
                logger.info("%s gives back what it has of ours slowly; it is asked on later", peer.row.name)
            except StorageError:
                raise
            except (NodeError, FederationError) as exc:
                logger.info("%s gave nothing of ours back: %s", peer.row.name, exc)

    async def _from(self, peer: Peer, lost: dict[int, bytes], asked: _Asked) -> None:
        async with self._pool.acquire() as conn:
            doubtful = await regained.due(conn, self._gen, peer.node_id, MOST)
        wanted = lost.keys() | doubtful.keys()
        if not wanted:
            return
        first, end, back = min(wanted), max(wanted) + 1, 0
        start = first if asked.reached is None or asked.reached >= end else max(first, asked.reached)
        while start < end:
            batch = await self._client.entries(peer.row.url, peer.node_id, self._log, start=start, limit=512)
            for frame in batch.frames:
                expected = lost.get(frame.idx)
                if expected is not None:
                    sound = await self._returned.keep(frame, expected, peer.node_id)
                    back += sound and lost.pop(frame.idx, None) is not None
                elif frame.idx in doubtful:
                    sound = await self._returned.note_reader(frame, doubtful.pop(frame.idx), peer.node_id)
                else:
                    continue
                asked.unsound += not sound
                if asked.unsound >= UNSOUND:
                    asked.held_up = True
                    logger.warning("%s gives back what is not sound; it is asked on later", peer.row.name)
                    return
            said = [idx for idx in doubtful if start <= idx < batch.next_index]
            if said:
                async with self._pool.acquire() as conn:
                    await regained.settle(conn, self._gen, peer.node_id, said)
            if batch.next_index <= start:
                break
            asked.reached = start = batch.next_index
        asked.reached = None
        if back:
            logger.warning("%s gave back %d entries of ours; %d are lost", peer.row.name, back, len(lost))
