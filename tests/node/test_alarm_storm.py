"""Hundreds of alerts, a bad network, a homeserver that hangs and dies, a node that is killed: each stands in the room once."""

import asyncio
import random
import signal

import aiohttp
import pytest
from tests.support.alarms import AT_ONCE, room_section
from tests.support.fault_proxy import fault_proxy
from tests.support.neighbour import SEVERE, STIX
from tests.support.node import NodeProcess, settings_on
from tests.support.reports import report_by

SEED = 20_261_129
REPORTS = 240
FAULTS = ("bad-gateway", "limited-without-json", "hang", "reset-after-commit", "cut-body", "html")
BLOWS = ("kill the node", "pause the homeserver", "kill the homeserver") * 2
ECHOED = "select count(*) from delivery where kind = 'ring' and state = 'echoed'"


async def passed(proxy, before, sends):
    """Wait until that many more messages were sent than `before`."""
    async with asyncio.timeout(60):
        while sum("/send/" in line for line in proxy.seen[before:]) < sends:
            await asyncio.sleep(0.01)


async def strike(blow, node, url, homeserver):
    match blow:
        case "kill the node":
            await node.stop(signal.SIGKILL)
            node.start()
            await node.answers(url)
        case "pause the homeserver":
            homeserver.pause()
            await asyncio.sleep(1.5)  # longer than the node waits for an answer
            homeserver.resume()
        case "kill the homeserver":
            homeserver.kill()
            homeserver.start()
            await asyncio.to_thread(homeserver.wait_ready)


async def file(url, token, titles):
    """File grave reports; their ids."""
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as client:
        async with client.get("/v1/node") as answer:
            producer = (await answer.json())["identity"]
        ids = []
        for title in titles:
            bundle = report_by(producer, title, **SEVERE)
            async with client.post("/v1/reports", data=bundle, headers={"Content-Type": STIX}) as answer:
                assert answer.status == 201, await answer.text()
                ids.append((await answer.json())["id"])
        return ids


@pytest.mark.timeout(400)
async def test_hundreds_of_alerts_through_every_fault_stand_in_the_room_once(
    pool, database, tmp_path, homeserver, room
):
    chance = random.Random(SEED)
    blows = chance.sample(BLOWS, len(BLOWS))
    faults = chance.sample(FAULTS * 2, len(FAULTS) * 2)
    each = REPORTS // len(blows)
    filed = []
    async with fault_proxy(homeserver.url) as proxy:
        matrix = room_section(room, tmp_path / "bot-token")
        matrix |= {"homeserver": proxy.url, "request_timeout_s": 1.0}
        settings = settings_on(tmp_path / "node", database, {"matrix": matrix, "grouping": AT_ONCE})
        url, token = settings.public_url, (settings.dir / "token").read_text().strip()
        node = NodeProcess(["--dir", str(settings.dir)], tmp_path / "node.log")
        async with node:
            await node.answers(url)
            for nth, blow in enumerate(blows):
                for fault in faults[nth :: len(blows)]:
                    proxy.fail(fault)
                before = len(proxy.seen)
                filed += await file(url, token, [f"{nth}.{n}: it went wrong" for n in range(each)])
                await passed(proxy, before, chance.randint(1, each // 2))
                await strike(blow, node, url, homeserver)
            async with pool.acquire() as conn, asyncio.timeout(200):
                while await conn.fetchval(ECHOED) < REPORTS:
                    await asyncio.sleep(0.1)
            async with asyncio.timeout(60):
                await proxy.failed(len(faults))
    told = [alert["content"]["org.tocsin.alert"]["report"] for alert in room.alerts()]
    assert sorted(told) == sorted(filed), (SEED, len(told), len(filed))
