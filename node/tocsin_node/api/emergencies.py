"""Emergencies over HTTP: declare, update, stand down, answer, and see who says what."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from tocsin_federation.calls import Said, Uuid
from tocsin_node.links.alert_text import foreign
from tocsin_node.node import NODE, Node
from tocsin_node.services.emergencies import Called, Declaration, person
from tocsin_node.services.emergency_view import House, Seen, screen, summary, times
from tocsin_node.storage import emergencies, emergency_answers
from tocsin_node.web.auth import caller
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import flag, integer, page_limit
from tocsin_node.web.problems import json_response
from tocsin_schema.remark import check_remark


class StepRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One response step."""

    name: str
    description: str = ""


class DeclareRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: the person who declares; `key`: a UUID, so that asking again is the same emergency."""

    report_id: str
    reason: str
    by: str
    steps: tuple[StepRequest, ...] = ()
    drill: bool = False
    local: bool = False
    to: tuple[str, ...] | None = None
    key: Uuid | None = None
    dry_run: bool = False


class FollowRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What changes, or why it is over. `steps` come to those there are; `to`: further peers that have the report."""

    reason: str
    by: str
    steps: tuple[StepRequest, ...] = ()
    to: tuple[str, ...] = ()


class AnswerRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`text`: in one's own words; of a drill it goes nowhere and may not be given."""

    says: Said
    by: str | None = None
    text: Annotated[str, Meta(max_length=2000)] = ""


async def declare(request: web.Request) -> web.Response:
    """POST /v1/emergencies: 201 called, 200 unchanged or dry run."""
    wanted = await read_json(request, DeclareRequest)
    declaration = Declaration(
        wanted.report_id,
        wanted.reason,
        person(wanted.by),
        steps=_steps(wanted.steps),
        drill=wanted.drill,
        local=wanted.local,
        to=wanted.to,
        key=wanted.key,
    )
    done = await request.app[NODE].emergencies.declare(declaration, dry_run=wanted.dry_run)
    return json_response(
        await _said(request.app[NODE], done), status=201 if done.outcome == "called" else 200
    )


async def update(request: web.Request) -> web.Response:
    """POST /v1/emergencies/{id}/update: tell all that were called what changes."""
    wanted = await read_json(request, FollowRequest)
    done = await request.app[NODE].emergencies.follow(
        request.match_info["id"],
        "updated",
        reason=wanted.reason,
        by=person(wanted.by),
        steps=_steps(wanted.steps),
        to=wanted.to,
    )
    return json_response(await _said(request.app[NODE], done))


async def stand_down(request: web.Request) -> web.Response:
    """POST /v1/emergencies/{id}/stand-down: it is over, for all that were called."""
    wanted = await read_json(request, FollowRequest)
    done = await request.app[NODE].emergencies.follow(
        request.match_info["id"],
        "stood-down",
        reason=wanted.reason,
        by=person(wanted.by),
        steps=_steps(wanted.steps),
        to=wanted.to,
    )
    return json_response(await _said(request.app[NODE], done))


async def answer(request: web.Request) -> web.Response:
    """POST /v1/emergencies/{id}/answer: say whether we are affected."""
    wanted = await read_json(request, AnswerRequest)
    by = foreign(wanted.by or "", 120) or caller(request).name
    node = request.app[NODE]
    known = await node.emergencies.answer(request.match_info["id"], wanted.says, by=by, text=wanted.text)
    return json_response(await _whole(node, known.id))


async def listing(request: web.Request) -> web.Response:
    """GET /v1/emergencies: newest first; `open=1` only those not stood down; `drill=1` only drills, `drill=0` none."""
    node, limit = request.app[NODE], page_limit(request)
    await node.auditing.seen("emergency.list")
    found = await node.emergencies.list(
        open_only=flag(request, "open"),
        drill=flag(request, "drill") if "drill" in request.query else None,
        before=integer(request, "cursor"),
        limit=limit,
    )
    following = str(found[-1].nth) if len(found) == limit else None
    house = _house(node)
    return json_response({"items": [summary(each, house) for each in found], "next": following})


async def show(request: web.Request) -> web.Response:
    """GET /v1/emergencies/{id}: who was called, how far it got there, who says what."""
    node = request.app[NODE]
    found = await _seen(node, request.match_info["id"])
    await _noted(node, found)
    return json_response(screen(found, _house(node)))


async def show_times(request: web.Request) -> web.Response:
    """GET /v1/emergencies/{id}/times: from the declaration on, in seconds."""
    node = request.app[NODE]
    found = await _seen(node, request.match_info["id"])
    await _noted(node, found)
    return json_response(times(found, _house(node)))


async def _noted(node: Node, found: Seen) -> None:
    await node.auditing.seen("emergency.read", f"emergency:{found.emergency.id}")


def _steps(steps: tuple[StepRequest, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((step.name, step.description) for step in steps)


def _house(node: Node) -> House:
    return House(node.identity.node_id, node.peering.name_of)


async def _said(node: Node, done: Called) -> dict[str, Any]:
    return {
        "outcome": done.outcome,
        "emergency": None if done.emergency is None else await _whole(node, done.emergency.id),
        "to": [{"name": p.name, "node_id": p.node_id} for p in done.release.to],
        "withheld": [
            {"name": w.peer.name, "code": w.code, "reason": w.reason} for w in done.release.withheld
        ],
    }


async def _whole(node: Node, emergency: str) -> dict[str, Any]:
    return screen(await _seen(node, emergency), _house(node))


async def _seen(node: Node, emergency: str) -> Seen:
    """All that is known of an emergency. Raises: EmergencyUnknown."""
    each = await node.emergencies.get(emergency)
    us = node.identity.node_id
    async with node.pool.acquire() as conn:
        calls = await emergencies.calls(conn, each.id)
        answers = await emergency_answers.of_emergency(conn, each.id)
        here = await emergency_answers.here(conn, us, each.id)
    says = {
        node_id: (one.said, remark.text if (remark := check_remark(one.bundle).remark) else "")
        for node_id, one in (await node.remarks.exposures(each.report_id)).items()
    }
    return Seen(each, calls, answers, here, says)
