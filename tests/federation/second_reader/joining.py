"""Section 3 of PROTOCOL.md: invites, and what the two nodes prove to each other."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from tests.federation.second_reader.basics import node_bytes, node_id, sha
from tests.federation.second_reader.nodes import address


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "sha256")


def invite(text: str, now: float) -> str | dict[str, Any]:
    """P-30 and P-31: what the invite says, or the code."""
    bare = re.sub(r"[ \t\r\n]", "", text)
    form = re.fullmatch(r"tocsin1\.([A-Za-z0-9_-]+)", bare)
    if form is None or len(bare) > 1024 or len(form[1]) % 4 == 1:
        return "invite-malformed"
    raw = urlsafe_b64decode(form[1] + "=" * (-len(form[1]) % 4))
    once = urlsafe_b64encode(raw).decode().rstrip("=") == form[1]
    if not once or len(raw) < 92 or raw[-4:] != sha(b"tocsin/1/check\0" + raw[:-4])[:4]:
        return "invite-malformed"
    url = raw[88:-4].decode("latin-1")
    if not address(url):
        return "invite-malformed"
    if int.from_bytes(raw[80:88], "big") <= now:
        return "invite-expired"
    return {"node": node_id(raw[:32]), "secret": raw[32:48], "commitment": raw[48:80], "url": url}


def mac_key(secret: bytes) -> bytes:
    return mac(secret, b"tocsin/1/invite\0mac")


def invite_id(secret: bytes) -> bytes:
    return mac(secret, b"tocsin/1/invite\0id")[:8]


def joined(key: bytes, inviter: str, guest: str, nonce: bytes, said: bytes) -> str | None:
    """P-32, at the inviter: the proof that the guest has the secret."""
    if (len(nonce), len(said)) != (32, 32):
        return "handshake-malformed"
    due = mac(key, b"tocsin/1/hs\0B", node_bytes(inviter), node_bytes(guest), nonce)
    return None if hmac.compare_digest(due, said) else "bad-proof"


def answered(given: dict[str, Any], guest: str, nonce: bytes, theirs: bytes, said: bytes) -> str | None:
    """P-34 and P-35, at the guest: the nonce that the invite committed to, and the proof of who minted it."""
    if (len(theirs), len(said)) != (32, 32):
        return "handshake-malformed"
    parties = node_bytes(given["node"]), node_bytes(guest)
    if sha(b"tocsin/1/nonce\0" + theirs) != given["commitment"]:
        return "nonce-changed"
    due = mac(mac_key(given["secret"]), b"tocsin/1/hs\0A", *parties, nonce, theirs)
    return None if hmac.compare_digest(due, said) else "bad-proof"


def words(nonces: dict[str, bytes]) -> bytes:
    """P-36: the eight bytes whose words are compared, of both NodeIDs with their nonces."""
    (first, one), (second, two) = sorted((node_bytes(node), nonce) for node, nonce in nonces.items())
    return sha(b"tocsin/1/sas\0" + first + second + one + two)[:8]
