"""A whole node with two homeservers, operators and a watchman: as its settings, its timetable and its API have them."""

import asyncio
import json
import random

import pytest
from tests.support.alarms import bell, incident, room_section, running
from tests.support.node import open_here, settings_on
from tests.support.villain import villain
from tests.support.watchman import SECRET, watchman

from tocsin_node.schedule import timetable

SEED = 20_261_129


async def until(wanted, within_s=60):
    async with asyncio.timeout(within_s):
        while not (found := await wanted()):
            await asyncio.sleep(0.05)
        return found


@pytest.fixture
async def assured(database, tmp_path, room, second_room):
    """A node with everything; `node.operators` is the operators' room."""
    operators = room.responder.create_room(room.bot.user_id, name="Operators")
    async with watchman() as there:
        values = {
            "matrix": room_section(room, tmp_path / "first-token") | {"canary_s": 1.0},
            "matrix_second": room_section(second_room, tmp_path / "second-token"),
            "ops": {"room": operators, "channels": ["matrix-2"]},
            "heartbeat": there.settings(tmp_path),
            "alerts": {"reroute_ii_s": 1.0},
        }
        async with open_here(settings_on(tmp_path / "acme", database, values)) as acme:
            yield acme, operators, there


async def get(acme, path):
    async with acme.client.get(path) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_a_node_with_everything_finds_itself_well_and_tells_no_secret(assured, room, second_room):
    acme, _, there = assured

    async def well():
        found = await get(acme, "/v1/alerts/check")
        back = all(c["canary_round_trip_s"] is not None for c in found["channels"])
        return found if found["status"] == "ok" and back and found["heartbeat_age_s"] is not None else None

    found = await until(well)
    assert [c["channel"] for c in found["channels"]] == ["matrix", "matrix-2"]
    assert all(0 < c["canary_round_trip_s"] < 10 for c in found["channels"])
    health = await get(acme, "/healthz")
    names = {c["name"]: c["status"] for c in health["checks"]}
    assert {"matrix", "matrix-canary", "matrix-2", "matrix-2-canary", "ops", "heartbeat", "answers"} <= set(
        names
    )
    assert set(names.values()) == {"ok"}
    told = json.dumps(found) + json.dumps(health)
    assert not [s for s in (SECRET, room.bot.access_token, second_room.bot.access_token) if s in told]
    assert there.calls


async def test_a_dead_first_homeserver_is_told_to_the_operators_on_the_second_and_so_is_its_return(
    assured, homeserver, second_room
):
    acme, _, there = assured
    [look] = [job for job in timetable(acme.node) if job.name == "health"]

    async def said(word):
        """Look as the timetable does, as if what it sees had lasted."""
        await look.run(acme.node)
        async with acme.node.pool.acquire() as conn:
            await conn.execute(
                "update trouble set since = since - interval '1 minute', well_since = well_since - interval '3 minutes'"
            )
        events = await asyncio.to_thread(
            second_room.responder.messages, second_room.id, second_room.bot.user_id
        )
        return [e["content"]["body"] for e in events if word in e["content"]["body"]]

    async def up():
        return (await get(acme, "/v1/alerts/check"))["status"] == "ok"

    await until(up)
    homeserver.kill()
    [began] = await until(lambda: said("matrix is down"))
    assert "homeserver-unreachable" in began
    calls = len(there.calls)
    await until(lambda: _more(there, calls))  # it can still alert, so its watchman is called
    homeserver.start()
    await asyncio.to_thread(homeserver.wait_ready)
    [over] = await until(lambda: said("matrix is well again"))
    assert "homeserver-unreachable" in over
    assert len(await said("matrix is down")) == 1


async def _more(there, count):
    return len(there.calls) > count


async def test_alerts_cut_off_at_any_moment_between_two_homeservers_reach_people_and_none_twice_in_a_room(
    pool, tmp_path, room, second_room, homeserver
):
    chance = random.Random(SEED)
    alerts = {"reroute_ii_s": 0.3}
    ids = []
    async with bell(
        pool, tmp_path, room, second=second_room, run=False, alerts=alerts, canary_s=0
    ) as ringing:
        for turn in range(30):
            if turn % 10 == 3:
                homeserver.kill()
            if turn % 10 == 8:
                homeserver.start()
                await asyncio.to_thread(homeserver.wait_ready)
            ids.append(await ringing.store(incident("II")))
            async with running(ringing):
                await asyncio.sleep(chance.uniform(0, 0.5))  # the moment of the cut is what is being tried
        async with running(ringing):

            async def settled():
                async with pool.acquire() as conn:
                    return not await conn.fetchval(
                        "select exists (select from delivery where state in ('pending', 'sending', 'accepted')"
                        " or state = 'rerouted' and returned_at is null)"
                    )

            await ringing.until(settled, within_s=90)
    first, second = (_numbers(each) for each in (room, second_room))
    assert sorted(set(first) | set(second)) == ids
    assert len(first) == len(set(first))
    assert len(second) == len(set(second))
    assert second, "nothing had to go the other way"
    summaries = [a["content"]["body"] for a in room.alerts() if "Back: " in a["content"]["body"]]
    named = [n for body in summaries for n in _named(body)]
    assert len(named) == len(set(named))
    assert set(second) - set(first) <= set(named) <= set(second)  # a cut may hide that the first has one too


def _numbers(room):
    return [n for a in room.alerts() if (n := a["content"]["org.tocsin.alert"].get("alert")) is not None]


def _named(body):
    return [int(n) for n in body.split("Alerts ")[1].split(".")[0].split(", ")]


async def test_a_peer_that_falls_silent_is_named_to_the_operators_and_to_nobody_else(acme):
    async with villain() as peer:
        await peer.join(acme)
        [shown] = (await get(acme, "/v1/peers"))["items"]
        assert shown["silent"] is False
        assert await acme.node.peer_watch.look() == []

    async def unreachable():
        [shown] = (await get(acme, "/v1/peers"))["items"]
        return shown["problem"]

    await until(unreachable)  # what was on its way counts as heard; nothing comes any more
    # An hour later:
    async with acme.node.pool.acquire() as conn:
        await conn.execute("update peer set last_contact_at = last_contact_at - interval '61 minutes'")
        await conn.execute("update peer set approved_at = approved_at - interval '61 minutes'")
    [shown] = (await get(acme, "/v1/peers"))["items"]
    assert shown["silent"] is True
    [check] = await acme.node.peer_watch.look()
    assert (check.name, check.status, check.code) == ("peer mallory", "degraded", "peer-silent")
    assert "mallory" not in json.dumps(await get(acme, "/healthz"))


async def test_a_stopped_peer_is_named_to_the_operators(acme, mallory):
    [peer] = acme.node.peering.present()
    await acme.node.peering.note_problem(peer.node_id, "log-fork", "Call them.", suspect=True)
    [check] = await acme.node.peer_watch.look()
    assert (check.name, check.status, check.code) == (f"peer {peer.row.name}", "down", "peer-suspect")
