"""The audit log over HTTP: lines by what they say, and all that is needed to verify it elsewhere."""

import base64
from typing import Any

import orjson
from aiohttp import web

from tocsin_federation.audit import LINE, audit_origin, audit_vkey, time_text
from tocsin_node.node import NODE
from tocsin_node.storage.audit import Row, Wanted
from tocsin_node.web.paging import integer, moment, page_limit
from tocsin_node.web.problems import json_response

LINES_MAX = 2000
NDJSON = "application/x-ndjson"


async def listing(request: web.Request) -> web.Response:
    """GET /v1/audit: newest first; who asks is noted too."""
    auditing = request.app[NODE].auditing
    limit = page_limit(request)
    await auditing.seen("audit.read")
    wanted = Wanted(
        who=request.query.get("who"),
        action=request.query.get("action"),
        object=request.query.get("object"),
        since=moment(request, "since"),
        until=moment(request, "until"),
    )
    found = await auditing.listing(wanted, before=integer(request, "cursor"), limit=limit)
    following = str(found[-1].number) if len(found) == limit else None
    return json_response({"items": [_item(row) for row in found], "next": following})


async def head(request: web.Request) -> web.Response:
    """GET /v1/audit/head: the newest signed checkpoint, over all that was noted until now, and whose it is."""
    auditing = request.app[NODE].auditing
    await auditing.seen("audit.read")
    standing = await auditing.seal()
    identity = auditing.identity
    return json_response(
        {
            "node_id": identity.node_id,
            "origin": audit_origin(identity.statement.log.origin),
            "vkey": audit_vkey(identity.statement.log.vkey),
            "size": standing.size,
            "root": standing.root.hex(),
            "note": standing.note.decode(),
            "chain": [base64.b64encode(s).decode() for s in identity.chain],
        }
    )


async def lines(request: web.Request) -> web.Response:
    """GET /v1/audit/lines?from=&to=: lines [from, to) in order, one a line, at most 2,000, as an export holds them."""
    auditing = request.app[NODE].auditing
    await auditing.seen("audit.read")
    rows = await auditing.lines(integer(request, "from") or 0, integer(request, "to"), limit=LINES_MAX)
    body = b"".join(LINE.encode(row.line()) + b"\n" for row in rows)
    return web.Response(body=body, content_type=NDJSON)


def _item(row: Row) -> dict[str, Any]:
    return {
        "seq": row.number,
        "at": time_text(row.at),
        "who": row.who,
        "via": row.via,
        "action": row.action,
        "object": row.object,
        "forgotten": row.object is None and row.commitment is not None,
        "detail": orjson.loads(row.detail),
    }
