"""Following a peer's log: what it may do to the transfer, and what it must not do to the log."""

import asyncio
import gzip
import os
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from tests.support.node import open_here, settings_on
from tests.support.villain import (
    entries_body,
    get,
    outcomes,
    peer_status,
    post,
    problem_of,
    until,
    villain,
)

from tocsin_federation.checkpoint import MAX_SIGNATURES, note_lines
from tocsin_federation.cosignature import cosign, with_lines
from tocsin_federation.evidence import read_evidence, verify_evidence
from tocsin_federation.frames import Frame, encode_frame, encode_trailer
from tocsin_federation.merkle import leaf_hash, root_of
from tocsin_federation.peering import mint_invite
from tocsin_federation.request_auth import SIGNATURE
from tocsin_node.services.exchange import LEAST_ROUND_S

HUGE = 10**12
PATIENCE = {
    "federation": {
        "backoff_max_s": 0.3,
        "long_poll_s": 1.0,
        "read_timeout_s": 2.0,
        "connect_timeout_s": 2.0,
    }
}


@pytest.fixture
async def held(acme, mallory):
    """Three entries of mallory's, verified and stored at acme."""
    for n in range(3):
        mallory.publish(acme, mallory.bundle(f"Report {n}"))
    await mallory.ring()
    await outcomes(acme, 3)


async def suspect(node, code):
    """The peer's status once it has been stopped for `code`."""

    async def stopped():
        status = await peer_status(node)
        return status if status["state"] == "suspect" else None

    status = await until(stopped)
    assert status["problem"]["code"] == code
    return status


async def evidence(node):
    async with node.node.pool.acquire() as conn:
        return [tuple(row) for row in await conn.fetch("select code, held, offered from evidence")]


async def log_of(node):
    async with node.node.pool.acquire() as conn:
        return tuple(await conn.fetchrow("select size, next_index, note from remote_log"))


def always(body, **more):
    """A hook that answers this, whatever is asked."""

    async def answer(_request):
        return web.Response(body=body, **more)

    return answer


# A log that contradicts itself -----------------------------------------------------------------------------


async def test_a_log_that_shrinks_is_told_and_asked_again_and_nothing_is_lost(acme, mallory, held):
    """Whoever stands between the two can show an old checkpoint, and so does a backup: it convicts nobody."""
    before = await log_of(acme)
    old = mallory.note(size=2)
    mallory.hooks["checkpoint"] = always(old)
    status = await problem_of(acme, "log-rollback")
    assert status["state"] == "active"
    assert await evidence(acme) == []
    assert await log_of(acme) == before
    mallory.hooks.clear()
    mallory.publish(acme, mallory.bundle("It was a stale answer"))
    await mallory.ring()
    assert [outcome for _, outcome, _ in await outcomes(acme, 4)] == ["stored"] * 4
    assert (await peer_status(acme))["problem"] is None


@pytest.mark.usefixtures("held")
async def test_further_words_of_witnesses_are_asked_for_at_once_as_often_as_a_note_has_room_for_them(mallory):
    """Whoever rested after each word would hear a second late of the report that follows it."""
    asked, all_asked = [], asyncio.Event()
    text = note_lines(mallory.note())[0]

    async def another_word(_request):
        asked.append(asyncio.get_running_loop().time())
        if len(asked) > MAX_SIGNATURES + 4:
            all_asked.set()
        word = cosign(text, "somebody.example", mallory.keys.witness, at=len(asked))
        return web.Response(body=with_lines(mallory.note(), [word]))

    mallory.hooks["checkpoint"] = another_word
    await mallory.ring()
    async with asyncio.timeout(120):
        await all_asked.wait()
    many = MAX_SIGNATURES - 4
    assert asked[many] - asked[4] < many / 2 * LEAST_ROUND_S
    assert asked[-1] - asked[-2] > LEAST_ROUND_S / 2


async def test_two_roots_for_one_size_stop_the_peer_at_once(acme, mallory, held):
    before = await log_of(acme)
    fork = mallory.note(root=bytes(32))
    mallory.hooks["checkpoint"] = always(fork)
    await suspect(acme, "log-fork")
    assert await evidence(acme) == [("log-fork", before[2], fork)]


async def test_a_longer_log_with_another_past_is_proven_to_be_a_fork(acme, mallory, held):
    before = await log_of(acme)
    mallory.leaf_hashes[0] = leaf_hash(b"another past")
    mallory.publish(acme, mallory.bundle("Built on it"))
    await mallory.ring()
    await suspect(acme, "log-fork")
    assert await evidence(acme) == [("log-fork", before[2], mallory.note())]
    assert await log_of(acme) == before
    async with acme.client.get("/v1/peers/mallory/evidence") as answer:
        told = read_evidence(await answer.read())
    convicted = verify_evidence(told, expected=mallory.node_id)
    assert (convicted.first.size, convicted.second.size) == (3, 4)


async def test_leaves_that_fit_no_log_of_the_peer_convict_nobody(acme, mallory, held):
    before = await log_of(acme)
    mallory.publish(acme, mallory.bundle("Behind a proxy that spoils tiles"))
    mallory.hooks["tile"] = always(os.urandom(32 * 4))
    await mallory.ring()
    status = await problem_of(acme, "log-root")
    looks = len([path for path in mallory.asked if "tile" in path])
    await until(lambda: at_least(lambda: len([p for p in mallory.asked if "tile" in p]) > looks + 6))
    assert (status["state"], (await peer_status(acme))["state"]) == ("active", "active")
    assert (await log_of(acme), await evidence(acme)) == (before, [])
    mallory.hooks.clear()
    assert (await outcomes(acme, 4))[-1][1] == "stored"


async def test_there_is_no_evidence_against_whom_nothing_speaks(acme, mallory, held):
    async with acme.client.get("/v1/peers/mallory/evidence") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "evidence-unknown")


async def test_evidence_is_kept_however_long_the_notes_are(acme, mallory, held):
    lines = b"".join(b"\xe2\x80\x94 witness%d %s\n" % (n, os.urandom(72).hex().encode()) for n in range(60))
    fork = mallory.note(root=bytes(32)) + lines
    mallory.hooks["checkpoint"] = always(fork)
    await suspect(acme, "log-fork")
    ((_, _, offered),) = await evidence(acme)
    assert offered == fork


async def test_a_claim_beyond_all_measure_stops_the_peer_before_anything_is_fetched(acme, mallory, held):
    asked = len(mallory.asked)
    mallory.hooks["checkpoint"] = always(mallory.note(size=HUGE, root=bytes(32)))
    await suspect(acme, "log-growth")
    assert not [path for path in mallory.asked[asked:] if "tile" in path]


@pytest.mark.usefixtures("held")
async def test_evidence_and_the_end_of_the_peer_are_written_together_or_not_at_all(acme, mallory):
    async with acme.node.pool.acquire() as conn:
        await conn.execute(
            "alter table peer add constraint nobody_stops check (state <> 'suspect') not valid"
        )
    asked = len(mallory.asked)
    mallory.hooks["checkpoint"] = always(mallory.note(root=bytes(32)))

    async def asked_thrice():
        return len([path for path in mallory.asked[asked:] if "checkpoint" in path]) > 2

    await until(asked_thrice)
    async with acme.node.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from evidence") == 0
        await conn.execute("alter table peer drop constraint nobody_stops")
    await suspect(acme, "log-fork")
    async with acme.node.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from evidence") == 1


async def test_a_stopped_peer_is_neither_asked_nor_answered_until_it_is_resumed(acme, mallory, held):
    mallory.hooks["checkpoint"] = always(mallory.note(root=bytes(32)))
    await suspect(acme, "log-fork")
    asked = len(mallory.asked)
    await post(acme, "/v1/peers/mallory/sync", {})
    status, _, _ = await mallory.ask(acme, mallory.log_path(acme, "checkpoint?since=0&wait=0"))
    assert status == 403
    raw = acme.bundle("Not for the suspect")
    async with acme.client.post(
        "/v1/reports", data=raw, headers={"Content-Type": "application/stix+json"}
    ) as answer:
        assert (await answer.json())["to"] == []
    assert len(mallory.asked) == asked

    del mallory.hooks["checkpoint"]
    mallory.publish(acme, mallory.bundle("After the talk"))
    await post(acme, "/v1/peers/mallory/sync", {"resume": True})
    assert (await outcomes(acme, 4))[-1][1] == "stored"
    status = await peer_status(acme)
    assert (status["state"], status["problem"]) == ("active", None)


async def test_resuming_a_peer_that_has_not_changed_stops_it_again(acme, mallory, held):
    mallory.hooks["checkpoint"] = always(mallory.note(root=bytes(32)))
    await suspect(acme, "log-fork")
    await post(acme, "/v1/peers/mallory/sync", {"resume": True})
    await suspect(acme, "log-fork")
    assert len(await evidence(acme)) == 1


async def test_a_stopped_peer_stays_stopped_when_the_node_is_started_again(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database, PATIENCE)
    async with villain() as mallory:
        async with open_here(settings) as acme:
            await mallory.join(acme)
            mallory.publish(acme)
            await mallory.ring()
            await outcomes(acme, 1)
            mallory.hooks["checkpoint"] = always(mallory.note(root=bytes(32)))
            await suspect(acme, "log-fork")
        asked = len(mallory.asked)
        async with open_here(settings) as acme:
            assert (await peer_status(acme))["state"] == "suspect"
            health = await get(acme, "/healthz")
            (peers,) = [check for check in health["checks"] if check["name"] == "peers"]
            assert peers["code"] == "peer-suspect"
            assert peers["hint"].startswith("A peer was stopped"), (
                "strangers may read it: not which, nor how many"
            )
        assert len(mallory.asked) == asked


# A checkpoint that is not one: it is asked for again, and the peer is not blamed -----------------------------------------


def flipped(note):
    return note[:-10] + bytes([note[-10] ^ 1]) + note[-9:]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda _peer: b"", "note-malformed"),
        (lambda _peer: b"<html>Please log in to the hotel's network</html>", "note-malformed"),
        (lambda peer: peer.note()[:-20], None),
        (lambda peer: flipped(peer.note()), None),
        (lambda peer: peer.note().replace(b"\n3\n", b"\n4\n"), "bad-signature"),
        (lambda _peer: os.urandom(500), "note-malformed"),
        (lambda peer: peer.note().replace(peer.origin.encode(), b"other.example/log"), "note-unsigned"),
    ],
    ids=["empty", "html", "cut", "flipped", "size", "noise", "other-log"],
)
async def test_a_spoilt_checkpoint_is_asked_for_again_and_blames_nobody(acme, mallory, held, spoil, code):
    looks = 0

    async def count(_request):
        nonlocal looks
        looks += 1
        return web.Response(body=spoil(mallory))

    mallory.hooks["checkpoint"] = count
    await until(lambda: at_least(lambda: looks > 5))
    status = await peer_status(acme)
    assert code in {None, status["problem"]["code"]}
    assert status["state"] == "active"
    assert await evidence(acme) == []
    mallory.hooks.clear()
    mallory.publish(acme, mallory.bundle("After the proxy"))
    await mallory.ring()
    assert (await outcomes(acme, 4))[-1][1] == "stored"


async def at_least(condition):
    return condition()


# The transfer ----------------------------------------------------------------------------------------------


def body_of(mallory):
    return entries_body(mallory.entries, len(mallory.leaf_hashes))


SPOILT = {
    "cut": (lambda m: body_of(m)[:-1], "frames-truncated"),
    "cut-in-a-frame": (lambda m: body_of(m)[:700], "frames-truncated"),
    "nothing": (lambda _m: b"", "frames-truncated"),
    "noise": (lambda _m: b"\x07" * 100, "frames-malformed"),
    "html": (lambda _m: b"<html></html>", "frames-malformed"),
    "trailing": (lambda m: body_of(m) + b"x", "frames-trailing"),
    "twice": (lambda m: entries_body([m.entries[0]] * 2, 2), "frames-disordered"),
    "backwards": (lambda m: entries_body(m.entries[::-1], 2), "frames-disordered"),
    "does-not-move": (lambda _m: encode_trailer(0), "bad-answer"),
    "leaf-of-2-gib": (lambda _m: b"\x01" + bytes(8) + b"\x7f\xff\xff\xff", "frames-oversized"),
    "two-trailers": (lambda m: body_of(m) + encode_trailer(9), "frames-trailing"),
    "too-many": (
        lambda _m: b"".join(encode_frame(n, b"", b"", b"") for n in range(600)),
        "frames-oversized",
    ),
    "ten-megabytes": (lambda _m: bytes(10_000_000), "answer-too-large"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_spoilt_transfer_costs_nothing_but_another_try(acme, mallory, spoilt):
    make, code = SPOILT[spoilt]
    for n in range(2):
        mallory.publish(acme, mallory.bundle(f"Report {n}"))
    mallory.hooks["entries"] = always(make(mallory))
    await mallory.ring()
    status = await problem_of(acme, code)
    assert status["state"] == "active"
    assert status["outcomes"]["stored"] == 0
    mallory.hooks.clear()
    assert [outcome for _, outcome, _ in await outcomes(acme, 2)] == ["stored", "stored"]


async def test_entries_beyond_the_signed_log_are_not_looked_at(acme, mallory):
    mallory.publish(acme, mallory.bundle("Signed"))
    extra = mallory.sealed(acme, mallory.bundle("Not signed yet"))
    frame = Frame(1, extra.leaf, extra.wraps[acme.node.identity.node_id], extra.ct)
    mallory.hooks["entries"] = always(entries_body([*mallory.entries, frame], 2))
    await mallory.ring()
    assert await outcomes(acme, 1) == [(0, "stored", None)]
    names = [item["name"] for item in (await get(acme, "/v1/reports"))["items"]]
    assert names == ["Signed"]


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b[:-1], lambda b: b + b"x", lambda _: b"", lambda b: b[:-32]],
    ids=["cut", "longer", "empty", "a-hash-less"],
)
async def test_a_tile_of_another_length_is_asked_for_again(acme, mallory, spoil):
    mallory.publish(acme)
    mallory.hooks["tile"] = always(spoil(b"".join(mallory.leaf_hashes)))
    await mallory.ring()

    async def refused():
        problem = (await peer_status(acme))["problem"]
        return problem and problem["code"] in {"tile-truncated", "answer-too-large"}

    await until(refused)
    mallory.hooks.clear()
    assert await outcomes(acme, 1) == [(0, "stored", None)]


async def test_a_log_of_many_tiles_is_followed_through_any_sizes(acme, mallory):
    me = acme.node.identity.node_id
    for upto in (1, 255, 256, 257, 511, 513, 1100):
        while len(mallory.leaf_hashes) < upto:
            mallory.leaf_hashes.append(leaf_hash(os.urandom(8)))  # sealed to others
        await mallory.ring()

        async def verified(size=upto):
            return (await peer_status(acme))["log"]["next_index"] == size

        await until(verified)
    async with acme.node.pool.acquire() as conn:
        rows = await conn.fetch("select leaf_hash from remote_leaf order by idx")
    assert root_of([row[0] for row in rows]) == root_of(mallory.leaf_hashes)
    assert me


async def test_a_peer_that_goes_away_in_the_middle_of_an_answer_is_asked_again(acme, mallory):
    for n in range(5):
        mallory.publish(acme, mallory.bundle(f"Report {n}"))
    body = body_of(mallory)
    gone = 0

    async def go_away(request):
        nonlocal gone
        gone += 1
        if gone > 3:
            return None
        answer = web.StreamResponse()
        answer.content_length = len(body)
        await answer.prepare(request)
        await answer.write(body[: len(body) * gone // 4])
        request.transport.abort()
        return answer

    mallory.hooks["entries"] = go_away
    await mallory.ring()
    got = await outcomes(acme, 5)
    assert [(index, outcome) for index, outcome, _ in got] == [(n, "stored") for n in range(5)]
    assert gone > 3


@pytest.mark.parametrize("what", ["checkpoint", "tile", "entries"])
async def test_a_peer_that_never_answers_is_given_up_and_tried_again(database, tmp_path, what):
    released = asyncio.Event()

    async def hang(_request):
        await released.wait()

    async with open_here(settings_on(tmp_path / "acme", database, PATIENCE)) as acme, villain() as mallory:
        mallory.hooks[what] = hang
        await mallory.join(acme)
        mallory.publish(acme)
        await mallory.ring()
        await problem_of(acme, "peer-timeout")
        released.set()
        mallory.hooks.clear()
        assert await outcomes(acme, 1) == [(0, "stored", None)]


async def test_a_peer_that_trickles_for_ever_is_given_up(database, tmp_path):
    stop = asyncio.Event()

    async def trickle(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        while not stop.is_set():
            await answer.write(b"a")
            await asyncio.sleep(0.05)
        return answer

    async with open_here(settings_on(tmp_path / "acme", database, PATIENCE)) as acme, villain() as mallory:
        mallory.hooks["checkpoint"] = trickle
        mallory.publish(acme)
        await mallory.join(acme)
        await problem_of(acme, "peer-timeout")
        stop.set()
        mallory.hooks.clear()
        assert await outcomes(acme, 1) == [(0, "stored", None)]


async def test_a10_an_answer_of_100_mib_is_cut_off_and_holds_up_nothing(acme, mallory):
    """A hundred frames, each within its limits: beyond 8 MiB nobody listens any more."""
    swallowed = []

    async def endless(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        for n in range(100):
            await answer.write(encode_frame(n, bytes(16_384), bytes(4096), bytes(1_048_576)))
        swallowed.append(request)
        return answer

    mallory.publish(acme)
    mallory.hooks["entries"] = endless
    await mallory.ring()
    await problem_of(acme, "answer-too-large")
    mallory.hooks.clear()
    assert await outcomes(acme, 1) == [(0, "stored", None)]
    assert not swallowed


async def test_a_bomb_in_a_coding_is_not_unpacked(acme, mallory):
    mallory.publish(acme)
    bomb = gzip.compress(bytes(50_000_000))
    mallory.hooks["entries"] = always(bomb, headers={"Content-Encoding": "gzip"})
    await mallory.ring()
    await problem_of(acme, "bad-answer")
    mallory.hooks.clear()
    assert await outcomes(acme, 1) == [(0, "stored", None)]


async def test_a_redirect_is_not_followed(acme, mallory, stranger):
    mallory.publish(acme)

    async def elsewhere(request):
        raise web.HTTPTemporaryRedirect(stranger.url + request.path_qs)

    mallory.hooks["entries"] = elsewhere
    await mallory.ring()
    await problem_of(acme, "http-307")
    assert stranger.asked == []


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_proxys_error_page_is_no_judgement(acme, mallory, status):
    mallory.publish(acme)
    mallory.hooks["checkpoint"] = always(b"<html>Sorry</html>", status=status)
    await mallory.ring()
    await problem_of(acme, f"http-{status}")
    mallory.hooks.clear()
    assert await outcomes(acme, 1) == [(0, "stored", None)]

    async def over():  # a long poll from before the page may have brought the entry already
        return (await peer_status(acme))["problem"] is None

    await until(over)


@pytest.mark.parametrize(
    "problem",
    [
        b'{"code": "token-missing", "hint": "x"}',
        b'{"code": "\\u001b[31mred\\nforged log line", "hint": "\\u001b[2J\\nforged"}',
        b'{"code": {"a": [1]}, "hint": 5}',
        b'{"code": "' + b"x" * 5000 + b'"}',
        b'{"code": "chain-forked", "hint": "x"}',
        b'["code"]',
    ],
    ids=["ours", "escapes", "object", "long", "forked", "list"],
)
async def test_what_a_peer_says_in_a_refusal_is_taken_with_care(acme, mallory, problem):
    mallory.hooks["checkpoint"] = always(problem, status=403)
    await mallory.ring()

    async def noted():
        return (await peer_status(acme))["problem"]

    said = await until(noted)
    assert said["code"].isprintable()
    assert len(said["code"]) <= 64
    assert said["hint"].isprintable()
    assert len(said["hint"]) <= 300
    assert (await peer_status(acme))["state"] == "active"


@pytest.mark.parametrize(
    "headers",
    [
        {"Tocsin-Time": "nan"},
        {"Tocsin-Time": "1e400"},
        {"Tocsin-Time": "-1e300"},
        {"Tocsin-Time": "1e15"},
        {"Tocsin-Time": "soon"},
        {"Date": "Mon, 23 Nov 2026 12:00:00 -0000"},
        {"Date": "yesterday"},
        {"Date": "Mon, 01 Jan 0001 00:00:00 +2359"},
        {"Set-Cookie": "a=b"},
    ],
    ids=lambda headers: ":".join(*headers.items()),
)
async def test_strange_headers_of_an_answer_do_not_matter(acme, mallory, headers):
    mallory.publish(acme)

    async def strange(_request):
        return web.Response(body=mallory.note(), headers=headers)

    mallory.hooks["checkpoint"] = strange
    await mallory.ring()
    assert await outcomes(acme, 1) == [(0, "stored", None)]
    assert (await peer_status(acme))["problem"] is None


# Clocks ----------------------------------------------------------------------------------------------------


async def test_a_peers_wrong_clock_is_shown(acme, mallory):
    async def ahead(_request):
        at = datetime.now(UTC).timestamp() + 7200
        return web.Response(body=mallory.note(), headers={"Tocsin-Time": f"{at:.3f}"})

    mallory.hooks["checkpoint"] = ahead
    await mallory.ring()

    async def seen():  # a contact before the hook was set has noted a clock that is right
        return abs(((await peer_status(acme))["clock_skew_s"] or 0.0) - 7200) < 10

    await until(seen)


async def test_our_wrong_clock_is_told_by_our_peers(database, cluster, tmp_path):
    """Two nodes, one of them an hour behind: each says so, and it goes on when the clock is right."""
    behind = timedelta(hours=-1)

    def clock():
        return datetime.now(UTC) + behind

    async with cluster.database() as other:
        right = settings_on(tmp_path / "right", database, PATIENCE, org="Right")
        wrong = settings_on(tmp_path / "wrong", other, PATIENCE, org="Wrong")
        async with open_here(right) as one, open_here(wrong, now=clock) as two:
            behind = timedelta()
            await introduced(one, two)
            behind = timedelta(hours=-1)
            await post(two, "/v1/peers/Right/sync", {})
            status = await problem_of(two, "clock-skew", "Right")
            assert "NTP" in status["problem"]["hint"]
            assert abs(status["clock_skew_s"] - 3600) < 60
            behind = timedelta()
            await post(two, "/v1/peers/Right/sync", {})

            async def well():
                return (await peer_status(two, "Right"))["problem"] is None

            await until(well)


async def introduced(one, two):
    """Make two real nodes peers, both approving."""
    names = [node.node.settings.node.org for node in (one, two)]
    text = (await post(one, "/v1/peers/invites", {"name": names[1]}))["invite"]
    joined = await post(two, "/v1/peers/join", {"invite": text, "name": names[0]})
    words = {"sas": " ".join(joined["sas"])}
    await post(one, f"/v1/peers/{names[1]}/approve", words)
    await post(two, f"/v1/peers/{names[0]}/approve", words)


# What we send ----------------------------------------------------------------------------------------------


async def test_every_request_to_a_peers_log_is_signed_and_asks_for_plain_bytes(acme, mallory):
    seen = []

    async def look(request):
        seen.append(dict(request.headers))

    for what in ("checkpoint", "tile", "entries"):
        mallory.hooks[what] = look
    mallory.publish(acme)
    await mallory.ring()
    await outcomes(acme, 1)
    assert len(seen) >= 3
    for headers in seen:
        assert SIGNATURE in headers
        assert headers["Tocsin-Dest"] == mallory.node_id
        assert headers["Accept-Encoding"] == "identity"
        assert "Cookie" not in headers
        assert "Authorization" not in headers


async def test_a_node_that_cannot_be_reached_is_looked_for_again_and_again(acme, mallory):
    mallory.publish(acme, mallory.bundle("Waiting"))

    async def refuse(request):
        request.transport.abort()
        return web.Response()

    for what in ("checkpoint", "/.well-known/tocsin"):
        mallory.hooks[what] = refuse
    await mallory.ring()
    await problem_of(acme, "peer-unreachable")
    health = await get(acme, "/healthz")
    assert "peer-trouble" in {check["code"] for check in health["checks"]}
    mallory.hooks.clear()
    assert await outcomes(acme, 1) == [(0, "stored", None)]


# Answers that are no JSON ------------------------------------------------------------------------------------

BROKEN_JSON = {"bottomless": b"[" * 60_000, "not-utf-8": b'{"code":"\xff"}', "cut": b'{"code":'}


@pytest.mark.parametrize("body", BROKEN_JSON.values(), ids=BROKEN_JSON)
async def test_a_refusal_that_cannot_be_read_is_the_peers_trouble_and_not_ours(acme, mallory, body):
    async def refuse(_request):
        return web.Response(status=403, body=body)

    mallory.hooks["checkpoint"] = refuse
    await mallory.ring()
    assert (await problem_of(acme, "http-403"))["state"] == "active"


@pytest.mark.parametrize("body", BROKEN_JSON.values(), ids=BROKEN_JSON)
async def test_who_answers_an_invite_with_what_cannot_be_read_is_named_in_the_refusal(acme, stranger, body):
    async def answer(_request):
        return web.Response(body=body)

    stranger.hooks["/.well-known/tocsin"] = answer
    invite, _ = mint_invite(
        stranger.node_id, stranger.url, now=datetime.now(UTC), ttl=timedelta(days=1), rng=os.urandom
    )
    async with acme.client.post("/v1/peers/join", json={"invite": invite}) as said:
        assert (said.status, (await said.json())["code"]) == (502, "bad-answer")


async def test_a_peer_that_closes_its_door_after_it_was_open_has_ended_the_connection(
    database, cluster, tmp_path, stranger
):
    async with cluster.database() as other:
        first = settings_on(tmp_path / "one", database, PATIENCE, org="One")
        second = settings_on(tmp_path / "two", other, PATIENCE, org="Two")
        async with open_here(first) as one, open_here(second) as two:
            text = (await post(one, "/v1/peers/invites", {"name": "Two"}))["invite"]
            joined = await post(two, "/v1/peers/join", {"invite": text, "name": "One"})
            words = {"sas": " ".join(joined["sas"])}
            await post(two, "/v1/peers/One/approve", words)
            status = await problem_of(two, "not-approved", "One")
            assert "have not approved us yet" in status["problem"]["hint"]
            await post(one, "/v1/peers/Two/approve", words)

            async def well():
                return (await peer_status(two, "One"))["problem"] is None

            await until(well)
            async with one.client.delete("/v1/peers/Two") as answer:
                assert answer.status == 204

            async def ended():
                problem = (await peer_status(two, "One"))["problem"]
                return problem if problem and "have ended the connection" in problem["hint"] else None

            assert (await until(ended))["code"] in {"not-approved", "not-authenticated"}
            stix = {"Content-Type": "application/stix+json"}
            async with two.client.post("/v1/reports", data=two.bundle(), headers=stix) as answer:
                (to,) = (await answer.json())["to"]
            assert (to["name"], "ended the connection" in to["problem"]["hint"]) == ("One", True)
