"""Peers compare what they are shown: who has two faces is convicted, and nobody else."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from tests.support.circle import circle
from tests.support.villain import entries_body, get, peer_status, until, villain

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.evidence import Evidence, read_evidence, verify_evidence, write_evidence
from tocsin_federation.gossip import write_answer
from tocsin_federation.merkle import parse_tile_path, past_proof, root_of
from tocsin_federation.request_auth import SIGNATURE_INPUT


class TwoFaces:
    """Shows each node the log that is meant for it. `faces`: NodeID → leaf hashes."""

    def __init__(self, mallory):
        self.mallory = mallory
        self.faces = {}
        mallory.hooks["checkpoint"] = self.checkpoint
        mallory.hooks["tile"] = self.tile
        mallory.hooks["entries"] = self.entries
        mallory.hooks["/f1/wit/heads"] = self.heads

    def leaves_for(self, request):
        keyid = request.headers[SIGNATURE_INPUT].split('keyid="')[1]
        return self.faces.get(keyid.partition("#")[0], [])

    async def checkpoint(self, request):
        leaves = self.leaves_for(request)
        return web.Response(body=self.mallory.note(len(leaves), root_of(leaves)))

    async def tile(self, request):
        _, index, width = parse_tile_path(request.path.split("/", 4)[4])
        body = b"".join(self.leaves_for(request)[index * 256 : index * 256 + width])
        return web.Response(body=body)

    async def entries(self, request):
        return web.Response(body=entries_body([], len(self.leaves_for(request))))

    async def heads(self, _request):
        return web.Response(body=write_answer([]))


@pytest.fixture
async def town(cluster, tmp_path):
    """Three nodes that are peers of each other, and of mallory, who has two faces."""
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(circle(cluster, tmp_path, ("fir", "oak", "yew")))
        mallory = await stack.enter_async_context(villain())
        for node in nodes.values():
            await mallory.join(node)
        yield nodes, TwoFaces(mallory)


async def followed(node, size):
    async def there():
        return (await peer_status(node))["log"]["size"] == size

    node.node.exchange.sweep()
    await until(there)


def leaves(first, count, changed=None):
    made = [bytes([first + n]) * 32 for n in range(count)]
    if changed is not None:
        made[changed] = b"\xff" * 32
    return made


async def evidence_of(node):
    async with node.client.get("/v1/peers/mallory/evidence") as answer:
        assert answer.status == 200
        return await answer.read()


@pytest.mark.parametrize(("one", "other"), [(300, 300), (300, 520), (520, 300), (1, 2), (256, 257)])
async def test_a4_a_split_view_is_found_by_gossip_and_proven_to_strangers(town, one, other):
    nodes, faces = town
    fir, oak, yew = nodes.values()
    face, second = leaves(1, 200) * 3, leaves(1, 200, changed=0) * 3
    for node, shown, size in ((fir, face, one), (oak, second, other), (yew, face, one)):
        faces.faces[node.node.identity.node_id] = shown[:size]
        await followed(node, size)
    await fir.node.gossip.ask(fir.node.peering.named("oak"))
    status = await peer_status(fir)
    assert (status["state"], status["problem"]["code"]) == ("suspect", "log-fork")
    convicted = verify_evidence(read_evidence(await evidence_of(fir)), expected=faces.mallory.node_id)
    assert {convicted.first.size, convicted.second.size} == {one, other}
    for node in (oak, yew):  # they learn of it from fir, and believe the evidence alone
        await node.node.gossip.ask(node.node.peering.named("fir"))
        assert (await peer_status(node))["state"] == "suspect"
        verify_evidence(read_evidence(await evidence_of(node)), expected=faces.mallory.node_id)
    for node in nodes.values():
        for peer in (await get(node, "/v1/peers"))["items"]:
            assert (peer["state"] == "suspect") == (peer["node_id"] == faces.mallory.node_id)


async def test_a4_a_log_that_only_grew_convicts_nobody(town):
    nodes, faces = town
    fir, oak, yew = nodes.values()
    whole = leaves(1, 200) * 3
    for node, size in ((fir, 40), (oak, 300), (yew, 513)):
        faces.faces[node.node.identity.node_id] = whole[:size]
        await followed(node, size)
    for node in nodes.values():
        await node.node.gossip.round()
        assert (await peer_status(node))["state"] == "active"


async def test_a4_who_tells_lies_about_another_convicts_nobody(town):
    """Mallory tells of fir's log: heads that fir did not sign, evidence that proves nothing, and another's past."""
    nodes, faces = town
    fir, oak, _ = nodes.values()
    mallory = faces.mallory
    key = fir.node.identity.statement.log
    forged = sign_checkpoint(key.origin, 1, bytes(32), mallory.keys.log)
    honest = fir.node.ledger.head.note
    whole = leaves(1, 9)
    forks = [
        Evidence(v=1, kind="fork", chain=tuple(fir.node.identity.chain), held=a, offered=b, path=tuple(path))
        for a, b, path in ((honest, forged, []), (honest, honest, []), (honest, forged, past_proof(whole, 4)))
    ]

    async def lies(_request):
        return web.Response(body=write_answer([forged, honest], [*map(write_evidence, forks), b"{}"]))

    mallory.hooks["/f1/wit/heads"] = lies
    await oak.node.gossip.ask(oak.node.peering.named("mallory"))
    assert (await get(oak, "/v1/peers/fir"))["state"] == "active"


async def test_a9_a_head_that_no_witness_has_cosigned_for_a_day_is_stale(town):
    nodes, faces = town
    fir = nodes["fir"]

    async def stale():
        async with fir.client.get("/healthz") as answer:
            checks = (await answer.json())["checks"]
        return [c["code"] for c in checks if c["name"] == "witnesses"]

    async with fir.node.pool.acquire() as conn:
        for hours, expected in ((24, [None]), (26, ["head-stale"])):
            at = datetime.now(UTC) - timedelta(hours=hours)
            await conn.execute("delete from cosignature where log = $1", faces.mallory.origin)
            await conn.execute(
                "insert into cosignature (log, witness, size, at, line) values ($1, 'n1', 0, $2, '')",
                faces.mallory.origin,
                at,
            )

            async def as_expected(expected=expected):
                return await stale() == expected

            await until(as_expected)
