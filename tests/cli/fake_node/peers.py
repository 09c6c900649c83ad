"""Peers at the seam, and what is complained of them."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.cli.fake_node.wire import problem

POLICY = {
    "max_tlp_out": "amber", "max_tlp_in": "amber", "onward": True, "client": False, "unnamed": False, "relay": True, "witness": True,
    "witnessed": True, "alerts_per_day": 50, "requests_per_s": 60, "as_all": ["alerts_per_day", "requests_per_s"],
}  # fmt: skip
NUMBERS = ("alerts_per_day", "requests_per_s")
WORDS = ["alder", "birch", "cedar", "dune", "elm", "fern", "gorse", "hazel"]


@dataclass
class FakePeers:
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    complaints: list[dict[str, Any]] = field(default_factory=list)

    def _peers_routes(self) -> list[web.RouteDef]:
        return [
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
        ]

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
