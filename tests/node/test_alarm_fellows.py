"""Several nodes ring one room: each alert is told by one of them, and by another if that one's word goes."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from tests.node.test_alarm_escalation import Clock, contents
from tests.support.alarms import bell, incident, running
from tests.support.post_office import post_office

from tocsin_node.links.transport import RoomEvent
from tocsin_node.services.alarm_fellow import told_by_fellow
from tocsin_node.settings import NodeSettings, OncallSettings, Settings
from tocsin_node.storage.pool import open_pool


@pytest.fixture
async def second_pool(cluster, tmp_path):
    """A pool on the database of another node."""
    settings = Settings(dir=tmp_path, node=NodeSettings(org="Other"))
    async with cluster.database() as address, open_pool(settings, address) as opened:
        yield opened


@pytest.fixture
async def two(pool, second_pool, tmp_path, room):
    """Two nodes with bots of their own in one room; each knows the other. They run when the test lets them."""
    other = room.homeserver.register(f"fellow-of-{room.bot.user_id[1:].partition(':')[0]}")
    room.responder.call("POST", f"/rooms/{room.id}/invite", {"user_id": other.user_id})
    async with AsyncExitStack() as stack:
        nodes = []
        for where, me, fellow in ((pool, room.bot, other), (second_pool, other, room.bot)):
            settings = {"user_id": me.user_id, "fellows": (fellow.user_id,)}
            node = await stack.enter_async_context(bell(where, tmp_path, room, run=False, **settings))
            node.token = me.access_token
            nodes.append(node)
        yield (*nodes, other)


def told(room):
    return [
        event
        for event in room.responder.events(room.id)
        if event["type"] == "m.room.message" and "org.tocsin.alert" in event["content"]
    ]


async def test_the_same_report_at_two_nodes_rings_once(two, room):
    one, other, _ = two
    reports = [incident("II") for _ in range(3)] + [incident("I")]
    async with running(one), running(other):
        for report in reports:
            await asyncio.gather(one.store(report), other.store(report))

        async def done():
            states = [*await one.states(), *await other.states()]
            return sorted(states) == ["covered"] * 4 + ["echoed"] * 4

        await one.until(done, within_s=30)
    assert {e["content"]["org.tocsin.alert"]["report"] for e in told(room)} == {r.id for r in reports}
    assert len(told(room)) == 4


async def test_a_reaction_to_a_fellows_message_acknowledges_our_alert_too(two, room):
    one, other, _ = two
    report = incident("II")
    async with running(one):
        await one.store(report)
        await one.all_echoed(1)
        async with running(other):
            alert_id = await other.store(report)
            await other.until(lambda: covered(other))
            room.responder.react(room.id, told(room)[0]["event_id"], "👀")
            [ack] = await other.standing_acks(alert_id, 1)
            assert ack["by"] == room.responder.user_id
    delivery = (await other.alarms.get(alert_id))["deliveries"][0]
    assert delivery["held"] == f"told by {room.bot.user_id}"


async def covered(node):
    return await node.states() == ["covered"]


async def test_a_message_that_was_taken_away_is_told_by_the_other(two, room):
    one, other, fellow = two
    report = incident("II")
    async with running(one):
        await one.store(report)
        await one.all_echoed(1)
    async with running(other):
        await other.store(report)
        await other.until(lambda: covered(other))
        room.responder.redact(room.id, told(room)[0]["event_id"])
        await other.all_echoed(1)
    assert [event["sender"] for event in told(room)] == [fellow.user_id]


async def test_a_node_that_is_alone_tells_what_its_dead_fellow_would_have(two, room):
    _, other, fellow = two
    async with running(other):
        for grade in ("I", "II"):
            await other.store(incident(grade))
        await other.all_echoed(2)
    assert {event["sender"] for event in told(room)} == {fellow.user_id}


async def test_a_stranger_who_writes_like_a_fellow_silences_nobody(two, room):
    _, other, fellow = two
    report = incident("II")
    alert = {"v": 1, "alert": 1, "kind": "raise", "grade": "II", "report": report.id, "ver": 1}
    room.responder.say(room.id, "ALERT", **{"org.tocsin.alert": alert})
    async with running(other):
        await other.store(report)
        await other.all_echoed(1)
    assert fellow.user_id in {event["sender"] for event in told(room)}


async def test_a_milder_word_of_a_fellow_does_not_stand_for_a_graver_one(two, room):
    one, other, fellow = two
    first = incident("II")
    graver = incident("I", report_id=first.id)
    async with running(one):
        await one.store(first)
        await one.all_echoed(1)
    async with running(other):
        await other.store(graver)
        await other.all_echoed(1)
    assert told(room)[-1]["sender"] == fellow.user_id


GOOD = {"v": 1, "alert": 7, "kind": "raise", "grade": "II", "report": "incident--1", "ver": 1}


def event(content, kind="m.room.message"):
    return RoomEvent("$e", "@f:hs", kind, datetime.now(UTC), content)


def test_a_fellows_ring_is_read_and_nothing_else():
    message = told_by_fellow(event({"org.tocsin.alert": GOOD}), "!r")
    assert (message.report_id, message.ver, message.kind, message.grade) == ("incident--1", 1, "raise", "II")
    edit = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}
    for content in (
        {},
        {"org.tocsin.alert": None},
        {"org.tocsin.alert": [GOOD]},
        {"org.tocsin.alert": {**GOOD, "message": "notice"}},
        {"org.tocsin.alert": GOOD, **edit},
        *({"org.tocsin.alert": {**GOOD, "ver": bad}} for bad in (0, -1, True, 1.5, 2**40, "1", None)),
        *({"org.tocsin.alert": {**GOOD, "report": bad}} for bad in (None, 7, "x" * 300, "a\0b", {})),
        *({"org.tocsin.alert": {**GOOD, "kind": bad}} for bad in (None, ["raise"])),
    ):
        assert told_by_fellow(event(content), "!r") is None
    assert told_by_fellow(event({"org.tocsin.alert": GOOD}, "m.reaction"), "!r") is None


async def test_the_room_is_called_by_the_node_that_told_it_and_by_the_other_once_at_the_end(
    two, room, tmp_path
):
    one, other, _ = two
    report = incident("II")
    async with running(one):
        await one.store(report)
        await one.all_echoed(1)
    clock = Clock(datetime.now(UTC))
    oncall = OncallSettings(grade_ii_waits_min=(30, 60, 60))
    async with post_office() as office:
        mine = other.settings.matrix
        alarms = bell(
            other.pool,
            tmp_path,
            room,
            run=False,
            mail=office.settings(),
            oncall=oncall,
            now=clock,
            user_id=mine.user_id,
            fellows=mine.fellows,
        )
        async with alarms as node:
            node.token = other.token
            async with running(node):
                await node.store(report)
                await node.until(lambda: left(node))
            calls = []
            for minutes in (30, 60, 60):
                clock.forward(minutes)
                await node.alarms.escalation.call_due()
                calls.append([len(await contents(node.pool, channel=c)) for c in ("matrix", "mail")])
    assert calls == [[0, 1], [1, 2], [1, 3]]


async def left(node):
    return "covered" in await node.states()
