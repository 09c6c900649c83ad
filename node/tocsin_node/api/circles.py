"""Circles over HTTP: list, show, adopt, leave, and give new members what was there before them."""

from typing import Any

import msgspec
from aiohttp import web

from tocsin_federation.circle import MAX_FILE_BYTES, write_file
from tocsin_node.node import NODE, Node
from tocsin_node.services.circle_backfill import backfill
from tocsin_node.services.circle_standing import Standing
from tocsin_node.services.circles import Seen
from tocsin_node.web.body import read_body, read_json
from tocsin_node.web.paging import flag, moment
from tocsin_node.web.problems import json_response


class Adoption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is said but yes."""


async def listing(request: web.Request) -> web.Response:
    """GET /v1/circles: those adopted, offered and left."""
    node = request.app[NODE]
    return json_response({"items": [_view(node, standing) for standing in await node.circles.all()]})


async def show(request: web.Request) -> web.Response:
    """GET /v1/circles/{name}: with members, epochs, and how their entries come."""
    node = request.app[NODE]
    return json_response(_whole(node, await node.circles.seen(request.match_info["name"])))


async def file(request: web.Request) -> web.Response:
    """GET /v1/circles/{name}/file: the circle's file, from which its admins propose the next epoch."""
    standing = await request.app[NODE].circles.named(request.match_info["name"])
    return web.Response(body=write_file(standing.row.chain), content_type="application/json")


async def adopt(request: web.Request) -> web.Response:
    """POST /v1/circles: our operator's yes to the circle in the file, or to its next epoch."""
    node = request.app[NODE]
    raw = await read_body(request, limit=MAX_FILE_BYTES, content_types=("application/json",))
    standing = await node.circles.adopt(raw, resolve=flag(request, "resolve"))
    return json_response(_whole(node, await node.circles.seen(standing.circle.id.hex())), status=201)


async def adopt_offered(request: web.Request) -> web.Response:
    """POST /v1/circles/{name}/adopt: our operator's yes to a circle that a peer has told us of."""
    node = request.app[NODE]
    await read_json(request, Adoption)
    standing = await node.circles.adopt_offered(request.match_info["name"])
    return json_response(_whole(node, await node.circles.seen(standing.circle.id.hex())))


async def leave(request: web.Request) -> web.Response:
    """POST /v1/circles/{name}/leave: nothing goes to it and nothing is taken from it any more."""
    node = request.app[NODE]
    await read_json(request, Adoption)
    return json_response(_view(node, await node.circles.leave(request.match_info["name"])))


async def fill(request: web.Request) -> web.Response:
    """POST /v1/circles/{name}/backfill: our reports of the circle, to the members that lack them."""
    node = request.app[NODE]
    filled, more = await backfill(
        node.circles,
        node.reporting,
        node.releasing,
        node.peering,
        request.match_info["name"],
        since=moment(request, "since"),
        dry_run=flag(request, "dry_run"),
        reviewed_by=request.query.get("personal_data_reviewed_by"),
    )
    items = [
        {
            "id": one.report_id,
            "outcome": one.outcome,
            "to": [{"name": node.peering.name_of(i), "node_id": i} for i in one.to],
            "code": one.code,
            "hint": one.hint,
        }
        for one in filled
    ]
    return json_response({"items": items, "more": more})


async def circles_of(node: Node, report_id: str) -> list[dict[str, Any]]:
    """The circles that a report was addressed to, for `report show`."""
    found = await node.circles.of_report(report_id)
    return [{"id": s.circle.id.hex(), "name": s.newest.name} for s in found]


def _view(node: Node, standing: Standing) -> dict[str, Any]:
    manifest, row = standing.newest, standing.row
    return {
        "id": standing.circle.id.hex(),
        "name": manifest.name,
        "state": standing.state,
        "epoch": manifest.epoch,
        "members": len(manifest.members),
        "member": node.identity.node_id in manifest.members,
        "hidden": standing.circle.hidden,
        "max_tlp": manifest.max_tlp.value,
        "admins": len(manifest.admins),
        "threshold": manifest.threshold,
        "expires_at": manifest.expires_at,
        "closed": standing.closed(node.identity.node_id, node.now()),
        "told_by": None if row.told_by is None else node.peering.name_of(row.told_by),
        "changed_at": row.changed_at,
    }


def _whole(node: Node, seen: Seen) -> dict[str, Any]:
    standing, manifest = seen.standing, seen.standing.newest
    counts = {count.origin: count for count in seen.counts}
    return _view(node, standing) | {
        "frozen_at": standing.frozen_at,
        "admin_keys": [key.hex() for key in manifest.admins],
        "nodes": [_member(node, seen, member) for member in manifest.members],
        "entries": [
            {
                "name": node.peering.name_of(origin),
                "node_id": origin,
                "entries": count.entries,
                "last": count.last,
                "missing": count.missing,
                "doubled": count.doubled,
            }
            for origin, count in counts.items()
        ],
    }


def _member(node: Node, seen: Seen, member: str) -> dict[str, Any]:
    peer = node.peering.by_id(member)
    us = member == node.identity.node_id
    return {
        "name": node.peering.name_of(member),
        "node_id": member,
        "us": us,
        "peer": "us" if us else "none" if peer is None else peer.row.state,
        "max_tlp_out": None if peer is None else peer.row.max_tlp_out,
        "knows_epoch": seen.standing.circle.epoch if us else seen.told.get(member),
    }
