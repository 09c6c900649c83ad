"""Two homeservers, mail and a webhook: what one way does not take goes the next, once, and comes to a person."""

import asyncio

import pytest
from tests.support.alarms import TITLE, bell, incident, running
from tests.support.pager import pager
from tests.support.post_office import post_office

from tocsin_node.services.alarm_reroute import summary
from tocsin_node.storage.rerouting import Returned
from tocsin_schema.marking import Tlp

SOON = {"reroute_ii_s": 1.0, "reroute_iii_s": 1.5}


def returned(room):
    """The summaries that stand in a room."""
    return [a for a in room.alerts() if "Back: " in a["content"]["body"]]


def rung(room):
    """The alerts that ring in a room."""
    return [a for a in room.alerts() if "Back: " not in a["content"]["body"]]


async def pass_time(pool):
    """As if every message had been written two hours earlier."""
    async with pool.acquire() as conn:
        await conn.execute(
            "update delivery set created_at = created_at - interval '2 hours', not_before = not_before - interval '2 hours'"
        )


async def test_grade_i_rings_on_both_homeservers_at_once_and_grade_ii_only_on_the_first(
    pool, tmp_path, room, second_room
):
    patient = {"reroute_ii_s": 3600.0}
    async with bell(pool, tmp_path, room, second=second_room, alerts=patient) as ringing:
        await ringing.check("matrix", None)
        await ringing.check("matrix-2", None)
        mild = await ringing.store(incident("II"))
        await ringing.reaches(mild, "matrix", "echoed")
        grave = await ringing.store(incident("I"))
        await ringing.reaches(grave, "matrix", "echoed")
        await ringing.reaches(grave, "matrix-2", "echoed")
        await pass_time(pool)
        await ringing.alarms._rerouter.look()  # its time has passed, and it had been taken
        assert set(await ringing.deliveries(mild)) == {"matrix"}
    assert (len(room.alerts()), len(second_room.alerts())) == (2, 1)


@pytest.mark.parametrize("grade", ["II", "III"])
async def test_a_frozen_homeserver_is_passed_by_and_told_once_when_it_is_back(
    pool, tmp_path, room, second_room, homeserver, grade
):
    alerts = SOON | {"grade_iii": "always"}
    async with bell(pool, tmp_path, room, second=second_room, alerts=alerts) as ringing:
        await ringing.check("matrix", None)
        homeserver.pause()
        numbers = [await ringing.store(incident(grade)) for _ in range(3)]
        for number in numbers:
            assert TITLE in (await second_room.alert())["content"]["body"]
            message = await ringing.reaches(number, "matrix", "rerouted")
            assert message["rerouted_to"] == "matrix-2"
        homeserver.resume()
        back = await room.wait_for(lambda e: "Back: " in str(e["content"].get("body")))
        # The homeserver may have taken one in before it froze: then it rang here too, and is no part of the summary.
        here = [n for n in numbers if (await ringing.deliveries(n))["matrix"]["state"] == "echoed"]
        assert len(here) <= 1
        body = back["content"]["body"]
        assert "went through the second room while this channel could not be reached" in body
        assert back["content"]["m.mentions"] == {}
        assert TITLE not in body
        for number in set(numbers) - set(here):
            assert str(number) in body
    async with bell(pool, tmp_path, room, second=second_room, alerts=alerts) as again:
        await again.check("matrix", None)
        await again.store(incident("I"))
        await room.wait_for(lambda e: "grade I ·" in str(e["content"].get("body")))
        await second_room.wait_for(lambda e: "grade I ·" in str(e["content"].get("body")))
    assert len(returned(room)) == 1
    assert len(rung(second_room)) == 4
    assert len(rung(room)) <= 2


async def test_a_dead_homeserver_that_comes_back_is_told_and_rings_nothing_twice(
    pool, tmp_path, room, second_room, homeserver
):
    async with bell(pool, tmp_path, room, second=second_room, alerts=SOON) as ringing:
        await ringing.check("matrix", None)
        homeserver.kill()
        number = await ringing.store(incident("II"))
        await ringing.reaches(number, "matrix-2", "echoed")
        assert (await ringing.reaches(number, "matrix", "rerouted"))["event_id"] is None
        homeserver.start()
        await asyncio.to_thread(homeserver.wait_ready)
        back = await room.wait_for(lambda e: "Back: 1 alert went" in str(e["content"].get("body")))
        assert f"Alerts {number}." in back["content"]["body"]
    assert [a["event_id"] for a in room.alerts()] == [back["event_id"]]


async def test_what_rang_in_both_rooms_at_once_is_only_counted_where_it_comes_too_late(
    pool, tmp_path, room, second_room, homeserver
):
    async with bell(pool, tmp_path, room, second=second_room, alerts=SOON) as ringing:
        await ringing.check("matrix", None)
        homeserver.kill()
        number = await ringing.store(incident("I"))
        await ringing.reaches(number, "matrix-2", "echoed")
        assert (await ringing.reaches(number, "matrix", "rerouted"))["rerouted_to"] == "matrix-2"
        homeserver.start()
        await asyncio.to_thread(homeserver.wait_ready)
        back = await room.wait_for(lambda e: "Back: 1 alert went" in str(e["content"].get("body")))
    assert [a["event_id"] for a in room.alerts()] == [back["event_id"]]
    assert len(second_room.alerts()) == 1


async def test_an_answer_in_the_second_room_counts_and_the_first_does_not_take_it_back(
    pool, tmp_path, room, second_room
):
    async with bell(pool, tmp_path, room, second=second_room) as ringing:
        number = await ringing.store(incident("I"))
        seen = await second_room.alert()
        await ringing.reaches(number, "matrix", "echoed")
        await ringing.reaches(number, "matrix-2", "echoed")
        second_room.responder.react(second_room.id, seen["event_id"])
        [ack] = await ringing.standing_acks(number, 1)
        assert ack["by"] == second_room.responder.user_id
        assert (await ringing.alarms.get(number))["state"] == "acknowledged"
    # A new start asks each room for all that relates to its alerts; the first knows nothing of that reaction.
    async with bell(pool, tmp_path, room, second=second_room) as again:
        await again.check("matrix", None)
        await again.check("matrix-2", None)
        first = (await room.alert())["event_id"]
        room.responder.react(room.id, first)
        await again.standing_acks(number, 2)
        seconds = [e for e in second_room.responder.events(second_room.id) if e["type"] == "m.reaction"]
        second_room.responder.redact(second_room.id, seconds[0]["event_id"])
        [left] = await again.standing_acks(number, 1)
        assert left["by"] == room.responder.user_id


async def test_the_second_room_learns_no_more_than_its_own_ceiling(
    pool, tmp_path, room, second_room, homeserver
):
    strict = {"room_max_tlp": "green"}
    async with bell(pool, tmp_path, room, second=second_room, alerts=SOON, second_fields=strict) as ringing:
        await ringing.check("matrix", None)
        homeserver.pause()
        await ringing.store(incident("II", tlp=Tlp.AMBER))
        body = (await second_room.alert())["content"]["body"]
        assert TITLE not in body
        assert "TLP:AMBER" in body


async def test_with_both_homeservers_away_it_goes_on_to_mail_whatever_grades_that_is_for(
    pool, tmp_path, room, second_room, homeserver
):
    async with post_office() as office:
        mail = office.settings(recipients=["duty@example.org"], min_grade="I")
        async with bell(pool, tmp_path, room, second=second_room, alerts=SOON, mail=mail) as ringing:
            await ringing.check("matrix", None)
            await ringing.check("matrix-2", None)
            both = (homeserver, second_room.homeserver)
            for each in both:
                each.kill()
            number = await ringing.store(incident("II"))
            await ringing.reaches(number, "mail", "accepted")
            first = await ringing.reaches(number, "matrix", "rerouted")
            second = await ringing.reaches(number, "matrix-2", "rerouted")
            assert (first["rerouted_to"], second["rerouted_to"]) == ("matrix-2", "mail")
            for each in both:
                each.start()
            for each in both:
                await asyncio.to_thread(each.wait_ready)
            for place in (room, second_room):
                back = await place.wait_for(lambda e: "Back: " in str(e["content"].get("body")))
                assert "1 alert went through e-mail" in back["content"]["body"]
    assert len(office.mails) == 1


async def test_what_nobody_took_rings_in_the_first_room_that_is_back(
    pool, tmp_path, room, second_room, homeserver
):
    async with bell(pool, tmp_path, room, second=second_room, alerts=SOON) as ringing:
        await ringing.check("matrix", None)
        await ringing.check("matrix-2", None)
        homeserver.kill()
        second_room.homeserver.pause()
        number = await ringing.store(incident("II"))
        await ringing.reaches(number, "matrix", "rerouted")
        async with pool.acquire() as conn:  # the other way has had its time
            await conn.execute("update delivery set rerouted_at = now() - interval '1 minute'")
        homeserver.start()
        await asyncio.to_thread(homeserver.wait_ready)
        assert TITLE in (await room.alert())["content"]["body"]
        await ringing.reaches(number, "matrix", "echoed")
    assert len(rung(room)) == 1


async def test_an_acknowledged_alert_is_not_taken_elsewhere(pool, tmp_path, room, second_room, homeserver):
    patient = {"reroute_ii_s": 3600.0}
    async with bell(pool, tmp_path, room, second=second_room, alerts=patient) as ringing:
        await ringing.check("matrix", None)
        homeserver.pause()
        number = await ringing.store(incident("II"))
        await ringing.alarms.act(number, "ack", by="somebody")
        later = await ringing.store(incident("II", title="the later one"))
        await pass_time(pool)
        await ringing.alarms._rerouter.look()
        await ringing.reaches(later, "matrix-2", "echoed")
        assert set(await ringing.deliveries(number)) == {"matrix"}


async def test_a_restart_in_between_loses_no_timer(pool, tmp_path, room, second_room, homeserver):
    async with bell(pool, tmp_path, room, second=second_room, alerts=SOON, run=False) as ringing:
        homeserver.pause()
        number = await ringing.store(incident("II"))
        await asyncio.sleep(SOON["reroute_ii_s"])
        async with running(ringing):
            await ringing.reaches(number, "matrix-2", "echoed")


async def test_without_another_way_a_message_waits_for_its_own(pool, tmp_path, room, homeserver):
    async with bell(pool, tmp_path, room, alerts=SOON) as ringing:
        await ringing.check("matrix", None)
        homeserver.pause()
        number = await ringing.store(incident("II"))
        await asyncio.sleep(SOON["reroute_ii_s"] + 0.5)
        assert (await ringing.deliveries(number))["matrix"]["state"] in {"pending", "sending"}
        homeserver.resume()
        await ringing.reaches(number, "matrix", "echoed")
    assert len(room.alerts()) == 1


async def test_a_webhook_stands_in_for_a_room_that_has_no_second(pool, tmp_path, room, homeserver):
    async with pager() as there:
        hook = there.settings(tmp_path, min_grade="I")
        async with bell(pool, tmp_path, room, alerts=SOON, webhook=hook) as ringing:
            await ringing.check("matrix", None)
            homeserver.pause()
            number = await ringing.store(incident("II"))
            await ringing.reaches(number, "webhook", "accepted")
    assert [a["id"] for a in there.alerts] == [number]


def test_a_summary_counts_each_way_and_names_no_more_than_fits():
    told = summary([Returned(n, n, "matrix-2" if n % 2 else "mail") for n in range(1, 42)])
    assert told.subject.startswith(
        "Back: 20 alerts went through e-mail; 21 alerts went through the second room"
    )
    assert "1, 2, 3" in told.text
    assert "30 and more" in told.text
    assert summary([Returned(7, 7, "mail")]).subject.startswith("Back: 1 alert went through e-mail while")
