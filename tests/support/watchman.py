"""A watchman outside: takes heartbeats over HTTP and can be away or unwilling."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.support.ports import free_port

SECRET = "beat-9f1c2"


@dataclass
class Watchman:
    """`calls`: method, path and headers of each; `status`: what is answered."""

    port: int = field(default_factory=free_port)
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    status: int = 200

    def settings(self, directory: Path, **more: Any) -> dict[str, Any]:
        """The [heartbeat] section that leads here, with its address in a file."""
        file = directory / "heartbeat-url"
        file.touch(mode=0o600)
        file.write_text(f"http://127.0.0.1:{self.port}/ping/{SECRET}\n")
        return {"url_file": str(file), "every_s": 1.0, "request_timeout_s": 2.0, **more}

    async def take(self, request: web.Request) -> web.Response:
        """Take one call."""
        self.calls.append((request.method, request.path, dict(request.headers)))
        headers = {"Location": "http://127.0.0.1:1/"} if self.status in {301, 302} else {}
        return web.Response(status=self.status, headers=headers)


@asynccontextmanager
async def watchman() -> AsyncIterator[Watchman]:
    """A watchman on a free port for the block."""
    there = Watchman()
    app = web.Application()
    app.router.add_route("*", "/ping/{secret}", there.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", there.port).start()
    try:
        yield there
    finally:
        await runner.cleanup()
