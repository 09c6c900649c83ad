"""Gossip of heads: a few peers a minute are asked what they hold of the logs that we know too.

What contradicts what we verified convicts its log, whoever tells us of it; evidence that others hold is taken once it
verifies here. So an origin that shows two faces is found out as soon as two of those whom it shows them to meet.
"""

import logging
import random
from collections.abc import Callable, Sequence

from tocsin_federation.checkpoint import Checkpoint, note_lines, open_checkpoint
from tocsin_federation.errors import CheckpointRefused, FederationError
from tocsin_federation.evidence import Evidence, write_evidence
from tocsin_federation.gossip import (
    MAX_EVIDENCE,
    MAX_LOGS,
    SALT_BYTES,
    Answer,
    read_answer,
    read_question,
    veil,
    write_answer,
    write_question,
)
from tocsin_federation.identity import Identity
from tocsin_federation.merkle import HASH_BYTES
from tocsin_node.errors import NodeError
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.services.heads import Heads, log_id
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.trust import Trusting
from tocsin_node.storage import remote, witness
from tocsin_node.storage.pool import Connection, Pool

ASKED = 3  # peers a round
logger = logging.getLogger(__name__)


class Gossip:
    """Asks peers what they hold, and answers them."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        heads: Heads,
        client: PeerClient,
        identity: Identity,
        trusting: Trusting,
        *,
        rng: Callable[[int], bytes],
    ) -> None:
        self._pool = pool
        self._trusting = trusting
        self._peering = peering
        self._heads = heads
        self._client = client
        self._identity = identity
        self._rng = rng
        self.on_own: Callable[[Peer, Checkpoint, bytes], None] = lambda _peer, _head, _note: None

    # Asking ---------------------------------------------------------------------------------------------

    async def round(self) -> None:
        """Ask three peers, picked at random; who does not answer is asked another time."""
        peers = self._peering.active()
        for peer in random.sample(peers, min(ASKED, len(peers))):
            try:
                await self.ask(peer)
            except (NodeError, FederationError) as exc:
                logger.info("peer %s was not heard about heads: %s", peer.row.name, exc)
        await self._look_at_ours()

    async def ask(self, peer: Peer) -> None:
        """Ask one peer about all logs that we know, ours too, and hold its answer against what we verified.

        Raises: PeerUnreachable, PeerRefusal, GossipRefused.
        """
        others = [p for p in self._peering.active() if p.node_id != peer.node_id]
        answer = await self.asked(peer, [self._identity.statement.log.origin, *map(_origin, others)])
        for raw in answer.evidence:
            await self._learn(peer, raw)
        known = {_origin(p): p for p in others}
        for note in answer.heads:
            await self._judge(peer, note, known)
        if not answer.evidence:  # what is convicted has no head in the answer, and is known
            heads = {note.partition(b"\n")[0].decode(errors="replace") for note in answer.heads}
            asked = list(known.items())[: MAX_LOGS - 1]
            await self._trusting.hear(peer.node_id, {p.node_id: origin in heads for origin, p in asked})

    async def asked(self, peer: Peer, origins: Sequence[str]) -> Answer:
        """What a peer answers about the logs with these origin lines, not verified."""
        question = write_question(self._rng(SALT_BYTES), origins[:MAX_LOGS])
        return read_answer(await self._client.heads(peer.row.url, peer.node_id, question))

    async def _judge(self, teller: Peer, note: bytes, known: dict[str, Peer]) -> None:
        try:
            origin = note_lines(note)[0].split("\n", 1)[0]
            if origin == self._identity.statement.log.origin:
                self.on_own(teller, open_checkpoint(note, self._identity.statement.log.vkey), note)
            elif origin in known:

                async def ask(old: int, size: int) -> tuple[bytes, ...]:
                    return await self._client.past(
                        teller.row.url, teller.node_id, log_id(origin), old=old, size=size
                    )

                await self._heads.compare(known[origin], note, ask)
        except (FederationError, NodeError) as exc:
            logger.info("a head that %s told could not be compared: %s", teller.row.name, exc)

    async def _learn(self, teller: Peer, raw: bytes) -> None:
        try:
            await self._heads.learn(raw)
        except FederationError as exc:
            logger.warning("peer %s told evidence that proves nothing: %s", teller.row.name, exc.code)

    async def _look_at_ours(self) -> None:
        """Hold what we cosigned on a proof against what we followed since."""
        for peer in self._peering.active():
            async with self._pool.acquire() as conn:
                last = await witness.latest(conn, _origin(peer))
            if last is not None:
                try:
                    await self._heads.compare(peer, last.note)
                except FederationError as exc:
                    logger.info(
                        "the head that we cosigned for %s is of its past: %s", peer.row.name, exc.code
                    )

    # Answering ------------------------------------------------------------------------------------------

    async def answer(self, caller: Peer, body: bytes) -> bytes:
        """What we hold of the logs in a peer's question. Raises: GossipRefused, StorageError."""
        question = read_question(body)
        wanted = set(question.logs)
        heads: list[bytes] = []
        evidence: list[bytes] = []
        async with self._pool.acquire() as conn:
            for peer in self._peering.present():
                if peer.row.approved_at is None or veil(question.salt, _origin(peer)) not in wanted:
                    continue
                told = await self._evidence(conn, peer)
                if told is not None and peer.node_id != caller.node_id and len(evidence) < MAX_EVIDENCE:
                    evidence.append(told)
                elif (note := await self._heads.newest(conn, peer)) is not None:
                    heads.append(note)
        return write_answer(heads, evidence)

    async def _evidence(self, conn: Connection, peer: Peer) -> bytes | None:
        kept = await remote.evidence_of(conn, peer.node_id)
        if kept is None:
            return None
        try:
            open_checkpoint(kept.held, peer.identity.statement.log.vkey)
        except CheckpointRefused:
            return None  # against a log that it has given up since
        path = tuple(kept.path[i : i + HASH_BYTES] for i in range(0, len(kept.path), HASH_BYTES))
        chain = tuple(peer.identity.chain)
        return write_evidence(
            Evidence(v=1, kind="fork", chain=chain, held=kept.held, offered=kept.offered, path=path)
        )


def _origin(peer: Peer) -> str:
    return peer.identity.statement.log.origin
