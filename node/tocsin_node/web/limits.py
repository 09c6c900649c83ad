"""Brakes: how many requests are worked on at once, how many one caller may leave waiting, and how fast it may ask."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Middleware

from tocsin_node.web.errors import TooBusy, TooFast

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALLERS_MAX = 4096


class InFlight:
    """The requests that are being worked on: at most so many at once, and a way to wait for their end."""

    def __init__(self, most: int, *, exempt: Callable[[web.Request], bool]) -> None:
        """`exempt` requests, such as long polls, do not count towards `most`, but are waited for."""
        self._most, self._exempt = most, exempt
        self._counted = self._all = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def ended(self, within_s: float) -> bool:
        """Wait until no request is being worked on; False when that takes too long."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def middleware(self) -> Middleware:
        """Counts; refuses (503) what comes on top of the limit."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            counts = not self._exempt(request)
            if counts and self._counted >= self._most:
                raise TooBusy
            self._counted += counts
            self._all += 1
            self._idle.clear()
            try:
                return await handler(request)
            finally:
                self._counted -= counts
                self._all -= 1
                if not self._all:
                    self._idle.set()

        return middleware


class LongPolls:
    """The requests that are held back: one a caller, however many it sends."""

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Timeout] = {}

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait within; a newer turn of the same caller ends this one at once, without an error."""
        older = self._turns.pop(caller, None)
        if older is not None:
            older.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(None) as mine:
                self._turns[caller] = mine
                try:
                    yield
                finally:
                    if self._turns.get(caller) is mine:
                        del self._turns[caller]
        except TimeoutError:
            pass


class RateLimit:
    """A bucket of tokens for each caller: `burst` at once, `per_s` in the long run. No clock of its own."""

    def __init__(self, per_s: float, burst: int, *, most: int = CALLERS_MAX) -> None:
        self._per_s, self._burst, self._most = per_s, float(burst), most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float, *, per_s: float | None = None) -> None:
        """Count one request of `caller` at `now` (monotonic seconds); `per_s`: its own rate, its burst in proportion.

        Raises: TooFast with the seconds to wait in `facts`.
        """
        rate = self._per_s if per_s is None else per_s
        burst = max(1.0, self._burst * rate / self._per_s)
        left, at = self._buckets.pop(caller, (burst, now))
        left = min(burst, left + (now - at) * rate)
        if left < 1:
            self._buckets[caller] = (left, now)
            raise TooFast(facts={"retry_after_s": round((1 - left) / rate, 3)})
        self._buckets[caller] = (left - 1, now)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)  # the one who has been silent longest: its bucket is full again
