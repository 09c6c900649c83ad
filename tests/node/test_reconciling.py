"""`peer verify`: both hold the same, for one question; and whatever differs is found, named, and mended if it can be."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from tests.node.test_relaying import SOON
from tests.support.circle import circle, filed, seen
from tests.support.node import open_here, settings_on
from tests.support.villain import GRAVE, get, outcomes, post, until, villain

from tocsin_federation.reconciling import Listed, read_question, summed, write_answer
from tocsin_node.services.heads import log_id
from tocsin_schema.stix import revise


@pytest.fixture
async def pair(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["alder", "birch"], SOON) as nodes:
        yield nodes["alder"], nodes["birch"]


async def verified(node, name):
    return await get(node, f"/v1/peers/{name}/verify")


async def settled(node, name):
    """The verdict once nothing is on its way any more."""

    async def there():
        found = await verified(node, name)
        sides = (found["their_log"], found["our_log"])
        return found if not any(side["waiting"] or side["head"] != "same" for side in sides) else None

    return await until(there)


async def run(node, query, *arguments):
    async with node.node.pool.acquire() as conn:
        await conn.execute(query, *arguments)


async def test_two_that_hold_the_same_prove_it_with_one_question_a_log(pair):
    alder, birch = pair
    reports = [await filed(alder, f"Report {n}", **GRAVE) for n in range(3)]
    await filed(birch, "Of birch")
    for report in reports:
        await seen(birch, report["id"])
    for node, name in ((alder, "birch"), (birch, "alder")):
        found = await settled(node, name)
        assert found["same"] is True
        assert [found[side]["differences"] for side in ("their_log", "our_log")] == [[], []]
        assert found["their_log"]["asked"] == 1
        assert found["our_log"]["asked"] == 2


async def test_what_is_missing_here_is_found_and_fetched_again_and_the_cursor_stays(pair):
    alder, birch = pair
    reports = [await filed(alder, f"Report {n}") for n in range(5)]
    await seen(birch, reports[-1]["id"])
    await settled(birch, "alder")
    lost = reports[2]["id"]
    await run(birch, "delete from remote_entry where report_id = $1", lost)
    await run(birch, "delete from report_facet where report_id = $1", lost)
    await run(birch, "delete from report where id = $1", lost)

    found = await verified(birch, "alder")
    assert found["same"] is False
    (difference,) = found["their_log"]["differences"]
    assert (difference["index"], difference["here"], difference["there"]) == (2, None, "sealed")
    assert difference["remedy"] == "fetch"
    other = await verified(alder, "birch")
    assert [
        (d["index"], d["report_id"], d["there"], d["remedy"]) for d in other["our_log"]["differences"]
    ] == [(2, lost, None, "theirs")]
    before = (await get(birch, "/v1/peers/alder"))["log"]

    mended = await post(birch, "/v1/peers/alder/verify", {})
    assert mended["their_log"]["same"] is True
    assert [(d["report_id"], d["repaired"], d["note"]) for d in mended["their_log"]["differences"]] == [
        (lost, True, "stored")
    ]
    assert (await get(birch, "/v1/peers/alder"))["log"] == before
    assert (await settled(birch, "alder"))["same"] is True


async def test_a_wrap_that_the_peer_could_not_open_is_offered_anew_and_opens(pair):
    alder, birch = pair
    first = await filed(alder, "First")
    await seen(birch, first["id"])
    # The next report gets a wrap that nobody can open, as a disk or a bug of old would make it.
    await run(
        alder,
        "create function spoil() returns trigger language plpgsql as "
        "$$ begin new.wrap = substr(new.wrap, 1, 1100) || substr(new.wrap, 1, 68); return new; end $$",
    )
    await run(alder, "create trigger spoil before insert on log_wrap for each row execute function spoil()")
    second = await filed(alder, "Second", **GRAVE)
    await outcomes(birch, 2, "alder")
    await run(alder, "drop trigger spoil on log_wrap")
    found = await settled(alder, "birch")
    (difference,) = found["our_log"]["differences"]
    assert (difference["report_id"], difference["there"], difference["code"], difference["remedy"]) == (
        second["id"], "quarantined", "bad-wrap", "offer",
    )  # fmt: skip
    mended = await post(alder, "/v1/peers/birch/verify", {})
    assert mended["our_log"]["differences"][0]["note"].startswith("offered anew")
    there = await post(birch, "/v1/peers/alder/verify", {})
    assert there["their_log"]["same"] is True
    await seen(birch, second["id"])
    assert (await settled(alder, "birch"))["same"] is True


async def test_what_was_taken_back_is_not_offered_anew_whatever_the_peer_says_of_it(pair):
    alder, birch = pair
    report = await filed(alder, "Given and taken back")
    await seen(birch, report["id"])
    await run(birch, "update remote_entry set outcome = 'quarantined', code = 'bad-wrap'")
    (difference,) = (await settled(alder, "birch"))["our_log"]["differences"]
    assert difference["remedy"] == "offer"
    why = {"by": "Kim", "reason": "It names a patient."}
    await post(alder, f"/v1/reports/{report['id']}/recall", why)
    mended = await post(alder, "/v1/peers/birch/verify", {})
    assert [d["remedy"] for d in mended["our_log"]["differences"] if d["index"] == 0] == ["none"]
    async with alder.node.pool.acquire() as conn:
        assert await conn.fetchval("select wrap from log_wrap where idx = 0") == b""


async def test_what_a_rule_forbids_is_told_with_the_rule_and_cannot_be_mended(pair):
    alder, birch = pair
    await run(birch, "update peer set max_tlp_in = 'clear' where name = 'alder'")
    await birch.node.peering.load()
    report = await filed(alder, "Too much for birch")
    await outcomes(birch, 1, "alder")
    found = await settled(alder, "birch")
    (difference,) = found["our_log"]["differences"]
    assert (difference["report_id"], difference["there"], difference["code"], difference["remedy"]) == (
        report["id"], "refused", "above-ceiling", "none",
    )  # fmt: skip
    mended = await post(birch, "/v1/peers/alder/verify", {})
    assert mended["same"] is False
    assert mended["their_log"]["differences"][0]["repaired"] is False


async def test_what_was_erased_here_and_given_anew_is_kept_out_and_is_no_difference(pair):
    """Their author says it again, and again: that is refused because our own people said so, and nothing is amiss."""
    alder, birch = pair
    raw = alder.bundle("Erased at birch")
    headers = {"Content-Type": "application/stix+json"}
    async with alder.client.post("/v1/reports", data=raw, headers=headers) as answer:
        report_id = (await answer.json())["id"]
    await seen(birch, report_id)
    why = {"by": "Kim", "reason": "Somebody asked for it."}
    await post(birch, f"/v1/reports/{report_id}/erase", why)
    later = revise(raw, {"countries": ["SE"]}, now=datetime.now(UTC) + timedelta(seconds=1))
    async with alder.client.put(f"/v1/reports/{report_id}", data=later, headers=headers) as answer:
        assert answer.status == 201, await answer.json()
    await outcomes(birch, 2, "alder")
    found = await settled(birch, "alder")
    assert (found["same"], found["their_log"]["differences"]) == (True, [])
    (apart,) = found["their_log"]["kept_out"]
    assert (apart["index"], apart["here"], apart["code"], apart["report_id"]) == (
        1,
        "refused",
        "erased",
        None,
    )
    (there,) = (await settled(alder, "birch"))["our_log"]["kept_out"]
    assert (there["report_id"], there["there"]) == (report_id, "refused")
    checks = {check["name"]: check for check in (await get(birch, "/healthz"))["checks"]}
    assert checks["peers"]["status"] == "ok", checks["peers"]


async def test_nobody_learns_by_comparing_what_is_not_for_him(pair):
    """Of our log a peer learns of its own entries, of its own log what became of them, of others' nothing."""
    alder, birch = pair
    await seen(birch, (await filed(alder, "For birch"))["id"])
    async with villain("mallory") as mallory:
        await mallory.join(alder)
        question = b'{"listed":true,"ranges":[[0,1000]],"v":1}'
        own = log_id(alder.node.identity.statement.log.origin)
        others = log_id(birch.node.identity.statement.log.origin)
        status, body, _ = await mallory.ask(alder, f"/f1/log/{own}/compare", method="POST", body=question)
        assert (status, body) == (200, b'{"entries":[],"next":1,"sums":[],"v":1}')
        status, _, _ = await mallory.ask(alder, f"/f1/log/{others}/compare", method="POST", body=question)
        assert status == 404
        for malformed in (
            b"{}",
            b'{"listed":true,"ranges":[[0,1048576]],"v":1}',
            b'{"listed":false,"ranges":[[0,1048577]],"v":1}',
        ):
            status, _, _ = await mallory.ask(alder, f"/f1/log/{own}/compare", method="POST", body=malformed)
            assert status == 400
        answers = [
            (await mallory.ask(alder, f"/f1/log/{own}/compare", method="POST", body=question))[0]
            for _ in range(60)
        ]
        assert 429 in answers


@pytest.fixture
async def acme(cluster, tmp_path):
    async with (
        cluster.database() as database,
        open_here(settings_on(tmp_path / "acme", database, SOON, org="acme")) as node,
    ):
        yield node


async def test_whatever_a_peer_answers_about_itself_is_bounded_and_believed_nothing(acme):
    """A peer that lies about every range, one that answers nonsense, and one that does not know how to compare."""
    async with villain("mallory") as mallory:
        for n in range(3):
            mallory.publish(acme, mallory.bundle(f"Report {n}"))
        await mallory.join(acme)
        await outcomes(acme, 3)
        found = await verified(acme, "mallory")
        assert (found["same"], found["their_log"]["trouble"]) == (False, "cannot-compare")

        async def nonsense(_request):
            return web.Response(body=b"[]")

        mallory.hooks["compare"] = nonsense
        assert (await verified(acme, "mallory"))["their_log"]["trouble"] == "compare-malformed"

        async def lies(request):
            asked = read_question(await request.read())
            if asked.listed:
                many = [
                    Listed(at=at, state="sealed") for low, high in asked.ranges for at in range(low, high)
                ]
                return web.Response(body=write_answer(3, (), many))
            return web.Response(body=write_answer(3, [summed([2**40]) for _ in asked.ranges]))

        mallory.hooks["compare"] = lies
        found = await verified(acme, "mallory")
        assert found["their_log"]["differences"] == [], "it says it sealed what was taken here"
        assert found["same"] is False
        assert (await get(acme, "/v1/peers/mallory"))["state"] == "active"
