"""What peers ask of us (PROTOCOL.md, transport): our statements, joining, our log and the entries sealed to them.

Answers carry no signature: notes, leaves and wraps prove themselves. A peer sees hashes of all entries and bodies of
those that hold a wrap for it.
"""

import base64
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tocsin_federation.errors import FederationError
from tocsin_federation.frames import encode_frame, encode_trailer
from tocsin_federation.identity import Identity, ended_logs
from tocsin_federation.merkle import TILE_WIDTH, parse_tile_path
from tocsin_federation.receipt import owed
from tocsin_federation.request_auth import Caller
from tocsin_federation.sharing import servable
from tocsin_node.errors import NodeError
from tocsin_node.node import NODE, Node
from tocsin_node.services.heads import HeldLog, log_id
from tocsin_node.services.joining import chain_of
from tocsin_node.services.peer_refusals import InviteRefused
from tocsin_node.storage import log, receipts
from tocsin_node.storage.pool import Connection
from tocsin_node.web.body import parse_json
from tocsin_node.web.errors import BadJson
from tocsin_node.web.paging import integer, number
from tocsin_node.web.peer_auth import (
    POLLS,
    admit,
    approved,
    brake_comparing,
    brake_heavy,
    brake_holder,
    message_of,
    peer_of,
    read_message,
    strangers_braked,
    verify,
)
from tocsin_node.web.problems import json_response


class NoSuchLog(NodeError):
    """This node does not keep that log, or not that far."""

    code = "log-unknown"
    hint = "Ask for our checkpoint first; logs are named by the SHA-256 of their origin line."


async def statements(request: web.Request) -> web.Response:
    """GET /.well-known/tocsin: who we are, from the first statement on."""
    chain = request.app[NODE].identity.chain
    return json_response({"chain": [base64.b64encode(s).decode() for s in chain]})


async def join(request: web.Request) -> web.Response:
    """POST /f1/peer/join: somebody holds an invite of ours. All refusals look alike from outside."""
    node = request.app[NODE]
    brake_heavy(request)
    body = await read_message(request)
    with strangers_braked(request):
        message = _message(node, body)
        invite_id = await node.joining.invite_named(message)
    brake_holder(
        request, invite_id
    )  # strangers cannot name an invite, so they cannot use up its holder's share

    def signed_by(theirs: Identity) -> None:
        _signed_by(theirs, request, body)

    try:
        answer = await node.joining.accept(message, signed_by)
    except FederationError as exc:
        raise InviteRefused from exc
    return json_response(answer)


async def learn(request: web.Request) -> web.Response:
    """POST /f1/peer/statement: a peer's statement chain has grown (new keys, a new address).

    It is signed with a key of that chain: the key that we know may be the one that was replaced.
    """
    node = request.app[NODE]
    brake_heavy(request)
    body = await read_message(request)
    with strangers_braked(request):
        chain = chain_of(_message(node, body))
        theirs = node.peering.recognise(chain)
        caller = _signed_by(theirs, request, body)
    admit(request, caller)
    peer = await node.peering.learn_chain(theirs.node_id, chain)
    return json_response({"statements": len(peer.identity.chain)})


async def checkpoint(request: web.Request) -> web.Response:
    """GET /f1/log/{log}/checkpoint?since=N&wait=S: our newest note, held back until it is larger than N.

    `since=N` also says that the caller has dealt with every entry below N. A newer one of the same peer ends it. The
    last good note of a log that has ended is given at once, and so is the newest that we verified of a peer's.
    """
    peer = peer_of(request)
    node = request.app[NODE]
    if (author := node.giving.author(peer, request.match_info["log"])) is not None:
        async with node.pool.acquire() as conn:
            held = await node.heads.of(conn, author)
        if held is None:
            raise NoSuchLog
        return web.Response(body=await node.heads.note(held), content_type="text/plain", charset="utf-8")
    _, ended = await _served(request)
    if ended is not None:
        return web.Response(body=ended.note, content_type="text/plain", charset="utf-8")
    since = integer(request, "since") or 0
    wait_s = min(max(0.0, number(request, "wait") or 0.0), node.settings.federation.long_poll_s)
    gen, size = node.ledger.head.gen, node.ledger.head.size
    await node.peering.note_fetched(peer.node_id, gen, min(since, size))
    if wait_s > 0:
        async with request.app[POLLS].turn(peer.node_id):
            await node.ledger.grown(since, wait_s)
    approved(request, peer.node_id)  # it may have been removed while it waited
    note = await node.heads.note(node.heads.own())
    return web.Response(body=note, content_type="text/plain", charset="utf-8")


async def tile(request: web.Request) -> web.Response:
    """GET /f1/log/{log}/tile/{level}/…: hashes (C2SP tlog-tiles) of our log, or of a peer's as we verified it."""
    if request.match_info["path"].startswith("entries/"):
        raise NoSuchLog  # there are no bundles: entries are sealed, each for its recipients
    level, index, width = parse_tile_path("tile/" + request.match_info["path"])
    node = request.app[NODE]
    async with node.pool.acquire() as conn:
        held = await _held(node, request, conn)
        if (index * TILE_WIDTH + width) * TILE_WIDTH**level > held.size:
            raise NoSuchLog
        hashes = await node.heads.tile(conn, held, level, index, width)
    return web.Response(body=hashes, content_type="application/octet-stream")


async def past(request: web.Request) -> web.Response:
    """GET /f1/log/{log}/past?from=m&to=n: the hashes that show the roots at both sizes, 0 < m <= n."""
    node = request.app[NODE]
    old, size = integer(request, "from") or 0, integer(request, "to") or 0
    async with node.pool.acquire() as conn:
        held = await _held(node, request, conn)
    if not 0 < old <= size <= held.size:
        raise NoSuchLog
    path = await node.heads.past(held, old, size)
    return web.Response(body=b"".join(path), content_type="application/octet-stream")


async def entries(request: web.Request) -> web.Response:
    """GET /f1/log/{log}/entries?from=i&max=n: the frames that hold a wrap for the caller, then what comes next.

    What is marked above the ceiling of today is passed over as if it were for others. Of a peer's log: what it sealed
    to us and to the caller, or the caller's own words, as far as they stand here.
    """
    peer, settings = peer_of(request), request.app[NODE].settings.federation
    start = integer(request, "from") or 0
    wanted = integer(request, "max")
    limit = settings.batch_entries if wanted is None else min(wanted, settings.batch_entries)
    if start < 0 or limit < 1:
        raise NoSuchLog
    giving = request.app[NODE].giving
    if (author := giving.author(peer, request.match_info["log"])) is not None:
        handed = await giving.entries(peer, author, start, limit)
        if handed is None:
            raise NoSuchLog
        return web.Response(body=handed, content_type="application/octet-stream")
    node, ended = await _served(request)
    head = ended or node.ledger.head
    if start > head.size:
        raise NoSuchLog
    async with node.pool.acquire() as conn:
        visible, next_index = await log.visible_entries(
            conn,
            head.gen,
            peer.node_id,
            start,
            head.size,
            limit=limit,
            max_bytes=settings.batch_bytes,
        )
        served = [e for e in visible if servable(e.leaf, peer.policy)]
        await receipts.sent(conn, peer.node_id, head.gen, [e.idx for e in served if owed(e.leaf)])
    frames = [encode_frame(e.idx, e.leaf, e.wrap, e.ct) for e in served]
    return web.Response(
        body=b"".join([*frames, encode_trailer(next_index)]), content_type="application/octet-stream"
    )


async def compare(request: web.Request) -> web.Response:
    """POST /f1/log/{log}/compare: what we hold of our log for the caller, or of the caller's log for us."""
    node, peer, body = request.app[NODE], peer_of(request), message_of(request)
    brake_comparing(request, peer.node_id)
    answer = await node.reconciling.answer(peer, request.match_info["log"], body)
    if answer is None:
        raise NoSuchLog
    return web.Response(body=answer, content_type="application/json")


async def _served(request: web.Request) -> tuple[Node, log.Head | None]:
    """The node, and the last good head of an ended log of its own if that one is asked for (P-150).

    Raises: NoSuchLog.
    """
    node, wanted = request.app[NODE], request.match_info["log"]
    if wanted == log_id(node.identity.statement.log.origin):
        return node, None
    for ended in ended_logs(node.identity):
        if wanted == log_id(ended.key.origin):
            async with node.pool.acquire() as conn:
                head = await log.head_within(conn, ended.key.gen, ended.good)
            if head is not None:
                return node, head
    raise NoSuchLog


async def _held(node: Node, request: web.Request, conn: Connection) -> HeldLog:
    held = await node.heads.named(conn, request.match_info["log"])
    if held is None:
        raise NoSuchLog
    return held


def _signed_by(theirs: Identity, request: web.Request, body: bytes) -> Caller:
    def key(keyid: str) -> bytes | None:
        node_id, _, kid = keyid.partition("#")
        return theirs.http_key(kid, request.app[NODE].now()) if node_id == theirs.node_id else None

    return verify(request, body, key)


def _message(node: Node, body: bytes) -> Mapping[str, Any]:
    message = parse_json(body, node.settings.limits)
    if not isinstance(message, dict):
        raise BadJson("The message is not a JSON object.")
    return message
