"""Who is on call, and who has subscribed to what."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class FakeOncall:
    rota: bool = True
    overrides: list[dict[str, Any]] = field(default_factory=list)
    subscriptions: list[dict[str, Any]] = field(default_factory=list)

    def _oncall_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/oncall", self._oncall),
            web.post("/v1/oncall/overrides", self._override),
            web.post("/v1/oncall/overrides/{id}/clear", self._override_clear),
            web.get("/v1/subscriptions", self._subscriptions),
            web.post("/v1/subscriptions", self._subscribe),
            web.post("/v1/subscriptions/{id}/end", self._unsubscribe),
        ]

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
