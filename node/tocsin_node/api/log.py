"""Our log over HTTP, for whoever verifies it without trusting the node: checkpoint, leaf hashes, keys."""

import base64
from typing import Annotated

import msgspec
from aiohttp import web

from tocsin_node.api.federation import NoSuchLog
from tocsin_node.node import NODE
from tocsin_node.storage import log
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import integer
from tocsin_node.web.problems import json_response

LEAVES_MAX = 65_536


class RepublishRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`reports`: ids; none: all that stand in an ended log. `dry_run`: only say what would be given out."""

    reports: list[str] = []
    dry_run: bool = False


async def checkpoint(request: web.Request) -> web.Response:
    """GET /v1/log/checkpoint: the newest signed note (C2SP tlog-checkpoint), with its cosignatures."""
    heads = request.app[NODE].heads
    note = await heads.note(heads.own())
    return web.Response(body=note, content_type="text/plain", charset="utf-8")


class ConfirmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: who says that the database is the newest there is; `take_back`: that a longer log is ours, too."""

    by: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    take_back: bool = False


async def confirm(request: web.Request) -> web.Response:
    """POST /v1/log/confirm: a named person lets the log go on although no peer could be asked."""
    node = request.app[NODE]
    wanted = await read_json(request, ConfirmRequest)
    await node.self_check.confirm(wanted.by, take_back=wanted.take_back)
    return json_response({"state": node.self_check.state, "size": node.ledger.head.size})


async def leaves(request: web.Request) -> web.Response:
    """GET /v1/log/leaves?from=&to=: leaf hashes [from, to), 32 bytes each, at most 65,536, computed now."""
    node = request.app[NODE]
    start, wanted = integer(request, "from") or 0, integer(request, "to")
    stop = node.ledger.head.size if wanted is None else wanted
    if not 0 <= start <= stop <= node.ledger.head.size:
        raise NoSuchLog
    async with node.pool.acquire() as conn:
        hashes = await log.hashed_anew(conn, node.ledger.head.gen, start, min(stop, start + LEAVES_MAX))
    return web.Response(body=b"".join(hashes), content_type="application/octet-stream")


async def keys(request: web.Request) -> web.Response:
    """GET /v1/log/keys: the log's name, its verifier key and the statements that vouch for it."""
    identity = request.app[NODE].identity
    return json_response(
        {
            "node_id": identity.node_id,
            "origin": identity.statement.log.origin,
            "vkey": identity.statement.log.vkey,
            "chain": [base64.b64encode(s).decode() for s in identity.chain],
        }
    )


async def republish(request: web.Request) -> web.Response:
    """POST /v1/log/republish: what stands in an ended log goes into the one in force, to whom it went before."""
    node = request.app[NODE]
    wanted = await read_json(request, RepublishRequest)
    done = await node.republishing.republish(wanted.reports, dry_run=wanted.dry_run)
    items = [
        {
            "id": one.report_id,
            "ver": one.ver,
            "title": one.title,
            "outcome": one.outcome,
            "to": [p.name for p in one.release.to],
            "withheld": [
                {"name": w.peer.name, "code": w.code, "reason": w.reason} for w in one.release.withheld
            ],
        }
        for one in done
    ]
    return json_response({"generation": node.ledger.head.gen, "items": items})
