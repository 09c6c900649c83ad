"""Silences over HTTP: list, make, end."""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from tocsin_node.api.report_item import node_id_of
from tocsin_node.links.alert_text import foreign
from tocsin_node.node import NODE, Node
from tocsin_node.services.silencing import Matchers
from tocsin_node.web.auth import caller
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import flag, identifier, integer, page_limit
from tocsin_node.web.problems import json_response

BY_BYTES = 120
Line = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]


class SilenceRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`for_s`: how long. `origin`: `us`, or a peer by name or NodeID. `by`: who, as the token's holder says."""

    reason: Line
    for_s: Annotated[int, msgspec.Meta(ge=1, le=2_592_000)]
    by: Line | None = None
    origin: Line | None = None
    report_id: Line | None = None
    system: Line | None = None
    harm: Line | None = None
    technique: Line | None = None
    max_grade: Literal["I", "II", "III", "IV"] = "II"


class ExpireRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: who ends it, as the token's holder says."""

    by: Line | None = None


async def listing(request: web.Request) -> web.Response:
    """GET /v1/silences: newest first; `all=1` also those that have ended."""
    node, limit = request.app[NODE], page_limit(request)
    found = await node.silences.list(
        active_only=not flag(request, "all"), before=integer(request, "cursor"), limit=limit
    )
    following = str(found[-1]["id"]) if len(found) == limit else None
    return json_response({"items": [_named(node, each) for each in found], "next": following})


async def add(request: web.Request) -> web.Response:
    """POST /v1/silences."""
    node = request.app[NODE]
    wanted = await read_json(request, SilenceRequest)
    now = node.now()
    matchers = Matchers(
        origin=None if wanted.origin is None else node_id_of(node, wanted.origin),
        report_id=wanted.report_id,
        system=wanted.system,
        harm=wanted.harm,
        technique=wanted.technique,
        max_grade=wanted.max_grade,
    )
    made = await node.silences.add(
        matchers,
        by=_by(request, wanted.by),
        reason=wanted.reason,
        until=now + timedelta(seconds=wanted.for_s),
        now=now,
    )
    return json_response(_named(node, made), status=201)


async def expire(request: web.Request) -> web.Response:
    """POST /v1/silences/{id}/expire."""
    wanted = await read_json(request, ExpireRequest)
    node = request.app[NODE]
    ended = await node.silences.expire(identifier(request), by=_by(request, wanted.by))
    return json_response(_named(node, ended))


def _by(request: web.Request, given: str | None) -> str:
    return foreign(given or "", BY_BYTES) or caller(request).name


def _named(node: Node, silence: dict[str, Any]) -> dict[str, Any]:
    """With the origin as it is called here."""
    origin = silence["origin"]
    name = (
        None if origin is None else "us" if origin == node.identity.node_id else node.peering.name_of(origin)
    )
    return {**silence, "origin": name}
