"""Kill -9 of the workers that pass on, recall, erase, acknowledge and complain: at each of their commits, on both sides of it.

A real process with a real database dies where the transaction is about to be committed, and where it is committed and
nobody has heard of it. Then nothing is lost and nothing is said twice, and what was erased stays erased.
"""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from tests.node.test_complaints import complaints, log, wide
from tests.node.test_erasing import WORDS
from tests.node.test_recalls import gone, until_recall
from tests.node.test_share import file
from tests.support.circle import QUICK, filed, introduce, seen
from tests.support.mortal import mortal
from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.recorder import found
from tests.support.villain import GRAVE, get, post, until

from tocsin_federation.merkle import root_of
from tocsin_federation.onward import write_share
from tocsin_federation.recall import write_recall
from tocsin_node.storage import acknowledgements, erasures, onward, recalls, receipts
from tocsin_node.storage import complaints as complaining
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import withdraw

WHY = {"by": "Kim", "reason": "Somebody asked for it."}
SEED = 20_261_129
ROUNDS = 4
MOMENTS = ("before the commit", "after the commit")


@pytest.fixture
def short():
    """A directory with a short name: a socket's path has 107 bytes at most."""
    directory = Path(tempfile.mkdtemp(prefix="tk-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def line(cluster, tmp_path, short):
    """elm — fir — oak, words compared; who of them dies is told by `mortal_one`: (nodes, the pager of fir)."""
    async with AsyncExitStack() as stack:

        async def make(dying):
            nodes = {}
            for name in ("elm", "fir", "oak"):
                database = await stack.enter_async_context(cluster.database())
                if name == dying:
                    there = await stack.enter_async_context(pager())
                    values = {**QUICK, "webhook": there.settings(tmp_path)}
                    nodes[name] = await stack.enter_async_context(
                        mortal(name, tmp_path, short, database, values)
                    )
                else:
                    settings = settings_on(tmp_path / name, database, QUICK, org=name)
                    nodes[name] = await stack.enter_async_context(open_here(settings))
            for one, other in (("elm", "fir"), ("fir", "oak")):
                await introduce(one, nodes[one], other, nodes[other])
            return nodes.values()

        yield make


async def entries(dying, kind):
    """How many entries of a kind its log has been given."""
    async with dying.looking() as conn:
        return await conn.fetchval(
            "select count(*) from log_entry where position($1::bytea in leaf) > 0", f'"t":"{kind}"'.encode()
        )


async def whole(dying):
    """Its tree, hashed anew, is what it signed, and every leaf that it still has hashes to its place's."""
    async with dying.looking() as conn:
        rows = await conn.fetch("select leaf_hash from log_entry order by gen, idx")
        signed = await conn.fetchrow(
            "select size, root from log_checkpoint order by gen desc, size desc limit 1"
        )
    assert (len(rows), root_of([row[0] for row in rows])) == tuple(signed)


async def nothing_owed(dying):
    async def look():
        async with dying.looking() as conn:
            return await conn.fetchval("select count(*) from receipt_due") == 0

    await until(look)


async def recalled(node, report_id, *, stage="purged"):
    (item,) = await until_recall(node, report_id, stage)
    return item


@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", MOMENTS)
async def test_who_passes_on_dies_at_each_commit_and_nothing_is_lost_or_said_twice(line, moment):
    elm, fir, oak = await line("fir")

    # What comes is acknowledged, and its author told once.
    async def told_something_grave():
        return (await filed(elm, WORDS["title"], **GRAVE, tlp=Tlp.GREEN))["id"]

    first = await fir.dies_at(receipts.TOLD, moment, told_something_grave)
    await seen(fir, first)

    async def rung():
        items = (await get(fir, "/v1/alerts?limit=100"))["items"]
        return next((one["id"] for one in items if one["report_id"] == first), None)

    alert = await until(rung)
    await fir.dies_at(
        acknowledgements.TOLD, moment, lambda: fir.tell(f"/v1/alerts/{alert}/ack", {"by": "Kim"})
    )

    async def heard():
        return (await get(elm, f"/v1/reports/{first}"))["acknowledgements"]

    assert len(await until(heard)) == 1

    # It is passed on, once, whoever asks how often.
    async def pass_on():
        return await fir.insist("POST", f"/v1/reports/{first}/share", to="oak")

    status, said = await fir.dies_at(onward.RECORD, moment, pass_on)
    assert (status, said["outcome"]) in {(201, "stored"), (200, "unchanged")}
    await seen(oak, first)

    async def through():
        return (await get(elm, f"/v1/reports/{first}"))["passed_on"]

    (passing,) = await until(through)
    assert (passing["by"]["name"], passing["ver"]) == ("fir", 1)
    assert await entries(fir, "share") == 1

    # Its author's withdrawal of another follows by itself.
    second = (await filed(elm, "Withdrawn later", tlp=Tlp.GREEN))["id"]
    await seen(fir, second)
    assert (await fir.insist("POST", f"/v1/reports/{second}/share", to="oak"))[0] == 201
    await seen(oak, second)
    raw = (await elm.node.reporting.get(second)).bundle

    async def take_it_back():
        gone_by = withdraw(raw, reason="Not so.", now=datetime.now(UTC) + timedelta(seconds=1))
        await file(elm, gone_by, f"/v1/reports/{second}/withdraw")

    await fir.dies_at(onward.RECORD, moment, take_it_back)
    await seen(oak, second, state="withdrawn")
    assert await entries(fir, "share") == 3

    # It is recalled: obeyed here, passed on, told, and all of it with the author's deadline.
    await nothing_owed(fir)
    asked = {**WHY, "deadline_h": 30}
    await fir.dies_at(recalls.DONE, moment, lambda: post(elm, f"/v1/reports/{first}/recall", asked))
    await gone(oak, first)
    mine = await recalled(elm, first)
    async with fir.client.get(f"/v1/reports/{first}/receipts") as answer:
        assert answer.status == 404 or not (await answer.json())["items"]
    assert await entries(fir, "recall") == 1
    (onwards,) = (await get(fir, "/v1/recalls"))["ours"]
    assert abs(
        datetime.fromisoformat(onwards["deadline"]) - datetime.fromisoformat(mine["deadline"])
    ) < timedelta(minutes=1)
    assert mine["done_at"]
    assert not mine["overdue"]

    # The next recall dies where it is told on, and where its receipt is.
    third = (await filed(elm, "Recalled, too", tlp=Tlp.GREEN))["id"]
    await seen(fir, third)
    assert (await fir.insist("POST", f"/v1/reports/{third}/share", to="oak"))[0] == 201
    await seen(oak, third)
    await nothing_owed(fir)
    await fir.dies_at(recalls.TOLD, moment, lambda: post(elm, f"/v1/reports/{third}/recall", asked))
    await gone(oak, third)
    await recalled(elm, third)
    assert await entries(fir, "recall") == 2

    # What its own people erase is taken back from who has it through them, and stays away.
    fourth = (await filed(elm, "Erased at fir", tlp=Tlp.GREEN))["id"]
    await seen(fir, fourth)
    assert (await fir.insist("POST", f"/v1/reports/{fourth}/share", to="oak"))[0] == 201
    await seen(oak, fourth)
    status, said = await fir.dies_at(
        erasures.ADD, moment, lambda: fir.tell(f"/v1/reports/{fourth}/erase", WHY)
    )
    assert (status, said.get("outcome") or said["code"]) in {(200, "erased"), (409, "erased")}, said
    await gone(fir, fourth)
    await gone(oak, fourth)
    assert await entries(fir, "recall") == 3

    async def confirmed():
        items = (await get(fir, "/v1/recalls"))["ours"]
        return items if [one["stage"] for one in items] == ["purged"] * 3 else None

    assert not any(one["overdue"] for one in await until(confirmed))
    held = await fir.values()
    names = {one.removeprefix("incident--") for one in (first, third, fourth)}
    assert found(names | {WORDS["title"], "Recalled, too", "Erased at fir"}, held) == set()
    await whole(fir)
    await nothing_owed(fir)
    for node, name in ((elm, "fir"), (oak, "fir")):
        assert (await get(node, f"/v1/peers/{name}"))["state"] == "active"
        verdict = (await get(node, f"/v1/peers/{name}/verify"))["their_log"]
        assert verdict["differences"] == []
    assert len(fir.deaths) == 7


@pytest.mark.timeout(600)
async def test_who_passes_on_dies_anywhere_at_all_and_nothing_is_lost_or_said_twice(line):
    """At statements that dice choose, within transactions too: reports come, go on, are recalled, and all of it once."""
    elm, fir, oak = await line("fir")
    dice, over = Random(SEED), asyncio.Event()

    async def die_again_and_again():
        while not over.is_set():
            if not fir.wire.doomed and not fir.wire.ahead:
                fir.wire.aim_ahead(dice.randint(1, 300), dice.choice(MOMENTS))
            waits = [asyncio.create_task(one.wait()) for one in (fir.wire.struck, over)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in waits:
                one.cancel()
            if fir.wire.missed():
                return
            again = (dice.randint(1, 60), dice.choice(MOMENTS)) if dice.random() < 0.5 else None
            await fir.died(f"seed {SEED}", again=again)

    gone_by = []
    async with asyncio.TaskGroup() as group:
        group.create_task(die_again_and_again())
        for nth in range(ROUNDS):
            report_id = (await filed(elm, f"Number {nth}", tlp=Tlp.GREEN))["id"]
            await seen_there(fir, report_id)
            status, said = await fir.insist("POST", f"/v1/reports/{report_id}/share", to="oak")
            assert status in {200, 201}, said
            await seen(oak, report_id)
            await post(elm, f"/v1/reports/{report_id}/recall", WHY)
            await gone(oak, report_id)
            gone_by.append(report_id)
        over.set()
    for report_id in gone_by:
        assert (await recalled(elm, report_id))["done_at"]

    async def confirmed():
        items = (await get(fir, "/v1/recalls"))["ours"]
        return items if {one["stage"] for one in items} == {"purged"} else None

    assert len(await until(confirmed)) == ROUNDS
    await nothing_owed(fir)
    held = await fir.values()
    assert found({one.removeprefix("incident--") for one in gone_by}, held) == set()
    told = (await get(oak, "/v1/peers/fir"))["outcomes"]
    assert (told["unchanged"], told["superseded"], told["refused"], told["quarantined"]) == (0, 0, {}, {}), (
        SEED
    )
    assert (await get(elm, "/v1/peers/fir"))["outcomes"]["unchanged"] == 0
    await whole(fir)
    assert len(fir.deaths) >= ROUNDS // 2, "it died too seldom to show anything"


async def seen_there(dying, report_id):
    """The report is there, at a node that may be dying."""

    async def look():
        status, _ = await dying.insist("GET", f"/v1/reports/{report_id}")
        return status == 200

    await until(look)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", MOMENTS)
async def test_who_complains_dies_at_each_commit_and_the_author_hears_it_once(line, moment):
    elm, fir, oak = await line("oak")
    await introduce("elm", elm, "oak", oak)
    await wide({"elm": elm, "fir": fir, "oak": oak})
    raw = elm.bundle(WORDS["title"], description=WORDS["description"], tlp=Tlp.AMBER_STRICT)
    report_id = (await file(elm, raw, to="fir"))["id"]
    await seen(fir, report_id)
    ready = await fir.node.passing_on._ready(await fir.node.reporting.get(report_id))
    facts = {"id": report_id, "ver": 1, "tlp": Tlp.AMBER_STRICT, "ref": ready.stored.leaf_hash}

    async def break_the_rule():
        return await log(fir, "share", write_share(ready.proof, client=False), ["oak"], **facts)

    share, _ = await oak.dies_at(complaining.COMPLAIN, moment, break_the_rule)
    (heard,) = await complaints(elm)
    assert (heard["by"]["name"], heard["against"]["name"]) == ("oak", "fir")
    assert await entries(oak, "complain") == 1

    # A second one dies where it is told.
    later = (await file(elm, elm.bundle("Another one", tlp=Tlp.AMBER_STRICT), to="fir"))["id"]
    await seen(fir, later)
    other = await fir.node.passing_on._ready(await fir.node.reporting.get(later))
    facts |= {"id": later, "ref": other.stored.leaf_hash}

    async def again():
        return await log(fir, "share", write_share(other.proof, client=False), ["oak"], **facts)

    await oak.dies_at(complaining.TOLD, moment, again)
    assert len(await complaints(elm, 2)) == 2
    assert await entries(oak, "complain") == 2

    # Who is complained of takes it back: what proves it goes, with our own entry, whenever the author has it.
    async def take_it_back():
        now = fir.node.now()
        content = write_recall("purge", [share.leaf_hash], "Mine.", at=now, deadline=now)
        name = "recall--00000000-0000-4000-8000-000000000001"
        await log(fir, "recall", content, ["oak"], id=name, ver=1, tlp=Tlp.GREEN, ref=share.leaf_hash)

    async def has_been_told():
        async with oak.looking() as conn:
            return await conn.fetchval("select count(*) from receipt where outcome is not null") >= 2

    await until(has_been_told)
    await oak.dies_at(complaining.END, moment, take_it_back)

    async def ended():
        items = (await get(oak, "/v1/complaints"))["items"]
        return [one["report_id"] for one in items] == [later, None]

    await until(ended)
    held = await oak.values()
    assert found({report_id.removeprefix("incident--"), *WORDS.values()}, held) == set()
    assert not any(share.data_key in value or share.ct in value for value in held)
    assert await entries(oak, "complain") == 1
    assert len((await get(elm, "/v1/complaints"))["items"]) == 2
    await whole(oak)
    assert len(oak.deaths) == 3
