"""Complaints over HTTP: who passed on what its marking forbids, and the proof."""

from typing import Any

from aiohttp import web

from tocsin_node.api.report_item import node_id_of
from tocsin_node.node import NODE, Node
from tocsin_node.services.complaints import ComplaintUnknown
from tocsin_node.storage.complaints import Complaint
from tocsin_node.web.paging import flag
from tocsin_node.web.problems import json_response


async def listing(request: web.Request) -> web.Response:
    """GET /v1/complaints: the newest 200, of all or `against` one peer."""
    node = request.app[NODE]
    name = request.query.get("against")
    found = await node.complaints.listing(None if name is None else node_id_of(node, name))
    return json_response({"items": [_view(node, each) for each in found]})


async def evidence(request: web.Request) -> web.Response:
    """GET /v1/complaints/{id}/evidence: a C2SP tlog-proof of the entry complained of; `disclose=1`: with the report."""
    number = request.match_info["id"]
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise ComplaintUnknown
    proof = await request.app[NODE].complaints.evidence(int(number), disclose=flag(request, "disclose"))
    return web.Response(body=proof, content_type="text/plain", charset="utf-8")


def _view(node: Node, each: Complaint) -> dict[str, Any]:
    def named(node_id: str) -> dict[str, str]:
        return {"name": node.peering.name_of(node_id), "node_id": node_id}

    return {
        "id": each.id,
        "by": named(each.by),
        "against": named(each.against),
        "author": named(each.author),
        "report_id": each.report_id,
        "ver": each.ver,
        "tlp": each.tlp,
        "recipients": [named(i) for i in each.recipients],
        "entry": {"gen": each.gen, "index": each.idx, "leaf_hash": each.leaf_hash.hex()},
        "at": each.at,
        "evidence_until": each.until,
        "author_told": each.told or each.author == node.identity.node_id,
    }
