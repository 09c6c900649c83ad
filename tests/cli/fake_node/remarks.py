"""What is said of reports: remarks, and which of them tell of the same event."""

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.cli.fake_node.wire import problem

from tocsin_schema.remark import check_remark


@dataclass
class FakeRemarks:
    remarks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    alike: list[dict[str, Any]] = field(default_factory=list)
    telling: dict[str, Any] = field(default_factory=lambda: {"may": True, "why": None, "never_sent": []})
    decided: list[tuple[str, str]] = field(default_factory=list)

    def _remarks_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/reports/{id}/duplicates", self._duplicates),
            web.post("/v1/duplicates", self._duplicates),
            web.get("/v1/reports/{id}/duplicates/{other}", self._telling),
            web.put("/v1/reports/{id}/duplicates/{other}", self._decide),
            web.delete("/v1/reports/{id}/duplicates/{other}", self._forget),
            web.post("/v1/reports/{id}/remarks", self._remark),
            web.get("/v1/reports/{id}/remarks", self._remarks),
        ]

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
