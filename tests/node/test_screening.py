"""The last look before a report leaves: what is refused, who may decide, what is kept of the decision."""

import itertools
import json
import logging

import pytest
from tests.support.villain import GRAVE, get, incident_id_of, outcomes

from tocsin_schema import stix
from tocsin_schema.canonical import to_bytes

STIX = {"Content-Type": "application/stix+json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
PHONE = "+49 30 901820"
KEY = "AKIA" + "Q3EGTKRZ5LWXN2MD"
NAME = "Mara Ilves"


def suspicious(peer, text=f"The carer asked us to ring {PHONE} back.", **fields):
    return peer.bundle("A call", description=text, **fields)


async def send(acme, raw, query="", method="POST", path="/v1/reports"):
    headers = NDJSON if path == "/v1/imports" else STIX
    async with acme.client.request(method, path + query, data=raw, headers=headers) as answer:
        return answer.status, await answer.json()


async def size_of_log(acme):
    return (await get(acme, "/v1/node"))["log"]["size"]


def later(raw, **changes):
    from datetime import UTC, datetime

    return stix.revise(raw, changes, now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        (f"The carer asked us to ring {PHONE} back.", "personal-data-suspected", "telephone"),
        (f"The log held {KEY} in the clear.", "secret-suspected", "access-key"),
    ],
)
async def test_what_seems_to_hold_personal_data_or_a_secret_is_not_sent_and_not_stored(
    acme, mallory, text, code, kind, caplog
):
    raw = suspicious(acme, text)
    with caplog.at_level(logging.DEBUG):
        status, said = await send(acme, raw)
    assert (status, said["code"], said["kinds"]) == (422, "review-needed", [kind])
    assert [(each["code"], each["path"]) for each in said["findings"]] == [(code, "incident.description")]
    assert "--reviewed-by" in said["hint"]
    told = json.dumps(said) + caplog.text
    assert not [secret for secret in (PHONE, "901820", KEY, "Q3EGTKRZ") if secret in told]
    assert await size_of_log(acme) == 0
    assert (await get(acme, "/v1/reports"))["items"] == []


async def test_a_named_person_lets_it_leave_and_the_decision_is_kept_and_shown(acme, mallory):
    raw = suspicious(acme)
    status, said = await send(acme, raw, f"?personal_data_reviewed_by={NAME}")
    assert (status, [peer["name"] for peer in said["to"]]) == (201, ["mallory"])
    (review,) = (await get(acme, f"/v1/reports/{said['id']}"))["reviews"]
    assert (review["ver"], review["reviewed_by"], review["kinds"]) == (1, NAME, ["telephone"])
    assert review["at"].endswith("Z")
    async with acme.node.pool.acquire() as conn:
        kept = await conn.fetchrow("select * from review")
    assert PHONE not in str(list(kept.values()))
    assert await send(acme, raw, f"?personal_data_reviewed_by={NAME}") == (
        200,
        said | {"outcome": "unchanged", "entry": None},
    )


async def test_a_decision_needs_a_name(acme, mallory):
    raws = (suspicious(acme), acme.bundle("Clean"))
    for raw, name in itertools.product(raws, ["", "%20%20", "x" * 201, "a%07b"]):
        status, said = await send(acme, raw, f"?personal_data_reviewed_by={name}")
        assert (status, said["code"]) == (422, "reviewer-unnamed")


@pytest.mark.parametrize("query", ["?share=0", "?dry_run=1"])
async def test_what_stays_needs_no_decision(acme, mallory, query):
    status, said = await send(acme, suspicious(acme), query)
    assert (status, said["to"] == []) == ((200, False) if "dry" in query else (201, True))
    if "dry" in query:
        assert said["review_needed"] is True
        assert [each["code"] for each in said["findings"]] == ["personal-data-suspected"]
    assert await size_of_log(acme) == 0


async def test_a_node_without_peers_keeps_it_without_asking(acme, stranger):
    assert (await send(acme, suspicious(acme)))[0] == 201


async def test_a_clean_report_leaves_without_being_asked_about(acme, mallory):
    status, said = await send(acme, acme.bundle("Clean"))
    assert (status, said["findings"]) == (201, [])
    assert (await get(acme, f"/v1/reports/{said['id']}"))["reviews"] == []


async def test_a_later_version_needs_a_decision_for_what_is_new_in_it_and_for_nothing_else(acme, mallory):
    first = suspicious(acme)
    path = f"/v1/reports/{incident_id_of(first)}"
    await send(acme, first, f"?personal_data_reviewed_by={NAME}")
    second = later(first, flags=["ongoing"])
    assert (await send(acme, second, method="PUT", path=path))[0] == 201
    third = later(second, description=f"Ring {PHONE}, or else +49 89 21340.")
    status, said = await send(acme, third, method="PUT", path=path)
    assert (status, said["code"]) == (422, "review-needed")
    query = f"?personal_data_reviewed_by={NAME}"
    assert (await send(acme, third, query, method="PUT", path=path))[0] == 201
    assert [each["ver"] for each in (await get(acme, path))["reviews"]] == [3, 1]


async def test_a_withdrawal_is_told_to_those_who_have_the_report_whatever_it_holds(acme, mallory):
    from datetime import UTC, datetime

    raw = suspicious(acme)
    path = f"/v1/reports/{incident_id_of(raw)}"
    await send(acme, raw, f"?personal_data_reviewed_by={NAME}")
    async with acme.node.pool.acquire() as conn:
        await conn.execute("delete from review")  # as of a version that was sent before reviews were kept
    wordy = stix.withdraw(raw, reason="Ask Mrs Quirinius on +49 89 21340.", now=datetime.now(UTC))
    status, said = await send(acme, wordy, path=f"{path}/withdraw")
    assert (status, said["code"]) == (422, "review-needed")
    plain = stix.withdraw(raw, reason="It was nothing.", now=datetime.now(UTC))
    status, said = await send(acme, plain, path=f"{path}/withdraw")
    assert (status, len(said["to"])) == (201, 1)


async def test_an_import_stores_what_is_suspected_keeps_it_here_and_says_so(acme, mallory):
    clean, held, again = acme.bundle("Clean"), suspicious(acme), suspicious(acme)
    lines = b"\n".join([clean, held])
    status, said = await send(acme, lines, "?share=1", path="/v1/imports")
    assert status == 200
    assert [(each["outcome"], each.get("kept_here")) for each in said["items"]] == [
        ("stored", None), ("stored", ["telephone"]),
    ]  # fmt: skip
    assert await size_of_log(acme) == 1
    _, said = await send(acme, again, f"?share=1&personal_data_reviewed_by={NAME}", path="/v1/imports")
    assert "kept_here" not in said["items"][0]
    assert await size_of_log(acme) == 2


async def test_an_import_that_is_not_shared_is_not_asked_about(acme, mallory):
    _, said = await send(acme, suspicious(acme), path="/v1/imports")
    assert said["items"][0].keys() == {"id", "outcome"}


@pytest.mark.parametrize("query", ["", f"?personal_data_reviewed_by={NAME}", "?to=mallory"])
async def test_a_report_that_says_that_it_names_people_leaves_by_no_door_whoever_says_so(
    acme, mallory, query
):
    named = suspicious(acme, personal_data="present")
    status, said = await send(acme, named, query)
    assert (status, said["to"]) == (201, [])
    assert {each["code"] for each in said["withheld"]} == {"personal-data"}
    clean = acme.bundle("Clean at first")
    path = f"/v1/reports/{incident_id_of(clean)}"
    await send(acme, clean)
    before = await size_of_log(acme)
    status, said = await send(acme, later(clean, personal_data="present"), query, method="PUT", path=path)
    assert (status, said["to"]) == (201, [])
    imported = suspicious(acme, personal_data="present")
    share = "&" if query else "?"
    _, said = await send(acme, imported, f"{query}{share}share=1", path="/v1/imports")
    assert said["items"][0]["kept_here"] == ["personal-data-present"]
    assert await size_of_log(acme) == before


async def test_a_grave_report_that_names_people_rings_without_a_word_of_it(acme, mallory):
    raw = acme.bundle(
        "Mrs Quirinius died", **{**GRAVE, "description": "Of Ward Seven."}, personal_data="present"
    )
    _, said = await send(acme, raw)
    (alert,) = (await get(acme, "/v1/alerts"))["items"]
    assert (alert["id"], alert["grade"]) == (said["alert"], "II")
    async with acme.node.pool.acquire() as conn:
        facts = await conn.fetchval("select facts::text from alert")
    assert not [word for word in ("Quirinius", "Ward Seven", "deaths") if word in facts + json.dumps(alert)]


async def test_what_a_peer_sent_is_not_looked_at(acme, mallory):
    """It has left already: it is stored as it is, and nobody here is asked."""
    raw = suspicious(mallory)
    mallory.publish(acme, raw)
    await mallory.ring()
    await outcomes(acme, 1)
    shown = await get(acme, f"/v1/reports/{incident_id_of(raw)}")
    assert (to_bytes(shown["bundle"]), shown["reviews"]) == (raw, [])


async def test_a_report_as_long_as_one_may_be_is_looked_at_to_its_end(acme, mallory):
    text = "word " * 9_000
    raw = acme.bundle(
        "Long", description=text, failure_modes=[f"mail anna.quirinius{n}@example.net" for n in range(50)]
    )
    status, said = await send(acme, raw)
    assert (status, len(said["findings"])) == (422, 50)
