"""An encrypted room on a second homeserver: told at once of grade I, in the first one's stead, heard, and never in the clear."""

import pytest
from tests.support.alarms import TITLE, bell, incident
from tests.support.confidant import confidant
from tests.support.homeserver import open_encrypted_room

from tocsin_schema.marking import Tlp

pytest.importorskip("olm", reason="the extra e2ee is not installed")

ENCRYPTED = {"encrypted": True}


@pytest.fixture
def second_encrypted_room(second_room):
    return open_encrypted_room(second_room.homeserver)


@pytest.fixture
async def second_friend(second_encrypted_room, tmp_path):
    """The responder's client in the encrypted room on the second homeserver."""
    async with confidant(second_encrypted_room.responder, tmp_path / "second-friend") as opened:
        yield opened


def in_the_clear(room):
    return [event for event in room.responder.events(room.id) if event["type"] == "m.room.message"]


async def test_grade_one_is_read_in_both_encrypted_rooms_at_once_and_acknowledged_from_the_second(
    pool, keys_dir, encrypted_room, friend, second_encrypted_room, second_friend
):
    rooms = {"encrypted": True, "second": second_encrypted_room, "second_fields": ENCRYPTED}
    async with bell(pool, keys_dir, encrypted_room, **rooms) as ringing:
        alert_id = await ringing.store(incident("I", tlp=Tlp.AMBER))
        for client in (friend, second_friend):
            seen = await client.alert()
            assert TITLE in seen["content"]["body"], "both may read amber"
            assert seen["content"]["org.tocsin.alert"]["alert"] == alert_id
        await ringing.all_said(2)
        await second_friend.say(second_encrypted_room.id, f"!take {alert_id} on my way")
        [ack] = await ringing.standing_acks(alert_id, 1)
        assert (ack["by"], ack["via"]) == (second_encrypted_room.responder.user_id, "reply")
        done = await friend.hear(lambda e: "works on it" in e.source["content"].get("body", ""))
        assert done.decrypted, "the first room is told who has it"
    assert in_the_clear(encrypted_room) == in_the_clear(second_encrypted_room) == []


async def test_what_a_dead_first_homeserver_does_not_take_is_read_in_the_encrypted_second_room(
    pool, keys_dir, room, second_encrypted_room, second_friend
):
    rooms = {"second": second_encrypted_room, "second_fields": ENCRYPTED, "alerts": {"reroute_ii_s": 1}}
    async with bell(pool, keys_dir, room, **rooms) as ringing:
        await ringing.check("matrix", None)
        room.homeserver.kill()
        alert_id = await ringing.store(incident("II", tlp=Tlp.AMBER))
        seen = await second_friend.alert()
        assert TITLE in seen["content"]["body"]
        await second_friend.react(second_encrypted_room.id, seen["event_id"])
        await ringing.standing_acks(alert_id, 1)
        room.homeserver.start()
        room.homeserver.wait_ready()
        await room.said("Back: 1 alert went through the second room")
    assert TITLE not in "".join(event["content"].get("body", "") for event in in_the_clear(room))
    assert in_the_clear(second_encrypted_room) == []


async def test_a_second_room_that_is_not_what_the_setting_says_is_told_nothing(
    pool, keys_dir, room, second_room
):
    rooms = {"second": second_room, "second_fields": ENCRYPTED}
    async with bell(pool, keys_dir, room, **rooms) as ringing:
        check = await ringing.check("matrix-2", "room-not-encrypted")
        assert "matrix_second.encrypted" in check.hint
        alert_id = await ringing.store(incident("I"))
        await ringing.reaches(alert_id, "matrix", "accepted", "echoed")
    assert in_the_clear(second_room) == []


async def test_the_two_bots_keep_their_keys_apart_and_go_on_after_a_restart(
    pool, keys_dir, encrypted_room, friend, second_encrypted_room, second_friend
):
    rooms = {"encrypted": True, "second": second_encrypted_room, "second_fields": ENCRYPTED}
    for _ in range(2):
        async with bell(pool, keys_dir, encrypted_room, **rooms) as ringing:
            alert_id = await ringing.store(incident("I"))
            for client in (friend, second_friend):
                assert (await client.alert())["content"]["org.tocsin.alert"]["alert"] == alert_id
    assert friend.sealed == second_friend.sealed == []
    async with pool.acquire() as conn:
        accounts = await conn.fetch("select account_id, device_id from matrix_crypto.crypto_account")
    bots = {encrypted_room.bot.user_id, second_encrypted_room.bot.user_id}
    assert {row["account_id"] for row in accounts} == bots
