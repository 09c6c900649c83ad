"""What a peer can have this node say, to its people or to others in its log, has a bound that no trick moves."""

import os
import uuid

from tests.node.test_complaints import complaints, log
from tests.node.test_complaints_end import against_its_marking, asked, line, standing, taken_back
from tests.node.test_emergencies import alone, call_of, calls, kinds
from tests.node.test_intake import taken
from tests.node.test_onward_readers import passed_on, readers, size_once_told
from tests.node.test_passing_on import LINE, NAMES
from tests.node.test_recalls import taken_back as recalled
from tests.node.test_recalls import until_done
from tests.support.circle import circle, introduce
from tests.support.node import open_here, settings_on
from tests.support.villain import GRAVE, get, incident_id_of, until, villain

from tocsin_federation.envelope import seal
from tocsin_federation.node_id import node_id_of
from tocsin_federation.onward import write_share
from tocsin_federation.recall import write_recall
from tocsin_federation.receipt import Told, write_receipt
from tocsin_node.services.ledger import Posting
from tocsin_node.storage import emergency_answers
from tocsin_node.storage.onward import MOST_READERS
from tocsin_node.storage.onward_readers import TURNS
from tocsin_schema.marking import Tlp

__all__ = ["alone", "line"]


async def rung(node):
    """How many alerts are here, and how many of those that were count for the day all the same."""
    async with node.node.pool.acquire() as conn:
        return tuple(
            await conn.fetchrow(
                "select (select count(*) from alert), (select count(*) from spent where what = 'alert')"
            )
        )


async def test_who_takes_back_what_it_has_rung_for_cannot_ring_once_more(database, tmp_path):
    values = {"alerts": {"peer_budget_per_day": 3}, "federation": {"backoff_max_s": 0.3, "long_poll_s": 1.0}}
    async with open_here(settings_on(tmp_path / "acme", database, values)) as acme, villain() as mallory:
        await mallory.join(acme)
        for n in range(5):
            frame = mallory.publish(acme, mallory.bundle(f"Grave {n}", **GRAVE))
            await taken(acme, mallory)
            recalled(mallory, acme, frame)
            await taken(acme, mallory)
            await until_done(acme, n + 1)
        assert await rung(acme) == (0, 3)


async def test_who_takes_back_what_it_called_an_emergency_cannot_call_another(alone):
    node, peer, _ = alone
    for n in range(5):
        raw = peer.bundle(f"Theirs {n}")
        frame = peer.publish(node, raw)
        for drill in (False, True):
            calls(node, peer, call_of(incident_id_of(raw), drill=drill))
        await taken(node, peer)
        recalled(peer, node, frame)
        await taken(node, peer)
        await until_done(node, n + 1)
    assert await kinds(node) == []
    async with node.node.pool.acquire() as conn:
        spent = await conn.fetch(
            "select what, count(*) from spent where what <> 'alert' group by what order by what"
        )
        assert [tuple(row) for row in spent] == [("drill", 3), ("emergency", 3)]
        assert await conn.fetchval("select count(*) from emergency") == 0


async def own_entries(node, kind):
    """How many entries of a kind a node has ever written, by the names of their kind that headers begin with."""
    async with node.node.pool.acquire() as conn:
        return await conn.fetchval(
            "select count(*) from log_entry where position($1::bytea in leaf) > 0", f'"t":"{kind}"'.encode()
        )


async def test_who_says_now_this_and_now_that_has_its_author_told_a_few_times_a_day(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        size = await size_once_told(fir)
        async with fir.node.pool.acquire() as conn:
            entry = await conn.fetchval("select leaf_hash from onward")
        for nth in range(10):
            state = ("refused", "stored")[nth % 2]
            told = write_receipt(
                [Told(entry, state, oak.node.now(), "some-reason" if state == "refused" else None)]
            )
            facts = {"id": f"receipt--00000000-0000-4000-8000-00000000000{nth}", "ver": 1, "tlp": Tlp.GREEN}
            before = oak.node.ledger.head.size
            await log(oak, "receipt", told, ["fir"], ref=entry, **facts)
            await until(lambda size=before: worked_through(fir, oak, size + 1))
            await until(lambda: all_told(fir))
        assert fir.node.ledger.head.size == size + TURNS - 1, (
            "that it was stored was the first word of the day"
        )
        told = write_receipt([Told(entry, "alerted", oak.node.now())])
        facts = {"id": f"receipt--{uuid.uuid4()}", "ver": 1, "tlp": Tlp.GREEN}
        await log(oak, "receipt", told, ["fir"], ref=entry, **facts)

        async def rang():
            (one,) = await readers(elm, report_id)
            return one["stage"] == "alerted" or one["stage"] == "refused"

        await until(rang)
        await until(lambda: grown(fir, size + TURNS))


async def all_told(node):
    """Whether nothing is owed to authors any more."""
    async with node.node.pool.acquire() as conn:
        return not await conn.fetchval("select exists (select from receipt_due)")


async def recalls_told(node):
    """Whether every recall that is to be told is."""
    async with node.node.pool.acquire() as conn:
        return not await conn.fetchval("select exists (select from recall_peer where idx is null)")


async def worked_through(node, other, size):
    """Whether `node` has dealt with so many entries of `other`'s log."""
    async with node.node.pool.acquire() as conn:
        return await conn.fetchval(
            "select exists (select from remote_log where origin = $1 and next_index >= $2)",
            other.node.identity.node_id,
            size,
        )


async def grown(node, size):
    return node.node.ledger.head.size >= size


async def test_who_narrows_again_and_again_has_those_that_we_passed_it_on_to_told_once(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        async with fir.node.pool.acquire() as conn:
            entry = await conn.fetchval("select leaf_hash from report where id = $1", report_id)
        for _ in range(3):
            now = elm.node.now()
            content = write_recall("narrow", [entry], "Mine.", at=now, deadline=now)
            facts = {"id": f"recall--{uuid.uuid4()}", "ver": 1, "tlp": Tlp.GREEN, "ref": entry}
            await log(elm, "recall", content, ["fir"], **facts)
        await until_done(fir, 3)
        await until(lambda: recalls_told(fir))
        assert await own_entries(fir, "recall") == 1
        await until_done(oak, 1)


async def test_who_takes_back_what_it_passed_on_against_its_marking_and_does_it_again_is_told_of_once(line):
    elm, fir, oak = line
    report_id, _ = await against_its_marking(elm, fir, oak)
    await introduce("elm", elm, "oak", oak)
    await oak.node.complaints.tell()
    await complaints(elm)
    async with fir.node.pool.acquire() as conn:
        share = await conn.fetchval("select leaf_hash from onward")
    await taken_back(fir, "oak", share)
    await asked(oak)

    async def ended():
        await oak.node.complaints.tell()
        return (await standing(oak))["report_id"] is None

    await until(ended)
    ready = await fir.node.passing_on._ready(await fir.node.reporting.get(report_id))
    facts = {"id": report_id, "ver": ready.stored.ver, "tlp": Tlp.AMBER_STRICT, "ref": ready.stored.leaf_hash}
    await log(fir, "share", write_share(ready.proof, client=False), ["oak"], **facts)
    await until(lambda: worked_through(oak, fir, fir.node.ledger.head.size))
    async with oak.node.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from complaint") == 1
    assert await oak.node.complaints.tell() == 0


async def test_a_caller_is_answered_about_what_rang_and_not_about_each_call_beyond_its_limit(alone):
    node, peer, _ = alone
    raw = peer.bundle("Theirs")
    peer.publish(node, raw)
    for _ in range(15):
        calls(node, peer, call_of(incident_id_of(raw), drill=True))
    await taken(node, peer)
    assert [rang for _, rang in await kinds(node)].count("emergency") == 3

    async def answered():
        async with node.node.pool.acquire() as conn:
            told = await conn.fetch("select emergency::text, stage from emergency_told")
            left = await emergency_answers.untold(conn, node.node.identity.node_id, [peer.node_id], 64)
        return len(told) >= 6 and not left and told

    told = await until(answered)
    assert {stage for _, stage in told} == {"stored", "rung"}
    assert len({name for name, _ in told}) == 3


async def test_of_whom_a_peer_says_to_have_passed_our_report_on_to_no_more_is_kept_than_can_be_shown(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        us = fir.node
        ready = await us.passing_on._ready(await us.reporting.get(report_id))
        key = us.peering.named("elm").identity.enc_key(us.now())
        for _ in range(10):
            names = {node_id_of(os.urandom(32)) for _ in range(200)}
            sealed = seal(
                t="share", id=report_id, ver=1, by=us.identity.node_id, tlp=Tlp.GREEN, now=us.now(), rng=us.rng,
                ref=ready.stored.leaf_hash, content=write_share(ready.proof, client=False),
                recipients=dict.fromkeys([*names, elm.node.identity.node_id], key),
            )  # fmt: skip
            await us.ledger.post(Posting(sealed=sealed))
        await until(lambda: worked_through(elm, fir, us.ledger.head.size))
        shown = (await get(elm, f"/v1/reports/{report_id}"))["passed_on"]
        told = sum(len(one["to"]) for one in shown)
        assert MOST_READERS <= told < MOST_READERS + 200
        assert oak.node.identity.node_id in {to["node_id"] for one in shown for to in one["to"]}
