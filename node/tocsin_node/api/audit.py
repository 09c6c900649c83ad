"""The audit log over HTTP: lines by what they say, and all that is needed to verify it elsewhere."""

import base64
from typing import Any

import orjson
from aiohttp import web

from tocsin_federation.audit import LINE, audit_origin, audit_vkey, time_text
from tocsin_node.audit_actions import ACTIONS
from tocsin_node.node import NODE
from tocsin_node.storage.audit import Row, Wanted
from tocsin_node.web.errors import BadParameter
from tocsin_node.web.paging import integer, moment, page_limit
from tocsin_node.web.problems import json_response
from tocsin_schema.shape import nearest

LINES_MAX = 2000
NDJSON = "application/x-ndjson"


async def listing(request: web.Request) -> web.Response:
    """GET /v1/audit: newest first; who asks is noted too."""
    auditing = request.app[NODE].auditing
    limit, action = page_limit(request), _action(request)
    await auditing.seen("audit.read")
    wanted = Wanted(
        who=request.query.get("who"),
        action=action,
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
    standing = await auditing.standing()
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


def _action(request: web.Request) -> str | None:
    """An action or a group of them; one that there is not is no answer of "nothing was done". Raises: BadParameter."""
    name = request.query.get("action")
    groups = {each.partition(".")[0] for each in ACTIONS}
    if name is None or name in ACTIONS or name in groups:
        return name
    near = nearest(name, [*ACTIONS, *sorted(groups)])
    meant = f"did you mean {near}?" if near else f"the groups are: {', '.join(sorted(groups))}."
    raise BadParameter(f"There is no action {name[:100]!r} in the audit log; {meant}")


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
