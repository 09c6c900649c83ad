"""Whose a report is: what others created is imported and theirs to change; the creator's own entry takes its place."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tests.contract.test_openapi import check_answer
from tests.node.conftest import QUICK
from tests.support.circle import spoken
from tests.support.node import open_here, settings_on
from tests.support.reports import PUBLIC, report_by
from tests.support.villain import GRAVE, get, incident_id_of, outcomes, post, villain

from tocsin_schema.check import check_bundle
from tocsin_schema.remarks import exposure, opinion
from tocsin_schema.stix import node_identity, revise, withdraw

STIX = {"Content-Type": "application/stix+json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
NOBODY = "n1" + "e" * 51 + "a"
ELSEWHERE = node_identity("Elsewhere Clinic", NOBODY)  # a node, but no peer of ours
HOSPITAL = {k: v for k, v in ELSEWHERE.items() if k != "external_references"} | {
    "id": "identity--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
    "name": "St Anna Hospital",
}
_TICKS = count(1)


def later():
    """Later each time: a version must be later than the one before."""
    return datetime.now(UTC) + timedelta(milliseconds=10 * next(_TICKS))


async def send(node, raw, path="/v1/reports", method="POST", **query):
    headers = NDJSON if path == "/v1/imports" else STIX
    async with node.client.request(method, path, data=raw, headers=headers, params=query) as answer:
        return answer.status, await answer.json()


async def take_in(node, *raws, **query):
    status, said = await send(node, b"\n".join(raws), "/v1/imports", **query)
    assert status == 200, said
    return said["items"]


async def show(node, raw):
    """The report as the node shows it, by the book."""
    async with node.client.get(f"/v1/reports/{incident_id_of(raw)}") as answer:
        found = await answer.json()
        check_answer("GET", "/v1/reports/{id}", answer.status, answer.content_type, found)
        return found


async def stands(node, raw):
    async with node.client.get(
        f"/v1/reports/{incident_id_of(raw)}", headers={"Accept": "application/stix+json"}
    ) as answer:
        return await answer.read() == raw


async def taken(node, peer):
    """What became of all entries of the peer's log, in order."""
    await peer.ring()
    await outcomes(node, min(len(peer.leaf_hashes), 20), peer.name)
    return [outcome[1:] for outcome in await outcomes(node, len(peer.leaf_hashes), peer.name)]


# Filing and importing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [ELSEWHERE, HOSPITAL, PUBLIC], ids=lambda by: by["name"])
async def test_a_report_in_anothers_name_is_not_filed_and_the_answer_names_the_right_door(acme, mallory, by):
    for producer in (by, mallory.producer):
        for query in ({}, {"dry_run": "1"}, {"share": "0"}):
            status, problem = await send(acme, report_by(producer, "Theirs", **GRAVE), **query)
            assert (status, problem["code"]) == (422, "foreign-creator")
            assert "tocsin import stix" in problem["hint"]
    assert (await get(acme, "/v1/reports"))["items"] == []
    assert (await get(acme, "/v1/alerts"))["items"] == []
    assert await spoken(acme) == 0


@pytest.mark.parametrize("by", [ELSEWHERE, HOSPITAL, PUBLIC], ids=lambda by: by["name"])
async def test_what_others_created_is_imported_shown_as_theirs_and_changed_by_nobody_here(acme, mallory, by):
    raw = report_by(by, "Theirs")
    path = f"/v1/reports/{incident_id_of(raw)}"
    assert [item["outcome"] for item in await take_in(acme, raw)] == ["stored"]
    shown = await show(acme, raw)
    assert (shown["origin"]["ours"], shown["origin"]["imported"]) == (False, True)
    assert (shown["created_by"]["id"], shown["created_by"]["name"]) == (by["id"], by["name"])
    assert shown["created_by"]["node_id"] == (NOBODY if by is ELSEWHERE else None)
    (listed,) = (await get(acme, "/v1/reports"))["items"]
    assert listed["origin"] == shown["origin"]
    (found,) = (await get(acme, "/v1/reports?q=theirs"))["items"]
    assert found["origin"] == shown["origin"]
    for query in ({}, {"dry_run": "1"}):
        for version, where, method in (
            (revise(raw, {"title": "Ours now"}, now=later()), path, "PUT"),
            (withdraw(raw, reason="No.", now=later()), f"{path}/withdraw", "POST"),
            (acme.bundle("Ours now", incident_id=incident_id_of(raw)), path, "PUT"),
        ):
            status, problem = await send(acme, version, where, method, **query)
            assert (status, problem["code"]) == (403, "not-ours")
            assert "report of your own" in problem["hint"]
    assert await stands(acme, raw)


async def test_a_version_of_an_own_report_keeps_its_creator(acme, mallory):
    raw = acme.bundle("Ours")
    await send(acme, raw, share="0")
    assert (await show(acme, raw))["origin"]["ours"] is True
    stolen = mallory.bundle("Theirs", incident_id=incident_id_of(raw))
    status, problem = await send(acme, stolen, f"/v1/reports/{incident_id_of(raw)}", "PUT")
    assert (status, problem["code"]) == (422, "foreign-creator")
    (item,) = await take_in(acme, revise(stolen, {"title": "Theirs, later"}, now=later()))
    assert (item["outcome"], item["code"]) == ("refused", "report-exists")
    assert await stands(acme, raw)


async def test_what_this_node_created_and_lost_is_its_own_again_when_it_is_imported(acme):
    raw = acme.bundle("Ours")
    await take_in(acme, raw)
    assert (await show(acme, raw))["origin"]["ours"] is True
    assert (await send(acme, revise(raw, {"title": "Better"}, now=later()), f"/v1/reports/{incident_id_of(raw)}", "PUT"))[0] == 201  # fmt: skip


async def test_a_file_changes_nothing_that_is_ours_whoever_made_it(acme, mallory):
    raw = acme.bundle("Ours")
    assert (await send(acme, raw))[1]["to"] != []
    forged = revise(raw, {"title": "Made by whoever has a copy"}, now=later())
    gone = withdraw(raw, reason="They wish.", now=later())
    before = await spoken(acme)
    items = await take_in(acme, raw, forged, gone, share="1")
    assert [(item["outcome"], item.get("code")) for item in items] == [
        ("unchanged", None), ("refused", "report-exists"), ("refused", "report-exists"),
    ]  # fmt: skip
    assert "report update" in items[1]["hint"]
    assert await stands(acme, raw)
    assert await spoken(acme) == before


async def test_what_another_node_created_is_sent_on_by_no_door(acme, mallory):
    async with villain("honest") as honest:
        await honest.join(acme)
        raws = [report_by(by, "Theirs") for by in (ELSEWHERE, honest.producer)]
        bare = {k: v for k, v in honest.producer.items() if k != "external_references"}
        raws.append(report_by(bare, "It does not say that it is a node"))
        items = await take_in(acme, *raws, share="1")
        assert [(item["outcome"], item["kept_here"]) for item in items] == [
            ("stored", ["foreign-creator"])
        ] * 3
        for raw in raws:
            status, problem = await send(acme, b"", f"/v1/reports/{incident_id_of(raw)}/share", to="mallory")
            assert (status, problem["code"]) == (403, "not-ours")
        assert await spoken(acme) == 0


async def test_a_public_record_is_published_by_whoever_likes_and_its_next_version_follows(acme, mallory):
    first = report_by(PUBLIC, "A known case")
    (item,) = await take_in(acme, first, share="1")
    assert "kept_here" not in item
    assert await spoken(acme) == 1
    second = revise(first, {"title": "A known case, corrected"}, now=later())
    assert [item["outcome"] for item in await take_in(acme, second, first, second)] == [
        "stored", "unchanged", "unchanged",
    ]  # fmt: skip
    assert await spoken(acme) == 2
    shown = await show(acme, first)
    assert (shown["ver"], [to["current"] for to in shown["to"]]) == (2, [True])
    kept = report_by(PUBLIC, "Kept here at first")
    await take_in(acme, kept)
    status, said = await send(acme, b"", f"/v1/reports/{incident_id_of(kept)}/share", to="mallory")
    assert (status, [peer["name"] for peer in said["to"]]) == (201, ["mallory"])


async def test_an_import_never_changes_what_a_peer_has_published(acme, mallory):
    first = mallory.bundle("Version 1")
    second = revise(first, {"title": "Version 2"}, now=later())
    public = report_by(PUBLIC, "A known case")
    mallory.publish(acme, second, ver=2)
    mallory.publish(acme, public)
    await taken(acme, mallory)
    third = revise(second, {"title": "Version 3"}, now=later())
    newer = revise(public, {"title": "A known case, corrected"}, now=later())
    items = await take_in(acme, second, first, third, public, newer)
    assert [(item["outcome"], item.get("code")) for item in items] == [
        ("unchanged", None), ("unchanged", None), ("refused", "not-ours"), ("unchanged", None), ("refused", "not-ours"),
    ]  # fmt: skip
    assert "mallory has published this report" in items[2]["detail"]
    for raw in (second, public):
        assert await stands(acme, raw)
        assert (await show(acme, raw))["origin"]["name"] == "mallory"


# The creator's own entry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ver", [1, 2, 7])
@pytest.mark.parametrize("same", [True, False], ids=["the same bytes", "other bytes"])
async def test_the_creators_own_entry_takes_the_place_of_an_imported_copy_whatever_its_version(
    acme, mallory, ver, same
):
    first = mallory.bundle("Version 1", **GRAVE)
    copies = [first]
    for nth in (2, 3):
        copies.append(revise(copies[-1], {"title": f"Version {nth}"}, now=later()))
    for copy in copies:
        assert [item["outcome"] for item in await take_in(acme, copy)] == ["stored"]
    assert (await show(acme, first))["ver"] == 3
    assert (await get(acme, "/v1/alerts"))["items"] == []
    signed = copies[-1] if same else first
    mallory.publish(acme, signed, ver=ver)
    assert await taken(acme, mallory) == [("stored", None)]
    shown = await show(acme, first)
    assert (shown["ver"], shown["origin"]["name"], shown["origin"]["imported"]) == (ver, "mallory", False)
    assert shown["created_by"]["node_id"] == mallory.node_id
    assert await stands(acme, signed)
    (found,) = (await get(acme, "/v1/reports?origin=mallory"))["items"]
    assert found["id"] == incident_id_of(first)
    assert (await get(acme, "/v1/reports?origin=us"))["items"] == []
    (alert,) = (await get(acme, "/v1/alerts"))["items"]
    assert alert["origin"] == "mallory"
    version = signed
    for nth in range(1, 5):
        version = revise(version, {"title": f"Signed {nth}"}, now=later())
        mallory.publish(acme, version, ver=ver + nth)
    assert (await taken(acme, mallory))[1:] == [("stored", None)] * 4
    assert await stands(acme, version)
    async with acme.node.pool.acquire() as conn:
        kept = [row[0] for row in await conn.fetch("select ver from report_version order by ver")]
    assert kept == [-3, -2, -1, *range(ver, ver + 4)]


async def test_a_withdrawn_copy_gives_way_too_and_a_withdrawal_by_the_creator_is_final(acme, mallory):
    raw = mallory.bundle("Theirs")
    await take_in(acme, raw, withdraw(raw, reason="Forged.", now=later()))
    await take_in(acme, withdraw(raw, reason="Forged.", now=later()))
    assert (await show(acme, raw))["state"] == "withdrawn"
    mallory.publish(acme, raw)
    gone = withdraw(raw, reason="Nothing happened.", now=later())
    mallory.publish(acme, gone, ver=2, t="revoke")
    assert await taken(acme, mallory) == [("stored", None)] * 2
    (item,) = await take_in(acme, revise(raw, {"title": "Back again"}, now=later()))
    assert (item["outcome"], item["code"]) == ("refused", "not-ours")
    assert await stands(acme, gone)


async def test_what_people_said_and_decided_on_a_copy_stays_when_its_creator_takes_over(database, tmp_path):
    values = QUICK | {"duties": {"roles": ["controller"], "jurisdictions": ["DE"]}}
    async with open_here(settings_on(tmp_path / "acme", database, values)) as acme, villain() as mallory:
        await mallory.join(acme)
        raw = mallory.bundle("Theirs", countries=["DE"])
        incident = incident_id_of(raw)
        other = acme.bundle("Ours")
        await send(acme, other, share="0")
        await take_in(acme, raw)
        report = check_bundle(raw).report
        remark = exposure(report, "affected", producer=dict(acme.node.producer), now=later())
        assert (await send(acme, remark, f"/v1/reports/{incident}/remarks"))[0] == 201
        async with acme.client.put(
            f"/v1/reports/{incident}/duplicates/{incident_id_of(other)}",
            json={"verdict": "distinct", "by": "Mara"},
        ) as answer:
            assert answer.status == 200
        await post(
            acme, "/v1/duties/track", {"report_id": incident, "by": "Mara", "reason": "It is our system."}
        )
        mallory.publish(acme, revise(raw, {"countries": ["FR"]}, now=later()))
        theirs = opinion(report, "agree", producer=mallory.producer, now=later())
        leaf = mallory.leaf_hashes[-1]
        mallory.publish(acme, theirs, t="remark", id=incident, ref=leaf)
        assert await taken(acme, mallory) == [("stored", None)] * 2
        shown = await show(acme, raw)
        assert {(one["by"]["name"], one["kind"]) for one in shown["remarks"]} == {
            ("Acme", "exposure"), ("mallory", "opinion"),
        }  # fmt: skip
        (decided,) = (await get(acme, f"/v1/reports/{incident}/duplicates"))["items"]
        assert decided["decision"]["verdict"] == "distinct"
        async with acme.node.pool.acquire() as conn:
            subject = await conn.fetchrow(
                "select tracked_by, basis from duty_subject where report_id = $1", incident
            )
        assert (subject["tracked_by"], subject["basis"]) == ("Mara", b"")


async def test_a_copy_that_a_peer_published_before_anybody_knew_its_creator_gives_way_too(acme, mallory):
    async with villain("honest") as honest:
        bare = {k: v for k, v in honest.producer.items() if k != "external_references"}
        raw = report_by(bare, "Honest words")
        mallory.publish(acme, raw)
        assert await taken(acme, mallory) == [("stored", None)]
        await honest.join(acme)
        honest.publish(acme, raw)
        assert await taken(acme, honest) == [("stored", None)]
        assert (await show(acme, raw))["origin"]["name"] == "honest"
        mallory.publish(acme, revise(raw, {"title": "Stolen words"}, now=later()), ver=2)
        assert (await taken(acme, mallory))[1] == ("refused", "foreign-creator")


# A peer without manners ------------------------------------------------------------------------------------------


async def test_a_peer_speaks_in_no_other_nodes_name_known_or_not(acme, mallory):
    async with villain("honest") as honest:
        await honest.join(acme)
        nodes = [acme.node.producer, honest.producer, ELSEWHERE]
        forged = [report_by(node, "In another's name") for node in nodes]
        nameless = [
            report_by({k: v for k, v in node.items() if k != "external_references"}, "In another's name")
            for node in nodes[:2]
        ]
        for raw in (*forged, *nameless):
            mallory.publish(acme, raw)
        assert await taken(acme, mallory) == [("refused", "foreign-creator")] * 5
        async with acme.client.delete("/v1/peers/honest") as answer:
            assert answer.status == 204
        mallory.publish(acme, report_by(honest.producer, "After it was removed"))
        mallory.publish(acme, nameless[1])
        assert (await taken(acme, mallory))[5:] == [("refused", "foreign-creator")] * 2
    assert (await get(acme, "/v1/reports"))["items"] == []


async def test_a_lie_about_which_node_an_identity_is_convinces_nobody(acme, mallory):
    liar = mallory.producer | {
        "external_references": [{"source_name": "tocsin", "external_id": "n1" + "o" * 51 + "a"}]
    }
    formless = node_identity("No node is called so", "Mallory & Sons")
    posing = HOSPITAL | {"external_references": acme.node.producer["external_references"]}
    for by in (liar, posing, formless):
        mallory.publish(acme, report_by(by, "A lie"))
    assert await taken(acme, mallory) == [("stored", None)] * 3
    for item in (await get(acme, "/v1/reports"))["items"]:
        assert item["origin"] == {
            "name": "mallory",
            "node_id": mallory.node_id,
            "ours": False,
            "imported": False,
        }


async def test_no_peer_takes_over_a_copy_in_its_own_name(acme, mallory):
    raws = [report_by(by, "A copy") for by in (HOSPITAL, PUBLIC, ELSEWHERE)]
    await take_in(acme, *raws)
    for raw in raws:
        mallory.publish(acme, mallory.bundle("Squatted", incident_id=incident_id_of(raw)))
    assert await taken(acme, mallory) == [("refused", "not-owner")] * 3
    for raw in raws:
        assert await stands(acme, raw)


async def test_a_report_of_an_older_program_that_has_no_facets_yet_is_known_by_its_bytes(acme, mallory):
    ours, theirs = acme.bundle("Ours"), mallory.bundle("Theirs")
    await send(acme, ours, share="0")
    await take_in(acme, theirs)
    async with acme.node.pool.transaction() as conn:
        await conn.execute("update report_facet set creator = '' where report_id = $1", incident_id_of(ours))
        await conn.execute("delete from report_facet where report_id = $1", incident_id_of(theirs))
    assert (await show(acme, ours))["origin"]["ours"] is True
    assert (await show(acme, theirs))["origin"]["imported"] is True
    mallory.publish(acme, theirs)
    assert await taken(acme, mallory) == [("stored", None)]
