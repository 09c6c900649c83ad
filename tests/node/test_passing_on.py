"""A peer's report goes on as its marking permits, with its author's proof; the author learns to whom."""

import pytest
from tests.node.test_screening import PHONE, suspicious
from tests.node.test_share import file, now
from tests.support.circle import QUICK, circle, filed, introduce, seen, spoken
from tests.support.villain import GRAVE, get, post, until

from tocsin_federation.proof import read_proof, verify_proof
from tocsin_node.storage import recalls
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import revise, withdraw

NAMES = ("elm", "fir", "oak")
LINE = (("elm", "fir"), ("fir", "oak"))  # elm writes, fir passes on, oak knows fir alone


async def share(node, report_id, *to, status=201, **query):
    given = [("to", name) for name in to] + [(key, str(value)) for key, value in query.items()]
    async with node.client.post(f"/v1/reports/{report_id}/share", params=given) as answer:
        said = await answer.json()
        assert answer.status == status, said
        return said


async def policy(node, peer, **change):
    async with node.client.put(f"/v1/peers/{peer}/policy", json=change) as answer:
        assert answer.status == 200, await answer.text()


async def changed(node, report_id, title=None):
    """The next version of a report of the node's own; without a title its withdrawal."""
    raw, path = (await node.node.reporting.get(report_id)).bundle, f"/v1/reports/{report_id}"
    if title is None:
        return await file(node, withdraw(raw, reason="Not so.", now=now()), f"{path}/withdraw")
    return await file(node, revise(raw, {"title": title}, now=now()), path, "PUT")


async def outcomes(node, peer, count):
    async def there():
        recent = (await get(node, f"/v1/peers/{peer}"))["recent"]
        return recent if len(recent) >= count else None

    return [(r["outcome"], r["code"]) for r in reversed(await until(there))]


async def test_it_arrives_with_its_authors_proof_and_says_through_whom_and_the_author_learns_it(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        said = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, said["id"])
        tried = await share(fir, said["id"], "oak", status=200, dry_run=1)
        assert [each["name"] for each in tried["to"]] == ["oak"]
        assert [(w["name"], w["code"]) for w in tried["withheld"]] == [("elm", "its-own")]
        await share(fir, said["id"], "oak")
        held = await seen(oak, said["id"])
        assert held["origin"]["node_id"] == elm.node.identity.node_id
        assert held["origin"]["name"] == "elm (its own word), through fir"
        assert held["passed_by"]["name"] == "fir"
        assert held["bundle"] == (await get(elm, f"/v1/reports/{said['id']}"))["bundle"]
        async with oak.client.get(f"/v1/reports/{said['id']}/proof") as answer:
            proof = read_proof(await answer.read())
        proven = verify_proof(proof, expected=elm.node.identity.node_id)
        assert (proven.header.id, proof.disclosed) == (said["id"], None)

        async def told():
            return (await get(elm, f"/v1/reports/{said['id']}"))["passed_on"]

        (passed,) = await until(told)
        assert passed["by"]["name"] == "fir"
        assert [each["node_id"] for each in passed["to"]] == [oak.node.identity.node_id]
        (ours,) = (await get(fir, f"/v1/reports/{said['id']}"))["passed_on"]
        assert (ours["to"][0]["name"], ours["by"]["ours"], passed["by"]["ours"]) == ("oak", True, False)
        again = await share(fir, said["id"], "oak", status=200)
        assert ("oak", "has-it") in [(w["name"], w["code"]) for w in again["withheld"]]
        refused = await share(oak, said["id"], "fir", status=409)
        assert refused["code"] == "not-from-author"
        assert refused["hint"].startswith(
            "Ask its author, elm (its own word), to share it with them; or fir,"
        )


@pytest.mark.parametrize(
    ("tlp", "client", "code"),
    [
        ("clear", False, None),
        ("green", False, None),
        ("amber", False, "not-client"),
        ("amber", True, None),
        ("amber+strict", True, "onward-forbidden"),
        ("red", True, "onward-forbidden"),
    ],
)
async def test_only_what_the_marking_permits_goes_on(cluster, tmp_path, tlp, client, code):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        for node, peer in ((elm, "fir"), (fir, "elm"), (fir, "oak"), (oak, "fir")):
            await policy(node, peer, max_tlp_out="red", max_tlp_in="red")
        await policy(fir, "oak", client=client)
        said = await file(elm, elm.bundle("Marked", tlp=Tlp(tlp)), to="fir")
        await seen(fir, said["id"])
        done = await share(fir, said["id"], "oak", status=200 if code else 201)
        if code is None:
            assert (await seen(oak, said["id"]))["tlp"] == tlp
        else:
            assert ("oak", code) in [(w["name"], w["code"]) for w in done["withheld"]]
            assert done["to"] == []


async def test_what_its_author_marked_more_strictly_since_goes_on_to_nobody(cluster, tmp_path):
    """The entry still says GREEN: its author's later word counts."""
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, _ = (nodes[name] for name in NAMES)
        said = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, said["id"])
        async with fir.node.pool.acquire() as conn:
            await recalls.narrow(conn, [said["id"]], "amber+strict", elm.node.identity.node_id)
        done = await share(fir, said["id"], "oak", status=200)
        assert ("oak", "onward-forbidden") in [(w["name"], w["code"]) for w in done["withheld"]]
        assert done["to"] == []


async def test_the_authors_own_word_takes_its_place_and_an_older_version_never_undoes_it(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        first = await filed(elm, "First told to fir", tlp=Tlp.GREEN)
        second = await filed(elm, "Second told to fir", tlp=Tlp.GREEN)
        for said in (first, second):
            await seen(fir, said["id"])
            await share(fir, said["id"], "oak")
            await seen(oak, said["id"], passed_by={"name": "fir", "node_id": fir.node.identity.node_id})
        await introduce("elm", elm, "oak", oak)
        await share(elm, first["id"], "oak")
        assert (await seen(oak, first["id"], passed_by=None))["origin"]["name"] == "elm"
        await changed(elm, second["id"], "Second, corrected")
        await share(elm, second["id"], "oak")
        assert (await seen(oak, second["id"], ver=2))["passed_by"] is None
        held = await get(oak, f"/v1/reports/{first['id']}")
        assert held["entry"]["leaf_hash"] != first["entry"]["leaf_hash"], (
            "answers go by what was sealed to us"
        )
        third = await filed(elm, "Third", tlp=Tlp.GREEN)
        await seen(fir, third["id"])
        await share(fir, third["id"], "oak", status=200)


async def test_a_withdrawal_goes_on_by_itself_to_all_it_was_passed_on_to(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        said = await filed(elm, "Not so after all", tlp=Tlp.GREEN)
        await seen(fir, said["id"])
        await share(fir, said["id"], "oak")
        await seen(oak, said["id"])
        await changed(elm, said["id"])
        assert (await seen(oak, said["id"], state="withdrawn"))["passed_by"]["name"] == "fir"
        assert await fir.node.passing_on.withdraw() == 0


async def test_what_answers_it_goes_nowhere_and_what_rings_counts_as_its_messengers(cluster, tmp_path):
    values = {**QUICK, "alerts": {"peer_budget_per_day": 1}}
    async with circle(cluster, tmp_path, NAMES, values, pairs=(*LINE, ("elm", "oak"))) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        ids = []
        for n in range(2):
            raw = elm.bundle(f"Two people died {n}", tlp=Tlp.GREEN, **GRAVE)
            ids.append((await file(elm, raw, to="fir"))["id"])
            await seen(fir, ids[-1])
            await share(fir, ids[-1], "oak")
            await seen(oak, ids[-1])
        alerts = (await get(oak, "/v1/alerts"))["items"]
        assert len(alerts) == 1, "fir's budget of one is spent"
        assert (await get(oak, "/v1/peers/fir"))["problem"]["code"] == "alert-budget"
        assert (await get(oak, "/v1/peers/elm"))["problem"] is None
        await post(oak, f"/v1/alerts/{alerts[0]['id']}/ack", {"by": "Ada"})
        size = await spoken(oak)
        assert await oak.node.acknowledging.tell() == 0
        assert await spoken(oak) == size
        own = await filed(elm, "Two people died elsewhere", tlp=Tlp.GREEN, **GRAVE)
        await seen(oak, own["id"])
        assert len((await get(oak, "/v1/alerts"))["items"]) == 2, "elm's own budget is untouched"


async def test_a_policy_against_passing_on_holds_at_both_doors_and_for_what_was_sealed_before(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        said = [await filed(elm, f"Told to fir {n}", tlp=Tlp.GREEN) for n in range(3)]
        for each in said:
            await seen(fir, each["id"])
        await policy(oak, "fir", onward=False)
        await share(fir, said[0]["id"], "oak")
        assert await outcomes(oak, "fir", 1) == [("refused", "onward-off")]
        assert (await get(oak, "/v1/complaints"))["items"] == [], "our own wish is nobody's fault"
        await policy(fir, "oak", onward=False)
        done = await share(fir, said[1]["id"], "oak", status=200)
        assert ("oak", "onward-off") in [(w["name"], w["code"]) for w in done["withheld"]]
        entries = await visible(fir, oak)
        assert entries == 0
        await policy(fir, "oak", onward=True)
        assert await visible(fir, oak) == 1


async def visible(server, reader):
    """How many entries of its log a node serves to a peer now."""
    peer = reader.node.peering.by_id(server.node.identity.node_id)
    batch = await reader.node.exchange._entries(peer, 1, 0)
    return len(batch.frames)


async def test_what_seems_to_hold_personal_data_goes_on_only_when_a_named_person_has_looked(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        raw = suspicious(elm, tlp=Tlp.GREEN)
        said = await file(elm, raw, personal_data_reviewed_by="Mara Ilves")
        await seen(fir, said["id"])
        refused = await share(fir, said["id"], "oak", status=422)
        assert refused["code"] == "review-needed"
        assert (await share(fir, said["id"], "oak", status=200, dry_run=1))["review_needed"]
        assert (await get(fir, f"/v1/reports/{said['id']}"))["passed_on"] == []
        await share(fir, said["id"], "oak", personal_data_reviewed_by="Ada Okafor")
        await seen(oak, said["id"])
        reviews = (await get(fir, f"/v1/reports/{said['id']}"))["reviews"]
        assert [each["reviewed_by"] for each in reviews] == ["Ada Okafor"]
        await changed(elm, said["id"])
        await seen(oak, said["id"], state="withdrawn")  # it says nothing that nobody has looked at


async def test_a_withdrawal_that_seems_to_name_somebody_new_waits_for_a_person_and_health_says_so(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        said = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, said["id"])
        await share(fir, said["id"], "oak")
        await seen(oak, said["id"])
        raw = (await elm.node.reporting.get(said["id"])).bundle
        last = withdraw(raw, reason=f"Ring {PHONE} for the reason.", now=now())
        await file(elm, last, f"/v1/reports/{said['id']}/withdraw", personal_data_reviewed_by="Mara Ilves")
        await seen(fir, said["id"], state="withdrawn")

        async def told():
            checks = {c["name"]: c for c in (await get(fir, "/healthz"))["checks"]}
            return checks["passing-on"]["code"] == "withdrawal-held"

        await until(told)
        assert (await get(oak, f"/v1/reports/{said['id']}"))["state"] == "active"
        await share(fir, said["id"], "oak", personal_data_reviewed_by="Ada Okafor")
        await seen(oak, said["id"], state="withdrawn")
        await fir.node.passing_on.withdraw()
        assert (await fir.node.passing_on.health()).code is None
