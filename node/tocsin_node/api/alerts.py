"""Alerts over HTTP: list, show, acknowledge, test."""

import msgspec
from aiohttp import web

from tocsin_node.node import NODE
from tocsin_node.web.auth import caller
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import flag, identifier, integer, page_limit
from tocsin_node.web.problems import json_response


class AcknowledgeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`note`: a word to those who look later; it stays in this organisation."""

    note: str | None = None


async def listing(request: web.Request) -> web.Response:
    """GET /v1/alerts: newest first; `open=1` leaves out the acknowledged."""
    limit = page_limit(request)
    found = await request.app[NODE].alarms.list(
        open_only=flag(request, "open"), before=integer(request, "cursor"), limit=limit
    )
    following = str(found[-1]["id"]) if len(found) == limit else None
    return json_response({"items": found, "next": following})


async def show(request: web.Request) -> web.Response:
    """GET /v1/alerts/{id}."""
    return json_response(await request.app[NODE].alarms.get(identifier(request)))


async def acknowledge(request: web.Request) -> web.Response:
    """POST /v1/alerts/{id}/ack: as a reaction in the room would."""
    wanted = await read_json(request, AcknowledgeRequest)
    alert = await request.app[NODE].alarms.acknowledge(
        identifier(request), by=caller(request).name, via="api", note=wanted.note
    )
    return json_response(alert)


async def test(request: web.Request) -> web.Response:
    """POST /v1/alerts/test: an alert that says TEST, the whole way."""
    return json_response(await request.app[NODE].alarms.test(), status=201)
