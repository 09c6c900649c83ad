"""Circles between whole nodes: adopting, telling, sharing, joining, leaving, gaps."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.circle import QUICK, circle, filed, introduce, seen
from tests.support.manifests import Founders
from tests.support.node import ServedNode, open_here, settings_on
from tests.support.villain import get, post, until

from tocsin_federation.messages import read_header
from tocsin_node.storage import circles
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.remarks import exposure
from tocsin_schema.stix import withdraw

STIX_TYPE = "application/stix+json"
STIX = {"Content-Type": STIX_TYPE}
NAMES = ("Alder", "Birch", "Cedar")


@pytest.fixture
async def nodes(cluster, tmp_path):
    """Three nodes, each a peer of all others."""
    async with circle(cluster, tmp_path, NAMES) as opened:
        yield opened


def ids(nodes: dict[str, ServedNode], *names: str) -> list[str]:
    return [nodes[name].node.identity.node_id for name in names]


async def adopt(node: ServedNode, file: bytes, *, query: str = "", status: int = 201) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    async with node.client.post(f"/v1/circles{query}", data=file, headers=headers) as answer:
        said = await answer.json()
        assert answer.status == status, said
        return dict(said)


async def known(node: ServedNode, name: str = "Vigil", **facts: Any) -> dict[str, Any]:
    """The circle at a node, once it is there with these facts."""

    async def there() -> dict[str, Any] | None:
        async with node.client.get(f"/v1/circles/{name}") as answer:
            said = await answer.json()
        well = answer.status == 200 and all(said[key] == value for key, value in facts.items())
        return said if well else None

    return dict(await until(there))


async def file_into(
    node: ServedNode, title: str, query: str = "circle=Vigil", **fields: Any
) -> dict[str, Any]:
    async with node.client.post(
        f"/v1/reports?{query}", data=node.bundle(title, **fields), headers=STIX
    ) as answer:
        return {"status": answer.status} | dict(await answer.json())


async def headers_of(node: ServedNode) -> list[Any]:
    async with node.node.pool.acquire() as conn:
        rows = await conn.fetch("select leaf from log_entry order by idx")
    return [read_header(row[0]) for row in rows]


async def test_a_circle_adopted_at_one_node_reaches_its_members_and_one_yes_is_not_everybodys(nodes):
    founders = Founders()
    said = await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    assert (said["state"], said["epoch"], said["members"], said["closed"]) == ("adopted", 0, 3, None)
    told = await known(nodes["Birch"], state="offered")
    assert (told["told_by"], told["closed"]) == ("Alder", "circle-not-adopted")
    refused = await file_into(nodes["Birch"], "Too early")
    assert (refused["status"], refused["code"]) == (409, "circle-not-adopted")
    await post(nodes["Birch"], "/v1/circles/Vigil/adopt", {})
    assert (await file_into(nodes["Birch"], "Now"))["status"] == 201
    alder = f"peer:{nodes['Alder'].node.identity.node_id}"
    assert await noted(nodes["Alder"]) == [("circle.adopt", "token:init")]
    assert await noted(nodes["Birch"]) == [("circle.learn", alder), ("circle.adopt", "token:init")]
    await post(nodes["Birch"], "/v1/circles/Vigil/leave", {})
    assert (await noted(nodes["Birch"]))[-1] == ("circle.leave", "token:init")


async def noted(node: ServedNode) -> list[tuple[str, str]]:
    """What the audit log says of circles, oldest first, each once."""
    items = (await get(node, "/v1/audit?action=circle"))["items"]
    return list(dict.fromkeys((item["action"], item["who"]) for item in reversed(items)))


async def test_a_report_to_a_circle_reaches_its_members_alone_and_its_header_names_nobody(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, "Alder", "Birch")))
    tried = await file_into(nodes["Alder"], "Scores drift", "circle=Vigil&dry_run=1")
    assert [one["name"] for one in tried["to"]] == ["Birch"]
    assert {one["name"]: one["code"] for one in tried["withheld"]} == {"Cedar": "not-named"}
    done = await file_into(nodes["Alder"], "Scores drift")
    got = await seen(nodes["Birch"], done["id"])
    assert got["circles"] == [{"id": founders.circle.id.hex(), "name": "Vigil"}]
    assert (await get(nodes["Alder"], f"/v1/reports/{done['id']}"))["circles"] == got["circles"]
    header = next(h for h in await headers_of(nodes["Alder"]) if h.t == "publish")
    assert header.aud.nodes == ()
    assert (header.aud.circle, header.aud.epoch, header.aud.cseq) == (founders.circle.id, 0, 1)
    await filed(nodes["Alder"], "For all")
    late = await filed(nodes["Alder"], "For all, too")
    await seen(nodes["Cedar"], late["id"])
    async with nodes["Cedar"].client.get(f"/v1/reports/{done['id']}") as answer:
        assert answer.status == 404


async def test_the_strictest_of_circle_and_ceiling_holds(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES), max_tlp=Tlp.GREEN))
    above = await file_into(nodes["Alder"], "Too high", "circle=Vigil&dry_run=1", tlp="amber")
    assert above["to"] == []
    assert {one["code"] for one in above["withheld"]} == {"above-circle"}
    red = await file_into(nodes["Alder"], "Red", "circle=Vigil&dry_run=1", tlp="red")
    assert (red["status"], red["code"]) == (422, "audience-empty")
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES), max_tlp=Tlp.AMBER_STRICT))
    strict = await file_into(nodes["Alder"], "Strict", "circle=Vigil&dry_run=1", tlp="amber+strict")
    assert {one["code"] for one in strict["withheld"]} == {"above-ceiling"}


async def test_a_member_that_is_no_peer_gets_nothing_and_is_named(nodes):
    founders = Founders()
    stranger = "n1" + "a" * 51 + "a"
    await adopt(nodes["Alder"], founders.next([*ids(nodes, "Alder", "Birch"), stranger]))
    tried = await file_into(nodes["Alder"], "Scores drift", "circle=Vigil&dry_run=1")
    assert {one["name"]: one["code"] for one in tried["withheld"]}[stranger] == "no-peer"


async def test_a_circle_without_members_is_nobody(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    await seen(nodes["Birch"], (await file_into(nodes["Alder"], "To two"))["id"])
    await adopt(nodes["Alder"], founders.next([]))
    tried = await file_into(nodes["Alder"], "To whom", "circle=Vigil")
    assert (tried["status"], tried["code"]) == (409, "circle-not-member")
    await known(nodes["Birch"], epoch=1, member=False)
    await known(nodes["Cedar"], epoch=1, member=False)


async def test_the_file_that_takes_a_node_out_ends_what_it_shares_but_joins_nobody(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    out = await adopt(nodes["Birch"], founders.next(ids(nodes, "Alder", "Cedar")))
    assert (out["state"], out["member"], out["epoch"]) == ("offered", False, 1)
    strange = await adopt(nodes["Birch"], Founders().next(ids(nodes, "Alder", "Cedar")), status=409)
    assert strange["code"] == "circle-not-member"
    await adopt(nodes["Alder"], founders.next(ids(nodes, "Birch", "Cedar")))
    assert (await file_into(nodes["Alder"], "No more"))["code"] == "circle-not-member"


async def test_who_was_taken_out_opens_nothing_of_later_epochs_and_learns_only_that_it_was(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    first = await file_into(nodes["Alder"], "Before")
    await seen(nodes["Cedar"], first["id"])
    await adopt(nodes["Alder"], founders.next(ids(nodes, "Alder", "Birch")))
    await known(nodes["Cedar"], epoch=1, member=False)
    await adopt(nodes["Alder"], founders.next(ids(nodes, "Alder", "Birch"), max_tlp=Tlp.GREEN))
    await known(nodes["Birch"], epoch=2)
    after = await file_into(nodes["Alder"], "After")
    assert [one["name"] for one in after["to"]] == ["Birch"]
    second = nodes["Alder"].bundle("Before, mended", incident_id=first["id"])
    async with nodes["Alder"].client.put(f"/v1/reports/{first['id']}", data=second, headers=STIX) as answer:
        revised = await answer.json()
    assert [one["name"] for one in revised["to"]] == ["Birch"]
    assert {one["name"]: one["code"] for one in revised["left_behind"]} == {"Cedar": "not-member"}
    last = await filed(nodes["Alder"], "For all")
    await seen(nodes["Cedar"], last["id"])
    async with nodes["Cedar"].client.get(f"/v1/reports/{after['id']}") as answer:
        assert answer.status == 404
    assert (await get(nodes["Cedar"], "/v1/circles/Vigil"))["epoch"] == 1
    assert (await get(nodes["Cedar"], f"/v1/reports/{first['id']}"))["ver"] == 1


async def test_who_was_taken_out_gets_no_later_version_when_its_author_has_left_the_circle_either(nodes):
    founders = Founders()
    alder = nodes["Alder"]
    await adopt(alder, founders.next(ids(nodes, *NAMES)))
    first = await file_into(alder, "Before")
    await seen(nodes["Cedar"], first["id"])
    await adopt(alder, founders.next(ids(nodes, "Alder", "Birch")))
    await post(alder, "/v1/circles/Vigil/leave", {})
    second = alder.bundle("Before, mended", incident_id=first["id"])
    async with alder.client.put(f"/v1/reports/{first['id']}", data=second, headers=STIX) as answer:
        revised = await answer.json()
    assert [one["name"] for one in revised["to"]] == ["Birch"]
    assert {one["name"]: one["code"] for one in revised["left_behind"]} == {"Cedar": "not-member"}
    await seen(nodes["Birch"], first["id"], ver=2)


async def test_a_withdrawal_goes_by_name_where_a_member_never_had_the_report(nodes):
    """Addressed to the circle, others would hand it to Cedar, who came since and was given nothing of it."""
    founders = Founders()
    alder = nodes["Alder"]
    await adopt(alder, founders.next(ids(nodes, "Alder", "Birch")))
    done = await file_into(alder, "Wrong")
    await seen(nodes["Birch"], done["id"])
    await adopt(alder, founders.next(ids(nodes, *NAMES)))
    async with alder.client.get(f"/v1/reports/{done['id']}", headers={"Accept": STIX_TYPE}) as answer:
        last = withdraw(await answer.read(), reason="It was wrong.", now=datetime.now(UTC))
    async with alder.client.post(f"/v1/reports/{done['id']}/withdraw", data=last, headers=STIX) as answer:
        said = await answer.json()
    assert [one["name"] for one in said["to"]] == ["Birch"], said
    async with alder.node.pool.acquire() as conn:
        leaf = await conn.fetchval("select leaf from log_entry where idx = $1", said["entry"]["index"])
    assert set(read_header(leaf).aud.nodes) == set(ids(nodes, "Birch"))


async def test_what_waits_for_its_manifest_is_taken_when_it_comes(nodes):
    """Birch follows Alder's log, and hears of the epoch of Alder's entry from Cedar only later."""
    founders = Founders()
    file = founders.next(ids(nodes, *NAMES))
    alder = nodes["Alder"]
    async with alder.node.pool.transaction() as conn:  # adopted, and already told: nothing is sent
        await circles.put(conn, founders.circle.id, founders.chain, "adopted")
        await circles.note_told(conn, founders.circle.id, ids(nodes, "Birch", "Cedar"), 0)
    done = await file_into(alder, "Early")

    async def waits() -> bool:
        peer = await get(nodes["Birch"], "/v1/peers/Alder")
        return peer["outcomes"]["quarantined"] == {"circle-awaited": 1}

    await until(waits)
    await adopt(nodes["Cedar"], file)
    await seen(nodes["Birch"], done["id"])
    peer = await get(nodes["Birch"], "/v1/peers/Alder")
    assert peer["outcomes"]["quarantined"] == {}


@pytest.mark.parametrize(("hours", "end"), [(2, "epoch-ended"), (0, None)])
async def test_who_was_taken_out_and_goes_on_is_set_aside_but_not_what_was_merely_late(nodes, hours, end):
    """Cedar has not heard that epoch 1 is without it; Birch has, `hours` ago."""
    founders = Founders()
    await adopt(nodes["Cedar"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    async with nodes["Birch"].node.pool.acquire() as conn:
        await circles.note_told(conn, founders.circle.id, ids(nodes, "Cedar", "Alder"), 1)
    await adopt(nodes["Birch"], founders.next(ids(nodes, "Alder", "Birch")))
    async with nodes["Birch"].node.pool.acquire() as conn:
        await conn.execute(
            "update circle_epoch set learned_at = now() - make_interval(hours => $1) where epoch = 1", hours
        )
    done = await file_into(nodes["Cedar"], "Still here")
    if end is None:
        await seen(nodes["Birch"], done["id"])
        return

    async def aside() -> bool:
        peer = await get(nodes["Birch"], "/v1/peers/Cedar")
        return peer["outcomes"]["quarantined"] == {end: 1}

    await until(aside)


async def test_two_manifests_of_one_epoch_freeze_the_circle_until_a_person_says_which_stands(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    rivals = Founders(admins=founders.admins, chain=list(founders.chain))
    rival = rivals.next(ids(nodes, "Alder", "Birch"))
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES), days=60))
    await known(nodes["Birch"], epoch=1)
    refused = await adopt(nodes["Birch"], rival, status=422)
    assert refused["code"] == "circle-forked"
    frozen = await known(nodes["Birch"], state="frozen")
    assert (frozen["frozen_at"], frozen["closed"]) == (1, "circle-frozen")
    health = await get(nodes["Birch"], "/healthz")
    checks = {check["name"]: check for check in health["checks"]}
    assert (checks["circles"].get("code"), checks["circles-offered"]["code"]) == (None, "circle-frozen")
    assert "Vigil" not in str(health), "anybody may read it"
    done = await file_into(nodes["Alder"], "Which one")

    async def waits() -> bool:
        peer = await get(nodes["Birch"], "/v1/peers/Alder")
        return peer["outcomes"]["quarantined"] == {"circle-frozen": 1}

    await until(waits)
    await adopt(nodes["Birch"], founders.file, query="?resolve=1")
    await seen(nodes["Birch"], done["id"])


async def test_who_offers_a_circle_that_contradicts_itself_hides_nothing_of_those_that_were_adopted(nodes):
    ours, theirs = Founders(), Founders()
    await adopt(nodes["Birch"], theirs.next(ids(nodes, *NAMES), days=60))
    rival = Founders(admins=theirs.admins, chain=list(theirs.chain)).next(ids(nodes, "Birch"), days=60)
    await adopt(nodes["Birch"], theirs.next(ids(nodes, *NAMES), days=60))
    await adopt(nodes["Birch"], rival, status=422)
    async with nodes["Birch"].node.pool.acquire() as conn:
        await conn.execute("update circle set state = 'offered'")  # as if a peer had brought both
    await adopt(nodes["Birch"], ours.next(ids(nodes, *NAMES), days=10))
    mine, offered = await nodes["Birch"].node.circles.health()
    assert (mine.code, offered.code) == ("circle-expiring", "circle-frozen")


async def test_a_member_that_is_skipped_sees_the_gap(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    await known(nodes["Cedar"])
    await post(nodes["Alder"], "/v1/peers/Cedar/approve", {"max_tlp_out": "green"})
    await file_into(nodes["Alder"], "First", tlp="green")
    await file_into(nodes["Alder"], "Second", tlp="amber")
    third = await file_into(nodes["Alder"], "Third", tlp="green")
    await seen(nodes["Cedar"], third["id"])
    (counted,) = (await get(nodes["Cedar"], "/v1/circles/Vigil"))["entries"]
    assert (counted["name"], counted["last"], counted["missing"], counted["doubled"]) == ("Alder", 3, 1, 0)
    assert (await get(nodes["Cedar"], "/v1/peers/Alder"))["problem"]["code"] == "circle-gap"
    await seen(nodes["Birch"], third["id"])
    assert (await get(nodes["Birch"], "/v1/peers/Alder"))["problem"] is None


async def test_two_entries_under_one_number_and_another_past_are_told(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    first = await file_into(nodes["Alder"], "First")
    async with nodes[
        "Alder"
    ].node.pool.acquire() as conn:  # as a backup would: Alder forgets what it has counted
        await conn.execute("delete from circle_entry")
    again = await file_into(nodes["Alder"], "First again")
    third = await file_into(nodes["Alder"], "Second")
    for each in (first, again, third):
        await seen(nodes["Birch"], each["id"])
    (counted,) = (await get(nodes["Birch"], "/v1/circles/Vigil"))["entries"]
    assert (counted["entries"], counted["last"], counted["missing"]) == (3, 2, 0)
    assert counted["doubled"] >= 1
    assert (await get(nodes["Birch"], "/v1/peers/Alder"))["problem"]["code"] == "circle-doubled"


async def test_a_new_member_gets_what_was_there_before_it_when_a_person_asks_and_once(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, "Alder", "Birch")))
    first = await file_into(nodes["Alder"], "Before Cedar")
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Cedar"], epoch=1)
    tried = await post(nodes["Alder"], "/v1/circles/Vigil/backfill?dry_run=1", {})
    assert [(one["id"], one["outcome"]) for one in tried["items"]] == [(first["id"], "dry-run")]
    done = await post(nodes["Alder"], "/v1/circles/Vigil/backfill", {})
    assert [[to["name"] for to in one["to"]] for one in done["items"]] == [["Cedar"]]
    await seen(nodes["Cedar"], first["id"])
    again = await post(nodes["Alder"], "/v1/circles/Vigil/backfill", {})
    assert [one["outcome"] for one in again["items"]] == ["left"]
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    none = await post(nodes["Alder"], f"/v1/circles/Vigil/backfill?since={soon}", {})
    assert none["items"] == []


async def test_a_report_shared_later_and_what_is_said_of_it_find_each_other(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    kept = await file_into(nodes["Alder"], "Kept first", "share=0")
    async with nodes["Alder"].client.post(f"/v1/reports/{kept['id']}/share?circle=Vigil") as answer:
        assert answer.status == 201, await answer.json()
    await seen(nodes["Birch"], kept["id"])
    async with nodes["Birch"].client.get(
        f"/v1/reports/{kept['id']}", headers={"Accept": STIX_TYPE}
    ) as answer:
        raw = await answer.read()
    async with nodes["Alder"].client.post(f"/v1/reports/{kept['id']}/share?circle=Vigil") as answer:
        said = await answer.json()
    assert (said["outcome"], {one["code"] for one in said["withheld"]}) == ("unchanged", {"has-it"})
    report = check_bundle(raw).report
    word = exposure(report, "affected", producer=dict(nodes["Birch"].node.producer), now=datetime.now(UTC))
    path = f"/v1/reports/{kept['id']}/remarks"
    async with nodes["Birch"].client.post(path, data=word, headers=STIX) as answer:
        assert [to["name"] for to in (await answer.json())["to"]] == ["Alder"]

    async def told() -> bool:
        return bool((await get(nodes["Alder"], path))["items"])

    await until(told)


async def test_a_withdrawal_reaches_who_was_taken_out_too(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    done = await file_into(nodes["Alder"], "Wrong")
    await seen(nodes["Cedar"], done["id"])
    await adopt(nodes["Alder"], founders.next(ids(nodes, "Alder", "Birch")))
    async with nodes["Alder"].client.get(
        f"/v1/reports/{done['id']}", headers={"Accept": STIX_TYPE}
    ) as answer:
        last = withdraw(await answer.read(), reason="It was wrong.", now=datetime.now(UTC))
    async with nodes["Alder"].client.post(
        f"/v1/reports/{done['id']}/withdraw", data=last, headers=STIX
    ) as answer:
        said = await answer.json()
    assert {one["name"] for one in said["to"]} == {"Birch", "Cedar"}, said
    await seen(nodes["Cedar"], done["id"], state="withdrawn")


async def test_a_peer_that_offers_a_circle_of_the_same_name_takes_nobodys_place(nodes):
    ours, theirs = Founders(), Founders()
    await adopt(nodes["Alder"], ours.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    await post(nodes["Birch"], "/v1/circles/Vigil/adopt", {})
    await adopt(nodes["Cedar"], theirs.next(ids(nodes, *NAMES)))
    offered = theirs.circle.id.hex()
    await known(nodes["Birch"], offered[:12], state="offered")
    done = await file_into(nodes["Birch"], "To ours")
    report = await get(nodes["Birch"], f"/v1/reports/{done['id']}")
    assert report["circles"] == [{"id": ours.circle.id.hex(), "name": "Vigil"}]


async def test_who_left_takes_nothing_more_and_shares_nothing(nodes):
    founders = Founders()
    await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
    await known(nodes["Birch"])
    await post(nodes["Birch"], "/v1/circles/Vigil/adopt", {})
    await post(nodes["Birch"], "/v1/circles/Vigil/leave", {})
    assert (await file_into(nodes["Birch"], "No"))["code"] == "circle-left"
    await file_into(nodes["Alder"], "Not for Birch")

    async def refused() -> bool:
        peer = await get(nodes["Birch"], "/v1/peers/Alder")
        return peer["outcomes"]["refused"] == {"not-member": 1}

    await until(refused)


async def test_a_circle_and_names_are_not_said_at_once_and_an_unknown_circle_is(nodes):
    both = await file_into(nodes["Alder"], "Both", "circle=Vigil&to=Birch")
    assert (both["status"], both["code"]) == (422, "circle-and-names")
    none = await file_into(nodes["Alder"], "None", "circle=Nobody")
    assert (none["status"], none["code"]) == (404, "circle-unknown")


async def test_a_member_joins_the_circle_through_a_peer_that_is_not_the_adopter(cluster, tmp_path):
    """Alder knows Birch, Birch knows Cedar: the circle reaches Cedar once Birch has adopted it."""
    async with line(cluster, tmp_path) as nodes:
        founders = Founders()
        await adopt(nodes["Alder"], founders.next(ids(nodes, *NAMES)))
        await known(nodes["Birch"])
        await post(nodes["Birch"], "/v1/circles/Vigil/adopt", {})
        told = await known(nodes["Cedar"])
        assert told["told_by"] == "Birch"


@asynccontextmanager
async def line(cluster, directory):
    async with cluster.database() as one, cluster.database() as two, cluster.database() as three:
        settings = [
            settings_on(directory / name, database, QUICK, org=name)
            for name, database in zip(NAMES, (one, two, three), strict=True)
        ]
        async with open_here(settings[0]) as a, open_here(settings[1]) as b, open_here(settings[2]) as c:
            await introduce("Alder", a, "Birch", b)
            await introduce("Birch", b, "Cedar", c)
            yield {"Alder": a, "Birch": b, "Cedar": c}
