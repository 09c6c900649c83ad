"""P10: versions, withdrawals and recalls of a report end alike in whatever order its entries came from hand to hand.

The author is away. Three others give what it said, each one entry of every report, in an order of that report's own;
some of it nobody gives. Then the author is back, and everything is read from it.
"""

import asyncio
import itertools
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web
from tests.support.circle import QUICK
from tests.support.node import open_here, settings_on
from tests.support.villain import entries_body, get, incident_id_of, until, villain

from tocsin_federation.recall import write_recall
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import revise, withdraw

SOON = {"federation": {**QUICK["federation"], "relay_after_s": 1.0, "backoff_max_s": 0.2}}
ORDERS = sorted({order[:n] for order in itertools.permutations(range(3)) for n in range(4)})
STORIES = {
    "three versions": ("v1 v2 v3", ("active", 3, "green")),
    "withdrawn": ("v1 v2 gone", ("withdrawn", 3, "green")),
    "marked more strictly": ("v1 v2 amber narrow", ("active", 3, "amber")),
    "narrowed as it is": ("v1 v2 v3 narrow", ("active", 3, "amber")),
    "recalled": ("v1 v2 v3 purge", None),
    "recalled when it was withdrawn": ("v1 v2 gone purge", None),
    "recalled and given anew": ("v1 v2 purge v3", ("active", 3, "green")),
    "narrowed, then recalled": ("v1 v2 v3 narrow purge", None),
    "narrowed and given anew": ("v1 v2 narrow v3", ("active", 3, "green")),
}


@dataclass
class Told:
    """A report in the author's log: `frames`, its versions; `order`: which of them others give, and when."""

    story: str
    order: tuple[int, ...]
    id: str
    frames: list = field(default_factory=list)


def tell(author, node, story, order):
    """Put a story into the author's log."""
    content = author.bundle(f"{story}, {order}")
    told = Told(story, order, incident_id_of(content))
    at = datetime.now(UTC)
    for nth, word in enumerate(STORIES[story][0].split()):
        if word in {"narrow", "purge"}:
            entry = author.leaf_hashes[told.frames[-1].idx]
            recall = write_recall(word, [entry], "Mine.", at=at, deadline=at)
            tlp = Tlp.AMBER if word == "narrow" else Tlp.GREEN
            header = {"t": "recall", "id": f"recall--{uuid.uuid4()}", "ref": entry, "tlp": tlp}
            author.append(node, author.sealed(node, recall, **header))
            continue
        later = at + timedelta(seconds=nth)
        if word == "gone":
            content = withdraw(content, reason="It was none.", now=later)
        elif word == "amber":
            content = revise(content, {"tlp": "amber"}, now=later)
        elif word != "v1":
            content = revise(content, {"title": f"{story}, {order}, {word}"}, now=later)
        header = {"t": "revoke" if word == "gone" else "publish", "ver": len(told.frames) + 1}
        header["tlp"] = Tlp.AMBER if word == "amber" else Tlp.GREEN
        told.frames.append(author.publish(node, content, **header))
    return told


async def taken(node, author):
    async with node.node.pool.acquire() as conn:
        return await conn.fetchval("select count(*) from remote_entry where origin = $1", author.node_id)


async def end_of(node, told):
    """How the report stands; None: it is not held."""
    async with node.client.get(f"/v1/reports/{told.id}") as answer:
        if answer.status == 404:
            return None
        report = await answer.json()
        return report["state"], report["ver"], report["tlp"]


async def left_of(node, told):
    """What is kept of earlier versions: their counts and markings, and how many entries can be handed on."""
    async with node.node.pool.acquire() as conn:
        versions = await conn.fetch(
            "select ver, tlp from report_version where report_id = $1 order by ver", told.id
        )
        whole = await conn.fetchval(
            "select count(*) from remote_entry where report_id = $1 and leaf is not null", told.id
        )
        return [tuple(row) for row in versions], whole


def hand_on(giver, author, reports, nth, ready):
    """`giver` shows the author's log, and of each report the `nth` entry that others give, once it is `ready`."""
    frames = [each.frames[each.order[nth]] for each in reports if len(each.order) > nth]
    frames.sort(key=lambda frame: frame.idx)

    async def note(request):
        return web.Response(body=author.note()) if author.log in request.path else None

    async def tile(request):
        return author._tile(request) if author.log in request.path else None

    async def entries(request):
        if author.log not in request.path:
            return None
        if not await ready():
            raise web.HTTPServiceUnavailable
        start = int(request.query["from"])
        return web.Response(body=entries_body([f for f in frames if f.idx >= start], len(author.leaf_hashes)))

    giver.hooks |= {"checkpoint": note, "tile": tile, "entries": entries}
    return len(frames)


async def away(_request):
    raise web.HTTPServiceUnavailable


async def test_p10_versions_withdrawals_and_recalls_end_alike_in_whatever_order_they_came(database, tmp_path):
    settings = settings_on(tmp_path / "cedar", database, SOON, org="cedar")
    async with AsyncExitStack() as stack:
        author = await stack.enter_async_context(villain("alder"))
        givers = [await stack.enter_async_context(villain(f"giver{n}")) for n in range(3)]
        node = await stack.enter_async_context(open_here(settings))
        author.hooks |= dict.fromkeys(("checkpoint", "entries", "tile"), away)
        await author.join(node)
        reports = [tell(author, node, story, order) for story in STORIES for order in ORDERS]

        due = 0
        for nth, giver in enumerate(givers):

            async def ready(due=due):
                return await taken(node, author) >= due

            due += hand_on(giver, author, reports, nth, ready)
        for giver in givers:
            await giver.join(node)

        async def all_given():
            return await taken(node, author) == due

        await until(all_given, within_s=300.0)
        before = [await end_of(node, each) for each in reports]
        held = [max((each.frames[n].idx for n in each.order), default=None) for each in reports]
        assert [end is not None for end in before] == [newest is not None for newest in held]

        author.hooks.clear()
        await author.ring()

        recalls = len(author.leaf_hashes) - sum(len(each.frames) for each in reports)

        async def all_read_and_obeyed():
            status = await get(node, "/v1/peers/alder")
            async with node.node.pool.acquire() as conn:
                done = await conn.fetchval("select count(*) from recalled where done_at is not null")
            return (status["log"]["next_index"], done) == (len(author.leaf_hashes), recalls)

        await until(all_read_and_obeyed, within_s=300.0)
        ends = await asyncio.gather(*(end_of(node, each) for each in reports))
        for each, end in zip(reports, ends, strict=True):
            assert end == STORIES[each.story][1], each
            versions, whole = await left_of(node, each)
            if each.story == "recalled and given anew":
                assert (versions, whole) == ([], 1), each
            elif end is not None and "narrow" in STORIES[each.story][0]:
                assert {tlp for _, tlp in versions} <= {"amber"}, each


async def recall_obeyed_late(database, tmp_path, story):
    """What is kept of a report whose recall a person obeys after its author has given it anew."""
    told = {**SOON["federation"], "recall": "ask"}
    settings = settings_on(tmp_path / "cedar", database, {"federation": told}, org="cedar")
    async with villain("alder") as author, open_here(settings) as node:
        await author.join(node)
        each = tell(author, node, story, ())
        await author.ring()
        rows = await until(lambda: waiting(node))
        assert await end_of(node, each) == STORIES[each.story][1]
        assert len((await left_of(node, each))[0]) == 2, "nobody was asked yet"
        await node.node.recalling.obey(rows[0]["leaf_hash"], by="Kim")
        assert await end_of(node, each) == STORIES[each.story][1]
        async with node.node.pool.acquire() as conn:
            told = await conn.fetch("select ver from alert where report_id = $1 order by ver", each.id)
        return (*await left_of(node, each), [row[0] for row in told])


async def waiting(node):
    async with node.node.pool.acquire() as conn:
        reached = await conn.fetchval("select count(*) from remote_entry") == 4
        return await conn.fetch("select leaf_hash from recalled where done_at is null") if reached else None


async def test_p10_what_was_given_anew_before_a_person_obeyed_the_recall_stays_alone(database, tmp_path):
    versions, whole, alerts = await recall_obeyed_late(database, tmp_path, "recalled and given anew")
    assert (versions, whole) == ([], 1)
    assert set(alerts) <= {3}


async def test_p10_earlier_versions_are_marked_as_a_late_narrowing_says(database, tmp_path):
    versions, _, _ = await recall_obeyed_late(database, tmp_path, "narrowed and given anew")
    assert versions == [(1, "amber"), (2, "amber")]
