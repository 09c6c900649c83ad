"""Many alerts at once: some ring one by one, the gravest all, the others are told together, and none is lost."""

import asyncio
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.node.test_alarm_escalation import Clock, contents, due
from tests.support.alarms import TITLE, bell, incident, running
from tests.support.pager import pager
from tests.support.post_office import post_office

from tocsin_node.links.alert_digest import LISTED, digest_words
from tocsin_node.links.alert_text import AlertFacts
from tocsin_node.links.transport import Ready, Sent
from tocsin_node.services.alarm_carriers import Carriers
from tocsin_node.services.alarms import Alarms
from tocsin_node.settings.alerting import GroupingSettings
from tocsin_node.settings.channels import MailSettings
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.settings.record import Settings
from tocsin_node.settings.server import NodeSettings
from tocsin_schema.marking import Tlp

FLOOD = {"flood_room": 3, "flood_origin": 2, "wait_ii_s": 0.2, "interval_s": 0.5}
ROOM, ORIGIN = 4, 2
SEED = 20_261_129


def kinds(room):
    return [event["content"]["org.tocsin.alert"]["kind"] for event in room.alerts()]


def thread_of(event):
    return event["content"].get("m.relates_to", {}).get("event_id")


async def settled(ringing):
    async def done():
        return not {"pending", "sending", "accepted"} & set(await ringing.states())

    await ringing.until(done)


async def test_one_too_many_is_told_in_one_digest_that_rings_once(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, grouping=FLOOD, run=False) as ringing:
        ids = [await ringing.store(incident(title=f"Case {n}")) for n in range(6)]
        async with running(ringing):
            await settled(ringing)
        assert await ringing.states() == ["echoed"] * 2 + ["covered"] * 4 + ["echoed"]
        held = await ringing.alarms.get(ids[-1])
        [told] = held["deliveries"]
        assert (told["state"], told["held"], held["state"]) == ("covered", "flood-origin", "open")
        [digest] = [
            a
            for a in await ringing.alarms.list(open_only=True, before=None, limit=9)
            if a["kind"] == "digest"
        ]
        assert told["thread"] == digest["deliveries"][0]["id"]
    *single, digest = room.alerts()
    assert len(single) == 2
    body = digest["content"]["body"]
    assert body.startswith("🟠 MANY ALERTS AT ONCE: 4 told together (4 of grade II)\n")
    assert [f"{n} · grade II · TLP:GREEN · Case {n - 1} · City Transport" in body for n in ids[2:]] == [
        True
    ] * 4
    assert "tocsin alert list --open" in body
    assert digest["content"]["m.mentions"] == {"user_ids": [room.responder.user_id]}


async def test_the_gravest_rings_by_itself_in_any_flood(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, grouping=FLOOD, run=False) as ringing:
        for _ in range(5):
            await ringing.store(incident("II"))
            await ringing.store(incident("I"))
        await ringing.store(incident("IV", flags=("imminent-risk-to-life",)))
        async with running(ringing):
            await settled(ringing)
    grades = [event["content"]["org.tocsin.alert"].get("grade") for event in room.alerts()]
    assert sorted(map(str, grades)) == ["I"] * 5 + ["IV", "None"]


async def test_a_flood_that_goes_on_is_told_in_the_thread_and_rings_nobody_again(pool, tmp_path, room):
    limits = {**FLOOD, "flood_origin": 1}
    async with bell(pool, tmp_path, room, grouping=limits, run=False) as ringing:
        for number in range(4):
            await ringing.store(incident(title=f"First {number}"))
        async with running(ringing):
            await ringing.all_echoed(2)
        for number in range(3):
            await ringing.store(incident(title=f"Later {number}"))
        async with running(ringing):
            await ringing.all_echoed(3)
    _, first, second = room.alerts()
    assert thread_of(second) == first["event_id"]
    assert second["content"]["body"].startswith("🟠 STILL MANY ALERTS: 3 told together")
    assert second["content"]["m.mentions"] == {}
    assert "Later 2" in second["content"]["body"]
    assert "First 3" not in second["content"]["body"]


async def digests(ringing):
    listed = await ringing.alarms.list(open_only=True, before=None, limit=20)
    return [a for a in listed if a["kind"] == "digest"]


async def test_a_flood_that_nobody_answers_calls_the_next_once_and_not_for_each_that_it_tells(
    pool, tmp_path, room
):
    clock = Clock(datetime.now(UTC))
    async with pager() as receiver, post_office() as office:
        ways = {"webhook": receiver.settings(tmp_path), "mail": office.settings()}
        async with bell(pool, tmp_path, room, grouping=FLOOD, run=False, now=clock, **ways) as ringing:
            for number in range(6):
                await ringing.store(incident(title=f"Case {number}"))
            async with running(ringing):
                await ringing.all_echoed(3)
                await ringing.until(lambda: told_by_mail(ringing, 3))
            [digest] = await digests(ringing)
            assert {d["channel"] for d in digest["deliveries"]} == {"matrix", "mail"}
            clock.forward(30)
            assert await due(ringing) == 7
            calls = await contents(pool)
    assert sorted(c["org.tocsin.alert"]["alert"] for c in calls) == [1, 2, digest["id"]]


async def told_by_mail(ringing, count):
    async with ringing.pool.acquire() as conn:
        sql = "select count(*) from delivery where channel = 'mail' and state = 'accepted'"
        return await conn.fetchval(sql) >= count


async def test_a_flood_is_as_grave_as_the_gravest_that_it_tells(pool, tmp_path, room):
    limits = {**FLOOD, "flood_origin": 1}
    clock = Clock(datetime.now(UTC))
    async with bell(pool, tmp_path, room, grouping=limits, run=False, now=clock) as ringing:
        for grade in ("II", "III", "II"):
            await ringing.store(incident(grade, flags=("ongoing",)))
        async with running(ringing):
            await ringing.all_echoed(2)
        [digest] = await digests(ringing)
        assert digest["grade"] == "II"
        assert digest["next_escalation_at"] == clock.at + timedelta(minutes=30)


async def test_what_comes_after_a_flood_was_taken_up_rings_anew(pool, tmp_path, room):
    limits = {**FLOOD, "flood_origin": 1}
    async with bell(pool, tmp_path, room, grouping=limits, run=False) as ringing:
        for number in range(3):
            await ringing.store(incident(title=f"First {number}"))
        async with running(ringing):
            await ringing.all_echoed(2)
        [digest] = await digests(ringing)
        await ringing.alarms.act(digest["id"], "ack", by="mara")
        for number in range(2):
            await ringing.store(incident(title=f"Later {number}"))

        async def second():
            found = [e for e in room.alerts() if "Later 1" in e["content"]["body"]]
            return found[0] if found else None

        async with running(ringing):
            event = await ringing.until(second)
        assert event["content"]["m.mentions"] == {"user_ids": [room.responder.user_id]}
        assert thread_of(event) is None
        assert [d["id"] for d in await digests(ringing)] != [digest["id"]]


async def test_what_rises_out_of_a_digest_rings(pool, tmp_path, room):
    limits = {**FLOOD, "flood_origin": 1}
    async with bell(pool, tmp_path, room, grouping=limits, run=False) as ringing:
        await ringing.store(incident())
        grows = incident("II", title="It grows")
        await ringing.store(grows)
        async with running(ringing):
            await ringing.all_echoed(2)
            await ringing.store(incident("I", report_id=grows.id, title="It grows"), ver=2, before="II")
            await ringing.all_echoed(3)
    last = room.alerts()[-1]
    assert "grade raised to I" in last["content"]["body"]
    assert thread_of(last) is None


async def test_a_digest_that_is_refused_is_told_in_short(pool, tmp_path, room):
    class Spoiling:
        def __init__(self, transport) -> None:
            self._transport = transport

        def __getattr__(self, name):
            return getattr(self._transport, name)

        async def send(self, room_id, kind, content, txn):
            spoilt = {**content, "ratio": 0.5} if "Case" in content["body"] else content
            return await self._transport.send(room_id, kind, spoilt, txn)

    limits = {**FLOOD, "flood_origin": 1}
    async with bell(pool, tmp_path, room, grouping=limits, wrap=Spoiling, run=False) as ringing:
        for number in range(3):
            await ringing.store(incident(title=f"Case {number}" if number else "The first"))
        async with running(ringing):
            await ringing.all_echoed(2)
    body = room.alerts()[1]["content"]["body"]
    assert body.startswith("🟠 MANY ALERTS AT ONCE, up to grade II")
    assert "tocsin alert list --open" in body


async def test_a_flood_that_nobody_acknowledges_rings_again(pool, tmp_path, room):
    limits = {**FLOOD, "flood_origin": 1, "repeat_ii_s": 3600}
    nobody_further = OncallSettings(grade_ii_waits_min=())
    async with bell(pool, tmp_path, room, grouping=limits, oncall=nobody_further, run=False) as ringing:
        ids = [await ringing.store(incident()) for _ in range(3)]
        async with running(ringing):
            await ringing.all_echoed(2)
        await ringing.alarms.act(ids[0], "ack", by="mara")
        async with pool.acquire() as conn:
            await conn.execute("update delivery set accepted_at = accepted_at - interval '2 hours'")
        async with running(ringing):
            await ringing.all_echoed(4)
    again = [e for e in room.alerts() if e["content"]["body"].startswith("STILL OPEN")]
    assert len(again) == 1, "the digest does, not each of what it tells"
    assert thread_of(again[0]) == room.alerts()[1]["event_id"]
    assert "MANY ALERTS AT ONCE" in again[0]["content"]["body"]


async def test_a_digest_tells_no_more_than_the_room_may_read(pool, tmp_path, room):
    limits = {**FLOOD, "flood_origin": 1}
    async with bell(pool, tmp_path, room, grouping=limits, run=False) as ringing:
        await ringing.store(incident())
        await ringing.store(incident(tlp=Tlp.RED, title="Not for rooms"))
        await ringing.store(incident(tlp=Tlp.AMBER, title="Nor this"))
        async with running(ringing):
            await ringing.all_echoed(2)
    body = room.alerts()[1]["content"]["body"]
    assert "Not for rooms" not in body
    assert "Nor this" not in body
    assert "2 · grade II · TLP:RED · TLP:RED incident, details not shown" in body
    assert body.splitlines()[4] == "3 · grade II · TLP:AMBER · TLP:AMBER incident, details not shown"


async def test_a_flood_while_the_homeserver_is_away_is_told_together(pool, tmp_path, homeserver, room):
    async with bell(pool, tmp_path, room, grouping=FLOOD) as ringing:
        await ringing.check("matrix", None)
        homeserver.kill()
        for _ in range(9):
            await ringing.store(incident())
        homeserver.start()
        await ringing.all_echoed(3)
    assert sorted(kinds(room)) == ["digest", "raise", "raise"]


async def test_a_node_cut_off_at_any_moment_of_a_flood_tells_each_alert_once(pool, tmp_path, room):
    chance = random.Random(SEED)
    limits = {"flood_room": 8, "flood_origin": 8, "wait_ii_s": 0.1, "interval_s": 0.3}
    async with bell(pool, tmp_path, room, grouping=limits, run=False) as ringing:
        ids = []
        for _ in range(30):
            ids.append(await ringing.store(incident(chance.choice(("I", "II", "II")))))
            async with running(ringing):
                await asyncio.sleep(chance.uniform(0, 0.15))  # the moment of the cut is what is being tried
        async with running(ringing):
            await settled(ringing)
        async with pool.acquire() as conn:
            grave = [row[0] for row in await conn.fetch("select id from alert where grade = 'I' order by id")]
    told, single = [], []
    for event in room.alerts():
        alert = event["content"]["org.tocsin.alert"]
        if alert["kind"] == "digest":
            told += [int(n) for n in re.findall(r"^(\d+) · grade", event["content"]["body"], re.MULTILINE)]
        else:
            single.append(alert["alert"])
    assert sorted(told + single) == ids
    assert set(grave) <= set(single)
    assert len(set(single) - set(grave)) <= 8


async def test_two_couriers_of_one_outbox_keep_the_cap_together(pool, tmp_path, room):
    limits = {"flood_room": 3, "flood_origin": 3, "wait_ii_s": 0.3, "interval_s": 0.3}
    async with (
        bell(pool, tmp_path, room, grouping=limits, run=False) as one,
        bell(pool, tmp_path, room, grouping=limits, run=False) as two,
    ):
        for _ in range(20):
            await one.store(incident())
        async with running(one), running(two):
            await settled(one)
    told = [event["content"]["org.tocsin.alert"] for event in room.alerts()]
    assert Counter(kinds(room))["raise"] == 3
    assert sum(alert["held"] for alert in told if alert["kind"] == "digest") == 17, (
        "each once, in whichever digest"
    )


def test_very_many_are_counted_and_the_gravest_listed():
    facts = [
        (n, AlertFacts("raise", "III" if n % 9 else "II", Tlp.GREEN, title=TITLE * 9)) for n in range(1, 2001)
    ]
    content = digest_words(facts, 7, (), first=True, limits="Too many.")
    lines = [line for line in content["body"].splitlines() if " · grade " in line]
    assert len(lines) == LISTED
    assert all("grade II ·" in line for line in lines)
    assert f"and {2000 - LISTED} more" in content["body"]
    assert len(msgspec.json.encode(content)) < 48_000


class Room:
    """Takes everything, and remembers it."""

    def __init__(self):
        self.mails = []

    async def send(self, _room, _kind, content, txn):
        self.mails.append((txn, content))
        return Sent(None)

    async def preflight(self, _room):
        return Ready()

    async def close(self):
        pass


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("alert"), st.sampled_from(("I", "II", "II", "III")), st.sampled_from("abc")),
        st.tuples(st.just("carry"), st.integers(1, 6), st.none()),
        st.tuples(st.just("minutes"), st.integers(1, 6), st.none()),
    ),
    min_size=1,
    max_size=40,
)
LATER = """
update delivery set created_at = created_at - make_interval(mins => $1), accepted_at = accepted_at - make_interval(mins => $1),
    first_try_at = first_try_at - make_interval(mins => $1), not_before = not_before - make_interval(mins => $1)
"""
TRUNCATE = "truncate alert, delivery, channel restart identity cascade"
INDIVIDUALLY = """
select a.id, a.grade, a.origin, d.first_try_at from delivery d join alert a on a.id = d.alert_id
where d.kind = 'ring' and d.state in ('accepted', 'echoed') order by d.first_try_at
"""
DIGESTED = """
select d.alert_id, a.grade, t.state from delivery d join alert a on a.id = d.alert_id join delivery t on t.id = d.thread
where d.state = 'covered'
"""


@pytest.mark.timeout(300)
@given(events=EVENTS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_never_more_than_the_cap_and_every_alert_is_told_once(pool, tmp_path, events):
    async with pool.acquire() as conn:
        await conn.execute(TRUNCATE)
    room = Room()
    chosen = Settings(
        dir=tmp_path,
        node=NodeSettings(org="Test"),
        grouping=GroupingSettings(
            flood_room=ROOM, flood_origin=ORIGIN, repeat_i_s=0, repeat_ii_s=0, wait_iii_s=30
        ),
        mail=MailSettings(
            server="mail.test", sender="t@a.test", recipients=("o@a.test",), sends_per_s=1000, send_burst=1000
        ),
    )
    alarms = Alarms(chosen, pool, Carriers(others={"mail": room}))
    carry = alarms.courier("mail").carry
    raised: dict[int, str] = {}

    async def later(minutes):
        async with pool.acquire() as conn:
            await conn.execute(LATER, minutes)

    for what, value, origin in events:
        if what == "alert":
            plan = alarms.plan(
                incident(value, flags=("ongoing",)), origin=origin, ours=False, previous_grade=None
            )
            async with pool.transaction() as conn:
                raised[await alarms.record(conn, plan, report_ver=1)] = value
        elif what == "carry":
            for _ in range(value):
                await carry()
        else:
            await later(value)
    for _ in range(4):  # whatever waits comes due
        await later(6)
        while await carry() == 0:
            pass
    async with pool.acquire() as conn:
        single = await conn.fetch(INDIVIDUALLY)
        together = await conn.fetch(DIGESTED)
        waiting = await conn.fetchval("select count(*) from delivery where state in ('pending', 'sending')")
    told = Counter([row[0] for row in single] + [row[0] for row in together])
    assert told == Counter(raised.keys()), "each once"
    assert waiting == 0
    assert not [row for row in together if row[1] == "I"]
    assert all(row[2] == "accepted" for row in together), "its digest was sent"
    assert len({txn for txn, _ in room.mails}) == len(room.mails)
    for row in single:
        before = [r for r in single if 0 <= (row[3] - r[3]).total_seconds() < 300 and r[3] <= row[3]]
        if row[1] != "I":
            lesser = [r for r in before if r[1] != "I"]
            assert len(lesser) <= ROOM
            assert len([r for r in lesser if r[2] == row[2]]) <= ORIGIN
