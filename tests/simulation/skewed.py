"""`python -m tests.simulation.skewed DIR SECONDS`: a node, served as `tocsin node run` serves it, whose clock is wrong by so much."""

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path

from tests.support.node import open_here

from tocsin_node import schedule
from tocsin_node.health import utc_now
from tocsin_node.settings.loading import load


async def run(directory: Path, skew: timedelta) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_here(load(directory), now=lambda: utc_now() + skew) as served:
        timetable = schedule.start(served.node)
        try:
            await stop.wait()
        finally:
            timetable.shutdown(wait=False)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), timedelta(seconds=float(sys.argv[2]))))
