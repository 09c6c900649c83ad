"""Alerts over HTTP: list, show, acknowledge, test."""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from tocsin_node.links.alert_text import foreign
from tocsin_node.node import NODE, Node
from tocsin_node.services.heartbeat import NONE as NO_HEARTBEAT
from tocsin_node.storage.alert_sources import sources
from tocsin_node.web.auth import caller
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import flag, identifier, integer, page_limit
from tocsin_node.web.problems import json_response

BY_BYTES = 120


class AcknowledgeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`note`: a word to those who look later. `by`: who it is, as the token's holder says. Both stay in this house."""

    note: str | None = None
    by: str | None = None


async def listing(request: web.Request) -> web.Response:
    """GET /v1/alerts: newest first; `open=1` leaves out the acknowledged."""
    limit = page_limit(request)
    found = await request.app[NODE].alarms.list(
        open_only=flag(request, "open"), before=integer(request, "cursor"), limit=limit
    )
    following = str(found[-1]["id"]) if len(found) == limit else None
    return json_response({"items": await _named(request.app[NODE], found), "next": following})


async def show(request: web.Request) -> web.Response:
    """GET /v1/alerts/{id}."""
    return await _answer(request, await request.app[NODE].alarms.get(identifier(request)))


async def acknowledge(request: web.Request) -> web.Response:
    """POST /v1/alerts/{id}/ack: as a reaction in the room would."""
    wanted = await read_json(request, AcknowledgeRequest)
    by = foreign(wanted.by or "", BY_BYTES) or caller(request).name
    alert = await request.app[NODE].alarms.acknowledge(
        identifier(request), by=by, via="api", note=wanted.note
    )
    return await _answer(request, alert)


async def test(request: web.Request) -> web.Response:
    """POST /v1/alerts/test: an alert that says TEST, the whole way."""
    return await _answer(request, await request.app[NODE].alarms.test(), status=201)


async def check(request: web.Request) -> web.Response:
    """GET /v1/alerts/check: whether an alert would get to a person now; nothing is sent."""
    node = request.app[NODE]
    beat = NO_HEARTBEAT if node.heartbeat is None else await node.heartbeat.check()
    last = None if node.heartbeat is None else await node.heartbeat.last()
    found = await node.alarms.check(beat)
    return json_response(found | {"heartbeat_age_s": None if last is None else last.sent_s})


async def _answer(request: web.Request, alert: dict[str, Any], *, status: int = 200) -> web.Response:
    (named,) = await _named(request.app[NODE], [alert])
    return json_response(named, status=status)


async def _named(node: Node, alerts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With `from`: who filed the report, as we call it. `origin` is the name that it claims."""
    async with node.pool.acquire() as conn:
        known = await sources(conn, [alert["id"] for alert in alerts])
    return [alert | {"from": _source(node, *known[alert["id"]])} for alert in alerts]


def _source(node: Node, ours: bool, origin: str | None) -> dict[str, Any]:
    node_id = origin or node.identity.node_id
    return {"name": node.peering.name_of(node_id), "node_id": node_id, "ours": ours}
