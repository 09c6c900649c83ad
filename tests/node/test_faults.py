"""What this program stumbles over: the entry is set aside, the peer's stream goes on, and a later start takes it."""

from datetime import UTC, datetime

import pytest
from tests.node.conftest import QUICK
from tests.node.test_intake import judged
from tests.node.test_recalls import gone, taken_back
from tests.support.node import open_here, settings_on
from tests.support.villain import get, incident_id_of, outcomes, until, villain

from tocsin_node.services.faults import Faults, code_of
from tocsin_node.services.ledger import Unconfirmed
from tocsin_node.storage.errors import StorageFull, StorageUnavailable, StorageUnfit
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.remarks import exposure

PUCE = "update report set tlp = 'puce' where id = $1"


def remark(peer, node, raw, leaf_hash):
    """Log a remark of the peer's on its own report."""
    report = check_bundle(raw).report
    said = exposure(report, "affected", producer=peer.producer, now=datetime.now(UTC))
    facts = {"t": "remark", "id": report.id, "ver": 1, "ref": leaf_hash, "tlp": Tlp.GREEN}
    return peer.publish(node, said, **facts)


async def checks(node):
    async with node.client.get("/healthz") as answer:
        return {check["name"]: check for check in (await answer.json())["checks"]}


@pytest.fixture
def settings(database, tmp_path):
    return settings_on(tmp_path / "acme", database, QUICK)


async def test_an_entry_whose_judging_raises_is_set_aside_told_of_and_taken_when_that_is_mended(settings):
    async with villain() as peer:
        async with open_here(settings) as node:
            await peer.join(node)
            raw = peer.bundle("Of which a remark speaks")
            peer.publish(node, raw)
            await until(lambda: judged(node, peer))
            async with node.node.pool.acquire() as conn:  # no marking that this program knows
                await conn.execute(PUCE, incident_id_of(raw))
            peer.publish(node, peer.bundle("Before it"))
            remark(peer, node, raw, peer.leaf_hashes[0])
            peer.publish(node, peer.bundle("After it"))
            await until(lambda: judged(node, peer))
            assert [(o, c) for _, o, c in await outcomes(node, 4)] == [
                ("stored", None),
                ("stored", None),
                ("quarantined", "judging-failed"),
                ("stored", None),
            ]
            told = (await checks(node))["judging"]
            assert (told["status"], told["code"]) == ("degraded", "judging-failed")
            assert "update the node" in told["hint"]
            async with node.node.pool.acquire() as conn:
                kept = tuple(await conn.fetchrow("select leaf, wrap, ct from quarantine"))
            frame = peer.entries[2]
            assert kept == (frame.leaf, frame.wrap, frame.ct), "nothing of it is lost"
        async with open_here(settings) as node:  # a start that mends nothing changes nothing
            peer.publish(node, peer.bundle("After a start"))
            await until(lambda: judged(node, peer))
            assert (await outcomes(node, 5))[2] == (2, "quarantined", "judging-failed")
            async with node.node.pool.acquire() as conn:
                await conn.execute("update report set tlp = 'green' where tlp = 'puce'")
        async with open_here(settings) as node:

            async def taken():
                return (await outcomes(node, 5))[2] == (2, "stored", None)

            await until(taken)
            assert len((await get(node, f"/v1/reports/{incident_id_of(raw)}"))["remarks"]) == 1
            assert (await checks(node))["judging"]["status"] == "ok"


@pytest.mark.parametrize(
    ("exc", "tries"), [(ValueError("of ours"), 3), (StorageUnfit(), 1)], ids=["a fault of ours", "unfit"]
)
async def test_what_raises_once_is_not_held_against_an_entry(acme, exc, tries):
    """It is asked for again before it counts; what the database cannot hold it will not hold the next time either."""
    faults = Faults(acme.node.pool, acme.node.peering)
    for _ in range(2):  # and set aside once, it has its tries anew
        assert [faults.spent("n1", 1, 7, exc) for _ in range(tries)] == [False] * (tries - 1) + [True]
    assert faults.spent("n1", 1, 8, exc) is (tries == 1)


@pytest.mark.parametrize(
    "exc", [StorageUnavailable(), StorageFull(), Unconfirmed(), OSError("disk"), MemoryError()]
)
def test_what_speaks_of_the_nodes_surroundings_judges_no_entry(exc):
    assert code_of(exc) is None


async def test_a_recall_that_cannot_be_done_holds_up_neither_its_author_nor_other_recalls(settings):
    async with villain() as peer:
        async with open_here(settings) as node:
            await peer.join(node)
            first, second = (peer.bundle(title) for title in ("Is narrowed", "Is purged"))
            frames = [peer.publish(node, raw) for raw in (first, second)]
            await until(lambda: judged(node, peer))
            async with node.node.pool.acquire() as conn:
                await conn.execute(
                    "create function puce() returns trigger language plpgsql as $$ begin"
                    " if new.what = 'narrow' then new.tlp := 'puce'; end if; return new; end $$;"
                    " create trigger puce before insert on recalled for each row execute function puce()"
                )
            taken_back(peer, node, frames[0], what="narrow")
            peer.publish(node, peer.bundle("After it"))
            taken_back(peer, node, frames[1])
            peer.publish(node, peer.bundle("After both"))
            await until(lambda: judged(node, peer))
            assert [o for _, o, _ in await outcomes(node, 6)] == ["stored"] * 6
            await gone(node, incident_id_of(second))
            told = (await checks(node))["recalls-of-peers"]
            assert (told["status"], told["code"]) == ("degraded", "recall-failed")
            async with node.node.pool.acquire() as conn:
                await conn.execute(
                    "drop trigger puce on recalled; update recalled set tlp = 'amber' where what = 'narrow'"
                )
        async with open_here(settings) as node:

            async def narrowed():
                return (await get(node, f"/v1/reports/{incident_id_of(first)}"))["tlp"] == "amber"

            await until(narrowed)
            assert (await checks(node))["recalls-of-peers"]["status"] == "ok"
