"""Alerts over HTTP: list, show, what people do about them, test."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from tocsin_node.errors import NodeError
from tocsin_node.links.alert_text import foreign
from tocsin_node.node import NODE, Node
from tocsin_node.services.alarm_route import explain
from tocsin_node.services.alarm_sense import unrung
from tocsin_node.services.heartbeat import NONE as NO_HEARTBEAT
from tocsin_node.services.report_refusals import FindingsRefused, ReportUnknown
from tocsin_node.storage import reports
from tocsin_node.storage.alert_sources import sources
from tocsin_node.web.auth import caller
from tocsin_node.web.body import read_body, read_json
from tocsin_node.web.paging import flag, identifier, integer, page_limit
from tocsin_node.web.problems import json_response
from tocsin_schema.check import check_bundle
from tocsin_schema.report import IncidentReport

BY_BYTES = 120
STIX = "application/stix+json"


class ActRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`note`: a word to those who look later. `by`: who it is, as the token's holder says. Both stay in this house.

    `undo`: take back what stands of this kind, whoever did it.
    """

    note: str | None = None
    by: str | None = None
    undo: bool = False


class MuteRequest(ActRequest, frozen=True, forbid_unknown_fields=True):
    """`minutes`: for how long."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] | None = None


class CallRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As in `ActRequest`; who was called cannot be called back."""

    note: str | None = None
    by: str | None = None


class MuteEmpty(NodeError):
    """A mute needs its length in minutes."""

    code = "mute-without-length"
    hint = "Send `minutes`, or `undo`."


async def listing(request: web.Request) -> web.Response:
    """GET /v1/alerts: newest first; `open=1` leaves out the acknowledged."""
    limit = page_limit(request)
    await request.app[NODE].auditing.seen("alert.list")
    found = await request.app[NODE].alarms.list(
        open_only=flag(request, "open"), before=integer(request, "cursor"), limit=limit
    )
    following = str(found[-1]["id"]) if len(found) == limit else None
    return json_response({"items": await _named(request.app[NODE], found), "next": following})


async def show(request: web.Request) -> web.Response:
    """GET /v1/alerts/{id}."""
    node = request.app[NODE]
    found = await node.alarms.get(identifier(request))
    await node.auditing.seen("alert.read", f"alert:{found['id']}")
    return await _answer(request, found)


async def acknowledge(request: web.Request) -> web.Response:
    """POST /v1/alerts/{id}/ack: as a reaction in the room would."""
    return await _act(request, "ack", await read_json(request, ActRequest))


async def take(request: web.Request) -> web.Response:
    """POST /v1/alerts/{id}/take: somebody works on it, and has seen it."""
    return await _act(request, "take", await read_json(request, ActRequest))


async def resolve(request: web.Request) -> web.Response:
    """POST /v1/alerts/{id}/resolve: it is over."""
    return await _act(request, "resolve", await read_json(request, ActRequest))


async def mute(request: web.Request) -> web.Response:
    """POST /v1/alerts/{id}/mute: nobody is called for a while."""
    wanted = await read_json(request, MuteRequest)
    if wanted.minutes is None and not wanted.undo:
        raise MuteEmpty("It is not said for how long.")
    span = None if wanted.minutes is None else timedelta(minutes=wanted.minutes)
    return await _act(request, "mute", wanted, span)


async def escalate(request: web.Request) -> web.Response:
    """POST /v1/alerts/{id}/escalate: the next are called now."""
    wanted = await read_json(request, CallRequest)
    alarms = request.app[NODE].alarms
    return await _answer(
        request,
        await alarms.escalate(identifier(request), by=named(request, wanted.by), note=wanted.note),
    )


async def test(request: web.Request) -> web.Response:
    """POST /v1/alerts/test: an alert that says TEST, the whole way."""
    return await _answer(request, await request.app[NODE].alarms.test(), status=201)


async def _act(
    request: web.Request,
    kind: Literal["ack", "take", "mute", "resolve"],
    wanted: ActRequest,
    span: timedelta | None = None,
) -> web.Response:
    alarms, by = request.app[NODE].alarms, named(request, wanted.by)
    if wanted.undo:
        return await _answer(request, await alarms.undo(identifier(request), kind, by=by))
    return await _answer(
        request, await alarms.act(identifier(request), kind, by=by, note=wanted.note, span=span)
    )


def named(request: web.Request, by: str | None) -> str:
    """Who acts: as the token's holder says, else the token's name."""
    return foreign(by or "", BY_BYTES) or caller(request).name


async def route_of_bundle(request: web.Request) -> web.Response:
    """POST /v1/alerts/route: the way that an alert about a report of ours would take; nothing is stored or sent."""
    node = request.app[NODE]
    limit = node.settings.limits.max_report_bytes
    raw = await read_body(request, limit=limit, content_types=(STIX,))
    return await _route(node, _checked(raw), node.identity.node_id)


async def route_of_report(request: web.Request) -> web.Response:
    """GET /v1/reports/{id}/route: the same for a report that is here, as if it came now."""
    node = request.app[NODE]
    async with node.pool.acquire() as conn:
        held = await reports.get(conn, request.match_info["id"])
    if held is None:
        raise ReportUnknown
    return await _route(node, _checked(held.bundle), held.origin)


def _checked(raw: bytes) -> IncidentReport:
    """Raises: FindingsRefused."""
    checked = check_bundle(raw)
    if checked.report is None:
        raise FindingsRefused(checked.findings)
    return checked.report


async def _route(node: Node, report: IncidentReport, origin: str) -> web.Response:
    ours = origin == node.identity.node_id
    name = node.identity.statement.org.name if ours else node.peering.name_of(origin)
    async with node.pool.acquire() as conn:
        told = await explain(conn, node.alarms, report, node_id=origin, origin=name, ours=ours)
    return json_response(told)


async def check(request: web.Request) -> web.Response:
    """GET /v1/alerts/check: whether an alert would get to a person now; nothing is sent."""
    node = request.app[NODE]
    beat = NO_HEARTBEAT if node.heartbeat is None else await node.heartbeat.check()
    last = None if node.heartbeat is None else await node.heartbeat.last()
    found = await node.alarms.check(beat, *unrung(node.settings))
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
