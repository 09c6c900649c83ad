"""How a task of the node rests: until it is woken, and at most so long."""

import asyncio


async def rest(woken: asyncio.Event, seconds: float | None) -> None:
    """Wait until `woken` is set, for `seconds` at most; None waits for as long as it takes."""
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        pass
