"""Comparing by itself: what is missing is had back without anybody asking, and what cannot be had is told."""

from hashlib import sha256

import pytest
from aiohttp import web
from tests.node.test_relaying import SOON
from tests.support.circle import circle, filed, introduce, seen
from tests.support.node import open_here, settings_on
from tests.support.villain import GRAVE, get, outcomes, until, villain

from tocsin_federation.reconciling import LABEL, Sum, read_question, write_answer


@pytest.fixture
async def pair(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["alder", "birch"], SOON) as nodes:
        yield nodes["alder"], nodes["birch"]


async def lose(node, report_id):
    """What a disk or a fault of old would do: the entry was passed, and nothing is there."""
    async with node.node.pool.acquire() as conn:
        for table in ("remote_entry", "report_facet"):
            await conn.execute(f"delete from {table} where report_id = $1", report_id)
        await conn.execute("delete from report where id = $1", report_id)


async def comparing_of(node):
    found = await node.node.comparing.health()
    return found.status, found.code, found.hint or ""


async def test_what_was_passed_over_is_had_back_without_anybody_asking_and_that_is_in_the_audit_log(pair):
    alder, birch = pair
    lost = (await filed(alder, "Passed over", **GRAVE))["id"]
    await seen(birch, lost)
    before = (await get(birch, "/v1/peers/alder"))["log"]
    await lose(birch, lost)
    await birch.node.comparing.round()
    await seen(birch, lost)
    assert (await get(birch, "/v1/peers/alder"))["log"] == before
    lines = (await get(birch, "/v1/audit?action=peer.repair"))["items"]
    assert [line["who"] for line in lines] == ["node"]
    await birch.node.comparing.round()
    assert (await comparing_of(birch))[:2] == ("ok", None)
    assert len((await get(birch, "/v1/audit?action=peer.repair"))["items"]) == 1, "nothing was to be mended"


async def test_what_a_peer_does_not_hold_is_told_until_it_does(pair):
    alder, birch = pair
    lost = (await filed(alder, "Lost at birch"))["id"]
    await seen(birch, lost)
    await lose(birch, lost)
    await alder.node.comparing.round()
    status, code, hint = await comparing_of(alder)
    assert (status, code) == ("degraded", "not-the-same")
    assert "birch" not in hint, "anybody may read it"
    named = await alder.node.comparing.look()
    assert (named.name, named.code) == ("comparing", "not-the-same")
    assert "tocsin peer verify birch" in named.hint
    await birch.node.comparing.round()
    await alder.node.comparing.round()
    assert (await comparing_of(alder))[:2] == ("ok", None)


async def test_who_answers_nonsense_holds_up_nobody(cluster, tmp_path):
    async with (
        cluster.database() as database,
        open_here(settings_on(tmp_path / "acme", database, SOON, org="acme")) as acme,
        villain("mallory") as mallory,
        villain("trudy") as trudy,
    ):
        asked = []

        async def nonsense(request):
            asked.append(request)
            return web.Response(body=b"[]")

        for bad in (mallory, trudy):
            bad.publish(acme, bad.bundle(f"Of {bad.name}"))
            await bad.join(acme)
            await outcomes(acme, 1, bad.name)
            bad.hooks["compare"] = nonsense
        await acme.node.comparing.round()
        assert len(asked) >= 4, "both were asked about both logs"
        assert (await comparing_of(acme))[:2] == ("ok", None), (
            "whoever cannot be compared with has lost nothing"
        )


async def test_what_was_found_is_kept_and_shown_of_each_peer_also_after_a_start_and_when_a_person_had_it_compared(
    cluster, database, tmp_path
):
    async with cluster.database() as other:
        alder_on = settings_on(tmp_path / "alder", database, SOON, org="alder")
        birch_on = settings_on(tmp_path / "birch", other, SOON, org="birch")
        async with open_here(birch_on) as birch:
            async with open_here(alder_on) as alder:
                await introduce("alder", alder, "birch", birch)
                assert (await get(alder, "/v1/peers"))["items"][0]["comparison"] is None
                lost = (await filed(alder, "Lost at birch"))["id"]
                await seen(birch, lost)
                await lose(birch, lost)
                await alder.node.comparing.round()
            async with open_here(alder_on) as alder:
                assert (await comparing_of(alder))[1] == "not-the-same", "a start forgets nothing"
                found = (await get(alder, "/v1/peers/birch"))["comparison"]
                assert (found["same"], found["amiss"], found["trouble"]) == (False, 1, None)
                await birch.node.comparing.round()
                assert (await get(birch, "/v1/peers/alder"))["comparison"]["mended"] == 1
                assert (await get(alder, "/v1/peers/birch/verify"))["same"]
                assert (await comparing_of(alder))[:2] == ("ok", None), "a person had it compared"
                assert (await get(alder, "/v1/peers/birch"))["comparison"]["same"]
        async with open_here(alder_on) as alder:
            await alder.node.comparing.round()
            found = (await get(alder, "/v1/peers/birch"))["comparison"]
            assert (found["same"], found["trouble"]) == (True, "peer-unreachable")
            assert found["at"] < found["tried_at"]


async def test_who_answers_all_but_what_compares_is_told_of_after_some_days(cluster, tmp_path):
    """Whoever stands between two nodes can leave an entry out for as long as nothing is compared."""
    async with (
        cluster.database() as database,
        open_here(settings_on(tmp_path / "acme", database, SOON, org="acme")) as acme,
        villain("mallory") as mallory,
    ):

        async def nothing(request):
            count = len(read_question(await request.read()).ranges)
            return web.Response(body=write_answer(0, [Sum(n=0, sum=sha256(LABEL).digest())] * count))

        async def heard():
            return (await get(acme, "/v1/peers/mallory"))["last_contact_at"]

        await mallory.join(acme)
        await until(heard)
        await acme.node.comparing.round()
        assert (await comparing_of(acme))[:2] == ("ok", None), "an older program does not know how to compare"
        mallory.hooks["compare"] = nothing
        await acme.node.comparing.round()
        del mallory.hooks["compare"]
        await acme.node.comparing.round()
        assert (await comparing_of(acme))[:2] == ("ok", None), "it may work tomorrow"
        async with acme.node.pool.acquire() as conn:
            await conn.execute("update peer set approved_at = approved_at - interval '5 days'")
            done = await conn.execute(
                "update comparison set at = at - interval '4 days' where at is not null"
            )
            assert done == "UPDATE 1"
        status, code, hint = await comparing_of(acme)
        assert (status, code) == ("degraded", "not-compared")
        assert "mallory" not in hint
        assert "tocsin peer verify mallory" in (await acme.node.comparing.look()).hint
        mallory.hooks["compare"] = nothing
        await acme.node.comparing.round()
        assert (await comparing_of(acme))[:2] == ("ok", None)
