"""An alert that nobody answers is brought before more people until somebody does, whatever breaks meanwhile."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.alarms import TITLE, bell, incident, running
from tests.support.pager import pager
from tests.support.post_office import post_office

from tocsin_node.services.alarm_desk import MuteTooLong
from tocsin_node.services.alarm_rounds import Rounds
from tocsin_node.services.silencing import Matchers, Silences
from tocsin_node.settings.oncall import OncallSettings, RotaSettings
from tocsin_schema.marking import Tlp

MINUTE = timedelta(minutes=1)


@dataclass
class Clock:
    """A clock that stands still until it is put forward."""

    at: datetime

    def __call__(self):
        return self.at

    def forward(self, minutes):
        self.at += minutes * MINUTE


@pytest.fixture
def clock():
    return Clock(datetime.now(UTC).replace(microsecond=0))


def weekly(name, *members, level=0):
    return RotaSettings(name=name, members=members, first="2026-01-05", level=level)


async def due(ringing):
    """Call whoever is due; how many calls that were."""
    calls = 0
    while await ringing.alarms.escalation.call_due():
        calls += 1
    return calls


async def contents(pool, kind="escalation", channel="matrix"):
    async with pool.acquire() as conn:
        rows = await conn.fetch(
            "select content::text from delivery where kind = $1 and channel = $2 order by id", kind, channel
        )
    return [json.loads(row[0]) for row in rows]


def kinds(alert):
    return [act["kind"] for act in alert["history"]]


@asynccontextmanager
async def waiting(pool, tmp_path, room, clock, grade="I", **options):
    """A node's alarms at rest, and one alert that waits for an answer."""
    async with bell(pool, tmp_path, room, run=False, now=clock, **options) as ringing:
        yield ringing, await ringing.store(incident(grade))


async def test_nobody_further_is_called_before_the_time_and_then_those_whose_turn_it_is(
    pool, tmp_path, room, clock
):
    ada, bo = "@ada:hs", "@bo:hs"
    oncall = OncallSettings(rota=(weekly("first", ada), weekly("second", bo, level=1)))
    async with waiting(pool, tmp_path, room, clock, oncall=oncall) as (ringing, alert_id):
        [ring] = await contents(pool, "ring")
        assert ring["m.mentions"] == {"user_ids": [ada]}
        assert (await ringing.alarms.get(alert_id))["next_escalation_at"] == clock.at + 5 * MINUTE
        clock.forward(4)
        assert await due(ringing) == 0
        clock.forward(1)
        assert await due(ringing) == 1
        assert await due(ringing) == 0
        [call] = await contents(pool)
        assert call["m.mentions"] == {"user_ids": [bo]}
        assert call["body"].startswith(
            f"NOT ANSWERED: alert {alert_id} has waited 5 minutes. Now called: {bo}."
        )
        assert TITLE in call["body"]
        alert = await ringing.alarms.get(alert_id)
        assert (kinds(alert), alert["state"]) == (["escalate"], "open")
        assert alert["history"][0]["by"] == "tocsin"
        assert alert["next_escalation_at"] == clock.at + 10 * MINUTE


async def test_the_last_level_is_everybody_on_every_channel(pool, tmp_path, room, clock):
    ada = "@ada:hs"
    async with pager() as receiver, post_office() as office:
        ways = {
            "webhook": receiver.settings(tmp_path) | {"min_grade": "I"},
            "mail": office.settings() | {"min_grade": "I"},
        }
        oncall = OncallSettings(rota=(weekly("first", ada),), grade_ii_waits_min=(30, 60, 120))
        async with waiting(pool, tmp_path, room, clock, "II", oncall=oncall, **ways) as (ringing, _):
            assert not await contents(pool, "ring", "mail")
            clock.forward(30)
            assert await due(ringing) == 1
            assert len(await contents(pool, channel="mail")) == 1
            assert await contents(pool, channel="webhook") == []
            clock.forward(60)
            assert await due(ringing) == 1
            assert [len(await contents(pool, channel=c)) for c in ("matrix", "mail", "webhook")] == [2, 2, 1]
            last = (await contents(pool))[-1]
            assert last["m.mentions"] == {"user_ids": [ada, room.responder.user_id], "room": True}


async def test_without_a_rota_all_responders_are_called_as_ever(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, _):
        [ring] = await contents(pool, "ring")
        assert ring["m.mentions"] == {"user_ids": [room.responder.user_id]}
        clock.forward(5)
        await due(ringing)
        [call] = await contents(pool)
        assert call["m.mentions"] == {"user_ids": [room.responder.user_id]}


async def test_where_nobody_of_matrix_has_the_turn_the_whole_room_is_called(pool, tmp_path, room, clock):
    rotas = (weekly("first", "@ada:hs"), weekly("second", "bo@example.test", level=1))
    oncall = OncallSettings(rota=rotas)
    async with waiting(pool, tmp_path, room, clock, oncall=oncall):
        pass
    clock.forward(5)
    async with bell(pool, tmp_path, room, run=False, now=clock, oncall=oncall, responders=()) as ringing:
        await due(ringing)
        [call] = await contents(pool)
        assert call["m.mentions"]["room"] is True


async def test_in_the_second_room_those_ring_whom_it_names_whoever_has_the_turn_in_the_first(
    pool, tmp_path, room, second_room, clock
):
    both = second_room.responder.user_id
    rotas = (weekly("first", "@ada:hs"), weekly("second", both, level=1))
    oncall = OncallSettings(rota=rotas)
    two = {"second": second_room, "second_fields": {"responders": (both, "@eve:hs2")}}
    async with waiting(pool, tmp_path, room, clock, oncall=oncall, **two) as (ringing, _):
        [ring] = await contents(pool, "ring", "matrix-2")
        assert ring["m.mentions"] == {"user_ids": [both, "@eve:hs2"]}, "nobody on call is known there"
        clock.forward(5)
        await due(ringing)
        for channel in ("matrix", "matrix-2"):
            [call] = await contents(pool, channel=channel)
            assert call["m.mentions"] == {"user_ids": [both]}


async def test_an_acknowledgement_stops_it_and_taking_it_back_starts_it_anew(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, alert_id):
        clock.forward(5)
        assert await due(ringing) == 1
        alert = await ringing.alarms.act(alert_id, "ack", by="ops")
        assert alert["next_escalation_at"] is None
        clock.forward(600)
        assert await due(ringing) == 0
        alert = await ringing.alarms.undo(alert_id, "ack", by="mara")
        assert (alert["state"], alert["next_escalation_at"]) == ("open", clock.at + 5 * MINUTE)
        assert alert["acknowledgements"][0]["revoked_by"] == "mara"
        clock.forward(5)
        assert await due(ringing) == 1
        alert = await ringing.alarms.get(alert_id)
        assert [a["level"] for a in alert["history"] if a["kind"] == "escalate"] == [1, 1]
        assert len(await contents(pool)) == 2


async def test_a_node_that_was_away_for_all_levels_calls_once_when_it_is_back(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, _):
        pass
    clock.forward(24 * 60)
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        assert await due(ringing) == 1
        assert len(await contents(pool)) == 1
        clock.forward(10)
        assert await due(ringing) == 1


async def test_a_node_killed_in_the_middle_of_a_call_calls_once(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, alert_id):
        clock.forward(5)

        async def killed(*_args, **_more):
            raise asyncio.CancelledError  # what a kill leaves behind: nothing that was under way

        ringing.alarms.write = killed  # the last thing that is done before the timer is set
        with pytest.raises(asyncio.CancelledError):
            await due(ringing)
        assert await contents(pool) == []
        assert kinds(await ringing.alarms.get(alert_id)) == []
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        assert await due(ringing) == 1
        assert len(await contents(pool)) == 1


async def test_an_alert_that_cannot_be_called_for_keeps_no_other_waiting(pool, tmp_path, room, clock):
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        bad, good = await ringing.store(incident("I")), await ringing.store(incident("I"))
        clock.forward(5)
        say = ringing.alarms.say

        async def broken(conn, alert_id, *args, **more):
            if alert_id == bad:
                raise ValueError("a fault of ours")
            return await say(conn, alert_id, *args, **more)

        ringing.alarms.say = broken
        assert await due(ringing) == 2
        assert kinds(await ringing.alarms.get(good)) == ["escalate"]
        assert kinds(await ringing.alarms.get(bad)) == []
        ringing.alarms.say = say
        clock.forward(1)
        assert await due(ringing) == 1
        assert kinds(await ringing.alarms.get(bad)) == ["escalate"]


async def test_an_alert_that_nobody_answers_rings_once_each_time_and_not_by_its_repeats_too(
    pool, tmp_path, room, clock
):
    waits = (5, 10, 15, 15, 15)  # a repeat would be due with each of the last three
    async with waiting(pool, tmp_path, room, clock) as (ringing, _):
        rounds = Rounds(pool, ringing.alarms, lambda: None)
        async with running(ringing):
            await ringing.all_said(1)
        for count, minutes in enumerate(waits, 2):
            clock.forward(minutes)
            async with pool.acquire() as conn:
                await conn.execute(
                    "update delivery set accepted_at = accepted_at - make_interval(mins => $1)", minutes
                )
            await rounds.go()
            assert await due(ringing) == 1
            await rounds.go()
            async with running(ringing):
                await ringing.all_said(count)
    assert len(room.alerts()) == 1 + len(waits)
    assert not [e for e in room.alerts() if "STILL OPEN" in e["content"]["body"]]


async def test_both_rooms_are_called_and_each_rings_as_a_whole_at_last(
    pool, tmp_path, room, second_room, clock
):
    async with waiting(pool, tmp_path, room, clock, second=second_room) as (ringing, alert_id):
        clock.forward(5)
        assert await due(ringing) == 1
        clock.forward(10)
        assert await due(ringing) == 1
        for each, channel in ((room, "matrix"), (second_room, "matrix-2")):
            first, last = await contents(pool, channel=channel)
            assert first["m.mentions"] == {"user_ids": [each.responder.user_id]}
            assert last["m.mentions"] == {"user_ids": [each.responder.user_id], "room": True}
            assert f"alert {alert_id} has waited 15 minutes" in last["body"]


async def test_two_workers_at_once_make_one_call(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, _):
        clock.forward(5)
        done = await asyncio.gather(*(ringing.alarms.escalation.call_due() for _ in range(4)))
        assert sum(done) == 1
        assert len(await contents(pool)) == 1


async def test_when_nobody_answers_at_all_it_is_said_and_said_again_until_somebody_does(
    pool, tmp_path, room, clock
):
    async with waiting(pool, tmp_path, room, clock) as (ringing, alert_id):
        for minutes in (5, 10):
            clock.forward(minutes)
            assert await due(ringing) == 1
        assert not (await ringing.alarms.get(alert_id))["unanswered"]
        told = ringing.acknowledged
        clock.forward(15)
        assert await due(ringing) == 1
        assert ringing.acknowledged == told + 1, "the origin has to be told"
        alert = await ringing.alarms.get(alert_id)
        assert alert["unanswered"]
        assert kinds(alert) == ["escalate", "escalate", "unanswered"]
        assert "alerts-unanswered" in {c.code for c in await ringing.alarms.health()}
        for _ in range(3):
            clock.forward(15)
            assert await due(ringing) == 1
        assert len(await contents(pool)) == 6
        assert kinds(await ringing.alarms.get(alert_id)) == ["escalate", "escalate", "unanswered"]
        alert = await ringing.alarms.act(alert_id, "take", by="ops")
        assert not alert["unanswered"]
        assert "alerts-unanswered" not in {c.code for c in await ringing.alarms.health()}
        clock.forward(600)
        assert await due(ringing) == 0


@pytest.mark.parametrize("kind", ["take", "resolve"])
async def test_who_takes_or_resolves_it_has_seen_it(pool, tmp_path, room, clock, kind):
    async with waiting(pool, tmp_path, room, clock) as (ringing, alert_id):
        alert = await ringing.alarms.act(alert_id, kind, by="ops", note="mine")
        assert kinds(alert) == [kind, "ack"]
        assert alert["state"] == ("resolved" if kind == "resolve" else "acknowledged")
        assert alert["assigned"] == ("ops" if kind == "take" else None)
        clock.forward(600)
        assert await due(ringing) == 0
        assert await ringing.alarms.list(open_only=True, before=None, limit=9) == []


async def test_the_last_to_take_it_has_it(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, alert_id):
        for name in ("ada", "bo"):
            clock.forward(1)
            alert = await ringing.alarms.act(alert_id, "take", by=name)
        assert alert["assigned"] == "bo"


async def test_a_mute_holds_the_next_call_back_and_no_longer(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, alert_id):
        alert = await ringing.alarms.act(alert_id, "mute", by="ops", span=60 * MINUTE)
        until = clock.at + 60 * MINUTE
        assert (alert["state"], alert["muted_until"], alert["next_escalation_at"]) == ("open", until, until)
        clock.forward(59)
        assert await due(ringing) == 0
        clock.forward(1)
        assert await due(ringing) == 1
        assert (await ringing.alarms.get(alert_id))["muted_until"] is None


async def test_a_mute_that_is_taken_back_lets_the_timer_go_on(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, alert_id):
        await ringing.alarms.act(alert_id, "mute", by="ops", span=60 * MINUTE)
        alert = await ringing.alarms.undo(alert_id, "mute", by="ops")
        assert (alert["muted_until"], alert["next_escalation_at"]) == (None, clock.at + 5 * MINUTE)


@pytest.mark.parametrize(("grade", "most"), [("I", 60), ("II", 24 * 60)])
async def test_nobody_can_mute_for_longer_than_allowed(pool, tmp_path, room, clock, grade, most):
    async with waiting(pool, tmp_path, room, clock, grade) as (ringing, alert_id):
        with pytest.raises(MuteTooLong):
            await ringing.alarms.act(alert_id, "mute", by="ops", span=(most + 1) * MINUTE)
        assert kinds(await ringing.alarms.get(alert_id)) == []
        await ringing.alarms.act(alert_id, "mute", by="ops", span=most * MINUTE)


async def test_a_newer_alert_of_the_same_report_takes_the_waiting_over(pool, tmp_path, room, clock):
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        first = incident("II")
        old = await ringing.store(first)
        clock.forward(29)
        new = await ringing.store(incident("I", report_id=first.id), ver=2, before="II")
        assert (await ringing.alarms.get(old))["next_escalation_at"] is None
        clock.forward(5)
        assert await due(ringing) == 1
        assert kinds(await ringing.alarms.get(new)) == ["escalate"]
        assert kinds(await ringing.alarms.get(old)) == []


async def test_what_is_withdrawn_calls_nobody_further(pool, tmp_path, room, clock):
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        first = incident("I")
        await ringing.store(first)
        gone = await ringing.store(incident("I", report_id=first.id, revoked=True), ver=2, before="I")
        assert gone is not None
        clock.forward(600)
        assert await due(ringing) == 0


async def test_a_person_who_wants_help_calls_the_next_at_once(pool, tmp_path, room, clock):
    oncall = OncallSettings(rota=(weekly("first", "@ada:hs"), weekly("second", "@bo:hs", level=1)))
    async with waiting(pool, tmp_path, room, clock, oncall=oncall) as (ringing, alert_id):
        await ringing.alarms.act(alert_id, "ack", by="ada")
        alert = await ringing.alarms.escalate(alert_id, by="ada", note="two hands are too few @room")
        assert (alert["state"], alert["next_escalation_at"]) == ("acknowledged", None)
        [call] = await contents(pool)
        assert call["m.mentions"] == {"user_ids": ["@bo:hs"]}
        assert "HELP WANTED" in call["body"]
        assert "two hands are too few ＠room" in call["body"]


async def test_a_grade_without_waits_calls_once_and_waits_for_nobody(pool, tmp_path, room, clock):
    oncall = OncallSettings(grade_ii_waits_min=())
    async with waiting(pool, tmp_path, room, clock, "II", oncall=oncall) as (ringing, alert_id):
        clock.forward(60 * 24)
        assert await due(ringing) == 0
        assert (await ringing.alarms.get(alert_id))["next_escalation_at"] is None


async def test_a_life_at_risk_waits_no_longer_than_grade_i(pool, tmp_path, room, clock):
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        alert_id = await ringing.store(incident("IV", flags=("imminent-risk-to-life",)))
        assert (await ringing.alarms.get(alert_id))["next_escalation_at"] == clock.at + 5 * MINUTE
        with pytest.raises(MuteTooLong):
            await ringing.alarms.act(alert_id, "mute", by="ops", span=61 * MINUTE)


async def test_nothing_of_a_red_report_is_in_an_escalation(pool, tmp_path, room, clock):
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        await ringing.store(incident("I", tlp=Tlp.RED))
        clock.forward(5)
        await due(ringing)
        [call] = await contents(pool)
        assert TITLE not in str(call)


async def test_who_is_on_call_by_mail_gets_a_letter_and_nobody_else_gets_that(pool, tmp_path, clock):
    async with post_office() as office:
        oncall = OncallSettings(rota=(weekly("first", "ada@example.org"),))
        mail = office.settings() | {"min_grade": "I"}
        async with bell(pool, tmp_path, None, mail=mail, oncall=oncall, now=clock) as ringing:
            alert_id = await ringing.store(incident("II"))
            await ringing.all_taken(1, "mail")
        assert office.envelopes == [["ada@example.org"]]
        assert office.mails[0]["To"] == "ada@example.org"
        assert f"You are on call: alert {alert_id} waits" in office.mails[0].get_content()


async def test_in_the_room_the_call_stands_in_the_thread_and_a_reaction_to_it_answers(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id = await ringing.store(incident("I"))
        root = await room.alert()
        async with pool.acquire() as conn:
            await conn.execute("update followup set next_at = now()")
        ringing.alarms.escalation.wake()
        call = await room.said("NOT ANSWERED")
        assert call["content"]["m.relates_to"]["event_id"] == root["event_id"]
        room.responder.react(room.id, call["event_id"])
        await ringing.standing_acks(alert_id, 1)
        await room.said(
            f"{room.responder.user_id} has seen it"
        )  # those who were called meanwhile can sleep on
        assert (await ringing.alarms.get(alert_id))["next_escalation_at"] is None


async def test_the_timer_runs_by_itself(pool, tmp_path, room, clock):
    async with waiting(pool, tmp_path, room, clock) as (ringing, _):
        clock.forward(5)
        async with running(ringing):
            await room.said("NOT ANSWERED")


async def silenced(ringing, report, *, minutes):
    """A silence of that report from now on, by the real clock."""
    until = datetime.now(UTC) + minutes * MINUTE
    service = Silences(ringing.pool, ringing.alarms)
    about = Matchers(report_id=report.id)
    made = await service.add(about, by="mara", reason="known", until=until, now=datetime.now(UTC))
    return service, made


async def test_what_a_silence_held_has_its_minutes_from_when_it_rings(pool, tmp_path, room, clock):
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        report = incident("II")
        service, made = await silenced(ringing, report, minutes=25)
        alert_id = await ringing.store(report)
        await ringing.alarms.courier("matrix").carry()
        clock.forward(30)
        assert await due(ringing) == 1
        assert await contents(pool) == []
        waits = (await ringing.alarms.get(alert_id))["next_escalation_at"]
        assert waits == made["until"] + 30 * MINUTE
        clock.at = waits
        await service.expire(made["id"], by="noor")  # it had ended by then
        assert await due(ringing) == 1


@pytest.mark.parametrize("muted", [False, True])
async def test_a_silence_that_is_ended_early_keeps_nobody_from_being_called(
    pool, tmp_path, room, clock, muted
):
    async with bell(pool, tmp_path, room, run=False, now=clock) as ringing:
        report = incident("II")
        service, made = await silenced(ringing, report, minutes=600)
        alert_id = await ringing.store(report)
        await ringing.alarms.courier("matrix").carry()
        clock.forward(30)
        assert await due(ringing) == 1
        assert (await ringing.alarms.get(alert_id))["next_escalation_at"] > clock.at + 500 * MINUTE
        if muted:
            await ringing.alarms.act(alert_id, "mute", by="mara", span=120 * MINUTE)
        await service.expire(made["id"], by="noor")
        wait = 120 if muted else 30
        assert (await ringing.alarms.get(alert_id))["next_escalation_at"] == clock.at + wait * MINUTE
        clock.forward(wait)
        assert await due(ringing) == 1
        [call] = await contents(pool)
        assert call["body"].startswith(f"NOT ANSWERED: alert {alert_id}")


async def test_a_channel_that_was_away_gets_the_last_call_and_not_all_that_it_missed(
    pool, tmp_path, room, clock
):
    async with waiting(pool, tmp_path, room, clock) as (ringing, _):
        for minutes in (5, 10, 15, 15):
            clock.forward(minutes)
            assert await due(ringing) == 1
        async with running(ringing):
            await ringing.all_echoed(2)
    ring, call = room.alerts()
    assert ring["content"]["body"].startswith("🔴 ALERT")
    assert "has waited 45 minutes" in call["content"]["body"]
