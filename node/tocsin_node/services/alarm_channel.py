"""How a way to people is: one record of it, and the task that looks whether it can be gone.

`up` — the last thing we did there worked. `degraded` — it works with a warning, or has just failed and is
tried again. `down` — it keeps failing, or a person has to mend something first. While a person has to mend
something, nothing is sent; the look is repeated, so that mending is all there is to do.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

from tocsin_node.links.matrix_answers import NOT_IN_ROOM
from tocsin_node.links.transport import ChannelDown, Ready, Retry, Sender
from tocsin_node.services.alarm_way import hint_for
from tocsin_node.storage import channels
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool

Status = Literal["up", "degraded", "down"]

LOOK_AGAIN_S = 3600.0  # everything well
MEND_MAX_S = 60.0  # a person has to do something
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 2.0  # one request in so long is nothing to a homeserver, and all that an alert may be late by
DOWN_AFTER_FAILS = 3
EAGER_LOOKS = 2
WAITING = "{} does not take requests at the moment. Alerts wait and go out by themselves."
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the channel is."""

    status: Status
    code: str | None = None
    hint: str | None = None


class Channel:
    """The state that courier and listener share. Both wait for `usable` and say here what they met.

    `other`: what the other side is called. `look_proves`: a look at it tells all; otherwise a message that broke it
    is believed until one gets through. `invited` tells whether we may enter now, where that can be asked at small
    cost: it is asked while we are outside, so that an invitation is followed at once. `recovered` is called when
    requests work again after some did not.
    """

    def __init__(
        self,
        pool: Pool,
        transport: Sender,
        name: str,
        room: str,
        *,
        other: str = "The homeserver",
        look_proves: bool = True,
        invited: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._name = name
        self._room = room
        self._other = other
        self._look_proves = look_proves
        self._invited = invited
        self._warning: ChannelDown | None = None
        self._fails = 0
        self._unexplained = 0
        self._paused_until_s = 0.0
        self._look = asyncio.Event()
        self.usable = asyncio.Event()
        self.recovered: Callable[[], None] = _nothing
        self.standing = Standing("degraded", "starting", "It has not been looked at yet.")
        self.heard_s: float | None = None
        self._unwell_s = time.monotonic()
        self.proved_s: float | None = None  # when a message of ours came back from there

    async def run(self) -> None:
        """Look at it now, every hour, and whenever something broke, until cancelled."""
        looks = 0
        while True:
            self._look.clear()
            outcome = await self._transport.preflight(self._room)
            rest_s = LOOK_AGAIN_S
            if isinstance(outcome, Ready):
                looks = 0
                self._warning = outcome.warning
                if self._unexplained > 1:  # it looks well and is not: no faster than this
                    await self._wait(jitter_s(2.0**self._unexplained, MEND_MAX_S))
                if self._look_proves or not self._unexplained:
                    await self._stand(self._well())
                self.usable.set()
            elif isinstance(outcome, Retry):
                await self.stumbled(outcome)
                rest_s = max(self.rest_s(), self.pause_s())
            else:
                looks += 1
                self._unexplained = 0
                await self._break(outcome)
                rest_s = jitter_s(2.0 ** min(looks, 10), MEND_MAX_S)
                if outcome.code == NOT_IN_ROOM.code and self._invited is not None:
                    await self._wait_outside(MEND_MAX_S, self._invited, eager=looks <= EAGER_LOOKS)
                    continue
            await self._wait(rest_s)

    def look(self) -> None:
        """Look at it at once: a person says that it is mended, or wants to know."""
        self._look.set()

    async def worked(self, *, sent: bool = False, warning: ChannelDown | None = None) -> None:
        """A request was done; `sent`: it brought a message there. `warning`: until the next look."""
        mended = False
        if sent:
            mended = bool(self._unexplained) and not self._look_proves
            self._unexplained = 0
        if warning is not None and warning != self._warning:
            self._warning = warning
            await self._stand(self._well())
        if self._fails or mended:
            self._fails = 0
            await self._stand(self._well())
            self.recovered()

    async def stumbled(self, retry: Retry) -> None:
        """A request came to nothing and may be repeated."""
        if retry.after_s is not None:
            await self.pause(retry.after_s)
            return
        self._fails += 1
        self._unwell_s = time.monotonic()
        status: Status = "down" if self._fails >= DOWN_AFTER_FAILS else "degraded"
        await self._stand(Standing(status, retry.code, WAITING.format(self._other)))

    async def broke(self, down: ChannelDown) -> None:
        """A request met something that a person has to mend."""
        self._unexplained += 1
        await self._break(down)
        self.look()

    def heard(self) -> None:
        """The room's stream was read up to now, and that is committed."""
        behind = not self.caught_up
        self.heard_s = time.monotonic()
        if behind:
            self.recovered()

    def passed_by(self) -> None:
        """It did not take a message in time, which went another way: it is back when it was heard after that."""
        self._unwell_s = time.monotonic()

    @property
    def caught_up(self) -> bool:
        """Whether the room's stream was read since the last trouble: what is there is known."""
        return self.heard_s is not None and self.heard_s > self._unwell_s

    async def pause(self, seconds: float) -> None:
        """The other side told us to wait."""
        self._paused_until_s = time.monotonic() + seconds
        try:
            async with self._pool.acquire() as conn:
                await channels.pause(conn, self._name, seconds)
        except StorageError as exc:
            logger.warning("a pause could not be written: %s", exc)  # it is known in memory

    async def open(self, stream: str) -> str | None:
        """Take up what is known from before; returns how far the stream of that name was read."""
        async with self._pool.transaction() as conn:
            position = await channels.open_channel(conn, self._name, stream)
            before = await channels.get(conn, self._name)
        if before is not None:
            self._paused_until_s = time.monotonic() + before.pause_s
        return position

    def pause_s(self) -> float:
        """Seconds that the other side wants us to wait; 0 when it does not."""
        return max(0.0, self._paused_until_s - time.monotonic())

    def rest_s(self) -> float:
        """Seconds to wait after a failure, longer each time."""
        return jitter_s(RETRY_FIRST_S * 2.0 ** min(self._fails, 10), RETRY_MAX_S)

    async def _break(self, down: ChannelDown) -> None:
        self.usable.clear()
        self._unwell_s = time.monotonic()
        if down.detail and down.code != self.standing.code:
            logger.warning("%s cannot be reached: %s: %s", self._name, down.code, down.detail)
        await self._stand(Standing("down", down.code, down.hint))

    def _well(self) -> Standing:
        if self._warning is None:
            return Standing("up")
        return Standing("degraded", self._warning.code, self._warning.hint)

    @property
    def well(self) -> bool:
        """Whether the last thing that was tried there worked, and nothing forbids the next."""
        return self.usable.is_set() and not self._fails and self.standing.status != "down"

    async def _stand(self, standing: Standing) -> None:
        standing = replace(standing, hint=hint_for(self._name, standing.hint or "") or None)
        if standing == self.standing:
            return
        self.standing = standing
        try:
            async with self._pool.acquire() as conn:
                await channels.set_state(
                    conn, self._name, standing.status, standing.code, standing.hint, self._fails
                )
        except StorageError as exc:
            logger.warning("the state of the channel could not be written: %s", exc)  # it is known in memory

    async def _wait_outside(
        self, seconds: float, invited: Callable[[], Awaitable[bool]], *, eager: bool
    ) -> None:
        """Wait for an invitation, at most so long. `eager`: one that was there already counts too."""
        until_s, was_open = time.monotonic() + seconds, not eager
        while time.monotonic() < until_s and not self._look.is_set():
            is_open = await invited()
            if is_open and not was_open:
                return
            was_open = is_open
            await self._wait(RETRY_MAX_S)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._look.wait()
        except TimeoutError:
            pass


def _nothing() -> None:
    """Nobody wants to know."""


def jitter_s(ceiling_s: float, most_s: float) -> float:
    """Full jitter: anything up to the ceiling, so that many nodes do not come back at the same moment."""
    return random.uniform(0.05, max(0.1, min(ceiling_s, most_s)))  # noqa: S311  no secret
