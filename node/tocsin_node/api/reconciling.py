"""Comparing with a peer over HTTP: whether both hold the same, and mending what differs."""

from typing import Any

from aiohttp import web

from tocsin_node.node import NODE
from tocsin_node.services.reconciling import Found, Side, Verified
from tocsin_node.web.problems import json_response


async def verify(request: web.Request) -> web.Response:
    """GET /v1/peers/{name}/verify: whether both hold the same of each other's entries; asks the peer."""
    found = await request.app[NODE].comparing.verify(request.match_info["name"])
    return json_response(_verified(request.match_info["name"], found))


async def repair(request: web.Request) -> web.Response:
    """POST /v1/peers/{name}/verify: the same, and what can be mended from here is."""
    found = await request.app[NODE].comparing.verify(request.match_info["name"], repair=True)
    return json_response(_verified(request.match_info["name"], found))


def _verified(name: str, found: Verified) -> dict[str, Any]:
    return {
        "name": name,
        "same": found.same,
        "their_log": _side(found.theirs),
        "our_log": _side(found.ours),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "same": side.same,
        "head": side.head,
        "size": side.size,
        "their_size": side.their_size,
        "compared": side.compared,
        "waiting": side.waiting,
        "held": side.held,
        "asked": side.asked,
        "complete": side.complete,
        "trouble": side.trouble,
        "differences": [_found(each) for each in side.found],
        "kept_out": [_found(each) for each in side.kept_out],
    }


def _found(each: Found) -> dict[str, Any]:
    difference = each.difference
    return {
        "index": difference.at,
        "report_id": each.report_id,
        "here": difference.here,
        "there": difference.there,
        "code": difference.code,
        "remedy": difference.remedy,
        "repaired": each.repaired,
        "note": each.note,
    }
