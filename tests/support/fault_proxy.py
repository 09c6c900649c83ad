"""A proxy in front of a homeserver that fails in the ways a real one cannot be asked to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
from aiohttp import web

Fault = Literal[
    "bad-gateway",  # 502 with HTML, the homeserver never asked
    "limited-without-json",  # 429 from a proxy, with Retry-After
    "hang",  # no answer, ever
    "reset-after-commit",  # the homeserver did it; the connection dies before the answer
    "cut-body",  # the same, in the middle of the answer
    "html",  # 200, but a web page
    "redirect",  # to another host
]


@dataclass
class FaultProxy:
    """`fail(fault, path, times)` arms it; requests whose path holds `path` then fail that often."""

    upstream: str
    url: str = ""
    seen: list[str] = field(default_factory=list)
    _armed: list[tuple[Fault, str]] = field(default_factory=list)
    _failed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _failures: int = 0
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    def fail(self, fault: Fault, path: str = "/send/", times: int = 1) -> None:
        self._armed += [(fault, path)] * times

    def heal(self) -> None:
        self._armed.clear()

    async def failed(self, times: int) -> None:
        """Wait until that many requests have been failed."""
        async with self._failed:
            await self._failed.wait_for(lambda: self._failures >= times)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path}")
        armed = next((a for a in self._armed if a[1] in request.path), None)
        if armed is None:
            status, headers, body = await self._forward(request)
            return web.Response(status=status, headers=headers, body=body)
        self._armed.remove(armed)
        response = await self._spoil(armed[0], request)
        async with self._failed:
            self._failures += 1
            self._failed.notify_all()
        if armed[0] == "hang":
            await self._closing.wait()
        return response

    async def _spoil(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        page = web.Response(status=502, text="<html><h1>Bad gateway</h1></html>", content_type="text/html")
        match fault:
            case "html":
                page.set_status(200)
            case "limited-without-json":
                page = web.Response(status=429, text="slow down", headers={"Retry-After": "1"})
            case "redirect":
                raise web.HTTPTemporaryRedirect("http://127.0.0.1:9/elsewhere")
            case "reset-after-commit":
                await self._forward(request)
                _abort(request)
            case "cut-body":
                status, _, body = await self._forward(request)
                cut = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
                cut.content_length = len(body)
                await cut.prepare(request)
                await cut.write(body[: len(body) // 2])
                _abort(request)
                return cut
            case "hang" | "bad-gateway":
                pass
        return page

    async def _forward(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        headers = {k: v for k, v in request.headers.items() if k in {"Authorization", "Content-Type"}}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, self.upstream + request.raw_path, headers=headers, data=await request.read()
            ) as answer,
        ):
            kept = {k: v for k, v in answer.headers.items() if k in {"Content-Type", "Retry-After"}}
            return answer.status, kept, await answer.read()


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


@asynccontextmanager
async def fault_proxy(upstream: str) -> AsyncIterator[FaultProxy]:
    """A proxy for the block."""
    proxy = FaultProxy(upstream)
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield proxy
    finally:
        proxy._closing.set()
        await runner.cleanup()
