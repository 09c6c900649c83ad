"""Whoever sits on the line: rewrites and doubles headers, says again what was said, and cuts answers wherever it likes."""

import base64
import os
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from multidict import CIMultiDict
from tests.node.conftest import QUICK
from tests.support.node import open_here, settings_on
from tests.support.villain import entries_body, get, outcomes, until, villain

from tocsin_federation.keys import public_of
from tocsin_federation.peering import mint_invite
from tocsin_federation.request_auth import keyid_of

STIX = {"Content-Type": "application/stix+json"}
SIGNED = ("Content-Digest", "Tocsin-Dest", "Signature-Input", "Signature")


async def state_of(node):
    """Everything that a replay could have changed."""
    peer = await get(node, "/v1/peers/mallory")
    log = (await get(node, "/v1/node"))["log"]
    reports = (await get(node, "/v1/reports?limit=500"))["items"]
    return peer["state"], peer["outcomes"], log["size"], log["root"], [(r["id"], r["ver"]) for r in reports]


async def status_of(peer, node, path, headers):
    async with peer.http.get(node.url + path, headers=headers) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
async def test_a2_a_proxy_that_doubles_a_header_with_a_lie_gains_nothing(acme, mallory, name, first):
    """Whichever of the two a node reads, the answer is a refusal or that to the request as it was signed."""
    path = mallory.log_path(acme, "checkpoint?since=0&wait=0")
    honest = mallory.signed(acme, "GET", path)
    other = mallory.signed(acme, "GET", mallory.log_path(acme, "entries?from=0&max=1"))
    lie = {**other, "Tocsin-Dest": mallory.node_id, "Content-Digest": "sha-256=:AAAA:"}[name]
    headers = CIMultiDict(honest)
    headers.popall(name)
    for value in (lie, honest[name]) if first else (honest[name], lie):
        headers.add(name, value)
    status, body = await status_of(mallory, acme, path, headers)
    assert (status, body) == (200, acme.node.ledger.head.note) or status == 401


@pytest.mark.parametrize("name", SIGNED)
async def test_a2_a_proxy_that_rewrites_or_drops_a_header_is_refused(acme, mallory, name):
    path = mallory.log_path(acme, "checkpoint?since=0&wait=0")
    rewritten = mallory.signed(acme, "GET", path)
    rewritten[name] = (
        rewritten[name][:-2] + ("A" if rewritten[name][-2] != "A" else "B") + rewritten[name][-1]
    )
    assert (await status_of(mallory, acme, path, rewritten))[0] == 401
    dropped = mallory.signed(acme, "GET", path)
    del dropped[name]
    assert (await status_of(mallory, acme, path, dropped))[0] == 401


async def has_said(node, size):
    return node.node.ledger.head.size == size


async def test_a3_what_is_said_again_after_a_restart_has_lost_the_nonces_changes_nothing(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database, QUICK)
    async with villain() as mallory:
        async with open_here(settings) as acme:
            await mallory.join(acme)
            async with acme.client.post("/v1/reports", data=acme.bundle("One"), headers=STIX) as answer:
                assert answer.status == 201
            mallory.publish(acme)
            await mallory.ring()
            await outcomes(acme, 1)
            await until(lambda: has_said(acme, 2))  # its report, and its receipt for mallory's
            said = []
            for rest in ("checkpoint?since=0&wait=0", "tile/0/000.p/1", "entries?from=0&max=10"):
                path = mallory.log_path(acme, rest)
                said.append((path, mallory.signed(acme, "GET", path)))
            first = [await status_of(mallory, acme, *one) for one in said]
            assert [status for status, _ in first] == [200, 200, 200]
            assert [(await status_of(mallory, acme, *one))[0] for one in said] == [401, 401, 401]
            before = await state_of(acme)
        async with open_here(settings) as acme:
            again = [await status_of(mallory, acme, *one) for one in said]
            assert again == first, "it learns what it was told already, and nothing else"
            assert await state_of(acme) == before


async def test_p14_an_answer_that_is_cut_at_any_byte_is_taken_up_again_and_doubles_nothing(
    database, tmp_path
):
    """At every byte around the edges of frames and trailer, and here and there within them."""
    patience = {"federation": {**QUICK["federation"], "backoff_max_s": 0.01}}
    async with open_here(settings_on(tmp_path / "acme", database, patience)) as acme, villain() as mallory:
        await mallory.join(acme)
        for n in range(3):
            mallory.publish(acme, mallory.bundle(f"Report {n}"))
        body = entries_body(mallory.entries, 3)
        edges = {
            sum(len(entries_body([f], 0)) - len(entries_body([], 0)) for f in mallory.entries[:n])
            for n in range(4)
        }
        near = {edge + step for edge in edges for step in range(-4, 5)} | set(range(0, len(body), 257))
        cuts = iter(sorted(at for at in near if 0 <= at < len(body)))
        tried = []

        async def cut(request):
            at = next(cuts, None)
            if at is None:
                return None
            tried.append(at)
            answer = web.StreamResponse()
            answer.content_length = len(body)
            await answer.prepare(request)
            await answer.write(body[:at])
            request.transport.abort()
            return answer

        mallory.hooks["entries"] = cut
        await mallory.ring()
        got = await until(lambda: all_of(acme, 3), within_s=120)
        assert got == [(n, "stored", None) for n in range(3)]
        assert len(tried) > 40
        assert (await get(acme, "/v1/peers/mallory"))["outcomes"]["stored"] == 3
        assert sorted(r["ver"] for r in (await get(acme, "/v1/reports"))["items"]) == [1, 1, 1]


@pytest.mark.parametrize("theirs", ["thief", "victim-then-thief"])
async def test_a18_who_answers_at_a_peers_address_with_another_identity_is_not_that_peer(
    acme, mallory, stranger, theirs
):
    """A domain, its certificate and its address are worth nothing without the keys of the NodeID."""
    thief = [] if theirs == "thief" else mallory.chain
    chain = [base64.b64encode(statement).decode() for statement in [*thief, *stranger.chain]]

    async def another(_request):
        return web.json_response({"chain": chain})

    mallory.hooks["/.well-known/tocsin"] = another
    before = await get(acme, "/v1/peers/mallory")
    invite, _ = mint_invite(
        mallory.node_id, mallory.url, now=datetime.now(UTC), ttl=timedelta(days=1), rng=os.urandom
    )
    async with acme.client.post("/v1/peers/join", json={"invite": invite, "name": "twin"}) as said:
        assert said.status >= 400
    path = stranger.log_path(acme, "checkpoint?since=0&wait=0")
    assert (await stranger.ask(acme, path))[0] == 401
    claimed = stranger.signed(
        acme, "GET", path, keyid=keyid_of(mallory.node_id, public_of(mallory.keys.http))
    )
    assert (await status_of(stranger, acme, path, claimed))[0] == 401
    after = await get(acme, "/v1/peers/mallory")
    assert (after["node_id"], after["state"], after["sas"]) == (
        before["node_id"],
        before["state"],
        before["sas"],
    )


async def all_of(node, count):
    recent = (await get(node, "/v1/peers/mallory"))["recent"]
    return [(r["index"], r["outcome"], r["code"]) for r in reversed(recent)] if len(recent) >= count else None
