"""How a task of the node works and rests: until it is woken, and at most so long."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tocsin_federation.errors import FederationError
from tocsin_node.errors import NodeError

logger = logging.getLogger(__name__)


async def keep_at(
    work: Callable[[], Awaitable[object]], woken: asyncio.Event, every_s: float, *, what: str
) -> None:
    """Do `work` now, whenever woken and every `every_s`, until cancelled. `what`: for the log of the program.

    What fails is told and tried again, our own faults too: what one peer sent must not take the node down, start after
    start.
    """
    while True:
        woken.clear()
        try:
            await work()
        except (NodeError, FederationError) as exc:
            logger.warning("%s wait: %s", what, exc)
        except Exception:
            logger.exception("%s failed", what)
        await rest(woken, every_s)


async def go_round(work: Callable[[], Awaitable[float]], woken: asyncio.Event) -> None:
    """Do `work` now, whenever woken and after the seconds that it gave last, until cancelled. Raises: as `work`."""
    while True:
        woken.clear()
        await rest(woken, await work())


async def rest(woken: asyncio.Event, seconds: float | None) -> None:
    """Wait until `woken` is set, for `seconds` at most; None waits for as long as it takes."""
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        pass
