"""A task of the node goes on working, whatever its work runs into."""

import asyncio

import pytest

from tocsin_node.services.resting import keep_at
from tocsin_node.storage.errors import StorageUnavailable


@pytest.mark.parametrize("trouble", [StorageUnavailable("away"), ValueError("our own fault")])
async def test_work_that_failed_is_done_again_when_woken(trouble):
    woken, begun = asyncio.Event(), asyncio.Queue()
    troubles = [trouble]

    async def work():
        begun.put_nowait(None)
        if troubles:
            raise troubles.pop()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(keep_at(work, woken, 3600.0, what="letters"))
        await begun.get()
        woken.set()
        await begun.get()
        assert not troubles
        task.cancel()
