"""What a node answers to those who ask for its log: peers, strangers, and those who pretend."""

import asyncio
import base64
import os
from datetime import UTC, datetime, timedelta

import aiohttp
import orjson
import pytest
from tests.support.node import open_here, settings_on
from tests.support.villain import get, incident_id_of, peer_status, post, until, villain

from tocsin_federation.frames import FrameReader
from tocsin_federation.identity import extend
from tocsin_federation.keys import generate, public_of
from tocsin_federation.merkle import root_of
from tocsin_federation.request_auth import keyid_of
from tocsin_node.web.peer_auth import POLLS

STIX = {"Content-Type": "application/stix+json"}


async def filed(node, peer, title="A near miss", **query):
    """File a report at `node`; its log entry's index, or None."""
    raw = node.bundle(title)
    async with node.client.post("/v1/reports", data=raw, headers=STIX, params=query) as answer:
        said = await answer.json()
        assert answer.status == 201, said
        return said["entry"] and said["entry"]["index"]


async def refused(answer):
    """The code of a refusal, which must be a problem document that tells our time."""
    status, body, headers = await answer
    assert 400 <= status < 500, (status, body)
    assert headers["Content-Type"].startswith("application/problem+json")
    assert abs(float(headers["Tocsin-Time"]) - datetime.now(UTC).timestamp()) < 5
    return orjson.loads(body)["code"]


@pytest.fixture
def checkpoint(acme, mallory):
    return mallory.log_path(acme, "checkpoint?since=0&wait=0")


# Who asks ------------------------------------------------------------------------------------------------


async def test_an_approved_peer_gets_the_checkpoint(acme, mallory, checkpoint):
    status, note, _ = await mallory.ask(acme, checkpoint)
    assert (status, note) == (200, acme.node.ledger.head.note)


async def test_nobody_else_does(acme, stranger, mallory, checkpoint):
    assert await refused(stranger.ask(acme, checkpoint)) == "not-authenticated"
    assert await refused(stranger.ask(acme, checkpoint, headers={})) == "not-authenticated"
    token = {"Authorization": acme.client.headers["Authorization"]}
    assert await refused(stranger.ask(acme, checkpoint, headers=token)) == "not-authenticated"


async def test_a_peer_that_is_not_approved_is_told_so(acme, stranger):
    await stranger.join(acme, approve=False)
    path = stranger.log_path(acme, "checkpoint?since=0&wait=0")
    assert await refused(stranger.ask(acme, path)) == "not-approved"


async def test_a_removed_peer_is_a_stranger(acme, mallory, checkpoint):
    async with acme.client.delete("/v1/peers/mallory") as answer:
        assert answer.status == 204
    assert await refused(mallory.ask(acme, checkpoint)) == "not-authenticated"


async def waits(node, peer):
    return peer.node_id in node.app[POLLS]._turns


async def test_a_peer_that_is_removed_while_it_waits_gets_nothing(acme, mallory):
    waiting = asyncio.create_task(mallory.ask(acme, mallory.log_path(acme, "checkpoint?since=0&wait=30")))
    await until(lambda: waits(acme, mallory))
    async with acme.client.delete("/v1/peers/mallory") as answer:
        assert answer.status == 204
    await filed(acme, mallory)
    assert await refused(waiting) == "not-approved"


async def test_a_suspect_peer_is_told_to_call(acme, mallory, checkpoint):
    await acme.node.peering.note_problem(mallory.node_id, "log-fork", "Call them.", suspect=True)
    assert await refused(mallory.ask(acme, checkpoint)) == "peer-frozen"


async def test_a_request_cannot_be_said_twice(acme, mallory, checkpoint):
    headers = mallory.signed(acme, "GET", checkpoint)
    assert (await mallory.ask(acme, checkpoint, headers=headers))[0] == 200
    assert await refused(mallory.ask(acme, checkpoint, headers=headers)) == "not-authenticated"


async def test_a_request_to_another_node_does_not_serve_here(acme, mallory, stranger, checkpoint):
    headers = mallory.signed(acme, "GET", checkpoint, dest=stranger.node_id)
    assert await refused(mallory.ask(acme, checkpoint, headers=headers)) == "not-authenticated"
    headers["Tocsin-Dest"] = acme.node.identity.node_id
    assert await refused(mallory.ask(acme, checkpoint, headers=headers)) == "not-authenticated"


@pytest.mark.parametrize(
    "lie",
    [
        {"method": "POST"},
        {"path": "/f1/log"},
        {"query": "since=0&wait=1"},
        {"authority": "elsewhere.example"},
        {"body": b"{}"},
        {"key": generate(os.urandom)},
    ],
    ids=lambda lie: next(iter(lie)),
)
async def test_a_signature_of_something_else_does_not_serve(acme, mallory, checkpoint, lie):
    headers = mallory.signed(acme, "GET", checkpoint, **lie)
    assert await refused(mallory.ask(acme, checkpoint, headers=headers)) == "not-authenticated"


async def test_a_peer_cannot_sign_for_another(acme, mallory, stranger, checkpoint):
    await stranger.join(acme)
    keyid = keyid_of(mallory.node_id, public_of(mallory.keys.http))
    headers = stranger.signed(acme, "GET", checkpoint, keyid=keyid)
    assert await refused(stranger.ask(acme, checkpoint, headers=headers)) == "not-authenticated"


@pytest.mark.parametrize("skew_s", [-3600, -125, 125, 3600])
async def test_a_wrong_clock_is_told_from_a_wrong_signature(acme, mallory, checkpoint, skew_s):
    at = datetime.now(UTC) + timedelta(seconds=skew_s)
    headers = mallory.signed(acme, "GET", checkpoint, now=at)
    assert await refused(mallory.ask(acme, checkpoint, headers=headers)) == "clock-skew"


@pytest.mark.parametrize("skew_s", [-110, 110])
async def test_two_minutes_are_forgiven(acme, mallory, checkpoint, skew_s):
    at = datetime.now(UTC) + timedelta(seconds=skew_s)
    headers = mallory.signed(acme, "GET", checkpoint, now=at)
    assert (await mallory.ask(acme, checkpoint, headers=headers))[0] == 200


async def test_a_peer_that_asks_too_fast_is_braked_and_others_are_not(acme, mallory, stranger, checkpoint):
    await stranger.join(acme)
    statuses = await asyncio.gather(*(mallory.ask(acme, checkpoint) for _ in range(500)))
    braked = [headers for status, _, headers in statuses if status == 429]
    assert braked
    assert all(int(headers["Retry-After"]) >= 1 for headers in braked)
    assert (await stranger.ask(acme, checkpoint))[0] == 200


# What is shown -------------------------------------------------------------------------------------------


async def test_a_peer_sees_the_bodies_sealed_to_it_and_the_hashes_of_all(acme, mallory, stranger):
    await stranger.join(acme)
    index = {name: await filed(acme, mallory, f"For {name}", to=name) for name in ("mallory", "stranger")}
    for who in (mallory, stranger):
        _, body, _ = await who.ask(acme, who.log_path(acme, "entries?from=0&max=512"))
        reader = FrameReader()
        frames = reader.feed(body)
        assert [frame.idx for frame in frames] == [index[who.name]]
        assert reader.finish() == 2
        _, tile, _ = await who.ask(acme, who.log_path(acme, "tile/0/000.p/2"))
        hashes = [tile[:32], tile[32:]]
        assert root_of(hashes) == acme.node.ledger.head.root


async def test_a_long_poll_is_answered_by_the_next_entry(acme, mallory):
    path = mallory.log_path(acme, "checkpoint?since=0&wait=30")
    waiting = asyncio.create_task(mallory.ask(acme, path))
    await filed(acme, mallory)
    async with asyncio.timeout(60):  # by itself it would end after two seconds, with size 0
        status, note, _ = await waiting
    assert status == 200
    assert b"\n1\n" in note


async def test_a_long_poll_that_nothing_answers_ends_by_itself(acme, mallory):
    path = mallory.log_path(acme, "checkpoint?since=0&wait=1e9")
    async with asyncio.timeout(60):
        status, note, _ = await mallory.ask(acme, path)
    assert status == 200
    assert b"\n0\n" in note


async def test_the_node_knows_how_far_a_peer_has_come(acme, mallory):
    await filed(acme, mallory)
    assert (await peer_status(acme))["fetched"]["waiting"] == 1
    await mallory.ask(acme, mallory.log_path(acme, "checkpoint?since=1&wait=0"))
    assert (await peer_status(acme))["fetched"] == {"next_index": 1, "our_size": 1, "waiting": 0}
    await mallory.ask(acme, mallory.log_path(acme, "checkpoint?since=999999999&wait=0"))
    assert (await peer_status(acme))["fetched"]["next_index"] == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("tile/0/000", "log-unknown"),
        ("tile/0/000.p/2", "log-unknown"),
        ("tile/0/x001/000", "log-unknown"),
        ("tile/0/0", None),
        ("tile/0/000.p/0", None),
        ("tile/0/000.p/257", None),
        ("tile/0/%00", None),
        ("tile/0/../../v1/node", None),
        ("entries?from=2", "log-unknown"),
        ("entries?from=0&max=0", "log-unknown"),
        ("entries?from=-1", "bad-parameter"),
        ("entries?from=99999999999999999999", "bad-parameter"),
        ("entries?from=%00", "bad-parameter"),
        ("checkpoint?since=x", "bad-parameter"),
        ("checkpoint?since=0&wait=nan", "bad-parameter"),
        ("checkpoint?since=0&wait=inf", "bad-parameter"),
    ],
)
async def test_what_is_not_there_or_not_well_said_is_refused(acme, mallory, path, code):
    await filed(acme, mallory)
    said = await refused(mallory.ask(acme, mallory.log_path(acme, path)))
    assert code in {None, said}


async def test_another_log_is_not_kept_here(acme, mallory):
    path = f"/f1/log/{'0' * 64}/checkpoint?since=0&wait=0"
    assert await refused(mallory.ask(acme, path)) == "log-unknown"


# Joining -------------------------------------------------------------------------------------------------


async def invited(node, name="stranger", **more):
    return (await post(node, "/v1/peers/invites", {"name": name, **more}))["invite"]


async def test_an_invite_serves_once_and_its_use_may_be_said_again(acme, stranger):
    text = await invited(acme)
    first, again = [await stranger.join_with(acme, text) for _ in range(2)]
    assert first[0] == again[0] == 200
    assert first[1] == again[1]
    async with villain("second") as second:
        assert await refused(second.join_with(acme, text)) == "invite-refused"
    names = [peer["name"] for peer in (await get(acme, "/v1/peers"))["items"]]
    assert names == ["stranger"]


async def test_an_invite_that_has_ended_is_refused(database, tmp_path, stranger):
    ahead = timedelta()

    def clock():
        return datetime.now(UTC) + ahead

    settings = settings_on(tmp_path / "acme", database)
    async with open_here(settings, now=clock) as acme:
        text = await invited(acme, ttl_s=60)
        ahead = timedelta(seconds=61)
        assert await refused(stranger.join_with(acme, text)) == "invite-refused"
        assert (await get(acme, "/v1/peers"))["items"] == []


@pytest.mark.parametrize(
    "lie",
    [{"mac": bytes(32)}, {"nonce": bytes(32)}, {"invite": bytes(8)}, {"mac": b""}, {"nonce": bytes(31)}],
    ids=["mac", "nonce", "invite", "mac-empty", "nonce-short"],
)
async def test_a_false_proof_is_refused_like_everything_else(acme, stranger, lie):
    text = await invited(acme)
    assert await refused(stranger.join_with(acme, text, **lie)) == "invite-refused"
    assert (await stranger.join_with(acme, text))[0] == 200, "and has not spent the invite"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"chain": 1}',
        b'{"chain": []}',
        b'{"chain": [1]}',
        b'{"chain": ["%%%"]}',
        b'{"chain": ["AAAA"]}',
        b'{"chain": {"a": 1}}',
        b'{"chain": null, "chain": []}',
        b'{"chain": ["' + b"A" * 1000 + b'"]}',
        b"[" * 100_000,
        b'{"nonce": "\xff"}',
    ],
    ids=range(14),
)
async def test_a_malformed_join_is_refused_and_harms_nothing(acme, stranger, message):
    status, body, _ = await stranger.ask(acme, "/f1/peer/join", method="POST", body=message)
    assert 400 <= status < 500, body
    assert (await get(acme, "/v1/peers"))["items"] == []


async def test_a_malformed_field_of_a_join_is_refused(acme, stranger):
    chain = [base64.b64encode(s).decode() for s in stranger.chain]
    for lie in (None, 5, "%%%", ["x"], {}, "é"):
        body = orjson.dumps({"chain": chain, "invite": lie, "nonce": lie, "mac": lie})
        status, said, _ = await stranger.ask(acme, "/f1/peer/join", method="POST", body=body)
        assert 400 <= status < 500, said


async def test_a_peer_cannot_be_joined_anew_behind_its_back(acme, mallory):
    before = await peer_status(acme)
    async with villain("impostor") as impostor:
        impostor.chain = mallory.chain  # its statements are public
        assert await refused(impostor.join_with(acme, await invited(acme, "other"))) != ""
    assert (await peer_status(acme))["sas"] == before["sas"]
    assert [p["name"] for p in (await get(acme, "/v1/peers"))["items"]] == ["mallory"]


async def test_a_join_does_not_make_anybody_active(acme, stranger):
    await stranger.join(acme, approve=False)
    (peer,) = (await get(acme, "/v1/peers"))["items"]
    assert (peer["state"], peer["ours_approved"]) == ("pending", False)
    raw = acme.bundle("Not for the pending")
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        said = await answer.json()
    assert said["to"] == []
    assert said["withheld"][0]["code"] == "peer-inactive"


# Brakes --------------------------------------------------------------------------------------------------


async def told(node, who, path="/f1/peer/statement", **more):
    """The status and code of the answer when `who` tells its chain."""
    chain = [base64.b64encode(s).decode() for s in who.chain]
    body = orjson.dumps({"chain": chain, **more})
    status, said, _ = await who.ask(node, path, method="POST", body=body)
    return status, orjson.loads(said).get("code")


async def test_a_peer_waits_once_however_many_long_polls_it_opens(acme, mallory):
    path = mallory.log_path(acme, "checkpoint?since=0&wait=30")
    polls = [asyncio.create_task(mallory.ask(acme, path)) for _ in range(40)]
    waiting = set(polls)
    while len(waiting) > 1:
        done, waiting = await asyncio.wait(waiting, timeout=15, return_when=asyncio.FIRST_COMPLETED)
        assert done, "each newer one ends the older at once"
        for poll in done:
            status, note, _ = poll.result()
            assert (status, note.split(b"\n")[1]) == (200, b"0")
    raw = acme.bundle("Ours")
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        assert answer.status == 201
    status, note, _ = await waiting.pop()
    assert (status, note.split(b"\n")[1]) == (200, b"1")


async def test_strangers_at_ones_address_stop_neither_a_peers_renewal_nor_a_guest(acme, mallory, stranger):
    """Behind a proxy everybody comes from one address."""
    invite = await invited(acme, "guest")
    nobody = base64.b64encode(bytes(8)).decode()
    answers = [await told(acme, stranger, "/f1/peer/join", invite=nobody) for _ in range(30)]
    assert answers[0] == (403, "invite-refused")
    assert answers[-1] == (429, "too-fast")
    assert await told(acme, stranger) == (429, "too-fast")
    assert await told(acme, mallory) == (200, None)
    async with villain("guest") as guest:
        assert (await guest.join_with(acme, invite))[0] == 200


async def test_who_holds_an_invite_has_one_share_and_uses_up_nobody_elses(acme, stranger):
    invite, other = await invited(acme, "one"), await invited(acme, "other")
    answers = [(await stranger.join_with(acme, invite, mac=bytes(32)))[0] for _ in range(30)]
    assert (answers[0], answers[-1]) == (403, 429)
    assert (await stranger.join_with(acme, other))[0] == 200


async def test_a_large_message_of_a_stranger_is_counted_before_it_is_read(acme, mallory, stranger):
    answers = [
        (await stranger.ask(acme, "/f1/peer/join", method="POST", body=b" " * 100_000))[0] for _ in range(30)
    ]
    assert (answers[0], answers[-1]) == (400, 429)
    assert await told(acme, mallory, padding="x" * 100_000) == (200, None)


# Statements ----------------------------------------------------------------------------------------------


def renewed(who, **changes):
    """A longer chain of `who`, and the keys that came with it."""
    made, statement = extend(
        who.chain,
        root_private=who.keys.next_root,
        now=datetime.now(UTC) + timedelta(seconds=1),
        rng=os.urandom,
        **changes,
    )
    return made, [*who.chain, statement]


def chain_message(chain):
    return orjson.dumps({"chain": [base64.b64encode(s).decode() for s in chain]})


async def tell(who, node, chain, **signing):
    body = chain_message(chain)
    headers = who.signed(node, "POST", "/f1/peer/statement", body=body, **signing)
    return await who.ask(node, "/f1/peer/statement", method="POST", body=body, headers=headers)


async def test_a_peer_tells_its_new_address(acme, mallory):
    _, chain = renewed(mallory, urls=["https://moved.example"])
    assert (await tell(mallory, acme, chain))[0] == 200
    assert (await peer_status(acme))["url"] == "https://moved.example"


async def test_a_peer_that_changed_its_request_key_can_say_so_with_the_new_one(acme, mallory):
    made, chain = renewed(mallory, urls=["https://moved.example"], replace=("http",))
    signing = {"key": made.http, "keyid": keyid_of(mallory.node_id, public_of(made.http))}
    status, body, _ = await tell(mallory, acme, chain, **signing)
    assert status == 200, body
    assert (await peer_status(acme))["url"] == "https://moved.example"


async def test_a_stranger_cannot_tell_a_peers_statements(acme, mallory, stranger):
    made, chain = renewed(mallory, urls=["https://moved.example"], replace=("http",))
    assert made.http is not None
    assert await refused(tell(stranger, acme, chain)) == "not-authenticated"
    keyid = keyid_of(mallory.node_id, public_of(stranger.keys.http))
    assert await refused(tell(stranger, acme, chain, keyid=keyid)) == "not-authenticated"
    assert (await peer_status(acme))["url"] == mallory.url


async def test_statements_of_another_node_are_refused(acme, mallory, stranger):
    status, body, _ = await tell(mallory, acme, stranger.chain)
    assert 400 <= status < 500, body
    assert (await peer_status(acme))["url"] == mallory.url


async def test_an_older_chain_changes_nothing(acme, mallory):
    _, chain = renewed(mallory, urls=["https://moved.example"])
    await tell(mallory, acme, chain)
    await tell(mallory, acme, mallory.chain)
    assert (await peer_status(acme))["url"] == "https://moved.example"


async def test_statements_that_are_not_statements_are_refused(acme, mallory):
    for body in (b"{}", b'{"chain": [1]}', b'{"chain": []}', b"[]", b'{"chain": ["AAAA"]}'):
        status, said, _ = await mallory.ask(acme, "/f1/peer/statement", method="POST", body=body)
        assert 400 <= status < 500, said


# Sizes and addresses -------------------------------------------------------------------------------------


async def test_a_huge_body_is_refused_before_it_is_read(acme, mallory):
    sent = 0

    async def endless():
        nonlocal sent
        for _ in range(1600):
            sent += 65_536
            yield bytes(65_536)

    for path, kind in (("/f1/peer/statement", "application/json"), ("/f1/peer/join", "application/json")):
        sent = 0
        headers = {**mallory.signed(acme, "POST", path), "Content-Type": kind}
        try:
            async with mallory.http.post(acme.url + path, data=endless(), headers=headers) as answer:
                assert answer.status == 413
        except aiohttp.ClientError:
            pass  # the node closed the door while we were still talking
        assert sent < 32 * 1024 * 1024


async def test_an_announced_size_is_refused_at_once(acme, mallory):
    reader, writer = await asyncio.open_connection("127.0.0.1", acme.node.settings.node.port)
    head = "POST /f1/peer/statement HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 104857600\r\n\r\n".encode())
    async with asyncio.timeout(60):
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert b" 413 " in line


@pytest.mark.parametrize("path", ["/", "/f1", "/f1/log", "/f2/log/x/checkpoint", "/v1", "/v1/reports/"])
async def test_unknown_addresses_are_told_so(acme, path):
    async with acme.client.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "not-found")


async def test_a_method_that_is_not_there_is_told_so(acme):
    async with acme.client.delete("/v1/node") as answer:
        assert (answer.status, (await answer.json())["code"]) == (405, "method-not-allowed")
        assert "GET" in answer.headers["Allow"]


async def test_the_statements_are_open_to_anybody(acme, stranger):
    status, body, _ = await stranger.ask(acme, "/.well-known/tocsin", headers={})
    assert status == 200
    chain = [base64.b64decode(s) for s in orjson.loads(body)["chain"]]
    assert tuple(chain) == acme.node.identity.chain


def test_a_report_is_found_in_a_bundle():
    assert incident_id_of(b'{"objects": [{"type": "incident", "id": "x"}]}') == "x"


async def test_of_two_renewals_that_are_learnt_at_once_the_longer_stays(acme, mallory):
    made, shorter = renewed(mallory)
    later = datetime.now(UTC) + timedelta(seconds=2)
    _, last = extend(shorter, root_private=made.next_root, now=later, rng=os.urandom)
    longer = [*shorter, last]
    await asyncio.gather(*(acme.node.peering.learn_chain(mallory.node_id, c) for c in (longer, shorter)))
    assert len(acme.node.peering.named("mallory").identity.chain) == 3
    async with acme.node.pool.acquire() as conn:
        assert await conn.fetchval("select cardinality(chain) from peer") == 3
