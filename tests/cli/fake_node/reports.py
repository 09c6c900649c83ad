"""Reports at the seam: filed, revised, withdrawn, shared, listed, shown, imported."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.cli.fake_node.wire import problem

from tocsin_federation.merkle import leaf_hash
from tocsin_schema.check import check_bundle
from tocsin_schema.suspicion import suspicions


@dataclass
class Kept:
    """One report as it is kept."""

    raw: bytes
    ver: int
    to: list[str]
    state: str = "active"


@dataclass
class FakeReports:
    reports: dict[str, Kept] = field(default_factory=dict)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    links: dict[str, tuple[str, int]] = field(default_factory=dict)  # redaction: (record, its version)
    withholds: dict[str, tuple[str, str]] = field(default_factory=dict)
    ours: bool = True
    snippet: str = "… as it was found"

    def _reports_routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/reports", self._submit),
            web.get("/v1/reports", self._list),
            web.get("/v1/reports/facets", self._facets),
            web.get("/v1/reports/{id}", self._show),
            web.put("/v1/reports/{id}", self._revise),
            web.post("/v1/reports/{id}/withdraw", self._withdraw),
            web.post("/v1/reports/{id}/share", self._share),
            web.post("/v1/imports", self._imports),
        ]

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
