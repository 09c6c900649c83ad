"""Introducing two nodes: an invite passed from hand to hand, two proofs, and eight words to compare by voice.

    invite   tocsin1.base64url(NodeID_A ‖ secret ‖ commitment ‖ expiry ‖ url ‖ check)
    B → A    chain_B, nonce_B, HMAC(mac_key, "tocsin/1/hs" 00 "B" ‖ NodeID_A ‖ NodeID_B ‖ nonce_B)
    A → B    nonce_A, HMAC(mac_key, "tocsin/1/hs" 00 "A" ‖ NodeID_A ‖ NodeID_B ‖ nonce_B ‖ nonce_A)

The secret has 128 random bits, so nobody guesses it and no password protocol is needed. Whoever *steals* an
invite can put himself between A and B; the eight words show that, and they can only do so because nobody can
choose his nonce after seeing the other's: A's is fixed in the invite by its hash before B's is known, and B
sends his before A's is shown. Without that a thief could try nonces until the words agree on both sides.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tocsin_federation.errors import HandshakeRefused, KeyRefused
from tocsin_federation.keys import Rng
from tocsin_federation.node_id import node_id_bytes, node_id_from_bytes
from tocsin_federation.statement import is_url
from tocsin_federation.words import WORDS

INVITE_PREFIX = "tocsin1."
INVITE_TTL_MAX = timedelta(days=7)
MAX_INVITE_CHARS = 1024
NONCE_BYTES = 32
MAC_BYTES = 32
SAS_WORDS = 8

_SECRET_BYTES = 16
_CHECK_BYTES = 4
_FIXED_BYTES = 32 + _SECRET_BYTES + 32 + 8  # before the url


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite as the invited reads it. `commitment`: SHA-256 over the inviter's nonce, labelled."""

    id: bytes
    node_id: str
    url: str
    expires_at: datetime
    commitment: bytes
    mac_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InviteRecord:
    """What the inviter keeps: enough to check the proof, not enough to write the invite again.

    `nonce` is revealed in the first answer. An invite is spent by its first valid use, and that use alone
    (the same NodeID and the same nonce) may be answered again.
    """

    id: bytes
    mac_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    expires_at: datetime


def mint_invite(
    node_id: str, url: str, *, now: datetime, ttl: timedelta, rng: Rng
) -> tuple[str, InviteRecord]:
    """A new invite to node `node_id` at `url`: its text for the other operator, and what we keep.

    Raises: HandshakeRefused `invite-ttl` (not above 0 or over 7 days), `handshake-malformed` (`url`).
    """
    if not timedelta(0) < ttl <= INVITE_TTL_MAX:
        raise HandshakeRefused("invite-ttl")
    if not is_url(url):
        raise HandshakeRefused("handshake-malformed")
    secret, nonce = rng(_SECRET_BYTES), rng(NONCE_BYTES)
    expires = int((now + ttl).timestamp())
    payload = b"".join(
        (node_id_bytes(node_id), secret, _commitment(nonce), expires.to_bytes(8, "big"), url.encode())
    )
    text = INVITE_PREFIX + urlsafe_b64encode(payload + _check(payload)).decode().rstrip("=")
    record = InviteRecord(
        _derived(secret, b"id")[:8], _derived(secret, b"mac"), nonce, datetime.fromtimestamp(expires, UTC)
    )
    return text, record


def parse_invite(text: str, *, now: datetime) -> Invite:
    """The invite that an operator pasted; white space around and inside it is forgiven.

    Raises: HandshakeRefused `invite-malformed`, `invite-expired`.
    """
    compact = "".join(text.split())
    if not compact.startswith(INVITE_PREFIX) or len(compact) > MAX_INVITE_CHARS:
        raise HandshakeRefused("invite-malformed")
    encoded = compact.removeprefix(INVITE_PREFIX)
    try:
        raw = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        if (
            urlsafe_b64encode(raw).decode().rstrip("=") != encoded
        ):  # what the decoder passes over stands there too
            raise HandshakeRefused("invite-malformed")
        payload, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        node_id = node_id_from_bytes(payload[:32])
        url = payload[_FIXED_BYTES:].decode("ascii")
        expires_at = datetime.fromtimestamp(
            int.from_bytes(payload[_FIXED_BYTES - 8 : _FIXED_BYTES], "big"), UTC
        )
    except (ValueError, OverflowError, OSError, Base64Error, KeyRefused) as exc:
        raise HandshakeRefused("invite-malformed") from exc
    if len(payload) <= _FIXED_BYTES or check != _check(payload) or not is_url(url):
        raise HandshakeRefused("invite-malformed")
    if now >= expires_at:
        raise HandshakeRefused("invite-expired")
    secret, commitment = payload[32:48], payload[48:80]
    return Invite(_derived(secret, b"id")[:8], node_id, url, expires_at, commitment, _derived(secret, b"mac"))


def join_nonce(http_private: bytes, invite_id: bytes) -> bytes:
    """The joiner's nonce for one invite: always the same, so that a join can be said again.

    Nobody without the private key can tell it beforehand.
    """
    return hmac.digest(http_private[:32], b"tocsin/1/join-nonce\x00" + invite_id, "sha256")


def join_mac(mac_key: bytes, inviter: str, joiner: str, joiner_nonce: bytes) -> bytes:
    """The joiner's proof that it holds the invite, 32 bytes."""
    message = b"tocsin/1/hs\x00B" + node_id_bytes(inviter) + node_id_bytes(joiner) + joiner_nonce
    return hmac.digest(mac_key, message, "sha256")


def check_join_mac(mac: bytes, mac_key: bytes, inviter: str, joiner: str, joiner_nonce: bytes) -> None:
    """Return when `mac` is the joiner's proof.

    Raises: HandshakeRefused `handshake-malformed`, `bad-proof`.
    """
    _check_lengths(mac, joiner_nonce)
    if not hmac.compare_digest(mac, join_mac(mac_key, inviter, joiner, joiner_nonce)):
        raise HandshakeRefused("bad-proof")


def answer_mac(mac_key: bytes, inviter: str, joiner: str, joiner_nonce: bytes, inviter_nonce: bytes) -> bytes:
    """The inviter's proof that it made the invite, 32 bytes."""
    ids = node_id_bytes(inviter) + node_id_bytes(joiner)
    return hmac.digest(mac_key, b"tocsin/1/hs\x00A" + ids + joiner_nonce + inviter_nonce, "sha256")


def check_answer_mac(
    mac: bytes, invite: Invite, joiner: str, joiner_nonce: bytes, inviter_nonce: bytes
) -> None:
    """Return when the answer is by the invite's maker and shows the nonce that the invite had fixed.

    Raises: HandshakeRefused `handshake-malformed`, `nonce-changed`, `bad-proof`.
    """
    _check_lengths(mac, inviter_nonce)
    if not hmac.compare_digest(_commitment(inviter_nonce), invite.commitment):
        raise HandshakeRefused("nonce-changed")
    expected = answer_mac(invite.mac_key, invite.node_id, joiner, joiner_nonce, inviter_nonce)
    if not hmac.compare_digest(mac, expected):
        raise HandshakeRefused("bad-proof")


def sas_words(node_a: str, node_b: str, nonce_a: bytes, nonce_b: bytes) -> tuple[str, ...]:
    """The eight words (64 bits) that both operators must read alike; the same whichever side asks."""
    sides = sorted(((node_id_bytes(node_a), nonce_a), (node_id_bytes(node_b), nonce_b)))
    ids_and_nonces = sides[0][0] + sides[1][0] + sides[0][1] + sides[1][1]
    digest = hashlib.sha256(b"tocsin/1/sas\x00" + ids_and_nonces).digest()
    return tuple(WORDS[byte] for byte in digest[:SAS_WORDS])


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, b"tocsin/1/invite\x00" + purpose, "sha256")


def _commitment(nonce: bytes) -> bytes:
    return hashlib.sha256(b"tocsin/1/nonce\x00" + nonce).digest()


def _check(payload: bytes) -> bytes:
    """Tells a miscopied invite at once."""
    return hashlib.sha256(b"tocsin/1/check\x00" + payload).digest()[:_CHECK_BYTES]


def _check_lengths(mac: bytes, nonce: bytes) -> None:
    if len(mac) != MAC_BYTES or len(nonce) != NONCE_BYTES:
        raise HandshakeRefused("handshake-malformed")
