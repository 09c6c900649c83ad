"""Finding reports over HTTP: lists and searches, and how often each facet occurs."""

from typing import Any

import orjson
from aiohttp import web

from tocsin_node.api.report_item import items_of, node_id_of
from tocsin_node.node import NODE, Node
from tocsin_node.storage.reports import StoredReport
from tocsin_node.storage.search import Wanted
from tocsin_node.web.paging import page_limit
from tocsin_node.web.problems import json_response
from tocsin_node.web.wanted import cursor, place, wanted
from tocsin_schema.words import excerpt, tokens


async def listing(request: web.Request) -> web.Response:
    """GET /v1/reports: newest first, or the best matches first when words are given; `next` continues it."""
    node = request.app[NODE]
    limit = page_limit(request)
    sought, at = _wanted(request, node), place(request)
    found = await node.finding.page(sought, at=at, limit=limit)
    await node.auditing.seen("report.list")
    words = tokens(request.query["q"]) if sought.words is not None else []
    items = await items_of(node, found.items)
    if words:
        items = [item | _snippet(each, words) for item, each in zip(items, found.items, strict=True)]
    return json_response({"items": items, "next": cursor(found.next)})


async def facets(request: web.Request) -> web.Response:
    """GET /v1/reports/facets: counts for each value of each facet among what the same filter finds."""
    node = request.app[NODE]
    await node.auditing.seen("report.list")
    counted = await node.finding.count(_wanted(request, node))
    told = {
        name: [{"value": _shown(node, name, value), "count": number} for value, number in values]
        for name, values in counted.facets.items()
    }
    told["system"] = told.pop("product")
    return json_response({"total": counted.total, "complete": counted.complete, "facets": told})


def _wanted(request: web.Request, node: Node) -> Wanted:
    return wanted(request, lambda name: node_id_of(node, name))


def _shown(node: Node, name: str, value: str) -> str:
    """A value as the filter takes it."""
    match name:
        case "origin":
            return "us" if value == node.identity.node_id else node.peering.name_of(value)
        case "country":
            return value.upper()
        case "grade":
            return value if value == "none" else value.upper()
        case _:
            return value


def _snippet(report: StoredReport, words: list[str]) -> dict[str, Any]:
    objects = orjson.loads(report.bundle)["objects"]
    text = next((each.get("description", "") for each in objects if each["id"] == report.id), "")
    return {"snippet": excerpt(text, words)}
