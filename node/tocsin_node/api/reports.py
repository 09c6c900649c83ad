"""Reports over HTTP: file, show, revise, withdraw, import."""

from typing import Any

import orjson
from aiohttp import web

from tocsin_node.api.circles import circles_of
from tocsin_node.api.recalls import recall_item
from tocsin_node.api.redactions import basis_of, left_json, links_of, redactions_json
from tocsin_node.api.relay_view import passed_on, through
from tocsin_node.api.remarks import remarks_of
from tocsin_node.api.report_item import items_of
from tocsin_node.errors import NodeError
from tocsin_node.node import NODE, Node
from tocsin_node.services.report_refusals import FindingsRefused
from tocsin_node.services.submission import Submission
from tocsin_node.storage.audit import Act
from tocsin_node.storage.reports import StoredReport
from tocsin_node.web.body import read_body
from tocsin_node.web.paging import flag, integer
from tocsin_node.web.problems import json_response
from tocsin_schema.ids import INCIDENT_EXTENSION
from tocsin_schema.severity import assess

STIX = "application/stix+json"
NDJSON = "application/x-ndjson"


async def submit(request: web.Request) -> web.Response:
    """POST /v1/reports: 201 stored, 200 unchanged or dry run."""
    node = request.app[NODE]
    raw = await read_body(request, limit=node.settings.limits.max_report_bytes, content_types=(STIX,))
    submission = await node.reporting.submit(
        raw,
        to=_to(request),
        share=flag(request, "share", default=True),
        dry_run=flag(request, "dry_run"),
        reviewed_by=_reviewed_by(request),
        redaction_of=basis_of(request),
        circle=request.query.get("circle"),
    )
    return _answer(node, submission)


async def revise(request: web.Request) -> web.Response:
    """PUT /v1/reports/{id}: a new version, from the whole new bundle."""
    node = request.app[NODE]
    raw = await read_body(request, limit=node.settings.limits.max_report_bytes, content_types=(STIX,))
    submission = await node.reporting.revise(
        raw,
        request.match_info["id"],
        to=_to(request),
        dry_run=flag(request, "dry_run"),
        reviewed_by=_reviewed_by(request),
        redaction_of=basis_of(request),
    )
    return _answer(node, submission)


async def withdraw(request: web.Request) -> web.Response:
    """POST /v1/reports/{id}/withdraw: the last version, with `revoked` true."""
    node = request.app[NODE]
    raw = await read_body(request, limit=node.settings.limits.max_report_bytes, content_types=(STIX,))
    submission = await node.reporting.withdraw(
        raw,
        request.match_info["id"],
        dry_run=flag(request, "dry_run"),
        reviewed_by=_reviewed_by(request),
    )
    return _answer(node, submission)


async def share(request: web.Request) -> web.Response:
    """POST /v1/reports/{id}/share: the version that stands, to the peers `to` that do not have it yet."""
    done = await request.app[NODE].passing_on.share(
        request.match_info["id"],
        to=_to(request) or [],
        dry_run=flag(request, "dry_run"),
        reviewed_by=_reviewed_by(request),
        circle=request.query.get("circle"),
    )
    return _answer(request.app[NODE], done)


async def show(request: web.Request) -> web.Response:
    """GET /v1/reports/{id}: the report with its bundle; as STIX, the stored bytes alone."""
    node = request.app[NODE]
    report = await node.reporting.get(request.match_info["id"])
    await node.auditing.seen("report.read", f"report:{report.id}", {"ver": report.ver})
    if STIX in request.headers.get("Accept", ""):
        return web.Response(body=report.bundle, content_type=STIX)
    bundle = orjson.loads(report.bundle)
    progress = await node.alarms.progress(report.id)
    having = await node.releasing.having(report)
    entry = None
    if report.log_index is not None and report.leaf_hash is not None:
        entry = {"gen": report.log_gen, "index": report.log_index, "leaf_hash": report.leaf_hash.hex()}
    (item,) = await items_of(node, [report])
    links = await links_of(node, report)
    remarks = await remarks_of(node, report.id)
    for made in links["redactions"]:
        remarks += [one for one in await remarks_of(node, made["id"]) if not one["by"]["ours"]]
    return json_response(
        item
        | links
        | {
            "created_by": _creator(node, report.creator, bundle),
            "drivers": list(_drivers(bundle)),
            "to": [
                {"name": node.peering.name_of(i), "node_id": i, "current": i in having}
                for i in report.audience
            ],
            "entry": entry,
            "passed_on": await passed_on(node, report.id),
            "recalls": [recall_item(node, one) for one in await node.recalling.of_report(report.id)],
            "circles": await circles_of(node, report.id),
            "witnesses": await _witnesses(node, report),
            "through": await through(node, report),
            "acknowledgements": [act for act in progress if act["kind"] == "ack"],
            "progress": [act for act in progress if act["kind"] != "ack"],
            "remarks": remarks,
            "reviews": await node.screening.reviews(report.id),
            "bundle": bundle,
        }
    )


async def prove(request: web.Request) -> web.Response:
    """GET /v1/reports/{id}/proof: a C2SP tlog-proof of a version; with `disclose=1` of what it said, too."""
    node, report_id, disclose = request.app[NODE], request.match_info["id"], flag(request, "disclose")
    proof = await node.proving.prove(report_id, ver=integer(request, "ver"), disclose=disclose)
    await node.auditing.note(Act("report.disclose" if disclose else "report.prove", f"report:{report_id}"))
    return web.Response(body=proof, content_type="text/plain", charset="utf-8")


async def take_in(request: web.Request) -> web.Response:
    """POST /v1/imports: bundles, one a line; an outcome for each, in order."""
    node = request.app[NODE]
    raw = await read_body(request, limit=node.settings.limits.max_import_bytes, content_types=(NDJSON,))
    lines = [line for line in raw.split(b"\n") if line.strip()]
    if len(lines) > node.settings.limits.max_import_lines:
        raise NodeError(
            f"At most {node.settings.limits.max_import_lines} bundles a request.",
            code="too-many",
            hint="Send them in smaller batches.",
        )
    results = await node.importing.take_in(
        lines, to=_to(request), share=flag(request, "share"), reviewed_by=_reviewed_by(request)
    )
    return json_response({"items": [_import_item(r) for r in results]})


def _problem(node: Node, node_id: str) -> dict[str, Any] | None:
    """Why a recipient may not fetch what was just sealed to it, if something is known to be wrong."""
    peer = node.peering.by_id(node_id)
    if peer is None or peer.row.problem_code is None:
        return None
    row = peer.row
    return {"code": row.problem_code, "hint": row.problem_hint, "at": row.problem_at}


def _answer(node: Node, done: Submission) -> web.Response:
    report, severity = done.report, done.report.severity
    body: dict[str, Any] = {
        "id": report.id,
        "ver": done.ver,
        "outcome": done.outcome,
        "title": report.name,
        "name": report.name,  # as `title` was called first
        "tlp": report.tlp.value,
        "grade": severity.grade,
        "level": severity.level,
        "score": severity.score,
        "drivers": list(severity.drivers),
        "to": [
            {"name": p.name, "node_id": p.node_id, "problem": _problem(node, p.node_id)}
            for p in done.release.to
        ],
        "withheld": [
            {"name": w.peer.name, "code": w.code, "reason": w.reason} for w in done.release.withheld
        ],
        "left_behind": left_json(done.left),
        "redactions": redactions_json(node, done.redactions),
        "entry": None
        if done.place is None
        else {"gen": done.place.gen, "index": done.place.index, "leaf_hash": done.place.leaf_hash.hex()},
        "alert": done.alert_id,
        "findings": [_finding(f) for f in done.findings],
    }
    if done.outcome == "dry-run":
        body["review_needed"] = done.review_needed
        objects = orjson.loads(report.raw)["objects"]
        body["sends"] = {
            "bytes": len(report.raw),
            "objects": [{k: o[k] for k in ("type", "id", "name") if k in o} for o in objects],
        }
    return json_response(body, status=201 if done.outcome == "stored" else 200)


async def _witnesses(node: Node, report: StoredReport) -> dict[str, Any] | None:
    """Who vouches for the entry, and how many must."""
    standing = await node.trusting.of_report(report)
    if standing is None:
        return None
    by = [{"name": node.peering.name_of(i), "node_id": i} for i in standing.by]
    return {"by": by, "required": standing.required, "known": standing.witnesses}


def _creator(node: Node, creator: str, bundle: dict[str, Any]) -> dict[str, Any]:
    """Who created a report: by our name for it when a node did that we know, else as the report says."""
    said: dict[str, Any] = next((o for o in bundle["objects"] if o["id"] == creator), {})
    node_id = node.ownership.node_of(creator, bundle["objects"])
    name = said.get("name", creator)
    if node_id is not None and node.peering.name_of(node_id) != node_id:
        name = node.peering.name_of(node_id)
    return {"id": creator, "name": name, "node_id": node_id}


def _drivers(bundle: dict[str, Any]) -> tuple[str, ...]:
    """What made the report's severity. It was checked when it came and is not checked again to be shown."""
    incident = next(o for o in bundle["objects"] if o["type"] == "incident")
    return assess(incident["extensions"][INCIDENT_EXTENSION]).drivers


def _import_item(result: Submission | NodeError) -> dict[str, Any]:
    if isinstance(result, Submission):
        kept = {"kept_here": list(result.kept)} if result.kept else {}
        return {"id": result.report.id, "outcome": result.outcome, **kept}
    item: dict[str, Any] = {
        "outcome": "refused",
        "code": result.code,
        "detail": result.message,
        "hint": result.hint,
    }
    if isinstance(result, FindingsRefused):
        item["findings"] = [_finding(f) for f in result.findings]
    return item


def _finding(finding: Any) -> dict[str, Any]:
    return {
        "code": finding.code,
        "path": finding.path,
        "message": finding.message,
        "hint": finding.hint,
        "level": finding.level,
    }


def _to(request: web.Request) -> list[str] | None:
    return request.query.getall("to", None)


def _reviewed_by(request: web.Request) -> str | None:
    return request.query.get("personal_data_reviewed_by")
