"""Who our peers are: invites, joining, the two approvals, and what is wrong with whom.

The peers are few, so all of them live in memory; the database row is written first, then the memory follows. This
module is where a NodeID becomes an organisation, a key, an address and a policy.
"""

import base64
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tocsin_federation import peering as handshake
from tocsin_federation.circle import restore_circle
from tocsin_federation.errors import AuthRefused, FederationError
from tocsin_federation.identity import Identity, verify_chain
from tocsin_federation.keys import EncKey
from tocsin_federation.messages import Audience
from tocsin_federation.node_id import node_id_of
from tocsin_federation.sharing import PeerPolicy
from tocsin_federation.statement import read_statement
from tocsin_node.errors import NodeError
from tocsin_node.expiry import stage_of
from tocsin_node.health import Check
from tocsin_node.links.peer_client import PeerClient, PeerRefusal, PeerUnreachable, parse_chain
from tocsin_node.services.ended_logs import dispute
from tocsin_node.services.peer_name import NAME_MAX, NameUnfit, check_name, suggested
from tocsin_node.storage import circles, onward, peers, remote
from tocsin_node.storage.peers import PeerRow
from tocsin_node.storage.pool import Pool
from tocsin_schema.marking import Tlp

UNVERIFIED_CEILING = Tlp.GREEN
DEFAULT_CEILING = Tlp.AMBER
WARN_OF_PEERS_DAYS = 7  # before that it is their own operators' business
SILENT_S = 3600.0
logger = logging.getLogger(__name__)


class PeerUnknown(NodeError):
    """There is no peer of that name."""

    code = "peer-unknown"
    hint = "`tocsin peer list` shows the names."


class PeerExists(NodeError):
    """That node or that name is a peer already."""

    code = "peer-exists"
    hint = "Choose another name, or remove the old peer first: `tocsin peer remove NAME`."


class InviteRefused(NodeError):
    """The invite is not valid here: unknown, expired or used."""

    code = "invite-refused"
    hint = "Ask for a new invite; each works once and for at most 7 days."


class JoinRefused(NodeError):
    """The invite or whoever answers at its address is not in order."""

    code = "join-refused"
    hint = "Ask for a new invite."


class SasMismatch(NodeError):
    """The eight words do not match."""

    code = "sas-mismatch"
    hint = "Compare by voice again. If they truly differ, somebody sits between you: remove the peer and tell them."


class BadRequest(NodeError):
    """The request does not fit."""

    code = "bad-request"
    hint = "See PROTOCOL.md for the form of this message."


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: its row, and what its statements prove. `sas`: the eight words both operators compare."""

    row: PeerRow
    identity: Identity
    sas: tuple[str, ...]

    @property
    def node_id(self) -> str:
        """Its NodeID."""
        return self.row.node_id

    @property
    def active(self) -> bool:
        """Approved by us and not stopped."""
        return self.row.state == "active"

    @property
    def org(self) -> str:
        """The organisation's name as its statement claims it."""
        return self.identity.statement.org.name

    @property
    def called(self) -> str:
        """What people here call it; what it calls itself is added where that differs: anybody may claim a name."""
        return self.row.name if self.row.name == self.org else f"{self.row.name} (it says: {self.org})"

    @property
    def former_orgs(self) -> list[str]:
        """The names that its earlier statements claimed, oldest first, other than today's."""
        names = [statement.org.name for statement in self.identity.statements]
        return [name for name in dict.fromkeys(names) if name != self.org]

    @property
    def policy(self) -> PeerPolicy:
        """What may go to and come from this peer."""
        return PeerPolicy(
            node_id=self.row.node_id,
            name=self.row.name,
            max_tlp_out=Tlp(self.row.max_tlp_out),
            max_tlp_in=Tlp(self.row.max_tlp_in),
            active=self.active,
            relay=self.row.relay,
            onward=self.row.onward,
            client=self.row.client,
            unnamed=self.row.unnamed,
        )


def refuse_uncompared(out: Tlp, in_: Tlp, *, verified: bool) -> None:
    """Return when these ceilings may stand for a peer whose words were, or were not, compared. Raises: BadRequest."""
    if not verified and max(out.rank, in_.rank) > UNVERIFIED_CEILING.rank:
        raise BadRequest(
            "Above TLP:GREEN the eight words must have been compared.",
            hint="Compare them by voice: `tocsin peer approve NAME` shows them.",
        )


class Peering:
    """The directory of peers and the handshake that fills it."""

    def __init__(
        self,
        pool: Pool,
        client: PeerClient,
        us: Identity,
        *,
        http_private: bytes,
        url: str,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
        silent_s: float = SILENT_S,
    ) -> None:
        self._pool = pool
        self._client = client
        self._silent_after = timedelta(seconds=silent_s)
        self._us = us
        self._http_private = http_private
        self._url = url
        self._now = now
        self._rng = rng
        self._peers: dict[str, Peer] = {}
        self._veiled: set[str] = set()  # NodeIDs of members of circles that hide them
        self._fetched: dict[str, tuple[int, int]] = {}
        self.strangers: dict[str, str] = {}  # NodeID → what it calls itself, of authors that were never peers
        self.changed: Callable[[str], None] = lambda _node_id: None

    async def load(self) -> None:
        """Read all peers; one whose chain no longer verifies (expired) stays, marked."""
        async with self._pool.acquire() as conn:
            for row in await peers.all_peers(conn):
                self._remember(row)
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

    # The handshake ----------------------------------------------------------------------------------

    async def invite(self, name: str, ttl: timedelta) -> tuple[str, datetime]:
        """Make a single-use invite for whoever we will call `name`; returns its text and its end.

        Raises: PeerExists, NameUnfit, BadRequest (the time to live is over 7 days).
        """
        self._free(name)
        try:
            text, record = handshake.mint_invite(
                self._us.node_id, self._url, now=self._now(), ttl=ttl, rng=self._rng
            )
        except FederationError as exc:
            raise BadRequest(str(exc), code=exc.code, hint=exc.hint) from exc
        async with self._pool.acquire() as conn:
            await peers.add_invite(conn, record, name)
        return text, record.expires_at

    async def join(self, invite_text: str, name: str | None) -> Peer:
        """Take up an invite: fetch the inviter's chain, prove that we hold the secret, keep the pending peer.

        Raises: JoinRefused (the invite, who answers there, their no), PeerUnreachable, PeerRefusal, PeerExists,
        NameUnfit (also for the name that they claim, when none is given); the invite is not spent when this node
        could not keep the peer.
        """
        try:
            invite = handshake.parse_invite(invite_text, now=self._now())
            theirs = self._verified(await self._client.chain(invite.url), expected=invite.node_id)
        except FederationError as exc:
            raise JoinRefused(str(exc), code=exc.code, hint=exc.hint) from exc
        if theirs.node_id == self._us.node_id:
            raise JoinRefused("The invite is this node's own.", hint="Give it to the other organisation.")
        standing = self.by_id(theirs.node_id)
        if standing is not None and standing.row.state != "pending":
            raise PeerExists(f"That node is a peer already, as {standing.row.name!r}.")
        if name is None:
            name = _claimed_name(theirs)
        self._free(name, but=theirs.node_id)
        nonce = handshake.join_nonce(self._http_private, invite.id)
        mac = handshake.join_mac(invite.mac_key, invite.node_id, self._us.node_id, nonce)
        message = {
            "invite": _b64(invite.id),
            "chain": [_b64(s) for s in self._us.chain],
            "nonce": _b64(nonce),
            "mac": _b64(mac),
        }
        try:
            answer = await self._client.post(invite.url, invite.node_id, "/f1/peer/join", message)
        except PeerRefusal as exc:
            raise JoinRefused(f"The other node refused: {exc.said}.", hint=exc.hint) from exc
        their_nonce = _field(answer, "nonce")
        try:
            handshake.check_answer_mac(_field(answer, "mac"), invite, self._us.node_id, nonce, their_nonce)
        except FederationError as exc:
            raise JoinRefused(str(exc), code=exc.code, hint=exc.hint) from exc
        return await self._keep(theirs, name, invite.url, nonce, their_nonce)

    async def invite_named(self, message: Mapping[str, Any]) -> bytes:
        """The id of the invite of ours that a join names; a stranger cannot name one, and is not worth more work.

        Raises: InviteRefused, BadRequest.
        """
        invite_id = _field(message, "invite")
        async with self._pool.acquire() as conn:
            invite = await peers.invite(conn, invite_id)
        if invite is None or invite.expires_at <= self._now():
            raise InviteRefused
        return invite_id

    async def accept(
        self, message: Mapping[str, Any], caller_key: Callable[[Identity], None]
    ) -> dict[str, str]:
        """The inviter's half: check chain, invite and proof, keep the pending peer, answer with our proof.

        `caller_key` checks the request's signature against the chain just verified. Raises: InviteRefused and
        FederationError; outward all of them look alike (PROTOCOL.md, peering).
        """
        invite_id, nonce, mac = _field(message, "invite"), _field(message, "nonce"), _field(message, "mac")
        theirs = self._verified(chain_of(message))
        caller_key(theirs)
        if theirs.node_id == self._us.node_id:
            raise InviteRefused("A node cannot join itself.")
        async with self._pool.transaction() as conn:
            invite = await peers.invite(conn, invite_id)
            if invite is None or invite.expires_at <= self._now():
                raise InviteRefused
            handshake.check_join_mac(mac, invite.mac_key, self._us.node_id, theirs.node_id, nonce)
            if invite.used_by is not None and (invite.used_by, invite.used_nonce) != (theirs.node_id, nonce):
                raise InviteRefused
            row = None
            if invite.used_by is None:
                await peers.use_invite(conn, invite_id, theirs.node_id, nonce)
                row = await peers.add(
                    conn,
                    node_id=theirs.node_id,
                    name=self._unique(invite.name, theirs.node_id),
                    chain=theirs.chain,
                    url=theirs.statement.urls[0],
                    our_nonce=invite.nonce,
                    their_nonce=nonce,
                    invited=True,
                )
            if row is None and (invite.used_by is None or self.by_id(theirs.node_id) is None):
                raise InviteRefused  # approved by another invite, or removed since: a spent one opens nothing again
        if row is not None:
            self._remember(row)
        answer = handshake.answer_mac(invite.mac_key, self._us.node_id, theirs.node_id, nonce, invite.nonce)
        return {"nonce": _b64(invite.nonce), "mac": _b64(answer)}

    async def approve(
        self, name: str, *, sas: str | None, unverified: bool, out: Tlp | None, in_: Tlp | None
    ) -> Peer:
        """Our operator's yes. `sas`: the eight words as compared by voice; `unverified`: none, so GREEN at most.

        Raises: PeerUnknown, SasMismatch, BadRequest (neither of the two, or a ceiling above GREEN uncompared).
        """
        peer = self.named(name)
        verified = peer.row.sas_verified
        if sas is None and not unverified and not verified:
            raise BadRequest(
                "The eight words have not been compared.",
                hint="Compare them by voice and give them (--words), or say --unverified: then TLP:GREEN at most.",
            )
        if sas is not None:
            if sas.lower().replace("-", " ").split() != list(peer.sas):
                raise SasMismatch
            verified = True
        ceiling = DEFAULT_CEILING if verified else UNVERIFIED_CEILING
        if peer.row.approved_at is None or verified != peer.row.sas_verified:
            out, in_ = out or ceiling, in_ or ceiling
        else:  # approved before on the same ground: what is not said stays as it is
            out, in_ = out or peer.policy.max_tlp_out, in_ or peer.policy.max_tlp_in
        refuse_uncompared(out, in_, verified=verified)
        async with self._pool.acquire() as conn:
            row = await peers.approve(conn, peer.node_id, sas_verified=verified, out=out.value, in_=in_.value)
        return self.keep(row)

    async def remove(self, name: str) -> None:
        """Take a peer out: nothing goes to it or comes from it any more. What it sent stays. Raises: PeerUnknown."""
        peer = self.named(name)
        async with self._pool.acquire() as conn:
            await peers.remove(conn, peer.node_id)
            rows = await peers.all_peers(conn)
        self.keep(next(row for row in rows if row.node_id == peer.node_id))

    # What is wrong, and what is new -------------------------------------------------------------------

    async def note_problem(self, node_id: str, code: str, hint: str, *, suspect: bool = False) -> None:
        """Keep what is wrong with a peer, for `peer status`; `suspect` also stops it until a person resumes it."""
        peer = self._peers[node_id]
        if not suspect and (peer.row.problem_code, peer.row.problem_hint) == (code, hint):
            return
        logger.warning("peer %s: %s (%s)", peer.row.name, code, hint)
        async with self._pool.acquire() as conn:
            row = await peers.set_problem(conn, node_id, code, hint, suspect=suspect)
        self._remember(row)

    async def convict(
        self, node_id: str, code: str, hint: str, *, held: bytes, offered: bytes, path: Sequence[bytes]
    ) -> None:
        """Keep two heads of a peer's log that contradict each other, and stop the peer: in one transaction."""
        async with self._pool.acquire() as conn, conn.transaction():
            await remote.keep_evidence(conn, node_id, code, held=held, offered=offered, path=b"".join(path))
            row = await peers.set_problem(conn, node_id, code, hint, suspect=True)
        logger.warning("peer %s: %s (%s)", row.name, code, hint)
        self._remember(row)

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
                self._remember(await peers.clear_problem(conn, node_id, resume=False))

    async def resume(self, name: str) -> Peer:
        """A person has looked: a suspect peer is tried again. Raises: PeerUnknown."""
        peer = self.named(name)
        async with self._pool.acquire() as conn:
            return self.keep(await peers.clear_problem(conn, peer.node_id, resume=True))

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

    async def learn_chain(self, node_id: str, chain: list[bytes]) -> Peer:
        """Take a longer statement chain of a peer (new keys, new address); the one we hold must be its start.

        Raises: FederationError when it does not verify or contradicts what we hold.
        """
        peer = self._peers[node_id]
        if list(peer.identity.chain) == chain:
            return peer
        identity = verify_chain(chain, expected=node_id, now=self._now(), known=peer.identity)
        if len(identity.chain) <= len(peer.identity.chain):
            return peer
        async with self._pool.transaction() as conn:
            row = await peers.set_chain(conn, node_id, identity.chain, identity.statement.urls[0])
            await dispute(conn, identity)
        if row is None or len(row.chain) < len(self._peers[node_id].row.chain):
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

    async def health(self) -> Check:
        """Whether any peer needs a person. Anybody may read it: neither which peers nor how many."""
        if any(p.row.state == "suspect" for p in self.present()):
            hint = "A peer was stopped: `tocsin peer status` says which, why and what to do."
            return Check("peers", "degraded", "peer-suspect", hint)
        if any(p.active and p.row.problem_code is not None for p in self.present()):
            hint = "A peer cannot be followed at the moment: `tocsin peer status` says which and why."
            return Check("peers", "degraded", "peer-trouble", hint)
        ending = [self._ending(p) for p in self.present() if p.active]
        soonest = min((stage for stage in ending if stage is not None), default=None)
        if soonest is not None:
            hint = (
                "A peer's statement ends soon, and then nothing goes to it: `tocsin peer status` says whose."
            )
            return Check("peers", "degraded", "peer-expiring", hint, mark=soonest)
        rows = await self.rows()
        if any(self.silent(rows[p.node_id]) for p in self.present() if p.node_id in rows):
            hint = (
                "A peer was not heard of for long: `tocsin peer list` says which. Ask there by another way."
            )
            return Check("peers", "degraded", "peer-silent", hint)
        async with self._pool.acquire() as conn:
            not_taken = await remote.not_taken_in_a_day(conn)
        if not_taken:
            hint = "Entries of peers were not taken in the last 24 hours: `tocsin peer status` says which and why."
            return Check("peers", "degraded", "entries-refused", hint)
        return Check("peers")

    def silent(self, row: PeerRow) -> bool:
        """Whether an active peer was not heard of for long; its answers to our questions are the sign of life."""
        heard_at = row.last_contact_at or row.approved_at or row.added_at
        return row.state == "active" and self._now() - heard_at > self._silent_after

    async def watch(self) -> list[Check]:
        """Each peer that the operators should know of, by our name for it; not for everybody, unlike `health`."""
        rows = await self.rows()
        checks = []
        for peer in self.present():
            row, name = rows.get(peer.node_id, peer.row), f"peer {peer.row.name}"
            if row.state == "suspect":
                hint = f"It was stopped: `tocsin peer status {row.name}` says why and what to do."
                checks.append(Check(name, "down", "peer-suspect", hint))
            elif self.silent(row):
                hint = "It was not heard of for long, and may not be able to alert. Ask there by another way."
                checks.append(Check(name, "degraded", "peer-silent", hint))
            elif peer.active and (ending := self._ending(peer)) is not None:
                hint = "Its statement ends soon; then nothing goes to it. Remind its operator of `tocsin key rotate`."
                checks.append(Check(name, "degraded", "peer-expiring", hint, mark=ending))
        return checks

    def _ending(self, peer: Peer) -> int | None:
        """The stage that the end of a peer's statement has come to, when that is near enough to tell."""
        stage = stage_of(peer.identity.statement.expires_at - self._now())
        return stage if stage is not None and stage <= WARN_OF_PEERS_DAYS else None

    async def forget_old_invites(self) -> None:
        """Housekeeping."""
        async with self._pool.acquire() as conn:
            await peers.drop_old_invites(conn)

    # -------------------------------------------------------------------------------------------------

    def _verified(self, chain: list[bytes], *, expected: str | None = None) -> Identity:
        """Whose chain this is. What was ever held of that node must be its beginning (P-22), a removed one's too."""
        theirs = verify_chain(chain, expected=expected, now=self._now())
        held = self._peers.get(theirs.node_id)
        if held is not None:
            theirs = verify_chain(chain, expected=expected, now=self._now(), known=held.identity)
        return theirs

    async def _keep(
        self, theirs: Identity, name: str, url: str, our_nonce: bytes, their_nonce: bytes
    ) -> Peer:
        async with self._pool.acquire() as conn:
            row = await peers.add(
                conn,
                node_id=theirs.node_id,
                name=name,
                chain=theirs.chain,
                url=url,
                our_nonce=our_nonce,
                their_nonce=their_nonce,
                invited=False,
            )
        if row is None:
            raise PeerExists
        return self.keep(row)

    def keep(self, row: PeerRow) -> Peer:
        """Go by what was written of a peer; whoever follows it is told."""
        peer = self._remember(row)
        self.changed(row.node_id)
        return peer

    def _remember(self, row: PeerRow) -> Peer:
        identity = verify_chain(row.chain, expected=row.node_id, now=None)
        sas = handshake.sas_words(self._us.node_id, row.node_id, row.our_nonce, row.their_nonce)
        peer = self._peers[row.node_id] = Peer(row, identity, sas)
        return peer

    def _free(self, name: str, *, but: str | None = None) -> None:
        check_name(name)
        for peer in self.present():
            if peer.row.name == name and peer.node_id != but:
                raise PeerExists(f"There is a peer called {name!r} already.")

    def _unique(self, name: str, node_id: str) -> str:
        taken = {p.row.name for p in self.present() if p.node_id != node_id}
        return name if name not in taken else f"{name[: NAME_MAX - 9]} {node_id[:8]}"


def _claimed_name(theirs: Identity) -> str:
    """What the organisation calls itself, if that is fit to be our name for it. Raises: NameUnfit."""
    claim = theirs.statement.org.name
    try:
        check_name(claim)
    except NameUnfit as exc:
        name = suggested(claim, theirs.node_id)
        raise NameUnfit(
            f"They call themselves {claim!r}, which cannot be their name here: {exc}",
            hint=f"Choose one: tocsin peer join --name {name}",
        ) from exc
    return claim


def chain_of(message: Mapping[str, Any]) -> list[bytes]:
    """The statements in a message of another node. Raises: BadRequest."""
    try:
        return parse_chain(message)
    except PeerUnreachable as exc:
        raise BadRequest("The field 'chain' is missing or malformed.") from exc


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _field(message: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(message[name], validate=True)
    except (KeyError, TypeError, ValueError) as exc:
        raise BadRequest(f"The field {name!r} is missing or malformed.") from exc
