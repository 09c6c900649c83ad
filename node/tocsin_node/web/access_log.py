"""One line a request: method, path, status, time, size, who. No query and no header: they may hold secrets.

What changes something or goes wrong is told at level info; who only reads, and reads again, at level debug.
"""

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WHO = web.RequestKey("who", str)
QUIET = frozenset({"/healthz"})
READING = frozenset({"GET", "HEAD"})
WRONG = 400  # statuses from here on
logger = logging.getLogger("tocsin.access")


@web.middleware
async def access_log_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Writes the line when the answer is made."""
    started = time.perf_counter()
    status, size = 499, 0
    try:
        response = await handler(request)
        status, size = response.status, response.content_length or 0
    finally:
        quiet = request.path in QUIET or (request.method in READING and status < WRONG)
        level = logging.DEBUG if quiet else logging.INFO
        if logger.isEnabledFor(level):
            _tell(level, request, status, size, (time.perf_counter() - started) * 1000)
    return response


def _tell(level: int, request: web.Request, status: int, size: int, took_ms: float) -> None:
    who = request.get(WHO, "-")
    path = request.path if request.path.isprintable() else ascii(request.path)
    logger.log(level, "%s %s %d %.1f ms %d bytes %s", request.method, path, status, took_ms, size, who)
