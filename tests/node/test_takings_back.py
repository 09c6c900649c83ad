"""Who takes back what it gave takes nothing else: not what others gave, nor what others may give yet."""

import uuid

from tests.node.test_complaints import TRIANGLE, log
from tests.node.test_exchange import PATIENCE
from tests.node.test_generations import disputed_from, end_log, tell
from tests.node.test_intake import PUBLIC, taken
from tests.node.test_limits import worked_through
from tests.node.test_passing_on import NAMES, changed, policy, share
from tests.node.test_recalls import WHY, erasures, gone, refusal, taken_back, until_done
from tests.support.circle import circle, filed, seen
from tests.support.node import open_here, settings_on
from tests.support.reports import report_by
from tests.support.villain import get, incident_id_of, outcomes, post, until, villain

from tocsin_federation.recall import write_recall
from tocsin_node.storage import recalls
from tocsin_schema.marking import Tlp


async def test_who_publishes_a_public_record_and_takes_it_back_keeps_nobody_else_from_giving_it(
    acme, mallory
):
    async with villain("oscar") as oscar:
        await oscar.join(acme)
        first, second = report_by(PUBLIC, "A known case"), report_by(PUBLIC, "Another known case")
        frames = [mallory.publish(acme, raw) for raw in (first, second)]
        await taken(acme, mallory)
        taken_back(mallory, acme, *frames)
        await taken(acme, mallory)
        await until_done(acme, 1)
        for raw in (first, second):
            await gone(acme, incident_id_of(raw))
        assert await erasures(acme) == []
        oscar.publish(acme, first)
        await oscar.ring()
        assert await outcomes(acme, 1, "oscar") == [(0, "stored", None)]
        kind = {"Content-Type": "application/x-ndjson"}
        async with acme.client.post("/v1/imports", data=second, headers=kind) as answer:
            assert answer.status == 200, await answer.text()


async def test_what_a_thief_takes_back_is_obeyed_by_nobody_once_its_owner_has_ended_that_log(
    database, tmp_path
):
    """Where a person is asked: until then it waits, and its report goes nowhere."""
    values = {"federation": {**PATIENCE["federation"], "recall": "ask"}}
    settings = settings_on(tmp_path / "acme", database, values)
    async with open_here(settings) as acme, villain() as mallory:
        await mallory.join(acme)
        raw = mallory.bundle("Held")
        frame = mallory.publish(acme, raw)
        taken_back(mallory, acme, frame)
        await taken(acme, mallory)

        async def waits():
            return (await acme.node.recalling.asked()).code == "recall-due"

        await until(waits)
        [waiting] = (await get(acme, "/v1/recalls"))["theirs"]
        assert (waiting["disputed"], waiting["reports"]) == (False, [incident_id_of(raw)])
        end_log(mallory, 1, mallory.leaf_hashes)
        await tell(mallory, acme)
        await until(lambda: disputed_from(acme))
        [waiting] = (await get(acme, "/v1/recalls"))["theirs"]
        assert waiting["disputed"] is True
        assert (await acme.node.recalling.asked()).status == "ok"
        path = f"/v1/recalls/{waiting['entry']}/obey"
        assert await refusal(acme, "POST", path, json={"by": "Robin"}) == (409, "recall-disputed")
        await acme.node.recalling.tell()
        await get(acme, f"/v1/reports/{incident_id_of(raw)}")
        async with acme.node.pool.acquire() as conn:
            assert not await recalls.waiting(conn, incident_id_of(raw)), "it may be passed on again"


async def test_who_takes_back_again_and_again_where_a_person_is_asked_holds_up_no_other_peer(
    database, tmp_path
):
    values = {"federation": {**PATIENCE["federation"], "recall": "ask"}}
    settings = settings_on(tmp_path / "acme", database, values)
    async with open_here(settings) as acme, villain() as mallory, villain("oscar") as oscar:
        for peer in (mallory, oscar):
            await peer.join(acme)
        frame = mallory.publish(acme, mallory.bundle("Held"))
        for _ in range(150):
            taken_back(mallory, acme, frame)
        gone_by = mallory.publish(acme, b"no report", id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")
        taken_back(mallory, acme, gone_by)
        await mallory.ring()
        await until_done(acme, 1)  # the last, which reaches nothing that is held
        for _ in range(2):
            oscar_has = oscar.publish(acme, b"no report", id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")
            taken_back(oscar, acme, oscar_has)
        await oscar.ring()
        await until_done(acme, 3)
        async with acme.node.pool.acquire() as conn:
            first = await recalls.open_ones(conn, 100)
            rest = await recalls.open_ones(conn, 100, after=first[-1])
            assert len({one.leaf_hash for one in (*first, *rest)}) == len(first) + len(rest) == 150
            known = [one.leaf_hash for one in (*first, *rest)]
            assert await recalls.open_ones(conn, 100, mallory.node_id, but=known) == []


async def given_newer(elm, fir, oak):
    """A report of elm's, of which oak has version 1 from elm and version 2 through fir alone."""
    done = await filed(elm, "As elm told it", tlp=Tlp.GREEN)
    for node in (fir, oak):
        await seen(node, done["id"])
    await policy(elm, "oak", max_tlp_out="clear")
    await changed(elm, done["id"], "As elm told fir")
    await seen(fir, done["id"], ver=2)
    await share(fir, done["id"], "oak")
    held = await seen(oak, done["id"], ver=2)
    assert held["passed_by"]["name"] == "fir"
    return done["id"]


async def test_a_version_that_came_through_another_goes_and_what_its_author_gave_itself_stays(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=TRIANGLE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await given_newer(elm, fir, oak)
        await post(fir, f"/v1/reports/{report_id}/erase", WHY)
        await until_done(oak, 1)
        held = await get(oak, f"/v1/reports/{report_id}")
        assert (held["ver"], held["title"], held["origin"]["name"]) == (1, "As elm told it", "elm")
        assert held.get("passed_by") is None
        found = (await get(oak, "/v1/reports?text=told"))["items"]
        assert [one["title"] for one in found] == ["As elm told it"]
        async with oak.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from report_version") == 0
            assert await conn.fetchval("select count(*) from passed") == 0
            assert await conn.fetchval("select count(*) from alert where ver > 1") == 0
        await policy(elm, "oak", max_tlp_out="green")
        await changed(elm, report_id, "As elm tells it now")
        await seen(oak, report_id, ver=3)


async def test_a_withdrawal_that_came_through_another_is_undone_by_nobody_but_its_author(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=TRIANGLE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await given_newer(elm, fir, oak)
        await changed(elm, report_id)
        await seen(oak, report_id, ver=3, state="withdrawn")
        await post(fir, f"/v1/reports/{report_id}/erase", WHY)
        await until_done(oak, 1)
        held = await get(oak, f"/v1/reports/{report_id}")
        assert (held["ver"], held["state"]) == (3, "withdrawn")


async def test_what_a_messenger_marks_more_strictly_is_marked_as_its_author_does_once_that_gives_it(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=TRIANGLE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await given_newer(elm, fir, oak)
        async with fir.node.pool.acquire() as conn:
            entry = await conn.fetchval("select leaf_hash from onward")
        now = fir.node.now()
        content = write_recall("narrow", [entry], "Mine.", at=now, deadline=now)
        await log(
            fir,
            "recall",
            content,
            ["oak"],
            id=f"recall--{uuid.uuid4()}",
            ver=1,
            tlp=Tlp.AMBER_STRICT,
            ref=entry,
        )
        await until_done(oak, 1)
        assert (await get(oak, f"/v1/reports/{report_id}"))["tlp"] == "amber+strict"
        async with oak.node.pool.acquire() as conn:
            assert await conn.fetchval("select tlp from report_version") == "green", (
                "elm gave that one itself"
            )
        await policy(elm, "oak", max_tlp_out="green")
        await share(elm, report_id, "oak", status=201)
        await until(lambda: worked_through(oak, elm, elm.node.ledger.head.size))
        held = await get(oak, f"/v1/reports/{report_id}")
        assert (held["tlp"], held.get("passed_by")) == ("green", None)
