"""Joining: how a node becomes a peer. One invites, the other takes it up, and a person on either side approves."""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from tocsin_federation import peering as handshake
from tocsin_federation.errors import FederationError
from tocsin_federation.identity import Identity, verify_chain
from tocsin_node.links.peer_client import PeerClient, PeerRefusal, PeerUnreachable, parse_chain
from tocsin_node.services.peer import DEFAULT_CEILING, UNVERIFIED_CEILING, Peer, refuse_uncompared
from tocsin_node.services.peer_name import NameUnfit, check_name, suggested
from tocsin_node.services.peer_refusals import BadRequest, InviteRefused, JoinRefused, PeerExists, SasMismatch
from tocsin_node.services.peering import Peering
from tocsin_node.storage import peers
from tocsin_node.storage.pool import Pool
from tocsin_schema.marking import Tlp


class Joining:
    """The handshake: ours when we invite, ours when we are invited."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        client: PeerClient,
        us: Identity,
        *,
        http_private: bytes,
        url: str,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._client = client
        self._us = us
        self._http_private = http_private
        self._url = url
        self._now = now
        self._rng = rng

    async def invite(self, name: str, ttl: timedelta) -> tuple[str, datetime]:
        """Make a single-use invite for whoever we will call `name`; returns its text and its end.

        Raises: PeerExists, NameUnfit, BadRequest (the time to live is over 7 days).
        """
        self._peering.refuse_taken(name)
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
        standing = self._peering.by_id(theirs.node_id)
        if standing is not None and standing.row.state != "pending":
            raise PeerExists(f"That node is a peer already, as {standing.row.name!r}.")
        if name is None:
            name = _claimed_name(theirs)
        self._peering.refuse_taken(name, but=theirs.node_id)
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
        async with self._peering.turn:
            async with self._pool.transaction() as conn:
                invite = await peers.invite(conn, invite_id)
                if invite is None or invite.expires_at <= self._now():
                    raise InviteRefused
                handshake.check_join_mac(mac, invite.mac_key, self._us.node_id, theirs.node_id, nonce)
                if invite.used_by is not None and (invite.used_by, invite.used_nonce) != (
                    theirs.node_id,
                    nonce,
                ):
                    raise InviteRefused
                row = None
                if invite.used_by is None:
                    await peers.use_invite(conn, invite_id, theirs.node_id, nonce)
                    row = await peers.add(
                        conn,
                        node_id=theirs.node_id,
                        name=self._peering.untaken(invite.name, theirs.node_id),
                        chain=theirs.chain,
                        url=theirs.statement.urls[0],
                        our_nonce=invite.nonce,
                        their_nonce=nonce,
                        invited=True,
                    )
                if row is None and (invite.used_by is None or self._peering.by_id(theirs.node_id) is None):
                    raise InviteRefused  # approved by another invite, or removed since: a spent one opens nothing again
            if row is not None:
                self._peering.remember(row)
        answer = handshake.answer_mac(invite.mac_key, self._us.node_id, theirs.node_id, nonce, invite.nonce)
        return {"nonce": _b64(invite.nonce), "mac": _b64(answer)}

    async def approve(
        self, name: str, *, sas: str | None, unverified: bool, out: Tlp | None, in_: Tlp | None
    ) -> Peer:
        """Our operator's yes. `sas`: the eight words as compared by voice; `unverified`: none, so GREEN at most.

        Raises: PeerUnknown, SasMismatch, BadRequest (neither of the two, or a ceiling above GREEN uncompared).
        """
        peer = self._peering.named(name)
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
        async with self._peering.turn:
            async with self._pool.acquire() as conn:
                row = await peers.approve(
                    conn, peer.node_id, sas_verified=verified, out=out.value, in_=in_.value
                )
            return self._peering.keep(row)

    async def forget_old_invites(self) -> None:
        """Housekeeping."""
        async with self._pool.acquire() as conn:
            await peers.drop_old_invites(conn)

    def _verified(self, chain: list[bytes], *, expected: str | None = None) -> Identity:
        """Whose chain this is. What was ever held of that node must be its beginning (P-22), a removed one's too."""
        theirs = verify_chain(chain, expected=expected, now=self._now())
        held = self._peering.identity_of(theirs.node_id)
        if held is not None:
            theirs = verify_chain(chain, expected=expected, now=self._now(), known=held)
        self._peering.refuse_borrowed(theirs)
        return theirs

    async def _keep(
        self, theirs: Identity, name: str, url: str, our_nonce: bytes, their_nonce: bytes
    ) -> Peer:
        async with self._peering.turn:
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
            return self._peering.keep(row)


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
