"""What people order in the room is done once, by those who may, told to all, and can be taken back."""

import re
from datetime import UTC, datetime, timedelta

from tests.support.alarms import bell, incident, running

from tocsin_node.settings.oncall import OncallSettings, RotaSettings


def in_thread(root):
    return {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}


async def alert_in(ringing, room, grade="II"):
    alert_id = await ringing.store(incident(grade))
    return alert_id, (await room.said(f"!ack {alert_id}"))["event_id"]


async def shown(ringing, alert_id, wanted):
    """The alert as soon as `wanted` of it is true."""

    async def found():
        alert = await ringing.alarms.get(alert_id)
        return alert if wanted(alert) else None

    return await ringing.until(found, within_s=60)


def relation(event):
    return event["content"].get("m.relates_to", {})


async def test_who_takes_an_alert_in_its_thread_has_it_and_the_thread_is_told(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, root = await alert_in(ringing, room)
        room.responder.say(room.id, "!take on my way", **in_thread(root))
        alert = await shown(ringing, alert_id, lambda a: a["assigned"])
        assert alert["assigned"] == room.responder.user_id
        assert alert["state"] == "acknowledged"
        assert alert["next_escalation_at"] is None
        told = await room.said(f"Alert {alert_id}: {room.responder.user_id} works on it. “on my way”")
        assert told["content"]["msgtype"] == "m.notice"
        assert relation(told)["event_id"] == root
        assert told["content"]["m.mentions"] == {}


async def test_what_is_ordered_in_the_room_and_taken_back_there_is_in_the_audit_log(pool, tmp_path, room):
    me = f"matrix:{room.responder.user_id}"

    async def noted(action):
        async with pool.acquire() as conn:
            rows = await conn.fetch("select action from audit_waiting where who = $1 order by id", me)
        done = [row["action"] for row in rows]
        return done if action in done else None

    async with bell(pool, tmp_path, room) as ringing:
        alert_id, _ = await alert_in(ringing, room)
        for kind in ("take", "mute", "escalate", "resolve"):
            length = " 2h" if kind == "mute" else ""
            last = room.responder.say(room.id, f"!{kind}{length} {alert_id}")
            await ringing.until(lambda kind=kind: noted(f"alert.{kind}"))
        room.responder.redact(room.id, last)
        done = await ringing.until(lambda: noted("alert.undo"))
    assert [action for action in done if action != "alert.ack"] == [
        "alert.take", "alert.mute", "alert.escalate", "alert.resolve", "alert.undo",
    ]  # fmt: skip


async def test_what_is_said_in_a_thread_is_about_the_newest_alert_of_it(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        first = incident("II")
        old = await ringing.store(first)
        root = (await room.said(f"!ack {old}"))["event_id"]
        new = await ringing.store(incident("I", report_id=first.id), ver=2, before="II")
        await room.said(f"!ack {new}")
        room.responder.say(room.id, "!ack", **in_thread(root))
        await ringing.standing_acks(new, 1)
        assert await ringing.acks(old) == []


async def test_a_mute_is_done_said_and_ends_when_the_message_is_removed(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, _ = await alert_in(ringing, room)
        order = room.responder.say(room.id, f"!mute 2h {alert_id}")
        alert = await shown(ringing, alert_id, lambda a: a["muted_until"])
        assert timedelta(hours=1, minutes=59) < alert["muted_until"] - datetime.now(UTC) <= timedelta(hours=2)
        assert alert["state"] == "open"
        await room.said(f"Alert {alert_id} is muted until")
        room.responder.redact(room.id, order)
        alert = await shown(ringing, alert_id, lambda a: not a["muted_until"])
        assert alert["history"][0]["revoked_by"] == room.responder.user_id
        await room.said(f"Alert {alert_id} is open again")


async def test_a_mute_that_is_too_long_or_has_no_length_is_refused_with_words(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, _ = await alert_in(ringing, room, "I")
        room.responder.say(room.id, f"!mute 2h {alert_id}")
        await room.said(f"Alert {alert_id} can be muted for 1 hour at most.")
        room.responder.say(room.id, f"!mute {alert_id}")
        await room.said("For how long?")
        assert (await ringing.alarms.get(alert_id))["history"] == []


async def test_resolving_can_be_taken_back_and_the_waiting_begins_anew(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, _ = await alert_in(ringing, room)
        order = room.responder.say(room.id, f"!resolve {alert_id} false alarm")
        await shown(ringing, alert_id, lambda a: a["state"] == "resolved")
        await room.said(f"Alert {alert_id} is resolved, says {room.responder.user_id}. “false alarm”")
        room.responder.redact(room.id, order)
        alert = await shown(ringing, alert_id, lambda a: a["state"] == "open")
        assert alert["next_escalation_at"] is not None
        assert all(act["revoked_at"] for act in alert["history"])


async def test_what_is_asked_is_answered_where_it_was_asked_and_rings_nobody(pool, tmp_path, room):
    me = room.responder.user_id
    rota = RotaSettings(name="first", members=(me,), first="2026-01-05")
    oncall = OncallSettings(zone="Europe/Berlin", rota=(rota,))
    async with bell(pool, tmp_path, room, oncall=oncall) as ringing:
        alert_id, root = await alert_in(ringing, room)
        asked = room.responder.say(room.id, "!oncall")
        answer = await room.said(f"first (level 0): {me} until Mon ")
        assert re.search(r"09:00 CES?T, then @", answer["content"]["body"])
        assert relation(answer) == {"m.in_reply_to": {"event_id": asked}}
        assert (answer["content"]["msgtype"], answer["content"]["m.mentions"]) == ("m.notice", {})
        room.responder.say(room.id, "!status", **in_thread(root))
        answer = await room.said(f"Alert {alert_id}, grade II: open; the next are called at ")
        assert relation(answer)["event_id"] == root
        room.responder.say(room.id, "!status 4711")
        await room.said("There is no alert 4711.")
        room.responder.say(room.id, f"!take {alert_id}")
        await shown(ringing, alert_id, lambda a: a["assigned"])
        room.responder.say(room.id, "!status")
        await room.said("No alert is open.")
        room.responder.say(room.id, "!help")
        assert "!mute 2h [N]" in (await room.said("!take [N]"))["content"]["body"]
        room.responder.say(room.id, "!ack")
        await room.said("Which alert?")
        room.responder.say(room.id, "!take 4711")
        await room.said("There is no alert 4711. !status lists")


async def test_who_wants_help_has_the_next_called_once_and_may_take_the_word_back(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, root = await alert_in(ringing, room)
        me = room.responder.user_id
        order = room.responder.say(room.id, "!escalate two hands are too few", **in_thread(root))
        told = await room.said(f"HELP WANTED with alert {alert_id} by {me}: {me}. two hands are too few")
        assert relation(told)["event_id"] == root
        alert = await shown(ringing, alert_id, lambda a: a["history"])
        (act,) = alert["history"]
        assert (act["kind"], act["by"], act["via"], act["level"]) == ("escalate", me, "reply", 1)
    async with bell(pool, tmp_path, room) as ringing:  # it reads the thread anew when it starts
        await ringing.check("matrix", None)
        room.responder.say(room.id, f"!status {alert_id}")
        await room.said(f"Alert {alert_id}, grade II: open")
        assert len((await ringing.alarms.get(alert_id))["history"]) == 1
        room.responder.redact(room.id, order)
        await shown(ringing, alert_id, lambda a: a["history"][0]["revoked_by"] == me)
    assert len([a for a in room.alerts() if "HELP WANTED" in a["content"]["body"]]) == 1


async def test_unknown_orders_get_one_hint_an_hour(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.check("matrix", None)
        for word in ("cry", "weather", "xkcd"):
            room.responder.say(room.id, f"!{word} now")
        room.responder.say(room.id, "!help")
        await room.said("!take [N]")
    hints = [a for a in room.alerts() if "There is no !" in a["content"]["body"]]
    assert 1 <= len(hints) <= 2, "the hour may have turned"


async def test_who_may_not_act_is_not_answered_and_changes_nothing(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, _ = await alert_in(ringing, room)
        for order in (
            f"!take {alert_id}",
            f"!mute 1h {alert_id}",
            f"!resolve {alert_id}",
            "!help",
            "!nonsense",
        ):
            room.outsider.say(room.id, order)
        room.responder.say(room.id, "!oncall")
        await room.said("There is no rota")
        assert (await ringing.alarms.get(alert_id))["history"] == []
        async with pool.acquire() as conn:
            assert await conn.fetchval("select ignored_acks from channel") == 3
    assert len(room.alerts()) == 2


async def test_a_member_of_a_rota_may_act_without_being_named_a_responder(pool, tmp_path, room):
    rota = RotaSettings(name="first", members=(room.outsider.user_id,), first="2026-01-05")
    async with bell(pool, tmp_path, room, oncall=OncallSettings(rota=(rota,))) as ringing:
        alert_id, _ = await alert_in(ringing, room)
        room.outsider.say(room.id, f"!take {alert_id}")
        await shown(ringing, alert_id, lambda a: a["assigned"] == room.outsider.user_id)


async def test_the_second_room_gives_orders_of_its_own_and_is_answered_there(
    pool, tmp_path, room, second_room
):
    async with bell(pool, tmp_path, room, second=second_room) as ringing:
        alert_id = await ringing.store(incident("I"))
        await second_room.said(f"!ack {alert_id}")
        second_room.outsider.say(second_room.id, f"!take {alert_id}")
        second_room.responder.say(second_room.id, "!status")
        await second_room.said(f"Alert {alert_id}")
        second_room.responder.say(second_room.id, f"!take {alert_id}")
        alert = await shown(ringing, alert_id, lambda a: a["assigned"])
        assert alert["assigned"] == second_room.responder.user_id
        for each in (room, second_room):
            await each.said(f"Alert {alert_id}: {second_room.responder.user_id} works on it.")
        async with pool.acquire() as conn:
            assert await conn.fetchval("select distinct channel from act") == "matrix-2"
    assert not [e for e in room.alerts() if "!status" in e["content"]["body"]]


async def test_two_programs_in_one_room_do_not_talk_to_each_other(pool, tmp_path, room):
    """Another bot that answers every message with an order of its own, as a notice, as bots have to."""
    async with bell(pool, tmp_path, room, responders=()) as ringing:
        alert_id, root = await alert_in(ringing, room)
        for order in ("!help", f"!ack {alert_id}", "!nonsense"):
            room.outsider.send(room.id, "m.room.message", {"msgtype": "m.notice", "body": order})
        room.responder.react(room.id, root)
        await ringing.standing_acks(alert_id, 1)
        await ringing.all_said(1)
    assert len(room.alerts()) == 1


async def test_an_order_is_obeyed_and_answered_once_however_often_it_is_read(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, root = await alert_in(ringing, room)
        async with pool.acquire() as conn:
            position = await conn.fetchval("select sync_since from channel")
        room.responder.say(room.id, "!take", **in_thread(root))
        room.responder.say(room.id, "!oncall", **in_thread(root))
        await room.said("There is no rota")
        await room.said("works on it")
        await ringing.all_said(3)
    async with pool.acquire() as conn:
        await conn.execute("update channel set sync_since = $1", position)
    async with bell(pool, tmp_path, room) as ringing:
        other, other_event = await alert_in(ringing, room)
        room.responder.react(room.id, other_event)
        await ringing.standing_acks(other, 1)
        await ringing.all_said(4)
        assert [a["kind"] for a in (await ringing.alarms.get(alert_id))["history"]] == ["take", "ack"]
    assert len(room.alerts()) == 4


async def test_what_was_asked_long_ago_is_not_answered_any_more(pool, tmp_path, room):
    def hours_later():
        return datetime.now(UTC) + timedelta(hours=2)

    async with bell(pool, tmp_path, room, run=False, now=hours_later) as ringing, running(ringing):
        await ringing.check("matrix", None)
        alert_id, root = await alert_in(ringing, room)
        room.responder.say(room.id, "!help")
        room.responder.react(room.id, root)
        await ringing.standing_acks(alert_id, 1)
        await ringing.all_said(1)
    assert len(room.alerts()) == 1
