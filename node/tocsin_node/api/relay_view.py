"""What is handed on between recipients, and what is passed on to others, as the API shows it."""

from typing import Any

from tocsin_node.node import Node
from tocsin_node.services.peer import Peer
from tocsin_node.storage import relays, remote
from tocsin_node.storage.reports import StoredReport


async def relays_of(node: Node, peer: Peer) -> dict[str, Any]:
    """What went from hand to hand with a peer, and what of its own came through others and it has yet to serve."""
    async with node.pool.acquire() as conn:
        rows = await relays.of_peer(conn, peer.node_id)
        log = await remote.standing(conn, peer.node_id, peer.identity.statement.log.gen)
        awaited = [] if log is None else await relays.awaited(conn, log)
    return {
        "relays": [
            {
                "author": named(node, row.origin),
                "node": named(node, row.node),
                "given": row.given,
                "entries": row.entries,
                "first_at": row.first_at,
                "last_at": row.last_at,
                "problem": row.problem_code and {"code": row.problem_code, "at": row.problem_at},
            }
            for row in rows
        ],
        "awaited": [named(node, via) | {"entries": count} for via, count in awaited],
    }


async def through(node: Node, report: StoredReport) -> dict[str, Any] | None:
    """Who gave us this version in its author's place; `awaited`: the author has still to serve it itself."""
    if report.log_gen is None or report.log_index is None:
        return None
    async with node.pool.acquire() as conn:
        came = await relays.via(conn, report.origin, report.log_gen, report.log_index)
    return None if came is None else named(node, came[0]) | {"awaited": came[1]}


async def passed_on(node: Node, report_id: str) -> list[dict[str, Any]]:
    """Who has passed a report on to whom, as far as we know; oldest first."""
    return [
        {
            "by": named(node, one.by) | {"ours": one.by == node.identity.node_id},
            "ver": one.ver,
            "to": [named(node, i) for i in one.recipients],
            "clients": one.client,
            "at": one.at,
        }
        for one in await node.passing_on.of_report(report_id)
    ]


def named(node: Node, node_id: str) -> dict[str, Any]:
    """A node by our name for it, or by its NodeID where we have none."""
    return {"name": node.peering.name_of(node_id), "node_id": node_id}
