"""Alerts on their way to the room: recorded with the report, told once, whatever breaks."""

import asyncio
import json
import secrets
import time

import pytest
from tests.support.alarms import DRIVER, ORIGIN, SUMMARY, SYSTEM, TITLE, bell, incident, running
from tests.support.homeserver import Room, open_room

from tocsin_node.services.alarm_channel import MEND_MAX_S, RETRY_MAX_S
from tocsin_node.services.alarms import AlertUnknown
from tocsin_node.storage import alerts, reports
from tocsin_schema.marking import Tlp


async def test_an_alert_is_seen_by_a_responder_and_known_to_be_seen(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        report = incident("I")
        alert_id = await ringing.store(report)
        seen = await room.alert()
        assert seen["content"]["body"].startswith(
            "🔴 ALERT, grade I · critical, 5 of 5 · TLP:GREEN\n" + TITLE
        )
        assert seen["content"]["m.mentions"] == {"user_ids": [room.responder.user_id]}
        await ringing.all_echoed(1)
        alert = await ringing.alarms.get(alert_id)
        assert (alert["report_id"], alert["state"], alert["title"]) == (report.id, "open", TITLE)
        [delivery] = alert["deliveries"]
        assert (delivery["event_id"], delivery["state"]) == (seen["event_id"], "echoed")
        assert delivery["accepted_at"] is not None
        assert all(c.status == "ok" for c in await ringing.alarms.health())
    assert len(room.alerts()) == 1


async def test_what_was_rolled_back_rings_nobody(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        plan = ringing.alarms.plan(incident(), origin=ORIGIN, ours=False, previous_grade=None)
        async with pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await ringing.alarms.record(conn, plan, report_ver=1)
            await transaction.rollback()
        ringing.alarms.wake()
        await ringing.store(incident(title="The one that counts"))
        assert "The one that counts" in (await room.alert())["content"]["body"]
    assert len(room.alerts()) == 1


async def test_a_quiet_report_rings_nobody(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        assert await ringing.store(incident("III")) is None
        assert await ringing.states() == []


async def test_nothing_of_a_red_report_is_in_the_room_or_beside_it(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        report = incident("I", tlp=Tlp.RED)
        alert_id = await ringing.store(report)
        seen = await room.alert()
        await ringing.all_echoed(1)
        assert report.id in seen["content"]["body"]
        assert (await ringing.alarms.get(alert_id))["title"] == "TLP:RED incident, details not shown"
    everything = json.dumps(room.responder.events(room.id), ensure_ascii=False)
    async with pool.acquire() as conn:
        for table in ("alert", "delivery"):
            rows = await conn.fetch(
                "select facts::text from alert" if table == "alert" else "select content::text from delivery"
            )
            everything += "".join(row[0] for row in rows)
    assert not [s for s in (TITLE, SUMMARY, DRIVER, SYSTEM, ORIGIN) if s in everything]


async def test_what_is_above_green_never_goes_into_a_room_in_the_clear(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.store(incident("I", tlp=Tlp.AMBER))
        seen = await room.alert()
        await ringing.all_echoed(1)
    assert seen["content"]["body"].startswith("🔴 ALERT, grade I · TLP:AMBER\n")
    everything = json.dumps(room.responder.events(room.id), ensure_ascii=False)
    assert not [s for s in (TITLE, SUMMARY, DRIVER, SYSTEM, ORIGIN) if s in everything]


async def test_a_message_from_before_the_ceiling_fell_is_said_by_the_ceiling_of_now(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False, encrypted=True) as ringing:
        await ringing.store(incident("I", tlp=Tlp.AMBER))
    async with pool.acquire() as conn:
        assert TITLE in await conn.fetchval("select content::text from delivery")
    async with bell(pool, tmp_path, room) as ringing:
        assert TITLE not in (await room.alert())["content"]["body"]
        await ringing.all_echoed(1)


async def test_a_version_rings_once_and_a_rising_grade_rings_again(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        first = incident("II")
        assert await ringing.store(first) is not None
        await ringing.all_echoed(1)
        assert await ringing.store(first) is None
        assert await ringing.store(incident("II", report_id=first.id), ver=2, before="II") is None
        assert await ringing.store(incident("I", report_id=first.id), ver=3, before="II") is not None
        await ringing.all_echoed(2)
        assert (
            await ringing.store(incident("I", report_id=first.id, revoked=True), ver=4, before="I")
            is not None
        )
        await ringing.all_echoed(3)
        quiet = incident("IV")
        assert await ringing.store(quiet) is None
        assert (
            await ringing.store(incident("IV", report_id=quiet.id, revoked=True), ver=2, before="IV") is None
        )
    firsts = [a["content"]["body"].split(",")[0].split(":")[0] for a in room.alerts()]
    assert firsts == ["🟠 ALERT", "🔴 ALERT", "⚪ WITHDRAWN"]


async def test_an_unsent_message_gives_way_to_the_one_that_says_more(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        first = incident("II")
        await ringing.store(first)
        await ringing.store(incident("I", report_id=first.id), ver=2, before="II")
        assert await ringing.states() == ["superseded", "pending"]
        async with running(ringing):
            await ringing.all_echoed(1)
    [only] = room.alerts()
    assert "grade raised to I" in only["content"]["body"]


async def test_the_gravest_goes_first(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        for grade in ("II", "IV", "I"):
            flags = ("imminent-risk-to-life",) if grade == "IV" else ()
            await ringing.store(incident(grade, flags=flags))
        async with running(ringing):
            await ringing.all_echoed(3)
    assert [a["content"]["org.tocsin.alert"]["grade"] for a in room.alerts()] == ["IV", "I", "II"]


async def test_a_test_alert_goes_the_whole_way(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert = await ringing.alarms.test()
        assert (alert["kind"], alert["state"], alert["report_id"]) == ("test", "open", None)
        assert (await room.alert())["content"]["body"].startswith("🔔 TEST")
        await ringing.alarms.test()
        await ringing.all_echoed(2)
        assert await ringing.alarms.list(open_only=True, before=None, limit=9) == []
        assert (await ringing.alarms.get(alert["id"]))["state"] == "closed"
    assert len(room.alerts()) == 2


# Without a room, and with another one -------------------------------------------------------------------


async def test_without_a_room_alerts_are_kept_and_ring_when_there_is_one(pool, tmp_path, room):
    async with bell(pool, tmp_path, None) as ringing:
        alert_id = await ringing.store(incident("I"))
        [check] = await ringing.alarms.health()
        assert (check.status, check.code) == ("degraded", "no-channel")
        assert "[matrix]" in check.hint
        assert [a["id"] for a in await ringing.alarms.list(open_only=True, before=None, limit=10)] == [
            alert_id
        ]
        acknowledged = await ringing.store(incident("I"))
        await ringing.alarms.act(acknowledged, "ack", by="cli")
    async with bell(pool, tmp_path, room) as ringing:
        seen = await room.alert()
        assert seen["content"]["org.tocsin.alert"]["alert"] == alert_id
        await ringing.all_echoed(1)
    assert len(room.alerts()) == 1


async def test_a_new_room_gets_what_the_old_one_did_not(pool, tmp_path, homeserver, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.store(incident(title="Told in the old room"))
        await ringing.all_echoed(1)
    async with bell(pool, tmp_path, room, run=False) as ringing:
        await ringing.store(incident(title="Waiting"))
    other = open_room(homeserver)
    async with bell(pool, tmp_path, other) as ringing:
        assert "Waiting" in (await other.alert())["content"]["body"]
    assert (len(room.alerts()), len(other.alerts())) == (1, 1)


# What breaks and mends itself --------------------------------------------------------------------------


async def test_no_alert_is_lost_while_the_homeserver_is_dead(pool, tmp_path, homeserver, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        homeserver.kill()
        for _ in range(3):
            await ringing.store(incident())
        down = await ringing.check("matrix", "homeserver-unreachable")
        assert down.status in {"degraded", "down"}
        homeserver.start()
        await asyncio.to_thread(homeserver.wait_ready)
        await ringing.all_echoed(3)
        await ringing.check("matrix", None)
    assert len(room.alerts()) == 3


async def test_a_hanging_homeserver_gets_each_alert_once(pool, tmp_path, homeserver, room):
    async with bell(pool, tmp_path, room, request_timeout_s=0.5) as ringing:
        await ringing.check("matrix", None)
        homeserver.pause()
        await ringing.store(incident())
        await ringing.check("matrix", "homeserver-silent")
        homeserver.resume()
        await ringing.all_echoed(1)
    assert len(room.alerts()) == 1


async def test_a_node_that_starts_while_the_homeserver_is_away_rings_when_it_is_back(
    pool, tmp_path, homeserver, room
):
    homeserver.kill()
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.store(incident())
        await ringing.check("matrix", "homeserver-unreachable")
        homeserver.start()
        await asyncio.to_thread(homeserver.wait_ready)
        await ringing.all_echoed(1)
    assert len(room.alerts()) == 1


async def test_the_shipped_rate_limit_delays_and_loses_nothing(pool, tmp_path, limited_homeserver):
    room = open_room(limited_homeserver)
    async with bell(pool, tmp_path, room) as ringing:
        for _ in range(11):
            await ringing.store(incident())
        await ringing.all_echoed(11, within_s=120)
        async with pool.acquire() as conn:
            assert await conn.fetchval("select max(attempts) from delivery") > 1
    assert len(room.alerts()) == 11


async def test_our_own_brake_stays_below_the_shipped_limit(pool, tmp_path, limited_homeserver):
    room = open_room(limited_homeserver)
    async with bell(
        pool, tmp_path, room, sends_per_s=0.005, send_burst=8, request_timeout_s=30, run=False
    ) as ringing:
        for number in range(9):
            await ringing.store(incident("II" if number else "I"))
        async with running(ringing):
            await ringing.all_echoed(5)  # three places are kept for the gravest
            await ringing.store(incident("I"))
            await ringing.all_echoed(6)  # the next ordinary place comes after two hundred seconds
        async with pool.acquire() as conn:
            assert await conn.fetchval("select max(attempts) from delivery") == 1
    assert [a["content"]["org.tocsin.alert"]["grade"] for a in room.alerts()][-1] == "I"


# What a person must mend --------------------------------------------------------------------------------


async def test_a_kicked_bot_rings_again_as_soon_as_it_is_invited(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        room.responder.call("POST", f"/rooms/{room.id}/kick", {"user_id": room.bot.user_id})
        down = await ringing.check("matrix", "not-in-room")
        assert (down.status, "Invite the bot" in down.hint) == ("down", True)
        await ringing.store(incident())
        room.responder.call("POST", f"/rooms/{room.id}/invite", {"user_id": room.bot.user_id})
        await ringing.all_echoed(1)
    assert len(room.alerts()) == 1


async def test_a_bot_that_waits_outside_for_long_follows_an_invitation_at_once(pool, tmp_path, homeserver):
    owner, bot = (homeserver.register(f"{name}-{secrets.token_hex(4)}") for name in ("owner", "waits"))
    place = Room(owner.create_room(), bot, owner, homeserver)
    async with bell(pool, tmp_path, place) as ringing:
        await ringing.check("matrix", "not-in-room")
        await asyncio.sleep(3 * RETRY_MAX_S)  # it has given up looking every moment
        owner.call("POST", f"/rooms/{place.id}/invite", {"user_id": bot.user_id})
        began = time.monotonic()
        await ringing.check("matrix", None, within_s=60)
        assert time.monotonic() - began < MEND_MAX_S / 3, "it does not wait for its next look"


async def test_a_revoked_token_is_told_and_a_new_one_is_taken_up(pool, tmp_path, homeserver, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        room.bot.call("POST", "/logout", {})
        down = await ringing.check("matrix", "token-rejected")
        assert "tocsin matrix login" in down.hint
        assert room.bot.access_token not in down.hint
        await ringing.store(incident())
        ringing.token = homeserver.log_in(room.bot)
        await ringing.all_echoed(1, within_s=90)
    assert len(room.alerts()) == 1


async def test_a_room_that_becomes_encrypted_is_not_rung(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        room.responder.set_state(room.id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        await ringing.check("matrix", "room-encrypted")
        await ringing.store(incident())
        assert await ringing.states() == ["pending"]
    assert room.alerts() == []


async def test_a_message_that_is_refused_is_told_in_short(pool, tmp_path, room):
    class Spoiling:
        def __init__(self, transport) -> None:
            self._transport = transport

        def __getattr__(self, name):
            return getattr(self._transport, name)

        async def send(self, room_id, kind, content, txn):
            spoilt = {**content, "ratio": 0.5} if TITLE in content["body"] else content
            return await self._transport.send(room_id, kind, spoilt, txn)

    async with bell(pool, tmp_path, room, wrap=Spoiling) as ringing:
        report = incident()
        await ringing.store(report)
        seen = await room.alert()
        assert report.id in seen["content"]["body"]
        assert TITLE not in seen["content"]["body"]
        await ringing.all_echoed(1)
        assert await ringing.states() == ["failed", "echoed"]
        assert (await ringing.check("alerts", "alerts-refused")).status == "degraded"
    assert len(room.alerts()) == 1


async def test_a_message_that_may_be_forgotten_is_sent_as_another(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        await ringing.store(incident())
        async with pool.acquire() as conn:
            await conn.execute("update delivery set attempts = 9, first_try_at = now() - interval '24 hours'")
        async with running(ringing):
            assert (await room.alert())["content"]["body"].startswith("(Perhaps for the second time.)")
            await ringing.all_echoed(1)


async def test_a_database_put_back_from_a_backup_does_not_ring_twice(pool, tmp_path, room):
    report = incident()
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.store(report)
        await ringing.all_echoed(1)
    async with pool.acquire() as conn:
        await conn.execute("truncate alert, delivery, act, channel restart identity cascade")
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.store(report)
        await ringing.all_echoed(1)
    assert len(room.alerts()) == 1


async def test_what_waits_too_long_or_was_not_seen_shows_in_health(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        await ringing.store(incident())
        async with pool.acquire() as conn:
            await conn.execute("update delivery set created_at = now() - interval '2 minutes'")
            assert (await ringing.check("alerts", "alerts-waiting")).status == "degraded"
            await conn.execute(
                "update delivery set state = 'accepted', accepted_at = now() - interval '2 minutes'"
            )
            assert (await ringing.check("alerts", "alerts-unseen")).status == "degraded"


async def test_an_echo_that_was_missed_is_made_good_at_the_next_start(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        await ringing.store(incident())
        async with running(ringing):
            await ringing.all_echoed(1)
        async with pool.acquire() as conn:
            await conn.execute("update delivery set state = 'accepted', echoed_at = null")
        async with running(ringing):
            await ringing.all_echoed(1)


async def test_lists_are_paged_and_unknown_alerts_are_named(pool, tmp_path):
    async with bell(pool, tmp_path, None) as ringing:
        ids = [await ringing.store(incident()) for _ in range(5)]
        page = await ringing.alarms.list(open_only=False, before=None, limit=2)
        assert [a["id"] for a in page] == ids[:2:-1]
        rest = await ringing.alarms.list(open_only=False, before=page[-1]["id"], limit=10)
        assert [a["id"] for a in rest] == ids[2::-1]
        with pytest.raises(AlertUnknown, match="99"):
            await ringing.alarms.get(99)
        with pytest.raises(AlertUnknown):
            await ringing.alarms.act(99, "ack", by="cli")


async def marked_anew(pool, report, tlp):
    """The report as it is stored, and then raised by a version that rings nobody."""
    async with pool.acquire() as conn:
        await reports.insert(conn, [reports.NewReport(report, "n1" + "a" * 52, 1)])
        await conn.execute("update report set ver = 2, tlp = $2 where id = $1", report.id, tlp.value)


async def delivered(pool):
    """(text, name, attempts) of every message in the outbox that rings."""
    query = "select content::text, txn, attempts from delivery where kind = 'ring'"
    async with pool.acquire() as conn:
        return [tuple(r) for r in await conn.fetch(query)]


@pytest.mark.parametrize("tried", [0, 3])
async def test_a_message_that_waits_says_no_more_than_its_report_allows_when_it_goes(
    pool, tmp_path, room, tried
):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        report = incident("I", tlp=Tlp.GREEN)
        alert_id = await ringing.store(report)
        async with pool.acquire() as conn:
            await conn.execute("update delivery set attempts = $1", tried)
        [(frozen, first, _)] = await delivered(pool)
        assert TITLE in frozen
        await marked_anew(pool, report, Tlp.RED)
        shown = await ringing.alarms.get(alert_id)
        assert (shown["tlp"], shown["title"]) == ("red", "TLP:RED incident, details not shown")
        async with running(ringing):
            body = (await room.alert())["content"]["body"]

            async def done():  # how things are now is what was told
                return sorted(await ringing.states()) == ["echoed", "superseded"]

            await ringing.until(done)
    assert body.startswith("🔴 ALERT, grade I · TLP:RED\n")
    [(sent, name, attempts)] = await delivered(pool)
    assert not [s for s in (TITLE, SUMMARY, DRIVER, SYSTEM, ORIGIN) if s in sent + body]
    assert name != first, "under its old name the homeserver would take it for what it may have already"
    assert attempts == tried + 1
    assert len(room.alerts()) == 1
    everything = json.dumps(room.responder.events(room.id), ensure_ascii=False)
    assert not [s for s in (TITLE, SUMMARY, DRIVER, SYSTEM, ORIGIN) if s in everything]


async def test_a_message_said_anew_keeps_its_name_however_often_it_is_tried(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False, encrypted=True) as ringing:
        report = incident("I", tlp=Tlp.GREEN)
        alert_id = await ringing.store(report)
        await marked_anew(pool, report, Tlp.AMBER)
        async with pool.acquire() as conn:
            alert = await alerts.get(conn, alert_id)
        name, content = ringing.alarms.said_now(alert, "tocsin-as-it-was")
        assert TITLE in content
        assert SUMMARY not in content
        assert ringing.alarms.said_now(alert, "tocsin-as-it-was") == (name, content)
        assert ringing.alarms.said_now(alert, name) is None
        assert ringing.alarms.said_now(alert, f"{name}-0a1b2c3d") is None, "renamed since it was old"


async def test_a_room_that_comes_later_is_told_by_the_marking_of_then(pool, tmp_path, room):
    report = incident("I", tlp=Tlp.GREEN)
    async with bell(pool, tmp_path, None) as ringing:
        await ringing.store(report)
    await marked_anew(pool, report, Tlp.RED)
    async with bell(pool, tmp_path, room) as ringing:
        assert TITLE not in (await room.alert())["content"]["body"]
        await ringing.all_echoed(1)


async def test_a_marking_that_fell_gives_nothing_back(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        report = incident("I", tlp=Tlp.RED)
        alert_id = await ringing.store(report)
        await marked_anew(pool, report, Tlp.CLEAR)
        assert (await ringing.alarms.get(alert_id))["tlp"] == "red"
