"""Who has a report that was passed on is told to its author, by who passed it on, up to its being purged there."""

import pytest
from tests.node.test_complaints import log
from tests.node.test_passing_on import LINE, NAMES, policy, share
from tests.node.test_recalls import WHY, gone, until_recall
from tests.support.circle import circle, filed, seen
from tests.support.villain import get, peer_status, post, until

from tocsin_federation.envelope import seal
from tocsin_federation.onward import write_share
from tocsin_federation.receipt import Told, write_receipt
from tocsin_node.services.ledger import Posting
from tocsin_schema.marking import Tlp


async def readers(node, report_id):
    return (await get(node, f"/v1/reports/{report_id}/receipts"))["readers"]


async def until_stage(node, report_id, stage):
    async def there():
        found = await readers(node, report_id)
        return found if [one["stage"] for one in found] == [stage] else None

    return await until(there)


async def size_once_told(node):
    """How long the node's log is, as soon as it owes nobody a receipt of its own."""

    async def told():
        async with node.node.pool.acquire() as conn:
            owed, size = await conn.fetchrow(
                "select (select count(*) from receipt_due where by = ''), (select count(*) from log_entry)"
            )
        return size if owed == 0 and size == node.node.ledger.head.size else None

    return await until(told)


async def passed_on(elm, fir, oak):
    """A report of elm's that fir has passed on to oak, whom elm does not know, when elm knows that oak holds it."""
    done = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
    await seen(fir, done["id"])
    await share(fir, done["id"], "oak")
    await seen(oak, done["id"])
    (one,) = await until_stage(elm, done["id"], "stored")
    assert (one["by"]["name"], one["by"]["ours"], one["ver"], one["code"]) == ("fir", False, 1, None)
    assert one["peer"]["node_id"] == oak.node.identity.node_id
    return done["id"]


async def told_on(elm, fir, oak, report_id):
    """Postings of fir's, not in its log yet: that it passes elm's report on to oak, and that oak has stored it."""
    us = fir.node
    ready = await us.passing_on._ready(await us.reporting.get(report_id))
    author, reader = elm.node.identity.node_id, oak.node.identity.node_id
    header = {"by": us.identity.node_id, "ver": 1, "tlp": Tlp.GREEN, "now": us.now(), "rng": us.rng}
    given = seal(
        t="share", id=report_id, content=write_share(ready.proof, client=False),
        recipients=us.peering.enc_keys([author, reader]), ref=ready.stored.leaf_hash, **header,
    )  # fmt: skip
    told = write_receipt([Told(given.leaf_hash, "stored", us.now(), by=reader)])
    said = seal(
        t="receipt", id="receipt--00000000-0000-4000-8000-000000000001", content=told,
        recipients=us.peering.enc_keys([author]), ref=given.leaf_hash, **header,
    )  # fmt: skip
    return Posting(sealed=given), Posting(sealed=said)


async def test_an_author_learns_who_holds_its_report_through_a_peer_and_that_it_is_purged_there(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        (ours,) = await readers(fir, report_id)
        assert (ours["by"]["ours"], ours["peer"]["name"], ours["stage"]) == (True, "oak", "stored")
        await post(elm, f"/v1/reports/{report_id}/recall", WHY)
        await gone(oak, report_id)
        (one,) = await until_stage(elm, report_id, "purged")
        assert one["peer"]["node_id"] == oak.node.identity.node_id


async def test_what_the_author_has_erased_is_followed_until_the_last_has_purged_it(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        await post(elm, f"/v1/reports/{report_id}/erase", WHY)
        (one,) = await until_stage(elm, report_id, "purged")
        assert (one["by"]["name"], one["ver"]) == ("fir", 1)
        async with elm.node.pool.acquire() as conn:
            assert report_id not in str([tuple(row) for row in await conn.fetch("table onward_reader")])


async def test_the_author_learns_that_who_passed_it_on_took_it_back_by_himself(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        await post(fir, f"/v1/reports/{report_id}/erase", WHY)
        await until_stage(elm, report_id, "purged")
        await gone(oak, report_id)


async def test_nothing_is_told_of_a_reader_that_was_promised_to_be_named_to_nobody(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        await policy(fir, "oak", unnamed=True)
        await post(elm, f"/v1/reports/{report_id}/recall", WHY)
        await until_recall(fir, report_id, "purged")
        size = await size_once_told(fir)
        await fir.node.receipting.tell()
        assert fir.node.ledger.head.size == size
        async with fir.node.pool.acquire() as conn:
            due = await conn.fetch("select by, state from receipt_due where by <> ''")
        assert [tuple(row) for row in due] == [(oak.node.identity.node_id, "purged")]
        assert [one["stage"] for one in await readers(elm, report_id)] == ["stored"]


async def test_what_is_told_of_a_reader_together_with_its_being_given_to_it_counts(cluster, tmp_path):
    """The author was away: it reads that the report was passed on, and how far that got, in one batch."""
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        done = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, done["id"])
        await fir.node.ledger.post(*await told_on(elm, fir, oak, done["id"]))
        (one,) = await until_stage(elm, done["id"], "stored")
        assert one["peer"]["node_id"] == oak.node.identity.node_id


@pytest.mark.parametrize(
    "whose", ["a reader that it did not pass it on to", "an entry that passed nothing on"]
)
async def test_a_peer_cannot_tell_of_what_it_did_not_pass_on(cluster, tmp_path, whose):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        async with elm.node.pool.acquire() as conn:
            entry = await conn.fetchval("select leaf_hash from onward")
        by = oak.node.identity.node_id
        if whose.startswith("a reader"):
            by = elm.node.identity.node_id
        else:
            entry = bytes(32)
        told = write_receipt([Told(entry, "purged", elm.node.now(), by=by)])
        facts = {"id": "receipt--00000000-0000-4000-8000-000000000001", "ver": 1, "tlp": Tlp.GREEN}
        await log(fir, "receipt", told, ["elm"], ref=entry, **facts)

        async def refused():
            return [o for o in (await peer_status(elm, "fir"))["recent"] if o["code"] == "not-ours"]

        await until(refused)
        assert [one["stage"] for one in await readers(elm, report_id)] == ["stored"]


async def test_who_says_the_same_again_and_again_has_nobody_told_again(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        await passed_on(elm, fir, oak)
        async with fir.node.pool.acquire() as conn:
            entry = await conn.fetchval("select leaf_hash from onward")
        size = await size_once_told(fir)
        for nth, state in enumerate(("stored", "stored", "alerted")):
            told = write_receipt([Told(entry, state, oak.node.now())])
            facts = {"id": f"receipt--00000000-0000-4000-8000-00000000000{nth}", "ver": 1, "tlp": Tlp.GREEN}
            await log(oak, "receipt", told, ["fir"], ref=entry, **facts)
        (one,) = await until_stage(elm, (await readers_of(elm))[0], "alerted")
        assert one["since"] is not None
        assert fir.node.ledger.head.size == size + 1


async def test_a_reader_that_told_one_thing_twice_while_we_were_away_holds_up_nothing(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        async with fir.node.pool.acquire() as conn:
            entry = await conn.fetchval("select leaf_hash from onward")
        postings = []
        for nth, code in enumerate(("one-reason", "another-reason")):
            sealed = seal(
                t="receipt",
                by=oak.node.identity.node_id,
                content=write_receipt([Told(entry, "refused", oak.node.now(), code)]),
                recipients=oak.node.peering.enc_keys([fir.node.identity.node_id]),
                now=oak.node.now(),
                rng=oak.node.rng,
                id=f"receipt--00000000-0000-4000-8000-00000000000{nth}",
                ver=1,
                tlp=Tlp.GREEN,
                ref=entry,
            )
            postings.append(Posting(sealed=sealed))
        await oak.node.ledger.post(*postings)
        (one,) = await until_stage(elm, report_id, "refused")
        assert one["code"] == "another-reason"


async def readers_of(node):
    """The ids of the reports that a node holds."""
    return [item["id"] for item in (await get(node, "/v1/reports"))["items"]]


async def test_an_author_is_not_told_what_it_has_said_itself(cluster, tmp_path):
    """It holds the share, too, and says so to who passed on."""
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await passed_on(elm, fir, oak)
        author = elm.node.identity.node_id

        async def said():
            async with fir.node.pool.acquire() as conn:
                return await conn.fetchval(
                    "select count(*) from receipt c join onward o on o.by = $1 and o.gen = c.gen and o.idx = c.idx "
                    "where c.node = $2 and c.outcome = 'stored'",
                    fir.node.identity.node_id,
                    author,
                )

        assert await until(said)
        await post(elm, f"/v1/reports/{report_id}/erase", WHY)
        await until_stage(elm, report_id, "purged")
        async with fir.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from receipt_due where by = $1", author) == 0
        async with elm.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from remote_entry where code = 'not-ours'") == 0


async def test_what_is_told_of_the_passing_on_of_what_was_erased_meanwhile_is_kept_out_like_that(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        done = await filed(elm, "Told to fir", tlp=Tlp.GREEN)
        await seen(fir, done["id"])
        given, said = await told_on(elm, fir, oak, done["id"])
        await post(elm, f"/v1/reports/{done['id']}/erase", WHY)
        await fir.node.ledger.post(given)
        await fir.node.ledger.post(said)

        async def refused():
            async with elm.node.pool.acquire() as conn:
                rows = await conn.fetch(
                    "select code from remote_entry where leaf_hash = any($1::bytea[])",
                    [given.sealed.leaf_hash, said.sealed.leaf_hash],
                )
            return [row[0] for row in rows] if len(rows) == 2 else None

        assert await until(refused) == ["erased", "erased"]
        found = await get(elm, "/v1/peers/fir/verify")
        assert [one["code"] for one in found["their_log"]["differences"]] == []
