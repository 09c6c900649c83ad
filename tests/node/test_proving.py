"""A node proves to strangers what it said and what it was told, from what it holds, and no more than it may."""

import orjson
import pytest
from tests.node.test_share import arrived, file, now, pair, share

from tocsin_federation.merkle import inclusion_proof, root_of, verify_inclusion
from tocsin_federation.proof import read_proof, verify_proof
from tocsin_node.data_keys import DataKeyLost, DataKeys, load_data_keys
from tocsin_node.errors import SecretError
from tocsin_node.services.trees import Trees
from tocsin_schema.stix import revise


async def proof_of(node, report_id, **query):
    async with node.client.get(f"/v1/reports/{report_id}/proof", params=query) as answer:
        return answer.status, await answer.read()


async def proven(node, report_id, **query):
    status, raw = await proof_of(node, report_id, **query)
    assert status == 200, raw
    return verify_proof(read_proof(raw))


async def refusal(node, report_id, **query):
    status, raw = await proof_of(node, report_id, **query)
    return status, orjson.loads(raw)["code"]


async def test_author_and_recipient_prove_the_same_to_a_stranger(cluster, database, tmp_path):
    async with pair(cluster, database, tmp_path) as (one, two):
        raw = one.bundle("Something to be shown later", tlp="clear")
        filed = await file(one, raw)
        report_id = filed["id"]
        await arrived(two, report_id, 1)
        for node in (one, two):
            shown = await proven(node, report_id)
            assert shown.identity.node_id == one.node.identity.node_id
            assert (shown.header.id, shown.header.ver, shown.content) == (report_id, 1, None)
            assert shown.leaf_hash.hex() == filed["entry"]["leaf_hash"]
            assert (await proven(node, report_id, disclose="1")).content == raw


async def test_every_version_can_be_proven_by_its_author_and_its_words_too(cluster, database, tmp_path):
    async with pair(cluster, database, tmp_path) as (one, two):
        first = one.bundle("As it was said first", tlp="clear")
        report_id = (await file(one, first))["id"]
        await arrived(two, report_id, 1)
        second = revise(first, {"title": "As it was said then"}, now=now())
        await file(one, second, f"/v1/reports/{report_id}", "PUT")
        await arrived(two, report_id, 2)
        assert (await proven(one, report_id, ver="1", disclose="1")).content == first
        assert (await proven(one, report_id, disclose="1")).content == second
        assert (await proven(two, report_id, ver="1")).header.ver == 1
        assert await refusal(two, report_id, ver="1", disclose="1") == (409, "proof-not-kept")
        assert await refusal(one, report_id, ver="3") == (409, "not-in-log")


async def test_only_the_author_discloses_what_is_not_clear(cluster, database, tmp_path):
    async with pair(cluster, database, tmp_path, max_tlp_out="amber") as (one, two):
        raw = one.bundle("Not for everybody", tlp="amber")
        report_id = (await file(one, raw))["id"]
        await arrived(two, report_id, 1)
        assert await refusal(two, report_id, disclose="1") == (403, "tlp-forbids")
        assert (await proven(two, report_id)).content is None
        assert (await proven(one, report_id, disclose="1")).content == raw


async def test_what_was_shared_with_nobody_or_is_not_there_cannot_be_proven(acme):
    filed = await file(acme, acme.bundle("For nobody"), share="0")
    assert await refusal(acme, filed["id"]) == (409, "not-in-log")
    unknown = "incident--00000000-0000-4000-8000-000000000000"
    assert await refusal(acme, unknown) == (404, "report-unknown")


async def test_what_is_sent_later_can_be_proven_from_then_on(cluster, database, tmp_path):
    async with pair(cluster, database, tmp_path) as (one, two):
        filed = await file(one, one.bundle("Later", tlp="clear"), share="0")
        await share(one, filed["id"], "Two")
        await arrived(two, filed["id"], 1)
        assert (await proven(two, filed["id"])).header.aud.nodes == (two.node.identity.node_id,)


async def test_no_data_key_stands_in_the_database_unlocked(cluster, database, tmp_path):
    async with pair(cluster, database, tmp_path) as (one, two):
        filed = await file(one, one.bundle("Locked", tlp="clear"))
        await arrived(two, filed["id"], 1)
        shown = read_proof((await proof_of(one, filed["id"], disclose="1"))[1])
        for node, table in ((one, "log_entry"), (two, "remote_entry")):
            async with node.node.pool.acquire() as conn:
                (locked,) = [row[0] for row in await conn.fetch(f"select data_key from {table}")]
            assert len(locked) == 80
            assert shown.disclosed.data_key not in locked


async def test_a_peer_that_was_removed_can_still_be_held_to_what_it_said(cluster, database, tmp_path):
    async with pair(cluster, database, tmp_path) as (one, two):
        filed = await file(one, one.bundle("Said and done", tlp="clear"))
        await arrived(two, filed["id"], 1)
        async with two.client.delete("/v1/peers/One") as answer:
            assert answer.status in {200, 204}
        assert (await proven(two, filed["id"])).identity.node_id == one.node.identity.node_id


def test_a_lost_or_altered_lock_is_told_and_opens_nothing(tmp_path):
    first, second = DataKeys(bytes(32), bytes), DataKeys(bytes(31) + b"\x01", bytes)
    locked = first.lock(b"leaf", b"k" * 32)
    assert first.unlock(b"leaf", locked) == b"k" * 32
    for broken in (locked[:-1], locked[:-1] + bytes([locked[-1] ^ 1]), b"", bytes(80)):
        with pytest.raises(DataKeyLost):
            first.unlock(b"leaf", broken)
    with pytest.raises(DataKeyLost):
        first.unlock(b"another leaf", locked)
    with pytest.raises(DataKeyLost):
        second.unlock(b"leaf", locked)
    (tmp_path / "keys").mkdir()
    made = load_data_keys(tmp_path, lambda n: b"x" * n)
    assert (tmp_path / "keys/data").stat().st_mode & 0o077 == 0
    assert load_data_keys(tmp_path, bytes).unlock(b"leaf", made.lock(b"leaf", b"k" * 32)) == b"k" * 32
    (tmp_path / "keys/data").write_text("not base64!")
    with pytest.raises(SecretError):
        load_data_keys(tmp_path, bytes)


async def test_paths_over_tiles_are_those_over_all_leaves_and_tiles_are_read_once():
    trees, reads = Trees(), []
    for size in (1, 255, 256, 257, 700, 70_000):
        leaves = [n.to_bytes(32, "big") for n in range(size)]

        async def read(low, high, leaves=leaves):
            reads.append((low, high))
            return leaves[low:high]

        for index in {0, size // 3, size - 1}:
            path = await trees.inclusion(size, read, index, size)
            assert list(path) == inclusion_proof(leaves, index)
            verify_inclusion(leaves[index], index, size, path, root_of(leaves))
        full = [r for r in reads if r[1] - r[0] >= 256 * 64]
        assert len(full) == len(set(full))


async def test_a_proof_is_for_whoever_may_read_reports(acme):
    async with acme.client.get(
        "/v1/reports/incident--00000000-0000-4000-8000-000000000000/proof",
        headers={"Authorization": "Bearer nothing"},
    ) as answer:
        assert answer.status == 401
