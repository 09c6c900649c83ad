"""Remarks over HTTP: say what we think of a report, and see what others say."""

from typing import Any

import orjson
from aiohttp import web

from tocsin_node.node import NODE, Node
from tocsin_node.services.remarks import Remarked
from tocsin_node.storage.remarks import StoredRemark
from tocsin_node.web.body import read_body
from tocsin_node.web.paging import flag
from tocsin_node.web.problems import json_response
from tocsin_schema.remark import MAX_BYTES, check_remark

STIX = "application/stix+json"


async def make(request: web.Request) -> web.Response:
    """POST /v1/reports/{id}/remarks: 201 stored, 200 unchanged or dry run."""
    node = request.app[NODE]
    raw = await read_body(request, limit=MAX_BYTES, content_types=(STIX,))
    done = await node.remarks.make(
        raw,
        request.match_info["id"],
        to=request.query.getall("to", None),
        dry_run=flag(request, "dry_run"),
    )
    return json_response(_answer(done), status=201 if done.outcome == "stored" else 200)


async def listing(request: web.Request) -> web.Response:
    """GET /v1/reports/{id}/remarks: what everybody says about it, oldest first."""
    node, report_id = request.app[NODE], request.match_info["id"]
    found = await remarks_of(node, report_id)
    await node.auditing.seen("report.read", f"report:{report_id}")
    return json_response({"items": found})


async def remarks_of(node: Node, report_id: str) -> list[dict[str, Any]]:
    """The remarks on a report as JSON, oldest first. Raises: ReportUnknown."""
    return [_item(node, one) for one in await node.remarks.of_report(report_id)]


def _answer(done: Remarked) -> dict[str, Any]:
    remark, place = done.remark, done.place
    return {
        "id": remark.id,
        "report_id": remark.incident_id,
        "ver": done.ver,
        "outcome": done.outcome,
        "kind": remark.kind,
        "said": remark.said or None,
        "revoked": remark.revoked,
        "tlp": remark.tlp.value,
        "bytes": len(remark.raw),
        "to": [{"name": p.name, "node_id": p.node_id} for p in done.release.to],
        "withheld": [
            {"name": w.peer.name, "code": w.code, "reason": w.reason} for w in done.release.withheld
        ],
        "entry": None
        if place is None
        else {"gen": place.gen, "index": place.index, "leaf_hash": place.leaf_hash.hex()},
    }


def _item(node: Node, stored: StoredRemark) -> dict[str, Any]:
    remark = check_remark(stored.bundle).remark  # None: an older program took it, and this one would not
    return {
        "kind": stored.kind,
        "said": stored.said or None,
        "count": remark.count if remark else None,
        "first_seen": remark.first_seen if remark else None,
        "last_seen": remark.last_seen if remark else None,
        "text": (remark.text if remark else "") or None,
        "by": {
            "name": node.peering.name_of(stored.node),
            "node_id": stored.node,
            "ours": stored.node == node.identity.node_id,
        },
        "ver": stored.ver,
        "tlp": stored.tlp,
        "created": stored.created,
        "modified": stored.modified,
        "revoked": stored.revoked,
        "disputed": stored.disputed,
        "stored_at": stored.stored_at,
        "to": [{"name": node.peering.name_of(i), "node_id": i} for i in stored.audience],
        "bundle": orjson.loads(stored.bundle),
    }
