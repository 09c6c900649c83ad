"""Alerts at the seam: what rang, what people did about it, what is silenced."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.cli.fake_node.wire import problem


@dataclass
class FakeAlerts:
    alerts: list[dict[str, Any]] = field(default_factory=list)
    alert_check: dict[str, Any] = field(default_factory=dict)
    test_deliveries: list[list[dict[str, Any]]] = field(default_factory=list)
    silences: list[dict[str, Any]] = field(default_factory=list)
    way: dict[str, Any] = field(default_factory=dict)

    def _alerts_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/alerts", self._alert_list),
            web.get("/v1/alerts/check", self._alert_check),
            web.get("/v1/alerts/{id}", self._alert_show),
            web.post("/v1/alerts/test", self._alert_test),
            web.post("/v1/alerts/{id}/{verb:ack|take|mute|resolve|escalate}", self._alert_act),
            web.post("/v1/alerts/route", self._alert_route),
            web.get("/v1/reports/{id}/route", self._alert_route),
            web.get("/v1/silences", self._silence_list),
            web.post("/v1/silences", self._silence_add),
            web.post("/v1/silences/{id}/expire", self._silence_expire),
        ]

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
