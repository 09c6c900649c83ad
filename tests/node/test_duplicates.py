"""Duplicate suggestions by a node with a real database: found, explained, decided; and measured on the public data.

The pairs of AIID's own list are of little use alone, since merged records are gone from its export: one pair is left.
AVID's vulnerabilities of the class "AIID Incident" and ATLAS' case studies name the AIID incident that they tell of;
these names are left out of what is compared.
"""

import csv
import io
import json
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.node.test_search import form, made
from tests.schema.samples import DATA
from tests.support.reports import PUBLIC
from tests.support.villain import get, incident_id_of, outcomes, villain

from tocsin_schema.ids import imported_incident_id, new_incident_id
from tocsin_schema.imports import aiid
from tocsin_schema.stix import build, mark_duplicate, revise, unmark_duplicate, withdraw

STIX = {"Content-Type": "application/stix+json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
CITED = re.compile(r"incidentdatabase\.ai/cite/(\d+)")
ASKED = 60  # incidents of AIID whose suggestions are counted as wrong


async def take_in(acme, bundles):
    for start in range(0, len(bundles), 400):
        body = b"\n".join(bundles[start : start + 400])
        async with acme.client.post("/v1/imports", data=io.BytesIO(body), headers=NDJSON) as answer:
            assert answer.status == 200


async def suggestions(acme, raw):
    async with acme.client.post("/v1/duplicates", data=raw, headers=STIX) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["items"]


def id_of(nth):
    return f"incident--00000000-0000-4000-8000-{nth:012}"


SAME = {
    "description": "A driverless shuttle in Lyon was hit by a lorry on its first day.",
    "systems": [{"name": "Autonom", "vendor": "Navya"}],
    "occurred_start": "2025-03-24",
}


@pytest.fixture
async def some(acme):
    await take_in(
        acme,
        [
            made(form("Driverless shuttle hit by a lorry", **SAME), 1),
            made(form("A lorry hits the Lyon shuttle", **SAME), 2),
            *(
                made(form(f"Something else {nth}", description=f"Nothing alike: {nth}."), nth)
                for nth in range(3, 30)
            ),
        ],
    )
    return acme


async def test_what_tells_of_the_same_event_is_suggested_with_reasons_and_nothing_else(some):
    found = (await get(some, f"/v1/reports/{id_of(1)}/duplicates"))["items"]
    assert [item["id"] for item in found] == [id_of(2)]
    assert found[0]["likely"]
    assert found[0]["likeness"] >= 50
    assert "the same system: navya autonom" in found[0]["reasons"]
    assert (await get(some, f"/v1/reports/{id_of(3)}/duplicates"))["items"] == []
    assert await suggestions(some, made(form("Shuttle and lorry in Lyon", **SAME), 99))


async def test_a_decision_counts_both_ways_round_and_the_last_word_holds(some):
    async def decide(one, other, verdict, **more):
        path = f"/v1/reports/{id_of(one)}/duplicates/{id_of(other)}"
        async with some.client.put(path, json={"verdict": verdict, "by": "Safety desk", **more}) as answer:
            return answer.status, await answer.json()

    assert (await decide(1, 2, "distinct"))[0] == 200
    for asked in (1, 2):
        (item,) = (await get(some, f"/v1/reports/{id_of(asked)}/duplicates"))["items"]
        assert (item["likely"], item["decision"]["verdict"]) == (False, "distinct")
    assert (await decide(2, 1, "duplicate", reason="The same lorry."))[0] == 200
    (item,) = (await get(some, f"/v1/reports/{id_of(1)}/duplicates"))["items"]
    assert item["decision"]["verdict"] == "duplicate"
    assert (await decide(1, 1, "distinct"))[1]["code"] == "report-itself"
    assert (await decide(1, 77, "distinct"))[1]["code"] == "report-unknown"
    assert (await decide(1, 2, "perhaps"))[1]["code"] == "bad-json"
    assert (await decide(1, 2, "distinct", by="a\nb"))[1]["code"] == "bad-json"
    async with some.client.get(f"/v1/reports/{id_of(77)}/duplicates") as answer:
        assert (await answer.json())["code"] == "report-unknown"


def external(title, description, parties, day):
    fields = {
        "title": title[:500],
        "description": description or title,
        "tlp": "clear",
        "realization": "unknown",
    }
    fields |= {"deployers": parties} if parties else {}
    fields |= {"occurred_start": day} if day else {}
    return build(fields, producer=PUBLIC, incident_id=new_incident_id(), now=datetime.now(UTC))


def of_avid():
    for line in (DATA / "avid/vulnerabilities.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        cited = {m[1] for each in record.get("references", ()) for m in CITED.finditer(each.get("url", ""))}
        if record["problemtype"]["classof"] == "AIID Incident" and cited:
            affects = record["affects"]
            parties = [name for name in dict.fromkeys(affects["deployer"] + affects["developer"]) if name]
            said = (record.get("description") or {}).get("value", "")
            yield external(record["problemtype"]["description"]["value"], said, parties, None), cited


def of_atlas():
    import yaml

    for study in _studies(yaml.safe_load((DATA / "atlas/ATLAS.yaml").read_text("utf-8"))):
        cited = {
            m[1] for each in study.get("references") or () for m in CITED.finditer(each.get("url") or "")
        }
        if cited:
            day = str(study.get("incident-date") or "")[:10] or None
            yield external(study["name"], study["summary"], [], day), cited


def _studies(value):
    if isinstance(value, dict):
        if value.get("object-type") == "case-study":
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _studies(each)


async def test_recall_and_false_alarms_on_the_public_data(acme):
    if not (DATA / "aiid/incidents.csv").exists():
        pytest.skip("the public data is not here")
    with (DATA / "aiid/incidents.csv").open("rb") as stream:
        bundles = [record.bundle for record in aiid.read(stream) if record.bundle is not None]
    await take_in(acme, bundles)
    with (DATA / "aiid/incidents.csv").open(encoding="utf-8") as stream:
        numbers = sorted(row["incident_id"] for row in csv.DictReader(stream))
    ids = {number: imported_incident_id("aiid", number) for number in numbers}
    pairs = []
    for raw, cited in (*of_avid(), *of_atlas()):
        wanted = {ids[number] for number in cited if number in ids}
        if wanted:
            pairs.append((await suggestions(acme, raw), wanted))
    with (DATA / "aiid/duplicates.csv").open(encoding="utf-8") as stream:
        for row in csv.reader(stream):
            if set(row) <= ids.keys():
                for asked, other in (row, row[::-1]):
                    found = (await get(acme, f"/v1/reports/{ids[asked]}/duplicates"))["items"]
                    pairs.append((found, {ids[other]}))
    recalled = sum(any(item["id"] in wanted for item in found) for found, wanted in pairs)
    likely = sum(any(item["id"] in wanted and item["likely"] for item in found) for found, wanted in pairs)
    asked = random.Random(1).sample(numbers, ASKED)
    wrong = 0
    for number in asked:
        found = (await get(acme, f"/v1/reports/{ids[number]}/duplicates"))["items"]
        wrong += any(item["likely"] for item in found)
    print(
        f"\n{len(pairs)} known pairs: recall@5 {recalled / len(pairs):.0%}, called likely {likely / len(pairs):.0%}; "
        f"{wrong / ASKED:.0%} of {ASKED} other incidents have a likely duplicate that the list does not know"
    )
    assert len(pairs) >= 20
    assert recalled >= 19
    assert likely >= 19
    assert wrong <= 9


# Who may read of it -----------------------------------------------------------------------------------------


async def send(node, method, path, raw=None, **query):
    pairs = [("to", name) for name in query.pop("to", ())] + list(query.items())
    async with node.client.request(method, path, data=raw, headers=STIX, params=pairs) as answer:
        return answer.status, await answer.json()


async def telling(node, one, other):
    found = await get(node, f"/v1/reports/{one}/duplicates/{other}")
    return found["may"], found["why"], found["never_sent"]


def naming(raw, other):
    return mark_duplicate(raw, other, now=datetime.now(UTC) + timedelta(seconds=1))


@pytest.fixture
async def trudy(acme):
    async with villain("trudy") as peer:
        await peer.join(acme)
        yield peer


async def test_a_private_report_is_named_to_nobody_who_was_never_sent_it(acme, mallory, trudy):
    known, private = (
        made(form("Known", **SAME), 1, acme.node.producer),
        made(form("Private", **SAME), 2, acme.node.producer),
    )
    await send(acme, "POST", "/v1/reports", known, to=["mallory"])
    await send(acme, "POST", "/v1/reports", private, share="0")
    assert await telling(acme, id_of(1), id_of(2)) == (False, "never-sent", ["mallory"])
    assert await telling(acme, id_of(2), id_of(1)) == (False, "nobody-has-it", [])
    told = naming(known, id_of(2))
    for dry in ({}, {"dry_run": "1"}):
        status, answer = await send(acme, "PUT", f"/v1/reports/{id_of(1)}", told, **dry)
        assert (status, answer["code"]) == (422, "names-unshared")
        assert f"report share {id_of(2)} --to mallory" in answer["hint"]
    status, answer = await send(
        acme, "POST", "/v1/reports", naming(made(form("New", **SAME), 3, acme.node.producer), id_of(2))
    )
    assert (status, answer["code"]) == (422, "names-unshared")
    lines = naming(made(form("Imported", **SAME), 4, acme.node.producer), id_of(2))
    async with acme.client.post("/v1/imports?share=1", data=lines, headers=NDJSON) as got:
        assert (await got.json())["items"][0]["code"] == "names-unshared"

    await send(acme, "POST", f"/v1/reports/{id_of(2)}/share", to=["mallory"])
    assert await telling(acme, id_of(1), id_of(2)) == (True, None, [])
    assert (await send(acme, "PUT", f"/v1/reports/{id_of(1)}", told))[0] == 201
    status, answer = await send(acme, "POST", f"/v1/reports/{id_of(1)}/share", to=["trudy"])
    assert (status, answer["code"]) == (422, "names-unshared")
    await send(acme, "POST", f"/v1/reports/{id_of(2)}/share", to=["trudy"])
    assert (await send(acme, "POST", f"/v1/reports/{id_of(1)}/share", to=["trudy"]))[0] == 201


async def test_a_peers_report_is_named_to_that_peer_and_a_public_one_to_anybody(acme, mallory, trudy):
    mallory.publish(acme, theirs := mallory.bundle("Theirs"))
    await mallory.ring()
    await outcomes(acme, 1)
    other = incident_id_of(theirs)
    for nth, to in ((1, ["mallory"]), (2, ["mallory", "trudy"])):
        await send(acme, "POST", "/v1/reports", made(form("Ours", **SAME), nth, acme.node.producer), to=to)
    assert await telling(acme, id_of(1), other) == (True, None, [])
    assert await telling(acme, id_of(2), other) == (False, "never-sent", ["trudy"])
    assert await telling(acme, other, id_of(1)) == (False, "not-ours", [])
    await send(
        acme,
        "POST",
        "/v1/reports",
        made(form("Public", **{**SAME, "tlp": "clear"}), 3, acme.node.producer),
        share="0",
    )
    assert await telling(acme, id_of(2), id_of(3)) == (True, None, [])
    red = made(form("Stricter", **{**SAME, "tlp": "amber"}), 4, acme.node.producer)
    await send(acme, "POST", "/v1/reports", red, to=["mallory", "trudy"])
    assert await telling(acme, id_of(2), id_of(4)) == (False, "marked-stricter", [])


async def test_who_was_told_already_gets_corrections_and_the_end_and_others_do_not_learn_of_it(
    acme, mallory, trudy
):
    """Told before the other was here, as by a database of before: what is known cannot be taken back."""
    first = naming(made(form("Ours", **SAME), 1, acme.node.producer), id_of(2))
    assert (await send(acme, "POST", "/v1/reports", first, to=["mallory"]))[0] == 201
    await send(acme, "POST", "/v1/reports", made(form("Private", **SAME), 2, acme.node.producer), share="0")
    path = f"/v1/reports/{id_of(1)}"
    later = datetime.now(UTC) + timedelta(seconds=5)
    second = revise(first, {"title": "Ours, put right"}, now=later)
    assert (await send(acme, "PUT", path, second, to=["trudy"]))[1]["code"] == "names-unshared"
    assert (await send(acme, "PUT", path, second))[0] == 201
    gone = withdraw(second, reason="Over.", now=later + timedelta(seconds=1))
    assert (await send(acme, "POST", f"{path}/withdraw", gone))[0] == 201


async def test_a_decision_is_forgotten_from_either_side_and_the_report_no_longer_names_the_other(
    acme, mallory
):
    ours, other = (
        made(form("Ours", **SAME), 1, acme.node.producer),
        made(form("Other", **SAME), 2, acme.node.producer),
    )
    for raw in (ours, other):
        await send(acme, "POST", "/v1/reports", raw, to=["mallory"])
    path = f"/v1/reports/{id_of(1)}/duplicates/{id_of(2)}"
    async with acme.client.put(path, json={"verdict": "duplicate", "by": "Safety desk"}) as answer:
        assert answer.status == 200
    told = naming(ours, id_of(2))
    assert (await send(acme, "PUT", f"/v1/reports/{id_of(1)}", told))[0] == 201
    back = unmark_duplicate(told, id_of(2), now=datetime.now(UTC) + timedelta(seconds=2))
    status, answer = await send(acme, "PUT", f"/v1/reports/{id_of(1)}", back)
    assert (status, [peer["name"] for peer in answer["to"]]) == (201, ["mallory"])
    assert id_of(2).encode() not in back
    mirrored = f"/v1/reports/{id_of(2)}/duplicates/{id_of(1)}"
    assert (await send(acme, "DELETE", mirrored))[1]["verdict"] == "duplicate"
    assert (await send(acme, "DELETE", path))[1]["code"] == "decision-unknown"
    (item,) = (await get(acme, f"/v1/reports/{id_of(1)}/duplicates"))["items"]
    assert (item["id"], item["decision"]) == (id_of(2), None)
