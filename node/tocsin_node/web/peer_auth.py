"""Which peer asks: the signature of its request (RFC 9421, PROTOCOL.md 5), our approval, and its share of the node.

The signature covers the body. A join and a statement carry the keys that sign them, and their handlers verify; the
body of other requests is read here and kept for the handler (`message_of`).
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from tocsin_federation.errors import AuthRefused, FederationError
from tocsin_federation.request_auth import SIGNATURE_INPUT, Caller, NonceCache, verify_request
from tocsin_node.errors import NodeError
from tocsin_node.node import NODE, Node
from tocsin_node.services.peer import Peer
from tocsin_node.web.body import JSON, read_body
from tocsin_node.web.errors import BadRequest
from tocsin_node.web.limits import LongPolls, RateLimit

PEER = web.RequestKey("peer", Peer)
MESSAGE = web.RequestKey("message", bytes)
NONCES = web.AppKey("nonces", NonceCache)
RATE = web.AppKey("rate", RateLimit)
STRANGERS = web.AppKey("strangers", RateLimit)
COMPARING = web.AppKey("comparing", RateLimit)
POLLS = web.AppKey("polls", LongPolls)
MESSAGE_BYTES = 1024 * 1024
LIGHT_BYTES = 64 * 1024  # the introduction of a node with up to about eight statements
CLAIMED = re.compile(r'keyid="([a-z0-9]{1,64})#')


class ClockSkew(NodeError):
    """The request was signed more than 120 s away from this node's time."""

    code = "clock-skew"
    hint = "Set the clock (NTP); the header Tocsin-Time of this answer is this node's time."


class NotApproved(NodeError):
    """This node's operator has not approved you."""

    code = "not-approved"
    hint = "Ask them: they run `tocsin peer approve NAME`. It starts by itself then."


class Frozen(NodeError):
    """This node has stopped exchanging with you: your log contradicted itself."""

    code = "peer-frozen"
    hint = "Call this node's operator; they keep the evidence."


async def authenticate(request: web.Request) -> str:
    """The NodeID of the approved peer that signed this request.

    Raises: AuthRefused, ClockSkew, NotApproved, Frozen, TooFast.
    """
    node = request.app[NODE]
    if request.body_exists and request.method != "POST":
        raise BadRequest("This request has no body.")  # before a byte of it is read: anybody can send one
    body = await read_message(request) if request.body_exists else b""
    request[MESSAGE] = body
    return admit(request, verify(request, body, node.peering.http_key))


def admit(request: web.Request, caller: Caller) -> str:
    """The NodeID of an approved peer, once its signature was verified. Raises: NotApproved, Frozen, TooFast."""
    known = request.app[NODE].peering.by_id(caller.node_id)
    per_s = None if known is None else known.row.requests_per_s
    request.app[RATE].take(caller.node_id, time.monotonic(), per_s=per_s)
    peer = request[PEER] = approved(request, caller.node_id)
    request.app[NODE].exchange.heard(peer.node_id)
    return peer.node_id


def approved(request: web.Request, node_id: str) -> Peer:
    """The peer of that NodeID as it stands now. Raises: NotApproved, Frozen."""
    peer = request.app[NODE].peering.by_id(node_id)
    if peer is None or peer.row.state == "pending":
        raise NotApproved
    if peer.row.state == "suspect":
        raise Frozen
    return peer


def brake_strangers(request: web.Request) -> None:
    """Count a request of somebody unknown against the share of the address it came from. Raises: TooFast.

    Behind a proxy all have one address: only who is nobody's peer and names no invite is counted so.
    """
    request.app[STRANGERS].take(f"from {request.remote or ''}", time.monotonic())


@contextmanager
def strangers_braked(request: web.Request) -> Iterator[None]:
    """Within: find out who asks. Who is not recognised is counted as a stranger."""
    try:
        yield
    except (NodeError, FederationError):
        brake_strangers(request)
        raise


def brake_heavy(request: web.Request) -> None:
    """Count a message as a stranger's before it is read, when it is large and no peer of ours claims to send it."""
    claimed = CLAIMED.search(request.headers.get(SIGNATURE_INPUT, ""))
    if claimed is not None and request.app[NODE].peering.by_id(claimed[1]) is not None:
        return
    if request.content_length is None or request.content_length > LIGHT_BYTES:
        brake_strangers(request)


def brake_holder(request: web.Request, invite_id: bytes) -> None:
    """Count a join against the share of the invite that it names. Raises: TooFast."""
    request.app[STRANGERS].take(f"invite {invite_id.hex()}", time.monotonic())


def brake_comparing(request: web.Request, node_id: str) -> None:
    """Count a question that may have us sum up a million entries. Raises: TooFast."""
    request.app[COMPARING].take(node_id, time.monotonic())


async def read_message(request: web.Request) -> bytes:
    """The JSON body of a message between nodes, unparsed."""
    return await read_body(request, limit=MESSAGE_BYTES, content_types=(JSON,))


def verify(request: web.Request, body: bytes, lookup: Callable[[str], bytes | None]) -> Caller:
    """Who signed this request, by the keys that `lookup` knows. Raises: AuthRefused, ClockSkew."""
    node: Node = request.app[NODE]
    raw_path, _, query = request.raw_path.partition("?")
    headers: Mapping[str, str] = request.headers
    try:
        return verify_request(
            method=request.method,
            authority=request.host,
            path=raw_path,
            query=query,
            body=body,
            headers=headers,
            me=node.identity.node_id,
            lookup=lookup,
            nonces=request.app[NONCES],
            now=node.now(),
        )
    except AuthRefused as exc:
        if exc.code == "clock-skew":
            raise ClockSkew from exc
        raise


def message_of(request: web.Request) -> bytes:
    """What the peer that asks has sent, as it was signed."""
    return request[MESSAGE]


def peer_of(request: web.Request) -> Peer:
    """The peer that asks."""
    return request[PEER]
