"""Who is on call, over HTTP: show, override for a while, clear."""

from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web

from tocsin_node.api.alerts import named
from tocsin_node.links.alert_text import foreign
from tocsin_node.node import NODE
from tocsin_node.services.alarms import NOTE_BYTES
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import identifier, moment
from tocsin_node.web.problems import json_response

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class OverrideRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begins_at": "from"}):
    """`rota`: its name. Times with their offset; without `from` it begins now."""

    rota: str
    person: str
    until: Moment
    begins_at: Moment | None = None
    note: str | None = None
    by: str | None = None


class ClearRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: who it is, as the token's holder says."""

    by: str | None = None


async def show(request: web.Request) -> web.Response:
    """GET /v1/oncall: who is on call `at` a moment, now unless given; with `until` every shift up to there."""
    node = request.app[NODE]
    at, until = moment(request, "at"), moment(request, "until")
    async with node.pool.acquire() as conn:
        return json_response(await node.alarms.oncall.show(conn, at, until=until))


async def override(request: web.Request) -> web.Response:
    """POST /v1/oncall/overrides: somebody stands in for a while."""
    wanted = await read_json(request, OverrideRequest)
    made = await request.app[NODE].alarms.oncall.override(
        wanted.rota,
        wanted.person,
        begins_at=wanted.begins_at,
        ends_at=wanted.until,
        by=named(request, wanted.by),
        note=foreign(wanted.note or "", NOTE_BYTES) or None,
    )
    return json_response(made, status=201)


async def clear(request: web.Request) -> web.Response:
    """POST /v1/oncall/overrides/{id}/clear: the rotation counts again."""
    wanted = await read_json(request, ClearRequest)
    oncall = request.app[NODE].alarms.oncall
    return json_response(await oncall.clear(identifier(request), by=named(request, wanted.by)))
