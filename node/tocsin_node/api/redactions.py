"""Redactions over HTTP: what a report is a redaction of, and which redactions it has."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tocsin_node.errors import NodeError
from tocsin_node.node import Node
from tocsin_node.services.audience import Left
from tocsin_node.services.redactions import Basis, Redacted
from tocsin_node.storage.redactions import Source
from tocsin_node.storage.reports import StoredReport


def basis_of(request: web.Request) -> Basis | None:
    """The record and its version that the query says the report was made from.

    Raises: NodeError `bad-parameter`.
    """
    record, ver = request.query.get("redaction_of"), request.query.get("record_ver", "")
    if record is None:
        return None
    if not (ver.isascii() and ver.isdecimal() and 0 < int(ver[:10]) < 2**31):
        raise NodeError(
            "record_ver must be the number of the version that was redacted.",
            code="bad-parameter",
            hint="`GET /v1/reports/{id}` gives it as `ver`.",
        )
    return Basis(record, int(ver[:10]))


async def links_of(node: Node, report: StoredReport) -> dict[str, Any]:
    """For a report's page: `redaction_of` its record, or its own `redactions`."""
    source = await node.redactions.source(report.id)
    made = () if source else await node.redactions.of(report.id)
    return {
        "redaction_of": None if source is None else source.record_id,
        "record": None if source is None else _record(source),
        "redactions": redactions_json(node, made),
    }


def redactions_json(node: Node, made: Sequence[Redacted]) -> list[dict[str, Any]]:
    """Redactions of a record as its page and the answer to an act on it show them."""
    return [
        {
            "id": each.id,
            "ver": each.ver,
            "tlp": each.tlp,
            "state": each.state,
            "clearance": each.clearance,
            "record_ver": each.record_ver,
            "stale": each.stale,
            "to": [
                {"name": node.peering.name_of(node_id), "node_id": node_id, "current": current}
                for node_id, current in each.to
            ],
            "left_behind": left_json(each.left),
        }
        for each in made
    ]


def left_json(left: Sequence[Left]) -> list[dict[str, Any]]:
    """Who has an earlier version and does not get this one."""
    return [
        {"name": each.name, "node_id": each.node_id, "code": each.code, "reason": each.reason}
        for each in left
    ]


def _record(source: Source) -> dict[str, Any]:
    stale = source.record_ver < source.ver
    return {
        "id": source.record_id,
        "record_ver": source.record_ver,
        "ver": source.ver,
        "state": source.state,
        "stale": stale,
    }
