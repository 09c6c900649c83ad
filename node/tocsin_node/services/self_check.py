"""The check at the start: nothing is signed before it is known that our log is the longest that others hold of it.

A node that was restored from a backup would sign a second past of its own log, and nobody could tell it from a liar. So
after a start it asks its peers for the largest head of its log that they hold. If one is larger, the node was restored:
it fetches the hashes of what it lost from whoever has them and goes on from there. If what is held contradicts our own,
it waits and says so. Peers cannot invent a head: it carries our own signature.

A node that knows that it wrote last was not restored: the machine's memory says so, or it has signed since it was sure.
Then a longer log is somebody else's work, with its key. It takes none of that for its own, and waits for a person.

How long silent peers are waited for depends on the notes outside the database (`continuity`): not at all when this
machine wrote it last, `restore_check_s` when the node's directory knows of nothing longer, else until they answer.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Literal

from tocsin_federation.checkpoint import Checkpoint, open_checkpoint
from tocsin_federation.errors import FederationError, LogBroken
from tocsin_federation.following import grow, new_leaves, tiles
from tocsin_federation.identity import Identity
from tocsin_node.continuity import Continuity
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.services.gossip import Gossip
from tocsin_node.services.heads import Heads, log_id
from tocsin_node.services.ledger import Ledger, Unconfirmed
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.storage import log, witness
from tocsin_node.storage.pool import Pool

AGAIN_S = 10.0
ANSWER_S = 10.0
PATIENCE_S = 600.0
State = Literal["checking", "confirmed", "unreachable", "restored", "elsewhere", "contradicted"]
logger = logging.getLogger(__name__)

HINTS: dict[str, str] = {
    "checking": "Peers are asked how long our log is; it takes a moment.",
    "unasked": "No peer could be asked yet how long our log is. What is filed is signed, for nothing here speaks of a "
    "restore. If this machine was put back from a backup as a whole, stop the node until a peer can be reached.",
    "unreachable": "Not all peers could be asked yet how long our log is, so nothing is signed. It goes on by itself "
    "when they answer, or after ten minutes if most did. If this is surely the newest database: "
    "`tocsin node confirm --by YOUR-NAME`.",
    "restored": "This database is older than what was signed with its log's key: it comes from a backup. Nothing is "
    "signed; what is missing is fetched from the peers that hold it. Bring the newer database, or wait for them.",
    "elsewhere": "Peers hold entries that are signed with our log's key and that this node did not write. Nothing is "
    "signed. If it ran nowhere else, the key is stolen: stop the node, then `tocsin key recover DIR --stolen log` "
    "(node/RECOVERY.md). If it did, or the machine was put back with its memory: `tocsin node confirm --by YOUR-NAME "
    "--take-back`.",
    "contradicted": "Peers hold another past of our log than this database. Nothing is signed. Bring the database that "
    "wrote it, or begin a new generation of the log: `tocsin key recover DIR --restored`, or `--stolen log` if this is "
    "the newest database and somebody else has the key (node/RECOVERY.md).",
}


class Restored(Unconfirmed):
    """This database is older than what was signed with its log's key, so nothing is signed."""

    code = "log-restored"
    hint = HINTS["restored"]


class Elsewhere(Unconfirmed):
    """Somebody else signs with our log's key, so nothing is signed."""

    code = "log-elsewhere"
    hint = HINTS["elsewhere"]


class Contradicted(Unconfirmed):
    """Peers hold another past of our log than this database, so nothing is signed."""

    code = "log-contradicted"
    hint = HINTS["contradicted"]


class SelfCheck:
    """Holds the ledger's pen back until our log is known to be whole. Start `run()` once."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        ledger: Ledger,
        heads: Heads,
        gossip: Gossip,
        client: PeerClient,
        identity: Identity,
        continuity: Continuity,
        *,
        restore_check_s: float,
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._ledger = ledger
        self._heads = heads
        self._gossip = gossip
        self._client = client
        self._identity = identity
        self._continuity = continuity
        self._nudged = asyncio.Event()
        self._answered: set[str] = set()  # since the start: what they hold of us grows only by what we sign
        self._restore_check_s = restore_check_s
        self._over_s = math.inf  # by the loop's clock: silent peers are waited for no longer
        self._unasked = False  # the wait was over, and nobody had answered
        self._vouched: str | None = None  # who says that what is taken back is ours
        self._wrote_last = (
            False  # nothing that is signed with our key is unknown to this database, but for a theft
        )
        self._began_s = asyncio.get_running_loop().time()
        self.state: State = "checking"
        self.lost = 0  # entries of which the check fetched no more than the hash
        self.on_lost: Callable[[], None] = lambda: None  # entries came back by their hashes alone
        self.on_sure: Callable[[], None] = lambda: None  # it is known how long our log is
        self.on_longer: Callable[[], None] = lambda: None  # our log is longer, and signed
        gossip.on_own = self._heard

    def begin(self) -> None:
        """Decide at the start whether the pen must be held; before anything can be signed."""
        head = self._ledger.head
        found = self._continuity.found(head.gen, head.size)
        self._ledger.on_head = self._grown
        self._wrote_last = found == "same"
        if found == "same" or not self._peering.active():
            self._confirmed()
        else:
            self._set("restored" if found == "older" else "checking")
            if found == "likely":
                self._over_s = self._began_s + self._restore_check_s
                self._let_go()

    async def run(self) -> None:
        """Ask the peers until our log is known to be whole; then hear what gossip says of it, until cancelled."""
        await self._look()  # in any case: whoever kept the notes may still have changed the database
        while True:
            settled = self.state == "confirmed" and not self._unasked
            try:
                async with asyncio.timeout(None if settled else min(AGAIN_S, self._left_s())):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            self._nudged.clear()
            self._let_go()
            await self._look()

    def nudge(self) -> None:
        """Ask the peers now."""
        self._nudged.set()

    async def confirm(self, by: str, *, take_back: bool = False) -> None:
        """A named person says that this is the newest database; `take_back`: that a longer log of it is ours, too.

        Raises: Restored, Elsewhere or Contradicted when it is known not to be.
        """
        if self.state == "elsewhere" and take_back:
            async with self._pool.acquire() as conn:
                await witness.confirm(conn, by, self._ledger.head.size)
            self._wrote_last, self._vouched = False, by
            self._set("restored")
            self.nudge()
            return
        if self.state in REASONS:
            raise REASONS[self.state]
        async with self._pool.acquire() as conn:
            if self.state == "confirmed" and all(b.confirmed for b in await log.came_back(conn)):
                return
            await witness.confirm(conn, by, self._ledger.head.size)
        logger.warning("%s has confirmed our log at %d entries", by, self._ledger.head.size)
        self._confirmed()

    async def health(self) -> Check:
        """Whether the log may be written."""
        match self.state:
            case "confirmed" if self._unasked and self._peering.active():
                return Check("log", "degraded", "log-unasked", HINTS["unasked"])
            case "confirmed" | "checking":
                return Check("log")
            case "unreachable":
                return Check("log", "down", "log-unconfirmed", HINTS[self.state])
            case "restored" | "elsewhere" | "contradicted":
                return Check("log", "down", f"log-{self.state}", HINTS[self.state])

    async def health_back(self) -> Check:
        """Whether entries of our log came back from peers, and nobody has said yet that they are ours."""
        gen = self._ledger.head.gen
        async with self._pool.acquire() as conn:
            back = [b for b in await log.came_back(conn) if b.gen == gen and not b.confirmed]
        if not back:
            return Check("log-back")
        count = sum(each.stop - each.start for each in back)
        hint = (
            f"{'An entry' if count == 1 else f'{count} entries'} of our log came back from peers, "
            f"{back[-1].at:%Y-%m-%d %H:%M} UTC. If a backup had been put back, all is well: `tocsin node confirm --by "
            "YOUR-NAME`. If not, somebody else has the log's key: stop the node, node/RECOVERY.md."
        )
        return Check("log-back", "degraded", "log-came-back", hint, count=count)

    # ------------------------------------------------------------------------------------------------------

    def _heard(self, _peer: Peer, head: Checkpoint, _note: bytes) -> None:
        """Gossip told a head of ours: if we do not know of it, look closer at once."""
        if head.size > self._ledger.head.size:
            self._set("elsewhere" if self._wrote_last else "restored")
            self._nudged.set()
        elif any(p.node_id not in self._answered for p in self._peering.active()):
            self._nudged.set()  # who was silent at the start may hold another past

    async def _look(self) -> None:
        if self.state == "elsewhere":
            return  # that whoever shows it is away does not undo it
        origin = self._identity.statement.log.origin
        peers = self._peering.active()
        answers = await asyncio.gather(*(self._head_at(peer, origin) for peer in peers))
        told = [
            (head, note, peer)
            for found, peer in zip(answers, peers, strict=True)
            for head, note in found or ()
        ]
        if any([await self._contradicts(head) for head, _, _ in told]):
            self._set("contradicted")
            return
        larger = [each for each in told if each[0].size > self._ledger.head.size]
        if larger and self._wrote_last:
            self._set("elsewhere")
            return
        if larger:
            self._set("restored")
            await self._recover(sorted(larger, key=lambda each: -each[0].size))
            return
        self._answered |= {p.node_id for p, found in zip(peers, answers, strict=True) if found is not None}
        self._unasked = self._unasked and not self._answered
        if self.state == "confirmed" or self._heard_enough(peers):
            self._confirmed()
        elif self.state != "restored":  # known from the machine's memory: who was not asked may hold more
            self._set("unreachable")
            self._let_go()

    def _let_go(self) -> None:
        """Sign again once silent peers were waited for long enough, if nothing speaks of a restore."""
        if self.state not in {"checking", "unreachable"} or self._left_s() > 0:
            return
        self._unasked = not self._answered
        if self._unasked:
            logger.warning("log-unasked: %s", HINTS["unasked"])
        self._confirmed()

    def _left_s(self) -> float:
        """How long silent peers are still waited for; infinite: until they answer, and 0 when it is over."""
        left_s = max(0.0, self._over_s - asyncio.get_running_loop().time())
        return left_s if self.state in {"checking", "unreachable"} else math.inf

    def _heard_enough(self, peers: Sequence[Peer]) -> bool:
        """All of them, or, after a while, most; not for a log that is known to have been longer."""
        silent = [p for p in peers if p.node_id not in self._answered]
        if not silent:
            return True
        waited_s = asyncio.get_running_loop().time() - self._began_s
        return self.state != "restored" and waited_s > PATIENCE_S and 2 * len(silent) < len(peers)

    async def _head_at(self, peer: Peer, origin: str) -> list[tuple[Checkpoint, bytes]] | None:
        """The heads of our log that a peer holds; None: it could not be asked."""
        try:
            async with asyncio.timeout(min(ANSWER_S, self._left_s() or ANSWER_S)):
                answer = await self._gossip.asked(peer, [origin])
        except (NodeError, TimeoutError) as exc:
            logger.info("peer %s could not be asked how long our log is: %r", peer.row.name, exc)
            return None
        except FederationError:
            return []
        found = []
        for note in answer.heads:
            try:
                found.append((open_checkpoint(note, self._identity.statement.log.vkey), note))
            except FederationError as exc:
                logger.info("peer %s holds a head that is none of ours: %s", peer.row.name, exc.code)
        return found

    async def _contradicts(self, head: Checkpoint) -> bool:
        """Whether a head that we signed has another past than our database, as far as that reaches."""
        held = self._heads.own()
        if head.size > held.size:
            return False
        async with self._pool.acquire() as conn:
            root = await self._heads.root(conn, held, head.size)
        return root != head.root

    async def _recover(self, larger: list[tuple[Checkpoint, bytes, Peer]]) -> None:
        """Fetch the hashes that are missing from the first peer that has them all, and go on from there."""
        refused = 0
        for head, note, peer in larger:
            try:
                leaves = await self._leaves(peer, head)
                before = self._ledger.head
                frontier = await asyncio.to_thread(grow, before.frontier, leaves, head)
                await self._ledger.adopt(before, head, frontier, note, leaves)
                if self._vouched is not None:
                    async with self._pool.acquire() as conn:
                        await witness.confirm(conn, self._vouched, head.size)
            except LogBroken:
                refused += 1
            except (NodeError, FederationError) as exc:
                logger.info("peer %s could not give back our log: %s", peer.row.name, exc)
            else:
                self.lost += len(leaves)
                self.on_lost()
                logger.warning(
                    "our log was restored to %d entries with the help of %s; %d of them are known by hash alone",
                    head.size, peer.row.name, len(leaves),
                )  # fmt: skip
                self._confirmed()
                return
        if refused == len(larger):
            self._set("contradicted")

    async def _leaves(self, peer: Peer, head: Checkpoint) -> list[bytes]:
        name, leaves = log_id(head.origin), []
        for tile in tiles(self._ledger.head.size, head):
            body = await self._client.tile(peer.row.url, peer.node_id, name, tile.index, tile.width)
            leaves += new_leaves(tile, body)
        return leaves

    def _grown(self, head: log.Head) -> None:
        if self.state == "confirmed" and not self._unasked:
            self._wrote_last = True  # what others hold beyond this was signed after it
        self._continuity.note(head.gen, head.size)
        self.on_longer()

    def _confirmed(self) -> None:
        news = self.state != "confirmed"
        self.state = "confirmed"
        head = self._ledger.head
        self._continuity.note(head.gen, head.size)
        self._ledger.release()
        if news:
            self.on_sure()

    def _set(self, state: State) -> None:
        if state != self.state:
            logger.warning("our log is not written: %s", HINTS[state])
        self.state = state
        self._ledger.hold(REASONS.get(state, Unconfirmed)(hint=HINTS[state]))


REASONS: dict[str, type[Unconfirmed]] = {
    "restored": Restored,
    "elsewhere": Elsewhere,
    "contradicted": Contradicted,
}
