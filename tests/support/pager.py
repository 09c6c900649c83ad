"""A receiver of signed webhooks that does what a receiver should: verify, refuse what is old, know what it has."""

import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.support.ports import free_port


@dataclass
class Pager:
    """`alerts`: each once, as it was taken; `tries`: (headers, body) of every POST; `answers`: what is said instead."""

    secret: str
    port: int = field(default_factory=free_port)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    tries: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    always: int | None = None
    forget_answer: bool = False
    repeats: int = 0
    _known: set[str] = field(default_factory=set)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts?key=hush"

    def settings(self, directory: Path, **more: Any) -> dict[str, Any]:
        """The [webhook] section that leads here, with its secret in a file."""
        file = directory / "webhook-secret"
        if not file.exists():
            file.touch(mode=0o600)
        file.write_text(self.secret)
        return {"url": self.url, "secret_file": str(file), "request_timeout_s": 2.0, **more}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/alerts", self.take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = dict(request.headers)
        self.tries.append((headers, body))
        if self.answers:
            status, more = self.answers.pop(0)
            return web.Response(status=status, headers=more)
        if self.always is not None:
            return web.Response(status=self.always)
        status = self.receive(headers, body)
        if self.forget_answer:
            self.forget_answer = False
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status)

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        """401: forged, changed or old. 200: taken, now or before."""
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            return 401
        name = headers["webhook-id"]
        if name in self._known:
            self.repeats += 1
            return 200
        self._known.add(name)
        self.alerts.append(json.loads(body))
        return 200


@asynccontextmanager
async def pager(*, start: bool = True) -> AsyncIterator[Pager]:
    """A receiver on a free port for the block."""
    receiver = Pager("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    if start:
        await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
