"""Witnessing over HTTP: `add-checkpoint` as C2SP tlog-witness has it, and what peers ask about heads."""

from aiohttp import web

from tocsin_federation.errors import WitnessRefused
from tocsin_federation.witness import MAX_SUBMISSION_BYTES
from tocsin_node.node import NODE
from tocsin_node.services.witnessing import SizeConflict
from tocsin_node.web.body import read_body
from tocsin_node.web.peer_auth import brake_strangers, message_of, peer_of
from tocsin_node.web.problems import problem

STATUS = {
    "submission-malformed": 400,
    "old-size": 400,
    "not-signed": 403,
    "origin-unknown": 404,
    "conflict": 409,
    "inconsistent": 422,
}
ANY_TYPE = ("text/plain", "application/octet-stream")  # the latter is what aiohttp calls no type at all


async def add_checkpoint(request: web.Request) -> web.Response:
    """POST /f1/wit/add-checkpoint: our cosignature; unsigned, the checkpoint proves itself."""
    body = await read_body(request, limit=MAX_SUBMISSION_BYTES, content_types=ANY_TYPE)
    try:
        line = await request.app[NODE].witnessing.add(body)
    except SizeConflict as exc:
        size = f"{exc.size}\n".encode()
        return web.Response(body=size, status=409, headers={"Content-Type": "text/x.tlog.size"})
    except WitnessRefused as exc:
        if exc.code in {"submission-malformed", "not-signed", "origin-unknown"}:
            brake_strangers(request)
        return problem(STATUS[exc.code], exc.code, str(exc), exc.hint)
    return web.Response(body=f"{line}\n".encode(), content_type="text/plain", charset="utf-8")


async def heads(request: web.Request) -> web.Response:
    """POST /f1/wit/heads: what we hold of the logs that the caller knows too."""
    node = request.app[NODE]
    answer = await node.gossip.answer(peer_of(request), message_of(request))
    return web.Response(body=answer, content_type="application/json")
