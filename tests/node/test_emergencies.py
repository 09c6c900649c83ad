"""Emergencies at two nodes and at one with a villain for a peer: who is called, who answers, what a lie comes to."""

import itertools
import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest
from tests.node.test_intake import taken
from tests.node.test_remarks import QUICK, STIX, at, file, producer, said
from tests.support.circle import spoken
from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.villain import get, post, until, villain

from tocsin_federation.calls import ANSWER, CALL, Call, CallAnswer, emergency_id
from tocsin_node.services.alarm_orders import RoomAnswer
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import build, revise

STEP = {"name": "Stop the nightly scoring", "description": "Turn the schedule off."}
COUNT = itertools.count(1)


async def refused(node, path, document):
    """(status, code) of a request that is refused."""
    async with node.client.post(path, json=document) as answer:
        said_ = await answer.json()
        assert answer.status >= 400, said_
        return answer.status, said_["code"]


async def report_of(node, tlp="amber", query="", **fields):
    form = {
        "title": "Sepsis alarm missed",
        "description": "What happened.",
        "tlp": tlp,
        "realization": "near-miss",
    }
    incident = f"incident--{uuid.uuid4()}"
    raw = build(form | fields, producer=producer(node), incident_id=incident, now=at(next(COUNT)))
    await file(node, raw, query)
    return raw, incident


async def arrived(node, incident):
    async def there():
        async with node.client.get(f"/v1/reports/{incident}") as answer:
            return answer.status == 200

    await until(there)


async def declare(node, incident, **more):
    wanted = {"report_id": incident, "reason": "It goes on.", "by": "Ada", **more}
    return await post(node, "/v1/emergencies", wanted)


async def emergency_at(node, name, **wanted):
    """The emergency there, as soon as it is and has those values."""

    async def there():
        async with node.client.get(f"/v1/emergencies/{name}") as answer:
            found = await answer.json()
            return found if answer.status == 200 and all(found[k] == v for k, v in wanted.items()) else None

    return await until(there)


async def alerts_of(node, name):
    items = (await get(node, "/v1/alerts?limit=500"))["items"]
    return [item for item in items if item["emergency"] == name]


def row_of(screen, name):
    (row,) = [each for each in screen["nodes"] if each["node"]["name"] == name]
    return row


@asynccontextmanager
async def neighbours(cluster, tmp_path, *orgs, values=None):
    """Nodes in this process; the first is a peer of each of the others, up to AMBER."""
    async with AsyncExitStack() as opened:
        nodes = []
        for org in orgs:
            database = await opened.enter_async_context(cluster.database())
            settings = settings_on(
                tmp_path / org, database, {**QUICK, **(values or {}).get(org, {})}, org=org
            )
            nodes.append(await opened.enter_async_context(open_here(settings)))
        first = nodes[0]
        for node, org in zip(nodes[1:], orgs[1:], strict=True):
            invite = (await post(first, "/v1/peers/invites", {"name": org.lower()}))["invite"]
            joined = await post(node, "/v1/peers/join", {"invite": invite, "name": orgs[0].lower()})
            for one, name in ((first, org.lower()), (node, orgs[0].lower())):
                await post(one, f"/v1/peers/{name}/approve", {"sas": " ".join(joined["sas"])})
        yield nodes


@pytest.fixture
async def pair(cluster, tmp_path):
    async with neighbours(cluster, tmp_path, "Acme", "Birch") as nodes:
        yield nodes


# Two honest nodes ------------------------------------------------------------------------------------------


async def test_a_call_rings_at_the_peer_its_answer_shows_and_the_stand_down_arrives(pair):
    acme, birch = pair
    _, incident = await report_of(acme)
    await arrived(birch, incident)
    done = await declare(acme, incident, steps=[STEP])
    name = done["emergency"]["id"]
    assert [to["name"] for to in done["to"]] == ["birch"]
    there = await emergency_at(birch, name)
    assert (there["state"], there["drill"], there["rang"], there["reason"]) == (
        "declared", False, "emergency", "It goes on.",
    )  # fmt: skip
    assert there["caller"]["name"] == "acme"
    (step,) = there["steps"]
    assert (step["type"], step["name"]) == ("course-of-action", STEP["name"])
    for node in pair:
        (alert,) = await alerts_of(node, name)
        assert (alert["kind"], alert["grade"], alert["drill"]) == ("emergency", "I", False)
        assert alert["title"].startswith("EMERGENCY: ")
    await post(
        birch, f"/v1/emergencies/{name}/answer", {"says": "affected", "text": "On two wards.", "by": "Bo"}
    )

    async def answered():
        screen = await get(acme, f"/v1/emergencies/{name}")
        row = row_of(screen, "birch")
        return screen if row["says"] == "affected" and row["answered_at"] else None

    screen = await until(answered)
    assert row_of(screen, "birch")["text"] == "On two wards."
    assert screen["counts"] == {"affected": 1, "investigating": 0, "not-affected": 0, "silent": 0}
    assert await said(acme, incident) == [("birch", "exposure", "affected", False)]
    over = await post(acme, f"/v1/emergencies/{name}/stand-down", {"reason": "Patched.", "by": "Ada"})
    assert [to["name"] for to in over["to"]] == ["birch"]
    there = await emergency_at(birch, name, state="stood-down")
    assert (there["open"], there["reason"]) == (False, "Patched.")
    assert [call["state"] for call in there["calls"]] == ["declared", "stood-down"]
    assert all(call["by"] is None for call in there["calls"])
    assert "Ada" not in json.dumps(there)


async def test_the_caller_learns_how_far_the_call_got_and_when_a_person_looked(pair):
    acme, birch = pair
    _, incident = await report_of(acme)
    await arrived(birch, incident)
    name = (await declare(acme, incident))["emergency"]["id"]

    async def reached(stage):
        row = row_of(await get(acme, f"/v1/emergencies/{name}"), "birch")
        return row[f"{stage}_at"]

    await until(lambda: reached("stored"))
    await emergency_at(birch, name)
    (alert,) = await alerts_of(birch, name)
    assert await reached("acknowledged") is None
    await post(birch, f"/v1/alerts/{alert['id']}/ack", {"by": "Bo"})
    await until(lambda: reached("acknowledged"))
    times = await get(acme, f"/v1/emergencies/{name}/times")
    (span,) = [each for each in times["nodes"] if not each["node"]["ours"]]
    assert 0 <= span["stored_s"] <= span["acknowledged_s"] < 60
    assert (span["rung_s"], span["answered_s"]) == (None, None)
    assert times["stages"]["stored"]["reached"] == 1
    assert times["stages"]["rung"]["missing"] == ["birch"]
    assert times["stages"]["stored"]["p50_s"] == times["stages"]["stored"]["max_s"] == span["stored_s"]


async def test_a_drill_is_one_everywhere_and_touches_no_report_no_remark_and_no_duty(cluster, tmp_path):
    async with pager() as receiver:
        hook = {"webhook": receiver.settings(tmp_path)}
        async with neighbours(cluster, tmp_path, "Acme", "Birch", values={"Birch": hook}) as (acme, birch):
            _, incident = await report_of(acme, tlp="green")
            await arrived(birch, incident)
            before = [await get(birch, "/v1/reports/facets"), await get(birch, "/v1/duties")]
            name = (await declare(acme, incident, drill=True, steps=[STEP]))["emergency"]["id"]
            there = await emergency_at(birch, name)
            await until(lambda: _soon(receiver.alerts))
            (told,) = [each for each in receiver.alerts if each["kind"] == "emergency"]
            assert (told["drill"], told["emergency"]) == (True, name)
            assert told["text"].splitlines()[0].startswith("🔵 DRILL")
            assert "EMERGENCY" not in told["text"]
            for node in (acme, birch):
                listed = (await get(node, "/v1/emergencies"))["items"]
                assert [(each["drill"], each["title"][:6]) for each in listed] == [(True, "DRILL:")]
                (alert,) = await alerts_of(node, name)
                assert (alert["drill"], alert["title"][:6]) == (True, "DRILL:")
                checks = (await get(node, "/healthz"))["checks"]
                (health,) = [each for each in checks if each["name"] == "emergencies"]
                assert health["code"] == "drill-open"
                assert "1 DRILL is open" in health["hint"]
            assert there["drill"] is True
            await post(birch, f"/v1/emergencies/{name}/answer", {"says": "affected"})

            async def answered():
                screen = await get(acme, f"/v1/emergencies/{name}")
                row = row_of(screen, "birch")
                return row if row["says"] == "affected" and row["rung_at"] and row["answered_at"] else None

            row = await until(answered)
            assert row["stored_at"] <= row["rung_at"]
            for node in (acme, birch):
                assert await said(node, incident) == []
            await post(acme, f"/v1/emergencies/{name}/stand-down", {"reason": "Done.", "by": "Ada"})
            await emergency_at(birch, name, state="stood-down")
            await until(lambda: _soon(len([a for a in receiver.alerts if a["kind"] == "call"]) == 1))
            (over,) = [each for each in receiver.alerts if each["kind"] == "call"]
            assert over["text"].splitlines()[0] == "DRILL, over: stood down by acme."
            assert over["drill"] is True
            assert [await get(birch, "/v1/reports/facets"), await get(birch, "/v1/duties")] == before


async def _soon(value):
    return value


async def test_asking_again_after_a_lost_answer_is_the_same_emergency(pair):
    acme, birch = pair
    _, incident = await report_of(acme)
    await arrived(birch, incident)
    key = str(uuid.uuid4())
    first = await declare(acme, incident, key=key)
    again = await declare(acme, incident, key=key)
    assert (first["outcome"], again["outcome"]) == ("called", "unchanged")
    assert (
        first["emergency"]["id"] == again["emergency"]["id"] == emergency_id(acme.node.identity.node_id, key)
    )
    name = first["emergency"]["id"]
    for outcome in ("called", "unchanged"):
        done = await post(acme, f"/v1/emergencies/{name}/stand-down", {"reason": "Over.", "by": "Ada"})
        assert done["outcome"] == outcome
    assert len(await alerts_of(acme, name)) == 1
    assert len((await get(acme, f"/v1/emergencies/{name}"))["calls"]) == 2


async def test_who_may_call_about_what(pair):
    acme, birch = pair
    _, incident = await report_of(acme)
    await arrived(birch, incident)
    wanted = {"report_id": incident, "reason": "Help.", "by": "Bo"}
    assert await refused(birch, "/v1/emergencies", wanted) == (403, "not-author")
    assert await refused(acme, "/v1/emergencies", wanted | {"by": " "}) == (422, "person-unnamed")
    assert await refused(acme, "/v1/emergencies", wanted | {"reason": "x" * 501}) == (422, "call-unfit")
    suspect = wanted | {"reason": "Ring +49 30 901820 and ask for the ward."}
    assert await refused(acme, "/v1/emergencies", suspect) == (422, "findings")
    unknown = wanted | {"report_id": f"incident--{uuid.uuid4()}"}
    assert await refused(acme, "/v1/emergencies", unknown) == (404, "report-unknown")
    _, alone = await report_of(acme, query="?share=0")
    assert await refused(acme, "/v1/emergencies", wanted | {"report_id": alone}) == (422, "nobody-to-call")
    tried = await declare(acme, incident, dry_run=True)
    assert (tried["outcome"], tried["emergency"]) == ("dry-run", None)
    assert (await get(acme, "/v1/emergencies"))["items"] == []
    name = (await declare(acme, incident))["emergency"]["id"]
    assert await refused(acme, "/v1/emergencies", wanted) == (409, "already-declared")
    await emergency_at(birch, name)
    over = {"reason": "All is well.", "by": "Bo"}
    assert await refused(birch, f"/v1/emergencies/{name}/stand-down", over) == (403, "not-caller")
    await post(acme, f"/v1/emergencies/{name}/stand-down", over)
    assert await refused(acme, f"/v1/emergencies/{name}/update", over) == (409, "already-stood-down")
    await emergency_at(birch, name, state="stood-down")
    assert await refused(birch, f"/v1/emergencies/{name}/answer", {"says": "affected"}) == (
        409, "already-stood-down",
    )  # fmt: skip
    assert await refused(acme, "/v1/emergencies/nonsense/update", over) == (404, "emergency-unknown")


async def test_a_local_emergency_rings_our_own_people_and_calls_nobody(pair):
    acme, birch = pair
    _, incident = await report_of(acme)
    await arrived(birch, incident)
    size = await spoken(birch)
    done = await declare(birch, incident, local=True)
    name = done["emergency"]["id"]
    assert (done["to"], done["emergency"]["local"]) == ([], True)
    assert len(await alerts_of(birch, name)) == 1
    await post(birch, f"/v1/emergencies/{name}/stand-down", {"reason": "Over.", "by": "Bo"})
    assert await spoken(birch) == size
    assert (await get(acme, "/v1/emergencies"))["items"] == []


async def test_who_answers_by_the_command_line_has_seen_the_alert_and_nobody_further_is_called(pair):
    acme, birch = pair
    _, incident = await report_of(acme)
    await arrived(birch, incident)
    name = (await declare(acme, incident, drill=True))["emergency"]["id"]
    await emergency_at(birch, name)
    [before] = await alerts_of(birch, name)
    assert (before["state"], before["next_escalation_at"] is None) == ("open", False)
    await post(birch, f"/v1/emergencies/{name}/answer", {"says": "not-affected", "by": "Bo"})
    [alert] = await alerts_of(birch, name)
    assert (alert["state"], alert["next_escalation_at"]) == ("acknowledged", None)
    assert [(a["by"], a["via"]) for a in alert["acknowledgements"]] == [("Bo", "api")]

    async def heard():
        return row_of(await get(acme, f"/v1/emergencies/{name}"), "birch")["acknowledged_at"]

    assert await until(heard), "the caller learns that a person has seen it"


async def test_what_is_done_about_an_emergency_is_told_to_its_caller_and_of_a_drill_nothing_stands_on_the_report(
    pair,
):
    acme, birch = pair
    for drill in (True, False):
        _, incident = await report_of(acme)
        await arrived(birch, incident)
        name = (await declare(acme, incident, drill=drill))["emergency"]["id"]
        await emergency_at(birch, name)
        [alert] = await alerts_of(birch, name)
        for verb, more in (("take", {}), ("mute", {"minutes": 20}), ("escalate", {})):
            await post(birch, f"/v1/alerts/{alert['id']}/{verb}", {"by": "Bo", **more})

        async def seen(name=name):
            return row_of(await get(acme, f"/v1/emergencies/{name}"), "birch")["acknowledged_at"]

        async def told(incident=incident):
            shown = await get(acme, f"/v1/reports/{incident}")
            kinds = {act["kind"] for act in (*shown["acknowledgements"], *shown["progress"])}
            return kinds == {"ack", "take", "mute", "escalate"}

        await until(seen)
        if drill:
            for node in pair:
                shown = await get(node, f"/v1/reports/{incident}")
                assert shown["acknowledgements"] == shown["progress"] == []
        else:
            await until(told)


async def test_an_update_reaches_whom_the_report_was_shared_with_since_and_adds_steps(cluster, tmp_path):
    async with neighbours(cluster, tmp_path, "Acme", "Birch", "Cedar") as (acme, birch, cedar):
        _, incident = await report_of(acme, query="?to=birch")
        await arrived(birch, incident)
        name = (await declare(acme, incident, steps=[STEP]))["emergency"]["id"]
        await post(acme, f"/v1/reports/{incident}/share?to=cedar", {})
        more = {"name": "Tell the wards"}
        done = await post(
            acme,
            f"/v1/emergencies/{name}/update",
            {"reason": "4.1 too.", "by": "Ada", "steps": [more], "to": ["cedar"]},
        )
        assert sorted(to["name"] for to in done["to"]) == ["birch", "cedar"]
        for node in (birch, cedar):
            there = await emergency_at(node, name, state="updated")
            assert [step["name"] for step in there["steps"]] == [STEP["name"], "Tell the wards"]
            assert len(await alerts_of(node, name)) == 1


async def test_the_courses_of_action_of_the_report_are_steps_of_the_call(pair):
    acme, birch = pair
    raw, _ = await report_of(acme)
    bundle = json.loads(raw)
    incident = f"incident--{uuid.uuid4()}"
    text = json.dumps(bundle)
    old = check_bundle(raw).report.id
    bundle = json.loads(text.replace(old.partition("--")[2], incident.partition("--")[2]))
    action = {
        "type": "course-of-action", "spec_version": "2.1", "id": f"course-of-action--{uuid.uuid4()}",
        "created_by_ref": producer(acme)["id"], "created": "2026-11-01T12:00:00.000Z",
        "modified": "2026-11-01T12:00:00.000Z", "name": "Fall back to the paper form",
    }  # fmt: skip
    bundle["objects"].append(action)
    checked = check_bundle(json.dumps(bundle).encode())
    if checked.report is None:
        pytest.skip(f"the profile lets no such object in: {checked.findings}")
    await file(acme, json.dumps(bundle).encode())
    await arrived(birch, incident)
    name = (await declare(acme, incident, steps=[STEP]))["emergency"]["id"]
    there = await emergency_at(birch, name)
    assert [step["name"] for step in there["steps"]] == ["Fall back to the paper form", STEP["name"]]
    assert there["steps"][0]["id"] == action["id"]


async def test_a_report_of_grade_one_declares_by_itself_where_that_is_set(cluster, tmp_path):
    values = {"Acme": {"emergency": {"grade_i": True}}}
    grave = {
        "realization": "harm-event", "causality": "direct", "countries": ["SE"],
        "harms": [{"harm_type": "physical-health", "materialised": True, "reversibility": "irreversible"}],
        "quantities": {"deaths": 200}, "flags": ["ongoing", "imminent-risk-to-life"],
    }  # fmt: skip
    async with neighbours(cluster, tmp_path, "Acme", "Birch", values=values) as (acme, birch):
        _, mild = await report_of(acme)
        _, incident = await report_of(acme, **grave)
        assert (await get(acme, f"/v1/reports/{incident}"))["grade"] == "I"
        (listed,) = (await get(acme, "/v1/emergencies"))["items"]
        assert listed["report_id"] == incident
        await emergency_at(birch, listed["id"])
        assert mild != incident


# A peer without manners ------------------------------------------------------------------------------------


@pytest.fixture
async def alone(cluster, tmp_path):
    """A node with a webhook, and a villain that it has approved up to AMBER."""
    async with AsyncExitStack() as opened:
        receiver = await opened.enter_async_context(pager())
        database = await opened.enter_async_context(cluster.database())
        values = {**QUICK, "webhook": receiver.settings(tmp_path)}
        node = await opened.enter_async_context(open_here(settings_on(tmp_path / "Acme", database, values)))
        peer = await opened.enter_async_context(villain())
        await peer.join(node)
        yield node, peer, receiver


def call_of(report_id, **changes):
    now = int(datetime.now(UTC).timestamp() * 1000)
    first = Call(
        v=1, key=str(uuid.uuid4()), report_id=report_id, ver=1, seq=1, state="declared", drill=False,
        reason="It goes on.", since=now, at=now, steps=(),
    )  # fmt: skip
    return msgspec.structs.replace(first, **changes)


def calls(node, peer, call, *, content=None, **header):
    facts = {"t": "call", "id": call.report_id, "ver": call.ver, "ref": bytes(32), **header}
    return peer.append(node, peer.sealed(node, CALL.encode(call) if content is None else content, **facts))


def reported(node, peer, **fields):
    incident = f"incident--{uuid.uuid4()}"
    peer.publish(node, peer.bundle(incident_id=incident, **fields))
    return incident


async def kinds(node):
    """What rang for emergencies: (drill, whether it says that it is one more), newest last."""
    items = (await get(node, "/v1/emergencies?limit=500"))["items"]
    return [(item["drill"], item["rang"]) for item in reversed(items)]


async def test_a_call_about_anothers_report_or_none_is_refused_and_rings_nobody(alone):
    node, peer, _ = alone
    _, ours = await report_of(node, query="?share=0")
    calls(node, peer, call_of(ours))
    calls(node, peer, call_of(f"incident--{uuid.uuid4()}"))
    theirs = reported(node, peer)
    calls(node, peer, call_of(theirs, ver=2))
    assert await taken(node, peer) == [
        ("refused", "not-owner"), ("refused", "unknown-report"), ("stored", None), ("refused", "unknown-report"),
    ]  # fmt: skip
    assert (await get(node, "/v1/emergencies"))["items"] == []
    assert not [a for a in (await get(node, "/v1/alerts"))["items"] if a["kind"] == "emergency"]


async def test_a_call_about_our_own_report_that_the_peer_has_is_refused(alone):
    node, peer, _ = alone
    _, ours = await report_of(node)
    calls(node, peer, call_of(ours))
    assert await taken(node, peer) == [("refused", "not-owner")]


async def test_an_old_call_said_again_neither_rings_nor_undoes_the_stand_down(alone):
    node, peer, _ = alone
    theirs = reported(node, peer)
    first = call_of(theirs)
    over = msgspec.structs.replace(first, seq=2, state="stood-down", reason="Over.", at=first.at + 1)
    for call in (first, over, first, msgspec.structs.replace(first, seq=3, state="updated")):
        calls(node, peer, call)
    assert await taken(node, peer) == [
        ("stored", None), ("stored", None), ("stored", None), ("superseded", None), ("refused", "already-stood-down"),
    ]  # fmt: skip
    (listed,) = (await get(node, "/v1/emergencies"))["items"]
    assert (listed["state"], listed["seq"]) == ("stood-down", 2)


async def test_what_was_stood_down_before_we_heard_of_it_rings_nobody(alone):
    """A node that was away, or had to be updated first, is not woken for what is over."""
    node, peer, _ = alone
    theirs = reported(node, peer)
    first = call_of(theirs)
    calls(node, peer, first)
    calls(node, peer, msgspec.structs.replace(first, seq=2, state="stood-down", reason="Over."))
    await taken(node, peer)
    assert await kinds(node) == [(False, "late")]
    assert await alerts_of(node, emergency_id(peer.node_id, first.key)) == []


async def test_what_was_said_long_ago_is_shown_and_rings_nobody(alone):
    node, peer, _ = alone
    long_ago = int((datetime.now(UTC) - timedelta(days=8)).timestamp() * 1000)
    calls(node, peer, call_of(reported(node, peer), since=long_ago, at=long_ago))
    await taken(node, peer)
    assert await kinds(node) == [(False, "late")]


async def test_what_was_old_when_it_came_rings_when_more_is_told_of_it(alone):
    node, peer, _ = alone
    long_ago = int((datetime.now(UTC) - timedelta(days=8)).timestamp() * 1000)
    first = call_of(reported(node, peer), since=long_ago, at=long_ago)
    name = emergency_id(peer.node_id, first.key)
    calls(node, peer, first)
    await taken(node, peer)
    now = int(datetime.now(UTC).timestamp() * 1000)
    calls(node, peer, msgspec.structs.replace(first, seq=2, state="updated", reason="Still on.", at=now))
    await peer.ring()
    await emergency_at(node, name, seq=2, rang="emergency")
    assert len(await alerts_of(node, name)) == 1


async def test_an_alert_is_closed_when_its_emergency_is_over_and_the_end_reaches_who_may_not_have_more(pair):
    """The report is marked more strictly meanwhile: the end is sent to all that were called, who hold nothing any more."""
    acme, birch = pair
    raw, incident = await report_of(acme, tlp="green")
    await arrived(birch, incident)
    name = (await declare(acme, incident))["emergency"]["id"]
    await emergency_at(birch, name)
    report = check_bundle(raw).report
    stricter = revise(raw, {"tlp": "red"}, now=report.modified + timedelta(seconds=1))
    async with acme.client.put(f"/v1/reports/{incident}?to=birch", data=stricter, headers=STIX) as answer:
        assert answer.status < 300, await answer.json()
    more = {"reason": "More.", "by": "Ada"}
    assert (await post(acme, f"/v1/emergencies/{name}/update", more))["to"] == []
    done = await post(acme, f"/v1/emergencies/{name}/stand-down", {"reason": "Over.", "by": "Ada"})
    assert [to["name"] for to in done["to"]] == ["birch"]
    (alert,) = await alerts_of(acme, name)
    assert alert["state"] == "closed"
    assert alert["id"] not in [each["id"] for each in (await get(acme, "/v1/alerts?open=1"))["items"]]

    async def taken_back():  # with the report that birch may not have any more (P-193)
        async with birch.client.get(f"/v1/emergencies/{name}") as answer:
            return answer.status == 404 and await alerts_of(birch, name) == []

    await until(taken_back)


async def test_a_flood_of_calls_rings_three_times_as_emergency_then_as_any_alert_and_drills_not_at_all(alone):
    node, peer, receiver = alone
    theirs = reported(node, peer, title="Theirs")
    for _ in range(5):
        calls(node, peer, call_of(theirs))
        calls(node, peer, call_of(theirs, drill=True))
    assert await taken(node, peer) == [("stored", None)] * 11
    rang = await kinds(node)
    assert rang.count((False, "emergency")) == rang.count((True, "emergency")) == 3
    assert rang.count((False, "ordinary")) == rang.count((True, "silent")) == 2
    await until(lambda: _soon(len(receiver.alerts) == 8))
    heads = [each["text"].splitlines()[0] for each in receiver.alerts]
    assert sum(head.startswith("🚨 EMERGENCY called by mallory") for head in heads) == 3
    assert sum(head.startswith("🔴 ALERT, grade I: one more emergency") for head in heads) == 2
    assert sum(head.startswith("🔵 DRILL") for head in heads) == 3
    (health,) = [c for c in (await get(node, "/healthz"))["checks"] if c["name"] == "emergencies"]
    assert (health["status"], health["code"]) == ("degraded", "calls-over-limit")
    assert health["hint"].startswith("4 calls")


async def test_a_flood_of_calls_leaves_room_for_a_grave_report(cluster, tmp_path):
    values = {**QUICK, "alerts": {"peer_budget_per_day": 5}}
    async with AsyncExitStack() as opened:
        database = await opened.enter_async_context(cluster.database())
        node = await opened.enter_async_context(open_here(settings_on(tmp_path / "Acme", database, values)))
        peer = await opened.enter_async_context(villain())
        await peer.join(node)
        theirs = reported(node, peer)
        for _ in range(10):
            calls(node, peer, call_of(theirs))
        await taken(node, peer)
        assert [as_what for _, as_what in await kinds(node)] == ["emergency"] * 3 + ["ordinary"] * 4 + [
            "silent"
        ] * 3
        grave = reported(node, peer, flags=["imminent-risk-to-life"])
        await peer.ring()
        await arrived(node, grave)
        assert [a for a in (await get(node, "/v1/alerts"))["items"] if a["report_id"] == grave]


async def test_a_flood_of_updates_is_told_a_dozen_times_and_the_end_always(alone):
    node, peer, receiver = alone
    first = call_of(reported(node, peer))
    calls(node, peer, first)
    await taken(node, peer)
    name = emergency_id(peer.node_id, first.key)
    for seq in range(2, 31):
        state = "stood-down" if seq == 30 else "updated"
        calls(node, peer, msgspec.structs.replace(first, seq=seq, state=state, reason=f"Word {seq}."))
        await peer.ring()
        await emergency_at(node, name, seq=seq)
    await until(lambda: _soon(receiver.alerts and "over: stood down" in receiver.alerts[-1]["text"]))
    assert len(receiver.alerts) <= 13
    assert len((await get(node, f"/v1/emergencies/{name}"))["calls"]) == 30


@pytest.mark.parametrize(
    ("changes", "header", "expected"),
    [
        ({"drill": True}, {}, ("refused", "call-changed")),
        ({"reason": "All is well."}, {}, ("refused", "version-conflict")),
        ({}, {"tlp": Tlp.CLEAR}, ("refused", "marking-looser")),
        ({}, {"tlp": Tlp.RED}, ("refused", "above-ceiling")),
        ({}, {"ver": 2}, ("quarantined", "inner-mismatch")),
        ({"reason": "x" * 501}, {}, ("quarantined", "content-invalid")),
        ({"reason": "a\0b"}, {}, None),
    ],
)
async def test_a_call_that_lies_is_not_taken(alone, changes, header, expected):
    node, peer, _ = alone
    first = call_of(reported(node, peer))
    calls(node, peer, first)
    if expected is None:  # what the database cannot hold is set aside, and the stream goes on
        calls(node, peer, call_of(first.report_id, **changes))
        calls(node, peer, call_of(first.report_id))
        outcomes = await taken(node, peer)
        assert [outcome for outcome, _ in outcomes] == ["stored", "stored", "quarantined", "stored"]
        return
    calls(node, peer, msgspec.structs.replace(first, **changes), **header)
    assert (await taken(node, peer))[2] == expected
    (listed,) = (await get(node, "/v1/emergencies"))["items"]
    assert (listed["seq"], listed["drill"], listed["reason"]) == (1, False, "It goes on.")


async def test_a_clock_beyond_the_calendar_harms_nobody(alone):
    node, peer, _ = alone
    calls(node, peer, call_of(reported(node, peer), since=2**53 - 1, at=2**53 - 1))
    assert (await taken(node, peer))[1] == ("stored", None)
    (listed,) = (await get(node, "/v1/emergencies"))["items"]
    assert datetime.fromisoformat(listed["declared_at"]) <= datetime.now(UTC)


async def test_an_answer_to_a_call_that_was_not_ours_or_not_for_that_peer_is_refused(alone):
    node, peer, _ = alone
    _, incident = await report_of(node)

    async def called_entry():
        size = (await get(node, "/v1/node"))["log"]["size"]
        return size >= 1

    await until(called_entry)
    name = (await declare(node, incident))["emergency"]["id"]
    async with node.node.pool.acquire() as conn:
        leaf = await conn.fetchval("select leaf_hash from emergency_call where emergency = $1::uuid", name)
    good = CallAnswer(
        v=1, emergency=name, report_id=incident, ver=1, stage="acknowledged", at=0, revoked=False
    )  # fmt: skip

    def answers(answer, ref):
        facts = {"t": "answer", "id": answer.report_id, "ver": answer.ver, "ref": ref}
        peer.append(node, peer.sealed(node, ANSWER.encode(answer), **facts))

    answers(good, bytes(32))
    answers(msgspec.structs.replace(good, emergency=str(uuid.uuid4())), leaf)
    answers(good, leaf)
    answers(msgspec.structs.replace(good, revoked=True), leaf)
    assert await taken(node, peer) == [
        ("refused", "not-ours"), ("refused", "not-ours"), ("stored", None), ("stored", None),
    ]  # fmt: skip
    row = row_of(await get(node, f"/v1/emergencies/{name}"), "mallory")
    assert row["acknowledged_at"] is None


async def test_a_lie_about_when_is_cut_to_what_is_possible(alone):
    node, peer, _ = alone
    _, incident = await report_of(node)
    name = (await declare(node, incident))["emergency"]["id"]
    async with node.node.pool.acquire() as conn:
        leaf = await conn.fetchval("select leaf_hash from emergency_call where emergency = $1::uuid", name)
    for stage, when in (("stored", 0), ("rung", 2**53 - 1)):
        answer = CallAnswer(
            v=1, emergency=name, report_id=incident, ver=1, stage=stage, at=when, revoked=False
        )  # fmt: skip
        facts = {"t": "answer", "id": incident, "ver": 1, "ref": leaf}
        peer.append(node, peer.sealed(node, ANSWER.encode(answer), **facts))
    await taken(node, peer)
    times = await get(node, f"/v1/emergencies/{name}/times")
    (span,) = [each for each in times["nodes"] if not each["node"]["ours"]]
    assert span["stored_s"] == 0
    assert 0 <= span["rung_s"] < 60


async def test_calls_that_an_older_program_did_not_know_are_taken_after_the_update(database, tmp_path):
    """As an older program leaves them: kept whole. One emergency is over by then and rings nobody, the other rings."""
    settings = settings_on(tmp_path / "acme", database, QUICK)
    async with villain() as peer:
        async with open_here(settings) as node:
            await peer.join(node)
            theirs = reported(node, peer)
            over, on = call_of(theirs), call_of(theirs)
            last = msgspec.structs.replace(over, seq=2, state="stood-down", reason="Over.")
            for call in (over, on, last):
                calls(node, peer, call)
            await taken(node, peer)
        conn = await asyncpg.connect(database.url)  # the node is away: it still tells what it has done
        try:
            async with conn.transaction():
                for table in (
                    "emergency_told",
                    "delivery",
                    "followup",
                    "act",
                    "alert",
                    "emergency_call",
                    "emergency",
                ):
                    await conn.execute(f"delete from {table}")
                await conn.execute(
                    "update remote_entry set outcome = 'quarantined', code = 'unsupported' where idx > 0"
                )
                for frame in peer.entries[1:]:
                    await conn.execute(
                        "insert into quarantine (origin, gen, idx, code, leaf, wrap, ct)"
                        " select origin, gen, $1, 'unsupported', $2, $3, $4 from remote_log",
                        frame.idx, frame.leaf, frame.wrap, frame.ct,
                    )  # fmt: skip
        finally:
            await conn.close()
        async with open_here(settings) as node:
            await emergency_at(node, emergency_id(peer.node_id, on.key), rang="emergency")
            await emergency_at(node, emergency_id(peer.node_id, over.key), rang="late", state="stood-down")
            rung = [a["emergency"] for a in (await get(node, "/v1/alerts"))["items"] if a["emergency"]]
            assert rung == [emergency_id(peer.node_id, on.key)]


async def test_a_word_from_the_room_becomes_a_remark_even_if_the_node_dies_in_between(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database, QUICK)
    async with villain() as peer:
        async with open_here(settings) as node:
            await peer.join(node)
            theirs = reported(node, peer)
            first = call_of(theirs)
            calls(node, peer, first)
            await taken(node, peer)
            name = emergency_id(peer.node_id, first.key)
            (alert,) = await alerts_of(node, name)
            now = datetime.now(UTC)
            async with node.node.pool.transaction() as conn:  # as the listener does it; nothing is woken
                for word in (
                    RoomAnswer("affected", "@bo:x", now, ""),
                    RoomAnswer("not-affected", "@bo:x", now - timedelta(minutes=1), ""),
                ):
                    await node.node.emergencies.answer_in_room(conn, alert["id"], word)
            assert await said(node, theirs) == []
        async with open_here(settings) as node:

            async def remarked():
                return [(kind, word) for _, kind, word, _ in await said(node, theirs)] == [
                    ("exposure", "affected")
                ]

            await until(remarked)
            row = row_of(await get(node, f"/v1/emergencies/{name}"), node.node.settings.node.org)
            assert row["says"] == "affected"


async def test_what_is_said_on_a_report_after_the_room_is_not_overruled_by_what_the_room_said(alone):
    node, peer, _ = alone
    theirs = reported(node, peer)
    first = call_of(theirs)
    calls(node, peer, first)
    await taken(node, peer)
    name = emergency_id(peer.node_id, first.key)
    (alert,) = await alerts_of(node, name)
    async with node.node.pool.transaction() as conn:
        word = RoomAnswer("affected", "@bo:x", datetime.now(UTC), "")
        await node.node.emergencies.answer_in_room(conn, alert["id"], word)
    await node.node.emergencies.catch_up()
    await post(node, f"/v1/emergencies/{name}/answer", {"says": "not-affected"})
    for _ in range(2):
        await node.node.emergencies.catch_up()
    assert [word for _, _, word, _ in await said(node, theirs)] == ["not-affected"]
