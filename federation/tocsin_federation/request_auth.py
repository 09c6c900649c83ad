"""Request signatures: RFC 9421 in one fixed profile, bound to sender, receiver and moment.

Signed are, in this order: method, authority, path, query, digest of the body (an empty one too) and the
NodeID of the node the request is meant for. A request therefore cannot be altered, sent to another node, or
kept for later. There is one algorithm (Ed25519), one label, one order of parameters and no negotiation: the
headers are matched whole, not parsed as structured fields, and any other spelling is refused.

Answers are not signed: notes, leaves, wraps and statements prove themselves.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin_federation.errors import AuthRefused, KeyRefused
from tocsin_federation.keys import Rng, kid, sign, verify

MAX_SKEW_S = 120  # between the sender's clock and ours
NONCE_TTL = timedelta(seconds=300)  # longer than a request can stay fresh: twice the skew
NONCES_A_KEY = 20_000  # more than a peer may use within the 300 s: 300 at once and 60 a second
NONCE_KEYS = 1_024
MAX_HEADER_BYTES = 512

CONTENT_DIGEST = "Content-Digest"
DEST = "Tocsin-Dest"
SIGNATURE_INPUT = "Signature-Input"
SIGNATURE = "Signature"

_COMPONENTS = '("@method" "@authority" "@path" "@query" "content-digest" "tocsin-dest")'
_PARAMS = re.compile(
    re.escape(_COMPONENTS)
    + r';created=(?P<created>[1-9][0-9]{0,11});keyid="(?P<keyid>(?P<node>n1[a-z2-7]{51}[aq])#[0-9a-f]{16})"'
    r';nonce="(?P<nonce>[A-Za-z0-9+/]{22}==)";alg="ed25519";tag="tocsin/1"'
)
_INPUT = re.compile(rf"tocsin=(?P<params>{_PARAMS.pattern})")
_SIGNATURE = re.compile(r"tocsin=:(?P<signature>[A-Za-z0-9+/]{86}==):")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a request. `keyid`: NodeID, `#`, the key's name."""

    node_id: str
    keyid: str
    nonce: str


class NonceCache:
    """The nonces seen of late, a key at a time: how a repeated request is known.

    It holds at most `max_entries` a key and 1,024 keys, forgetting the oldest; a nonce counts for `ttl`.
    Mutable, for one event loop.
    """

    def __init__(self, max_entries: int = NONCES_A_KEY, ttl: timedelta = NONCE_TTL) -> None:
        self._max_entries = max_entries
        self._ttl_s = ttl.total_seconds()
        self._seen: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()  # keyid → nonce → forgotten at

    def seen(self, keyid: str, nonce: str, now: datetime) -> bool:
        """Whether that key used that nonce within `ttl`."""
        nonces = self._seen.get(keyid)
        until = None if nonces is None else nonces.get(nonce)
        return until is not None and now.timestamp() < until

    def check_and_add(self, keyid: str, nonce: str, now: datetime) -> bool:
        """Keep the nonce; False when it was kept already. Only for requests whose signature was verified."""
        if self.seen(keyid, nonce, now):
            return False
        at = now.timestamp()
        nonces = self._seen.setdefault(keyid, OrderedDict())
        self._seen.move_to_end(keyid)
        while nonces and (len(nonces) >= self._max_entries or next(iter(nonces.values())) <= at):
            nonces.popitem(last=False)
        nonces[nonce] = at + self._ttl_s
        nonces.move_to_end(nonce)
        while len(self._seen) > NONCE_KEYS:
            self._seen.popitem(last=False)
        return True


def keyid_of(node_id: str, public: bytes) -> str:
    """The `keyid` under which a node's request key signs."""
    return f"{node_id}#{kid(public)}"


def sign_request(
    *,
    method: str,
    authority: str,
    path: str,
    query: str,
    body: bytes,
    dest: str,
    key: bytes,
    keyid: str,
    now: datetime,
    rng: Rng,
) -> dict[str, str]:
    """The four headers that sign a request to node `dest`.

    `authority`: host and port as in the URL. `path`: as sent, from the first slash on. `query`: as sent,
    without the question mark, or empty. `key`: the 64-byte private key that `keyid` names.
    """
    nonce = b64encode(rng(16)).decode()
    created = int(now.timestamp())
    params = f'{_COMPONENTS};created={created};keyid="{keyid}";nonce="{nonce}";alg="ed25519";tag="tocsin/1"'
    digest = content_digest(body)
    base = signature_base(method, authority, path, query, digest, dest, params)
    return {
        CONTENT_DIGEST: digest,
        DEST: dest,
        SIGNATURE_INPUT: f"tocsin={params}",
        SIGNATURE: f"tocsin=:{b64encode(sign(key, base)).decode()}:",
    }


def verify_request(
    *,
    method: str,
    authority: str,
    path: str,
    query: str,
    body: bytes,
    headers: Mapping[str, str],
    me: str,
    lookup: Callable[[str], bytes | None],
    nonces: NonceCache,
    now: datetime,
) -> Caller:
    """Who sent this request to us, now.

    `headers`: looked up by the names above; give a case-insensitive mapping. `lookup`: keyid → the public key
    of a node we deal with, if it is in force.

    All of this must hold, cheapest first (PROTOCOL.md, 5):

    1. [P-50] the four headers are there, each of at most 512 bytes and in the one form;
    2. [P-51] the request is meant for `me`;
    3. [P-52] it was made within 120 s of `now`, before or after;
    4. [P-53] this key has not used this nonce in the last 300 s;
    5. [P-54] the key is one we know;
    6. [P-55] the body is the one that was signed;
    7. [P-56] the signature verifies.

    Only then is the nonce kept: before, a stranger could use up the nonces of others.

    Raises: AuthRefused with the code of the first that fails; `clock-skew` carries `skew_s` (theirs minus
    ours).
    """
    # (1) P-50
    dest, digest = headers.get(DEST), headers.get(CONTENT_DIGEST)
    given, signature_text = headers.get(SIGNATURE_INPUT), headers.get(SIGNATURE)
    if dest is None or digest is None or given is None or signature_text is None:
        raise AuthRefused("auth-missing")
    if max(len(dest), len(digest), len(given), len(signature_text)) > MAX_HEADER_BYTES:
        raise AuthRefused("auth-malformed")
    params, signed = _INPUT.fullmatch(given), _SIGNATURE.fullmatch(signature_text)
    if params is None or signed is None:
        raise AuthRefused("auth-malformed")
    # (2) P-51
    if dest != me:
        raise AuthRefused("wrong-destination")
    # (3) P-52
    skew_s = int(params["created"]) - now.timestamp()
    if abs(skew_s) > MAX_SKEW_S:
        refusal = AuthRefused("clock-skew")
        refusal.skew_s = skew_s
        raise refusal
    # (4) P-53
    keyid, nonce = params["keyid"], params["nonce"]
    if nonces.seen(keyid, nonce, now):
        raise AuthRefused("nonce-replayed")
    # (5) P-54
    public = lookup(keyid)
    if public is None:
        raise AuthRefused("key-unknown")
    # (6) P-55
    if digest != content_digest(body):
        raise AuthRefused("digest-mismatch")
    # (7) P-56
    try:
        base = signature_base(method, authority, path, query, digest, dest, params["params"])
        verify(public, base, b64decode(signed["signature"]))
    except (KeyRefused, UnicodeEncodeError) as exc:
        raise AuthRefused("bad-signature") from exc
    nonces.check_and_add(keyid, nonce, now)
    return Caller(params["node"], keyid, nonce)


def content_digest(body: bytes) -> str:
    """The value of `Content-Digest` (RFC 9530) for a body."""
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def signature_base(
    method: str, authority: str, path: str, query: str, digest: str, dest: str, params: str
) -> bytes:
    """The bytes that are signed (RFC 9421 2.5). Raises: UnicodeEncodeError when something is not ASCII."""
    return (
        f'"@method": {method}\n'
        f'"@authority": {_authority(authority)}\n'
        f'"@path": {path or "/"}\n'
        f'"@query": ?{query}\n'
        f'"content-digest": {digest}\n'
        f'"tocsin-dest": {dest}\n'
        f'"@signature-params": {params}'
    ).encode("ascii")


def _authority(authority: str) -> str:
    """Lower case, without the port that a scheme implies (RFC 9421 2.2.3); a proxy may hide the scheme."""
    return re.sub(r":(?:80|443)\Z", "", authority.lower())
