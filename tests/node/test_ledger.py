"""The one writer of the log: many who file at once, a bad one among them, and answers of the database that are lost."""

import asyncio
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from tests.support.database_wire import database_wire
from tests.support.node import open_here, settings_on
from tests.support.villain import get, incident_id_of, villain

from tocsin_federation.checkpoint import open_checkpoint
from tocsin_federation.frames import FrameReader
from tocsin_federation.merkle import leaf_hash, root_of
from tocsin_federation.messages import read_header
from tocsin_schema.stix import revise, withdraw

STIX = {"Content-Type": "application/stix+json"}
WRITERS, EACH = 100, 5
SEED = 20_261_123


async def file(node, raw, *, method="POST", path="/v1/reports", **query):
    async with node.client.request(method, path, data=raw, headers=STIX, params=query) as answer:
        return answer.status, await answer.json()


async def verify_log(node):
    """The log's leaf hashes, once they are known to yield the signed root."""
    async with node.client.get("/v1/log/checkpoint") as answer:
        head = open_checkpoint(await answer.read(), node.node.identity.statement.log.vkey)
    async with node.client.get(f"/v1/log/leaves?from=0&to={head.size}") as answer:
        raw = await answer.read()
    hashes = [raw[at : at + 32] for at in range(0, len(raw), 32)]
    assert len(hashes) == head.size
    assert root_of(hashes) == head.root
    return hashes


class Follower:
    """Follows a node's log as a peer does, and keeps what it saw."""

    def __init__(self, peer, node):
        self.peer, self.node = peer, node
        self.seen: list[str] = []
        self.hashes: list[bytes] = []
        self.heads: list[int] = []

    async def round(self, wait_s=5):
        """Wait for a longer log, check that it extends the one held, and take its entries."""
        since = len(self.hashes)
        path = self.peer.log_path(self.node, f"checkpoint?since={since}&wait={wait_s}")
        _, note, _ = await self.peer.ask(self.node, path)
        head = open_checkpoint(note, self.node.node.identity.statement.log.vkey)
        assert head.size >= since
        if head.size == since:
            return
        for tile in range(since // 256, -(-head.size // 256)):
            width = min(256, head.size - 256 * tile)
            name = f"tile/0/{tile:03}" + (f".p/{width}" if width < 256 else "")
            _, body, _ = await self.peer.ask(self.node, self.peer.log_path(self.node, name))
            assert len(body) == 32 * width
            self.hashes += [body[at : at + 32] for at in range(0, len(body), 32)][
                len(self.hashes) - 256 * tile :
            ]
        assert root_of(self.hashes) == head.root
        self.heads.append(head.size)
        position = since
        while position < head.size:
            path = self.peer.log_path(self.node, f"entries?from={position}&max=512")
            _, body, _ = await self.peer.ask(self.node, path)
            reader = FrameReader(start=position)
            for frame in reader.feed(body):
                if frame.idx < head.size:
                    assert leaf_hash(frame.leaf) == self.hashes[frame.idx]
                    self.seen.append(read_header(frame.leaf).id)
            position = reader.finish()

    async def until_it_has(self, count):
        async with asyncio.timeout(60):
            while len(self.hashes) < count:
                await self.round()


async def test_a_follower_of_a_hundred_writers_misses_nothing(acme, mallory):
    bundles = [acme.bundle(f"Report {n}") for n in range(WRITERS * EACH)]
    follower = Follower(mallory, acme)

    async def write(number):
        return [(await file(acme, raw))[0] for raw in bundles[number::WRITERS]]

    following = asyncio.create_task(follower.until_it_has(len(bundles)))
    statuses = await asyncio.gather(*map(write, range(WRITERS)))
    await following
    assert Counter(status for each in statuses for status in each) == {201: len(bundles)}
    assert Counter(follower.seen) == Counter(map(incident_id_of, bundles))
    assert follower.heads == sorted(set(follower.heads))
    assert follower.hashes == await verify_log(acme)
    async with acme.node.pool.acquire() as conn:
        sizes = [row[0] for row in await conn.fetch("select size from log_checkpoint order by size")]
    assert len(sizes) < len(bundles), "those who come together share a commit"


async def test_writers_that_repeat_and_collide_end_in_one_entry_a_report(acme, mallory):
    chance = random.Random(SEED)
    bundles = [acme.bundle(f"Report {n}") for n in range(20)]
    others = [acme.bundle(f"Other {n}", incident_id=incident_id_of(raw)) for n, raw in enumerate(bundles)]
    sent = [*bundles * 5, *others * 2]
    chance.shuffle(sent)
    statuses = Counter(status for status, _ in await asyncio.gather(*(file(acme, raw) for raw in sent)))
    assert statuses[201] == 20
    assert set(statuses) == {200, 201, 409}
    assert len(await verify_log(acme)) == 20


async def forbid(node, condition):
    async with node.node.pool.acquire() as conn:
        await conn.execute(
            f"create function forbid() returns trigger language plpgsql as $$ begin if {condition} then"
            " raise exception 'forbidden' using errcode = '23514'; end if; return new; end $$;"
            " create trigger forbid before insert on report for each row execute function forbid()"
        )


async def test_one_bad_report_fails_alone_among_those_it_shares_a_commit_with(acme, mallory):
    await forbid(acme, "new.name like 'Poison%'")
    titles = [f"Report {n}" for n in range(60)] + ["Poison 1", "Poison 2"]
    random.Random(SEED).shuffle(titles)
    answers = await asyncio.gather(*(file(acme, acme.bundle(title)) for title in titles))
    failed = {title for title, (status, _) in zip(titles, answers, strict=True) if status != 201}
    assert failed == {"Poison 1", "Poison 2"}
    assert {status for status, _ in answers} == {201, 500}
    assert len(await verify_log(acme)) == 60
    assert (await file(acme, acme.bundle("And on it goes")))[0] == 201


async def test_versions_made_at_once_on_one_version_do_not_overwrite_each_other(acme, mallory):
    raw = acme.bundle("First words")
    await file(acme, raw)
    path = f"/v1/reports/{incident_id_of(raw)}"
    now = acme.node.now()
    versions = [revise(raw, {"title": f"Words {n}"}, now=now) for n in range(10)]
    answers = await asyncio.gather(*(file(acme, each, method="PUT", path=path) for each in versions))
    assert Counter(status for status, _ in answers) == {201: 1, 409: 9}
    assert {said["code"] for status, said in answers if status == 409} == {"version-conflict"}
    assert (await get(acme, path))["ver"] == 2
    assert len(await verify_log(acme)) == 2


async def test_a_version_made_on_an_older_one_is_refused(acme, mallory):
    raw = acme.bundle("First words")
    await file(acme, raw)
    path = f"/v1/reports/{incident_id_of(raw)}"
    second = revise(raw, {"title": "Second words"}, now=acme.node.now())
    assert (await file(acme, second, method="PUT", path=path))[0] == 201
    status, said = await file(acme, raw, method="PUT", path=path)
    assert (status, said["code"]) == (409, "version-conflict")
    assert (await file(acme, second, method="PUT", path=path))[0] == 200
    assert (await get(acme, path))["name"] == "Second words"


async def test_a_withdrawn_report_cannot_be_taken_up_again(acme, mallory):
    raw = acme.bundle("First words")
    await file(acme, raw)
    path = f"/v1/reports/{incident_id_of(raw)}"
    gone = withdraw(raw, reason="It was a test.", now=acme.node.now())
    assert (await file(acme, gone, path=f"{path}/withdraw"))[0] == 201
    back = revise(raw, {"title": "Back again"}, now=acme.node.now())
    status, said = await file(acme, back, method="PUT", path=path)
    assert (status, said["code"]) == (409, "already-withdrawn")
    assert (await file(acme, gone, path=f"{path}/withdraw"))[0] == 200
    assert (await get(acme, path))["state"] == "withdrawn"


async def test_what_was_filed_before_is_not_said_to_go_to_anybody_new(acme, mallory):
    raw = acme.bundle("Kept here at first")
    status, said = await file(acme, raw, share="0")
    assert (status, said["to"]) == (201, [])
    status, said = await file(acme, raw)
    assert (status, said["outcome"], said["to"]) == (200, "unchanged", [])
    assert [w["code"] for w in said["withheld"]] == ["already-filed"]
    assert len(await verify_log(acme)) == 0


# A database whose answers are lost --------------------------------------------------------------------------


@pytest.fixture
async def frail(database, tmp_path):
    """A node whose wire to the database can lose answers, and the wire."""
    with tempfile.TemporaryDirectory(prefix="tw-") as short:
        async with database_wire(database, Path(short)) as wire:
            settings = settings_on(tmp_path / "frail", wire.address, {"federation": {"long_poll_s": 20.0}})
            async with open_here(settings) as served:
                yield served, wire


async def test_what_was_written_unheard_reaches_the_peers_though_nobody_files_again(frail):
    node, wire = frail
    async with villain() as mallory:
        await mallory.join(node)
        follower = Follower(mallory, node)
        raw = node.bundle("Written, but nobody heard it")
        waiting = asyncio.create_task(follower.round(wait_s=20))
        await asyncio.sleep(0)
        wire.lose = b"INSERT 0 1"
        status, said = await file(node, raw)
        wire.lose = b""
        assert (status, said["code"]) == (503, "storage-unavailable")
        assert wire.lost == 1
        async with asyncio.timeout(10):
            await waiting
        assert follower.seen == [incident_id_of(raw)]
        status, said = await file(node, raw)
        assert (status, said["outcome"]) == (200, "unchanged")
        assert [peer["name"] for peer in said["to"]] == ["mallory"]
        assert len(await verify_log(node)) == 1


async def test_what_was_not_written_is_not_in_the_log(frail):
    node, wire = frail
    async with villain() as mallory:
        await mallory.join(node)
        raw = node.bundle("The database is away")
        wire.away = True
        wire.cut()
        status, said = await file(node, raw)
        assert (status, said["code"]) == (503, "storage-unavailable")
        wire.away = False
        status, said = await file(node, raw)
        assert (status, said["outcome"]) == (201, "stored")
        assert len(await verify_log(node)) == 1


async def test_answers_lost_at_any_moment_lose_and_double_nothing(frail):
    node, wire = frail
    chance = random.Random(SEED)
    async with villain() as mallory:
        await mallory.join(node)
        bundles: list[bytes] = []
        done = 0

        def enough():
            return done >= 90 and wire.lost >= 6

        async def until_stored(raw):
            while True:
                status, said = await file(node, raw)
                if status in {200, 201}:
                    return
                assert status == 503, said
                await asyncio.sleep(0.02)

        async def write():
            nonlocal done
            while not enough():
                raw = node.bundle(f"Report {len(bundles)}")
                bundles.append(raw)
                await until_stored(raw)
                done += 1

        async def trouble():
            while not enough():
                lost, written = wire.lost, done
                wire.lose = chance.choice([b"INSERT 0 1", b"SELECT", b"C"])
                while wire.lost == lost and done < written + 10:  # these bytes may not come by now
                    await asyncio.sleep(0.005)
                wire.lose = b""
                if chance.random() < 0.3:
                    wire.cut()
                await asyncio.sleep(chance.uniform(0, 0.1))

        async with asyncio.timeout(90):
            await asyncio.gather(trouble(), *(write() for _ in range(3)))
        follower = Follower(mallory, node)
        await follower.until_it_has(len(bundles))
        assert Counter(follower.seen) == Counter(map(incident_id_of, bundles))
        assert follower.hashes == await verify_log(node)
