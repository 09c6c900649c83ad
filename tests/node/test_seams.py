"""Where recalling, passing on, circles, handing on and comparing meet."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.node.test_circles import NAMES as MEMBERS
from tests.node.test_circles import adopt, file_into, ids, known
from tests.node.test_complaints import complaints, given, log, passed_on, wide
from tests.node.test_passing_on import LINE, NAMES, outcomes, policy, share
from tests.node.test_recalls import ASK, WHY, gone, until_recall
from tests.node.test_share import file, now
from tests.support.circle import circle, filed, seen
from tests.support.manifests import Founders
from tests.support.villain import get, post, until

from tocsin_federation.frames import FrameReader
from tocsin_federation.recall import write_recall
from tocsin_node.storage import reconciling
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import revise


async def bundle_of(node, report_id):
    return (await node.node.reporting.get(report_id)).bundle


async def refused(node, method, path, **given):
    async with node.client.request(method, path, **given) as answer:
        return answer.status, (await answer.json())["code"]


# Recalls and what was passed on ------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "stage"), [(True, "narrowed"), (False, "purged")])
async def test_a_stricter_marking_follows_what_was_passed_on_and_leaves_it_with_clients_alone(
    cluster, tmp_path, client, stage
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        await policy(fir, "oak", client=client)
        said = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, said["id"])
        await share(fir, said["id"], "oak")
        await seen(oak, said["id"])
        raw = revise(await bundle_of(elm, said["id"]), {"tlp": "amber"}, now=now())
        await file(elm, raw, f"/v1/reports/{said['id']}", "PUT")
        await until_recall(fir, said["id"], stage)
        if client:
            await seen(oak, said["id"], tlp="amber")
        else:
            await gone(oak, said["id"])
        async with fir.node.pool.acquire() as conn:  # what is taken back is served no more
            wraps = "select w.wrap = '' from log_wrap w join onward o on (o.gen, o.idx) = (w.gen, w.idx) where recipient = $1"
            assert await conn.fetchval(wraps, oak.node.identity.node_id) is not client
        await seen(fir, said["id"], ver=2, tlp="amber")


async def test_what_waits_for_a_person_to_be_given_back_goes_to_nobody_meanwhile(cluster, tmp_path):
    pairs = (*LINE, ("elm", "oak"))
    async with circle(cluster, tmp_path, [*NAMES, "yew"], ASK, pairs=(*pairs, ("fir", "yew"))) as nodes:
        elm, fir, oak, _ = nodes.values()
        done = await filed(elm, "Told to fir and oak", tlp=Tlp.CLEAR)
        for node in (fir, oak):
            await seen(node, done["id"])
        caller, author = fir.node.peering.named("oak"), fir.node.peering.named("elm")

        async def handed():
            return FrameReader().feed(await fir.node.giving.entries(caller, author, 0, 512))

        assert len(await handed()) == 1
        await post(elm, f"/v1/reports/{done['id']}/recall", {**WHY, "peers": ["fir"]})
        await until_recall(elm, done["id"], "waiting")
        assert await refused(fir, "POST", f"/v1/reports/{done['id']}/share?to=yew") == (409, "recalled")
        path = f"/v1/reports/{done['id']}/proof?disclose=1"
        assert await refused(fir, "GET", path) == (403, "tlp-forbids")
        assert await handed() == []
        (one,) = (await get(fir, "/v1/recalls"))["theirs"]
        await post(fir, f"/v1/recalls/{one['entry']}/obey", {"by": "Kim"})
        await gone(fir, done["id"])


async def test_a_version_whose_marking_was_raised_since_is_neither_passed_nor_handed_on(cluster, tmp_path):
    """The stricter version was refused here, so that the milder one still stands, marked by its author's narrowing."""
    pairs = (*LINE, ("elm", "oak"))
    async with circle(cluster, tmp_path, [*NAMES, "yew"], pairs=(*pairs, ("fir", "yew"))) as nodes:
        elm, fir, oak, _ = nodes.values()
        done = await filed(elm, "Told to fir and oak", tlp=Tlp.GREEN)
        for node in (fir, oak):
            await seen(node, done["id"])
        async with fir.node.pool.acquire() as conn:
            await conn.execute("update report set tlp = 'amber+strict' where id = $1", done["id"])
        tried = await share(fir, done["id"], "yew", status=200)
        assert ("yew", "onward-forbidden") in [(w["name"], w["code"]) for w in tried["withheld"]]
        caller, author = fir.node.peering.named("oak"), fir.node.peering.named("elm")
        body = await fir.node.giving.entries(caller, author, 0, 512)
        assert FrameReader().feed(body) == []
        body = await fir.node.giving.entries(author, author, 0, 512)
        assert len(FrameReader().feed(body)) == 1, "its author gets its own word back"


async def test_who_erases_what_it_passed_on_takes_it_back_from_those_it_passed_it_to(cluster, tmp_path):
    """Else nobody could: its author does not know them, and who passed it on would not know it any more."""
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        done = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, done["id"])
        await share(fir, done["id"], "oak")
        await seen(oak, done["id"])
        said = await post(fir, f"/v1/reports/{done['id']}/erase", WHY)
        assert [p["name"] for p in said["peers"]] == ["oak"]
        await gone(oak, done["id"])
        await until_recall(fir, done["id"], "purged")
        assert (await get(elm, f"/v1/reports/{done['id']}"))["ver"] == 1


async def test_each_step_of_a_recall_is_in_the_audit_log_with_who_took_it_and_names_nothing_afterwards(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        done = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, done["id"])
        await share(fir, done["id"], "oak")
        await seen(oak, done["id"])
        await post(elm, f"/v1/reports/{done['id']}/recall", WHY)
        await until_recall(fir, done["id"], "purged")

        async def lines(node):
            return (await get(node, "/v1/audit?action=report&limit=100"))["items"]

        def who(items, action):
            return {item["who"] for item in items if item["action"] == action}

        assert who(await lines(elm), "report.recall") == {"person:Kim"}
        passed = await lines(fir)
        assert (who(passed, "report.share"), who(passed, "report.obey")) == ({"token:init"}, {"node"})
        assert who(await lines(oak), "report.obey") == {"node"}
        for node in (fir, oak):
            every = (await get(node, "/v1/audit?limit=200"))["items"]
            assert done["id"] not in str(every)


async def test_the_author_sees_through_whom_its_report_went_on(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        done = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, done["id"])
        await share(fir, done["id"], "oak")

        async def told():
            return (await get(elm, f"/v1/reports/{done['id']}/receipts"))["passed_on"]

        (one,) = await until(told)
        assert (one["by"]["name"], one["ver"]) == ("fir", 1)
        assert [p["node_id"] for p in one["to"]] == [oak.node.identity.node_id]


async def test_who_is_complained_of_cannot_have_the_evidence_erased(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        await wide(nodes)
        report_id = await given(elm, fir, Tlp.AMBER_STRICT)
        sealed, _, _ = await passed_on(fir, report_id, "oak")
        (before,) = await complaints(oak)
        at = datetime.now(UTC)
        content = write_recall("purge", [sealed.leaf_hash], "Sorry.", at=at, deadline=at + timedelta(days=1))
        facts = {"id": "recall--00000000-0000-4000-8000-000000000001", "ver": 1, "tlp": Tlp.GREEN}
        await log(fir, "recall", content, ["oak"], ref=sealed.leaf_hash, **facts)
        await outcomes(oak, "fir", 2)

        async def done():
            return all(one["done_at"] for one in (await get(oak, "/v1/recalls"))["theirs"])

        await until(done)
        (after,) = await complaints(oak)
        assert after.pop("evidence_until") < before.pop("evidence_until"), (
            "it is kept for its author, and not for long"
        )
        assert after == before
        async with oak.client.get(f"/v1/complaints/{before['id']}/evidence?disclose=1") as answer:
            assert answer.status == 200


# Recalls and circles -------------------------------------------------------------------------------------------


async def test_what_was_taken_back_from_a_member_comes_to_it_through_the_circle_no_more(cluster, tmp_path):
    async with circle(cluster, tmp_path, MEMBERS) as nodes:
        alder, birch, cedar = nodes.values()
        await adopt(alder, Founders().next(ids(nodes, *MEMBERS)))
        await known(birch)
        done = await file_into(alder, "For the circle")
        for node in (birch, cedar):
            await seen(node, done["id"])
        await post(alder, f"/v1/reports/{done['id']}/recall", {**WHY, "peers": ["Cedar"]})
        await gone(cedar, done["id"])
        filled = await post(alder, "/v1/circles/Vigil/backfill", {})
        assert [one["outcome"] for one in filled["items"]] == ["left"]
        again = await post(alder, f"/v1/reports/{done['id']}/share?circle=Vigil&dry_run=1", {})
        assert {one["name"]: one["code"] for one in again["withheld"]}["Cedar"] == "taken-back"
        raw = revise(await bundle_of(alder, done["id"]), {"title": "Corrected"}, now=now())
        said = await file(alder, raw, f"/v1/reports/{done['id']}", "PUT")
        assert [one["name"] for one in said["to"]] == ["Birch"]


async def test_a_recall_reaches_who_was_taken_out_of_the_circle_too(cluster, tmp_path):
    async with circle(cluster, tmp_path, MEMBERS) as nodes:
        alder, birch, cedar = nodes.values()
        founders = Founders()
        await adopt(alder, founders.next(ids(nodes, *MEMBERS)))
        done = await file_into(alder, "For the circle")
        for node in (birch, cedar):
            await seen(node, done["id"])
        await adopt(alder, founders.next(ids(nodes, "Alder", "Birch")))
        await post(alder, f"/v1/reports/{done['id']}/erase", WHY)
        for node in (birch, cedar):
            await gone(node, done["id"])
        await until_recall(alder, done["id"], "purged", "purged")


# Recalls and comparing ------------------------------------------------------------------------------------------


async def test_what_was_taken_back_differs_at_nobody_and_is_wrapped_anew_for_nobody(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        kept = [await filed(elm, f"Number {n}", tlp=Tlp.GREEN) for n in range(3)]
        for one in kept:
            await seen(fir, one["id"])
            await share(fir, one["id"], "oak")
            await seen(oak, one["id"])
        await post(elm, f"/v1/reports/{kept[0]['id']}/recall", WHY)
        await post(elm, f"/v1/reports/{kept[1]['id']}/erase", WHY)
        for one in kept[:2]:
            await until_recall(elm, one["id"], "purged")
            await until_recall(fir, one["id"], "purged")
        for here, name in ((elm, "fir"), (fir, "elm"), (fir, "oak"), (oak, "fir")):

            async def same(here=here, name=name):
                return (await get(here, f"/v1/peers/{name}/verify"))["same"]

            assert await until(same)
        place = kept[0]["entry"]
        reader = fir.node.identity.node_id
        async with elm.node.pool.transaction() as conn:
            await reconciling.new_wrap(conn, reader, place["gen"], place["index"], b"anew")
            (row,) = await reconciling.sealed(
                conn, reader, place["gen"], [(place["index"], place["index"] + 1)]
            )
        assert (row.leaf, row.data_key) == (None, None), "a peer that says it could not open it gets nothing"
        await seen(oak, kept[2]["id"])
