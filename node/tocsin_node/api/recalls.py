"""Recalls over HTTP: take a report back, erase it, do what a peer asks, and what does not come in again."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web

from tocsin_node.errors import NodeError
from tocsin_node.node import NODE, Node
from tocsin_node.services.recalling import DEADLINE_H, Planned
from tocsin_node.storage.erasures import Erasure
from tocsin_node.storage.recalls import OfPeer, Recalled
from tocsin_node.web.body import read_json
from tocsin_node.web.paging import flag
from tocsin_node.web.problems import json_response

MOST = 500
Line = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]
Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]


class TakeBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`peers`: names or NodeIDs; null: everybody who was sent it. `by`, `reason`: both are kept when it is gone."""

    by: Line
    reason: Reason
    peers: Annotated[list[Line], msgspec.Meta(min_length=1, max_length=256)] | None = None
    deadline_h: Annotated[float, msgspec.Meta(ge=1, le=24 * 365)] = DEADLINE_H
    dry_run: bool = False


class Erase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As `TakeBack`, of everybody."""

    by: Line
    reason: Reason
    deadline_h: Annotated[float, msgspec.Meta(ge=1, le=24 * 365)] = DEADLINE_H
    dry_run: bool = False


class Obey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who decides."""

    by: Line


class Lift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may come in again: by its number in the list, or by the report's id."""

    by: Line
    reason: Reason
    id: int | None = None
    report_id: Line | None = None


async def recall(request: web.Request) -> web.Response:
    """POST /v1/reports/{id}/recall: peers may hold it no more; it stays here."""
    node, wanted = request.app[NODE], await read_json(request, TakeBack)
    planned = await node.recalling.recall(
        request.match_info["id"],
        peers=wanted.peers,
        reason=wanted.reason,
        by=wanted.by.strip(),
        deadline_h=wanted.deadline_h,
        dry_run=wanted.dry_run,
    )
    return json_response(_planned(node, planned, dry_run=wanted.dry_run))


async def erase(request: web.Request) -> web.Response:
    """POST /v1/reports/{id}/erase: nothing of it stays here, nor with those that were sent it."""
    node, wanted = request.app[NODE], await read_json(request, Erase)
    planned = await node.recalling.erase(
        request.match_info["id"],
        reason=wanted.reason,
        by=wanted.by.strip(),
        deadline_h=wanted.deadline_h,
        dry_run=wanted.dry_run,
    )
    return json_response(_planned(node, planned, dry_run=wanted.dry_run))


async def listing(request: web.Request) -> web.Response:
    """GET /v1/recalls: what we took back and how far each peer is; what peers took back of us."""
    node = request.app[NODE]
    ours, theirs = await node.recalling.ours(MOST), await node.recalling.theirs(MOST)
    named = [one.report_id for one in ours if one.report_id is not None]
    titles = await node.recalling.titles([*named, *(name for one in theirs for name in one.report_ids)])
    await node.auditing.seen("report.list")
    return json_response(
        {
            "ours": [recall_item(node, one) for one in ours],
            "theirs": [_theirs(node, one) for one in theirs],
            "titles": titles,
        }
    )


async def obey(request: web.Request) -> web.Response:
    """POST /v1/recalls/{entry}/obey: a person decides to do what a peer's recall asks."""
    node, wanted = request.app[NODE], await read_json(request, Obey)
    try:
        leaf_hash = bytes.fromhex(request.match_info["entry"])
    except ValueError:
        leaf_hash = b""
    found = await node.recalling.obey(leaf_hash, by=wanted.by.strip())
    return json_response(
        {"entry": found.leaf_hash.hex(), "what": found.what, "reports": len(found.report_ids)}
    )


async def erasures(request: web.Request) -> web.Response:
    """GET /v1/erasures: what does not come in again, newest first; `all=1`: what was lifted, too."""
    node = request.app[NODE]
    found = await node.erasing.listing(lifted=flag(request, "all"))
    return json_response({"items": [_erasure(node, one) for one in found]})


async def lift(request: web.Request) -> web.Response:
    """POST /v1/erasures/lift: it may come in again."""
    node, wanted = request.app[NODE], await read_json(request, Lift)
    if (wanted.id is None) == (wanted.report_id is None):
        raise NodeError(
            "Say which: its number or the report's id.",
            code="bad-request",
            hint="Give one of `id` and `report_id`.",
        )
    found = await node.erasing.lift(wanted.id, wanted.report_id, by=wanted.by.strip(), reason=wanted.reason)
    return json_response({"items": [_erasure(node, one) for one in found]})


def recall_item(node: Node, one: OfPeer) -> dict[str, Any]:
    """A recall of ours at one peer, and how far it is."""
    return {
        "recall": one.recall,
        "report_id": one.report_id,
        "tag": one.tag.hex(),
        "what": one.what,
        "tlp": one.tlp,
        "reason": one.reason,
        "by": one.by,
        "at": one.at,
        "deadline": one.deadline,
        "erased": one.erased,
        "peer": _peer(node, one.node),
        "stage": _stage(one),
        "overdue": one.done_at is None and one.deadline < node.now(),
        "sent_at": one.sent_at,
        "verified_at": one.verified_at,
        "waiting_at": one.waiting_at,
        "done_at": one.done_at,
        "code": one.code,
    }


def _stage(one: OfPeer) -> str:
    stages: tuple[tuple[str, datetime | str | None], ...] = (
        ("purged" if one.what == "purge" else "narrowed", one.done_at),
        ("waiting", one.waiting_at),
        (one.outcome or "stored", one.outcome),
        ("verified", one.verified_at),
        ("sent", one.sent_at),
    )
    return next((name for name, known in stages if known is not None), "queued")


def _theirs(node: Node, one: Recalled) -> dict[str, Any]:
    return {
        "entry": one.leaf_hash.hex(),
        "peer": _peer(node, one.origin),
        "what": one.what,
        "tlp": one.tlp,
        "reason": one.reason,
        "at": one.at,
        "deadline": one.deadline,
        "stored_at": one.stored_at,
        "done_at": one.done_at,
        "done_by": one.done_by,
        "reports": list(one.report_ids),
        "disputed": one.disputed,
    }


def _planned(node: Node, planned: Planned, *, dry_run: bool) -> dict[str, Any]:
    done = "erased" if planned.erased else "recalled"
    return {
        "report_id": planned.report_id,
        "outcome": "dry-run" if dry_run else done,
        "peers": [_peer(node, one) for one in planned.peers],
        "deadline": planned.deadline,
        "redactions": list(planned.redactions),
    }


def _erasure(node: Node, one: Erasure) -> dict[str, Any]:
    return asdict(one) | {"origin": None if one.origin is None else _peer(node, one.origin)}


def _peer(node: Node, node_id: str) -> dict[str, str]:
    return {"name": node.peering.name_of(node_id), "node_id": node_id}
