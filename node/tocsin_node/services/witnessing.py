"""Witnessing, both ways: we cosign the checkpoints of peers, and ask peers to cosign ours (C2SP tlog-witness).

As a witness this node gives its word for a head only if the one that it cosigned before is the new one's beginning;
comparison and record are one transaction, so two heads of one size never both get it. As an origin it brings each new
checkpoint to its witnesses, at most one a second, and an unchanged one every hour, so that readers can tell a log that
stands still from one that is withheld.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from tocsin_federation.checkpoint import Checkpoint, checkpoint_text
from tocsin_federation.cosignature import Cosignature, cosign, cosignatures, read_lines, with_lines
from tocsin_federation.errors import FederationError, WitnessRefused
from tocsin_federation.identity import Identity
from tocsin_federation.keys import VKEY_COSIGNATURE, decode_vkey
from tocsin_federation.witness import (
    Submission,
    judge,
    open_submission,
    read_submission,
    write_submission,
)
from tocsin_node.errors import NodeError
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.services.heads import Heads, HeldLog
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.storage import witness
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.witness import CosignedHead, Line

BATCH_S = 1.0  # between two checkpoints that are brought to the witnesses
AGAIN_S = 3600.0  # an unchanged head is cosigned anew this often
RETRY_S = 30.0  # witnesses that did not answer, or would not, are asked again: after this long, then twice, and so on
RACES = 3
logger = logging.getLogger(__name__)


class SizeConflict(WitnessRefused):
    """The checkpoint does not go on from the one cosigned last. `size`: of that one."""

    def __init__(self, size: int) -> None:
        super().__init__("conflict")
        self.size = size


class Witnessing:
    """The witness that we are, and the witnesses that we have. Start `run()` once."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        heads: Heads,
        client: PeerClient,
        identity: Identity,
        *,
        witness_private: bytes,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._heads = heads
        self._client = client
        self._identity = identity
        self._name = decode_vkey(identity.statement.wit, VKEY_COSIGNATURE).name
        self._private = witness_private
        self._now = now
        self._due = asyncio.Event()
        self._told: dict[
            str, tuple[int, datetime]
        ] = {}  # by NodeID: our head that it cosigned last, and when
        self.ready: Callable[[], Awaitable[None]] = (
            _at_once  # waits until this database is known to be the newest
        )
        self.on_cosigned: Callable[[], None] = lambda: None  # our newest head carries more cosignatures
        self.on_kept: Callable[[str], None] = lambda _author: (
            None
        )  # cosignatures over that node's log were kept

    # As a witness ---------------------------------------------------------------------------------------

    async def add(self, body: bytes) -> str:
        """The line (no newline) by which we cosign the checkpoint in an `add-checkpoint` body.

        Raises: WitnessRefused, SizeConflict.
        """
        await self.ready()
        submission = read_submission(body)
        peer = self._witnessed(submission.origin)
        checkpoint = open_submission(submission, peer.identity.statement.log.vkey)
        if await self._convicted(peer, checkpoint, submission.note):
            raise WitnessRefused("origin-unknown")
        for _ in range(RACES):
            async with self._pool.acquire() as conn:
                last = await witness.latest(conn, checkpoint.origin)
            _judge(submission, checkpoint, last)
            at = int(self._now().timestamp())
            line = cosign(checkpoint_text(checkpoint), self._name, self._private, at=at)
            async with self._pool.acquire() as conn:
                kept = await witness.cosign(
                    conn,
                    checkpoint.origin,
                    old=submission.old,
                    size=checkpoint.size,
                    root=checkpoint.root,
                    note=submission.note,
                    witness=self._identity.node_id,
                    at=datetime.fromtimestamp(at, UTC),
                    line=line,
                )
            if kept:
                self.on_kept(peer.node_id)
                return line
        raise SizeConflict(0 if last is None else last.size)

    def _witnessed(self, origin: str) -> Peer:
        for peer in self._peering.active():
            if peer.identity.statement.log.origin == origin and peer.row.witnessed:
                return peer
        raise WitnessRefused("origin-unknown")

    async def _convicted(self, peer: Peer, checkpoint: Checkpoint, note: bytes) -> bool:
        """Whether the head contradicts what we verified ourselves, or what we cosigned."""
        async with self._pool.acquire() as conn:
            held = await self._heads.of(conn, peer)
            last = await witness.latest(conn, checkpoint.origin)
        try:
            if held is not None and await self._heads.contradicted(peer, held, checkpoint, note):
                return True
            if last is not None and last.size == checkpoint.size and last.root != checkpoint.root:
                return await self._heads.convict(peer, last.note, note, ())
        except FederationError as exc:
            logger.info("a head of %s could not be compared: %s", peer.row.name, exc.code)
        return False

    # As an origin -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There is a longer log, or another witness: bring the head to the witnesses."""
        self._due.set()

    async def run(self) -> None:
        """Bring every checkpoint to the witnesses, until cancelled."""
        await self._remember()
        retry_s = RETRY_S
        while True:
            left = await self.push()
            try:
                async with asyncio.timeout(retry_s if left else AGAIN_S):
                    await self._due.wait()
            except TimeoutError:
                retry_s = min(2 * retry_s, AGAIN_S)
            else:
                retry_s = RETRY_S
            await asyncio.sleep(BATCH_S)  # what is filed meanwhile goes into the same checkpoint
            self._due.clear()

    async def push(self) -> int:
        """Bring our head to each witness that has not cosigned it within the hour; how many could not be asked.

        A cosignature stands on the note that all our peers read, so who is named to nobody else gives none (P-217).
        """
        held = self._heads.own()
        witnesses = [
            p for p in self._peering.active() if p.row.witness and not self._peering.unnamed(p.node_id)
        ]
        due = [p for p in witnesses if self._is_due(p, held.size)]
        done = await asyncio.gather(*(self._asked(peer, held) for peer in due))
        if True in done:
            self.on_cosigned()
        return done.count(False)

    def _is_due(self, peer: Peer, size: int) -> bool:
        told = self._told.get(peer.node_id)
        return told is None or told[0] < size or (self._now() - told[1]).total_seconds() >= AGAIN_S - 60

    async def _asked(self, peer: Peer, held: HeldLog) -> bool:
        """Ask one witness; False when it is to be asked again."""
        try:
            await self._ask(peer, held)
        except StorageError as exc:
            logger.warning("the cosignature of %s was not kept: %s", peer.row.name, exc)
        except (NodeError, FederationError) as exc:
            logger.info("witness %s did not cosign size %d: %s", peer.row.name, held.size, exc)
            return False
        return True

    async def _ask(self, peer: Peer, held: HeldLog) -> None:
        old = self._told.get(peer.node_id, (0, None))[0]
        for _ in range(RACES):
            proof = await self._heads.consistency(held, old)
            body = write_submission(Submission(old, proof, held.note))
            answer = await self._client.add_checkpoint(peer.row.url, body)
            if isinstance(answer, bytes):
                note = with_lines(held.note, read_lines(answer))
                await self.keep(self._identity.node_id, held.origin, held.size, note)
                return
            if answer > held.size:
                return  # it knows more of our log than we do: the check at the start deals with that
            old = answer

    async def keep(self, author: str, origin: str, size: int, note: bytes) -> None:
        """Keep the cosignatures on `note`, a verified note of that log and size, by those whom we know."""
        found = self.verified(author, note)
        lines = [Line(node, size, datetime.fromtimestamp(c.at, UTC), c.line) for node, c in found.items()]
        async with self._pool.acquire() as conn:
            await witness.keep(conn, origin, size, lines)
        if author == self._identity.node_id:
            self._told |= {line.witness: (line.size, line.at) for line in lines}
        if lines:
            self.on_kept(author)

    def verified(self, author: str, note: bytes) -> dict[str, Cosignature]:
        """The cosignatures on a note of `author`'s log, by the NodeIDs of the peers that gave them."""
        keys = {p.identity.statement.wit: p.node_id for p in self._peering.present() if p.node_id != author}
        found = cosignatures(note, keys, now=int(self._now().timestamp()))
        return {keys[each.vkey]: each for each in found}

    async def forget_old(self) -> None:
        """Housekeeping."""
        async with self._pool.acquire() as conn:
            await witness.prune(conn)

    async def _remember(self) -> None:
        async with self._pool.acquire() as conn:
            known = await witness.newest(conn, self._identity.statement.log.origin)
        self._told |= {line.witness: (line.size, line.at) for line in known}


def _judge(submission: Submission, checkpoint: Checkpoint, last: CosignedHead | None) -> None:
    before = None if last is None else Checkpoint(checkpoint.origin, last.size, last.root)
    try:
        judge(submission, checkpoint, before)
    except WitnessRefused as exc:
        if exc.code == "conflict":
            raise SizeConflict(0 if last is None else last.size) from exc
        raise


async def _at_once() -> None:
    """Nothing is to be waited for."""
