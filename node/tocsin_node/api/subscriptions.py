"""Subscriptions over HTTP: make, list, end."""

from aiohttp import web

from tocsin_node.api.alerts import named
from tocsin_node.api.oncall import ClearRequest
from tocsin_node.node import NODE
from tocsin_node.services.subscriptions import Wanted
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import identifier
from tocsin_node.web.problems import json_response


async def subscribe(request: web.Request) -> web.Response:
    """POST /v1/subscriptions: tell somebody of some alerts besides the room."""
    wanted = await read_json(request, Wanted)
    made = await request.app[NODE].alarms.subscriptions.subscribe(wanted, by=named(request, wanted.by))
    return json_response(made, status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /v1/subscriptions: those that stand."""
    return json_response({"items": await request.app[NODE].alarms.subscriptions.standing()})


async def end(request: web.Request) -> web.Response:
    """POST /v1/subscriptions/{id}/end: tell them no more."""
    wanted = await read_json(request, ClearRequest)
    subscriptions = request.app[NODE].alarms.subscriptions
    return json_response(await subscriptions.end(identifier(request), by=named(request, wanted.by)))
