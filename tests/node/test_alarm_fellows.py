"""Several nodes ring one room: each alert is told by one of them, and by another if that one's word goes."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from tests.node.test_alarm_escalation import Clock, contents
from tests.support.alarms import bell, incident, running
from tests.support.post_office import post_office

from tocsin_node.links.alert_thread import Saying
from tocsin_node.links.transport import RoomEvent
from tocsin_node.services.alarm_fellow import told_by_fellow
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.settings.record import Settings
from tocsin_node.settings.server import NodeSettings
from tocsin_node.storage import fellows
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
            settings = {"user_id": me.user_id, "fellows": (fellow.user_id,), "grouping": PATIENT}
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

        await one.until(done, within_s=90)
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


PATIENT = {"head_start_s": 9}  # longer than a busy machine needs to show one bot what the other has said
WAITS = OncallSettings(grade_ii_waits_min=(30, 60, 60))
GOOD = {"v": 1, "alert": 7, "kind": "raise", "grade": "II", "report": "incident--1", "ver": 1}


def event(content, kind="m.room.message"):
    return RoomEvent("$e", "@f:hs", kind, datetime.now(UTC), content)


def test_a_fellows_ring_is_read_and_nothing_else():
    message = told_by_fellow(event({"org.tocsin.alert": GOOD}), "!r")
    assert (message.about, message.ver, message.kind, message.grade) == ("incident--1", 1, "raise", "II")
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


@asynccontextmanager
async def behind(other, room, tmp_path, report, **ways):
    """The second node again, with a clock of its own, once its fellow's word stands for its alert. It lets nobody call."""
    clock, mine = Clock(datetime.now(UTC)), other.settings.matrix
    fields = {
        "user_id": mine.user_id,
        "fellows": mine.fellows,
        "oncall": WAITS,
        "grouping": PATIENT,
        "now": clock,
        **ways,
    }
    async with bell(other.pool, tmp_path, room, run=False, **fields) as node:
        node.token = other.token
        async with running(node):
            await node.store(report)
            await node.until(lambda: left(node))
        yield node, clock


async def calls_at(node, clock, seconds, *channels):
    """How many calls there are on each channel, so many seconds later."""
    clock.at += timedelta(seconds=seconds)
    await node.alarms.escalation.call_due()
    return [len(await contents(node.pool, channel=c)) for c in channels]


async def test_a_fellow_that_dies_after_it_told_is_followed_up_by_a_node_that_has_the_room_alone(
    two, room, tmp_path
):
    one, other, _ = two
    report = incident("II")
    async with running(one):
        await one.store(report)
        await one.all_echoed(1)
    async with behind(other, room, tmp_path, report) as (node, clock):
        alert_id = (await node.alarms.list(open_only=True, before=None, limit=1))[0]["id"]
        assert await calls_at(node, clock, 30 * 60, "matrix") == [0], "whoever told it calls first"
        assert await calls_at(node, clock, 31, "matrix") == [1]
        assert await calls_at(node, clock, 60 * 60, "matrix") == [2]
        assert await calls_at(node, clock, 60 * 60, "matrix") == [3]
        assert (await node.alarms.get(alert_id))["unanswered"]
        [call, *_] = await contents(node.pool)
        assert call["body"].startswith(f"NOT ANSWERED: alert {alert_id} has waited ")


async def test_a_fellow_that_is_alive_calls_the_room_and_the_other_does_so_only_after_it_has_died(
    two, room, tmp_path
):
    one, other, _ = two
    report = incident("II")
    async with running(one):
        await one.store(report)
        await one.all_echoed(1)
    async with (
        post_office() as office,
        behind(other, room, tmp_path, report, mail=office.settings()) as (node, clock),
    ):
        heard = Listening(one, room, other)
        clock.at += timedelta(minutes=30)
        await heard.call(clock.at, 1)
        assert await calls_at(node, clock, 31, "matrix", "mail") == [0, 1], "it has just called"
        clock.at += timedelta(seconds=60 * 60 - 31)
        await heard.call(clock.at, 2)
        assert await calls_at(node, clock, 31, "matrix", "mail") == [0, 2]
        assert await calls_at(node, clock, 60 * 60, "matrix", "mail") == [1, 3], "no word of it since"


class Listening:
    """What the second node hears of the first one's calls."""

    def __init__(self, one, room, other):
        self._one, self._room, self._pool = one, room, other.pool

    async def call(self, at, level):
        """The first node's bot calls people to its alert: its own words, as it would send them."""
        alert = (await self._one.alarms.list(open_only=True, before=None, limit=1))[0]
        async with self._one.pool.transaction() as conn:
            saying = Saying(f"act-{level}", "NOT ANSWERED", seq=level)
            assert await self._one.alarms.say(conn, alert["id"], "escalation", saying)
            content = await conn.fetchval(
                "select content from delivery where kind = 'escalation' order by id desc"
            )
        said = RoomEvent(
            f"$call{level}", self._one.settings.matrix.user_id, "m.room.message", at, json.loads(content)
        )
        async with self._pool.transaction() as conn:
            await fellows.heard(conn, told_by_fellow(said, self._room.id))


async def left(node):
    return "covered" in await node.states()
