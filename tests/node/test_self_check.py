"""A4 and A24, the operator himself: a database that was restored from a backup never makes its node sign a second past."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import msgspec
import pytest
from tests.support.circle import QUICK, circle, filed, introduce, seen
from tests.support.node import open_here, settings_on
from tests.support.villain import get, until

from tocsin_federation.checkpoint import open_checkpoint
from tocsin_node.continuity import Continuity


class Elm:
    """A node that is stopped and started, on its database or on an older copy of it."""

    def __init__(self, cluster, directory, stack, database):
        self.cluster = cluster
        self.stack = stack
        self.settings = settings_on(directory / "elm", database, QUICK, org="elm")
        self.database = database

    @asynccontextmanager
    async def up(self):
        async with open_here(self.settings) as served:
            yield served

    async def dump(self):
        """A copy of the database as it is now; the node is down."""
        name = urlsplit(self.database.url).path.lstrip("/")
        return await self.stack.enter_async_context(self.cluster.database(template=name))

    def restore(self, dump, node_id):
        """Put the copy in its place, on another machine: no memory of this one is there."""
        database = msgspec.structs.replace(self.settings.database, url=dump.url)
        self.settings = msgspec.structs.replace(self.settings, database=database)
        Continuity(node_id).file.unlink(missing_ok=True)


@pytest.fixture
async def elm(cluster, database, tmp_path):
    async with AsyncExitStack() as stack:
        yield Elm(cluster, tmp_path, stack, database)


async def health_of(node, code):
    async def there():
        checks = (await get_health(node))["checks"]
        return [c for c in checks if c["code"] == code]

    return (await until(there))[0]


async def get_health(node):
    async with node.client.get("/healthz") as answer:
        return await answer.json()


async def heads_held(node, origin_of):
    """(size, root) of every head of that node's log that this one ever verified or cosigned."""
    vkey = origin_of.node.identity.statement.log.vkey
    async with node.node.pool.acquire() as conn:
        rows = await conn.fetch(
            "select note from remote_checkpoint where origin = $1 union select note from cosigned where log = $2",
            origin_of.node.identity.node_id,
            origin_of.node.identity.statement.log.origin,
        )
    return {(head.size, head.root) for head in (open_checkpoint(row[0], vkey) for row in rows)}


async def test_a24_a_restored_node_takes_its_log_back_from_its_peers_and_goes_on(elm, cluster, tmp_path):
    async with circle(cluster, tmp_path, ("fir", "oak")) as others:
        async with elm.up() as node:
            for name, other in others.items():
                await introduce("elm", node, name, other)
            first = await filed(node, "Before the backup")
            await seen(others["fir"], first["id"])
        dump = await elm.dump()
        async with elm.up() as node:
            lost = [await filed(node, f"After the backup {n}") for n in range(3)]
            for other in others.values():
                await seen(other, lost[-1]["id"])
            size = node.node.ledger.head.size
            node_id = node.node.identity.node_id
        elm.restore(dump, node_id)
        async with elm.up() as node:
            again = await filed(node, "After the restore")
            assert again["entry"]["index"] == size
            for other in others.values():
                await seen(other, again["id"])
                status = await get(other, "/v1/peers/elm")
                assert (status["state"], status["problem"]) == ("active", None)
                held = await heads_held(other, node)
                assert len({root for _, root in held}) == len({s for s, _ in held})
            assert (await get_health(node))["checks"]
            assert (await get(node, "/v1/node"))["log"]["lost"] == 3
            async with node.client.get("/v1/log/leaves") as answer:
                assert len(await answer.read()) == 32 * (size + 1)


async def test_a24_without_a_peer_to_ask_a_moved_node_signs_nothing_until_one_answers(elm, cluster, tmp_path):
    async with circle(cluster, tmp_path, ()), AsyncExitStack() as stack:
        fir_database = await stack.enter_async_context(cluster.database())
        fir = settings_on(tmp_path / "fir", fir_database, QUICK, org="fir")
        async with elm.up() as node, open_here(fir) as other:
            await introduce("elm", node, "fir", other)
            said = await filed(node, "First")
            await seen(other, said["id"])
            node_id = node.node.identity.node_id
        Continuity(node_id).file.unlink()
        async with elm.up() as node:
            check = await health_of(node, "log-unconfirmed")
            assert "tocsin node confirm" in check["hint"]
            waiting = asyncio.create_task(filed(node, "Held back"))
            async with open_here(fir) as other:
                node.node.self_check.nudge()
                await seen(other, (await waiting)["id"])


async def test_a24_a_named_person_may_let_it_go_on_but_not_when_it_is_known_to_be_old(elm, cluster, tmp_path):
    async with AsyncExitStack() as stack:
        fir_database = await stack.enter_async_context(cluster.database())
        fir = settings_on(tmp_path / "fir", fir_database, QUICK, org="fir")
        async with elm.up() as node, open_here(fir) as other:
            await introduce("elm", node, "fir", other)
            node_id = node.node.identity.node_id
        dump = await elm.dump()
        Continuity(node_id).file.unlink()
        async with elm.up() as node:
            await health_of(node, "log-unconfirmed")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert (await answer.json())["state"] == "confirmed"
            async with node.node.pool.acquire() as conn:
                assert await conn.fetchval("select by from log_confirmation") == "Ada"
            await filed(node, "After Ada's word")
        elm.settings = msgspec.structs.replace(
            elm.settings, database=msgspec.structs.replace(elm.settings.database, url=dump.url)
        )
        async with elm.up() as node:  # the machine remembers that the log was longer
            await health_of(node, "log-restored")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "log-restored")


async def test_a24_a_log_that_was_forced_on_stops_when_peers_hold_another_past_of_it(elm, cluster, tmp_path):
    async with AsyncExitStack() as stack:
        fir_database = await stack.enter_async_context(cluster.database())
        fir = settings_on(tmp_path / "fir", fir_database, QUICK, org="fir")
        async with elm.up() as node, open_here(fir) as other:
            await introduce("elm", node, "fir", other)
            node_id = node.node.identity.node_id
        dump = await elm.dump()
        async with elm.up() as node, open_here(fir) as other:
            await seen(other, (await filed(node, "Known to fir"))["id"])
        elm.restore(dump, node_id)
        async with elm.up() as node:
            await health_of(node, "log-unconfirmed")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert answer.status == 200
            await filed(node, "Signed by force")
            async with open_here(fir):
                node.node.self_check.nudge()
                check = await health_of(node, "log-contradicted")
                assert "tocsin key recover" in check["hint"]
            raw = node.bundle("Not signed any more")
            node.node.ledger.held_s = 0.1
            async with node.client.post(
                "/v1/reports", data=raw, headers={"Content-Type": "application/stix+json"}
            ) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "log-contradicted")
