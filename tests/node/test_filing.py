"""Filing at one node: what is written at once, what is written again, what is refused; one report or many."""

import asyncio
import json
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.node import open_here, settings_on
from tests.support.reports import PUBLIC, report_by

from tocsin_schema.check import check_bundle
from tocsin_schema.stix import build, revise, withdraw

STIX = {"Content-Type": "application/stix+json"}
MILD = {"tlp": "green", "realization": "near-miss", "description": "Nobody was hurt."}
GRAVE = {
    "tlp": "green",
    "realization": "harm-event",
    "description": "Two people died.",
    "causality": "direct",
    "harms": [{"harm_type": "physical-health", "materialised": True}],
    "quantities": {"deaths": 2},
}


def bundle(acme, title, form=MILD, incident_id=None):
    return build(
        {"title": title, **form},
        producer=dict(acme.node.producer),
        incident_id=incident_id or f"incident--{uuid.uuid4()}",
        now=datetime.now(UTC),
    )


@pytest.fixture
async def acme(database, tmp_path):
    async with open_here(settings_on(tmp_path / "node", database)) as served:
        yield served


async def file(acme, raw):
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        return answer.status, await answer.json()


async def held(acme):
    async with acme.client.get("/v1/reports?limit=500") as answer:
        return [item["name"] for item in (await answer.json())["items"]]


async def test_a_report_is_stored_once_however_often_it_is_sent(acme):
    raw = bundle(acme, "A near miss")
    assert [(await file(acme, raw))[0] for _ in range(3)] == [201, 200, 200]
    assert await held(acme) == ["A near miss"]


async def test_other_content_under_an_id_that_is_taken_is_refused_and_writes_nothing(acme):
    incident_id = f"incident--{uuid.uuid4()}"
    await file(acme, bundle(acme, "First", incident_id=incident_id))
    status, problem = await file(acme, bundle(acme, "Second", incident_id=incident_id))
    assert (status, problem["code"]) == (409, "report-exists")
    assert await held(acme) == ["First"]


async def test_reports_filed_at_once_share_a_commit_and_a_taken_id_among_them_harms_none(acme):
    taken = bundle(acme, "Taken")
    await file(acme, taken)
    fresh = [bundle(acme, f"Fresh {n}") for n in range(40)]
    answers = await asyncio.gather(*(file(acme, raw) for raw in [*fresh[:20], taken, *fresh[20:], fresh[0]]))
    assert Counter(status for status, _ in answers) == {201: 40, 200: 2}
    assert sorted(await held(acme)) == sorted(["Taken", *(f"Fresh {n}" for n in range(40))])


async def test_a_grave_report_rings_and_a_mild_one_beside_it_does_not(acme):
    answers = await asyncio.gather(
        *(
            file(acme, raw)
            for raw in (bundle(acme, "Mild"), bundle(acme, "Grave", GRAVE), bundle(acme, "Mild too"))
        )
    )
    assert [answer["alert"] is not None for _, answer in answers] == [False, True, False]
    async with acme.client.get("/v1/alerts") as answer:
        assert [alert["title"] for alert in (await answer.json())["items"]] == ["Grave"]


async def test_an_import_stores_what_is_new_and_says_so_for_each(acme):
    first, second = bundle(acme, "One"), bundle(acme, "Two")
    await file(acme, first)
    lines = b"\n".join([first, second, b"{}", second])
    headers = {"Content-Type": "application/x-ndjson"}
    async with acme.client.post("/v1/imports", data=lines, headers=headers) as answer:
        outcomes = [item["outcome"] for item in (await answer.json())["items"]]
    assert outcomes == ["unchanged", "stored", "refused", "unchanged"]


async def test_an_import_takes_later_versions_and_leaves_what_is_newer_than_it(acme):
    def at(raw, title, minutes):
        return revise(raw, {"title": title}, now=datetime.now(UTC) + timedelta(minutes=minutes))

    async def imported(*raws):
        headers = {"Content-Type": "application/x-ndjson"}
        async with acme.client.post("/v1/imports", data=b"\n".join(raws), headers=headers) as answer:
            return [item["outcome"] for item in (await answer.json())["items"]]

    first, other, third = (report_by(PUBLIC, title) for title in ("One", "Two", "Three"))
    second = at(first, "One, corrected", 1)
    assert await imported(first, other) == ["stored", "stored"]
    assert await imported(third, second, other) == ["stored", "stored", "unchanged"]
    assert await imported(first, second) == ["unchanged", "unchanged"]
    same_time = second.replace(b"corrected", b"corrupted")
    assert await imported(same_time) == ["refused"]
    incident_id = check_bundle(first).report.id
    accept = {"Accept": "application/stix+json"}
    async with acme.client.get(f"/v1/reports/{incident_id}", headers=accept) as answer:
        assert await answer.read() == second
    gone = withdraw(second, reason="No.", now=datetime.now(UTC) + timedelta(minutes=2))
    assert await imported(gone) == ["stored"]
    assert await imported(at(second, "Back again", 9)) == ["refused"]


async def test_what_was_stored_is_byte_for_byte_what_was_sent(acme):
    raw = bundle(acme, "Exact ☂")
    incident_id = next(o["id"] for o in json.loads(raw)["objects"] if o["type"] == "incident")
    await file(acme, raw)
    async with acme.client.get(
        f"/v1/reports/{incident_id}", headers={"Accept": "application/stix+json"}
    ) as answer:
        assert await answer.read() == raw
