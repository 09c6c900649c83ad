"""A log that is ended: by its owner after a theft, or because it was lost. Two real nodes, and peers without manners."""

import asyncio
import base64
import os
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from aiohttp import web
from tests.node.test_exchange import PATIENCE, introduced
from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.villain import (
    GRAVE,
    WITHIN_S,
    entries_body,
    get,
    incident_id_of,
    outcomes,
    peer_status,
    post,
    until,
    villain,
)

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.identity import extend, verify_chain
from tocsin_federation.merkle import leaf_hash, root_of
from tocsin_federation.statement import Void
from tocsin_node.recovery import last_good
from tocsin_node.rotation import Change, rotate
from tocsin_node.settings.loading import load
from tocsin_node.storage import deliveries
from tocsin_node.storage.pool import Address, connect
from tocsin_schema.check import check_bundle
from tocsin_schema.remarks import exposure
from tocsin_schema.stix import revise

STIX = {"Content-Type": "application/stix+json"}


async def file(node, raw, *, put=None):
    """File a report, or with `put` its next version, for all peers; what the node said."""
    method, path = ("PUT", f"/v1/reports/{put}") if put else ("POST", "/v1/reports")
    async with node.client.request(method, path, data=raw, headers=STIX) as answer:
        said = await answer.json()
        assert answer.status in {200, 201}, said
        return said


async def report(node, report_id):
    async with node.client.get(f"/v1/reports/{report_id}") as answer:
        return await answer.json() if answer.status == 200 else None


async def holds(node, report_id, **wanted):
    """The report as soon as the node holds it so."""

    async def there():
        found = await report(node, report_id)
        return found if found and all(found[name] == value for name, value in wanted.items()) else None

    return await until(there)


def next_version(raw, title):
    now = datetime.now(UTC)
    return revise(raw, {"title": title}, now=now)


async def alerts(node, report_id):
    return [a for a in (await get(node, "/v1/alerts?limit=500"))["items"] if a["report_id"] == report_id]


# The thief ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def connected(address):
    conn = await connect(address)
    try:
        yield conn
    finally:
        await conn.close()


@pytest.fixture
async def two_nodes(cluster, database, tmp_path):
    """The settings of two nodes, each with a database of its own; neither is open."""
    async with cluster.database() as other:
        yield (
            settings_on(tmp_path / "one", database, PATIENCE, org="One"),
            settings_on(tmp_path / "two", other, PATIENCE, org="Two"),
        )


def steal(settings, home):
    """The thief copies all keys but the offline one."""
    return shutil.copytree(settings.dir, home / "thief", ignore=shutil.ignore_patterns("offline"))


@asynccontextmanager
async def stolen(cluster, settings, theirs):
    """A thief's node at the victim's address, with what he took before and a copy of the database."""
    async with connected(Address(settings.database.url)) as conn:
        name = await conn.fetchval("select current_database()")
    async with cluster.database(template=name) as copy:
        text = (theirs / "node.toml").read_text().replace(settings.database.url, copy.url)
        (theirs / "node.toml").write_text(text)
        async with open_here(load(theirs, {})) as node:
            yield node


async def recover(settings, *, size=None, stole=True):
    """What `tocsin key recover --stolen log` does, with the node stopped."""
    if not stole:
        return await asyncio.to_thread(rotate, settings.dir, change=Change(("log",)))
    async with last_good(settings.dir, size) as good:
        return await asyncio.to_thread(rotate, settings.dir, change=Change(("log",), good.void))


async def test_what_a_thief_signed_with_the_stolen_log_key_is_disputed_until_its_author_says_what_is_so(
    two_nodes, cluster, tmp_path
):
    victim, peers = two_nodes
    async with open_here(peers) as peer:
        async with open_here(victim) as node:
            await introduced(node, peer)
            true = node.bundle("A true report")
            kept = node.bundle("Another true report")
            for raw in (true, kept):
                await holds(peer, (await file(node, raw))["id"])
            false = node.bundle("A false report")
        true_id, kept_id, false_id = map(incident_id_of, (true, kept, false))

        async with stolen(cluster, victim, steal(victim, tmp_path)) as thief:
            await file(thief, false)
            await file(thief, next_version(true, "A report turned round"), put=true_id)
            await holds(peer, false_id, disputed=False)
            await holds(peer, true_id, ver=2, title="A report turned round", disputed=False)
        rang = len((await get(peer, "/v1/alerts?limit=500"))["items"])

        await recover(victim)
        async with open_here(victim) as node:
            assert node.node.ledger.head.gen == 2
            assert node.node.ledger.head.size == 0
            # Before anything is published anew: kept, shown as disputed; what is good is not.
            for disputed in (false_id, true_id):
                await holds(peer, disputed, disputed=True)
            assert (await report(peer, kept_id))["disputed"] is False
            listed = (await get(peer, "/v1/reports"))["items"]
            assert {i["id"] for i in listed if i["disputed"]} == {false_id, true_id}
            assert {i["id"] for i in listed if i["trust"] == "disputed"} == {false_id, true_id}
            await until(lambda: _says(node, "republish-waiting"))
            # The author says what is so.
            told = await post(node, "/v1/log/republish", {})
            assert {i["id"]: i["outcome"] for i in told["items"]} == {
                true_id: "stored",
                kept_id: "stored",
            }
            found = await holds(peer, true_id, disputed=False)
            assert (found["ver"], found["title"]) == (1, "A true report")
            assert (await report(peer, false_id))["disputed"] is True
            assert (await post(node, "/v1/log/republish", {}))["items"] == []
            await until(lambda: _log_is_well(node))
            # Life goes on in the new generation, over the thief's count too.
            await file(node, next_version(true, "What we know now"), put=true_id)
            await holds(peer, true_id, ver=2, title="What we know now", disputed=False)
            status = await peer_status(peer, "One")
            assert (status["state"], status["problem"]) == ("active", None)
            async with peer.client.get(f"/v1/reports/{true_id}/proof") as answer:
                assert answer.status == 200, await answer.text()
            async with node.client.get(f"/v1/reports/{kept_id}/proof") as answer:
                assert answer.status == 200, await answer.text()
        assert len((await get(peer, "/v1/alerts?limit=500"))["items"]) == rang


async def test_the_thief_may_go_on_signing_but_nobody_follows_him_once_the_void_is_known(
    two_nodes, cluster, tmp_path
):
    victim, peers = two_nodes
    async with open_here(peers) as peer:
        async with open_here(victim) as node:
            await introduced(node, peer)
            await holds(peer, (await file(node, node.bundle("True")))["id"])
            false = node.bundle("Too late")
        theirs = steal(victim, tmp_path)
        await recover(victim)
        async with open_here(victim):
            await until(lambda: _follows(peer, 2))
        async with stolen(cluster, victim, theirs) as thief:
            await file(thief, false)
            await post(peer, "/v1/peers/One/sync", {})
            await until(lambda: _trouble(peer))
        assert await report(peer, incident_id_of(false)) is None


async def _follows(peer, gen):
    async with peer.node.pool.acquire() as conn:
        return await conn.fetchval("select true from remote_log where gen = $1", gen)


async def _says(node, code):
    return code in {check["code"] for check in (await get(node, "/healthz"))["checks"]}


async def _log_is_well(node):
    checks = (await get(node, "/healthz"))["checks"]
    return {c["status"] for c in checks if c["name"] in {"log", "ended-log"}} == {"ok"}


async def _trouble(peer):
    return (await peer_status(peer, "One"))["problem"]


async def test_a_log_key_that_was_lost_begins_a_new_generation_and_disputes_nothing(two_nodes):
    one, two = two_nodes
    async with open_here(one) as node:
        async with open_here(two) as peer:
            await introduced(node, peer)
            first = (await file(node, node.bundle("Fetched")))["id"]
            await holds(peer, first)
        missed = (await file(node, node.bundle("Not fetched yet")))["id"]
    await recover(one, stole=False)
    async with open_here(one) as node, open_here(two) as peer:
        await holds(peer, missed, disputed=False)  # the ended log is served to its end
        assert (await report(peer, first))["disputed"] is False
        later = (await file(node, node.bundle("In the new log")))["id"]
        await holds(peer, later, disputed=False)
        async with peer.node.pool.acquire() as conn:
            rows = await conn.fetch(
                "select gen, size, next_index, ended, disputed_from from remote_log order by gen"
            )
        assert [tuple(row) for row in rows] == [(1, 2, 2, True, None), (2, 1, 1, False, None)]


async def test_the_last_good_entry_may_lie_before_what_the_database_holds(two_nodes):
    one, two = two_nodes
    async with open_here(two) as peer:
        async with open_here(one) as node:
            await introduced(node, peer)
            ids = [(await file(node, node.bundle(f"Report {n}")))["id"] for n in range(3)]
            for each in ids:
                await holds(peer, each)
        await recover(one, size=1)
        async with open_here(one) as node:
            await holds(peer, ids[1], disputed=True)
            await holds(peer, ids[2], disputed=True)
            assert (await report(peer, ids[0]))["disputed"] is False
            await post(node, "/v1/log/republish", {"reports": [ids[1]]})
            await holds(peer, ids[1], disputed=False)
            assert (await report(peer, ids[2]))["disputed"] is True
            async with node.client.get(f"/v1/reports/{ids[2]}/proof") as answer:
                assert (await answer.json())["code"] == "not-in-log"


async def test_a_node_restored_from_a_backup_says_what_is_so_and_peers_keep_what_it_lost(
    two_nodes, cluster, database
):
    one, two = two_nodes
    async with open_here(two) as peer:
        async with open_here(one) as node:
            await introduced(node, peer)
            early = node.bundle("Before the backup")
            early_id = (await file(node, early))["id"]
            await holds(peer, early_id)
        async with connected(Address(one.database.url)) as conn:
            name = await conn.fetchval("select current_database()")
        async with cluster.database(template=name) as backup:
            async with open_here(one) as node:
                await file(node, next_version(early, "Said after it"), put=early_id)
                late = node.bundle("After the backup")
                late_id = (await file(node, late))["id"]
                await holds(peer, early_id, ver=2)
                await holds(peer, late_id)
            toml = one.dir / "node.toml"
            toml.write_text(toml.read_text().replace(one.database.url, backup.url))
            restored = load(one.dir, {})
            await recover(restored)
            async with open_here(restored) as node:
                for each in (early_id, late_id):
                    await holds(peer, each, disputed=True)
                assert await report(node, late_id) is None
                await post(node, "/v1/log/republish", {})
                await holds(peer, early_id, ver=1, title="Before the backup", disputed=False)
                async with peer.client.get(
                    f"/v1/reports/{late_id}", headers={"Accept": "application/stix+json"}
                ) as answer:
                    lost = await answer.read()
                assert lost == late
                await file(node, lost)  # asked back from a peer
                await holds(peer, late_id, disputed=False)
                status = await peer_status(peer, "One")
                assert (status["state"], status["problem"]) == ("active", None)


# Peers without manners -------------------------------------------------------------------------------------


def end_log(peer, size, leaves):
    """`peer` ends its log at the head over the first `size` of `leaves`, which it shows for it from now on."""
    entries, log, note = (
        list(peer.entries),
        peer.log,
        sign_checkpoint(peer.origin, size, root_of(leaves[:size]), peer.keys.log),
    )
    void = Void(gen=1, size=size, root=root_of(leaves[:size]))
    made, statement = extend(
        peer.chain,
        root_private=peer.keys.next_root,
        now=datetime.now(UTC),
        rng=os.urandom,
        replace=["log"],
        void=void,
    )
    peer.chain.append(statement)
    peer.identity = verify_chain(peer.chain, expected=peer.node_id, now=None)
    peer.keys = replace(peer.keys, log=made.log, next_root=made.next_root)
    peer.entries, peer.leaf_hashes = [], []

    async def old(request):
        if request.path.split("/")[3] != log:
            return None
        match request.path.split("/")[4]:
            case "checkpoint":
                return web.Response(body=note)
            case "tile":
                return web.Response(body=b"".join(leaves[:size]))
        start = int(request.query["from"])
        return web.Response(body=entries_body([f for f in entries if start <= f.idx < size], size))

    peer.hooks |= dict.fromkeys(("checkpoint", "tile", "entries"), old)


async def disputed_from(node):
    async def settled():
        async with node.node.pool.acquire() as conn:
            return await conn.fetchrow("select ended, disputed_from from remote_log where gen = 1 and ended")

    return tuple(await until(settled))


async def tell(peer, node):
    """The new statement, told by the peer itself."""
    chain = [base64.b64encode(s).decode() for s in peer.chain]
    status, body, _ = await peer.ask(
        node, "/f1/peer/statement", method="POST", body=orjson.dumps({"chain": chain})
    )
    assert status == 200, body


async def test_where_the_good_head_is_not_the_beginning_of_what_was_shown_all_of_it_is_disputed(
    acme, mallory
):
    ids = []
    for n in range(3):
        raw = mallory.bundle(f"Report {n}")
        ids.append(incident_id_of(raw))
        mallory.publish(acme, raw)
    await mallory.ring()
    await outcomes(acme, 3)
    other = [leaf_hash(b"what others were shown"), *mallory.leaf_hashes[1:]]
    end_log(mallory, 2, other)
    await tell(mallory, acme)
    for each in ids:  # at once, before anything more was fetched
        assert (await report(acme, each))["disputed"] is True
    assert await disputed_from(acme) == (True, 0)
    assert (await peer_status(acme))["state"] == "active"


async def test_a_reader_that_is_behind_fetches_what_is_good_and_nothing_beyond(acme, mallory):
    raws = [mallory.bundle(f"Report {n}") for n in range(4)]
    mallory.publish(acme, raws[0])
    await mallory.ring()
    await outcomes(acme, 1)

    async def away(request):
        request.transport.abort()
        return web.Response()

    mallory.hooks["checkpoint"] = away
    for raw in raws[1:]:
        mallory.publish(acme, raw)
    end_log(mallory, 3, list(mallory.leaf_hashes))
    await tell(mallory, acme)
    for raw in raws[:3]:
        await holds(acme, incident_id_of(raw), disputed=False)
    assert await disputed_from(acme) == (True, 3)
    assert await report(acme, incident_id_of(raws[3])) is None


async def test_a_reader_that_is_behind_and_was_shown_another_beginning_disputes_it(acme, mallory):
    raw = mallory.bundle("Shown to acme alone")
    mallory.publish(acme, raw)
    await mallory.ring()
    await outcomes(acme, 1)
    end_log(mallory, 2, [leaf_hash(b"one"), leaf_hash(b"two")])
    await tell(mallory, acme)
    await holds(acme, incident_id_of(raw), disputed=True)
    assert await disputed_from(acme) == (True, 0)


async def test_a_late_answer_of_who_had_the_key_does_not_pass_for_the_good_end(acme, mallory):
    """A long poll is answered by the thief after the void is known, with as many entries as are good."""
    true, false = mallory.bundle("True"), mallory.bundle("False")
    mallory.publish(acme, true)
    await mallory.ring()
    await outcomes(acme, 1)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def late(_request):
        asked.set()
        await answer.wait()
        return web.Response(body=note)

    mallory.hooks["checkpoint"] = late
    await mallory.ring()
    async with asyncio.timeout(WITHIN_S):
        await asked.wait()
    good = [*mallory.leaf_hashes, leaf_hash(b"true as well, and not fetched yet")]
    mallory.publish(acme, false)
    note, log, theirs, stolen = mallory.note(), mallory.log, list(mallory.leaf_hashes), list(mallory.entries)
    mallory.entries.pop()
    end_log(mallory, 2, good)
    honest, thrown_out = dict(mallory.hooks), asyncio.Event()

    async def checkpoint(request):
        if request.path.split("/")[3] == log:
            thrown_out.set()
        return await honest["checkpoint"](request)

    def stealing(kind, body):
        async def hook(request):
            his = request.path.split("/")[3] == log and not thrown_out.is_set()
            return web.Response(body=body) if his else await honest[kind](request)

        return hook

    mallory.hooks |= {
        "checkpoint": checkpoint,
        "tile": stealing("tile", b"".join(theirs)),
        "entries": stealing("entries", entries_body(stolen[1:], 2)),
    }
    await tell(mallory, acme)
    answer.set()
    mallory.publish(acme, raw := mallory.bundle("In the new log"))
    await mallory.ring()
    await holds(acme, incident_id_of(raw), disputed=False)
    assert await disputed_from(acme) == (True, 2)
    found = await report(acme, incident_id_of(false))
    assert found is None or found["disputed"]
    await holds(acme, incident_id_of(true), disputed=False)


async def test_the_new_log_is_followed_though_nothing_more_can_be_had_of_the_old_one(acme, mallory):
    mallory.publish(acme, mallory.bundle("Held"))
    await mallory.ring()
    await outcomes(acme, 1)
    end_log(mallory, 3, [*mallory.leaf_hashes, leaf_hash(b"lost"), leaf_hash(b"lost too")])
    old = mallory.hooks["checkpoint"]

    async def gone(request):
        answer = await old(request)
        return None if answer is None else web.json_response({"code": "log-unknown"}, status=404)

    mallory.hooks |= dict.fromkeys(("checkpoint", "tile", "entries"), gone)
    await tell(mallory, acme)
    raw = mallory.bundle("In the new log")
    mallory.publish(acme, raw)
    await mallory.ring()
    await holds(acme, incident_id_of(raw), disputed=False)


async def test_an_alert_about_a_disputed_report_waits_and_goes_when_its_author_says_it_again(
    database, tmp_path
):
    """Nothing rings for a thief's word, and nothing that was true is lost: it rings once, when it is confirmed."""
    async with villain() as mallory, pager(start=False) as there:
        settings = settings_on(tmp_path / "acme", database, {**PATIENCE, "webhook": there.settings(tmp_path)})
        async with open_here(settings) as acme:
            await mallory.join(acme)
            raws = [mallory.bundle(f"Two people died {n}", **GRAVE) for n in range(2)]
            for raw in raws:
                mallory.publish(acme, raw)
            await mallory.ring()
            await outcomes(acme, 2)
            end_log(mallory, 0, [])
            await tell(mallory, acme)
            for raw in raws:
                await holds(acme, incident_id_of(raw), disputed=True)
            async with acme.node.pool.acquire() as conn:  # it waits for its author, and for no channel
                await conn.execute(
                    "update delivery set created_at = now() - interval '1 hour', not_before = null"
                )
                assert (await deliveries.backlog(conn, ["webhook"])).waiting_s == 0
            await there.start()
            true = [mallory.bundle("Two people died elsewhere", **GRAVE), raws[1]]
            for raw in true:  # the first is news: when it has rung, what waited before it would have gone too
                mallory.publish(acme, raw)
                await mallory.ring()
                await holds(acme, incident_id_of(raw), disputed=False)

            async def rung():
                return [a["report_id"] for a in there.alerts] if len(there.alerts) >= 2 else None

            assert set(await until(rung)) == {incident_id_of(raw) for raw in true}


async def test_a_remark_by_the_thief_gives_way_to_the_next_one_whatever_its_time(acme, mallory):
    raw = acme.bundle("Ours, that mallory speaks of")
    said = await file(acme, raw)
    ref = {"ver": 1, "ref": bytes.fromhex(said["entry"]["leaf_hash"])}
    report_id = said["id"]

    def word(text, modified):
        content = exposure(check_bundle(raw).report, text, producer=mallory.producer, now=modified)
        mallory.publish(acme, content, t="remark", id=report_id, **ref)

    async def remark(disputed):
        items = (await get(acme, f"/v1/reports/{report_id}/remarks"))["items"]
        return (
            [(i["said"], i["disputed"]) for i in items]
            if items and items[0]["disputed"] is disputed
            else None
        )

    word("not-affected", datetime.now(UTC) + timedelta(days=300))
    await mallory.ring()
    assert await until(lambda: remark(False)) == [("not-affected", False)]
    end_log(mallory, 0, [])
    await tell(mallory, acme)
    assert await until(lambda: remark(True)) == [("not-affected", True)]
    word("affected", datetime.now(UTC))
    await mallory.ring()
    assert await until(lambda: remark(False)) == [("affected", False)]


# What was said in a log that ended -----------------------------------------------------------------------------

RECALL = {"by": "Kim", "reason": "It names a patient."}


async def grown(node, size):
    """The size of its log, as soon as it is larger than that."""
    await until(lambda: _larger(node, size))
    return node.node.ledger.head.size


async def _larger(node, size):
    return node.node.ledger.head.size > size


async def confirmed(node, report_id):
    """Return when everybody has said that what a recall asks is done."""

    async def done():
        items = (await get(node, f"/v1/reports/{report_id}/receipts"))["recalls"]
        return items and all(item["stage"] == "purged" for item in items)

    await until(done)


async def test_a_recall_that_readers_never_come_to_since_its_log_has_ended_before_it_is_told_again(two_nodes):
    ours, theirs = two_nodes
    async with open_here(ours) as node:
        async with open_here(theirs) as peer:
            await introduced(node, peer)
            done = await file(node, node.bundle("Something happened"))
            await holds(peer, done["id"])
        size = node.node.ledger.head.size
        await post(node, f"/v1/reports/{done['id']}/recall", RECALL)
        await grown(node, size)
    await recover(ours, size=size)
    async with open_here(ours) as node, open_here(theirs) as peer:
        await confirmed(node, done["id"])
        assert await report(peer, done["id"]) is None


async def test_who_did_what_a_recall_asked_says_so_again_when_the_log_that_said_it_has_ended(two_nodes):
    ours, theirs = two_nodes
    async with open_here(ours) as node, open_here(theirs) as peer:
        await introduced(node, peer)
        done = await file(node, node.bundle("Something happened"))
        await holds(peer, done["id"])
        size = peer.node.ledger.head.size
        waits = await post(node, f"/v1/reports/{done['id']}/recall", RECALL)
        assert waits["outcome"] == "recalled"
        await confirmed(node, done["id"])
        async with node.node.pool.acquire() as conn:  # as if it had not come to that entry
            await conn.execute("update receipt set purged_at = null")
    await recover(theirs, size=size)
    async with open_here(ours) as node, open_here(theirs) as peer:
        assert peer.node.ledger.head.gen == 2
        await confirmed(node, done["id"])


async def test_what_a_thief_takes_back_goes_to_nobody_who_was_not_asked_before_his_words_are_disputed(
    cluster, database, tmp_path
):
    """Where people are asked, his recall waits; it waits for nobody once its author disputes it."""
    asks = {"federation": {**PATIENCE["federation"], "recall": "ask"}}
    victim = settings_on(tmp_path / "one", database, PATIENCE, org="One")
    async with cluster.database() as other, open_here(settings_on(tmp_path / "two", other, asks)) as peer:
        async with open_here(victim) as node:
            await introduced(node, peer)
            done = await file(node, node.bundle("A true report"))
            await holds(peer, done["id"])
        async with stolen(cluster, victim, steal(victim, tmp_path)) as thief:
            await post(thief, f"/v1/reports/{done['id']}/recall", RECALL)
            await until(lambda: _asked(peer, "recall-waits"))
        async with connected(Address(victim.database.url)) as conn:
            size = await conn.fetchval("select count(*) from log_entry")
        await recover(victim, size=size)
        async with open_here(victim):
            await until(lambda: _asked(peer, None))
            await peer.node.recalling.obey_all()
            assert await report(peer, done["id"])


async def _asked(node, code):
    return (await node.node.recalling.asked()).code == code
