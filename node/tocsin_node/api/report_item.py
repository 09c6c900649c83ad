"""A report as lists show it, and peers by their names."""

from collections.abc import Sequence
from typing import Any

from tocsin_node.node import Node
from tocsin_node.services.trust import Standing
from tocsin_node.storage.onward import Through
from tocsin_node.storage.reports import StoredReport


async def items_of(node: Node, found: Sequence[StoredReport]) -> list[dict[str, Any]]:
    """The lines of a list."""
    records = await node.redactions.records([each.id for each in found])
    standings = await node.trusting.of_reports(found)
    through = await node.passing_on.through(found)
    return [
        _item_of(node, each, records.get(each.id), standing, through.get(each.id))
        for each, standing in zip(found, standings, strict=True)
    ]


def _item_of(
    node: Node, report: StoredReport, record: str | None, standing: Standing | None, through: Through | None
) -> dict[str, Any]:
    return {
        "id": report.id,
        "ver": report.ver,
        "title": report.name,
        "name": report.name,  # as `title` was called first
        "tlp": report.tlp,
        "grade": report.grade,
        "level": report.level,
        "score": report.score,
        "realization": report.realization,
        "state": report.state,
        "disputed": report.disputed,
        "origin": {
            "name": origin_name(node, report, through),
            "node_id": report.origin,
            "ours": node.ownership.ours(report),
            "imported": node.ownership.imported(report),
        },
        "passed_by": None
        if through is None
        else {"name": node.peering.name_of(through.through), "node_id": through.through},
        "modified": report.modified,
        "stored_at": report.stored_at,
        "redaction_of": record,
        "trust": None if standing is None else standing.trust,
    }


def origin_name(node: Node, report: StoredReport, through: Through | None) -> str:
    """Whose a report is, and through whom it came."""
    name = node.peering.name_of(report.origin)
    return name if through is None else f"{name}, through {node.peering.name_of(through.through)}"


def node_id_of(node: Node, name: str) -> str:
    """The NodeID of `us`, or of a peer by its name or NodeID.

    Raises: PeerUnknown.
    """
    return (
        node.identity.node_id if name in {"us", node.identity.node_id} else node.peering.named(name).node_id
    )
