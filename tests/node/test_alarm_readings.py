"""Who has read an alert: a receipt for it or for what came later, of somebody who may answer, and never taken back."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from tests.support.alarms import bell, incident

from tocsin_node.links.matrix_answers import receipts
from tocsin_node.links.transport import Receipt


async def test_an_alert_that_a_responder_has_read_is_seen_by_them(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        number = await ringing.store(incident("I"))
        before = datetime.now(UTC)
        await room.read_up_to((await room.alert())["event_id"])
        message = await ringing.reaches(number, "matrix", "seen")
        assert message["seen_by"] == room.responder.user_id
        assert abs((message["seen_at"] - before).total_seconds()) < 120
        assert message["echoed_at"] is not None
        assert (await ringing.alarms.get(number))["state"] == "open"  # to have read it is no answer


async def test_who_reads_what_came_later_has_read_the_alert(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        first = await ringing.store(incident("I"))
        await room.alert()
        later = room.responder.say(room.id, "What is this?")
        await room.wait_for(lambda e: e["event_id"] == later)
        await room.read_up_to(later)
        await ringing.reaches(first, "matrix", "seen")


async def test_who_has_read_only_what_stood_before_has_not_seen_the_alert(pool, tmp_path, room):
    earlier = room.responder.say(room.id, "Good night.")
    async with bell(pool, tmp_path, room) as ringing:
        number = await ringing.store(incident("I"))
        await room.alert()
        await ringing.all_echoed(1)
        # The bot never heard of `earlier` in this run: it asks the homeserver when that was.
        await room.read_up_to(earlier)
        mark = await ringing.store(incident("I", title="A mark"))
        await ringing.reaches(mark, "matrix", "echoed")
        assert (await ringing.deliveries(number))["matrix"]["state"] == "echoed"


async def test_a_stranger_who_reads_is_not_kept(pool, tmp_path, room):
    stranger = room.outsider
    async with bell(pool, tmp_path, room) as ringing:
        number = await ringing.store(incident("I"))
        event = (await room.alert())["event_id"]
        await room.read_up_to(event, by=stranger)
        mark = await ringing.store(incident("I", title="A mark"))
        await ringing.reaches(mark, "matrix", "echoed")
        assert (await ringing.deliveries(number))["matrix"]["seen_by"] is None
        await room.read_up_to(event)
        await ringing.reaches(number, "matrix", "seen")
    async with pool.acquire() as conn:
        rows = await conn.fetch("select d::text from delivery d")
    assert stranger.user_id not in str(rows)


async def test_only_the_first_to_read_is_kept_and_later_alerts_have_their_own(pool, tmp_path, room):
    second = room.outsider
    responders = (room.responder.user_id, second.user_id)
    async with bell(pool, tmp_path, room, responders=responders) as ringing:
        one = await ringing.store(incident("I"))
        await room.read_up_to((await room.alert())["event_id"])
        await ringing.reaches(one, "matrix", "seen")
        two = await ringing.store(incident("I"))
        await room.read_up_to((await room.alert())["event_id"], by=second)
        assert (await ringing.reaches(two, "matrix", "seen"))["seen_by"] == second.user_id
        assert (await ringing.deliveries(one))["matrix"]["seen_by"] == room.responder.user_id


async def test_a_receipt_of_the_main_timeline_says_nothing_of_a_thread(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        first = incident("II")
        await ringing.store(first)
        root = (await room.alert())["event_id"]
        risen = await ringing.store(incident("I", report_id=first.id), ver=2, before="II")
        reply = (await room.alert())["event_id"]
        await ringing.all_echoed(2)
        await room.read_up_to(root, thread_id="main")
        mark = await ringing.store(incident("I", title="A mark"))
        await ringing.reaches(mark, "matrix", "echoed")
        assert (await ringing.deliveries(risen))["matrix"]["state"] == "echoed"
        await room.read_up_to(reply, thread_id=root)
        await ringing.reaches(risen, "matrix", "seen")


async def test_what_was_read_while_the_node_was_away_is_known_when_it_is_back(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        number = await ringing.store(incident("I"))
        event = (await room.alert())["event_id"]
        await ringing.all_echoed(1)
    await room.read_up_to(event)
    async with bell(pool, tmp_path, room) as again:
        await again.reaches(number, "matrix", "seen")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.just("m.receipt"), "content": st.dictionaries(st.text(), st.just({}) | JSON)}
        )
        | st.fixed_dictionaries(
            {
                "type": st.just("m.receipt"),
                "content": st.dictionaries(
                    st.text(), st.fixed_dictionaries({"m.read": st.dictionaries(st.text(), JSON)})
                ),
            }
        )
        | JSON
    )
)
def test_no_receipt_however_malformed_breaks_the_reading(events):
    for receipt in receipts(events):
        assert isinstance(receipt, Receipt)
        assert isinstance(receipt.at, datetime)
        assert receipt.thread is None or isinstance(receipt.thread, str)


def test_a_private_receipt_is_nobodys_business():
    said = {
        "$e": {"m.read.private": {"@a:x": {"ts": 1}}, "m.read": {"@b:x": {"ts": 1000, "thread_id": "main"}}}
    }
    [receipt] = receipts([{"type": "m.receipt", "content": said}, {"type": "m.typing", "content": {}}])
    assert receipt == Receipt("@b:x", "$e", datetime.fromtimestamp(1, UTC), "main")
