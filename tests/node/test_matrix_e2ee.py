"""Alerts in encrypted rooms on a real Synapse; the responder's client shares no crypto code with the bot's."""

import asyncio
import random
import sqlite3
from contextlib import closing

import pytest
from tests.support.alarms import SUMMARY, TITLE, bell, incident
from tests.support.confidant import another_device, confidant, verify_device
from tests.support.fault_proxy import fault_proxy
from tests.support.homeserver import open_encrypted_room

from tocsin_schema.marking import Tlp

pytest.importorskip("olm", reason="the extra e2ee is not installed")

from tocsin_node.links.alert_thread import Saying
from tocsin_node.links.matrix_answers import events as as_events
from tocsin_node.links.matrix_crypto import _index

SEED = 20_261_129


def ringing_in(pool, directory, room, **options):
    return bell(pool, directory, room, encrypted=True, **options)


def places(room):
    """Session and place of everything that the bot encrypted, as the homeserver has it."""
    sealed = [e for e in room.responder.events(room.id) if e["type"] == "m.room.encrypted"]
    return [(e.content["session_id"], _index(e)) for e in as_events(sealed) if e.sender == room.bot.user_id]


async def test_an_alert_is_read_by_the_responder_and_acknowledged_by_reaction_and_reply(
    pool, keys_dir, encrypted_room, friend
):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        alert_id = await ringing.store(incident("I"))
        seen = await friend.alert()
        assert TITLE in seen["content"]["body"]
        await ringing.all_echoed(1)
        await friend.react(encrypted_room.id, seen["event_id"])
        await ringing.standing_acks(alert_id, 1)
        await friend.say(encrypted_room.id, f"!ack {alert_id} on my way")
        acks = await ringing.standing_acks(alert_id, 2)
    assert [(a["via"], a["note"]) for a in acks] == [("reaction", None), ("reply", "on my way")]


async def test_the_homeserver_never_has_the_words(pool, keys_dir, homeserver, encrypted_room, friend):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        await ringing.store(incident("I", tlp=Tlp.AMBER, title="Mole in the control room"))
        assert "Mole in the control room" in (await friend.alert())["content"]["body"]
        await ringing.all_echoed(1)
    kept = b"".join(file.read_bytes() for file in homeserver.directory.glob("synapse.db*"))
    assert encrypted_room.id.encode() in kept
    assert b"Mole in the control room" not in kept
    with closing(sqlite3.connect(f"file:{homeserver.directory / 'synapse.db'}?mode=ro", uri=True)) as db:
        events = db.execute("select json from event_json where room_id = ?", [encrypted_room.id]).fetchall()
    said = "".join(event for (event,) in events)
    assert "m.room.encrypted" in said
    for words in ("Mole", "org.tocsin.alert", SUMMARY):
        assert words not in said


async def test_an_encrypted_room_may_read_amber_and_nothing_of_red(pool, keys_dir, encrypted_room, friend):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        await ringing.store(incident("I", tlp=Tlp.AMBER))
        assert TITLE in (await friend.alert())["content"]["body"]
        await ringing.store(incident("I", tlp=Tlp.RED))
        assert TITLE not in (await friend.alert())["content"]["body"]


async def test_words_in_the_open_are_not_heard(pool, keys_dir, encrypted_room, friend):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        alert_id = await ringing.store(incident("I"))
        seen = await friend.alert()
        encrypted_room.responder.say(encrypted_room.id, f"!ack {alert_id} in the open")
        await friend.say(encrypted_room.id, f"!ack {alert_id} sealed")
        [ack] = await ringing.standing_acks(alert_id, 1)
        assert ack["note"] == "sealed"
        await friend.react(encrypted_room.id, seen["event_id"])
        await ringing.standing_acks(alert_id, 2)


async def test_cut_off_at_any_moment_each_alert_is_read_once_and_no_place_of_a_key_is_used_twice(
    pool, keys_dir, encrypted_room, friend
):
    chance, ids = random.Random(SEED), []
    for _ in range(15):
        async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
            ids.append(await ringing.store(incident()))
            await asyncio.sleep(chance.uniform(0, 0.7))  # the moment of the cut is what is being tried
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        await ringing.all_echoed(len(ids))
        seen = [await friend.alert() for _ in ids]
    assert sorted(a["content"]["org.tocsin.alert"]["alert"] for a in seen) == ids
    used = places(encrypted_room)
    assert len(used) == len(set(used)) == len(ids)
    assert not friend.sealed


async def test_a_bad_network_doubles_and_loses_nothing(pool, keys_dir, homeserver, encrypted_room, friend):
    ids = []
    async with (
        fault_proxy(homeserver.url) as proxy,
        ringing_in(pool, keys_dir, encrypted_room, homeserver=proxy.url, request_timeout_s=1.0) as ringing,
    ):
        await ringing.check("matrix", "device-not-verified")
        for fault in ("reset-after-commit", "cut-body", "hang", "bad-gateway", "html"):
            proxy.fail(fault)
            ids.append(await ringing.store(incident()))
        proxy.fail("bad-gateway", "/sync", times=2)
        await ringing.all_echoed(len(ids))
        seen = [await friend.alert() for _ in ids]
    assert sorted(a["content"]["org.tocsin.alert"]["alert"] for a in seen) == ids
    assert len(places(encrypted_room)) == len(ids)


@pytest.mark.parametrize(
    "path", ["/keys/query", "/keys/claim", "/sendToDevice", "/joined_members", "/keys/upload"]
)
async def test_an_alert_waits_for_keys_that_the_network_holds_up(
    pool, keys_dir, homeserver, encrypted_room, friend, path
):
    async with (
        fault_proxy(homeserver.url) as proxy,
        ringing_in(pool, keys_dir, encrypted_room, homeserver=proxy.url) as ringing,
    ):
        proxy.fail("bad-gateway", path, times=2)
        await ringing.store(incident())
        assert TITLE in (await friend.alert())["content"]["body"]
        await ringing.all_echoed(1)


async def test_a_new_device_of_the_responder_reads_what_comes_next(
    pool, keys_dir, tmp_path, encrypted_room, friend
):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        await ringing.store(incident(title="Before"))
        await friend.alert()
        await ringing.all_echoed(1)
        async with confidant(another_device(encrypted_room.responder), tmp_path / "phone") as phone:
            await ringing.until(lambda: _rotated(ringing), within_s=60)
            await ringing.store(incident(title="After"))
            assert "After" in (await phone.alert())["content"]["body"]
            assert "After" in (await friend.alert())["content"]["body"]
            alert_id = 2
            await phone.say(encrypted_room.id, f"!ack {alert_id}")
            await ringing.standing_acks(alert_id, 1)


async def _rotated(ringing):
    return ringing.transport._shared is None


async def test_who_is_put_out_of_the_room_has_no_key_of_what_comes_next(
    pool, keys_dir, tmp_path, encrypted_room, friend
):
    async with (
        confidant(encrypted_room.outsider, tmp_path / "outsider") as outsider,
        ringing_in(pool, keys_dir, encrypted_room) as ringing,
    ):
        await ringing.store(incident(title="For both"))
        await outsider.alert()
        await friend.alert()
        await ringing.all_echoed(1)
        body = {"user_id": encrypted_room.outsider.user_id}
        encrypted_room.responder.call("POST", f"/rooms/{encrypted_room.id}/kick", body)
        await ringing.until(lambda: _rotated(ringing), within_s=60)
        await ringing.store(incident(title="For one"))
        assert "For one" in (await friend.alert())["content"]["body"]
        await outsider.listen(wait_s=0.1)
    first, second = places(encrypted_room)
    assert first[0] != second[0]
    store = outsider.client.olm.inbound_group_store
    bot_key = next(
        e
        for e in as_events(encrypted_room.responder.events(encrypted_room.id))
        if e.type == "m.room.encrypted"
    )
    assert store.get(encrypted_room.id, bot_key.content["sender_key"], first[0]) is not None
    assert store.get(encrypted_room.id, bot_key.content["sender_key"], second[0]) is None


async def test_the_room_says_after_how_many_messages_its_key_changes(pool, keys_dir, homeserver, tmp_path):
    room = open_encrypted_room(homeserver, rotation_period_msgs=2)
    async with (
        confidant(room.responder, tmp_path / "friend") as friend,
        ringing_in(pool, keys_dir, room) as ringing,
    ):
        for number in range(5):
            await ringing.store(incident(title=f"Number {number}"))
            assert f"Number {number}" in (await friend.alert())["content"]["body"]
    sessions = [session for session, _ in places(room)]
    assert len(set(sessions)) == 3
    assert max(sessions.count(s) for s in sessions) == 2


async def test_devices_that_nobody_verified_read_nothing_when_the_settings_say_so(
    pool, keys_dir, tmp_path, encrypted_room, friend
):
    async with ringing_in(pool, keys_dir, encrypted_room, only_verified=True) as ringing:
        await ringing.check("matrix", "responder-cannot-read")
        await ringing.store(incident(title="Not for it"))
        await friend.fail_to_read()
        await verify_device(encrypted_room.responder)
        await ringing.until(lambda: _rotated(ringing), within_s=60)
        await ringing.store(incident(title="For it now"))
        assert "For it now" in (await friend.alert())["content"]["body"]


async def test_a_bot_put_out_of_the_room_says_so_and_goes_on_when_it_is_back(
    pool, keys_dir, encrypted_room, friend
):
    room = encrypted_room
    async with ringing_in(pool, keys_dir, room) as ringing:
        await ringing.store(incident(title="First"))
        await friend.alert()
        await ringing.all_echoed(1)
        room.responder.call("POST", f"/rooms/{room.id}/kick", {"user_id": room.bot.user_id})
        await ringing.check("matrix", "not-in-room")
        await ringing.store(incident(title="Meanwhile"))
        room.responder.call("POST", f"/rooms/{room.id}/invite", {"user_id": room.bot.user_id})
        assert "Meanwhile" in (await friend.alert())["content"]["body"]


async def test_what_is_said_later_stands_in_the_thread_and_is_sealed_too(
    pool, keys_dir, encrypted_room, friend
):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        alert_id = await ringing.store(incident())
        root = await friend.alert()
        async with pool.transaction() as conn:
            await ringing.alarms.say(
                conn, alert_id, "notice", Saying(what="taken", line="Taken up by grace.")
            )
        ringing.alarms.wake()
        said = await friend.hear(lambda e: e.source["content"].get("body") == "Taken up by grace.")
        await ringing.all_echoed(2)
    assert said.decrypted
    assert said.source["content"]["m.relates_to"]["event_id"] == root["event_id"]
    [_, outer] = [
        e for e in encrypted_room.responder.events(encrypted_room.id) if e["type"] == "m.room.encrypted"
    ]
    assert outer["content"]["m.relates_to"]["rel_type"] == "m.thread"
