"""A log that is ended: by its owner after a theft, or because it was lost. Two real nodes, and peers without manners."""

import asyncio
import shutil
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tests.node.test_exchange import PATIENCE, introduced
from tests.support.node import open_here, settings_on
from tests.support.villain import get, incident_id_of, peer_status, post, until

from tocsin_node.recovery import last_good
from tocsin_node.rotation import Change, rotate
from tocsin_node.settings import load
from tocsin_node.storage.pool import Address, connect
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
    cluster, database, tmp_path
):
    async with cluster.database() as other:
        victim = settings_on(tmp_path / "victim", database, PATIENCE, org="Victim")
        peers = settings_on(tmp_path / "peer", other, PATIENCE, org="Peer")
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
                assert (await get(node, "/healthz"))["status"] == "degraded"
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
                checks = (await get(node, "/healthz"))["checks"]
                assert {c["status"] for c in checks if c["name"] == "log"} == {"ok"}
                # Life goes on in the new generation, over the thief's count too.
                await file(node, next_version(true, "What we know now"), put=true_id)
                await holds(peer, true_id, ver=2, title="What we know now", disputed=False)
                status = await peer_status(peer, "Victim")
                assert (status["state"], status["problem"]) == ("active", None)
                async with peer.client.get(f"/v1/reports/{true_id}/proof") as answer:
                    assert answer.status == 200, await answer.text()
                async with node.client.get(f"/v1/reports/{kept_id}/proof") as answer:
                    assert answer.status == 200, await answer.text()
            assert len((await get(peer, "/v1/alerts?limit=500"))["items"]) == rang


async def test_the_thief_may_go_on_signing_but_nobody_follows_him_once_the_void_is_known(
    cluster, database, tmp_path
):
    async with cluster.database() as other:
        victim = settings_on(tmp_path / "victim", database, PATIENCE, org="Victim")
        peers = settings_on(tmp_path / "peer", other, PATIENCE, org="Peer")
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
                await post(peer, "/v1/peers/Victim/sync", {})
                await until(lambda: _trouble(peer))
            assert await report(peer, incident_id_of(false)) is None


async def _follows(peer, gen):
    async with peer.node.pool.acquire() as conn:
        return await conn.fetchval("select true from remote_log where gen = $1", gen)


async def _trouble(peer):
    return (await peer_status(peer, "Victim"))["problem"]


async def test_a_log_key_that_was_lost_begins_a_new_generation_and_disputes_nothing(
    cluster, database, tmp_path
):
    async with cluster.database() as other:
        one = settings_on(tmp_path / "one", database, PATIENCE, org="One")
        two = settings_on(tmp_path / "two", other, PATIENCE, org="Two")
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


async def test_the_last_good_entry_may_lie_before_what_the_database_holds(cluster, database, tmp_path):
    async with cluster.database() as other:
        one = settings_on(tmp_path / "one", database, PATIENCE, org="One")
        two = settings_on(tmp_path / "two", other, PATIENCE, org="Two")
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
