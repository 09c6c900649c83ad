"""Clusters over HTTP: what several organisations report now."""

from typing import Any

from aiohttp import web

from tocsin_node.node import NODE, Node
from tocsin_node.services.clusters import Cluster
from tocsin_node.web.problems import json_response


async def listing(request: web.Request) -> web.Response:
    """GET /v1/clusters: the most organisations first."""
    node = request.app[NODE]
    await node.auditing.seen("report.list")
    return json_response({"items": [_item(each) for each in await node.clusters.list()]})


async def show(request: web.Request) -> web.Response:
    """GET /v1/clusters/{id}: with its reports, oldest first."""
    node = request.app[NODE]
    found = await node.clusters.get(request.match_info["id"])
    await node.auditing.seen("report.list")
    return json_response(_item(found) | {"members": [_member(node, each) for each in found.members]})


def _item(cluster: Cluster) -> dict[str, Any]:
    names = (
        "id",
        "kind",
        "name",
        "organisations",
        "reports",
        "level",
        "tlp",
        "first_at",
        "last_at",
        "reasons",
    )
    return {name: getattr(cluster, name) for name in names}


def _member(node: Node, member: Any) -> dict[str, Any]:
    return {
        "id": member.report_id,
        "level": member.level,
        "tlp": member.tlp,
        "first_at": member.first_at,
        "origin": {
            "name": node.peering.name_of(member.origin),
            "node_id": member.origin,
            "ours": node.ownership.ours(member),
            "imported": node.ownership.imported(member),
        },
    }
