"""Playing a seed over real HTTP and PostgreSQL, from the storm to the judgement."""

import asyncio
import time

from tests.simulation.real_judge import judge
from tests.simulation.real_plan import plan
from tests.simulation.real_play import Run, run_of, say_all_again
from tests.support.postgres import Cluster, run_cluster

SETTLE_S = 180.0
LOOK_S = 0.3


async def settle(run: Run) -> list[str]:
    """What is wrong once nothing gets better any more: nothing, as soon as nothing is."""
    end = time.monotonic() + SETTLE_S
    while (wrong := await judge(run)) and time.monotonic() < end:
        await asyncio.sleep(LOOK_S)
    return wrong


async def play(seed: int, cluster: Cluster, *, recalls: bool = False) -> tuple[Run, list[str]]:
    """Play one run to its end; what is wrong with it."""
    async with run_of(plan(seed, recalls=recalls), cluster) as run:
        await run.storm()
        await run.calm()
        wrong = await settle(run)
        if not wrong:
            await run.mischief.fork(run.houses[run.plan.fooled])
            await say_all_again(run)
            wrong = await settle(run)
        return run, wrong


async def replay(first: int, last: int) -> int:
    """Play seeds one after the other and say how each went; how many were bad."""
    bad = 0
    async with run_cluster() as cluster:
        for seed in range(first, last + 1):
            began = time.monotonic()
            run, wrong = await play(seed, cluster, recalls=True)
            bad += bool(wrong)
            print(f"seed {seed}: {dict(run.did)}, {time.monotonic() - began:.0f} s", *wrong, sep="\n  ")
    return bad
