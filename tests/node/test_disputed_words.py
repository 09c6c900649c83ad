"""What a thief said in a stolen log about emergencies and reports counts no more once its owner has ended that log."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from tests.node.test_emergencies import call_of, calls, declare, emergency_at, refused, report_of, row_of
from tests.node.test_exchange import PATIENCE
from tests.node.test_generations import disputed_from, end_log, file, holds, tell
from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.villain import GRAVE, get, incident_id_of, until, villain

from tocsin_federation.calls import ANSWER, CallAnswer, emergency_id
from tocsin_federation.messages import write_acknowledgement


@asynccontextmanager
async def ringing(database, tmp_path, *, start=True, **more):
    """A node that rings a webhook, and its peer, whose keys are stolen in a moment."""
    async with villain() as mallory, pager(start=start) as there:
        values = {**PATIENCE, "webhook": there.settings(tmp_path), **more}
        settings = settings_on(tmp_path / "acme", database, values)
        async with open_here(settings) as acme:
            await mallory.join(acme)
            yield acme, mallory, there


@pytest.fixture
async def robbed(database, tmp_path):
    async with ringing(database, tmp_path) as found:
        yield found


async def reported(acme, mallory, **fields):
    """A report of the peer's that is held, in its log's first entry."""
    raw = mallory.bundle("Held", **fields)
    mallory.publish(acme, raw)
    await mallory.ring()
    await holds(acme, incident_id_of(raw))
    return incident_id_of(raw)


async def cried(acme, mallory, report_id, **fields):
    """A call by the peer, as it is held."""
    call = call_of(report_id, **fields)
    calls(acme, mallory, call)
    await mallory.ring()
    found = await emergency_at(acme, emergency_id(mallory.node_id, call.key))
    return call, found["id"]


async def alert_at(acme, alert_id, good):
    async def there():
        found = await get(acme, f"/v1/alerts/{alert_id}")
        return found if good(found) else None

    return await until(there)


async def told(there, words):
    """How often the webhook was told something with these words, once it was."""

    async def heard():
        return sum(words in body.decode() for _, body in there.tries)

    return await until(heard)


async def test_a_call_by_a_thief_is_shown_as_disputed_and_calls_nobody_until_its_author_calls(robbed):
    acme, mallory, there = robbed
    report_id = await reported(acme, mallory)
    call, name = await cried(acme, mallory, report_id, reason="All is lost.")
    alert_id = (await emergency_at(acme, name))["alert_id"]
    assert await told(there, "EMERGENCY") == 1

    end_log(mallory, 1, mallory.leaf_hashes)
    await tell(mallory, acme)
    shown = await emergency_at(acme, name, disputed=True)
    assert (shown["open"], [each["disputed"] for each in shown["calls"]]) == (False, [True])
    assert (await get(acme, "/v1/emergencies?open=1"))["items"] == []
    assert [each["disputed"] for each in (await get(acme, "/v1/emergencies"))["items"]] == [True]
    assert (await get(acme, f"/v1/alerts/{alert_id}"))["state"] == "closed"
    assert await told(there, "disputed") == 1
    answer = {"says": "affected", "by": "Ada"}
    assert await refused(acme, f"/v1/emergencies/{name}/answer", answer) == (409, "call-disputed")
    async with acme.node.pool.acquire() as conn:  # its time is up
        await conn.execute("update followup set next_at = now() where alert_id = $1", alert_id)
    acme.node.alarms.escalation.wake()
    alert = await alert_at(acme, alert_id, lambda found: found["next_escalation_at"] is None)
    assert [act["kind"] for act in alert["history"]] == []

    # The author calls, under the very name that the thief had taken, and an earlier count.
    calls(acme, mallory, msgspec.structs.replace(call, reason="This is so.", drill=False))
    await mallory.ring()
    shown = await emergency_at(acme, name, disputed=False)
    assert (shown["open"], shown["reason"], shown["state"]) == (True, "This is so.", "declared")
    alert = await alert_at(acme, alert_id, lambda found: found["next_escalation_at"] is not None)
    assert alert["state"] == "open"
    assert await told(there, "said as call") == 1


async def test_a_stand_down_by_a_thief_is_undone_and_people_are_waited_for_again(robbed):
    acme, mallory, there = robbed
    report_id = await reported(acme, mallory)
    call, name = await cried(acme, mallory, report_id)
    alert_id = (await emergency_at(acme, name))["alert_id"]
    over = msgspec.structs.replace(call, seq=2, state="stood-down", reason="Never mind.")
    calls(acme, mallory, over)
    await mallory.ring()
    await emergency_at(acme, name, state="stood-down")
    async with acme.node.pool.acquire() as conn:
        await conn.execute("update followup set next_at = now() where alert_id = $1", alert_id)
    acme.node.alarms.escalation.wake()
    await alert_at(acme, alert_id, lambda found: found["next_escalation_at"] is None)

    end_log(mallory, 2, mallory.leaf_hashes)
    await tell(mallory, acme)
    shown = await emergency_at(acme, name, state="declared", open=True, disputed=False)
    assert [(each["state"], each["disputed"]) for each in shown["calls"]] == [
        ("declared", False), ("stood-down", True),
    ]  # fmt: skip
    alert = await alert_at(acme, alert_id, lambda found: found["next_escalation_at"] is not None)
    assert alert["state"] == "open"
    assert await told(there, "said as call") == 1
    # What its author says next has the count that the thief had used, and is told.
    calls(acme, mallory, msgspec.structs.replace(over, state="updated", reason="It spreads."))
    await mallory.ring()
    shown = await emergency_at(acme, name, state="updated", reason="It spreads.")
    assert [(each["state"], each["disputed"]) for each in shown["calls"]] == [
        ("declared", False), ("updated", False),
    ]  # fmt: skip
    assert await told(there, "It spreads.") == 1


async def test_a_call_that_has_not_rung_when_it_is_disputed_does_not_ring(database, tmp_path):
    async with ringing(database, tmp_path, start=False) as (acme, mallory, there):
        report_id = await reported(acme, mallory)
        call, name = await cried(acme, mallory, report_id, reason="All is lost.")
        end_log(mallory, 1, mallory.leaf_hashes)
        await tell(mallory, acme)
        await emergency_at(acme, name, disputed=True)
        await there.start()
        true = await reported(acme, mallory, **GRAVE)
        await told(there, true)
        assert "All is lost." not in str(there.alerts)
        # Nor do its words go out when its author calls after all.
        calls(acme, mallory, msgspec.structs.replace(call, reason="This is so."))
        await mallory.ring()
        await told(there, "This is so.")
        assert "All is lost." not in str(there.alerts)


async def test_disputed_calls_free_the_limit_of_a_day_once_and_not_as_often_as_a_peer_ends_its_log(
    database, tmp_path
):
    async with ringing(database, tmp_path, emergency={"peer_per_day": 1}) as (acme, mallory, _):
        report_id = await reported(acme, mallory)
        rang = []
        for dispute in (True, True, False):
            _, name = await cried(acme, mallory, report_id)
            rang.append((await emergency_at(acme, name))["rang"])
            async with acme.node.pool.acquire() as conn:
                if dispute:  # as if it had ended its log here
                    await conn.execute(
                        "update remote_log set disputed_from = next_index - 1 where disputed_from is null"
                    )
        assert rang == ["emergency", "emergency", "ordinary"]


async def test_an_acknowledgement_by_a_thief_is_none_and_one_without_a_place_stays(robbed):
    acme, mallory, _ = robbed
    said = await file(acme, acme.bundle("Two people died", **GRAVE))
    report_id, ref = said["id"], bytes.fromhex(said["entry"]["leaf_hash"])

    async def sees(state, disputed):
        async def there():
            items = (await get(acme, "/v1/alerts?limit=500"))["items"]
            (alert,) = [each for each in items if each["report_id"] == report_id]
            marks = [each["disputed"] for each in alert["acknowledgements"]]
            return (alert["state"], marks) == (state, disputed)

        await until(there)
        opened = [each["report_id"] for each in (await get(acme, "/v1/alerts?open=1"))["items"]]
        assert (report_id in opened) is (state == "open")
        (receipt,) = (await get(acme, f"/v1/reports/{report_id}/receipts"))["items"]
        assert (receipt["acknowledged_at"] is None) is (state == "open")

    def acknowledge():
        content = write_acknowledgement(report_id, 1, datetime.now(UTC), revoked=False)
        mallory.publish(acme, content, t="ack", id=report_id, ref=ref)

    acknowledge()
    await mallory.ring()
    await sees("acknowledged", [False])
    end_log(mallory, 0, [])
    await tell(mallory, acme)
    await sees("open", [True])
    acknowledge()
    await mallory.ring()
    await sees("acknowledged", [False])
    async with acme.node.pool.acquire() as conn:
        await conn.execute("update remote_log set disputed_from = 0")
        await sees("open", [True])
        await conn.execute("update act set log_gen = null, log_index = null")  # as before it had a place
    await sees("acknowledged", [False])


async def test_a_thief_that_repeats_what_is_true_takes_it_away_from_nobody(robbed):
    acme, mallory, _ = robbed
    said = await file(acme, acme.bundle("Two people died", **GRAVE))
    report_id, ref = said["id"], bytes.fromhex(said["entry"]["leaf_hash"])
    content = write_acknowledgement(report_id, 1, datetime.now(UTC), revoked=False)

    async def sees(state, count):
        await mallory.ring()

        async def there():
            taken = (await get(acme, "/v1/peers/mallory"))["outcomes"]["stored"]
            (alert,) = [
                a for a in (await get(acme, "/v1/alerts?limit=500"))["items"] if a["report_id"] == report_id
            ]
            return (alert["state"], taken) == (state, count)

        await until(there)

    mallory.publish(acme, content, t="ack", id=report_id, ref=ref)
    await sees("acknowledged", 1)
    mallory.publish(acme, content, t="ack", id=report_id, ref=ref)
    await sees("acknowledged", 2)
    end_log(mallory, 1, mallory.leaf_hashes)
    await tell(mallory, acme)
    await until(lambda: disputed_from(acme))
    await sees("acknowledged", 2)


async def test_an_answer_by_a_thief_to_our_drill_counts_as_taken_back(robbed):
    acme, mallory, _ = robbed
    _, incident = await report_of(acme)
    name = (await declare(acme, incident, drill=True))["emergency"]["id"]
    async with acme.node.pool.acquire() as conn:
        leaf = await conn.fetchval("select leaf_hash from emergency_call where emergency = $1::uuid", name)

    def answer(**fields):
        said = CallAnswer(v=1, emergency=name, report_id=incident, ver=1, at=0, revoked=False, **fields)
        facts = {"t": "answer", "id": incident, "ver": 1, "ref": leaf}
        mallory.append(acme, mallory.sealed(acme, ANSWER.encode(said), **facts))

    async def shows(says, seen):
        async def there():
            screen = await get(acme, f"/v1/emergencies/{name}")
            row = row_of(screen, "mallory")
            found = (row["says"], row["acknowledged_at"] is not None, sum(screen["said"].values()))
            return found == (says, seen, int(says is not None))

        await until(there)

    answer(stage="acknowledged")
    answer(stage="answered", said="not-affected")
    await mallory.ring()
    await shows("not-affected", True)
    end_log(mallory, 0, [])
    await tell(mallory, acme)
    await shows(None, False)
    answer(stage="answered", said="affected")
    await mallory.ring()
    await shows("affected", False)


async def test_nobody_is_called_for_a_report_that_its_author_disputes_and_the_room_is_shown_that_it_is(
    robbed,
):
    acme, mallory, there = robbed
    raw = mallory.bundle("Two people died", **GRAVE)
    mallory.publish(acme, raw)
    await mallory.ring()
    report_id = incident_id_of(raw)

    async def rung():
        found = [each for each in (await get(acme, "/v1/alerts"))["items"] if each["report_id"] == report_id]
        return found[0]["id"] if found else None

    alert_id = await until(rung)
    assert await told(there, "Two people died") == 1

    end_log(mallory, 0, [])
    await tell(mallory, acme)
    await holds(acme, report_id, disputed=True)
    assert await told(there, "DISPUTED, was: ALERT") == 1
    async with acme.node.pool.acquire() as conn:  # its time is up
        await conn.execute("update followup set next_at = now() where alert_id = $1", alert_id)
    acme.node.alarms.escalation.wake()

    async def put_off():
        async with acme.node.pool.acquire() as conn:
            return await conn.fetchval(
                "select level = 0 and next_at > now() from followup where alert_id = $1", alert_id
            )

    await until(put_off)
    shown = await get(acme, f"/v1/alerts/{alert_id}")
    assert (shown["state"], shown["disputed"]) == ("closed", True)
    assert (shown["history"], shown["next_escalation_at"]) == ([], None)
    assert (await get(acme, "/v1/alerts?open=1"))["items"] == []

    mallory.publish(acme, raw)  # its author says it again
    await mallory.ring()
    shown = await alert_at(acme, alert_id, lambda found: not found["disputed"])
    assert (shown["state"], shown["next_escalation_at"] is None) == ("open", False)
    async with acme.node.pool.acquire() as conn:  # an update is not held back for long
        await conn.execute(
            "update delivery set not_before = now() where kind = 'update' and state = 'pending'"
        )
    acme.node.alarms.wake()

    async def shown_as_it_was():
        updates = [json.loads(body) for _, body in there.tries]
        last = [each for each in updates if each.get("kind") == "update"][-1:]
        return last and "DISPUTED" not in last[0]["text"]

    await until(shown_as_it_was)
