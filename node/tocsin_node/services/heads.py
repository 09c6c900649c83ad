"""Heads of logs: what is held of each, and whether two signed heads of one log can both be true.

Our own log and every peer's that is followed are held: leaf hashes, verified, and the newest signed note. Two heads of
one log are compared by the past that the larger one has at the smaller one's size. When they contradict each other the
log's own signatures convict it, and nothing else does: evidence is verified as a stranger would before it counts.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

from tocsin_federation.checkpoint import Checkpoint, note_lines, open_checkpoint, parse_checkpoint_text
from tocsin_federation.cosignature import with_lines
from tocsin_federation.errors import FederationError, LogBroken, ProofRefused
from tocsin_federation.evidence import Evidence, contradict, read_evidence, verify_evidence
from tocsin_federation.identity import Identity, ended_logs
from tocsin_node.services.ledger import Ledger
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.trees import ReadLeaves, Trees
from tocsin_node.storage import log, remote, witness
from tocsin_node.storage.pool import Connection, Pool

logger = logging.getLogger(__name__)
AskPast = Callable[[int, int], Awaitable[tuple[bytes, ...]]]
FORKED = LogBroken("log-fork")


@dataclass(frozen=True, slots=True)
class HeldLog:
    """A log as it is held here. `author`: NodeID; `read`: leaf hashes [low, high) on a connection."""

    author: str
    origin: str
    gen: int
    size: int
    note: bytes = field(repr=False)
    read: Callable[[Connection, int, int], Awaitable[list[bytes]]] = field(repr=False)

    @property
    def name(self) -> tuple[str, int]:
        """What the log is called among `Trees`."""
        return self.author, self.gen


class Heads:
    """The logs that are held, and the judge of what else is signed in their names."""

    def __init__(self, pool: Pool, peering: Peering, ledger: Ledger, identity: Identity) -> None:
        self._pool = pool
        self._peering = peering
        self._ledger = ledger
        self._identity = identity
        self._trees = Trees()

    @property
    def trees(self) -> Trees:
        """Subtrees of all logs, remembered."""
        return self._trees

    # What is held -------------------------------------------------------------------------------------

    def own(self) -> HeldLog:
        """Our own log."""
        return _ours(self._identity.node_id, self._identity.statement.log.origin, self._ledger.head)

    async def of(self, conn: Connection, peer: Peer) -> HeldLog | None:
        """A peer's present log, as far as it is verified."""
        key = peer.identity.statement.log
        followed = await remote.standing(conn, peer.node_id, key.gen)
        if followed is None or followed.note is None:
            return None

        async def read(on: Connection, low: int, high: int) -> list[bytes]:
            return await remote.leaves(on, followed, low, high)

        return HeldLog(peer.node_id, key.origin, key.gen, followed.size, followed.note, read)

    async def named(self, conn: Connection, name: str) -> HeldLog | None:
        """The log that `name` (hex SHA-256 of its origin line) stands for, if it is held.

        One of ours that has ended is held up to its good end.
        """
        if name == log_id(self._identity.statement.log.origin):
            return self.own()
        for ended in ended_logs(self._identity):
            if name == log_id(ended.key.origin):
                head = await log.head_within(conn, ended.key.gen, ended.good)
                return None if head is None else _ours(self._identity.node_id, ended.key.origin, head)
        for peer in self._peering.present():
            if name == log_id(peer.identity.statement.log.origin):
                return await self.of(conn, peer)
        return None

    async def newest(self, conn: Connection, peer: Peer) -> bytes | None:
        """The largest head of a peer's log that was verified here: followed, or cosigned on a proof."""
        held = await self.of(conn, peer)
        cosigned = await witness.latest(conn, peer.identity.statement.log.origin)
        if cosigned is not None and (held is None or cosigned.size > held.size):
            return cosigned.note
        return None if held is None else held.note

    async def note(self, held: HeldLog) -> bytes:
        """Its note, with all cosignatures that are known over this head, but of those named to nobody else (P-217)."""
        async with self._pool.acquire() as conn:
            known = await witness.lines(conn, held.origin, held.size)
        return with_lines(held.note, [each.line for each in known if not self._peering.unnamed(each.witness)])

    async def past(self, held: HeldLog, old: int, size: int) -> tuple[bytes, ...]:
        """The hashes that show the roots at both sizes (`merkle.past_proof`). Raises: ProofRefused."""
        if not 0 < old <= size <= held.size:
            raise ProofRefused("proof-malformed")
        async with self._pool.acquire() as conn:
            return await self._trees.past(held.name, _on(conn, held), old, size)

    async def consistency(self, held: HeldLog, old: int) -> tuple[bytes, ...]:
        """The consistency proof from `old` to the head. Raises: ProofRefused."""
        async with self._pool.acquire() as conn:
            return await self._trees.consistency(held.name, _on(conn, held), old, held.size)

    async def root(self, conn: Connection, held: HeldLog, size: int) -> bytes:
        """The root of its first `size` leaves."""
        return await self._trees.root(held.name, _on(conn, held), size)

    async def tile(self, conn: Connection, held: HeldLog, level: int, index: int, width: int) -> bytes:
        """`width` hashes of a tile of any level, all of them within the log."""
        if level == 0:
            return b"".join(await held.read(conn, index * 256, index * 256 + width))
        return await self._trees.tile(held.name, _on(conn, held), level, index, width)

    # Whether both can be true -------------------------------------------------------------------------

    async def compare(self, peer: Peer, note: bytes, ask: AskPast | None = None) -> bool:
        """Hold a head of a peer's log, from whomever, against the one verified here; True: it is convicted.

        `ask`: fetches the past of a head that is larger than ours, from who holds it. Raises: FederationError for a
        note that the log did not sign, or for a past of another form.
        """
        vkey = peer.identity.statement.log.vkey
        async with self._pool.acquire() as conn:
            held = await self.of(conn, peer)
        if held is not None and held.note == note:
            return False
        theirs = open_checkpoint(note, vkey)
        return held is not None and await self.contradicted(peer, held, theirs, note, ask)

    async def contradicted(
        self, peer: Peer, held: HeldLog, theirs: Checkpoint, note: bytes, ask: AskPast | None = None
    ) -> bool:
        """The same for a note that was opened already: `theirs` is what it says."""
        mine = parse_checkpoint_text(note_lines(held.note)[0])  # verified when it was kept
        first, second = sorted((mine, theirs), key=lambda head: head.size)
        if first.size == 0:
            return False
        path: tuple[bytes, ...] = ()
        if theirs.size < mine.size:
            path = await self.past(held, theirs.size, mine.size)
        elif theirs.size > mine.size:
            if ask is None:
                return False
            path = await ask(mine.size, theirs.size)
        if not _contradict(first, second, path):
            return False
        return await self.convict(peer, held.note, note, path)

    async def learn(self, raw: bytes) -> bool:
        """Take evidence that somebody passed on, if it convicts a peer; True: that was news.

        Raises: FederationError for what proves nothing.
        """
        told = read_evidence(raw)
        convicted = verify_evidence(told)
        peer = self._peering.by_id(convicted.identity.node_id)
        if peer is None or not peer.active:
            return False
        return await self.convict(peer, told.held, told.offered, told.path)

    async def convict(self, peer: Peer, held: bytes, offered: bytes, path: Sequence[bytes]) -> bool:
        """Keep evidence against a peer's present log and stop the peer, once a stranger would be convinced.

        Raises: FederationError when it proves nothing.
        """
        key = peer.identity.statement.log
        open_checkpoint(held, key.vkey)  # a log that was given up is judged by its `void` [P-26]
        chain = tuple(peer.identity.chain)
        verify_evidence(
            Evidence(v=1, kind="fork", chain=chain, held=held, offered=offered, path=tuple(path)),
            expected=peer.node_id,
        )
        await self._peering.convict(
            peer.node_id, FORKED.code, FORKED.hint, held=held, offered=offered, path=path
        )
        self._peering.changed(peer.node_id)
        logger.error("peer %s has forked its log; the evidence is kept", peer.row.name)
        return True


def log_id(origin: str) -> str:
    """How a log is named in an address: lower-case hex of SHA-256 over its origin line."""
    return sha256(origin.encode()).hexdigest()


def _contradict(first: Checkpoint, second: Checkpoint, path: tuple[bytes, ...]) -> bool:
    try:
        return contradict(first, second, path)
    except FederationError:
        return False  # a past that shows nothing


def _on(conn: Connection, held: HeldLog) -> ReadLeaves:
    return partial(held.read, conn)


def _ours(node_id: str, origin: str, head: log.Head) -> HeldLog:
    read = partial(_own_leaves, head.gen)
    return HeldLog(node_id, origin, head.gen, head.size, head.note, read)


async def _own_leaves(gen: int, conn: Connection, low: int, high: int) -> list[bytes]:
    return await log.leaf_hashes(conn, gen, low, high)
