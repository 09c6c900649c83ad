"""Who our peers are, what we hold of each, and what is wrong with whom. How one becomes a peer: `joining.py`.

The peers are few, so all of them live in memory; the database row is written first, then the memory follows. This
module is where a NodeID becomes an organisation, a key, an address and a policy.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from tocsin_federation import peering as handshake
from tocsin_federation.circle import restore_circle
from tocsin_federation.errors import AuthRefused, FederationError, IdentityRefused
from tocsin_federation.identity import Identity, refuse_borrowed_origin, verify_chain
from tocsin_federation.keys import EncKey
from tocsin_federation.messages import Audience
from tocsin_federation.node_id import node_id_of
from tocsin_federation.sharing import PeerPolicy
from tocsin_federation.statement import read_statement
from tocsin_node.services.ended_logs import dispute
from tocsin_node.services.peer import Peer
from tocsin_node.services.peer_name import NAME_MAX, check_name
from tocsin_node.services.peer_refusals import BadRequest, PeerExists, PeerUnknown
from tocsin_node.storage import circles, onward, peers, remote
from tocsin_node.storage.peers import PeerRow
from tocsin_node.storage.pool import Connection, Pool

logger = logging.getLogger(__name__)


class Peering:
    """The directory of peers."""

    def __init__(
        self,
        pool: Pool,
        us: Identity,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._us = us
        self._now = now
        # Held from before a peer's row is written until it is kept, and taken before a connection: else a row that was
        # written earlier could be kept later, and a peer that was removed be one again until the next start.
        self.turn = asyncio.Lock()
        self._peers: dict[str, Peer] = {}
        self._veiled: set[str] = set()  # NodeIDs of members of circles that hide them
        self._fetched: dict[str, tuple[int, int]] = {}
        self.strangers: dict[str, str] = {}  # NodeID → what it calls itself, of authors that were never peers
        self.changed: Callable[[str], None] = lambda _node_id: None
        # In the transaction that disputes a log: emergencies for which another call stands now, or none.
        self.on_disputed: Callable[[Connection, Sequence[str]], Awaitable[None]] = _nothing_disputed

    async def load(self) -> None:
        """Read all peers; one whose chain no longer verifies (expired) stays, marked."""
        async with self._pool.acquire() as conn:
            for row in await peers.all_peers(conn):
                self.remember(row)
            self.strangers.update(await onward.strangers(conn))
            for held in await circles.all_circles(conn):
                for circle in map(restore_circle, [held.chain, *([held.rival] if held.rival else ())]):
                    self.veil(circle.ever() if circle.hidden else ())

    # Looking up -------------------------------------------------------------------------------------

    def present(self) -> list[Peer]:
        """All peers but the removed, oldest first."""
        return [p for p in self._peers.values() if p.row.state != "removed"]

    def known(self) -> Sequence[str]:
        """NodeIDs of all peers there ever were."""
        return list(self._peers)

    def named(self, name: str) -> Peer:
        """The peer we call `name` (or whose NodeID it is). Raises: PeerUnknown."""
        for peer in self.present():
            if name in {peer.row.name, peer.node_id}:
                return peer
        raise PeerUnknown(f"There is no peer called {name!r}.")

    def by_id(self, node_id: str) -> Peer | None:
        """The present peer with that NodeID."""
        peer = self._peers.get(node_id)
        return peer if peer is not None and peer.row.state != "removed" else None

    def active(self) -> list[Peer]:
        """The peers that are approved and not stopped."""
        return [p for p in self._peers.values() if p.active]

    def statements(self, node_id: str) -> tuple[bytes, ...]:
        """The chain (DSSE) that is held of a peer, of a removed one too; empty for a node never met."""
        peer = self._peers.get(node_id)
        return () if peer is None else tuple(peer.identity.chain)

    def identity_of(self, node_id: str) -> Identity | None:
        """What is held of a peer's identity, of a removed one's too."""
        peer = self._peers.get(node_id)
        return None if peer is None else peer.identity

    def name_of(self, node_id: str) -> str:
        """What we call a node, removed or unknown ones too."""
        if node_id == self._us.node_id:
            return self._us.statement.org.name
        peer = self._peers.get(node_id)
        if peer is not None:
            return peer.row.name
        return f"{self.strangers[node_id]} (its own word)" if node_id in self.strangers else node_id

    def http_key(self, keyid: str) -> bytes | None:
        """The public key behind a request's `keyid` (`NodeID#kid`), if a present peer lists it and it is in force."""
        node_id, _, kid = keyid.partition("#")
        peer = self.by_id(node_id)
        return None if peer is None else peer.identity.http_key(kid, self._now())

    def policies(self) -> list[PeerPolicy]:
        """The policies of all present peers."""
        return [replace(p.policy, unnamed=self.unnamed(p.node_id)) for p in self.present()]

    def enc_keys(self, node_ids: Sequence[str]) -> dict[str, EncKey]:
        """The key to seal to, for each of `node_ids`: the newest in force. Raises: FederationError for want of one."""
        now = self._now()
        return {i: self._peers[i].identity.enc_key(now) for i in node_ids}

    def unnamed(self, node_id: str) -> bool:
        """Whether it is to be named to nobody else: by its policy, or as a member of a circle that hides them."""
        return node_id in self._veiled or (node_id in self._peers and self._peers[node_id].row.unnamed)

    def veil(self, node_ids: Collection[str]) -> None:
        """From now on these are named to nobody else: members of a circle that hides them (P-218)."""
        self._veiled |= set(node_ids)

    def audience(self, node_ids: Sequence[str]) -> Audience | None:
        """What the header of an entry sealed to `node_ids` says instead of their names (P-217); None: their names.

        Who is to be named to nobody else is seen by none of several; an entry of its own tells nobody anything.
        """
        hidden = len(node_ids) > 1 and any(map(self.unnamed, node_ids))
        return Audience(unnamed=True) if hidden else None

    def apart(self, node_ids: Sequence[str]) -> list[list[str]]:
        """The same nodes, each that is named to nobody else by itself: for entries that must name their readers."""
        alone = [i for i in node_ids if self.unnamed(i)]
        rest = [i for i in node_ids if i not in alone]
        return [*([i] for i in alone), *([rest] if rest else [])]

    def sealable(self, node_id: str) -> bool:
        """Whether a key of that node is in force; False once its statement has expired unrenewed."""
        try:
            self._peers[node_id].identity.enc_key(self._now())
        except FederationError:
            return False
        return True

    def refuse_taken(self, name: str, *, but: str | None = None) -> None:
        """Return when a peer may be called `name`. `but`: NodeID of the one that may be so already.

        Raises: NameUnfit, PeerExists.
        """
        check_name(name)
        for peer in self.present():
            if peer.row.name == name and peer.node_id != but:
                raise PeerExists(f"There is a peer called {name!r} already.")

    def untaken(self, name: str, node_id: str) -> str:
        """That name, or, when another peer has it, one like it."""
        taken = {p.row.name for p in self.present() if p.node_id != node_id}
        return name if name not in taken else f"{name[: NAME_MAX - 9]} {node_id[:8]}"

    # What is wrong, and what is new -------------------------------------------------------------------

    async def remove(self, name: str) -> None:
        """Take a peer out: nothing goes to it or comes from it any more. What it sent stays. Raises: PeerUnknown."""
        peer = self.named(name)
        async with self.turn:
            async with self._pool.acquire() as conn:
                await peers.remove(conn, peer.node_id)
                rows = await peers.all_peers(conn)
            self.keep(next(row for row in rows if row.node_id == peer.node_id))

    async def note_problem(self, node_id: str, code: str, hint: str, *, suspect: bool = False) -> None:
        """Keep what is wrong with a peer, for `peer status`; `suspect` also stops it until a person resumes it."""
        peer = self._peers[node_id]
        if not suspect and (peer.row.problem_code, peer.row.problem_hint) == (code, hint):
            return
        logger.warning("peer %s: %s (%s)", peer.row.name, code, hint)
        async with self.turn:
            async with self._pool.acquire() as conn:
                row = await peers.set_problem(conn, node_id, code, hint, suspect=suspect)
            self.remember(row)

    async def convict(
        self, node_id: str, code: str, hint: str, *, held: bytes, offered: bytes, path: Sequence[bytes]
    ) -> None:
        """Keep two heads of a peer's log that contradict each other, and stop the peer: in one transaction."""
        async with self.turn:
            async with self._pool.acquire() as conn, conn.transaction():
                await remote.keep_evidence(
                    conn, node_id, code, held=held, offered=offered, path=b"".join(path)
                )
                row = await peers.set_problem(conn, node_id, code, hint, suspect=True)
            logger.warning("peer %s: %s (%s)", row.name, code, hint)
            self.remember(row)

    async def note_fetched(self, node_id: str, gen: int, next_index: int) -> None:
        """The peer has dealt with every entry of that generation of our log below `next_index`."""
        row, reached = self._peers[node_id].row, (gen, next_index)
        if reached > self._fetched.get(node_id, (row.fetched_gen, row.fetched_next)):
            async with self._pool.acquire() as conn:
                await peers.note_fetched(conn, node_id, gen, next_index)
            self._fetched[node_id] = reached

    async def note_contact(
        self, node_id: str, *, clock_skew_s: float | None = None, well: bool = False
    ) -> None:
        """The peer was heard; `well`: and what it said was in order, so an old problem is over."""
        async with self._pool.acquire() as conn:
            await peers.note_contact(conn, node_id, clock_skew_s=clock_skew_s)
        if well and self._peers[node_id].row.problem_code is not None:
            async with self.turn:
                async with self._pool.acquire() as conn:
                    row = await peers.clear_problem(conn, node_id, resume=False)
                self.remember(row)

    async def resume(self, name: str) -> Peer:
        """A person has looked: a suspect peer is tried again. Raises: PeerUnknown."""
        peer = self.named(name)
        async with self.turn:
            async with self._pool.acquire() as conn:
                row = await peers.clear_problem(conn, peer.node_id, resume=True)
            return self.keep(row)

    def recognise(self, chain: Sequence[bytes]) -> Identity:
        """The identity that `chain` proves, when it is a present peer's and continues what we hold of it.

        Raises: AuthRefused `key-unknown` for a stranger's, FederationError when it does not verify.
        """
        if not chain:
            raise BadRequest("The statement chain is empty.")
        peer = self.by_id(node_id_of(read_statement(chain[0]).payload))
        if peer is None:
            raise AuthRefused("key-unknown")
        return verify_chain(chain, expected=peer.node_id, now=self._now(), known=peer.identity)

    def refuse_borrowed(self, theirs: Identity) -> None:
        """Return when no log of that node has the name of ours or a peer's. Raises: IdentityRefused `origin-taken`."""
        try:
            refuse_borrowed_origin(theirs, [self._us, *(peer.identity for peer in self.present())])
        except IdentityRefused:
            logger.warning("%s names its log as another node here does: not taken", theirs.node_id)
            raise

    async def learn_chain(self, node_id: str, chain: list[bytes]) -> Peer:
        """Take a longer statement chain of a peer (new keys, new address); the one we hold must be its start.

        Raises: FederationError when it does not verify or contradicts what we hold.
        """
        peer = self._peers[node_id]
        if list(peer.identity.chain) == chain:
            return peer
        identity = verify_chain(chain, expected=node_id, now=self._now(), known=peer.identity)
        self.refuse_borrowed(identity)
        if len(identity.chain) <= len(peer.identity.chain):
            return peer
        async with self.turn:
            async with self._pool.transaction() as conn:
                row = await peers.set_chain(conn, node_id, identity.chain, identity.statement.urls[0])
                await self.on_disputed(conn, await dispute(conn, identity))
            if row is None:
                return self._peers[node_id]
            logger.info("peer %s: statement %d is in force", row.name, len(chain) - 1)
            if identity.statement.org != peer.identity.statement.org:
                was, now = peer.org, identity.statement.org.name
                logger.warning("peer %s calls itself %r now, and not %r any more", row.name, now, was)
            return self.keep(row)

    async def rows(self) -> dict[str, PeerRow]:
        """The rows as they stand in the database now (contact times and fetch positions change often)."""
        async with self._pool.acquire() as conn:
            return {row.node_id: row for row in await peers.all_peers(conn)}

    def keep(self, row: PeerRow) -> Peer:
        """Go by what was written of a peer; whoever follows it is told."""
        peer = self.remember(row)
        self.changed(row.node_id)
        return peer

    def remember(self, row: PeerRow) -> Peer:
        """The same, of what nobody who follows it needs to be told."""
        identity = verify_chain(row.chain, expected=row.node_id, now=None)
        sas = handshake.sas_words(self._us.node_id, row.node_id, row.our_nonce, row.their_nonce)
        peer = self._peers[row.node_id] = Peer(row, identity, sas)
        return peer


async def _nothing_disputed(conn: Connection, others: Sequence[str]) -> None:
    """Nobody rings here."""
