"""What people answer in the room is kept, counted once, and can be taken back."""

import pytest
from tests.support.alarms import bell, incident, running

from tocsin_federation.messages import Acknowledgement, Progress


async def alert_in(ringing, room):
    """A new alert in the room: its number and its event."""
    alert_id = await ringing.store(incident())
    return alert_id, (await room.alert())["event_id"]


@pytest.mark.parametrize("key", ["👀", "👍", "👍🏽", "✅", "✔️"])
async def test_a_responder_s_reaction_acknowledges(pool, tmp_path, room, key):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, event_id = await alert_in(ringing, room)
        room.responder.react(room.id, event_id, key)
        [ack] = await ringing.standing_acks(alert_id, 1)
        assert (ack["by"], ack["via"], ack["node"]) == (room.responder.user_id, "reaction", None)
        assert (await ringing.alarms.get(alert_id))["state"] == "acknowledged"
        assert await ringing.alarms.list(open_only=True, before=None, limit=9) == []
        assert ringing.acknowledged == 1
    assert len(room.alerts()) == 1


async def test_a_reply_acknowledges_by_number_in_a_thread_or_as_a_reply(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        first, _ = await alert_in(ringing, room)
        second, in_thread = await alert_in(ringing, room)
        third, replied_to = await alert_in(ringing, room)
        quoted = f"> <{room.bot.user_id}> ALERT … write !ack 1\n\n!ack looking at it"
        room.responder.say(room.id, f"!ACK {first} on my way @room")
        room.responder.say(
            room.id, "!ack", **{"m.relates_to": {"rel_type": "m.thread", "event_id": in_thread}}
        )
        room.responder.say(room.id, quoted, **{"m.relates_to": {"m.in_reply_to": {"event_id": replied_to}}})
        notes = [(await ringing.standing_acks(alert, 1))[0]["note"] for alert in (first, second, third)]
        assert notes == ["on my way ＠room", None, "looking at it"]


async def test_what_only_looks_like_an_acknowledgement_is_none(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, event_id = await alert_in(ringing, room)
        said = room.responder.say(room.id, "!ack 4711")  # no such alert
        room.responder.say(room.id, f"please !ack {alert_id}")
        room.responder.say(room.id, f"> !ack {alert_id}")
        room.responder.say(room.id, f"!acknowledge {alert_id}")
        room.responder.say(room.id, f"!ack {'9' * 30}")
        room.responder.say(room.id, "!ack")
        room.responder.send(room.id, "m.room.message", {"msgtype": "m.notice", "body": f"!ack {alert_id}"})
        edit = {"m.new_content": {"msgtype": "m.text", "body": f"!ack {alert_id}"}}
        room.responder.say(
            room.id,
            f"!ack {alert_id}",
            **edit,
            **{"m.relates_to": {"rel_type": "m.replace", "event_id": said}},
        )
        room.responder.react(room.id, event_id, "😱")
        room.bot.react(room.id, event_id, "✅")
        room.bot.say(room.id, f"!ack {alert_id}")
        room.responder.send(room.id, "m.reaction", {"m.relates_to": "no object"})
        other, other_event = await alert_in(ringing, room)
        room.responder.react(room.id, other_event)
        await ringing.standing_acks(other, 1)
        assert await ringing.acks(alert_id) == []


async def test_only_responders_acknowledge_and_others_are_counted(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, event_id = await alert_in(ringing, room)
        room.outsider.react(room.id, event_id)
        room.outsider.say(room.id, f"!ack {alert_id}")
        room.responder.react(room.id, event_id)
        assert [a["by"] for a in await ringing.standing_acks(alert_id, 1)] == [room.responder.user_id]
        async with pool.acquire() as conn:
            assert await conn.fetchval("select ignored_acks from channel") == 2


async def test_without_named_responders_every_member_may_acknowledge(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, responders=()) as ringing:
        alert_id, event_id = await alert_in(ringing, room)
        room.outsider.react(room.id, event_id)
        assert [a["by"] for a in await ringing.standing_acks(alert_id, 1)] == [room.outsider.user_id]


async def test_taking_the_reaction_back_opens_the_alert_again(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, event_id = await alert_in(ringing, room)
        reaction = room.responder.react(room.id, event_id)
        await ringing.standing_acks(alert_id, 1)
        async with pool.acquire() as conn:
            await conn.execute("update act set shared_idx = 7")  # the origin was told
        room.responder.redact(room.id, reaction)
        await ringing.standing_acks(alert_id, 0)
        assert (await ringing.alarms.get(alert_id))["state"] == "open"
        async with pool.acquire() as conn:  # … and has to be told again
            assert await conn.fetchval("select shared_idx from act") is None
        assert ringing.acknowledged == 2
        room.responder.react(room.id, event_id, "👍")
        await ringing.standing_acks(alert_id, 1)


async def test_an_alert_that_somebody_removed_from_the_room_says_so(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, event_id = await alert_in(ringing, room)
        room.responder.redact(room.id, event_id)

        async def told() -> bool:
            [delivery] = (await ringing.alarms.get(alert_id))["deliveries"]
            return delivery["last_error"] == "removed-from-room"

        await ringing.until(told)


async def test_what_was_said_while_the_node_was_away_is_heard_in_a_busy_room(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        first, first_event = await alert_in(ringing, room)
        second, _ = await alert_in(ringing, room)
        third, third_event = await alert_in(ringing, room)
        kept = room.responder.react(room.id, third_event)
        await ringing.standing_acks(third, 1)
        await ringing.all_said(3)
    room.responder.react(room.id, first_event)
    room.responder.say(room.id, f"!ack {second}")
    room.responder.redact(room.id, kept)
    for number in range(60):
        room.outsider.say(room.id, f"chat {number}")
    async with bell(pool, tmp_path, room) as ringing:
        assert [a["via"] for a in await ringing.standing_acks(first, 1)] == ["reaction"]
        assert [a["via"] for a in await ringing.standing_acks(second, 1)] == ["reply"]
        await ringing.standing_acks(third, 0)


@pytest.mark.parametrize("position", [None, "s0_nonsense", "not a position"])
async def test_a_lost_position_in_the_stream_is_made_good_by_asking_about_each_alert(
    pool, tmp_path, room, position
):
    async with bell(pool, tmp_path, room) as ringing:
        first, first_event = await alert_in(ringing, room)
        second, second_event = await alert_in(ringing, room)
        kept = room.responder.react(room.id, second_event)
        await ringing.standing_acks(second, 1)
        await ringing.all_said(2)
    room.responder.react(room.id, first_event)
    room.responder.redact(room.id, kept)
    for number in range(55):
        room.outsider.say(room.id, f"chat {number}")
    async with pool.acquire() as conn:
        await conn.execute("update channel set sync_since = $1", position)
    async with bell(pool, tmp_path, room) as ringing:
        await ringing.standing_acks(first, 1)
        await ringing.standing_acks(second, 0)


async def test_an_answer_counts_once_however_often_it_is_read(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id, event_id = await alert_in(ringing, room)
        async with pool.acquire() as conn:
            position = await conn.fetchval("select sync_since from channel")
        room.responder.react(room.id, event_id)
        room.responder.say(room.id, f"!ack {alert_id}")
        await ringing.standing_acks(alert_id, 2)
    for _ in range(2):  # the position was not on the disk yet when the node died
        async with pool.acquire() as conn:
            await conn.execute("update channel set sync_since = $1", position)
        async with bell(pool, tmp_path, room) as ringing:
            other, other_event = await alert_in(ringing, room)
            room.responder.react(room.id, other_event)
            await ringing.standing_acks(other, 1)
            assert len(await ringing.acks(alert_id)) == 2


async def test_a_database_that_forgot_its_last_second_rings_once_and_hears_the_answer(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        async with running(ringing):
            await ringing.check("matrix", None)
        async with pool.acquire() as conn:
            position = await conn.fetchval("select sync_since from channel")
        alert_id = await ringing.store(incident())
        async with running(ringing):
            event_id = (await room.alert())["event_id"]
            await ringing.all_echoed(1)
        async with pool.acquire() as conn:
            await conn.execute(
                "update delivery set state = 'pending', event_id = null, accepted_at = null, echoed_at = null"
            )
            await conn.execute("update channel set sync_since = $1", position)
        room.responder.react(room.id, event_id)
        async with running(ringing):
            await ringing.standing_acks(alert_id, 1)
            await ringing.all_echoed(1)
    assert len(room.alerts()) == 1


async def test_the_command_line_acknowledges_too_and_once(pool, tmp_path):
    async with bell(pool, tmp_path, None) as ringing:
        alert_id = await ringing.store(incident())
        for _ in range(2):
            alert = await ringing.alarms.act(alert_id, "ack", by="ops", note="seen\x00 it\n@room")
        [ack] = alert["acknowledgements"]
        assert (ack["by"], ack["via"], ack["note"]) == ("ops", "api", "seen it ＠room")
        assert (alert["state"], ringing.acknowledged) == ("acknowledged", 1)


async def test_a_peer_s_acknowledgement_shows_at_the_origin_and_is_told_no_further(pool, tmp_path):
    async with bell(pool, tmp_path, None) as ringing:
        report = incident()
        alert_id = await ringing.store(report, ours=True)
        async with pool.acquire() as conn:
            await conn.execute(
                "insert into report (id, origin, ver, state, name, tlp, grade, level, score, realization, modified, sha256,"
                " bundle, audience) values ($1, 'us', 1, 'active', '', 'green', 'II', 4, 76, 'harm-event', now(), '', '', $2)",
                report.id,
                ["n1peer"],
            )

        async def hear(node_id: str, *, revoked: bool, at: int = 2**53 - 1) -> None:
            said = Acknowledgement(v=1, report_id=report.id, ver=1, at=at, revoked=revoked)
            async with pool.transaction() as conn:
                await ringing.alarms.record_remote_ack(conn, said, node_id=node_id, org="Peer")

        await hear("n1stranger", revoked=False)
        assert await ringing.acks(alert_id) == []
        for revoked in (False, False, True, False):
            await hear("n1peer", revoked=revoked)
            [ack] = await ringing.acks(alert_id)
            assert (ack["by"], ack["via"], ack["node"]) == ("Peer", "peer", "n1peer")
            assert (ack["revoked_at"] is not None) == revoked
            assert ack["at"] <= (await ringing.alarms.get(alert_id))["raised_at"].now(tz=ack["at"].tzinfo)
        assert (await ringing.alarms.get(alert_id))["state"] == "acknowledged"
        assert list(await ringing.alarms.progress(report.id)) == [ack]
        assert ringing.acknowledged == 0


async def test_that_nobody_answers_at_a_peer_is_said_in_the_thread_once_however_often_it_says_so(
    pool, tmp_path, room
):
    async with bell(pool, tmp_path, room) as ringing:
        report = incident()
        alert_id = await ringing.store(report, ours=True)
        async with pool.acquire() as conn:
            await conn.execute(
                "insert into report (id, origin, ver, state, name, tlp, grade, level, score, realization, modified, sha256,"
                " bundle, audience) values ($1, 'us', 1, 'active', '', 'green', 'II', 4, 76, 'harm-event', now(), '', '', $2)",
                report.id,
                ["n1peer"],
            )
        for at in range(20):
            said = Progress(v=2, report_id=report.id, ver=1, at=at, revoked=False, state="unanswered")
            async with pool.transaction() as conn:
                await ringing.alarms.record_remote_ack(conn, said, node_id="n1peer", org="Lab @room")
        ringing.alarms.wake()
        await room.said("Lab ＠room has called everybody, and nobody answers there.")
        await ringing.all_said(2)
        alert = await ringing.alarms.get(alert_id)
        assert (alert["state"], [a["kind"] for a in alert["history"]]) == ("open", ["unanswered"])
