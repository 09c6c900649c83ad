"""What a restored database lost of its own log comes back from its readers: circles and their counts, and what names nobody."""

import asyncio
import logging
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from aiohttp import web
from tests.node.test_circles import adopt, file_into, ids, known
from tests.node.test_intake import taken
from tests.node.test_passing_on import changed, policy
from tests.node.test_relaying import Neighbourhood
from tests.node.test_self_check import Elm, lost_is, until_readers
from tests.support.circle import QUICK, circle, filed, introduce, seen
from tests.support.manifests import Founders
from tests.support.villain import entries_body, get, outcomes, until, villain

from tocsin_federation.circle_rules import NOT_KNOWN
from tocsin_federation.frames import Frame
from tocsin_federation.messages import read_header, write_acknowledgement
from tocsin_federation.receipt import Told, write_receipt


@pytest.fixture
async def elm(cluster, database, tmp_path):
    async with AsyncExitStack() as stack:
        yield Elm(cluster, tmp_path, stack, database)


@pytest.fixture
async def town(cluster, tmp_path):
    async with Neighbourhood(cluster, tmp_path) as nodes:
        yield nodes


async def receipts_of(node, report_id, name):
    """How far the report got at that peer, once it is known."""
    items = (await get(node, f"/v1/reports/{report_id}/receipts"))["items"]
    return [i["stage"] for i in items if i["peer"]["name"] == name and i["outcome_at"] is not None]


async def counted(node, name="elm"):
    """How that peer's entries to the circle have come: newest number, missing, doubled."""
    (found,) = [e for e in (await get(node, "/v1/circles/Vigil"))["entries"] if e["name"] == name]
    return found["last"], found["missing"], found["doubled"]


async def addressed(node):
    """What the node's log holds to circles: (epoch, number, the entry before)."""
    async with node.node.pool.acquire() as conn:
        rows = await conn.fetch("select leaf, leaf_hash from log_entry where leaf is not null order by idx")
    found = [(read_header(row[0]).aud, row[1]) for row in rows]
    return [(aud.epoch, aud.cseq, aud.cprev, leaf_hash) for aud, leaf_hash in found if aud.circle]


async def test_a_circle_comes_back_with_its_epochs_its_count_and_wraps_for_who_was_away(elm, town):
    fir, oak = await town.met("fir", "oak")
    founders = Founders()
    async with elm.up() as node:
        for name in ("fir", "oak"):
            await introduce("elm", node, name, town.nodes[name])
        members = [node.node.identity.node_id, *ids(town.nodes, "fir", "oak")]
        await adopt(node, founders.next(members))
        for other in (fir, oak):
            await known(other)
        first = await file_into(node, "First", tlp="amber")
        for other in (fir, oak):
            await seen(other, first["id"])
    dump = await elm.dump()
    await town.close("oak")
    async with elm.up() as node:
        await adopt(node, founders.next(members))
        await known(fir, epoch=1)
        for title in ("Second", "Third"):
            lost = await file_into(node, title, tlp="amber")
            await seen(fir, lost["id"])
            await until(lambda: receipts_of(node, lost["id"], "fir"))  # noqa: B023  awaited in its turn
        node_id = node.node.identity.node_id
    elm.restore(dump, node_id)
    async with elm.up() as node:
        fourth = await file_into(node, "Fourth", tlp="amber")
        assert fourth["status"] == 201, fourth
        entries = await addressed(node)
        assert [(epoch, cseq) for epoch, cseq, _, _ in entries] == [(0, 1), (1, 2), (1, 3), (1, 4)]
        assert entries[3][2] == entries[2][3], "it follows on what came back"
        assert (await known(node, epoch=1))["state"] == "adopted"
        receipts = await until(lambda: receipts_of(node, lost["id"], "fir"))
        assert receipts == ["stored"], "what fir had said of it counts again"
        (oak,) = await town.open("oak")
        for other in (fir, oak):
            await seen(other, fourth["id"])
            assert await counted(other) == (4, 0, 0)
        await until_readers(node, lost["id"], "fir", "oak")
        assert (await get(oak, f"/v1/reports/{lost['id']}"))["name"] == "Third", (
            "it was away when that was said"
        )


async def test_of_an_epoch_of_which_two_are_signed_nobody_is_taken_for_a_reader_by_its_list(
    cluster, tmp_path
):
    names = ("elm", "fir", "oak")
    async with circle(cluster, tmp_path, names, pairs=[("elm", "fir"), ("elm", "oak")]) as nodes:
        elm, founders = nodes["elm"], Founders()
        await adopt(elm, founders.next(ids(nodes, *names)))
        rivals = Founders(admins=founders.admins, chain=list(founders.chain))
        await file_into(elm, "Before")
        await adopt(elm, founders.next(ids(nodes, *names)))
        await file_into(elm, "While it stands")

        async def readers():
            async with elm.node.pool.acquire() as conn:
                rows = await conn.fetch("select leaf from log_entry where leaf is not null order by idx")
                headers = [header for row in rows if (header := read_header(row[0])).aud.circle]
                return [await elm.node.regaining._returned._readers(conn, header) for header in headers]

        both = set(ids(nodes, "fir", "oak"))
        assert await readers() == [both, both]
        await adopt(elm, rivals.next(ids(nodes, "elm", "fir")), status=422)
        assert await readers() == [both, None]


async def test_a_number_that_a_lost_entry_may_have_is_never_given_again(elm, town):
    """The only member that has the entries is away; the hashes come from a peer that is no member."""
    fir, _ = await town.met("fir", "oak")
    async with elm.up() as node:
        for name in ("fir", "oak"):
            await introduce("elm", node, name, town.nodes[name])
        await adopt(node, Founders().next([node.node.identity.node_id, *ids(town.nodes, "fir")]))
        await known(fir)
        first = await file_into(node, "First")
        await seen(fir, first["id"])
    dump = await elm.dump()
    async with elm.up() as node:
        for title in ("Second", "Third"):
            lost = await file_into(node, title)
            await seen(fir, lost["id"])
        await until(lambda: heads_at(town.nodes["oak"], node))
        node_id = node.node.identity.node_id
    await town.close("fir")
    elm.restore(dump, node_id)
    elm.waiting(0.0)
    async with elm.up() as node:

        async def adopted():
            return (await get(node, "/v1/node"))["log"]["lost"] >= 2

        await until(adopted)
        at_most = 1 + (await get(node, "/v1/node"))["log"]["lost"]
        fourth = await file_into(node, "Fourth")
        fifth = await file_into(node, "Fifth")
        (_, after), (_, last) = [(e, c) for e, c, _, _ in await addressed(node)][-2:]
        assert after > at_most + 1, "neither a number that may be taken, nor the one right after it"
        assert last == after + 1
        assert (await addressed(node))[-2][2] == NOT_KNOWN
        (fir,) = await town.open("fir")
        for report in (fourth, fifth):
            await seen(fir, report["id"])
        newest, missing, doubled = await counted(fir)
        assert (newest, doubled) == (last, 0)
        assert missing == last - 5, "what was left out is told, and nobody is accused"
        assert (await get(fir, "/v1/peers/elm"))["problem"]["code"] == "circle-gap"
        node.node.self_check.on_lost()  # fir is back: ask now
        await until(lambda: came_back(node, lost["id"]))
        numbers = [cseq for _, cseq, _, _ in await addressed(node)]
        assert len(set(numbers)) == len(numbers) == 5
        sixth = await file_into(node, "Sixth")
        await seen(fir, sixth["id"])
        assert (await counted(fir))[0] == last + 1


async def heads_at(node, author):
    async with node.node.pool.acquire() as conn:
        held = await conn.fetchval(
            "select size from remote_log where origin = $1", author.node.identity.node_id
        )
    return held == author.node.ledger.head.size


async def came_back(node, report_id):
    async with node.client.get(f"/v1/reports/{report_id}") as answer:
        return answer.status == 200


async def test_what_names_nobody_comes_back_for_each_that_shows_that_it_has_it(elm, town):
    fir, oak = await town.open("fir", "oak")
    async with elm.up() as node:
        for name in ("fir", "oak"):
            await introduce("elm", node, name, town.nodes[name])
        await policy(node, "oak", unnamed=True)
    dump = await elm.dump()
    async with elm.up() as node:
        report = await filed(node, "Who else has it is nobody's business")
        for other in (fir, oak):
            await seen(other, report["id"])
        node_id = node.node.identity.node_id
    elm.restore(dump, node_id)
    async with elm.up() as node:

        async def both():
            async with node.client.get(f"/v1/reports/{report['id']}") as answer:
                said = await answer.json()
            return answer.status == 200 and {to["name"] for to in said["to"]} == {"fir", "oak"}

        await until(both)
        async with node.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from regained") == 0
            wraps = await conn.fetch(
                "select w.recipient from log_wrap w join log_entry e on e.gen = w.gen and e.idx = w.idx"
                " where e.leaf_hash = $1",
                bytes.fromhex(report["entry"]["leaf_hash"]),
            )
        assert {row[0] for row in wraps} == set(ids(town.nodes, "fir", "oak"))
        await changed(node, report["id"])
        for other in (fir, oak):
            await seen(other, report["id"], state="withdrawn")


async def forget_what_was_said(node):
    """As a restore does: of the log's entries no more is known than their hashes."""
    await node.node.regaining.settled()  # the look at the start is over
    async with node.node.pool.transaction() as conn:
        await conn.execute(
            "update log_entry set leaf = null, ct = null, data_key = null; delete from log_wrap"
        )
        return await conn.fetchval("select count(*) from log_entry")


async def test_a_peer_that_stalls_holds_up_nobody_who_gives_back(cluster, tmp_path):
    stalled, over = asyncio.Event(), asyncio.Event()

    async def stall(request):
        if request.path.split("/")[3] != mallory.log:
            stalled.set()
            await over.wait()

    patient = {"federation": {**QUICK["federation"], "read_timeout_s": 60.0}}
    async with circle(cluster, tmp_path, ["acme", "birch"], patient) as nodes, villain() as mallory:
        acme, birch = nodes["acme"], nodes["birch"]
        await mallory.join(acme)
        reports = [await filed(acme, f"Report {n}") for n in range(3)]
        await seen(birch, reports[-1]["id"])
        mallory.hooks["entries"] = stall
        await forget_what_was_said(acme)
        acme.node.self_check.on_lost()
        await stalled.wait()
        await until(lambda: lost_is(acme, 0))
        assert not over.is_set(), "it had not let go"
        over.set()


async def test_a_peer_that_lies_is_heard_a_few_times_a_round_and_no_more(acme, mallory, caplog):
    for n in range(20):
        await filed(acme, f"Report {n}")
    count = await forget_what_was_said(acme)

    async def lie(request):
        if request.path.split("/")[3] == mallory.log:
            return None
        start = int(request.query["from"])
        frames = [Frame(n, b"{}", b"", b"") for n in range(start, count)]
        return web.Response(body=entries_body(frames, count))

    mallory.hooks["entries"] = lie
    for rounds in (1, 2):
        acme.node.self_check.on_lost()
        await acme.node.regaining.settled()
        lies = [r for r in caplog.records if "is not sound: hash-mismatch" in r.getMessage()]
        assert len(lies) == 16 * rounds
        assert await lost_is(acme, count)


async def test_a_peer_that_answers_for_ever_is_asked_on_where_its_time_ended(acme, mallory, caplog):
    caplog.set_level(logging.INFO, logger="tocsin_node.services.regaining")
    for n in range(40):
        await filed(acme, f"Report {n}")
    count = await forget_what_was_said(acme)
    asked = []

    async def dawdle(request):
        if request.path.split("/")[3] == mallory.log:
            return None
        start = int(request.query["from"])
        asked.append(start)
        await asyncio.sleep(0.1)
        return web.Response(body=entries_body([], start + 1))

    mallory.hooks["entries"] = dawdle
    acme.node.regaining.budget_s = 1.5

    async def asked_for_all():
        acme.node.self_check.on_lost()
        return set(range(count)) <= set(asked)

    await until(asked_for_all)
    assert "mallory gives back what it has of ours slowly" in caplog.text, "its time was over at least once"
    assert await lost_is(acme, count)


async def test_what_answers_a_lost_entry_waits_for_it_and_counts_when_it_is_back(cluster, tmp_path):
    """An acknowledgement and a receipt come while nothing is known of what they answer."""
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes, villain() as mallory:
        acme, birch = nodes["acme"], nodes["birch"]
        await mallory.join(acme)
        report = await filed(acme, "To both", tlp="green")
        await seen(birch, report["id"])
        leaf = bytes.fromhex(report["entry"]["leaf_hash"])
        await forget_what_was_said(acme)
        said = write_acknowledgement(report["id"], 1, datetime.now(UTC), revoked=False)
        for entry in (leaf, bytes(32)):  # the other answers nothing that was ever said
            mallory.publish(acme, said, t="ack", id=report["id"], ref=entry)
        told = write_receipt([Told(leaf, "stored", datetime.now(UTC))])
        mallory.publish(acme, told, t="receipt", id=f"receipt--{uuid.uuid4()}", ref=leaf)
        assert await taken(acme, mallory) == [
            ("quarantined", "ours-lost"),
            ("refused", "not-ours"),
            ("quarantined", "ours-lost"),
        ]
        acme.node.self_check.on_lost()

        async def counted_now():
            return [o for _, o, _ in await outcomes(acme, 3, "mallory")] == ["stored", "refused", "stored"]

        await until(counted_now)
        acknowledged = (await get(acme, f"/v1/reports/{report['id']}"))["acknowledgements"]
        assert [one["by"] for one in acknowledged] == ["mallory"]
