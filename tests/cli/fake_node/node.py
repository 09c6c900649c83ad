"""A node that lives at the HTTP seam: it answers as the API says, keeps what it is sent, and breaks on request.

It checks reports with the real check and its log is a real one (signed, hashed), so that the command line is tried
against true data. What only a real node can do, sealing and peers, is left out: the journeys run real ones.
"""

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from aiohttp import web
from tests.cli.fake_node.alerts import FakeAlerts
from tests.cli.fake_node.log import FakeLog
from tests.cli.fake_node.oncall import FakeOncall
from tests.cli.fake_node.peers import FakePeers
from tests.cli.fake_node.remarks import FakeRemarks
from tests.cli.fake_node.reports import FakeReports
from tests.cli.fake_node.wire import TOKEN, Fault, Handler, Seen, problem
from tests.support.ports import free_port


@dataclass
class FakeNode(FakeReports, FakeRemarks, FakePeers, FakeAlerts, FakeOncall, FakeLog):
    """Use as a context manager; `url` is where it listens."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    faults: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)

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
        port = int(self.url.rpartition(":")[2]) if self.url else free_port()
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

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self._healthz),
            web.get("/v1/node", self._node),
            *self._reports_routes(),
            *self._remarks_routes(),
            *self._peers_routes(),
            *self._alerts_routes(),
            *self._oncall_routes(),
            *self._log_routes(),
        ]
