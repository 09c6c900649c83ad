"""Own recalls come back after a restore: who was taken a report back from is sent no more of it."""

from contextlib import AsyncExitStack

import pytest
from tests.node.test_passing_on import changed
from tests.node.test_recalls import WHY, gone, until_recall
from tests.node.test_regaining import heads_at
from tests.node.test_relaying import Neighbourhood
from tests.node.test_self_check import Elm, health_of, lost_is, readers_of, until_readers
from tests.node.test_share import file
from tests.support.circle import filed, introduce, seen
from tests.support.villain import get, post, until


@pytest.fixture
async def elm(cluster, database, tmp_path):
    async with AsyncExitStack() as stack:
        yield Elm(cluster, tmp_path, stack, database)


@pytest.fixture
async def town(cluster, tmp_path):
    async with Neighbourhood(cluster, tmp_path) as nodes:
        yield nodes


async def open_wraps(node, report_id, name):
    """How many entries about the report are served to that peer."""
    peer = node.node.peering.named(name).node_id
    async with node.node.pool.acquire() as conn:
        return await conn.fetchval(
            "select count(*) from log_wrap w join log_entry e on e.gen = w.gen and e.idx = w.idx"
            " where w.recipient = $1 and w.wrap <> '' and position(convert_to($2, 'UTF8') in e.leaf) > 0",
            peer,
            report_id,
        )


async def met(elm, town):
    fir, oak = await town.open("fir", "oak")
    async with elm.up() as node:
        for name in ("fir", "oak"):
            await introduce("elm", node, name, town.nodes[name])
    return fir, oak


async def taken_back(node, report, *peers):
    await post(node, f"/v1/reports/{report['id']}/recall", {**WHY, "peers": list(peers)})
    await until_recall(node, report["id"], *["purged"] * len(peers))


async def test_after_a_restore_no_later_version_goes_to_whom_a_report_was_taken_back_from(elm, town):
    """The one report was in the backup; the other is lost itself, and has two entries."""
    fir, oak = await met(elm, town)
    async with elm.up() as node:
        old = await filed(node, "Before the backup")
        for other in (fir, oak):
            await seen(other, old["id"])
    dump = await elm.dump()
    async with elm.up() as node:
        new = await filed(node, "After the backup")
        for other in (fir, oak):
            await seen(other, new["id"])
        await changed(node, new["id"], "After the backup, again")
        for other in (fir, oak):
            await seen(other, new["id"], ver=2)
        for report in (old, new):
            await taken_back(node, report, "oak")
            await gone(oak, report["id"])
        node_id = node.node.identity.node_id
    elm.restore(dump, node_id)
    async with elm.up() as node:
        await changed(node, old["id"], "Not for oak")  # at once: it waits for what is lost
        assert await readers_of(node, old["id"]) == {"fir"}
        await seen(node, new["id"])
        await until_readers(node, new["id"], "fir")
        await changed(node, new["id"], "Nor this")
        for report in (old, new):
            await seen(
                fir, report["id"], name={old["id"]: "Not for oak", new["id"]: "Nor this"}[report["id"]]
            )
            assert await open_wraps(node, report["id"], "oak") == 0
            (item,) = await until_recall(node, report["id"], "purged")
            assert (item["peer"]["name"], item["reason"]) == ("oak", WHY["reason"])
        assert (await health_of(node, "recall-came-back"))["hint"].startswith("2 reports")
        last = await filed(node, "For both")
        await seen(oak, last["id"])
        for report in (old, new):
            await gone(oak, report["id"])


async def test_it_makes_no_difference_whether_the_recall_or_the_report_comes_back_first(elm, town):
    fir, oak = await met(elm, town)
    dump = await elm.dump()
    async with elm.up() as node:
        report = await filed(node, "After the backup")
        for other in (fir, oak):
            await seen(other, report["id"])
        await taken_back(node, report, "oak")
        node_id = node.node.identity.node_id
    await town.close("fir")  # who has the report
    elm.restore(dump, node_id)
    elm.waiting(0.0)
    async with elm.up() as node:

        async def recall_is_back():
            return [one["what"] for one in (await get(node, "/v1/recalls"))["ours"]] == ["purge"]

        await until(recall_is_back)
        (fir,) = await town.open("fir")
        node.node.self_check.on_lost()
        await seen(node, report["id"])
        await until_readers(node, report["id"], "fir")
        assert await open_wraps(node, report["id"], "oak") == 0
        (item,) = await until_recall(node, report["id"], "purged")
        assert item["report_id"] == report["id"]


async def test_what_was_given_anew_after_its_recall_stays_given(elm, town):
    fir, oak = await met(elm, town)
    dump = await elm.dump()
    async with elm.up() as node:
        report = await filed(node, "Given twice")
        for other in (fir, oak):
            await seen(other, report["id"])
        await taken_back(node, report, "oak")
        await gone(oak, report["id"])
        await post(node, f"/v1/reports/{report['id']}/share?to=oak", {})
        await seen(oak, report["id"])
        node_id = node.node.identity.node_id
    elm.restore(dump, node_id)
    async with elm.up() as node:
        await seen(node, report["id"])  # before that it is not known that anything is lost
        await until(lambda: lost_is(node, 0))
        await until_readers(node, report["id"], "fir", "oak")
        assert await open_wraps(node, report["id"], "oak") == 1, "what was taken back is not served"
        await changed(node, report["id"], "For both again")
        for other in (fir, oak):
            await seen(other, report["id"], ver=2)


async def test_an_erasing_that_a_restore_undid_is_told_of_until_it_is_done_again(elm, town):
    fir, oak = await met(elm, town)
    async with elm.up() as node:
        report = await filed(node, "Before the backup")
        for other in (fir, oak):
            await seen(other, report["id"])
    dump = await elm.dump()
    async with elm.up() as node:
        await post(node, f"/v1/reports/{report['id']}/erase", WHY)
        for other in (fir, oak):
            await gone(other, report["id"])
        node_id = node.node.identity.node_id
    elm.restore(dump, node_id)
    async with elm.up() as node:
        assert "tocsin report erase" in (await health_of(node, "recall-came-back"))["hint"]
        assert await readers_of(node, report["id"]) == set()
        await post(node, f"/v1/reports/{report['id']}/erase", WHY)
        await gone(node, report["id"])
        assert (await node.node.recalling.back()).status == "ok"
        await until(lambda: lost_is(node, 0))


@pytest.mark.parametrize("late", ["fir", "oak"])
async def test_a_version_that_was_sent_in_two_entries_goes_on_to_the_readers_of_both_whichever_comes_back_first(
    elm, town, late
):
    await met(elm, town)
    dump = await elm.dump()
    async with elm.up() as node:
        report = await file(node, node.bundle("First to fir, then to oak"), to="fir")
        await seen(town.nodes["fir"], report["id"])
        await post(node, f"/v1/reports/{report['id']}/share?to=oak", {})
        await seen(town.nodes["oak"], report["id"])
        for other in town.nodes.values():
            await until(
                lambda other=other: heads_at(other, node)
            )  # whoever is asked knows how long the log was
        node_id = node.node.identity.node_id
    await town.close(late)
    elm.restore(dump, node_id)
    elm.waiting(0.0)
    async with elm.up() as node:
        await seen(node, report["id"])
        await town.open(late)
        node.node.self_check.on_lost()
        await until_readers(node, report["id"], "fir", "oak")
        await changed(node, report["id"], "To both")
        for other in town.nodes.values():
            await seen(other, report["id"], ver=2)
