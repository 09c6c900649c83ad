"""The node about itself."""

from importlib.metadata import version

from aiohttp import web

from tocsin_node.node import NODE
from tocsin_node.storage import log
from tocsin_node.web.problems import json_response


async def show(request: web.Request) -> web.Response:
    """GET /v1/node: who this is, the identity object to file reports with, where the log stands."""
    node = request.app[NODE]
    head = node.ledger.head
    async with node.pool.acquire() as conn:
        lost = await log.lost(conn, head.gen)
    return json_response(
        {
            "node_id": node.identity.node_id,
            "org": node.identity.statement.org.name,
            "url": node.identity.statement.urls[0],
            "identity": node.producer,
            "version": version("tocsin"),
            "log": {
                "origin": node.identity.statement.log.origin,
                "size": head.size,
                "root": head.root.hex(),
                "lost": lost,
            },
            "peers": {"active": sum(p.active for p in node.peering.present())},
            "server_time": node.now(),
        }
    )
