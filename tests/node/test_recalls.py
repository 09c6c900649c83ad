"""Recalls between nodes: what was given is taken back, by its author alone, and everybody says when it is done."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import orjson
import pytest
from tests.support.circle import QUICK, circle, filed, introduce, seen
from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.villain import get, incident_id_of, outcomes, post, until, villain

from tocsin_federation.merkle import leaf_hash
from tocsin_federation.recall import RECALL, write_recall
from tocsin_node.services.ops import Ops
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import revise

STIX = {"Content-Type": "application/stix+json"}
WHY = {"by": "Kim", "reason": "It names a patient."}
ASK = {**QUICK, "federation": {**QUICK["federation"], "recall": "ask"}}


async def gone(node, report_id):
    """Return when the report is not held there any more."""

    async def look():
        async with node.client.get(f"/v1/reports/{report_id}") as answer:
            return answer.status == 404

    await until(look)


async def until_recall(node, report_id, *stages):
    """How far recalls of a report are, as soon as they are at those stages."""

    async def look():
        items = (await get(node, f"/v1/reports/{report_id}/receipts"))["recalls"]
        return items if sorted(item["stage"] for item in items) == sorted(stages) else None

    return await until(look)


async def erasures(node, query=""):
    return (await get(node, f"/v1/erasures{query}"))["items"]


async def refusal(node, method, path, **given):
    """(status, code) of a request that is refused."""
    async with node.client.request(method, path, **given) as answer:
        return answer.status, (await answer.json())["code"]


async def test_what_is_recalled_is_held_by_its_author_alone(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch", "cedar"]) as nodes:
        acme, birch, cedar = nodes["acme"], nodes["birch"], nodes["cedar"]
        done = await filed(acme, "Something happened")
        for node in (birch, cedar):
            await seen(node, done["id"])
        said = await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        assert (said["outcome"], sorted(p["name"] for p in said["peers"])) == (
            "recalled",
            ["birch", "cedar"],
        )
        for node in (birch, cedar):
            await gone(node, done["id"])
        items = await until_recall(acme, done["id"], "purged", "purged")
        assert all(item["done_at"] and not item["overdue"] for item in items)
        kept = await get(acme, f"/v1/reports/{done['id']}")
        assert kept["to"] == []
        [blocked] = await erasures(birch)
        assert (blocked["origin"]["name"], blocked["by"], blocked["reason"]) == ("acme", None, None)


async def test_a_recall_that_is_decided_while_a_version_is_filed_takes_that_one_back_too(
    cluster, tmp_path, monkeypatch
):
    """Decided between the look whether a recall waits and the sealing, it would name the version before alone."""
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        looked = acme.node.recalling.before_giving
        recalls = []

        async def decided_amid(report_id):
            await looked(report_id)
            recalls.append(asyncio.create_task(post(acme, f"/v1/reports/{report_id}/recall", WHY)))
            await asyncio.wait(recalls, timeout=2)  # it is over by then only if it does not wait for us

        monkeypatch.setattr(acme.node.recalling, "before_giving", decided_amid)
        second = acme.bundle("Something else happened", incident_id=done["id"])
        async with acme.client.put(f"/v1/reports/{done['id']}", data=second, headers=STIX) as answer:
            assert answer.status == 201, await answer.text()
            assert (await answer.json())["entry"]["index"] == 1, "the recall stands behind it"
        await asyncio.gather(*recalls)
        await until_recall(acme, done["id"], "purged")
        await gone(birch, done["id"])


async def test_one_peer_alone_can_be_asked(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch", "cedar"]) as nodes:
        acme, birch, cedar = nodes["acme"], nodes["birch"], nodes["cedar"]
        done = await filed(acme, "Something happened")
        for node in (birch, cedar):
            await seen(node, done["id"])
        path = f"/v1/reports/{done['id']}/recall"
        tried = await post(acme, path, {**WHY, "peers": ["cedar"], "dry_run": True})
        assert (tried["outcome"], [p["name"] for p in tried["peers"]]) == ("dry-run", ["cedar"])
        await post(acme, path, {**WHY, "peers": ["cedar"]})
        await gone(cedar, done["id"])
        assert (await seen(birch, done["id"]))["ver"] == 1
        assert await refusal(acme, "POST", path, json={**WHY, "peers": ["cedar"]}) == (409, "nobody-has-it")


async def test_a_ceiling_that_was_lowered_does_not_keep_a_peer_from_hearing(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        await post(acme, "/v1/peers/birch/approve", {"unverified": True, "max_tlp_out": "clear"})
        await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        await gone(birch, done["id"])
        await until_recall(acme, done["id"], "purged")


async def test_a_recall_that_nobody_obeys_is_overdue_and_told(acme, mallory):
    async with acme.client.post(
        "/v1/reports", data=acme.bundle("Something happened"), headers=STIX
    ) as answer:
        done = await answer.json()
    await post(acme, f"/v1/reports/{done['id']}/recall", {**WHY, "deadline_h": 1})
    [item] = (await get(acme, f"/v1/reports/{done['id']}/receipts"))["recalls"]
    assert not item["overdue"]
    async with acme.node.pool.acquire() as conn:
        await conn.execute(
            "update recall set at = at - interval '2 hours', deadline = deadline - interval '2 hours'"
        )
    [item] = (await get(acme, f"/v1/reports/{done['id']}/receipts"))["recalls"]
    assert item["overdue"]
    assert (await get(acme, f"/v1/reports/{done['id']}"))["recalls"] == [item], (
        "whoever looks at it sees it too"
    )
    check = await acme.node.recalling.health()
    assert (check.status, check.code) == ("degraded", "recall-overdue")
    listed = await get(acme, "/v1/recalls")
    [late] = listed["ours"]
    assert (late["peer"]["name"], late["overdue"], late["report_id"]) == ("mallory", True, done["id"])
    assert listed["titles"] == {done["id"]: "Something happened"}
    async with acme.client.delete("/v1/peers/mallory") as answer:  # a person has drawn the line
        assert answer.status == 204
    assert (await acme.node.recalling.health()).status == "ok"
    [late] = (await get(acme, "/v1/recalls"))["ours"]
    assert late["overdue"], "that it never said so stays to be seen"


async def test_the_operators_room_is_told_of_a_recall_that_nobody_confirmed(database, tmp_path):
    """As in a node that runs: what `/healthz` says of it goes out by the clock, with the way to see who it is."""
    async with pager() as there:
        settings = settings_on(tmp_path / "acme", database, {"webhook": there.settings(tmp_path)}, org="acme")
        async with open_here(settings) as acme, villain("mallory") as mallory:
            await mallory.join(acme)
            done = await filed(acme, "Something happened")
            await post(acme, f"/v1/reports/{done['id']}/recall", {**WHY, "deadline_h": 1})
            ops = Ops(acme.node.pool, acme.node.alarms.notices, ("webhook",), hold_s=0.0, well_s=0.0)
            assert not await ops.tell([await acme.node.recalling.health()])
            async with acme.node.pool.acquire() as conn:
                await conn.execute(
                    "update recall set at = at - interval '2 hours', deadline = deadline - interval '2 hours'"
                )
            report = await acme.node.health.report()
            [check] = [one for one in report.checks if one.name == "recalls"]
            assert await ops.tell([check])
            acme.node.alarms.wake()

            async def told():
                return next((a["text"] for a in there.alerts if a["kind"] == "notice-trouble"), None)

            text = await until(told)
            assert "recalls is degraded (recall-overdue)" in text
            assert "`tocsin report recalls`" in text
            assert done["id"] not in text


async def test_recalls_name_the_report_until_it_is_erased_and_then_a_hash_alone(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        await until_recall(acme, done["id"], "purged")
        listed = await get(acme, "/v1/recalls")
        [named] = listed["ours"]
        assert (named["report_id"], listed["titles"]) == (done["id"], {done["id"]: "Something happened"})
        await post(acme, f"/v1/reports/{done['id']}/erase", WHY)
        listed = await get(acme, "/v1/recalls")
        [after] = listed["ours"]
        assert (after["report_id"], after["tag"], listed["titles"]) == (None, named["tag"], {})


async def test_recalls_of_ours_and_of_peers_are_told_side_by_side(cluster, tmp_path):
    """That somebody here is to be asked hides nobody who is late with what we asked."""
    async with circle(cluster, tmp_path, ["acme", "birch"], ASK) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        for one, other in ((acme, birch), (birch, acme)):
            done = await filed(one, "Something happened")
            await seen(other, done["id"])
            await post(one, f"/v1/reports/{done['id']}/recall", WHY)
            await until_recall(one, done["id"], "waiting")
        async with acme.node.pool.acquire() as conn:
            await conn.execute("update recall set deadline = now() - interval '1 second'")
        checks = {one.name: one.code for one in (await acme.node.health.report()).checks}
        assert (checks["recalls"], checks["recalls-of-peers"]) == ("recall-overdue", "recall-waits")


async def test_where_people_are_asked_it_waits_for_them_and_is_told_until_then(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"], ASK) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        await until_recall(acme, done["id"], "waiting")
        [waiting] = (await get(birch, "/v1/recalls"))["theirs"]
        assert (waiting["reports"], waiting["reason"]) == ([done["id"]], WHY["reason"])
        assert (await birch.node.recalling.asked()).code == "recall-waits"
        async with birch.node.pool.acquire() as conn:
            await conn.execute("update recalled set deadline = now() + interval '1 hour'")
        assert (await birch.node.recalling.asked()).code == "recall-due"
        await post(birch, f"/v1/recalls/{waiting['entry']}/obey", {"by": "Robin"})
        await gone(birch, done["id"])
        await until_recall(acme, done["id"], "purged")
        [blocked] = await erasures(birch)
        assert blocked["by"] == "Robin"
        assert (await birch.node.recalling.asked()).status == "ok"
        assert await refusal(birch, "POST", "/v1/recalls/00/obey", json={"by": "Robin"}) == (
            404,
            "recall-unknown",
        )


async def test_nobody_is_asked_about_what_is_not_held(cluster, tmp_path):
    """It was erased here before; its author hears so at once, also where people want to be asked."""
    async with circle(cluster, tmp_path, ["acme", "birch"], ASK) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        await post(birch, f"/v1/reports/{done['id']}/erase", WHY)
        await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        await until_recall(acme, done["id"], "purged")
        [theirs] = (await get(birch, "/v1/recalls"))["theirs"]
        assert (theirs["reports"], theirs["done_by"]) == ([], None)
        assert (await birch.node.recalling.asked()).status == "ok"


async def test_a_stricter_marking_reaches_all_that_have_an_earlier_version(cluster, tmp_path):
    """Who may hold it gets it and marks what it has alike; who may not gives back what it has."""
    async with circle(cluster, tmp_path, ["acme", "birch", "cedar"]) as nodes:
        acme, birch, cedar = nodes["acme"], nodes["birch"], nodes["cedar"]
        await post(acme, "/v1/peers/cedar/approve", {"unverified": True, "max_tlp_out": "green"})
        raw = acme.bundle("Something happened")
        async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
            done = await answer.json()
        for node in (birch, cedar):
            await seen(node, done["id"])
        later = revise(raw, {"tlp": "amber"}, now=datetime.now(UTC) + timedelta(seconds=1))
        async with acme.client.put(f"/v1/reports/{done['id']}", data=later, headers=STIX) as answer:
            assert answer.status == 201, await answer.json()
        await seen(birch, done["id"], ver=2, tlp="amber")
        await gone(cedar, done["id"])
        items = await until_recall(acme, done["id"], "narrowed", "purged")
        assert {item["peer"]["name"]: item["what"] for item in items} == {"birch": "narrow", "cedar": "purge"}
        async with birch.node.pool.acquire() as conn:
            assert (
                await conn.fetchval("select tlp from report_version where report_id = $1", done["id"])
                == "amber"
            )
        assert [p["name"] for p in (await get(acme, f"/v1/reports/{done['id']}"))["to"] if p["current"]] == [
            "birch"
        ]


async def test_nobody_recalls_what_another_gave(cluster, tmp_path, acme, mallory):
    """A recall names entries of its own log alone; a copy in another's name stays where it is."""
    frame = mallory.publish(acme, mallory.bundle("Of mallory"))
    await mallory.ring()
    await outcomes(acme, 1)
    async with acme.client.post(
        "/v1/reports?share=false", data=acme.bundle("Ours alone"), headers=STIX
    ) as answer:
        ours = await answer.json()
    async with acme.node.pool.acquire() as conn:  # as if mallory's entry had brought a report of ours
        await conn.execute("update remote_entry set report_id = $1", ours["id"])
    content = write_recall(
        "purge", [mallory.leaf_hashes[frame.idx]], "Mine.", at=datetime.now(UTC), deadline=datetime.now(UTC)
    )
    sealed = mallory.sealed(
        acme,
        content,
        t="recall",
        id=f"recall--{uuid.uuid4()}",
        ref=mallory.leaf_hashes[frame.idx],
        tlp=Tlp.GREEN,
    )
    mallory.append(acme, sealed)
    await mallory.ring()
    assert (await outcomes(acme, 2))[1] == (1, "refused", "not-owner")
    await get(acme, f"/v1/reports/{ours['id']}")


def taken_back(mallory, acme, *frames, deadline=None, what="purge"):
    """Put into mallory's log that it recalls these entries of its own."""
    entries = [mallory.leaf_hashes[frame.idx] for frame in frames]
    now = datetime.now(UTC)
    content = write_recall(what, entries, "Mine.", at=now, deadline=now)
    if deadline is not None:
        content = RECALL.encode(msgspec.structs.replace(RECALL.decode(content), deadline=deadline))
    sealed = mallory.sealed(
        acme, content, t="recall", id=f"recall--{uuid.uuid4()}", ref=entries[0], tlp=Tlp.GREEN
    )
    return mallory.append(acme, sealed)


async def until_done(node, count):
    async def look():
        async with node.node.pool.acquire() as conn:
            return await conn.fetchval("select count(*) from recalled where done_at is not null") == count

    await until(look)


async def test_a_recall_of_what_was_never_taken_bars_nobody_from_giving_it(acme, mallory):
    """Who knows the id of another's report cannot have it refused before its author gives it."""
    async with villain("oscar") as oscar:
        await oscar.join(acme)
        theirs = oscar.bundle("What happened at oscar")
        frame = mallory.publish(acme, theirs)  # refused: it is oscar's
        await mallory.ring()
        await outcomes(acme, 1)
        taken_back(mallory, acme, frame)
        await mallory.ring()
        await until_done(acme, 1)
        assert await erasures(acme) == []
        oscar.publish(acme, theirs)
        await oscar.ring()
        assert await outcomes(acme, 1, "oscar") == [(0, "stored", None)]


async def test_a_piece_of_an_id_recalls_nothing(acme, mallory):
    """What is not the whole name of a report is the name of none, least of all of every one."""
    async with acme.client.post("/v1/reports", data=acme.bundle("Ours"), headers=STIX) as answer:
        ours = await answer.json()
    sealed = mallory.sealed(acme, mallory.bundle("Mine"))
    cut = orjson.dumps({**orjson.loads(sealed.leaf), "id": "incident--"})
    frame = mallory.append(acme, replace(sealed, leaf=cut, leaf_hash=leaf_hash(cut)))
    await mallory.ring()
    await outcomes(acme, 1)
    taken_back(mallory, acme, frame)
    await mallory.ring()
    await until_done(acme, 1)
    async with acme.node.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from log_entry where erased_at is not null") == 0
        assert await conn.fetchval("select count(*) from quarantine") == 0, "its own bytes are let go of"
    await get(acme, f"/v1/reports/{ours['id']}")


async def test_a_deadline_at_the_end_of_time_stops_nothing(acme, mallory):
    """Also not where the report was passed on, and its recall is passed on with a deadline of its own."""
    async with villain("oscar") as oscar:
        await oscar.join(acme)
        content = mallory.bundle("Of mallory")
        frame = mallory.publish(acme, content)
        await mallory.ring()
        await outcomes(acme, 1)
        name = incident_id_of(content)
        shared = await post(acme, f"/v1/reports/{name}/share?to=oscar", {})
        assert shared["outcome"] == "stored", shared
        taken_back(mallory, acme, frame, deadline=2**53 - 1)
        await mallory.ring()
        await until_done(acme, 1)
        await gone(acme, name)


async def test_who_passed_a_report_on_and_takes_it_back_keeps_its_author_from_nothing(cluster, tmp_path):
    line = (("acme", "birch"), ("birch", "cedar"))
    async with circle(cluster, tmp_path, ["acme", "birch", "cedar"], pairs=line) as nodes:
        acme, birch, cedar = nodes["acme"], nodes["birch"], nodes["cedar"]
        done = await filed(acme, "Something happened", tlp=Tlp.GREEN)
        await seen(birch, done["id"])
        async with birch.client.post(f"/v1/reports/{done['id']}/share?to=cedar") as answer:
            assert answer.status == 201, await answer.json()
        await seen(cedar, done["id"])
        await post(acme, f"/v1/reports/{done['id']}/recall", {**WHY, "peers": ["birch"]})
        await gone(cedar, done["id"])
        await introduce("acme", acme, "cedar", cedar)
        async with acme.client.post(f"/v1/reports/{done['id']}/share?to=cedar") as answer:
            assert answer.status == 201, await answer.json()
        assert (await seen(cedar, done["id"]))["passed_by"] is None


async def test_what_was_recalled_comes_in_by_no_door_until_a_person_lifts_it(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        await gone(birch, done["id"])
        await until_recall(acme, done["id"], "purged")
        bundle = (await get(acme, f"/v1/reports/{done['id']}"))["bundle"]
        [line] = (await _import(birch, bundle))["items"]
        assert line["code"] == "erased"
        lifted = await post(
            birch, "/v1/erasures/lift", {"report_id": done["id"], "by": "Robin", "reason": "A mistake."}
        )
        assert [item["lifted_by"] for item in lifted["items"]] == ["Robin"]
        assert await erasures(birch) == []
        assert len(await erasures(birch, "?all=1")) == 1
        [line] = (await _import(birch, bundle))["items"]
        assert line.get("code") != "erased"
        assert await refusal(
            birch, "POST", "/v1/erasures/lift", json={"report_id": done["id"], "by": "R", "reason": "x"}
        ) == (404, "not-erased")


async def test_its_author_may_give_it_anew_and_what_a_person_erased_comes_from_nobody(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        await until_recall(acme, done["id"], "purged")
        async with acme.client.post(f"/v1/reports/{done['id']}/share?to=birch") as answer:
            assert answer.status == 201, await answer.json()
        await seen(birch, done["id"])
        await post(birch, f"/v1/reports/{done['id']}/erase", WHY)
        async with acme.client.get(f"/v1/reports/{done['id']}") as answer:
            bundle = (await answer.json())["bundle"]
        later = revise(
            orjson.dumps(bundle), {"countries": ["SE"]}, now=datetime.now(UTC) + timedelta(seconds=2)
        )
        async with acme.client.put(f"/v1/reports/{done['id']}", data=later, headers=STIX) as answer:
            assert answer.status == 201, await answer.json()

        async def refused():
            items = (await get(acme, f"/v1/reports/{done['id']}/receipts"))["items"]
            return any(item["code"] == "erased" for item in items)

        await until(refused)
        await gone(birch, done["id"])


async def test_a_recall_goes_where_its_report_was_passed_on(cluster, tmp_path):
    """`acme` writes, `birch` passes on, `cedar` knows `birch` alone."""
    line = (("acme", "birch"), ("birch", "cedar"))
    async with circle(cluster, tmp_path, ["acme", "birch", "cedar"], pairs=line) as nodes:
        acme, birch, cedar = nodes["acme"], nodes["birch"], nodes["cedar"]
        done = await filed(acme, "Something happened", tlp=Tlp.GREEN)
        await seen(birch, done["id"])
        async with birch.client.post(f"/v1/reports/{done['id']}/share?to=cedar") as answer:
            assert answer.status == 201, await answer.json()
        await seen(cedar, done["id"])
        await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
        await gone(birch, done["id"])
        await gone(cedar, done["id"])
        await until_recall(birch, done["id"], "purged")


async def _import(node, bundle):
    headers = {"Content-Type": "application/x-ndjson"}
    async with node.client.post("/v1/imports", data=orjson.dumps(bundle) + b"\n", headers=headers) as answer:
        return await answer.json()


async def test_a_recall_that_overtakes_nothing_ends_in_nothing_held(cluster, tmp_path):
    """Report and recall come in one batch: the reader was away."""
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await asyncio.gather(*(filed(acme, f"Number {n}") for n in range(5)))
        for one in done:
            await post(acme, f"/v1/reports/{one['id']}/recall", WHY)
        for one in done:
            await until_recall(acme, one["id"], "purged")
        async with birch.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from report") == 0


@pytest.mark.parametrize("reason", ["Because something happened here today", "see {id}"])
async def test_a_reason_that_repeats_the_report_is_refused(acme, reason):
    async with acme.client.post(
        "/v1/reports?share=false", data=acme.bundle("Today something happened here today again"), headers=STIX
    ) as answer:
        done = await answer.json()
    said = {"by": "Kim", "reason": reason.format(id=done["id"])}
    assert await refusal(acme, "POST", f"/v1/reports/{done['id']}/erase", json=said) == (422, "reason-tells")


async def test_who_never_came_to_the_newest_version_gives_back_the_one_that_it_has(cluster, tmp_path):
    """The reader was away while its author revised the report and took it back: of the new version it is served nothing."""
    async with cluster.database() as ours, cluster.database() as theirs:
        settings = settings_on(tmp_path / "birch", theirs, QUICK, org="birch")
        async with open_here(settings_on(tmp_path / "acme", ours, QUICK, org="acme")) as acme:
            async with open_here(settings) as birch:
                await introduce("acme", acme, "birch", birch)
                raw = acme.bundle("Something happened")
                async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
                    done = await answer.json()
                await seen(birch, done["id"])
            later = revise(raw, {"title": "It was worse"}, now=datetime.now(UTC) + timedelta(seconds=1))
            async with acme.client.put(f"/v1/reports/{done['id']}", data=later, headers=STIX) as answer:
                assert answer.status == 201, await answer.json()
            await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
            async with open_here(settings) as birch:
                await until_recall(acme, done["id"], "purged")
                assert await refusal(birch, "GET", f"/v1/reports/{done['id']}") == (404, "report-unknown")


async def test_what_is_given_anew_stands_in_the_log_behind_the_recall_that_waited(
    cluster, tmp_path, monkeypatch
):
    """A recall behind it would take back what it does not mean."""
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        with monkeypatch.context() as held:
            held.setattr(acme.node.recalling, "wake", lambda: None)  # the pen is busy with something else
            await post(acme, f"/v1/reports/{done['id']}/recall", WHY)
            async with acme.client.post(f"/v1/reports/{done['id']}/share?to=birch") as answer:
                assert answer.status == 201, await answer.json()
        acme.node.recalling.wake()
        await until_recall(acme, done["id"], "purged")
        await seen(birch, done["id"])
        async with acme.node.pool.acquire() as conn:
            recall, given = await conn.fetchrow("select p.idx, s.idx from recall_peer p, report_share s")
        assert recall < given
