"""How the node is, for monitoring and for people."""

from aiohttp import web

from tocsin_node.health import Check, Report, as_json
from tocsin_node.node import NODE
from tocsin_node.web.problems import json_response

STOPPING = Report("down", (Check("node", "down", "stopping", "It ends its work and stops."),))


async def show(request: web.Request) -> web.Response:
    """GET /healthz: 200 while the node does its work, if with trouble; 503 when it cannot."""
    node = request.app[NODE]
    if node.stopping.is_set():
        return json_response(as_json(STOPPING), status=503)
    report = await node.health.report()
    return json_response(as_json(report), status=503 if report.status == "down" else 200)
