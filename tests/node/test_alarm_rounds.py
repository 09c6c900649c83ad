"""What was told is kept up to date, and what nobody takes up rings again."""

import uuid
from datetime import UTC, datetime, timedelta

from tests.support.alarms import ORIGIN, bell, incident, running
from tests.support.villain import GRAVE

from tocsin_federation.messages import Acknowledgement
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.storage import reports
from tocsin_schema.check import check_bundle
from tocsin_schema.stix import build, node_identity, revise, withdraw

PEER = "n1" + "a" * 52
NOBODY_FURTHER = OncallSettings(
    grade_i_waits_min=(), grade_ii_waits_min=()
)  # who is called rings no second time
ALL = "select kind, state, held from delivery order by id"


def shown(room):
    """(body, mentions) as each root is shown to people now, oldest first, and the edits as they came."""
    events = [
        e for e in room.responder.events(room.id) if e["type"] == "m.room.message" and "body" in e["content"]
    ]
    edits = [e for e in events if e["content"].get("m.relates_to", {}).get("rel_type") == "m.replace"]
    roots = [e for e in events if "m.relates_to" not in e["content"]]
    now = {e["event_id"]: e["content"] for e in roots}
    for edit in edits:
        now[edit["content"]["m.relates_to"]["event_id"]] = edit["content"]["m.new_content"]
    return list(now.values()), edits


async def until_shown(ringing, room, text):
    async def found():
        return [content for content in shown(room)[0] if text in content["body"]]

    return (await ringing.until(found, within_s=60))[0]


async def stored(pool, report, ver=1):
    async with pool.transaction() as conn:
        if ver == 1:
            await reports.insert(conn, [reports.NewReport(report, PEER, 1)])
        else:
            await reports.replace(
                conn, reports.NewReport(report, PEER, ver), held_ver=ver - 1, held_origin=PEER
            )


async def test_who_took_it_up_stands_in_the_first_message_and_rings_nobody(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, grouping={"interval_s": 0}) as ringing:
        alert_id = await ringing.store(incident())
        root = await room.alert()
        ack = room.responder.react(room.id, root["event_id"], "👀")
        content = await until_shown(ringing, room, "ACKNOWLEDGED by")
        name = room.responder.user_id
        assert content["body"].startswith(f"✔ ACKNOWLEDGED by {name}\n\n🟠 ALERT, grade II")
        assert "Acknowledge:" not in content["body"], "nobody is asked to any more"
        assert content["m.mentions"] == {}
        room.responder.redact(room.id, ack)
        content = await until_shown(ringing, room, "🟠 ALERT, grade II")
        await ringing.until(lambda: still_root(room))
        await ringing.alarms.act(alert_id, "ack", by="mara")
        assert "ACKNOWLEDGED by mara" in (await until_shown(ringing, room, "mara"))["body"]
    contents, edits = shown(room)
    assert len(contents) == 1
    assert len(edits) == 3
    assert all(edit["content"]["m.mentions"] == {} for edit in edits)
    assert all(edit["content"]["body"].startswith("* ") for edit in edits)


async def still_root(room):
    [content], _ = shown(room)
    return content["body"].startswith("🟠 ALERT")


def grave(title, **fields):
    """A report of the gravest grade as it is after all checks, and its bytes."""
    raw = build(
        {"title": title, "tlp": "green", **GRAVE, **fields},
        producer=node_identity("Harbour", PEER),
        incident_id=f"incident--{uuid.uuid4()}",
        now=datetime.now(UTC) - timedelta(minutes=5),
    )
    return check_bundle(raw).report, raw


async def test_a_version_that_does_not_ring_changes_what_the_room_sees(pool, tmp_path, room):
    first, raw = grave("A door did not open")
    async with bell(pool, tmp_path, room, grouping={"interval_s": 0}) as ringing:
        await stored(pool, first)
        await ringing.store(first)
        await ringing.all_echoed(1)
        assert "A door did not open" in shown(room)[0][0]["body"]
        second = check_bundle(revise(raw, {"title": "It was the other door"}, now=datetime.now(UTC))).report
        assert await ringing.store(second, ver=2, before=first.severity.grade) is None
        await stored(pool, second, 2)
        ringing.alarms.wake()
        content = await until_shown(ringing, room, "It was the other door")
        assert "A door did not open" not in content["body"]
        third = check_bundle(revise(second.raw, {"tlp": "red"}, now=datetime.now(UTC))).report
        await stored(pool, third, 3)
        ringing.alarms.wake()
        content = await until_shown(ringing, room, "TLP:RED")
        assert "door" not in content["body"]
    assert len(room.alerts()) == 1


async def test_a_withdrawal_rings_in_the_thread_and_stands_in_the_first_message(pool, tmp_path, room):
    first, raw = grave("A door did not open")
    async with bell(pool, tmp_path, room, grouping={"interval_s": 0}) as ringing:
        await stored(pool, first)
        await ringing.store(first)
        await ringing.all_echoed(1)
        gone = check_bundle(withdraw(raw, reason="a mistake", now=datetime.now(UTC))).report
        await stored(pool, gone, 2)
        assert await ringing.store(gone, ver=2, before=first.severity.grade) is not None
        content = await until_shown(ringing, room, "WITHDRAWN")
        await ringing.all_echoed(3)
    assert content["body"].startswith("⚪ WITHDRAWN")
    root, ring = room.alerts()
    assert ring["content"]["m.relates_to"]["event_id"] == root["event_id"]
    assert ring["content"]["m.mentions"] == {"user_ids": [room.responder.user_id]}


async def test_many_changes_are_one_edit(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, grouping={"interval_s": 600}) as ringing:
        alert_id = await ringing.store(incident())
        await ringing.all_echoed(1)
        await ringing.alarms.act(alert_id, "ack", by="first")
        await until_shown(ringing, room, "first")
        for name in ("second", "third", "fourth"):
            await ringing.alarms.act(alert_id, "ack", by=name)

        async def waits():
            async with pool.acquire() as conn:
                return await conn.fetchval("select count(*) from delivery where kind = 'update'") == 2

        await ringing.until(waits)
        async with pool.acquire() as conn:
            [(kind, state, _)] = (await conn.fetch(ALL))[2:]
            assert (kind, state) == ("update", "pending")
            due = await conn.fetchval(
                "select extract(epoch from not_before - now()) from delivery where state = 'pending'"
            )
            assert 560 < due < 601
            await conn.execute("update delivery set not_before = now() where state = 'pending'")
        ringing.alarms.wake()
        content = await until_shown(ringing, room, "fourth")
        assert "ACKNOWLEDGED by first, second, third, fourth\n" in content["body"]
    assert len(shown(room)[1]) == 2


async def test_an_edit_that_would_change_nothing_is_not_made(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        alert_id = await ringing.store(incident())
        async with running(ringing):
            await ringing.all_echoed(1)
        await ringing.alarms.act(alert_id, "ack", by="mara")
        async with pool.acquire() as conn:
            await conn.execute("update act set revoked_at = now()")
        async with running(ringing):

            async def dropped():
                async with pool.acquire() as conn:
                    return [tuple(row) for row in (await conn.fetch(ALL))[1:]] == [
                        ("update", "superseded", "nothing-new")
                    ]

            await ringing.until(dropped)
    assert len(shown(room)[1]) == 0


async def test_a_peer_that_took_it_up_is_told_in_the_thread(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        report, _ = grave("A door did not open")
        await stored(pool, report)
        async with pool.acquire() as conn:
            await conn.execute("update report set audience = array[$1]", PEER)
        await ringing.store(report, ours=True)
        await ringing.all_echoed(1)
        said = Acknowledgement(v=1, report_id=report.id, ver=1, at=1, revoked=False)
        for _ in range(2):
            async with pool.transaction() as conn:
                await ringing.alarms.record_remote_ack(conn, said, node_id=PEER, org="Harbour")
            ringing.alarms.wake()
        await ringing.all_echoed(3)
    notice = next(e for e in room.alerts() if e["content"]["msgtype"] == "m.notice")
    assert notice["content"]["body"] == "Harbour has taken it up."
    assert notice["content"]["m.mentions"] == {}
    [content], _ = shown(room)
    assert content["body"].startswith("✔ ACKNOWLEDGED by Harbour\n")


async def test_what_nobody_takes_up_rings_again_until_somebody_does(pool, tmp_path, room):
    every = {"repeat_ii_s": 1, "interval_s": 0}
    async with bell(pool, tmp_path, room, grouping=every, oncall=NOBODY_FURTHER) as ringing:
        alert_id = await ringing.store(incident())
        await ringing.all_echoed(3)
        await ringing.alarms.act(alert_id, "ack", by="mara")
        await until_shown(ringing, room, "mara")
        count = len(room.alerts())
        await ringing.store(incident("I", title="Something else"))
        await room.wait_for(lambda event: "Something else" in event["content"].get("body", ""))
        async with pool.acquire() as conn:
            waiting = await conn.fetchval(
                "select count(*) from delivery where alert_id = $1 and kind = 'ring' and state in ('pending', 'sending')",
                alert_id,
            )
    assert waiting == 0
    assert count in {3, 4}  # one may have gone out beside the acknowledgement
    root, first, *_ = room.alerts()
    assert first["content"]["body"].startswith("STILL OPEN after 0 min: nobody has acknowledged it.\n\n🟠")
    assert first["content"]["m.relates_to"]["event_id"] == root["event_id"]
    assert first["content"]["m.mentions"] == {"user_ids": [room.responder.user_id]}


async def test_what_was_due_while_the_node_was_away_rings_once_at_its_return(pool, tmp_path, room):
    async with bell(
        pool, tmp_path, room, grouping={"repeat_ii_s": 3600}, oncall=NOBODY_FURTHER, run=False
    ) as ringing:
        await ringing.store(incident())
        async with running(ringing):
            await ringing.all_echoed(1)
        async with pool.acquire() as conn:
            await conn.execute(
                "update delivery set accepted_at = accepted_at - interval '5 hours';"
                "update alert set raised_at = raised_at - interval '5 hours'"
            )
        async with running(ringing):
            await ringing.all_echoed(2)
    assert room.alerts()[1]["content"]["body"].startswith("STILL OPEN after 5 h")
    assert ORIGIN in room.alerts()[1]["content"]["body"]


async def test_many_old_alerts_ring_again_a_few_at_a_time_and_the_gravest_at_once(pool, tmp_path, room):
    few = {"repeat_ii_s": 3600, "flood_room": 2, "flood_origin": 2}
    async with bell(pool, tmp_path, room, oncall=NOBODY_FURTHER, run=False) as ringing:
        for grade in ("II", "II", "II", "I", "II", "I"):
            await ringing.store(incident(grade))
        async with running(ringing):
            await ringing.all_echoed(6)
        async with pool.acquire() as conn:
            await conn.execute("update delivery set accepted_at = accepted_at - interval '2 hours'")
    async with bell(pool, tmp_path, room, grouping=few, oncall=NOBODY_FURTHER, run=False) as ringing:
        for count in (8, 10, 12):
            async with running(ringing):
                await ringing.all_echoed(count)
            async with pool.acquire() as conn:
                await conn.execute("update delivery set created_at = created_at - interval '6 minutes'")
    again = [e["content"]["org.tocsin.alert"]["alert"] for e in room.alerts()[6:]]
    assert again == [4, 6, 1, 2, 3, 5]
