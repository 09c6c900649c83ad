"""Duplicates over HTTP: what is like a report, and what a person decided about two."""

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from aiohttp import web

from tocsin_node.api.report_item import items_of
from tocsin_node.node import NODE, Node
from tocsin_node.services.duplicates import Suggestion
from tocsin_node.storage.likeness import Decision, Verdict
from tocsin_node.web.body import read_body, read_json
from tocsin_node.web.problems import json_response

STIX = "application/stix+json"
Line = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]


class DecideRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: who says so. Both stay in this organisation."""

    verdict: Verdict
    by: Line
    reason: Line | None = None


async def listing(request: web.Request) -> web.Response:
    """GET /v1/reports/{id}/duplicates: what was decided, then what is like it, the likest first."""
    node = request.app[NODE]
    await node.auditing.seen("report.list")
    return await _answer(node, await node.duplicates.of(request.match_info["id"]))


async def of_bundle(request: web.Request) -> web.Response:
    """POST /v1/duplicates: what is like a report that is not filed; nothing is stored."""
    node = request.app[NODE]
    raw = await read_body(request, limit=node.settings.limits.max_report_bytes, content_types=(STIX,))
    await node.auditing.seen("report.list")
    return await _answer(node, await node.duplicates.of_bundle(raw))


async def telling(request: web.Request) -> web.Response:
    """GET /v1/reports/{id}/duplicates/{other}: whether a new version of the report may name the other."""
    found = await request.app[NODE].duplicates.telling(*_two(request))
    return json_response(asdict(found))


async def decide(request: web.Request) -> web.Response:
    """PUT /v1/reports/{id}/duplicates/{other}: a person says that two are the same event, or are not."""
    wanted = await read_json(request, DecideRequest)
    found = await request.app[NODE].duplicates.decide(
        *_two(request), wanted.verdict, by=wanted.by.strip(), reason=wanted.reason
    )
    return json_response(_decision(found))


async def undo(request: web.Request) -> web.Response:
    """DELETE /v1/reports/{id}/duplicates/{other}: forget what was decided; answers what it was."""
    return json_response(_decision(await request.app[NODE].duplicates.undo(*_two(request))))


def _two(request: web.Request) -> tuple[str, str]:
    return request.match_info["id"], request.match_info["other"]


async def _answer(node: Node, found: list[Suggestion]) -> web.Response:
    items = await items_of(node, [each.report for each in found])
    return json_response({"items": [item | _like(each) for item, each in zip(items, found, strict=True)]})


def _like(found: Suggestion) -> dict[str, Any]:
    return {
        "likeness": found.score,
        "likely": found.likely,
        "reasons": list(found.reasons),
        "decision": None if found.decision is None else _decision(found.decision),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return asdict(decision)
