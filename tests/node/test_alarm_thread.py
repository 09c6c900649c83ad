"""What is said about one incident hangs together: in the room, in the mailbox and for programs."""

import json

from tests.support.alarms import ORIGIN, SUMMARY, TITLE, bell, incident, running
from tests.support.fault_proxy import fault_proxy
from tests.support.homeserver import open_room

from tocsin_node.links.alert_text import AlertFacts
from tocsin_node.links.alert_thread import Saying
from tocsin_node.links.mail import letter
from tocsin_node.services.alarm_plan import AlertPlan
from tocsin_node.settings.channels import MailSettings
from tocsin_node.storage import reports
from tocsin_schema.marking import Tlp

TAKEN = Saying(what="taken", line="Taken up by grace.")


async def say(ringing, alert_id, kind, saying, **more):
    async with ringing.pool.transaction() as conn:
        written = await ringing.alarms.say(conn, alert_id, kind, saying, **more)
    ringing.alarms.wake()
    return written


def relation(event):
    return event["content"].get("m.relates_to", {})


async def contents(pool, channel="matrix"):
    async with pool.acquire() as conn:
        rows = await conn.fetch("select content::text from delivery where channel = $1 order by id", channel)
    return [json.loads(row[0]) for row in rows]


async def test_what_is_said_about_an_alert_stands_in_its_thread_and_rings_nobody(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id = await ringing.store(incident())
        assert await say(ringing, alert_id, "notice", TAKEN) == 1
        await ringing.all_echoed(2)
    root, notice = room.alerts()
    assert relation(root) == {}
    assert relation(notice) == {
        "rel_type": "m.thread",
        "event_id": root["event_id"],
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": root["event_id"]},
    }
    assert (notice["content"]["msgtype"], notice["content"]["m.mentions"]) == ("m.notice", {})
    assert notice["content"]["body"] == "Taken up by grace."


async def test_the_same_said_again_is_no_second_message(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id = await ringing.store(incident())
        assert [await say(ringing, alert_id, "notice", TAKEN) for _ in range(3)] == [1, 0, 0]
        other = Saying(what="taken by ada", line="Taken up by ada.")
        assert await say(ringing, alert_id, "notice", other) == 1
        assert await say(ringing, 999, "notice", other) == 0
        await ringing.all_echoed(3)
    assert len(room.alerts()) == 3


async def test_a_rising_grade_and_a_withdrawal_ring_in_the_thread_of_the_first(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        first = incident("II")
        await ringing.store(first)
        await ringing.store(incident("III", flags=("ongoing",)))
        await ringing.all_echoed(2)
        await ringing.store(incident("I", report_id=first.id), ver=2, before="II")
        await ringing.all_echoed(3)
        await ringing.store(incident("I", report_id=first.id, revoked=True), ver=3, before="I")
        await ringing.all_echoed(4)
    root, other, *rest = room.alerts()
    assert len(rest) == 2
    assert relation(other) == {}
    assert {relation(event)["event_id"] for event in rest} == {root["event_id"]}
    assert all(event["content"]["m.mentions"] == {"user_ids": [room.responder.user_id]} for event in rest)


async def test_a_legal_clock_rings_in_the_thread_of_its_incident(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        report = incident("II")
        await ringing.store(report)
        await ringing.all_echoed(1)
        facts = AlertFacts("duty", "II", Tlp.GREEN, report_id=report.id, clock="80 % has run, duty 1")
        async with pool.transaction() as conn:
            plan = AlertPlan(facts, 4, ORIGIN, ours=True, priority=2)
            assert await ringing.alarms.record(conn, plan, report_ver=None) is not None
        ringing.alarms.wake()
        await ringing.all_echoed(2)
    root, clock = room.alerts()
    assert relation(clock)["event_id"] == root["event_id"]
    assert clock["content"]["body"].startswith("⏳ LEGAL CLOCK: 80 % has run")
    assert clock["content"]["m.mentions"] == {"user_ids": [room.responder.user_id]}


async def test_an_escalation_rings_those_whom_it_names_and_tells_the_alert_again(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        alert_id = await ringing.store(incident("I"))
        called = Saying("level 2", "Nobody answered for 5 minutes.", ("@ada:hs.test",), True, True)
        await say(ringing, alert_id, "escalation", called)
        await ringing.all_echoed(2)
    content = room.alerts()[1]["content"]
    assert content["body"].startswith("Nobody answered for 5 minutes.\n\n🔴 ALERT, grade I")
    assert (content["msgtype"], TITLE in content["body"]) == ("m.text", True)
    assert content["m.mentions"] == {"user_ids": ["@ada:hs.test"], "room": True}
    assert content["org.tocsin.alert"]["message"] == "escalation"


async def test_a_message_waits_for_the_root_that_is_still_on_its_way(pool, tmp_path, homeserver, room):
    async with (
        fault_proxy(homeserver.url) as proxy,
        bell(pool, tmp_path, room, homeserver=proxy.url) as ringing,
    ):
        await ringing.check("matrix", None)
        proxy.fail("bad-gateway", "/send/", times=4)
        alert_id = await ringing.store(incident("III", flags=("ongoing",)))
        await say(ringing, alert_id, "notice", TAKEN)
        await ringing.all_echoed(2)
        async with pool.acquire() as conn:
            assert await conn.fetchval("select attempts from delivery where kind = 'notice'") == 1
    root, notice = room.alerts()
    assert relation(notice)["event_id"] == root["event_id"]


async def test_a_message_whose_root_does_not_come_goes_by_itself_after_some_minutes(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        alert_id = await ringing.store(incident())
        await say(ringing, alert_id, "notice", TAKEN)
        async with pool.acquire() as conn:
            await conn.execute(
                "update delivery set created_at = now() - interval '11 minutes', "
                "not_before = now() - interval '11 minutes'"
            )
            await conn.execute(
                "update delivery set not_before = now() + interval '1 hour' where kind = 'ring'"
            )
        async with running(ringing):
            await ringing.all_echoed(1)
    [notice] = room.alerts()
    assert relation(notice) == {}


async def test_what_follows_a_message_that_gave_way_follows_the_one_that_says_more(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        first = incident("II")
        alert_id = await ringing.store(first)
        await say(ringing, alert_id, "notice", TAKEN)
        await ringing.store(incident("I", report_id=first.id), ver=2, before="II")
        async with running(ringing):
            await ringing.all_echoed(2)
    root, notice = room.alerts()
    assert "raised to I" in root["content"]["body"]
    assert relation(notice)["event_id"] == root["event_id"]


async def test_a_message_that_was_refused_leaves_its_thread_to_the_short_one(pool, tmp_path, room):
    class Spoiling:
        def __init__(self, transport) -> None:
            self._transport = transport

        def __getattr__(self, name):
            return getattr(self._transport, name)

        async def send(self, room_id, kind, content, txn):
            spoilt = {**content, "ratio": 0.5} if TITLE in content["body"] else content
            return await self._transport.send(room_id, kind, spoilt, txn)

    async with bell(pool, tmp_path, room, wrap=Spoiling, run=False) as ringing:
        alert_id = await ringing.store(incident())
        await say(ringing, alert_id, "escalation", Saying("level 1", "Nobody answered.", facts=True))
        async with running(ringing):
            await ringing.all_echoed(2)
        assert sorted(await ringing.states()) == ["echoed", "echoed", "failed", "failed"]
    root, escalation = room.alerts()
    assert relation(escalation)["event_id"] == root["event_id"]
    assert escalation["content"]["body"] == "Nobody answered."


async def test_a_relation_is_kept_with_the_message_for_every_further_try(pool, tmp_path, homeserver, room):
    async with (
        fault_proxy(homeserver.url) as proxy,
        bell(pool, tmp_path, room, homeserver=proxy.url) as ringing,
    ):
        alert_id = await ringing.store(incident())
        await ringing.all_echoed(1)
        proxy.fail("reset-after-commit", "/send/", times=2)
        await say(ringing, alert_id, "notice", TAKEN)
        await ringing.all_echoed(2)
    root, notice = room.alerts()
    assert relation(notice)["event_id"] == root["event_id"]
    assert relation({"content": (await contents(pool))[1]})["event_id"] == root["event_id"]


async def test_what_waits_says_no_more_than_the_report_allows_when_it_goes(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        report = incident("I", tlp=Tlp.GREEN)
        alert_id = await ringing.store(report)
        await say(ringing, alert_id, "escalation", Saying("level 1", "Nobody answered.", facts=True))
        async with pool.acquire() as conn:
            await reports.insert(conn, [reports.NewReport(report, "n1" + "a" * 52, 1)])
            await conn.execute("update report set ver = 2, tlp = 'red' where id = $1", report.id)
        async with running(ringing):
            await ringing.all_echoed(2)
    root, escalation = room.alerts()
    assert relation(escalation)["event_id"] == root["event_id"]
    assert escalation["content"]["body"].startswith("Nobody answered.\n\n🔴 ALERT, grade I · TLP:RED")
    assert not [text for text in (TITLE, SUMMARY) if text in escalation["content"]["body"]]


async def test_in_another_room_a_thread_begins_anew(pool, tmp_path, homeserver, room):
    async with bell(pool, tmp_path, room) as ringing:
        first = incident("II")
        await ringing.store(first)
        await ringing.all_echoed(1)
    other = open_room(homeserver)
    async with bell(pool, tmp_path, other) as ringing:
        await ringing.store(incident("I", report_id=first.id), ver=2, before="II")
        await ringing.all_echoed(2)
    assert [relation(event) for event in other.alerts()] == [{}]


async def test_several_couriers_keep_what_follows_behind_its_root(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as one, bell(pool, tmp_path, room, run=False) as two:
        ids = [await one.store(incident()) for _ in range(8)]
        for alert_id in ids:
            await say(one, alert_id, "notice", TAKEN)
        async with running(one), running(two):
            await one.all_echoed(16)
    roots = {event["event_id"]: event["content"]["org.tocsin.alert"]["alert"] for event in room.alerts()}
    told = [event for event in room.alerts() if event["content"]["msgtype"] == "m.notice"]
    assert sorted(event["content"]["org.tocsin.alert"]["alert"] for event in told) == ids
    for event in told:
        assert roots[relation(event)["event_id"]] == event["content"]["org.tocsin.alert"]["alert"]


MAIL = MailSettings(server="mail.test", sender="tocsin@node.test", recipients=("ops@org.test",))


async def test_a_program_ties_by_incident_and_a_mail_by_its_reply(pool, tmp_path):
    async with bell(
        pool,
        tmp_path,
        None,
        run=False,
        webhook={"url": "http://127.0.0.1:9/hook"},
        mail={"server": "mail.test", "sender": "tocsin@node.test", "recipients": ("ops@org.test",)},
    ) as ringing:
        report = incident("II")
        await ringing.store(report)
        async with pool.acquire() as conn:
            await conn.execute("update delivery set state = 'accepted', accepted_at = now()")
        alert_id = await ringing.store(incident("I", report_id=report.id), ver=2, before="II")
        await say(ringing, alert_id, "notice", TAKEN)
        hooks, mails = await contents(pool, "webhook"), await contents(pool, "mail")
        assert {body["incident"] for body in hooks} == {report.id}
        assert [body["kind"] for body in hooks] == ["raise", "escalate", "notice"]
        async with pool.acquire() as conn:
            rows = await conn.fetch("select id, thread, txn from delivery where channel = 'mail' order by id")
        assert [row["thread"] for row in rows] == [None, rows[0]["id"], rows[0]["id"]]
        assert mails[2]["subject"].endswith("Taken up by grace.")
        tied = letter(MAIL, {**mails[2], "in_reply_to": rows[0]["txn"]}, rows[2]["txn"]).decode()
        wanted = f"<{rows[0]['txn']}@node.test>"
        assert f"In-Reply-To: {wanted}" in tied.replace("\r\n ", " ")
        assert f"References: {wanted}" in tied.replace("\r\n ", " ")
