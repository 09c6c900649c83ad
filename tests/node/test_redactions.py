"""A redaction at home: tied to its record, silent beside it, stale after it, and ended with it; and no way around that."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tests.contract.test_openapi import check_answer
from tests.node.conftest import QUICK
from tests.node.test_filing import GRAVE
from tests.schema.labelled import SECRETS
from tests.support.node import open_here, settings_on
from tests.support.reports import PUBLIC
from tests.support.villain import get, incident_id_of, outcomes, villain

from tocsin_federation.frames import FrameReader
from tocsin_federation.messages import read_header, write_acknowledgement
from tocsin_node.services.ledger import Posting
from tocsin_node.storage import redactions, reports
from tocsin_node.storage.migrations import migrate, steps
from tocsin_node.storage.pool import connect
from tocsin_schema.check import check_bundle
from tocsin_schema.ids import new_incident_id
from tocsin_schema.marking import Tlp
from tocsin_schema.redaction import project
from tocsin_schema.remarks import exposure
from tocsin_schema.stix import build, revise, withdraw

STIX = {"Content-Type": "application/stix+json"}
SYSTEM = [{"name": "Vigil Sepsis", "vendor": "Kestrel"}]
TODAY = datetime.now(UTC).date().isoformat()
FORM = {
    **GRAVE,
    "title": "The pump overdosed two people in Ward Seven",
    "systems": SYSTEM,
    "occurred_start": TODAY,
    "countries": ["DE"],
    "aware_at": f"{TODAY}T00:00:00Z",
}
DUTIES = {"duties": {"roles": ["nis2-entity", "controller", "provider"], "jurisdictions": ["DE"]}}
_TICKS = count(1)


def now():
    return datetime.now(UTC) + timedelta(milliseconds=10 * next(_TICKS))


def record(node, **fields):
    return written(node.node.producer, **fields)


def written(producer, **fields):
    return build({**FORM, **fields}, producer=dict(producer), incident_id=new_incident_id(), now=now())


def redacted(raw, clearance=Tlp.GREEN, drop=("countries",), **more):
    return project(raw, clearance=clearance, now=now(), drop=drop, **more).raw


async def send(node, method, path, raw, *, expect=(200, 201), **query):
    async with node.client.request(method, path, data=raw, headers=STIX, params=query) as answer:
        said = await answer.json()
        assert answer.status in expect, said
        return said


async def file(node, raw, **query):
    return await send(node, "POST", "/v1/reports", raw, **query)


async def redact(node, raw, ver=1, *, method="POST", expect=(200, 201), **more):
    """File a redaction of a record as it stands in `raw`; returns the answer."""
    made = redacted(raw, **more)
    path = "/v1/reports" if method == "POST" else f"/v1/reports/{incident_id_of(made)}"
    link = {"redaction_of": incident_id_of(raw), "record_ver": ver}
    return await send(node, method, path, made, expect=expect, **link)


async def show(node, report_id):
    return await get(node, f"/v1/reports/{report_id}")


async def entries(peer, node):
    """The headers of what the node's log holds for a peer, and the raw stream that it got."""
    _, body, _ = await peer.ask(node, peer.log_path(node, "entries?from=0&max=512"))
    return [read_header(frame.leaf) for frame in FrameReader(start=0).feed(body)], body


@pytest.fixture
async def ward(database, tmp_path):
    """A node with duties whose room rings at grade I and II and for clusters."""
    alerts = {"alerts": {"grades": ["I", "II"], "cluster": True}}
    async with open_here(settings_on(tmp_path / "ward", database, {**QUICK, **DUTIES, **alerts})) as served:
        yield served


async def test_a_record_and_its_redaction_name_each_other_and_the_peer_learns_of_neither(acme, mallory):
    raw = record(acme)
    mine = await file(acme, raw, share="0")
    done = await redact(acme, raw)
    kept = await show(acme, mine["id"])
    check_answer("GET", "/v1/reports/{id}", 200, "application/json", kept)
    (shared,) = kept["redactions"]
    assert (shared["id"], shared["ver"], shared["record_ver"], shared["stale"]) == (done["id"], 1, 1, False)
    assert [(each["name"], each["current"]) for each in shared["to"]] == [("mallory", True)]
    page = await show(acme, done["id"])
    check_answer("GET", "/v1/reports/{id}", 200, "application/json", page)
    assert (page["redaction_of"], page["record"]["record_ver"], page["redactions"]) == (mine["id"], 1, [])
    marks = {item["id"]: item["redaction_of"] for item in (await get(acme, "/v1/reports"))["items"]}
    assert marks == {mine["id"]: None, done["id"]: mine["id"]}
    headers, body = await entries(mallory, acme)
    assert [header.id for header in headers] == [done["id"]]
    assert mine["id"].removeprefix("incident--").encode() not in body + json.dumps(page["bundle"]).encode()


async def test_at_home_a_redaction_speaks_through_its_record(ward):
    async with villain() as mallory:
        await mallory.join(ward)
        raw = record(ward)
        mine = await file(ward, raw, share="0")
        assert mine["alert"] is not None
        done = await redact(ward, raw)
        assert (done["grade"], done["alert"]) == (mine["grade"], None)
        await ward.node.duties.watch()
        owed = (await get(ward, "/v1/duties"))["items"]
        assert {duty["report_id"] for duty in owed} == {mine["id"]}
        for each in (mine, done):
            assert (await get(ward, f"/v1/reports/{each['id']}/duplicates"))["items"] == []
        counted = await get(ward, "/v1/reports/facets")
        assert (counted["total"], counted["facets"]["origin"]) == (1, [{"value": "us", "count": 1}])
        mallory.publish(ward, mallory.bundle("Theirs", systems=SYSTEM, occurred_start=TODAY))
        await mallory.ring()
        await outcomes(ward, 1)
        (cluster,) = (await get(ward, "/v1/clusters"))["items"]
        assert (cluster["organisations"], cluster["reports"]) == (2, 2)


async def test_what_peers_say_of_a_redaction_answers_the_alert_of_its_record(ward):
    async with villain() as mallory:
        await mallory.join(ward)
        raw = record(ward)
        mine = await file(ward, raw, share="0")
        made = redacted(raw)
        link = {"redaction_of": mine["id"], "record_ver": 1}
        done = await file(ward, made, **link)
        assert [alert["id"] for alert in (await get(ward, "/v1/alerts?open=1"))["items"]] == [mine["alert"]]
        leaf = bytes.fromhex(done["entry"]["leaf_hash"])
        said = write_acknowledgement(done["id"], 1, now(), revoked=False)
        mallory.publish(ward, said, t="ack", id=done["id"], ref=leaf)
        shared = check_bundle(made).report
        seen = exposure(shared, "affected", producer=mallory.producer, now=now())
        mallory.publish(ward, seen, t="remark", id=done["id"], ref=leaf)
        await mallory.ring()
        assert [outcome[1] for outcome in await outcomes(ward, 2)] == ["stored", "stored"]

        assert (await get(ward, "/v1/alerts?open=1"))["items"] == []
        alert = await get(ward, f"/v1/alerts/{mine['alert']}")
        assert (alert["state"], [ack["node"] for ack in alert["acknowledgements"]]) == (
            "acknowledged",
            [mallory.node_id],
        )
        for each in (mine, done):
            page = await show(ward, each["id"])
            assert [ack["node"] for ack in page["acknowledgements"]] == [mallory.node_id]
            assert [(one["by"]["name"], one["said"]) for one in page["remarks"]] == [("mallory", "affected")]


async def test_another_report_of_the_event_is_like_the_record_and_not_like_its_redaction(acme):
    raw = record(acme)
    mine = await file(acme, raw, share="0")
    done = await redact(acme, raw)
    other = await file(acme, record(acme), share="0")
    for asked in (other, done):
        found = (await get(acme, f"/v1/reports/{asked['id']}/duplicates"))["items"]
        assert [item["id"] for item in found] == [mine["id"] if asked is other else other["id"]]


async def test_a_withdrawal_withdraws_the_redactions_in_the_same_act_and_a_dry_run_says_so(ward):
    async with villain() as mallory:
        await mallory.join(ward)
        raw = record(ward)
        mine = await file(ward, raw, share="0")
        done = [await redact(ward, raw), await redact(ward, raw, clearance=Tlp.CLEAR)]
        gone = withdraw(raw, reason="Mrs Quirinius was mistaken.", now=now())
        path = f"/v1/reports/{mine['id']}/withdraw"
        tried = await send(ward, "POST", path, gone, dry_run="1")
        assert {(each["id"], each["state"], each["ver"]) for each in tried["redactions"]} == {
            (each["id"], "withdrawn", 2) for each in done
        }
        assert [each["name"] for each in tried["redactions"][0]["to"]] == ["mallory"]
        assert (await show(ward, done[0]["id"]))["state"] == "active"

        said = await send(ward, "POST", path, gone)
        check_answer("POST", "/v1/reports/{id}/withdraw", 201, "application/json", said)
        assert said["redactions"] == tried["redactions"]
        for each in (mine, *done):
            assert (await show(ward, each["id"]))["state"] == "withdrawn"
        headers, _ = await entries(mallory, ward)
        assert [(h.t, h.ver) for h in headers] == [("publish", 1)] * 2 + [("revoke", 2)] * 2
        for each in done:
            text = json.dumps((await show(ward, each["id"]))["bundle"])
            assert "The full record that this is a version of was withdrawn." in text
            assert "Quirinius" not in text
        again = await send(ward, "POST", path, gone)
        assert (again["outcome"], again["redactions"]) == ("unchanged", [])


async def test_the_entries_of_a_withdrawal_and_its_redactions_are_one_transaction(acme, mallory):
    """What cannot be written of them takes the others with it, and its neighbours in the batch not."""
    first, second, third = record(acme), record(acme), record(acme)
    for raw in (first, second, third):
        await file(acme, raw, share="0")
    await send(
        acme, "PUT", f"/v1/reports/{incident_id_of(second)}", revise(second, {"title": "V2"}, now=now())
    )

    def posting(raw, together=None):
        report = check_bundle(withdraw(raw, reason="Over.", now=now())).report
        return Posting(report=report, held_ver=1, together=together)

    whole = object()
    posted = await acme.node.ledger.post(posting(first, whole), posting(second, whole), posting(third))
    assert [each.outcome for each in posted] == ["conflict", "conflict", "stored"]
    states = [(await show(acme, incident_id_of(raw)))["state"] for raw in (first, second, third)]
    assert states == ["active", "active", "withdrawn"]


async def test_a_newer_record_makes_its_redaction_stale_and_the_next_version_reaches_who_had_the_first(
    acme, mallory
):
    raw = record(acme)
    mine = await file(acme, raw, share="0")
    first = await redact(acme, raw)
    newer = revise(raw, {"title": "The pump overdosed one person"}, now=now())
    path = f"/v1/reports/{mine['id']}"
    tried = await send(acme, "PUT", path, newer, dry_run="1")
    said = await send(acme, "PUT", path, newer)
    for answer in (tried, said):
        assert [(each["stale"], each["record_ver"]) for each in answer["redactions"]] == [(True, 1)]
    assert (await show(acme, mine["id"]))["redactions"][0]["stale"]
    assert (await show(acme, first["id"]))["record"]["stale"]

    second = await redact(acme, newer, 2, method="PUT")
    assert (second["id"], second["ver"], second["alert"]) == (first["id"], 2, None)
    assert [peer["name"] for peer in second["to"]] == ["mallory"]
    (shared,) = (await show(acme, mine["id"]))["redactions"]
    assert (shared["stale"], shared["record_ver"], shared["ver"]) == (False, 2, 2)
    headers, _ = await entries(mallory, acme)
    assert [(header.id, header.ver) for header in headers] == [(first["id"], 1), (first["id"], 2)]


async def test_what_was_withdrawn_by_hand_is_over_and_the_next_redaction_is_another_report(acme, mallory):
    raw = record(acme)
    mine = await file(acme, raw, share="0")
    first = await redact(acme, raw)
    bundle = redacted(raw)
    over = withdraw(bundle, reason="Too much was said.", now=now())
    await send(acme, "POST", f"/v1/reports/{first['id']}/withdraw", over)
    newer = revise(raw, {"title": "The pump overdosed one person"}, now=now())
    said = await send(acme, "PUT", f"/v1/reports/{mine['id']}", newer)
    assert [(each["state"], each["stale"]) for each in said["redactions"]] == [("withdrawn", False)]
    assert (await redact(acme, newer, 2, method="PUT", expect=(409,)))["code"] == "already-withdrawn"
    second = await redact(acme, newer, 2, nth=2)
    assert second["id"] != first["id"]
    gone = await send(
        acme, "POST", f"/v1/reports/{mine['id']}/withdraw", withdraw(newer, reason="Over.", now=now())
    )
    assert [(each["id"], each["ver"]) for each in gone["redactions"]] == [(second["id"], 2)]


async def test_nothing_else_can_be_put_under_a_record(acme, mallory):
    raw = record(acme)
    await file(acme, raw, share="0")
    made = redacted(raw)
    link = {"redaction_of": incident_id_of(raw), "record_ver": 1}

    async def refused(bundle, **changes):
        return (await file(acme, bundle, expect=(409, 422, 400), **{**link, **changes}))["code"]

    assert await refused(record(acme)) == "not-a-redaction"
    assert await refused(redacted(raw, nth=3)) == "not-a-redaction"
    assert await refused(made, redaction_of=new_incident_id()) == "not-a-redaction"
    assert await refused(made, record_ver=2) == "record-changed"
    for ver in ("", "0", "-1", "x", "9" * 30, "²"):
        assert await refused(made, record_ver=ver) == "bad-parameter"
    mallory.publish(acme, theirs := mallory.bundle("Theirs"))
    await mallory.ring()
    await outcomes(acme, 1)
    assert await refused(redacted(theirs, drop=()), redaction_of=incident_id_of(theirs)) == "foreign-creator"
    await file(acme, made, **link)
    of_redaction = redacted(made, clearance=Tlp.CLEAR, drop=())
    assert await refused(of_redaction, redaction_of=incident_id_of(made)) == "not-a-redaction"
    gone = withdraw(raw, reason="Over.", now=now())
    await send(acme, "POST", f"/v1/reports/{incident_id_of(raw)}/withdraw", gone)
    assert await refused(redacted(raw, clearance=Tlp.CLEAR), record_ver=2) == "record-changed"


async def test_whoever_redacts_while_the_record_is_withdrawn_leaves_nothing_standing(acme, mallory):
    for nth in range(12):
        raw = record(acme)
        mine = await file(acme, raw, share="0")
        gone = withdraw(raw, reason="Over.", now=now())
        path = f"/v1/reports/{mine['id']}/withdraw"
        acts = [redact(acme, raw, expect=(201, 409)), send(acme, "POST", path, gone)]
        await asyncio.gather(*(acts if nth % 2 else acts[::-1]))
        kept = await show(acme, mine["id"])
        assert kept["state"] == "withdrawn"
        assert {each["state"] for each in kept["redactions"]} <= {"withdrawn"}


async def test_a_file_does_not_withdraw_a_record_of_ours_nor_its_redactions(acme, mallory):
    """Whoever has a copy of a report can write a later one."""
    raw = record(acme)
    await file(acme, raw, share="0")
    done = await redact(acme, raw)
    gone = withdraw(raw, reason="Over.", now=now())
    headers = {"Content-Type": "application/x-ndjson"}
    async with acme.client.post("/v1/imports", data=gone, headers=headers) as answer:
        assert [item["outcome"] for item in (await answer.json())["items"]] == ["refused"]
    assert (await show(acme, done["id"]))["state"] == "active"


async def test_what_an_earlier_program_redacted_is_linked_at_the_next_start(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database, QUICK)
    async with open_here(settings) as node:
        raw = record(node)
        mine, other = await file(node, raw, share="0"), await file(node, record(node), share="0")
        newer = revise(raw, {"title": "The second version"}, now=now())
        made = [redacted(raw), redacted(newer, clearance=Tlp.CLEAR)]
        await file(node, made[0])
        await send(node, "PUT", f"/v1/reports/{mine['id']}", newer)
        await file(node, made[1])
        of_redaction = redacted(made[0], clearance=Tlp.AMBER, drop=())
        await file(node, of_redaction)
        async with node.node.pool.acquire() as conn:
            await conn.execute("delete from redaction")
            await conn.execute(
                "insert into redaction (report_id, record_ver, clearance) select id, 0, '' from report"
            )
    async with open_here(settings) as node:
        found = (await show(node, mine["id"]))["redactions"]
        assert [(each["id"], each["record_ver"], each["stale"]) for each in found] == [
            (incident_id_of(made[0]), 1, True),
            (incident_id_of(made[1]), 2, False),
            (incident_id_of(of_redaction), 1, True),
        ]
        assert (await show(node, other["id"]))["redactions"] == []
        async with node.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from redaction") == 3


async def test_an_earlier_database_keeps_its_links_to_be_found_and_loses_the_index_rows_that_may_hold_secrets(
    empty_database,
):
    """Every kind of secret that the program knows is among what is written anew, and a plain report is not."""
    text = "The operator pasted {} into the chat by mistake; the café's key reason is unknown."
    plain = [
        written(PUBLIC),
        written(PUBLIC, description="The risk-domain of mit-risk-domain 7.3 is privacy; a token effort."),
    ]
    telling = [written(PUBLIC, description=text.format(each)) for kind in SECRETS.values() for each in kind]
    found = [check_bundle(raw).report for raw in (*plain, *telling)]
    before = next(nth for nth, step in enumerate(steps()) if step.name == "redactions")
    await migrate(empty_database, steps()[:before])
    conn = await connect(empty_database)
    try:
        await reports.insert(conn, [reports.NewReport(each, "n1acme", 1) for each in found])
        await migrate(empty_database)
        kept = {row[0] for row in await conn.fetch("select report_id from report_facet")}
        assert kept == {incident_id_of(raw) for raw in plain}
        waiting = await redactions.waiting(conn, "", 100)
        assert waiting == sorted(each.id for each in found)
    finally:
        await conn.close()
