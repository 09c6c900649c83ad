"""What is wrong with the node itself: told to the operators once, and once more when it is over; never of incidents."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.alarms import SUMMARY, TITLE, bell, incident, running
from tests.support.homeserver import open_room
from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.post_office import post_office

from tocsin_node.health import Check
from tocsin_node.schedule import timetable
from tocsin_node.services.ops import Ops

BROKEN = Check("disk", "degraded", "disk-low", "Only 3 MiB are left.")
WELL = Check("disk")


@pytest.fixture
async def hook(pool, tmp_path):
    """A node whose operators are told by a webhook; `ops(...)` is what tells them."""
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        there.bell = ringing
        yield there


def told(there):
    return [(a["kind"], a["text"]) for a in there.alerts]


async def heard(there, count):
    there.bell.alarms.wake()
    async with asyncio.timeout(60):
        while len(there.alerts) < count:
            await asyncio.sleep(0.02)


def ops_of(pool, there, **more):
    return Ops(pool, there.bell.alarms.notices, ("webhook",), **{"hold_s": 0.0, "well_s": 0.0} | more)


async def test_a_trouble_is_told_once_and_so_is_its_end(pool, hook):
    ops = ops_of(pool, hook)
    assert await ops.tell([BROKEN])
    for _ in range(3):
        assert not await ops.tell([BROKEN])
    assert not await ops.tell([WELL])  # it has to be well for a moment
    assert await ops.tell([WELL])
    assert not await ops.tell([WELL])
    await heard(hook, 2)
    (first, began), (second, ended) = told(hook)
    assert (first, second) == ("notice-trouble", "notice-over")
    assert "disk is degraded (disk-low)\nOnly 3 MiB are left." in began
    assert "disk is well again" in ended


async def test_a_restart_tells_nothing_twice_and_forgets_no_end(pool, hook):
    await ops_of(pool, hook).tell([BROKEN])
    assert not await ops_of(pool, hook).tell([BROKEN])
    again = ops_of(pool, hook)
    await again.tell([WELL])
    assert await again.tell([WELL])
    await heard(hook, 2)
    assert len(hook.alerts) == 2


async def test_what_flickers_is_one_trouble(pool, hook):
    ops = ops_of(pool, hook, well_s=60.0)
    for check in (BROKEN, WELL, BROKEN, WELL, BROKEN, WELL):
        await ops.tell([check])
    await heard(hook, 1)
    assert len(told(hook)) == 1


async def test_what_is_over_at_once_is_not_told_at_all(pool, hook):
    ops = ops_of(pool, hook, hold_s=60.0)
    for check in (BROKEN, WELL, BROKEN, WELL):
        assert not await ops.tell([check])
    async with pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from delivery") == 0


async def test_a_trouble_that_gets_worse_is_told_again_but_not_to_and_fro(pool, hook):
    ops = ops_of(pool, hook)
    worse = Check("disk", "down", "disk-full", "Nothing is left.")
    for check in (BROKEN, worse, BROKEN, worse):
        await ops.tell([check])
    await heard(hook, 2)
    assert [text.split("(")[1].split(")")[0] for _, text in told(hook)] == ["disk-low", "disk-full"]


async def test_keys_that_end_are_told_at_each_stage(pool, hook):
    ops = ops_of(pool, hook)
    for days in (30, 30, 14, 14, 7, 3, 1, 1):
        await ops.tell([Check("identity", "degraded", "identity-expiring", f"In {days} days.", mark=days)])
    await heard(hook, 5)
    assert [text.rpartition("In ")[2].split()[0] for _, text in told(hook)] == ["30", "14", "7", "3", "1"]


def complained(count):
    return Check("complaints", "degraded", "passed-on-against-marking", f"{count} of them.", count=count)


async def test_who_can_have_something_counted_up_has_nobody_called_each_time_and_what_falls_calls_nobody(
    pool, hook
):
    ops = ops_of(pool, hook)
    for count in (*range(1, 101), *range(100, 0, -1), 3, 100):
        await ops.tell([complained(count)])
    await heard(hook, 7)
    assert [text.splitlines()[1].split()[0] for _, text in told(hook)] == [
        "1",
        "2",
        "4",
        "8",
        "16",
        "32",
        "64",
    ]


async def test_what_is_counted_up_without_a_pause_is_told_all_the_same(pool, hook):
    ops = ops_of(pool, hook, hold_s=3600.0)
    said = []
    for count in range(4, 8):
        said.append(await ops.tell([complained(count)]))
        async with pool.acquire() as conn:
            await conn.execute("update trouble set since = since - interval '25 minutes'")
    assert said == [False, False, False, True]


async def test_a_channel_in_trouble_is_not_asked_to_say_so(pool, hook):
    ops = ops_of(pool, hook)
    assert await ops.tell([Check("webhook", "down", "webhook-gone", "x"), BROKEN])
    await heard(hook, 1)
    assert ["disk" in text for _, text in told(hook)] == [True]


async def test_without_anybody_to_tell_nothing_is_kept(pool, hook):
    assert not await Ops(pool, hook.bell.alarms.notices, ()).tell([BROKEN])
    async with pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from trouble") == 0


async def test_the_operators_room_hears_of_troubles_and_never_of_incidents(pool, tmp_path, room):
    operators = room.responder.create_room(room.bot.user_id, name="Operators")
    async with bell(pool, tmp_path, room, ops={"room": operators}) as ringing:
        await ringing.check("ops", None)
        assert ringing.alarms.ops_channels == ("ops",)
        number = await ringing.store(incident("I"))
        await ringing.reaches(number, "matrix", "echoed")
        ops = Ops(pool, ringing.alarms.notices, ringing.alarms.ops_channels, hold_s=0.0)
        await ops.tell([Check("log <b>", "down", "pen-lost", 'a "hint" & more')])
        ringing.alarms.wake()

        async def there():
            return await asyncio.to_thread(room.responder.messages, operators, room.bot.user_id)

        [said] = await ringing.until(there)
        assert "pen-lost" in said["content"]["body"]
        assert said["content"]["m.mentions"] == {}
        assert "<b>" not in said["content"]["formatted_body"]
        assert "ops" not in await ringing.deliveries(number)
    assert len(room.alerts()) == 1
    assert not [s for s in (TITLE, SUMMARY) if s in str(room.responder.events(operators))]


@pytest.mark.parametrize("fault", ["token", "kick", "tombstone", "encryption", "mute"])
async def test_a_room_that_breaks_is_found_told_by_mail_and_taken_up_again(pool, tmp_path, homeserver, fault):
    room = open_room(homeserver)
    path = f"/rooms/{room.id}"
    code = {
        "token": "token-rejected",
        "kick": "not-in-room",
        "tombstone": "room-upgraded",
        "encryption": "room-encrypted",
        "mute": "muted",
    }[fault]
    async with post_office() as office:
        mail = office.settings(recipients=["ops@example.org"], min_grade="I")
        async with bell(pool, tmp_path, room, mail=mail, ops={"channels": ["mail"]}) as ringing:
            await ringing.check("matrix", None)
            ops = Ops(pool, ringing.alarms.notices, ("mail",), hold_s=0.0, well_s=0.0)
            match fault:
                case "token":
                    room.bot.call("POST", "/logout", {})
                case "kick":
                    room.responder.call("POST", f"{path}/ban", {"user_id": room.bot.user_id})
                case "tombstone":
                    room.responder.set_state(
                        room.id, "m.room.tombstone", {"replacement_room": "!other:hs.test"}
                    )
                case "encryption":
                    room.responder.set_state(
                        room.id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}
                    )
                case "mute":
                    levels = room.responder.call("GET", f"{path}/state/m.room.power_levels/")
                    room.responder.set_state(room.id, "m.room.power_levels", levels | {"events_default": 50})
                    await ringing.store(incident("II"))  # only a message tells: a preflight follows any 403
            broken = await ringing.check("matrix", code)
            assert broken.status == "down"
            found = await ringing.alarms.check()
            [line] = [c for c in found["channels"] if c["channel"] == "matrix"]
            assert (line["reaches"], line["code"]) == (False, code)
            assert code in [f["code"] for f in found["findings"]]
            assert found["status"] == "degraded"  # mail would get through
            await ops.tell(await ringing.alarms.health())
            ringing.alarms.wake()
            await _until(lambda: any(code in str(m["Subject"]) for m in office.mails))
            match fault:
                case "token":
                    ringing.token = homeserver.log_in(room.bot)
                case "kick":
                    room.responder.call("POST", f"{path}/unban", {"user_id": room.bot.user_id})
                    room.responder.call("POST", f"{path}/invite", {"user_id": room.bot.user_id})
                case "mute":
                    room.responder.set_state(room.id, "m.room.power_levels", levels)
                case _:
                    return  # there is no way back in such a room
            await ringing.alarms.test()  # looks afresh at once
            await ringing.check("matrix", None)
            for _ in range(2):
                await ops.tell(await ringing.alarms.health())
            ringing.alarms.wake()
            await _until(lambda: any("well again" in str(m["Subject"]) for m in office.mails))


async def _until(wanted):
    async with asyncio.timeout(60):
        while not wanted():
            await asyncio.sleep(0.02)


async def test_that_nobody_answers_though_everybody_was_called_is_told_to_the_operators(pool, tmp_path):
    now = [datetime.now(UTC)]
    async with (
        pager() as there,
        bell(
            pool, tmp_path, None, run=False, now=lambda: now[0], webhook=there.settings(tmp_path)
        ) as ringing,
    ):
        ops = Ops(pool, ringing.alarms.notices, ("webhook",), hold_s=0.0, well_s=0.0)
        number = await ringing.store(incident("I"))
        for minutes in (5, 10, 15):
            await ringing.check("answers", None)
            now[0] += timedelta(minutes=minutes)
            assert await ringing.alarms.escalation.call_due()
        said = await ringing.check("answers", "alerts-unanswered")
        assert TITLE not in said.hint
        assert await ops.tell([said])
        async with running(ringing):
            await _until(lambda: any(a["kind"] == "notice-trouble" for a in there.alerts))
        [told] = [a["text"] for a in there.alerts if a["kind"] == "notice-trouble"]
        assert "answers is degraded (alerts-unanswered)" in told
        assert TITLE not in told
        await ringing.alarms.act(number, "ack", by="somebody")
        await ringing.check("answers", None)


async def test_a_node_tells_its_operators_by_its_timetable(database, tmp_path):
    async with pager() as there:
        values = {"webhook": there.settings(tmp_path), "ops": {"channels": ["webhook"]}}
        settings = settings_on(tmp_path / "acme", database, values)
        async with open_here(settings) as acme:
            [job] = [j for j in timetable(acme.node) if j.name == "health"]
            acme.node.health.add("fuse", _blown)
            await job.run(acme.node)
            async with acme.node.pool.acquire() as conn:  # the moment for which it has to last
                await conn.execute(
                    "update trouble set since = now() - interval '1 minute' where name = 'fuse'"
                )
            await job.run(acme.node)
            await _until(lambda: any("fuse is down (fuse-blown)" in a["text"] for a in there.alerts))
            for alert in there.alerts:
                assert alert["kind"] == "notice-trouble"


async def _blown():
    return Check("fuse", "down", "fuse-blown", "Put in another.")
