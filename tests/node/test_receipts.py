"""Receipts between nodes: an author learns how far each entry got, of whom and why not, and nothing answers for ever."""

import asyncio
import os
import uuid
from datetime import UTC, datetime

from tests.support.circle import QUICK, circle, filed, seen
from tests.support.pager import pager
from tests.support.villain import GRAVE, get, outcomes, post, until

from tocsin_federation.receipt import Told, write_receipt
from tocsin_schema.marking import Tlp

STIX = {"Content-Type": "application/stix+json"}


async def receipts(node, report_id):
    return (await get(node, f"/v1/reports/{report_id}/receipts"))["items"]


async def until_stage(node, report_id, *stages):
    """The receipts of a report as soon as they are at those stages, in the order of the log."""

    async def there():
        items = await receipts(node, report_id)
        return items if [item["stage"] for item in items] == list(stages) else None

    return await until(there)


async def test_an_author_learns_that_its_report_is_stored(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        done = await filed(nodes["acme"], "Something happened")
        [item] = await until_stage(nodes["acme"], done["id"], "stored")
    assert (item["peer"]["name"], item["kind"], item["ver"], item["code"]) == ("birch", "report", 1, None)
    assert item["entry"] == done["entry"]
    assert item["queued_at"] <= item["sent_at"] <= item["verified_at"]
    assert item["outcome_at"] is not None
    assert item["alerted_at"] is item["acknowledged_at"] is None


async def test_an_author_learns_what_a_peer_refused_and_why(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        await post(birch, "/v1/peers/acme/approve", {"unverified": True, "max_tlp_in": "clear"})
        done = await filed(acme, "Something happened")
        [item] = await until_stage(acme, done["id"], "refused")
        assert item["code"] == "above-ceiling"
        size = (await get(birch, "/v1/node"))["log"]["size"]
        assert size == 1, "one receipt, and nothing that answers an answer"


async def test_an_author_learns_that_it_rang_and_that_a_person_has_seen_it(cluster, tmp_path):
    async with pager() as there:
        values = {**QUICK, "webhook": there.settings(tmp_path)}
        async with circle(cluster, tmp_path, ["acme", "birch"], values) as nodes:
            acme, birch = nodes["acme"], nodes["birch"]
            done = await filed(acme, "Two died", **GRAVE)
            [item] = await until_stage(acme, done["id"], "alerted")
            assert item["outcome"] == "stored"
            [alert] = (await get(birch, "/v1/alerts"))["items"]
            await post(birch, f"/v1/alerts/{alert['id']}/ack", {"by": "Kim"})
            [item] = await until_stage(acme, done["id"], "acknowledged")
            assert item["alerted_at"] is not None


async def test_many_entries_are_told_in_few_receipts(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await asyncio.gather(*(filed(acme, f"Number {n}") for n in range(40)))
        for one in done:
            await until_stage(acme, one["id"], "stored")
        size = (await get(birch, "/v1/node"))["log"]["size"]
    assert size < 40


async def test_what_is_owed_survives_the_node(cluster, tmp_path):
    """It is a row, gone in the transaction that logs it: a node that dies in between tells it when it is back."""
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        async with birch.node.pool.acquire() as conn:  # as if it had died a moment after the intake
            await conn.execute(
                "insert into receipt_due (origin, leaf_hash, state) values ($1, $2, 'stored')",
                acme.node.identity.node_id,
                os.urandom(32),
            )
        done = await filed(acme, "Something happened")
        await until_stage(acme, done["id"], "stored")
        async with birch.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from receipt_due") == 0


async def test_a_report_of_a_peer_has_no_receipts_here(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        done = await filed(nodes["acme"], "Something happened")
        await seen(nodes["birch"], done["id"])
        async with nodes["birch"].client.get(f"/v1/reports/{done['id']}/receipts") as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "not-ours")
        async with nodes["birch"].client.get(f"/v1/reports/incident--{uuid.uuid4()}/receipts") as answer:
            assert answer.status == 404


async def test_a_peer_cannot_speak_of_entries_that_it_never_got(acme, mallory):
    async with acme.client.post(
        "/v1/reports?share=false", data=acme.bundle("Ours alone"), headers=STIX
    ) as answer:
        done = await answer.json()
    stranger = os.urandom(32)
    content = write_receipt([Told(stranger, "stored", datetime.now(UTC))])
    name = f"receipt--{uuid.uuid4()}"
    sealed = mallory.sealed(acme, content, t="receipt", id=name, ref=stranger, tlp=Tlp.GREEN)
    mallory.append(acme, sealed)
    await mallory.ring()
    assert await outcomes(acme, 1) == [(0, "refused", "not-ours")]
    assert await receipts(acme, done["id"]) == []


async def test_an_entry_that_nobody_can_open_is_told_as_quarantined(acme, mallory):
    frame = mallory.publish(acme)
    mallory.entries[0] = type(frame)(frame.idx, frame.leaf, bytes(len(frame.wrap)), frame.ct)
    await mallory.ring()
    assert await outcomes(acme, 1) == [(0, "quarantined", "bad-wrap")]
    async with acme.node.pool.acquire() as conn:
        assert await conn.fetchval(
            "select report_id is not null from remote_entry where outcome = 'quarantined'"
        )

    async def told():
        return acme.node.ledger.head.size == 1

    await until(told)
