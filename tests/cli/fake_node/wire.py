"""What goes over the seam: requests as they arrived, problems, and the faults that a test asks for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

TOKEN = "tk-" + "s3cret" * 6
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
