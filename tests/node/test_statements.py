"""What a peer's statements cannot do: take another's name for its log, or accuse somebody who did not sign them."""

import base64
import os
from datetime import UTC, datetime

import msgspec
import orjson
from aiohttp import web
from tests.support.villain import get, post, until, villain

from tocsin_federation.dsse import sign_as
from tocsin_federation.identity import extend, verify_chain
from tocsin_federation.keys import VKEY_ED25519, decode_vkey, encode_vkey
from tocsin_federation.statement import PAYLOAD_TYPE, read_statement, sign_statement


def b64(raw):
    return base64.b64encode(raw).decode()


def renewed(peer, origin=None):
    """The peer's next statement, with a new log; `origin`: under that name."""
    _, envelope = extend(
        peer.chain, root_private=peer.keys.next_root, now=datetime.now(UTC), rng=os.urandom, replace=["log"]
    )
    if origin is None:
        return envelope
    statement = read_statement(envelope).statement
    vkey = encode_vkey(origin, VKEY_ED25519, decode_vkey(statement.log.vkey).public)
    log = msgspec.structs.replace(statement.log, origin=origin, vkey=vkey)
    return sign_statement(msgspec.structs.replace(statement, log=log), [peer.keys.next_root])


async def told(node, peer, chain):
    """Status and code of the answer when the peer tells its statements."""
    body = orjson.dumps({"chain": [b64(each) for each in chain]})
    status, answer, _ = await peer.ask(node, "/f1/peer/statement", method="POST", body=body)
    return status, orjson.loads(answer).get("code")


async def statements_of(node, name):
    async with node.node.pool.acquire() as conn:
        return await conn.fetchval("select cardinality(chain) from peer where name = $1", name)


async def test_a_peer_that_names_its_next_log_as_anothers_is_not_taken(acme, mallory):
    async with villain("alder") as alder:
        await alder.join(acme)
        chain = [*mallory.chain, renewed(mallory, alder.origin)]
        assert verify_chain(chain, expected=mallory.node_id, now=datetime.now(UTC))
        status, _ = await told(acme, mallory, chain)
        assert status in {400, 401, 403}
        assert await statements_of(acme, "mallory") == 1
        status, _ = await told(
            acme, mallory, [*mallory.chain, renewed(mallory, acme.node.identity.statement.log.origin)]
        )
        assert status in {400, 401, 403}
        assert await told(acme, mallory, [*mallory.chain, renewed(mallory)]) == (200, None)
        assert await statements_of(acme, "mallory") == 2


async def test_who_comes_under_anothers_log_name_is_not_let_in(acme, mallory):
    async with villain("oscar") as oscar:
        oscar.chain = [*oscar.chain, renewed(oscar, mallory.origin)]
        invite = await post(acme, "/v1/peers/invites", {"name": "oscar"})
        status, answer, _ = await oscar.join_with(acme, invite["invite"])
        assert (status, orjson.loads(answer)["code"]) == (403, "invite-refused")
        assert [peer["name"] for peer in (await get(acme, "/v1/peers"))["items"]] == ["mallory"]
        oscar.chain = oscar.chain[:1]
        assert (await oscar.join_with(acme, invite["invite"]))[0] == 200, "the invite was not spent"


async def test_a_second_statement_that_nobody_signed_stops_no_peer(acme, mallory):
    """Whoever answers at the peer's address can write one; only the root key can sign it."""
    one = renewed(mallory)
    assert await told(acme, mallory, [*mallory.chain, one]) == (200, None)
    held = read_statement(one)
    other = msgspec.structs.replace(held.statement, iat=held.statement.iat + 1)
    stranger = sign_as(PAYLOAD_TYPE, b"", mallory.keys.log)
    forged = orjson.loads(sign_statement(other, [mallory.keys.next_root]))
    forged["signatures"][0]["sig"] = b64(stranger.sig)
    shown = [b64(mallory.chain[0]), b64(orjson.dumps(forged, option=orjson.OPT_SORT_KEYS))]

    async def gone(_request):
        return web.json_response({"code": "log-unknown", "hint": "x"}, status=404)

    async def well_known(_request):
        return web.json_response({"chain": shown})

    mallory.hooks |= {"checkpoint": gone, "/.well-known/tocsin": well_known}
    await mallory.ring()

    async def looked_at_twice():
        return sum("well-known" in path for path in mallory.asked) >= 2

    await until(looked_at_twice)
    assert (await get(acme, "/v1/peers/mallory"))["state"] == "active"
