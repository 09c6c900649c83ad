"""The canary: an event of a type that clients do not show goes into the room, and has to come back by our own ear.

It proves what nothing else does while no alert is on its way: that the homeserver takes events, that they reach the
room, and that we would hear an answer. Where real messages prove the same it stays at home. The last one stands in the
database with the time that it took.
"""

import asyncio
import secrets
import time
from typing import assert_never

from tocsin_node.health import Check
from tocsin_node.links.matrix_answers import CANARY
from tocsin_node.links.transport import BadMessage, ChannelDown, Retry, Sent, Transport
from tocsin_node.services.alarm_channel import Channel
from tocsin_node.storage import channels
from tocsin_node.storage.channels import StoredCanary
from tocsin_node.storage.pool import Pool

WELL_LOOK_S = 5.0
LOST = "The homeserver accepted an event that has not come back: alerts or answers may get lost. Ask its operator."
REFUSED = (
    "The room takes no events of type org.tocsin.canary from the bot: let it send them, or set canary_s = 0."
)


class Canary:
    """Tries the way through one room. `every_s`: after so long without a proof; 0: never. Lost: `back_within_s`."""

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        channel: Channel,
        name: str,
        room: str,
        *,
        every_s: float,
        back_within_s: float,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._channel = channel
        self._name = name
        self._room = room
        self._every_s = every_s
        self._back_within_s = back_within_s
        self._out: str | None = None
        self._back = asyncio.Event()
        self._trouble: tuple[str, str] | None = None

    async def run(self) -> None:
        """Fly when there is need, until cancelled."""
        while self._every_s:
            await self._channel.usable.wait()
            await asyncio.sleep(await self.fly())

    async def fly(self) -> float:
        """Send one if nothing has proved the way lately, and wait for it; returns the seconds until the next."""
        proved_s = self._channel.proved_s
        if proved_s is not None and time.monotonic() - proved_s < self._every_s:
            self._trouble = None
            return proved_s + self._every_s - time.monotonic()
        if not self._channel.well:  # that is known, and somebody looks already
            return min(self._every_s, WELL_LOOK_S)
        txn = f"tocsin-canary-{secrets.token_hex(12)}"
        async with self._pool.acquire() as conn:
            await channels.canary_out(conn, self._name, txn)
        self._out = txn
        self._back.clear()
        outcome = await self._transport.send(self._room, CANARY, {"txn": txn}, txn)
        match outcome:
            case Sent():
                return await self._await_back()
            case Retry():
                await self._channel.stumbled(outcome)
                return max(self._channel.pause_s(), self._channel.rest_s())
            case ChannelDown() | BadMessage():
                self._trouble = ("canary-refused", REFUSED)
                self._channel.look()  # if it is more than that, the look says so
                return self._every_s
        assert_never(outcome)

    def came_back(self, txn: str) -> None:
        """It was heard in the room, and that is committed."""
        if txn == self._out:
            self._back.set()

    async def last(self) -> StoredCanary | None:
        """The last one, here or before a restart."""
        async with self._pool.acquire() as conn:
            return await channels.canary(conn, self._name)

    def check(self) -> Check:
        """Whether the last one came back."""
        name = f"{self._name}-canary"
        return Check(name) if self._trouble is None else Check(name, "degraded", *self._trouble)

    async def _await_back(self) -> float:
        try:
            async with asyncio.timeout(self._back_within_s):
                await self._back.wait()
        except TimeoutError:
            if self._channel.well:  # otherwise that is what is wrong
                self._trouble = ("canary-lost", LOST)
                self._channel.look()
            return min(self._every_s, self._back_within_s)
        self._trouble = None
        return self._every_s
