"""Kill whatever can be killed, at any moment: every alert stands in the room once."""

import asyncio
import random

from tests.support.alarms import bell, incident, running
from tests.support.fault_proxy import fault_proxy

SEED = 20_261_123


def numbers_seen(room) -> list[int]:
    return sorted(a["content"]["org.tocsin.alert"]["alert"] for a in room.alerts())


async def test_alarms_cut_off_at_any_moment_ring_once(pool, tmp_path, room):
    chance = random.Random(SEED)
    ids = []
    async with bell(pool, tmp_path, room, run=False) as ringing:
        for _ in range(40):
            ids.append(await ringing.store(incident()))
            async with running(ringing):
                await asyncio.sleep(chance.uniform(0, 0.12))  # the moment of the cut is what is being tried
        async with running(ringing):
            await ringing.all_echoed(len(ids))
    assert numbers_seen(room) == ids


async def test_several_couriers_on_one_outbox_ring_once(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as one, bell(pool, tmp_path, room, run=False) as two:
        ids = [await one.store(incident()) for _ in range(30)]
        async with running(one), running(two):
            await one.all_echoed(len(ids))
    assert numbers_seen(room) == ids


async def test_a_homeserver_that_dies_in_the_middle_gets_each_alert_once(pool, tmp_path, homeserver, room):
    chance = random.Random(SEED)
    ids = []
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        for _ in range(3):
            ids += [await ringing.store(incident()) for _ in range(8)]
            await asyncio.sleep(chance.uniform(0, 0.4))
            homeserver.kill()
            homeserver.start()
            await asyncio.to_thread(homeserver.wait_ready)
        await ringing.all_echoed(len(ids))
    assert numbers_seen(room) == ids


async def test_a_bad_network_in_front_of_the_homeserver_doubles_and_loses_nothing(
    pool, tmp_path, homeserver, room
):
    chance = random.Random(SEED)
    faults = ("bad-gateway", "limited-without-json", "hang", "reset-after-commit", "cut-body", "html")
    async with (
        fault_proxy(homeserver.url) as proxy,
        bell(pool, tmp_path, room, homeserver=proxy.url, request_timeout_s=0.5) as ringing,
    ):
        await ringing.check("matrix", None)
        ids = []
        for fault in faults * 2:
            proxy.fail(fault, times=chance.randint(1, 3))
            ids += [await ringing.store(incident()) for _ in range(2)]
        proxy.fail("bad-gateway", "/sync", times=2)
        await ringing.all_echoed(len(ids))
        await ringing.check("matrix", None)
    assert numbers_seen(room) == ids


async def test_a_broken_homeserver_is_not_stormed(pool, tmp_path, homeserver, room):
    async with (
        fault_proxy(homeserver.url) as proxy,
        bell(pool, tmp_path, room, homeserver=proxy.url) as ringing,
    ):
        await ringing.check("matrix", None)
        proxy.fail("bad-gateway", "/", times=10_000)
        for _ in range(20):
            await ringing.store(incident())
        before = len(proxy.seen)
        await asyncio.sleep(3)  # how much comes in that time is what is being tried
        assert len(proxy.seen) - before < 60
        proxy.heal()
        await ringing.all_echoed(20)
    assert len(room.alerts()) == 20


async def test_the_database_may_go_away_for_a_while(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        ids = [await ringing.store(incident()) for _ in range(5)]
        for _ in range(3):
            async with pool.acquire() as conn:
                await conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
            ids += [await ringing.store(incident()) for _ in range(3)]
        await ringing.all_echoed(len(ids))
    assert numbers_seen(room) == ids
