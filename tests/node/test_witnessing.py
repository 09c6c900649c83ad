"""Peers cosign each other's checkpoints, and nobody cosigns two pasts."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web
from tests.support.circle import circle, filed, seen
from tests.support.villain import get, until, villain

from tocsin_federation.checkpoint import open_checkpoint, signers
from tocsin_federation.cosignature import cosignatures
from tocsin_federation.gossip import write_answer
from tocsin_federation.merkle import consistency_proof, root_of
from tocsin_federation.proof import read_proof, verify_proof
from tocsin_federation.witness import Submission, write_submission
from tocsin_node.links.alert_text import AlertFacts, plain_text

NAMES = ("elm", "fir", "oak", "yew")


async def test_what_enough_peers_have_cosigned_is_witnessed_at_the_origin_and_at_every_reader(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES) as nodes:
        said = await filed(nodes["elm"], "Told to three")
        own = await seen(nodes["elm"], said["id"], trust="witnessed")
        assert own["witnesses"]["required"] == 3
        assert {each["name"] for each in own["witnesses"]["by"]} == {"fir", "oak", "yew"}
        for name in NAMES[1:]:
            held = await seen(nodes[name], said["id"], trust="witnessed")
            assert len(held["witnesses"]["by"]) == held["witnesses"]["known"] == 3
        items = (await get(nodes["oak"], "/v1/reports"))["items"]
        assert [item["trust"] for item in items] == ["witnessed"]
        async with nodes["elm"].client.get("/v1/log/checkpoint") as answer:
            note = await answer.read()
        keys = [n.node.identity.statement.wit for n in nodes.values()]
        found = cosignatures(note, keys, now=int(datetime.now(UTC).timestamp()))
        assert len(found) == 3
        assert len(signers(note)) == 4


async def test_who_has_answered_not_to_know_a_log_is_not_waited_for_and_who_was_not_asked_is(
    cluster, tmp_path
):
    async def knows_nothing(_request):
        return web.Response(body=write_answer([]))

    async with (
        circle(cluster, tmp_path, NAMES) as nodes,
        villain("ash") as ash,
        villain("box") as box,
    ):
        fir = nodes["fir"]
        for bystander in (ash, box):
            bystander.hooks["/f1/wit/heads"] = knows_nothing
            await bystander.join(fir)
        said = await filed(nodes["elm"], "Told to three")
        await seen(nodes["oak"], said["id"], trust="witnessed")
        held = await seen(fir, said["id"], trust="provisional")
        assert (held["witnesses"]["known"], held["witnesses"]["required"]) == (5, 4)
        for bystander in (ash, box):
            await fir.node.gossip.ask(fir.node.peering.named(bystander.name))
        held = await seen(fir, said["id"], trust="witnessed")
        assert (held["witnesses"]["known"], held["witnesses"]["required"]) == (3, 3)
        await fir.node.trusting.load()  # as after a start
        assert (await seen(fir, said["id"]))["trust"] == "witnessed"
        own = await filed(fir, "Ours")
        assert (await seen(fir, own["id"]))["witnesses"][
            "known"
        ] == 5  # they were not asked as readers of ours


async def test_an_unchanged_head_is_cosigned_anew_after_an_hour_and_readers_see_it(cluster, tmp_path):
    ahead = timedelta(0)
    async with circle(cluster, tmp_path, NAMES[:3], now=lambda: datetime.now(UTC) + ahead) as nodes:
        said = await filed(nodes["elm"], "Once, and then silence")
        await seen(nodes["oak"], said["id"], trust="provisional")

        async def cosigned_at(after):
            told = (await get(nodes["oak"], "/v1/peers/elm"))["cosigned_at"]
            found = None if told is None else datetime.fromisoformat(told)
            return found if found is not None and (after is None or found > after) else None

        first = await until(lambda: cosigned_at(None))
        ahead = timedelta(hours=1, minutes=1)
        for _ in range(2):
            nodes["elm"].node.witnessing.wake()
        again = await until(lambda: cosigned_at(first + timedelta(minutes=50)))
        assert again - first < timedelta(hours=2)


async def test_with_one_peer_alone_nothing_is_called_witnessed(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES[:2]) as nodes:
        said = await filed(nodes["elm"], "Told to one")

        async def cosigned():
            return (await get(nodes["elm"], f"/v1/reports/{said['id']}"))["witnesses"]["by"]

        assert await until(cosigned)
        assert (await seen(nodes["elm"], said["id"]))["trust"] == "provisional"
        assert (await seen(nodes["fir"], said["id"]))["trust"] == "provisional"


async def test_an_alert_about_what_is_not_witnessed_yet_says_so_where_there_are_witnesses_enough(
    cluster, tmp_path
):
    grave = {
        "realization": "harm-event",
        "causality": "direct",
        "harms": [{"harm_type": "physical-health", "materialised": True}],
        "quantities": {"deaths": 2},
    }
    for names, said in ((NAMES, True), (NAMES[:2], False)):
        async with circle(cluster, tmp_path / str(said), names) as nodes:
            report = await filed(nodes["elm"], "A grave one", **grave)
            await seen(nodes["fir"], report["id"])
            async with nodes["fir"].node.pool.acquire() as conn:
                facts = await conn.fetchval("select facts from alert where report_id = $1", report["id"])
            told = plain_text(msgspec.json.decode(facts, type=AlertFacts), 1)
            assert ("Not yet witnessed: only its author has signed it so far" in told) is said


async def test_a_proof_carries_cosignatures_that_a_stranger_verifies(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES) as nodes:
        report = await filed(nodes["elm"], "To be proven")
        for name in ("elm", "oak"):
            await seen(nodes[name], report["id"], trust="witnessed")
            async with nodes[name].client.get(f"/v1/reports/{report['id']}/proof") as answer:
                raw = await answer.read()
            keys = [(await get(nodes["elm"], f"/v1/peers/{peer}"))["witness_key"] for peer in NAMES[1:]]
            proven = verify_proof(read_proof(raw), witnesses=keys)
            assert {each.vkey for each in proven.cosigned} == set(keys)
            assert verify_proof(read_proof(raw)).cosigned == ()


# add-checkpoint, by the letter -------------------------------------------------------------------------------


async def bring(node, villain, size, old, leaves=None, proof=None, note=None):
    """`add-checkpoint` for the first `size` of the villain's leaves; (status, content type, body)."""
    leaves = villain.leaf_hashes[:size] if leaves is None else leaves
    note = note or villain.note(len(leaves), root_of(leaves))
    proof = tuple(consistency_proof(leaves, old) if proof is None and old <= len(leaves) else proof or ())
    body = write_submission(Submission(old, proof, note))
    return await sent(node, body)


async def sent(node, body):
    async with node.client.post(
        "/f1/wit/add-checkpoint", data=body, headers={"Content-Type": "text/plain"}
    ) as answer:
        return answer.status, answer.content_type, await answer.read()


@pytest.fixture
def leafy(mallory):
    mallory.leaf_hashes += [bytes([n + 1]) * 32 for n in range(40)]
    return mallory


async def test_a_cosignature_is_given_for_what_goes_on_from_the_last_one(acme, leafy):
    for size, old in ((0, 0), (7, 0), (7, 7), (8, 7), (33, 8)):
        status, kind, body = await bring(acme, leafy, size, old)
        assert (status, kind) == (200, "text/plain"), body
        note = leafy.note(size) + body
        (one,) = cosignatures(note, [acme.node.identity.statement.wit], now=2**40)
        assert abs(one.at - datetime.now(UTC).timestamp()) < 60
        assert open_checkpoint(note, leafy.identity.statement.log.vkey).size == size


async def test_every_refusal_has_the_status_that_the_specification_gives(acme, leafy, stranger):
    good = write_submission(Submission(0, (), leafy.note(5)))
    assert (await sent(acme, b"old 00\n\n" + leafy.note(5)))[0] == 400
    assert (await sent(acme, b"old 0\n" + leafy.note(5)))[0] == 400
    assert (await bring(acme, leafy, 5, 6))[0] == 400
    assert (await bring(acme, stranger, 0, 0))[0] == 404
    forged = leafy.note(5).replace(b"\n5\n", b"\n6\n")
    assert (await bring(acme, leafy, 5, 0, note=forged))[0] == 403
    assert (await bring(acme, leafy, 5, 3)) == (409, "text/x.tlog.size", b"0\n")
    assert (await bring(acme, leafy, 5, 0, proof=(bytes(32),)))[0] == 422
    assert (await sent(acme, good))[0] == 200
    assert (await sent(acme, good)) == (409, "text/x.tlog.size", b"5\n")
    assert (await bring(acme, leafy, 9, 5, proof=(bytes(32),)))[0] == 422
    assert (await bring(acme, leafy, 9, 5))[0] == 200
    assert (await bring(acme, leafy, 4, 4)) == (409, "text/x.tlog.size", b"9\n")


async def test_whom_the_operator_does_not_witness_is_unknown(acme, leafy):
    async with acme.client.put("/v1/peers/mallory/witness", json={"witnessed": False}) as answer:
        assert (await answer.json())["witnessed"] is False
    assert (await bring(acme, leafy, 5, 0))[0] == 404


async def test_a_second_root_of_one_size_is_refused_and_convicts(acme, leafy):
    assert (await bring(acme, leafy, 5, 0))[0] == 200
    other = [b"\xff" * 32, *leafy.leaf_hashes[1:5]]
    assert (await bring(acme, leafy, 5, 5, leaves=other, proof=()))[0] in {404, 409}
    status = await get(acme, "/v1/peers/mallory")
    assert (status["state"], status["problem"]["code"]) == ("suspect", "log-fork")
    assert (await bring(acme, leafy, 6, 5))[0] == 404


async def test_p8_of_an_honest_logs_checkpoints_brought_at_once_one_goes_on_and_none_goes_back(acme, leafy):
    """Round after round, each from the size cosigned last: the same head may be said again, of larger ones one is taken."""
    last = 0
    for _ in range(5):
        asked = [size for size in range(last, last + 6) for _ in range(2)]
        answers = await asyncio.gather(*(bring(acme, leafy, size, last) for size in asked))
        assert {status for status, *_ in answers} <= {200, 409}
        new = {
            size for size, (status, *_) in zip(asked, answers, strict=True) if status == 200 and size > last
        }
        assert len(new) == 1
        (last,) = new
    async with acme.node.pool.acquire() as conn:
        sizes = [row[0] for row in await conn.fetch("select size from cosignature order by at, size")]
        rows = await conn.fetch("select size, root from cosigned")
    assert sizes == sorted(sizes)
    assert [tuple(row) for row in rows] == [(last, root_of(leafy.leaf_hashes[:last]))]


async def test_p8_of_concurrent_checkpoints_one_is_cosigned_a_size_and_no_size_falls(acme, leafy):
    """Many at once, of two logs that differ, from one size on: whatever the order, the words given are one past."""
    assert (await bring(acme, leafy, 3, 0))[0] == 200
    whole = leafy.leaf_hashes
    other = [*whole[:3], *(bytes([n, 1]) * 16 for n in range(37))]
    asked = [
        bring(acme, leafy, size, 3, leaves=leaves[:size])
        for size in range(4, 24)
        for leaves in (whole, other)
    ]
    answers = await asyncio.gather(*asked)
    given = [n for n, (status, *_) in enumerate(answers) if status == 200]
    assert len(given) == 1
    assert {status for status, *_ in answers} <= {200, 404, 409}
    async with acme.node.pool.acquire() as conn:
        sizes = [row[0] for row in await conn.fetch("select size from cosignature order by at, size")]
    assert sizes == sorted(set(sizes))
    assert len(sizes) == 2
