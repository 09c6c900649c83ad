"""Early warning: what several organisations report within days is a cluster, and rings once a size if that is set."""

import asyncio
from datetime import UTC, datetime

import pytest
from tests.node.test_search import file, form, made
from tests.support.node import open_here, settings_on
from tests.support.villain import get, outcomes, until, villain

from tocsin_schema.marking import Tlp
from tocsin_schema.stix import build

SYSTEM = [{"name": "Vigil Sepsis", "vendor": "Kestrel", "version": "4.2"}]
NEWER = [{"name": "Vigil Sepsis", "vendor": "KESTREL", "version": "4.3"}]
NOW = datetime.now(UTC).date().isoformat()


def about(title, systems=SYSTEM, **fields):
    return form(title, systems=systems, **{"occurred_start": NOW, **fields})


async def hear(node, peer, title, **fields):
    peer.publish(node, peer.bundle(title, **{"systems": NEWER, "occurred_start": NOW, **fields}))
    await peer.ring()
    await outcomes(node, len(peer.leaf_hashes), peer.name)


async def clusters(node):
    return (await get(node, "/v1/clusters"))["items"]


async def alerts(node):
    return [a for a in (await get(node, "/v1/alerts"))["items"] if a["kind"] == "cluster"]


async def rung(node, count):
    """The alerts of clusters, once there are so many. The timetable does not run in these tests."""

    async def there():
        found = await alerts(node)
        return found if len(found) >= count else None

    return await until(there)


async def test_two_organisations_that_report_one_system_are_a_cluster_whatever_the_version(acme, mallory):
    await file(acme, made(about("Ours"), 1, acme.node.producer))
    await file(acme, made(about("Ours again"), 2, acme.node.producer))
    assert await clusters(acme) == []
    await hear(acme, mallory, "Theirs")
    (found,) = await clusters(acme)
    assert (found["kind"], found["name"], found["organisations"], found["reports"]) == (
        "system",
        "kestrel vigil sepsis",
        2,
        3,
    )
    assert "Acme, mallory" in found["reasons"][0]
    whole = await get(acme, f"/v1/clusters/{found['id']}")
    assert [each["origin"]["name"] for each in whole["members"]] == ["Acme", "Acme", "mallory"]


async def test_one_peer_that_names_many_creators_is_one_organisation(acme, mallory):
    for name in ("a", "b", "c"):
        producer = {
            **mallory.producer,
            "id": f"identity--00000000-0000-4000-8000-00000000000{ord(name) - 96}",
        }
        fields = {
            "title": name,
            "tlp": "green",
            "realization": "near-miss",
            "description": "x",
            "systems": SYSTEM,
        }
        raw = build(fields, producer=producer, incident_id=made_id(name), now=datetime.now(UTC))
        mallory.publish(acme, raw)
    await mallory.ring()
    await outcomes(acme, 3)
    assert await clusters(acme) == []


def made_id(name):
    return f"incident--00000000-0000-4000-8000-00000000000{name}"


NO_CLUSTER = {
    "long ago": {"occurred_start": "2018-03-18"},
    "another system": {"systems": [{"name": "Chatter", "vendor": "Kestrel"}]},
    "a system that has no name": {"systems": [{"name": "Chatbot"}]},
}


async def test_what_is_old_or_about_something_else_makes_no_cluster(acme, mallory):
    await file(acme, made(about("Ours"), 1, acme.node.producer))
    await file(acme, made(about("Ours too", [{"name": "chatbot"}]), 2, acme.node.producer))
    for title, fields in NO_CLUSTER.items():
        await hear(acme, mallory, title, **fields)
        assert await clusters(acme) == [], title
    await hear(acme, mallory, "old, but it goes on", occurred_start="2018-03-18", flags=["ongoing"])
    assert len(await clusters(acme)) == 1


async def test_a_withdrawn_report_and_one_outside_the_window_do_not_count(acme, mallory):
    await file(acme, made(about("Ours"), 1, acme.node.producer))
    await hear(acme, mallory, "Theirs")
    (found,) = await clusters(acme)
    async with acme.node.pool.acquire() as conn:
        await conn.execute(
            "update report_facet set first_at = now() - interval '15 days' where origin = $1", mallory.node_id
        )
    assert await clusters(acme) == []
    async with acme.client.get(f"/v1/clusters/{found['id']}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "cluster-unknown")


@pytest.fixture
async def warned(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database, {"alerts": {"cluster": True, "grades": []}})
    async with open_here(settings) as served:
        yield served


async def test_a_cluster_rings_once_and_once_more_when_it_grows_and_after_a_restart_not_again(
    database, tmp_path
):
    settings = settings_on(tmp_path / "acme", database, {"alerts": {"cluster": True, "grades": []}})
    async with open_here(settings) as node, villain() as mallory, villain("trudy") as trudy:
        await mallory.join(node)
        await trudy.join(node)
        await file(node, made(about("Ours"), 1, node.node.producer))
        assert await node.node.clusters.ring() == 0
        await hear(node, mallory, "Theirs")
        await rung(node, 1)
        assert [await node.node.clusters.ring() for _ in range(3)] == [0, 0, 0]
        await hear(node, mallory, "Theirs again")
        assert await node.node.clusters.ring() == 0
        await hear(node, trudy, "And theirs")
        await rung(node, 2)
        assert [await node.node.clusters.ring() for _ in range(2)] == [0, 0]
        found = await alerts(node)
        assert [a["title"] for a in found] == [
            "3 organisations report kestrel vigil sepsis",
            "2 organisations report kestrel vigil sepsis",
        ]
    async with open_here(settings) as node:
        assert await node.node.clusters.ring() == 0
        assert len(await alerts(node)) == 2


async def test_an_alert_says_no_more_than_its_strictest_report_allows(warned):
    async with villain() as mallory:
        await mallory.join(warned, max_tlp_in="amber+strict")
        await file(warned, made(about("Ours"), 1, warned.node.producer))
        mallory.publish(
            warned,
            mallory.bundle("Theirs", systems=SYSTEM, occurred_start=NOW, tlp="amber+strict"),
            tlp=Tlp.AMBER_STRICT,
        )
        await mallory.ring()
        await outcomes(warned, 1)
        assert (await get(warned, "/v1/clusters"))["items"][0]["tlp"] == "amber+strict"
        (alert,) = await rung(warned, 1)
        assert alert["tlp"] == "amber+strict"
        assert "vigil" not in str(alert).casefold()
        async with warned.node.pool.acquire() as conn:
            assert "vigil" not in (await conn.fetchval("select facts::text from alert")).casefold()


async def test_what_we_file_completes_a_cluster_too_and_looks_at_once_ring_it_once(warned):
    async with villain() as mallory:
        await mallory.join(warned)
        await hear(warned, mallory, "Theirs")
        assert await alerts(warned) == []
        await file(warned, made(about("Ours"), 1, warned.node.producer))
        rang = await asyncio.gather(*(warned.node.clusters.ring() for _ in range(5)))
        (alert,) = await rung(warned, 1)
        assert sum(rang) <= 1
        assert (alert["from"]["ours"], alert["origin"]) == (True, "Acme")


async def test_an_import_that_completes_a_cluster_rings(warned):
    async with villain() as mallory:
        await mallory.join(warned)
        await hear(warned, mallory, "Theirs")
        headers = {"Content-Type": "application/x-ndjson"}
        async with warned.client.post("/v1/imports", data=made(about("Ours"), 1), headers=headers) as answer:
            assert answer.status == 200
        assert len(await rung(warned, 1)) == 1


async def test_nobody_is_rung_unless_it_is_set(acme, mallory):
    await file(acme, made(about("Ours"), 1, acme.node.producer))
    await hear(acme, mallory, "Theirs")
    assert await acme.node.clusters.ring() == 0
    assert await alerts(acme) == []
