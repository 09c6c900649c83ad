"""One look that says whether an alert would get to a person now, and sends nothing."""

from tests.support.alarms import bell, incident
from tests.support.pager import pager

from tocsin_node.settings.oncall import OncallSettings, RotaSettings


def codes(found):
    return {f["code"] for f in found["findings"]}


async def test_two_rooms_that_answer_reach_people_and_nothing_is_sent(pool, tmp_path, room, second_room):
    async with bell(pool, tmp_path, room, second=second_room, canary_s=0) as ringing:
        await ringing.check("matrix", None)
        await ringing.check("matrix-2", None)
        found = await ringing.alarms.check()
        assert (found["status"], found["findings"]) == ("ok", [])
        shown = {c["channel"]: c for c in found["channels"]}
        assert [(c["reaches"], c["responders_present"]) for c in shown.values()] == [(True, 1), (True, 1)]
        assert (shown["matrix"]["reserve"], shown["matrix-2"]["reserve"]) == (False, True)
        assert shown["matrix"]["max_tlp"] == "green"
    assert (room.alerts(), second_room.alerts()) == ([], [])


async def test_one_way_only_is_a_weakness_and_an_empty_room_is_no_way(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        found = await ringing.alarms.check()
        assert (found["status"], codes(found)) == ("degraded", {"one-way-only"})
        room.responder.call("POST", f"/rooms/{room.id}/leave", {})
        found = await ringing.alarms.check()
        assert (found["status"], codes(found)) == ("down", {"nobody-reached", "no-responder"})
        assert found["channels"][0]["responders_present"] == 0
        assert found["findings"][0]["code"] == "nobody-reached"


async def test_whoever_is_called_in_turn_and_is_in_no_room_is_named(pool, tmp_path, room):
    here = room.responder.user_id
    for members, absent in (((here,), set()), ((here, "@away:hs", "away@example.org"), {"oncall-absent"})):
        rota = RotaSettings(name="first", members=members, first="2026-01-05")
        async with bell(pool, tmp_path, room, oncall=OncallSettings(rota=(rota,))) as ringing:
            await ringing.check("matrix", None)
            found = await ringing.alarms.check()
            assert codes(found) == {"one-way-only"} | absent
            hints = " ".join(f["hint"] for f in found["findings"])
            assert ("@away:hs" in hints) == bool(absent)
            assert here not in hints


async def test_a_silent_homeserver_is_found_within_the_time_of_a_request(pool, tmp_path, room, homeserver):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        homeserver.pause()
        found = await ringing.alarms.check()
        assert (found["status"], found["channels"][0]["code"]) == ("down", "homeserver-silent")


async def test_hints_of_the_second_room_name_its_own_section(pool, tmp_path, room, second_room):
    async with bell(pool, tmp_path, room, second=second_room) as ringing:
        await ringing.check("matrix-2", None)
        second_room.bot.call("POST", "/logout", {})
        said = await ringing.check("matrix-2", "token-rejected")
        assert "`tocsin matrix login --second`" in said.hint
        found = await ringing.alarms.check()
        [line] = [c for c in found["channels"] if c["channel"] == "matrix-2"]
        assert "`tocsin matrix login --second`" in line["hint"]
        assert found["status"] == "degraded"


async def test_a_bot_without_the_power_to_mention_the_room_is_found(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, responders=()) as ringing:
        said = await ringing.check("matrix", "no-room-mention")
        assert said.status == "degraded"
        levels = room.responder.call("GET", f"/rooms/{room.id}/state/m.room.power_levels/")
        users = levels["users"] | {room.bot.user_id: 50}
        room.responder.set_state(room.id, "m.room.power_levels", levels | {"users": users})
        await ringing.alarms.test()
        await ringing.check("matrix", None)


async def test_what_waits_and_what_was_refused_is_among_the_findings(pool, tmp_path):
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        await ringing.check("webhook", None)
        there.always = 410
        await ringing.store(incident("I"))
        await ringing.check("webhook", "webhook-gone")
        async with pool.acquire() as conn:
            await conn.execute("update delivery set created_at = now() - interval '2 minutes'")
        found = await ringing.alarms.check()
        assert found["status"] == "down"
        assert {"nobody-reached", "webhook-gone", "alerts-waiting"} <= codes(found)
        assert "hush" not in str(found)


async def test_without_any_channel_it_says_what_to_add(pool, tmp_path):
    async with bell(pool, tmp_path, None) as ringing:
        found = await ringing.alarms.check()
    assert found["status"] == "down"
    assert "[matrix]" in found["findings"][0]["hint"]
