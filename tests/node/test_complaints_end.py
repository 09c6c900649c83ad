"""How a complaint ends: its author has it, or its time is over, and then no table holds anything of the report.

`elm` wrote the report, `fir` passed it on against its marking, `oak` complains and is no peer of `elm`'s.
"""

import uuid
from contextlib import suppress

import pytest
from tests.node.test_complaints import complaints, log, wide
from tests.node.test_erasing import WORDS, database_url, left
from tests.node.test_passing_on import LINE, NAMES
from tests.node.test_recalls import gone
from tests.node.test_share import file
from tests.support.circle import circle, introduce
from tests.support.recorder import database_values
from tests.support.villain import get, post, until

from tocsin_federation.onward import write_share
from tocsin_federation.proof import read_proof
from tocsin_federation.recall import write_recall
from tocsin_node.storage import onward
from tocsin_node.storage.complaints import asked as asked_of
from tocsin_node.storage.errors import StorageContention
from tocsin_node.storage.onward import Passing
from tocsin_schema.marking import Tlp

WHY = {"by": "Kim", "reason": "Somebody asked for it."}
FORBIDDEN = Tlp.AMBER_STRICT


@pytest.fixture
async def line(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        await wide(nodes)
        yield [nodes[name] for name in NAMES]


async def against_its_marking(elm, fir, oak):
    """fir passes elm's report on to oak, and notes that it did; oak complains. Id, and what only that report put at oak."""
    raw = elm.bundle(WORDS["title"], description=WORDS["description"], tlp=FORBIDDEN)
    said = await file(elm, raw, to="fir")
    report_id = said["id"]

    async def there():
        async with fir.client.get(f"/v1/reports/{report_id}") as answer:
            return answer.status == 200

    await until(there)
    ready = await fir.node.passing_on._ready(await fir.node.reporting.get(report_id))
    facts = {"id": report_id, "ver": ready.stored.ver, "tlp": FORBIDDEN, "ref": ready.stored.leaf_hash}
    sealed, place = await log(fir, "share", write_share(ready.proof, client=False), ["oak"], **facts)
    async with fir.node.pool.acquire() as conn:
        to = (oak.node.identity.node_id,)
        await onward.record(
            conn, Passing(fir.node.identity.node_id, place, report_id, facts["ver"], to, client=False)
        )
    await complaints(oak)
    return report_id, {sealed.leaf, sealed.ct, sealed.data_key}


async def standing(node):
    """What is kept of the one complaint: (report, leaf, ct, data key, entry of ours that told it)."""
    async with node.node.pool.acquire() as conn:
        row = await conn.fetchrow("select report_id, leaf, ct, data_key, told_idx, asked_at from complaint")
        return dict(row)


async def asked(node):
    async def look():
        return (await standing(node))["asked_at"]

    await until(look)


async def days_go_by(node, days):
    async with node.node.pool.acquire() as conn:
        await conn.execute(
            "update complaint set at = at - $1 * interval '1 day', asked_at = asked_at - $1 * interval '1 day'",
            days,
        )


async def own_entries(node, kind):
    """How many entries of a kind our log has anything to serve of."""
    async with node.node.pool.acquire() as conn:
        return await conn.fetchval(
            "select count(*) from log_entry where position($1::bytea in leaf) > 0", f'"t":"{kind}"'.encode()
        )


async def test_a_report_that_its_author_erases_leaves_nothing_at_who_complained_once_the_time_is_over(line):
    elm, fir, oak = line
    report_id, remains = await against_its_marking(elm, fir, oak)
    assert len(await left(oak, report_id, remains)) >= 2, "the search finds the complaint"
    await post(elm, f"/v1/reports/{report_id}/erase", WHY)
    for node in (elm, fir):
        await gone(node, report_id)
    await asked(oak)
    assert (await standing(oak))["ct"] is not None, (
        "its author does not know yet, and the accused took it back"
    )
    assert (await get(oak, "/v1/complaints"))["items"][0]["evidence_until"]
    await days_go_by(oak, 29)
    await oak.node.complaints.tell()
    assert (await standing(oak))["ct"] is not None
    await days_go_by(oak, 2)
    await oak.node.complaints.tell()
    for node in (elm, fir, oak):
        assert await left(node, report_id, remains) == set()
    (after,) = (await get(oak, "/v1/complaints"))["items"]
    assert (after["against"]["name"], after["report_id"], after["evidence_until"]) == ("fir", None, None)
    async with oak.client.get(f"/v1/complaints/{after['id']}/evidence") as answer:
        assert (answer.status, (await answer.json())["code"]) == (410, "evidence-gone")
    assert after["entry"]["leaf_hash"], "the tree needs it, and so every proof of everything else holds"


async def test_who_is_complained_of_cannot_take_the_evidence_back_before_the_author_has_it(line):
    """Not while it is untold, and not between our entry and the author's reading it."""
    elm, fir, oak = line
    report_id, remains = await against_its_marking(elm, fir, oak)
    ready = await standing(oak)
    async with fir.node.pool.acquire() as conn:
        share = await conn.fetchval("select leaf_hash from onward")
    await taken_back(fir, "oak", share)
    await asked(oak)
    assert (await standing(oak))["ct"] == ready["ct"]
    await introduce("elm", elm, "oak", oak)
    assert await oak.node.complaints.tell() == 1
    (found,) = await complaints(elm)
    async with elm.client.get(f"/v1/complaints/{found['id']}/evidence?disclose=1") as answer:
        assert read_proof(await answer.read()).disclosed is not None
    assert (await get(elm, "/v1/complaints"))["items"][0]["evidence_until"] is None, (
        "it is about its own report"
    )

    async def ended():
        await oak.node.complaints.tell()
        return (await standing(oak))["report_id"] is None

    await until(ended)
    assert await left(oak, report_id, remains) == set()
    assert await own_entries(oak, "complain") == 0


async def test_an_entry_that_tells_stays_until_its_author_has_read_it(line):
    """The author is a peer, and away: between our entry and its reading who is complained of takes all of it back."""
    elm, fir, oak = line
    report_id, remains = await against_its_marking(elm, fir, oak)
    await introduce("elm", elm, "oak", oak)
    async with elm.client.delete("/v1/peers/oak") as answer:  # so it reads nothing of oak's log
        assert answer.status == 204, await answer.text()
    assert await oak.node.complaints.tell() == 1
    async with fir.node.pool.acquire() as conn:
        share = await conn.fetchval("select leaf_hash from onward")
    await taken_back(fir, "oak", share)
    await asked(oak)
    await oak.node.complaints.tell()
    kept = await standing(oak)
    assert (kept["report_id"], kept["leaf"] in remains, kept["ct"]) == (report_id, True, None)
    assert await own_entries(oak, "complain") == 1
    await days_go_by(oak, 31)
    await oak.node.complaints.tell()
    assert await left(oak, report_id, remains) == set()
    assert await own_entries(oak, "complain") == 0


async def test_what_proves_a_complaint_is_not_kept_for_good(line):
    elm, fir, oak = line
    _, remains = await against_its_marking(elm, fir, oak)
    await days_go_by(oak, 89)
    await oak.node.complaints.tell()
    assert (await standing(oak))["ct"] is not None
    await days_go_by(oak, 2)
    await oak.node.complaints.tell()
    async with oak.node.pool.acquire() as conn:
        row = await conn.fetchrow("select * from complaint")
    assert [row[name] for name in ("report_id", "ver", "leaf", "ct", "data_key", "proof")] == [None] * 6
    values = await database_values(await database_url(oak))
    assert not any(one in value for one in remains for value in values)


async def test_an_author_that_erased_its_report_has_nothing_of_it_by_a_complaint(line):
    elm, fir, oak = line
    report_id, remains = await against_its_marking(elm, fir, oak)
    await post(elm, f"/v1/reports/{report_id}/erase", WHY)
    await asked(oak)
    await introduce("elm", elm, "oak", oak)
    assert await oak.node.complaints.tell() == 1

    async def ended():
        await oak.node.complaints.tell()
        return (await standing(oak))["report_id"] is None

    await until(ended)
    for node in (elm, fir, oak):
        assert await left(node, report_id, remains) == set()


async def test_what_an_author_refuses_to_hear_is_not_kept_for_it(line):
    elm, fir, oak = line
    report_id, remains = await against_its_marking(elm, fir, oak)
    await introduce("elm", elm, "oak", oak)
    assert await oak.node.complaints.tell() == 1

    async def heard():
        async with oak.node.pool.acquire() as conn:
            return await conn.fetchrow(
                "select r.outcome, e.ct is not null, e.leaf is not null from complaint c "
                "join log_entry e on e.gen = c.told_gen and e.idx = c.told_idx "
                "join receipt r on r.node = c.author and r.gen = e.gen and r.idx = e.idx where r.outcome is not null"
            )

    assert tuple(await until(heard)) == ("stored", True, True)
    async with (
        oak.node.pool.acquire() as conn
    ):  # as an author does that has erased the report, or knows better
        await conn.execute("update receipt set outcome = 'refused', code = 'complaint-unfounded'")
    assert await oak.node.complaints.tell() == 0
    assert tuple(await heard()) == ("refused", False, True)
    found = await get(oak, "/v1/complaints")
    assert [one["report_id"] for one in found["items"]] == [report_id], (
        "people still see of what we complained"
    )
    assert remains


async def test_a_complaint_that_ends_in_the_moment_in_which_it_is_told_leaves_nothing(line, monkeypatch):
    elm, fir, oak = line
    _, remains = await against_its_marking(elm, fir, oak)
    seal = oak.node.complaints._seal
    ended = []

    async def slow(complaint, content):
        sealed = await seal(complaint, content)
        if not ended:
            ended.append(complaint)
            await days_go_by(oak, 91)
            async with oak.node.pool.transaction() as conn:  # as whatever recall of fir's is obeyed now does
                await asked_of(conn, fir.node.identity.node_id, [], oak.node.identity.node_id)
        return sealed

    monkeypatch.setattr(oak.node.complaints, "_seal", slow)
    await introduce("elm", elm, "oak", oak)
    with suppress(StorageContention):
        await oak.node.complaints.tell()
    await until(lambda: _true(ended))
    assert await oak.node.complaints.tell() == 0
    assert (await standing(oak))["report_id"] is None
    assert await own_entries(oak, "complain") == 0
    values = await database_values(await database_url(oak))
    assert not any(one in value for one in remains for value in values)


async def _true(value):
    return bool(value)


async def taken_back(node, name, entry):
    """`node` recalls an entry of its log from a peer."""
    now = node.node.now()
    content = write_recall("purge", [entry], "Mine.", at=now, deadline=now)
    await log(node, "recall", content, [name], id=f"recall--{uuid.uuid4()}", ver=1, tlp=Tlp.GREEN, ref=entry)
