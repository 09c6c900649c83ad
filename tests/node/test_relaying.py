"""Store and forward: what an author that is away sealed to several is handed on by those that have it."""

import os
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web
from tests.support.circle import QUICK, filed, introduce, make_peers, seen
from tests.support.node import open_here, settings_on
from tests.support.villain import GRAVE, entries_body, get, incident_id_of, outcomes, until, villain

from tocsin_federation.envelope import open_disclosed, seal, wrap_info
from tocsin_federation.frames import FrameReader
from tocsin_federation.messages import read_header
from tocsin_federation.recall import write_recall
from tocsin_node.storage import recalls
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import withdraw

SOON = {"federation": {**QUICK["federation"], "relay_after_s": 1.0, "backoff_max_s": 0.2}}


class Neighbourhood:
    """Nodes that can be closed and opened again, on databases that stay."""

    def __init__(self, cluster, directory):
        self._cluster = cluster
        self._directory = directory
        self._all = AsyncExitStack()
        self._stacks = {}
        self.settings = {}
        self.nodes = {}

    async def __aenter__(self):
        await self._all.__aenter__()
        return self

    async def __aexit__(self, *exc):
        for name in list(self.nodes):
            await self.close(name)
        await self._all.__aexit__(*exc)

    async def open(self, *names):
        for name in names:
            if name not in self.settings:
                database = await self._all.enter_async_context(self._cluster.database())
                self.settings[name] = settings_on(self._directory / name, database, SOON, org=name)
            stack = AsyncExitStack()
            self.nodes[name] = await stack.enter_async_context(open_here(self.settings[name]))
            self._stacks[name] = stack
        return [self.nodes[name] for name in names]

    async def close(self, name):
        del self.nodes[name]
        await self._stacks.pop(name).aclose()

    async def met(self, *names):
        await self.open(*names)
        await make_peers({name: self.nodes[name] for name in names})
        return [self.nodes[name] for name in names]


@pytest.fixture
async def town(cluster, tmp_path):
    async with Neighbourhood(cluster, tmp_path) as nodes:
        yield nodes


async def log_of(node, author):
    async with node.node.pool.acquire() as conn:
        row = await conn.fetchrow("select size, next_index from remote_log where origin = $1", author)
    return tuple(row)


async def alerts_of(node):
    return [alert["report_id"] for alert in (await get(node, "/v1/alerts"))["items"]]


async def outcomes_of(node, name):
    return [(r["index"], r["outcome"]) for r in reversed((await get(node, f"/v1/peers/{name}"))["recent"])]


async def test_an_author_that_tells_one_and_dies_is_heard_by_all_it_told(town):
    """The whole story: it comes through another reader, rings once, and is read anew from the author when that is back."""
    alder, birch, _ = await town.met("alder", "birch", "cedar")
    author = alder.node.identity.node_id
    await town.close("cedar")
    first = await filed(alder, "The pump halves each dose", **GRAVE)
    await seen(birch, first["id"])
    await town.close("alder")
    (cedar,) = await town.open("cedar")

    report = await seen(cedar, first["id"])
    birch_id = birch.node.identity.node_id
    assert report["through"] == {"name": "birch", "node_id": birch_id, "awaited": True}
    assert await alerts_of(cedar) == [first["id"]]
    assert await log_of(cedar, author) == (1, 0), "its head is known, and its cursor has not moved"
    status = await get(cedar, "/v1/peers/alder")
    assert [(e["name"], e["entries"]) for e in status["awaited"]] == [("birch", 1)]
    given = await get(birch, "/v1/peers/cedar")
    assert [(r["author"]["name"], r["node"]["name"], r["given"]) for r in given["relays"]] == [
        ("alder", "cedar", True)
    ]

    (alder,) = await town.open("alder")
    second = await filed(alder, "It goes on", **GRAVE)
    await seen(cedar, second["id"])
    await until(lambda: reached(cedar, "alder", 2))
    (_, again), (_, new) = await outcomes_of(cedar, "alder")
    assert again == "unchanged"
    assert new in {"stored", "unchanged"}, "birch may have been quicker with it, too"
    assert sorted(await alerts_of(cedar)) == sorted([first["id"], second["id"]]), "nothing rang twice"
    assert (await seen(cedar, first["id"]))["through"] is None


async def test_it_goes_from_hand_to_hand(town):
    """Birch alone heard it; cedar can reach birch, and dogwood can reach cedar alone."""
    alder, birch, cedar, dogwood = await town.open("alder", "birch", "cedar", "dogwood")
    for one, other in (("alder", "birch"), ("alder", "cedar"), ("alder", "dogwood")):
        await introduce(one, town.nodes[one], other, town.nodes[other])
    await introduce("birch", birch, "cedar", cedar)
    await introduce("cedar", cedar, "dogwood", dogwood)
    await town.close("cedar")
    await town.close("dogwood")
    report = await filed(alder, "Only one hears it", **GRAVE)
    await seen(birch, report["id"])
    await town.close("alder")
    cedar, dogwood = await town.open("cedar", "dogwood")
    assert (await seen(cedar, report["id"]))["through"]["name"] == "birch"
    assert (await seen(dogwood, report["id"]))["through"]["name"] == "cedar"


async def test_only_what_was_sealed_to_the_caller_and_is_not_red_is_handed_on(town):
    alder, birch, _ = await town.met("alder", "birch", "cedar")
    for name in ("birch", "cedar"):
        await raised(alder, name)
        await raised(town.nodes[name], "alder")
    everybody = await filed(alder, "For both")
    other = await filed_to(alder, "For birch alone", ["birch"])
    red = await filed_to(alder, "Red for both", ["birch", "cedar"], tlp="red")
    last = await filed(alder, "For both again")
    for report in (everybody, other, red, last):
        await seen(birch, report["id"])

    def names(body):
        return [(f.idx, f.leaf) for f in FrameReader().feed(body)]

    caller = birch.node.peering.named("cedar")
    author = birch.node.peering.named("alder")
    body = await birch.node.giving.entries(caller, author, 0, 512)
    assert [idx for idx, _ in names(body)] == [everybody["entry"]["index"], last["entry"]["index"]]
    own = await birch.node.giving.entries(author, author, 0, 512)
    assert [idx for idx, _ in names(own)] == [0, 1, 2, 3], "an author gets its own words back"


async def raised(node, name):
    """Let everything go to and come from a peer."""
    words = " ".join((await get(node, f"/v1/peers/{name}"))["sas"])
    asked = {"sas": words, "max_tlp_out": "red", "max_tlp_in": "red"}
    async with node.client.post(f"/v1/peers/{name}/approve", json=asked) as answer:
        assert answer.status == 200, await answer.text()


async def filed_to(node, title, to, **fields):
    query = "&".join(f"to={name}" for name in to)
    headers = {"Content-Type": "application/stix+json"}
    async with node.client.post(
        f"/v1/reports?{query}", data=node.bundle(title, **fields), headers=headers
    ) as answer:
        said = await answer.json()
        assert answer.status == 201, said
        return said


async def test_what_was_replaced_taken_back_or_lowered_is_not_handed_on(town):
    alder, birch, _ = await town.met("alder", "birch", "cedar")
    report = await filed(alder, "First words")
    await seen(birch, report["id"])
    held = (await get(alder, f"/v1/reports/{report['id']}"))["bundle"]
    withdrawn = withdraw(orjson.dumps(held), reason="It was a test.", now=datetime.now(UTC))
    headers = {"Content-Type": "application/stix+json"}
    path = f"/v1/reports/{report['id']}/withdraw"
    async with alder.client.post(path, data=withdrawn, headers=headers) as answer:
        assert answer.status < 300, await answer.text()
    await seen(birch, report["id"], state="withdrawn")
    caller, author = birch.node.peering.named("cedar"), birch.node.peering.named("alder")
    body = await birch.node.giving.entries(caller, author, 0, 512)
    assert [f.idx for f in FrameReader().feed(body)] == [1], "its withdrawal, and not what was withdrawn"
    async with birch.node.pool.acquire() as conn:
        await conn.execute("update peer set max_tlp_out = 'clear' where name = 'cedar'")
    await birch.node.peering.load()
    body = await birch.node.giving.entries(birch.node.peering.named("cedar"), author, 0, 512)
    assert FrameReader().feed(body) == [], "above what goes to cedar from here"


async def test_what_was_marked_more_strictly_since_goes_back_to_its_author_alone(town):
    alder, birch, _ = await town.met("alder", "birch", "cedar")
    report = await filed(alder, "First words")
    await seen(birch, report["id"])
    caller, author = birch.node.peering.named("cedar"), birch.node.peering.named("alder")
    body = await birch.node.giving.entries(caller, author, 0, 512)
    assert [f.idx for f in FrameReader().feed(body)] == [0]
    async with birch.node.pool.acquire() as conn:
        await recalls.narrow(conn, [report["id"]], "red", alder.node.identity.node_id)
    body = await birch.node.giving.entries(caller, author, 0, 512)
    assert FrameReader().feed(body) == []
    body = await birch.node.giving.entries(author, author, 0, 512)
    assert [f.idx for f in FrameReader().feed(body)] == [0]


# Who hands on may lie -------------------------------------------------------------------------------------


@pytest.fixture
async def cedar(cluster, tmp_path):
    async with cluster.database() as database:
        settings = settings_on(tmp_path / "cedar", database, SOON, org="cedar")
        async with open_here(settings) as node:
            yield node


@pytest.fixture
async def alder(cedar):
    """The author. It is away from the start."""
    async with villain("alder") as author:
        for kind in ("checkpoint", "entries", "tile"):
            author.hooks[kind] = away
        await author.join(cedar)
        yield author


@pytest.fixture
async def mallory(alder, cedar):
    """A peer of cedar's that has all that alder said, and gives it as it is unless a test says otherwise."""
    async with villain("mallory") as giver:

        def give(kind, answer):
            async def hook(request):
                return await answer(request) if alder.log in request.path else None

            giver.hooks[kind] = hook

        async def note(_request):
            return web.Response(body=alder.note())

        async def tile(request):
            return alder._tile(request)

        async def entries(request):
            return alder._entries(request)

        giver.give = give
        for kind, answer in (("checkpoint", note), ("tile", tile), ("entries", entries)):
            give(kind, answer)
        await giver.join(cedar)
        yield giver


async def away(_request):
    raise web.HTTPServiceUnavailable


def back(alder):
    for kind in ("checkpoint", "entries", "tile"):
        alder.hooks.pop(kind)


def sealed_to_both(alder, cedar, mallory, content):
    """An entry of alder's for cedar and mallory."""
    moment = datetime.now(UTC)
    us, giver = cedar.node.identity, mallory.identity
    return seal(
        t="publish",
        by=alder.node_id,
        id=incident_id_of(content),
        ver=1,
        tlp=Tlp.GREEN,
        content=content,
        recipients={each.node_id: each.enc_key(moment) for each in (us, giver)},
        now=moment,
        rng=os.urandom,
    )


async def told(cedar, count):
    """(index, outcome) of alder's entries at cedar, once there are as many."""
    return [(index, outcome) for index, outcome, _ in await outcomes(cedar, count, "alder")]


async def blamed(cedar, code):
    """Return when cedar lays that to mallory."""

    async def there():
        relays = (await get(cedar, "/v1/peers/mallory"))["relays"]
        return any((r["problem"] or {}).get("code") == code for r in relays)

    await until(there)


async def nobody_is_accused(cedar):
    async with cedar.node.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from evidence") == 0
    for name in ("alder", "mallory"):
        assert (await get(cedar, f"/v1/peers/{name}"))["state"] == "active"


async def all_comes_when_the_author_is_back(cedar, alder, count):
    back(alder)
    await until(lambda: reached(cedar, "alder", count))
    assert {index for index, _ in await told(cedar, count)} == set(range(count))
    alerts = [a["report_id"] for a in (await get(cedar, "/v1/alerts"))["items"] if a["origin"] == "alder"]
    assert len(alerts) == len(set(alerts)) == count, "each rang once"
    await nobody_is_accused(cedar)


def with_frames(alder, change):
    """An answer with `change`d frames and an honest end."""

    async def answer(request):
        start = int(request.query["from"])
        frames = [change(frame) for frame in alder.entries if frame.idx >= start]
        return web.Response(body=entries_body([f for f in frames if f is not None], len(alder.leaf_hashes)))

    return answer


async def test_what_is_withheld_arrives_when_the_author_is_back(cedar, alder, mallory):
    for n in range(3):
        alder.publish(cedar, alder.bundle(f"Report {n}", **GRAVE))
    mallory.give("entries", with_frames(alder, lambda f: None if f.idx == 1 else f))
    assert await told(cedar, 2) == [(0, "stored"), (2, "stored")]
    assert len(await alerts_of(cedar)) == 2
    await all_comes_when_the_author_is_back(cedar, alder, 3)
    assert await told(cedar, 3) == [(0, "unchanged"), (1, "stored"), (2, "unchanged")]


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        ({"wrap": bytes(1168)}, "bad-wrap"),
        ({"wrap": b""}, "bad-wrap"),
        ({"ct": bytes(1040)}, "ciphertext-mismatch"),
        ({"leaf": b"{}"}, "hash-mismatch"),
    ],
)
async def test_spoilt_bytes_are_laid_to_who_gave_them_and_the_rest_is_taken(
    cedar, alder, mallory, spoilt, code
):
    for n in range(2):
        alder.publish(cedar, alder.bundle(f"Report {n}", **GRAVE))
    mallory.give("entries", with_frames(alder, lambda f: replace(f, **spoilt) if f.idx == 0 else f))
    await blamed(cedar, code)
    assert await told(cedar, 1) == [(1, "stored")]
    assert (await get(cedar, "/v1/peers/alder"))["outcomes"]["quarantined"] == {}
    await all_comes_when_the_author_is_back(cedar, alder, 2)


async def test_entries_of_another_log_and_places_are_not_taken(cedar, alder, mallory):
    """A giver mixes its own entries into another's log, and shuffles that one's."""
    for n in range(2):
        alder.publish(cedar, alder.bundle(f"Report {n}", **GRAVE))
    own = mallory.publish(cedar, mallory.bundle("In my own name", **GRAVE))
    second = alder.entries[1]
    swapped = [replace(second, idx=0), replace(own, idx=1)]

    async def mixed(_request):
        return web.Response(body=entries_body(swapped, 2))

    mallory.give("entries", mixed)
    await blamed(cedar, "hash-mismatch")
    assert (await get(cedar, "/v1/peers/alder"))["recent"] == []
    await all_comes_when_the_author_is_back(cedar, alder, 2)


async def test_a_stale_giver_and_one_that_signs_itself_bring_nothing_and_accuse_nobody(cedar, alder, mallory):
    alder.publish(cedar, alder.bundle("First", **GRAVE))
    await told(cedar, 1)
    alder.publish(cedar, alder.bundle("Second", **GRAVE))
    await until(lambda: known(cedar, 2))

    notes = [
        (alder.note(size=1), None),  # stale
        (mallory.note(size=5), "note-unsigned"),  # of its own log
        (alder.note().replace(b"\n2\n", b"\n9\n"), "bad-signature"),
        (b"nonsense", "note-malformed"),
    ]
    for note, code in notes:

        async def lie(_request, note=note):
            return web.Response(body=note)

        mallory.give("checkpoint", lie)
        asked = len(mallory.asked)
        if code is None:
            await until(lambda asked=asked: more_asked(mallory, asked + 4))
        else:
            await blamed(cedar, code)
    assert await log_of(cedar, alder.node_id) == (2, 0)
    await all_comes_when_the_author_is_back(cedar, alder, 2)


async def known(cedar, size):
    return (await log_of(cedar, cedar.node.peering.named("alder").node_id))[0] == size


async def more_asked(mallory, count):
    return len(mallory.asked) >= count


async def test_hashes_that_do_not_lead_to_the_signed_root_are_not_taken(cedar, alder, mallory):
    alder.publish(cedar, alder.bundle("First", **GRAVE))

    async def other(_request):
        return web.Response(body=bytes(32))

    mallory.give("tile", other)
    await blamed(cedar, "log-root")
    assert await log_of(cedar, alder.node_id) == (0, 0)
    await all_comes_when_the_author_is_back(cedar, alder, 1)


async def test_two_heads_signed_by_the_author_convict_it_whoever_shows_them(cedar, alder, mallory):
    alder.publish(cedar, alder.bundle("First", **GRAVE))
    await told(cedar, 1)
    fork = alder.note(root=bytes(32))

    async def shown(_request):
        return web.Response(body=fork)

    mallory.give("checkpoint", shown)

    async def stopped():
        return (await get(cedar, "/v1/peers/alder"))["state"] == "suspect"

    await until(stopped)
    assert (await get(cedar, "/v1/peers/mallory"))["state"] == "active"


async def test_a_peer_that_may_not_relay_is_asked_for_nothing_and_gets_nothing(cedar, alder, mallory):
    alder.publish(cedar, alder.bundle("First", **GRAVE))
    await told(cedar, 1)
    path = f"/f1/log/{alder.log}/entries?from=0"
    status, _, _ = await mallory.ask(cedar, path)
    assert status == 200
    async with cedar.node.pool.acquire() as conn:
        await conn.execute("update peer set relay = false where node_id = $1", mallory.node_id)
    await cedar.node.peering.load()
    status, body, _ = await mallory.ask(cedar, path)
    assert (status, b"log-unknown" in body) == (404, True)
    alder.publish(cedar, alder.bundle("Second", **GRAVE))
    asked = [path for path in mallory.asked if alder.log in path]
    tries = len(alder.asked)
    await until(lambda: more_asked(alder, tries + 3))
    assert [path for path in mallory.asked if alder.log in path] == asked
    await all_comes_when_the_author_is_back(cedar, alder, 2)


# Wraps that do not open -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [bytes(1168), b"short", "of another", "of another key"])
async def test_a_bad_wrap_is_mended_by_another_recipient(cedar, alder, mallory, wrap):
    """The author gives cedar alone a wrap that does not open; mallory was told the same, and cedar is rung after all."""
    back(alder)
    sealed = sealed_to_both(alder, cedar, mallory, alder.bundle("First", **GRAVE))
    us = cedar.node.identity
    good = sealed.wraps[us.node_id]
    if wrap == "of another":
        wrap = sealed.wraps[mallory.node_id]
    elif wrap == "of another key":
        wrap = us.enc_key(datetime.now(UTC)).wrap(
            bytes(32), wrap_info(sealed.leaf_hash, alder.node_id, us.node_id)
        )
    alder.append(cedar, sealed, wrap=wrap)
    mallory.give("entries", with_frames(alder, lambda f: replace(f, wrap=good)))
    await until(lambda: reached(cedar, "alder", 1))  # mallory may have been quicker than alder
    report = await seen(cedar, incident_id_of(alder_content(sealed)))
    assert (report["through"]["name"], report["through"]["awaited"]) == ("mallory", False)
    assert await told(cedar, 1) == [(0, "stored")]
    assert (await get(cedar, "/v1/peers/alder"))["outcomes"]["quarantined"] == {}
    assert len(await alerts_of(cedar)) == 1
    await nobody_is_accused(cedar)


async def test_bytes_that_its_author_damages_undo_nothing_and_a_recall_reaches_what_the_entry_was(
    cedar, alder, mallory
):
    """Taken soundly from mallory; then alder's own answer has the header of another report in its place."""
    first, second = alder.bundle("First"), alder.bundle("Second")
    sealed = sealed_to_both(alder, cedar, mallory, first)
    frame = alder.append(cedar, sealed)
    await seen(cedar, incident_id_of(first))
    mallory.give("entries", away)
    other = sealed_to_both(alder, cedar, mallory, second)
    alder.entries[0] = replace(frame, leaf=other.leaf)
    alder.append(cedar, other)
    back(alder)
    await until(lambda: reached(cedar, "alder", 2))
    assert await told(cedar, 2) == [(0, "stored"), (1, "stored")]
    now = datetime.now(UTC)
    content = write_recall("purge", [sealed.leaf_hash], "Mine.", at=now, deadline=now)
    facts = {"t": "recall", "id": f"recall--{uuid.uuid4()}", "ref": sealed.leaf_hash, "tlp": Tlp.GREEN}
    alder.append(cedar, alder.sealed(cedar, content, **facts))
    await alder.ring()
    await until(lambda: reached(cedar, "alder", 3))
    async with cedar.node.pool.acquire() as conn:
        await until(lambda: conn.fetchval("select exists (select from recalled where done_at is not null)"))
        assert [row[0] for row in await conn.fetch("select id from report")] == [incident_id_of(second)]
    await nobody_is_accused(cedar)


def alder_content(sealed):
    return open_disclosed(read_header(sealed.leaf), sealed.data_key, sealed.ct)


async def reached(node, name, index):
    return (await get(node, f"/v1/peers/{name}"))["log"]["next_index"] >= index
