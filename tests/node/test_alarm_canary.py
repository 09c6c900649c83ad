"""The canary: an event that no client shows goes through the real room and has to come back by our own ear."""

import asyncio

from tests.support.alarms import bell, incident
from tests.support.homeserver import open_room

from tocsin_node.links.matrix_answers import CANARY
from tocsin_node.links.transport import Heard
from tocsin_node.storage import channels


def flown(room):
    """The canaries that stand in a room."""
    return [e for e in room.responder.events(room.id) if e["type"] == CANARY]


async def back(pool):
    """The last canary that came back."""
    async with pool.acquire() as conn:
        return await channels.canary(conn, "matrix")


class Deaf:
    """A transport whose stream withholds canaries, as a homeserver does that takes events and forgets them."""

    def __init__(self, real):
        self._real = real
        self.deaf = True

    def __getattr__(self, name):
        return getattr(self._real, name)

    async def sync(self, room, since, **how):
        heard = await self._real.sync(room, since, **how)
        if self.deaf and isinstance(heard, Heard):
            events = tuple(e for e in heard.events if e.type != CANARY)
            return Heard(heard.next, events, heard.complete, heard.trouble, heard.receipts)
        return heard


async def test_a_canary_comes_back_with_its_time_and_nobody_is_bothered(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, canary_s=300) as ringing:
        trip = await ringing.until(lambda: back(pool), within_s=60)
        assert 0 < trip.round_trip_s < 60
        await ringing.check("matrix-canary", None)
        unread = room.responder.call("GET", "/notifications")["notifications"]
        assert [n["event"]["type"] for n in unread if n["room_id"] == room.id] == []
    [only] = flown(room)
    assert only["sender"] == room.bot.user_id
    assert room.alerts() == []


async def test_no_canary_flies_where_alerts_have_just_proved_the_way(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, canary_s=3600.0) as ringing:
        await ringing.until(lambda: back(pool))
        line = ringing.alarms._lines["matrix"]
        line.channel.proved_s -= 3601  # an hour without a word …
        await ringing.store(incident("II"))
        await ringing.all_echoed(1)  # … and then an alert
        assert 3000 < await line.canary.fly() <= 3600
        assert len(await asyncio.to_thread(flown, room)) == 1
        line.channel.proved_s -= 3601
        await line.canary.fly()
        assert len(await asyncio.to_thread(flown, room)) == 2


async def test_zero_means_none(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, canary_s=0) as ringing:
        await ringing.store(incident("I"))
        await ringing.all_echoed(1)
    assert flown(room) == []


async def test_a_canary_that_does_not_come_back_is_told_and_its_return_too(pool, tmp_path, room):
    wrapped = []

    def deaf(real):
        wrapped.append(Deaf(real))
        return wrapped[0]

    async with bell(pool, tmp_path, room, canary_s=300, canary_back_s=1.0, wrap=deaf) as ringing:
        lost = await ringing.check("matrix-canary", "canary-lost")
        assert lost.status == "degraded"
        assert "has not come back" in lost.hint
        found = await ringing.alarms.check()
        assert "canary-lost" in [f["code"] for f in found["findings"]]
        wrapped[0].deaf = False
        await ringing.check("matrix-canary", None)


async def test_a_room_that_forbids_canaries_still_gets_alerts(pool, tmp_path, homeserver):
    room = open_room(
        homeserver,
        power_level_content_override={"events_default": 50, "events": {"m.room.message": 0, "m.reaction": 0}},
    )
    async with bell(pool, tmp_path, room, canary_s=300) as ringing:
        refused = await ringing.check("matrix-canary", "canary-refused")
        assert "canary_s = 0" in refused.hint
        await ringing.store(incident("I"))
        await ringing.all_echoed(1)
        await ringing.check("matrix", None)
    assert len(room.alerts()) == 1
