"""Duties over HTTP: list, show, track, confirm, dismiss, settle."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from tocsin_node.node import NODE
from tocsin_node.services.duties import Decider
from tocsin_node.web.auth import caller
from tocsin_node.web.body import read_json
from tocsin_node.web.errors import BadParameter
from tocsin_node.web.paging import flag, identifier, page_limit
from tocsin_node.web.problems import json_response

_LINE = r"^(?=[\s\S]*\S)[^\x00-\x1f\x7f-\x9f]+\Z"
_LINES = r"^(?=[\s\S]*\S)[^\x00-\x08\x0b-\x1f\x7f-\x9f]+\Z"
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_LINE)]
Words = Annotated[str, Meta(min_length=1, max_length=2000, pattern=_LINES)]
Moment = Annotated[datetime, Meta(tz=True)]


class TrackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: the person who wants it."""

    report_id: Annotated[str, Meta(max_length=60)]
    by: Name
    reason: Words | None = None


class ConfirmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: the person who decides. `start`: when the clock of this duty started."""

    by: Name
    reason: Words | None = None
    start: Moment | None = None


class DismissRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: the person who decides."""

    by: Name
    reason: Words


class DoneRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by`: who says so. `at`: when the report was made. `reference`: the authority's."""

    by: Name
    reference: Words | None = None
    at: Moment | None = None


async def listing(request: web.Request) -> web.Response:
    """GET /v1/duties: shortest due first; `open=1` leaves out what is settled, dismissed or not in force."""
    duties = request.app[NODE].duties
    await request.app[NODE].auditing.seen("duty.list")
    items, following = await duties.list(
        report_id=request.query.get("report"),
        open_only=flag(request, "open"),
        cursor=_cursor(request),
        limit=page_limit(request),
    )
    following_text = None if following is None else f"{following[0].isoformat()}~{following[1]}"
    organisation = duties.organisation
    return json_response(
        {
            "items": items,
            "next": following_text,
            "organisation": {
                "name": organisation.name,
                "roles": sorted(organisation.roles),
                "jurisdictions": sorted(organisation.jurisdictions),
                "stated": organisation.stated,
            },
        }
    )


async def show(request: web.Request) -> web.Response:
    """GET /v1/duties/{id}: with its history."""
    node = request.app[NODE]
    found = await node.duties.get(identifier(request))
    await node.auditing.seen("duty.read", f"duty:{found['id']}")
    return json_response(found)


async def track(request: web.Request) -> web.Response:
    """POST /v1/duties/track: reckon the duties of any report that is held here."""
    wanted = await read_json(request, TrackRequest)
    who = Decider(wanted.by, caller(request).name)
    items = await request.app[NODE].duties.track(wanted.report_id, who, wanted.reason)
    return json_response({"items": items})


async def confirm(request: web.Request) -> web.Response:
    """POST /v1/duties/{id}/confirm: the regime applies, a person says."""
    wanted = await read_json(request, ConfirmRequest)
    who = Decider(wanted.by, caller(request).name)
    return json_response(
        await request.app[NODE].duties.confirm(identifier(request), who, wanted.reason, wanted.start)
    )


async def dismiss(request: web.Request) -> web.Response:
    """POST /v1/duties/{id}/dismiss: the regime does not apply, a person says."""
    wanted = await read_json(request, DismissRequest)
    who = Decider(wanted.by, caller(request).name)
    return json_response(await request.app[NODE].duties.dismiss(identifier(request), who, wanted.reason))


async def done(request: web.Request) -> web.Response:
    """POST /v1/duties/{id}/done: the report to the authority was made."""
    wanted = await read_json(request, DoneRequest)
    who = Decider(wanted.by, caller(request).name)
    return json_response(
        await request.app[NODE].duties.done(
            identifier(request), who, reference=wanted.reference, at=wanted.at
        )
    )


def _cursor(request: web.Request) -> tuple[datetime, int] | None:
    """Where an earlier page ended.

    Raises: BadParameter.
    """
    text = request.query.get("cursor")
    if text is None:
        return None
    moment, _, number = text.partition("~")
    fault = BadParameter("cursor is not the `next` of an earlier page.")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise fault
    try:
        at = datetime.fromisoformat(moment)
    except ValueError as exc:
        raise fault from exc
    if at.utcoffset() != timedelta(0):
        raise fault
    return at, int(number)
