"""A node that lives at the HTTP seam: it answers as the API says, keeps what it is sent, and breaks on request.

It checks reports with the real check and its log is a real one (signed, hashed), so that the command line is tried
against true data. What only a real node can do, sealing and peers, is left out: the journeys run real ones.
"""

import asyncio
import base64
import hashlib
import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import web

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.identity import incept
from tocsin_federation.merkle import Frontier, leaf_hash
from tocsin_schema.check import check_bundle
from tocsin_schema.remark import check_remark
from tocsin_schema.suspicion import suspicions

TOKEN = "tk-" + "s3cret" * 6
POLICY = {
    "max_tlp_out": "amber", "max_tlp_in": "amber", "onward": True, "client": False, "unnamed": False, "relay": True, "witness": True,
    "witnessed": True, "alerts_per_day": 50, "requests_per_s": 60, "as_all": ["alerts_per_day", "requests_per_s"],
}  # fmt: skip
NUMBERS = ("alerts_per_day", "requests_per_s")
WORDS = ["alder", "birch", "cedar", "dune", "elm", "fern", "gorse", "hazel"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Fault = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Kept:
    """One report as it is kept."""

    raw: bytes
    ver: int
    to: list[str]
    state: str = "active"


def problem(
    status: int, code: str, detail: str, hint: str = "", headers: dict[str, str] | None = None, **more: Any
):
    body = {
        "type": f"urn:tocsin:problem:{code}",
        "title": code,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return web.json_response(
        body | {"hint": hint} | more, status=status, content_type="application/problem+json", headers=headers
    )


@dataclass
class FakeNode:
    """Use as a context manager; `url` is where it listens."""

    org: str = "Fake Org"
    reports: dict[str, Kept] = field(default_factory=dict)
    remarks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    complaints: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    overrides: list[dict[str, Any]] = field(default_factory=list)
    subscriptions: list[dict[str, Any]] = field(default_factory=list)
    rota: bool = True
    silences: list[dict[str, Any]] = field(default_factory=list)
    way: dict[str, Any] = field(default_factory=dict)
    alert_check: dict[str, Any] = field(default_factory=dict)
    faults: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)
    test_deliveries: list[list[dict[str, Any]]] = field(default_factory=list)
    withholds: dict[str, tuple[str, str]] = field(default_factory=dict)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    ours: bool = True
    links: dict[str, tuple[str, int]] = field(default_factory=dict)  # redaction: (record, its version)
    url: str = ""
    alike: list[dict[str, Any]] = field(default_factory=list)
    telling: dict[str, Any] = field(default_factory=lambda: {"may": True, "why": None, "never_sent": []})
    decided: list[tuple[str, str]] = field(default_factory=list)
    snippet: str = "… as it was found"

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.keys, statement = incept(
            org=self.org, domain="fake.example", urls=["https://fake.example"], now=now, rng=os.urandom
        )
        self.chain = [statement]
        self.adopt_chain()
        self.leaves: list[bytes] = []
        self.identity = {
            "type": "identity", "spec_version": "2.1", "id": f"identity--{uuid.uuid5(uuid.NAMESPACE_DNS, self.node_id)}",
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
            "name": self.org, "identity_class": "organization",
        }  # fmt: skip

    def adopt_chain(self) -> None:
        from tocsin_federation.identity import verify_chain

        proven = verify_chain(self.chain, expected=None, now=datetime.now(UTC))
        self.node_id, self.origin, self.vkey = (
            proven.node_id,
            proven.statement.log.origin,
            proven.statement.log.vkey,
        )

    # Running ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(middlewares=[self._front], client_max_size=64 * 1024 * 1024)
        app.add_routes(self._routes())
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        port = int(self.url.rpartition(":")[2]) if self.url else 0
        site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def fault(self, method: str, path: str, *faults: Fault) -> None:
        """The next requests to a path meet these faults, one each."""
        self.faults.setdefault((method, path), []).extend(faults)

    def posts(self, path: str = "/v1/reports") -> list[Seen]:
        """What was sent for good to a path."""
        return [
            s for s in self.seen if s.method == "POST" and s.path == path and ("dry_run", "1") not in s.query
        ]

    @web.middleware
    async def _front(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = list(request.query.items())
        self.seen.append(Seen(request.method, request.path, query, headers, body))
        waiting = self.faults.get((request.method, request.path))
        if waiting:
            return await waiting.pop(0)(request, handler)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem(401, "token-unknown", "The token is not known.", "Use another.")
        return await handler(request)

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self._healthz),
            web.get("/v1/node", self._node),
            web.post("/v1/reports", self._submit),
            web.get("/v1/reports", self._list),
            web.get("/v1/reports/facets", self._facets),
            web.get("/v1/reports/{id}", self._show),
            web.get("/v1/reports/{id}/duplicates", self._duplicates),
            web.post("/v1/duplicates", self._duplicates),
            web.get("/v1/reports/{id}/duplicates/{other}", self._telling),
            web.put("/v1/reports/{id}/duplicates/{other}", self._decide),
            web.delete("/v1/reports/{id}/duplicates/{other}", self._forget),
            web.put("/v1/reports/{id}", self._revise),
            web.post("/v1/reports/{id}/withdraw", self._withdraw),
            web.post("/v1/reports/{id}/remarks", self._remark),
            web.get("/v1/reports/{id}/remarks", self._remarks),
            web.post("/v1/reports/{id}/share", self._share),
            web.get("/v1/complaints", self._complaints),
            web.get("/v1/complaints/{id}/evidence", self._evidence),
            web.get("/v1/peers", self._peer_list),
            web.get("/v1/peers/{name}", self._peer_show),
            web.post("/v1/peers/invites", self._peer_invite),
            web.post("/v1/peers/join", self._peer_join),
            web.post("/v1/peers/{name}/approve", self._peer_approve),
            web.put("/v1/peers/{name}/policy", self._peer_policy),
            web.post("/v1/peers/{name}/sync", self._peer_sync),
            web.delete("/v1/peers/{name}", self._peer_remove),
            web.get("/v1/alerts", self._alert_list),
            web.get("/v1/alerts/check", self._alert_check),
            web.get("/v1/alerts/{id}", self._alert_show),
            web.post("/v1/alerts/test", self._alert_test),
            web.post("/v1/alerts/{id}/{verb:ack|take|mute|resolve|escalate}", self._alert_act),
            web.get("/v1/oncall", self._oncall),
            web.post("/v1/oncall/overrides", self._override),
            web.post("/v1/oncall/overrides/{id}/clear", self._override_clear),
            web.get("/v1/subscriptions", self._subscriptions),
            web.post("/v1/subscriptions", self._subscribe),
            web.post("/v1/subscriptions/{id}/end", self._unsubscribe),
            web.post("/v1/alerts/route", self._alert_route),
            web.get("/v1/reports/{id}/route", self._alert_route),
            web.get("/v1/silences", self._silence_list),
            web.post("/v1/silences", self._silence_add),
            web.post("/v1/silences/{id}/expire", self._silence_expire),
            web.get("/v1/log/keys", self._log_keys),
            web.get("/v1/log/checkpoint", self._log_checkpoint),
            web.get("/v1/log/leaves", self._log_leaves),
            web.post("/v1/imports", self._imports),
        ]

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "checks": []})

    async def _node(self, _: web.Request) -> web.Response:
        log = {"origin": self.origin, "size": len(self.leaves), "root": self._tree().root().hex()}
        now = datetime.now(UTC).isoformat()
        return web.json_response(
            {
                "node_id": self.node_id,
                "org": self.org,
                "url": self.url,
                "identity": self.identity,
                "version": "0",
            }
            | {"log": log, "peers": {"active": len(self.peers)}, "server_time": now}
        )

    # Reports ----------------------------------------------------------------------------------------

    async def _submit(self, request: web.Request) -> web.Response:
        raw = await request.read()
        checked = check_bundle(raw)
        if checked.report is None:
            return self._findings(checked.findings)
        report = checked.report
        to = request.query.getall("to", list(self.peers)) if request.query.get("share") != "0" else []
        unknown = [name for name in to if name not in self.peers]
        if unknown:
            return problem(404, "peer-unknown", f"There is no peer {unknown[0]}.", "See: tocsin peer list")
        suspected, needed = self._screened(request, raw, to)
        if request.query.get("dry_run"):
            objects = [
                {k: o[k] for k in ("type", "id", "name") if k in o} for o in json.loads(raw)["objects"]
            ]
            sends = {"sends": {"bytes": len(raw), "objects": objects}, "review_needed": needed}
            found = [*checked.findings, *suspected]
            return web.json_response(self._answer(report, 1, to, "dry-run", found) | sends)
        if needed:
            return self._review_needed(suspected)
        held = self.reports.get(report.id)
        if held is not None:
            if held.raw == raw:
                return web.json_response(
                    self._answer(report, held.ver, held.to, "unchanged", checked.findings)
                )
            return problem(409, "report-exists", "A report with this id exists already.", "Use update.")
        self._keep(report.id, raw, 1, to)
        self._link(request, report.id)
        return web.json_response(self._answer(report, 1, to, "stored", checked.findings), status=201)

    def _link(self, request: web.Request, report_id: str) -> None:
        if "redaction_of" in request.query:
            self.links[report_id] = request.query["redaction_of"], int(request.query["record_ver"])

    def _redactions(self, record_id: str, ver: int) -> list[dict[str, Any]]:
        return [
            {
                "id": each, "ver": kept.ver, "tlp": (tlp := str(check_bundle(kept.raw).report.tlp)), "state": kept.state,
                "clearance": tlp, "record_ver": self.links[each][1],
                "stale": kept.state == "active" and self.links[each][1] < ver,
                "to": [{"name": n, "node_id": n, "current": True} for n in kept.to if n not in self.withholds],
                "left_behind": [
                    {"name": n, "node_id": n, "code": self.withholds[n][0], "reason": self.withholds[n][1]}
                    for n in kept.to if n in self.withholds
                ],
            }
            for each, kept in self.reports.items() if self.links.get(each, ("",))[0] == record_id
        ]  # fmt: skip

    async def _revise(self, request: web.Request) -> web.Response:
        return await self._next_version(request, "active")

    async def _withdraw(self, request: web.Request) -> web.Response:
        return await self._next_version(request, "withdrawn")

    async def _next_version(self, request: web.Request, state: str) -> web.Response:
        raw, report_id = await request.read(), request.match_info["id"]
        held, checked = self.reports.get(report_id), check_bundle(raw)
        if held is None:
            return problem(404, "report-unknown", "There is no report with that id here.")
        if checked.report is None:
            return self._findings(checked.findings)
        to = [*held.to, *request.query.getall("to", [])]
        outcome = "dry-run" if request.query.get("dry_run") else "stored"
        suspected, needed = self._screened(request, raw, to)
        if needed and outcome == "stored":
            return self._review_needed(suspected)
        if outcome == "stored":
            self._keep(report_id, raw, held.ver + 1, to, state)
            self._link(request, report_id)
        answer = self._answer(checked.report, held.ver + 1, to, outcome, checked.findings)
        answer["redactions"] = self._redactions(report_id, held.ver + 1)
        for each in answer["redactions"] if state == "withdrawn" else []:
            each["state"], each["stale"] = "withdrawn", False
            if outcome == "stored":
                self.reports[each["id"]].state = "withdrawn"
        left = [
            {"name": name, "node_id": f"n1{name}", "code": code, "reason": reason}
            for name, (code, reason) in self.withholds.items()
            if name in held.to
        ]
        return web.json_response(answer | {"left_behind": left})

    async def _share(self, request: web.Request) -> web.Response:
        held = self.reports.get(request.match_info["id"])
        if held is None:
            return problem(404, "report-unknown", "There is no report with that id here.")
        asked = request.query.getall("to", [])
        fresh = [name for name in asked if name not in held.to and name not in self.withholds]
        outcome = "dry-run" if request.query.get("dry_run") else "stored" if fresh else "unchanged"
        answer = self._answer(check_bundle(held.raw).report, held.ver, fresh, outcome, ())
        for each in answer["withheld"]:
            if each["name"] in asked and each["name"] in held.to:
                each |= {"code": "has-it", "reason": "it has this version already"}
        if outcome == "stored":
            held.to += fresh
        return web.json_response(answer)

    def _keep(self, report_id: str, raw: bytes, ver: int, to: list[str], state: str = "active") -> None:
        self.reports[report_id] = Kept(raw, ver, to, state)
        self.leaves.append(leaf_hash(raw))

    def _screened(self, request: web.Request, raw: bytes, to: list[str]) -> tuple[list[Any], bool]:
        found = [each.finding() for each in suspicions(raw)]
        reviewer = request.query.get("personal_data_reviewed_by")
        if reviewer and to and not request.query.get("dry_run"):
            self.reviews.append(
                {"ver": 1, "reviewed_by": reviewer, "kinds": ["telephone"], "at": "2026-11-20T10:00:00Z"}
            )
        return found, bool(found and to and not reviewer)

    @staticmethod
    def _review_needed(findings: Any) -> web.Response:
        told = [{k: getattr(f, k) for k in ("code", "path", "message", "hint", "level")} for f in findings]
        return problem(422, "review-needed", "It seems to hold personal data.", "Redact it.", findings=told)

    @staticmethod
    def _findings(findings: Any) -> web.Response:
        told = [{k: getattr(f, k) for k in ("code", "path", "message", "hint", "level")} for f in findings]
        return problem(422, "findings", "The report has findings.", "Mend them.", findings=told)

    def _answer(self, report: Any, ver: int, to: list[str], outcome: str, findings: Any) -> dict[str, Any]:
        severity = report.severity
        return {
            "id": report.id, "ver": ver, "outcome": outcome, "title": report.name, "name": report.name, "tlp": str(report.tlp),
            "grade": severity.grade, "level": severity.level, "score": severity.score,
            "drivers": list(severity.drivers),
            "to": [
                {"name": name, "node_id": f"n1{name}", "problem": self.peers.get(name, {}).get("problem")}
                for name in to if name not in self.withholds
            ],
            "withheld": [
                {"name": name, "code": code, "reason": reason}
                for name in self.peers if name not in to or name in self.withholds
                for code, reason in [self.withholds.get(name, ("not-named", "it was not named as a recipient"))]
            ],
            "left_behind": [], "redactions": [],
            "entry": {"index": len(self.leaves) - 1, "leaf_hash": "00" * 32} if outcome == "stored" else None,
            "alert": None,
            "findings": [{k: getattr(f, k) for k in ("code", "path", "message", "hint", "level")} for f in findings],
        }  # fmt: skip

    def _item(self, report_id: str) -> dict[str, Any]:
        kept = self.reports[report_id]
        report = check_bundle(kept.raw).report
        assert report is not None
        return {
            "id": report_id, "ver": kept.ver, "title": report.name, "name": report.name, "tlp": str(report.tlp),
            "grade": report.severity.grade, "level": report.severity.level, "score": report.severity.score,
            "realization": report.realization, "state": kept.state,
            "origin": {"name": self.org, "node_id": self.node_id, "ours": self.ours},
            "modified": report.modified.isoformat().replace("+00:00", "Z"), "stored_at": "2026-11-20T10:00:00Z",
            "redaction_of": self.links.get(report_id, (None,))[0], "trust": "witnessed",
        }  # fmt: skip

    async def _facets(self, _: web.Request) -> web.Response:
        tlps = Counter(self._item(each)["tlp"] for each in self.reports)
        counted = [{"value": value, "count": count} for value, count in tlps.most_common()]
        return web.json_response({"total": len(self.reports), "complete": True, "facets": {"tlp": counted}})

    async def _duplicates(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.alike})

    async def _telling(self, _: web.Request) -> web.Response:
        return web.json_response(self.telling)

    async def _decide(self, request: web.Request) -> web.Response:
        self.decided.append((request.match_info["id"], request.match_info["other"]))
        return web.json_response(await request.json())

    async def _forget(self, request: web.Request) -> web.Response:
        two = request.match_info["id"], request.match_info["other"]
        known = [each for each in self.decided if set(each) == set(two)]
        if not known:
            return problem(404, "decision-unknown", "Nothing was decided about the two reports.")
        self.decided.remove(known[0])
        return web.json_response({"verdict": "duplicate"})

    async def _list(self, request: web.Request) -> web.Response:
        limit, start = int(request.query.get("limit", 50)), int(request.query.get("cursor", 0))
        ids = list(self.reports)[::-1]
        items = [self._item(each) for each in ids[start : start + limit]]
        if "q" in request.query:
            items = [item | {"snippet": self.snippet} for item in items]
        following = str(start + limit) if start + limit < len(ids) else None
        return web.json_response({"items": items, "next": following})

    async def _show(self, request: web.Request) -> web.Response:
        report_id = request.match_info["id"]
        if report_id not in self.reports:
            return problem(
                404, "report-unknown", "There is no report with that id here.", "See: tocsin report list"
            )
        kept = self.reports[report_id]
        if "application/stix+json" in request.headers.get("Accept", ""):
            return web.Response(body=kept.raw, content_type="application/stix+json")
        report = check_bundle(kept.raw).report
        assert report is not None
        more = {
            "drivers": list(report.severity.drivers), "entry": None, "reviews": self.reviews,
            "to": [{"name": n, "node_id": n, "current": n not in self.withholds} for n in kept.to],
            "acknowledgements": [
                {"by": "@ann:example.org", "via": "reaction", "at": "2026-11-20T10:01:00Z", "node": None}
            ],
            "remarks": self.remarks.get(report_id, []), "bundle": json.loads(kept.raw),
        }  # fmt: skip
        if report_id in self.links:
            record, redacted = self.links[report_id]
            ver, state = self.reports[record].ver, self.reports[record].state
            stale = redacted < ver
            more["record"] = {
                "id": record,
                "record_ver": redacted,
                "ver": ver,
                "state": state,
                "stale": stale,
            }
        more["redactions"] = self._redactions(report_id, kept.ver)
        return web.json_response(self._item(report_id) | more)

    async def _remark(self, request: web.Request) -> web.Response:
        raw, report_id = await request.read(), request.match_info["id"]
        remark = check_remark(raw).remark
        assert remark is not None, check_remark(raw).findings
        assert remark.incident_id == report_id
        outcome = "dry-run" if request.query.get("dry_run") else "stored"
        to = request.query.getall("to", list(self.peers))
        if outcome == "stored":
            self.add_remark(raw, self.org, ours=True)
        return web.json_response(
            {
                "id": remark.id, "report_id": report_id, "ver": 1, "outcome": outcome, "kind": remark.kind,
                "said": remark.said or None, "revoked": remark.revoked, "tlp": str(remark.tlp), "bytes": len(raw),
                "to": [{"name": name, "node_id": f"n1{name}"} for name in to if name not in self.withholds],
                "withheld": [
                    {"name": name, "code": code, "reason": reason}
                    for name, (code, reason) in self.withholds.items()
                ],
                "entry": {"gen": 1, "index": 7, "leaf_hash": "00" * 32} if outcome == "stored" else None,
            },
            status=201 if outcome == "stored" else 200,
        )  # fmt: skip

    def add_remark(self, raw: bytes, name: str, *, ours: bool = False, **changes: Any) -> None:
        """Keep what somebody says about a report in place of what they said of that kind before."""
        remark = check_remark(raw).remark
        assert remark is not None, check_remark(raw).findings
        times = {n: getattr(remark, n) for n in ("created", "modified", "first_seen", "last_seen")}
        item = {
            "kind": remark.kind, "said": remark.said or None, "count": remark.count, "text": remark.text or None,
            "by": {"name": name, "node_id": f"n1{name}", "ours": ours}, "ver": 1, "tlp": str(remark.tlp),
            "revoked": remark.revoked, "stored_at": "2026-11-20T10:00:00Z", "to": [], "bundle": json.loads(raw),
            **{n: at and at.isoformat().replace("+00:00", "Z") for n, at in times.items()},
        } | changes  # fmt: skip
        others = [
            one
            for one in self.remarks.get(remark.incident_id, [])
            if (one["by"], one["kind"]) != (item["by"], item["kind"])
        ]
        self.remarks[remark.incident_id] = [*others, item]

    async def _remarks(self, request: web.Request) -> web.Response:
        report_id = request.match_info["id"]
        if report_id not in self.reports:
            return problem(404, "report-unknown", "There is no report with that id here.")
        return web.json_response({"items": self.remarks.get(report_id, [])})

    async def _imports(self, request: web.Request) -> web.Response:
        lines = (await request.read()).splitlines()
        if len(lines) > 500:
            return problem(413, "too-many", "Too many.")
        items: list[dict[str, Any]] = []
        for line in lines:
            report = check_bundle(line).report
            if report is None:
                items.append({"outcome": "refused", "code": "findings", "hint": "Mend it."})
            elif report.id in self.reports:
                items.append({"id": report.id, "outcome": "unchanged"})
            else:
                self._keep(report.id, line, 1, [])
                shared = request.query.get("share") and "personal_data_reviewed_by" not in request.query
                kinds = sorted({each.kind for each in suspicions(line)}) if shared else []
                items.append({"id": report.id, "outcome": "stored"} | ({"kept_here": kinds} if kinds else {}))
        return web.json_response({"items": items})

    # Peers ------------------------------------------------------------------------------------------

    def add_peer(self, name: str, **changes: Any) -> None:
        self.peers[name] = {
            "name": name, "node_id": f"n1{name}", "org": f"{name} Org", "url": f"https://{name}.example",
            "state": "active", "ours_approved": True, "sas_verified": True, "max_tlp_out": "amber",
            "max_tlp_in": "amber", "policy": dict(POLICY), "added_at": "2026-11-20T10:00:00Z", "last_contact_at": "2026-11-20T10:00:05Z",
            "problem": None, "log": {"size": 4, "next_index": 4, "lag": 0},
            "outcomes": {"stored": 3, "unchanged": 1, "superseded": 0, "refused": {}, "quarantined": {}},
            "fetched": {"next_index": 1, "our_size": 2, "waiting": 1}, "clock_skew_s": 0.2,
        } | changes  # fmt: skip

    async def _peer_list(self, _: web.Request) -> web.Response:
        return web.json_response({"items": list(self.peers.values())})

    def _peer(self, request: web.Request) -> dict[str, Any] | None:
        return self.peers.get(request.match_info["name"])

    async def _peer_show(self, request: web.Request) -> web.Response:
        peer = self._peer(request)
        if peer is None:
            return problem(404, "peer-unknown", "There is no peer of that name.", "See: tocsin peer list")
        recent = [
            {
                "index": 3,
                "outcome": "refused",
                "code": "bad-wrap",
                "report_id": None,
                "at": "2026-11-20T10:00:00Z",
            }
        ]
        return web.json_response(peer | {"sas": WORDS, "recent": recent})

    async def _peer_invite(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        return web.json_response(
            {"invite": "tocsin1.SECRETINVITE", "expires_at": "2026-11-22T10:00:00Z"}, status=201
        )

    async def _peer_join(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        name = self.asked.get("name") or "theirs"
        self.add_peer(name, state="pending", ours_approved=False, sas_verified=False)
        return web.json_response(self.peers[name] | {"sas": WORDS}, status=201)

    async def _peer_approve(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        peer = self._peer(request)
        if peer is None:
            return problem(404, "peer-unknown", "There is no peer of that name.", "See: tocsin peer list")
        if self.asked.get("sas") not in {None, " ".join(WORDS)}:
            return problem(409, "sas-mismatch", "The words do not match.", "Somebody may sit between you.")
        peer.update(ours_approved=True, sas_verified="sas" in self.asked, state="active")
        return web.json_response(peer)

    async def _complaints(self, request: web.Request) -> web.Response:
        against = request.query.get("against")
        return web.json_response(
            {"items": [c for c in self.complaints if against in {None, c["against"]["name"]}]}
        )

    async def _evidence(self, request: web.Request) -> web.Response:
        if int(request.match_info["id"]) not in {c["id"] for c in self.complaints}:
            return problem(404, "complaint-unknown", "There is no complaint of that number.", "See the list.")
        return web.Response(text="c2sp.org/tlog-proof@v1\n")

    async def _peer_policy(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        peer = self._peer(request)
        if peer is None:
            return problem(404, "peer-unknown", "There is no peer of that name.", "See: tocsin peer list")
        for name, value in self.asked.items():
            peer["policy"][name] = POLICY[name] if value is None else value
            if name in NUMBERS:
                peer["policy"]["as_all"] = sorted(
                    {*peer["policy"]["as_all"]} - {name} | ({name} if value is None else set())
                )
        return web.json_response(peer)

    async def _peer_sync(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        return web.json_response({"requested": True}, status=202)

    async def _peer_remove(self, request: web.Request) -> web.Response:
        del self.peers[request.match_info["name"]]
        return web.Response(status=204)

    # Alerts -----------------------------------------------------------------------------------------

    def add_alert(self, **changes: Any) -> None:
        self.alerts.append({
            "id": len(self.alerts) + 1, "report_id": "incident--x", "ver": 1, "kind": "raise", "grade": "II", "level": 4,
            "tlp": "amber", "title": "A title", "origin": "Fake Org",
            "from": {"name": "Fake Org", "node_id": self.node_id, "ours": True}, "raised_at": "2026-11-20T10:00:00Z",
            "state": "open", "assigned": None, "muted_until": None, "unanswered": False, "next_escalation_at": None,
            "acknowledgements": [], "history": [],
            "deliveries": [{
                "channel": "matrix", "room": "!r:example.org", "state": "echoed", "attempts": 2, "event_id": "$e",
                "accepted_at": "2026-11-20T10:00:01Z", "echoed_at": "2026-11-20T10:00:02Z", "last_error": "429",
            }],
        } | changes)  # fmt: skip

    async def _alert_list(self, request: web.Request) -> web.Response:
        found = [a for a in self.alerts[::-1] if not request.query.get("open") or a["state"] == "open"]
        return web.json_response({"items": found, "next": None})

    async def _alert_check(self, _request: web.Request) -> web.Response:
        return web.json_response(self.alert_check)

    async def _alert_show(self, request: web.Request) -> web.Response:
        found = self.alerts[int(request.match_info["id"]) - 1]
        self._deliver(found)
        return web.json_response(found)

    def _deliver(self, alert: dict[str, Any]) -> None:
        """A delivery gets one step further with each look, as far as there are steps."""
        if self.test_deliveries:
            alert["deliveries"] = self.test_deliveries.pop(0)

    async def _alert_act(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        alert = self.alerts[int(request.match_info["id"]) - 1]
        kind = request.match_info["verb"]
        if self.asked.get("undo"):
            alert["history"] = [
                each | {"revoked_at": "2026-11-20T10:03:00Z", "revoked_by": self.asked.get("by")}
                for each in alert["history"]
            ]
            alert["state"] = "open"
            return web.json_response(alert)
        if self.asked.get("minutes", 0) > 60:
            return problem(422, "mute-too-long", "Alert 1 can be muted for 1 hour at most.", "Shorter.")
        act = {
            "id": len(alert["history"]) + 1, "kind": kind, "by": self.asked.get("by") or "cli", "via": "api",
            "at": "2026-11-20T10:02:00Z", "node": None, "ver": 1, "revoked_at": None, "revoked_by": None,
            "note": self.asked.get("note"), "until": "2026-11-20T12:02:00Z" if kind == "mute" else None,
            "level": 1 if kind == "escalate" else None,
        }  # fmt: skip
        alert["history"] = [*alert["history"], act]
        if kind in {"ack", "take", "resolve"}:
            alert["acknowledgements"] = [*alert["acknowledgements"], act | {"kind": "ack"}]
            alert["state"] = "resolved" if kind == "resolve" else "acknowledged"
        alert["assigned"] = act["by"] if kind == "take" else alert["assigned"]
        alert["muted_until"] = act["until"]
        return web.json_response(alert)

    async def _oncall(self, request: web.Request) -> web.Response:
        shift = {
            "person": "@ada:hs",
            "from": "2026-11-16T08:00:00Z",
            "until": "2026-11-23T08:00:00Z",
            "override": None,
        }
        following = {**shift, "person": "@bo:hs", "from": shift["until"], "until": "2026-11-30T08:00:00Z"}
        rota = {"name": "first", "level": 0, "zone": "Europe/Berlin", "now": shift, "next": following}
        rota["shifts"] = [shift, following] if request.query.get("until") else []
        return web.json_response(
            {
                "at": "2026-11-20T10:00:00Z", "rotas": [rota] if self.rota else [], "responders": ["@dee:hs"],
                "overrides": self.overrides,
            }
        )  # fmt: skip

    async def _override(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        made = {
            "id": len(self.overrides) + 1, "rota": self.asked["rota"], "person": self.asked["person"],
            "from": self.asked.get("from", "2026-11-20T10:00:00Z"), "until": self.asked["until"],
            "by": self.asked.get("by"), "at": "2026-11-20T10:00:00Z", "note": self.asked.get("note"),
        }  # fmt: skip
        self.overrides.append(made)
        return web.json_response(made, status=201)

    async def _override_clear(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        return web.json_response(self.overrides.pop(int(request.match_info["id"]) - 1))

    async def _subscriptions(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.subscriptions})

    async def _subscribe(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        made = {
            "id": len(self.subscriptions) + 1, "grades": [], "origins": [], "systems": [], "harms": [], "classes": [],
            "digest_at": None, "quiet": None, "zone": "UTC", "break_quiet": True, **self.asked,
        }  # fmt: skip
        self.subscriptions.append(made)
        return web.json_response(made, status=201)

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        return web.json_response(self.subscriptions.pop(int(request.match_info["id"]) - 1))

    async def _alert_route(self, request: web.Request) -> web.Response:
        self.asked = {"path": request.path, "body": await request.read()}
        return web.json_response(self.way)

    async def _silence_list(self, request: web.Request) -> web.Response:
        found = [s for s in self.silences[::-1] if s["active"] or request.query.get("all")]
        return web.json_response({"items": found, "next": None})

    async def _silence_add(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        nothing = dict.fromkeys(
            ("origin", "report_id", "system", "harm", "technique", "ended_at", "ended_by")
        )
        given = {k: v for k, v in self.asked.items() if k != "for_s"}
        times = {"at": "2026-11-20T10:00:00Z", "until": "2026-11-20T12:00:00Z", "active": True, "holding": 2}
        self.silences.append({"id": len(self.silences) + 1, **nothing, **times, **given})
        return web.json_response(self.silences[-1], status=201)

    async def _silence_expire(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        found = self.silences[int(request.match_info["id"]) - 1]
        found |= {"active": False, "ended_at": "2026-11-20T11:00:00Z", "ended_by": self.asked["by"]}
        return web.json_response(found)

    async def _alert_test(self, _: web.Request) -> web.Response:
        self.add_alert(kind="test", title="TEST", report_id=None, ver=None)
        self._deliver(self.alerts[-1])
        return web.json_response(self.alerts[-1], status=201)

    # The log ----------------------------------------------------------------------------------------

    def _tree(self) -> Frontier:
        tree = Frontier()
        tree.extend(self.leaves)
        return tree

    async def _log_keys(self, _: web.Request) -> web.Response:
        chain = [base64.b64encode(statement).decode() for statement in self.chain]
        return web.json_response(
            {"node_id": self.node_id, "origin": self.origin, "vkey": self.vkey, "chain": chain}
        )

    def checkpoint(self) -> bytes:
        return sign_checkpoint(self.origin, len(self.leaves), self._tree().root(), self.keys.log)

    async def _log_checkpoint(self, _: web.Request) -> web.Response:
        return web.Response(body=self.checkpoint(), content_type="text/plain", charset="utf-8")

    async def _log_leaves(self, request: web.Request) -> web.Response:
        start, stop = int(request.query["from"]), int(request.query["to"])
        return web.Response(
            body=b"".join(self.leaves[start : min(stop, start + 65_536)]),
            content_type="application/octet-stream",
        )

    def grow(self, count: int) -> None:
        """Append made-up leaves."""
        base = len(self.leaves)
        self.leaves += [hashlib.sha256(f"{self.node_id}{base + at}".encode()).digest() for at in range(count)]


# Faults ---------------------------------------------------------------------------------------------


def answers(status: int, code: str, detail: str = "It went wrong.", **more: Any) -> Fault:
    """The request is answered with a problem."""

    async def fault(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return problem(status, code, detail, **more)

    return fault


async def goes_away(request: web.Request, _handler: Handler) -> web.StreamResponse:
    """The connection is cut before anything is done."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cuts_the_answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The work is done, but the connection is cut before the answer."""
    await handler(request)
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def says(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> Fault:
    """The request is answered with these bytes."""

    async def fault(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.Response(body=body, status=status, content_type=content_type, headers=headers)

    return fault
