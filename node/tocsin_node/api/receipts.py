"""Receipts over HTTP: how far what we sent of a report got, peer by peer."""

from typing import Any

from aiohttp import web

from tocsin_node.api.recalls import recall_item
from tocsin_node.api.relay_view import named, passed_on
from tocsin_node.errors import NodeError
from tocsin_node.node import NODE, Node
from tocsin_node.services.ownership import NotOurs
from tocsin_node.services.report_refusals import ReportUnknown
from tocsin_node.storage.onward_readers import Reader
from tocsin_node.storage.receipts import Progress
from tocsin_node.web.problems import json_response


async def listing(request: web.Request) -> web.Response:
    """GET /v1/reports/{id}/receipts: of each entry and recipient, in the order of our log, what is known."""
    node, report_id = request.app[NODE], request.match_info["id"]
    found: list[Progress] = []
    refused: NodeError | None = None
    try:  # first: what erases a report writes its recall in the same transaction, so that one of both is seen
        found = await node.receipting.of_report(report_id)
    except (ReportUnknown, NotOurs) as exc:
        refused = exc
    recalls = [recall_item(node, one) for one in await node.recalling.of_report(report_id)]
    onward = await passed_on(node, report_id)
    readers = [
        _reader(node, one) for one in await node.receipting.beyond(report_id, node.erasing.tag(report_id))
    ]
    if refused is not None and not (recalls or onward or readers):
        raise refused  # else it is erased, or we passed it on: how others obey is still to be known
    items = [_item(node, one) for one in found]
    return json_response({"items": items, "recalls": recalls, "passed_on": onward, "readers": readers})


def _reader(node: Node, one: Reader) -> dict[str, Any]:
    stages = (
        ("purged", one.purged_at),
        ("narrowed", one.narrowed_at),
        ("waiting", one.waiting_at),
        ("alerted", one.alerted_at),
        (one.outcome, one.outcome_at),
    )
    stage, since = next(((name, at) for name, at in stages if name and at), ("passed-on", one.passed_at))
    return {
        "by": named(node, one.by) | {"ours": one.by == node.identity.node_id},
        "peer": named(node, one.node),
        "ver": one.ver,
        "stage": stage,
        "since": since,
        "code": one.code if stage == one.outcome else None,
        "passed_at": one.passed_at,
    }


def _item(node: Node, one: Progress) -> dict[str, Any]:
    return {
        "peer": {"name": node.peering.name_of(one.node), "node_id": one.node},
        "kind": one.kind,
        "ver": one.ver,
        "entry": {"gen": one.gen, "index": one.index, "leaf_hash": one.leaf_hash.hex()},
        "stage": _stage(one),
        "queued_at": one.queued_at,
        "sent_at": one.sent_at,
        "verified_at": one.verified_at,
        "outcome": one.outcome,
        "code": one.code,
        "outcome_at": one.outcome_at,
        "alerted_at": one.alerted_at,
        "acknowledged_at": one.acknowledged_at,
    }


def _stage(one: Progress) -> str:
    """The furthest that is known."""
    if one.acknowledged_at is not None:
        return "acknowledged"
    if one.alerted_at is not None:
        return "alerted"
    if one.outcome is not None:
        return one.outcome
    if one.verified_at is not None:
        return "verified"
    return "queued" if one.sent_at is None else "sent"
