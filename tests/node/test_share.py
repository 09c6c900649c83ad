"""Sharing a report later: the version that stands goes to further peers, once, and nobody else notices."""

import asyncio
import tempfile
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from tests.node.conftest import QUICK
from tests.support.database_wire import database_wire
from tests.support.node import open_here, settings_on
from tests.support.villain import get, incident_id_of, outcomes, post, until, villain

from tocsin_federation.frames import FrameReader
from tocsin_federation.messages import read_header, write_acknowledgement
from tocsin_node.services.ledger import Posting
from tocsin_schema.check import check_bundle
from tocsin_schema.remarks import sighting
from tocsin_schema.stix import revise, withdraw

STIX = {"Content-Type": "application/stix+json"}


async def file(node, raw, path="/v1/reports", method="POST", **query):
    async with node.client.request(method, path, data=raw, headers=STIX, params=query) as answer:
        said = await answer.json()
        assert answer.status in {200, 201}, said
        return said


async def share(node, report_id, *names, **query):
    pairs = [("to", name) for name in names] + list(query.items())
    async with node.client.post(f"/v1/reports/{report_id}/share", params=pairs) as answer:
        return answer.status, await answer.json()


async def log_size(node):
    return (await get(node, "/v1/node"))["log"]["size"]


_TICKS = count(1)


def now():
    """Later each time, however fast the machine: a version must be later than the one before."""
    return datetime.now(UTC) + timedelta(milliseconds=10 * next(_TICKS))


@asynccontextmanager
async def pair(cluster, database, tmp_path, **limits):
    """Two real nodes, `One` and `Two`; `limits` are One's for Two."""
    async with cluster.database() as other:
        first = settings_on(tmp_path / "one", database, QUICK, org="One")
        second = settings_on(tmp_path / "two", other, QUICK, org="Two")
        async with open_here(first) as one, open_here(second) as two:
            text = (await post(one, "/v1/peers/invites", {"name": "Two"}))["invite"]
            joined = await post(two, "/v1/peers/join", {"invite": text, "name": "One"})
            words = {"sas": " ".join(joined["sas"])}
            await post(one, "/v1/peers/Two/approve", words | limits)
            await post(two, "/v1/peers/One/approve", words | {"max_tlp_in": "red"})
            yield one, two


async def arrived(node, report_id, ver):
    async def there():
        async with node.client.get(f"/v1/reports/{report_id}") as answer:
            found = await answer.json()
            return found if answer.status == 200 and found["ver"] == ver else None

    return await until(there)


async def test_a_report_goes_to_a_further_peer_later_and_only_once(cluster, database, tmp_path):
    async with pair(cluster, database, tmp_path) as (one, two), villain() as mallory:
        await mallory.join(one)
        raw = one.bundle("Filed for mallory alone")
        filed = await file(one, raw, to="mallory")
        report_id = filed["id"]
        before = await log_size(one)
        status, said = await share(one, report_id, "Two", "mallory")
        assert (status, said["outcome"], said["ver"]) == (201, "stored", 1)
        assert [peer["name"] for peer in said["to"]] == ["Two"]
        assert {w["name"]: w["code"] for w in said["withheld"]} == {"mallory": "has-it"}
        assert await log_size(one) == before + 1
        await arrived(two, report_id, 1)
        async with two.client.get(
            f"/v1/reports/{report_id}", headers={"Accept": "application/stix+json"}
        ) as answer:
            assert await answer.read() == raw
        status, said = await share(one, report_id, "Two")
        assert (status, said["outcome"], said["entry"]) == (200, "unchanged", None)
        assert await log_size(one) == before + 1
        to = (await get(one, f"/v1/reports/{report_id}"))["to"]
        assert {each["name"]: each["current"] for each in to} == {"mallory": True, "Two": True}


async def test_a_withdrawal_that_a_ceiling_held_back_is_told_once_the_ceiling_allows_it(
    cluster, database, tmp_path, stranger
):
    async with pair(cluster, database, tmp_path, max_tlp_out="green") as (one, two):
        first = one.bundle("Milder than it should be")
        report_id = (await file(one, first))["id"]
        await arrived(two, report_id, 1)
        amber = revise(first, {"tlp": "amber"}, now=now())
        said = await file(one, amber, f"/v1/reports/{report_id}", "PUT")
        gone = withdraw(amber, reason="It was a test.", now=now())
        said = await file(one, gone, f"/v1/reports/{report_id}/withdraw")
        assert [(each["name"], each["code"]) for each in said["left_behind"]] == [("Two", "above-ceiling")]
        assert (await get(one, f"/v1/reports/{report_id}"))["to"][0]["current"] is False
        status, said = await share(one, report_id, "Two")
        assert (status, said["outcome"], said["to"]) == (200, "unchanged", [])
        await post(one, "/v1/peers/Two/approve", {"max_tlp_out": "amber"})
        status, said = await share(one, report_id, "Two")
        assert (status, said["ver"]) == (201, 3)
        assert (await arrived(two, report_id, 3))["state"] == "withdrawn"
        assert (await get(one, f"/v1/reports/{report_id}"))["to"][0]["current"] is True


async def test_a_later_entry_says_the_same_as_the_first(acme, mallory):
    async with villain("late") as late:
        await late.join(acme)
        first = acme.bundle("Twice told")
        report_id = (await file(acme, first, to="mallory"))["id"]
        second = await file(
            acme, revise(first, {"title": "Twice, told"}, now=now()), f"/v1/reports/{report_id}", "PUT"
        )
        _, shared = await share(acme, report_id, "late")
        headers = []
        for who, index in ((mallory, second["entry"]["index"]), (late, shared["entry"]["index"])):
            path = late.log_path(acme, f"entries?from={index}&max=1")
            _, body, _ = await who.ask(acme, path)
            headers.append(read_header(body_leaf(body, index)))
        told = [(h.t, h.id, h.ver, h.prev, h.tlp) for h in headers]
        assert told[0] == told[1]
        assert headers[0].prev is not None
        assert list(headers[1].aud.nodes) == [late.node_id]


def body_leaf(body, index):
    (frame,) = FrameReader(start=index).feed(body)
    return frame.leaf


async def test_an_acknowledgement_of_what_came_later_counts(acme, mallory):
    async with villain("late") as late:
        await late.join(acme)
        raw = acme.bundle("For mallory at first")
        report_id = (await file(acme, raw, to="mallory"))["id"]
        _, shared = await share(acme, report_id, "late")
        leaf = bytes.fromhex(shared["entry"]["leaf_hash"])
        said = write_acknowledgement(report_id, 1, now(), revoked=False)
        late.publish(acme, said, t="ack", id=report_id, ref=leaf)
        await late.ring()
        assert [outcome[1:] for outcome in await outcomes(acme, 1, "late")] == [("stored", None)]


async def test_red_goes_later_to_whom_it_names_up_to_its_ceiling(acme, mallory, stranger):
    async with villain("trusted") as trusted:
        await trusted.join(acme, max_tlp_out="red")
        raw = acme.bundle("For few eyes", tlp="red")
        report_id = (await file(acme, raw, share="0"))["id"]
        assert (await get(acme, f"/v1/reports/{report_id}"))["entry"] is None
        _, said = await share(acme, report_id, "trusted", "mallory")
        assert [peer["name"] for peer in said["to"]] == ["trusted"]
        assert {w["name"]: w["code"] for w in said["withheld"]} == {"mallory": "above-ceiling"}
        entry = (await get(acme, f"/v1/reports/{report_id}"))["entry"]
        assert entry == said["entry"]


async def test_a_dry_run_tells_and_writes_nothing(acme, mallory):
    report_id = (await file(acme, acme.bundle("Ours"), share="0"))["id"]
    status, said = await share(acme, report_id, "mallory", dry_run="1")
    assert (status, said["outcome"], [p["name"] for p in said["to"]]) == (200, "dry-run", ["mallory"])
    assert await log_size(acme) == 0


async def test_a_report_is_shared_with_somebody_and_never_with_its_author(acme, mallory):
    frame = mallory.bundle("Theirs")
    mallory.publish(acme, frame)
    await mallory.ring()
    await outcomes(acme, 1)
    ours = (await file(acme, acme.bundle("Ours"), share="0"))["id"]
    for report_id, names, code in (
        ("incident--11111111-1111-4111-8111-111111111111", ["mallory"], "report-unknown"),
        (ours, [], "recipients-missing"),
        (ours, ["nobody"], "peer-unknown"),
    ):
        status, said = await share(acme, report_id, *names)
        assert status >= 400
        assert said["code"] == code
    status, said = await share(acme, incident_id_of(frame), "mallory")
    assert (status, [(w["name"], w["code"]) for w in said["withheld"]]) == (200, [("mallory", "its-own")])


async def test_shares_and_versions_at_once_lose_nobody(acme):
    """Whoever got a version stays in the audience: a share that meets a new version makes one of the two try again."""
    names = [f"peer{n}" for n in range(3)]
    async with villain(names[0]) as a, villain(names[1]) as b, villain(names[2]) as c:
        for somebody in (a, b, c):
            await somebody.join(acme)
        raw = acme.bundle("Moving")
        report_id = (await file(acme, raw, share="0"))["id"]

        async def versions():
            held, made = raw, 0
            while made < 6:
                held_now = revise(held, {"title": f"Moving {made}"}, now=now())
                async with acme.client.put(f"/v1/reports/{report_id}", data=held_now, headers=STIX) as answer:
                    said = await answer.json()
                    if answer.status == 409:
                        assert said["code"] == "version-conflict"
                        continue
                    assert answer.status in {200, 201}, said
                held, made = held_now, made + 1

        async def shares(name):
            while True:
                status, said = await share(acme, report_id, name)
                if status in {200, 201}:
                    return
                assert said["code"] == "version-conflict"

        await asyncio.gather(versions(), *(shares(name) for name in names))
        found = await get(acme, f"/v1/reports/{report_id}")
        assert {each["name"] for each in found["to"]} == set(names)
        assert found["ver"] == 7
        assert all(each["current"] for each in found["to"])


async def test_in_the_writer_a_share_and_a_version_that_did_not_know_of_each_other_conflict(acme, mallory):
    first = acme.bundle("Version 1")
    second = revise(first, {"title": "Version 2"}, now=now())
    report_id = (await file(acme, first, share="0"))["id"]
    held, newer = (check_bundle(raw).report for raw in (first, second))
    assert held is not None
    assert newer is not None
    sealed = mallory.sealed(acme, first)
    wider = Posting(sealed=sealed, report=held, held_ver=1, audience=(mallory.node_id,), wider=True)
    revision = Posting(report=newer, held_ver=1)
    knowing = Posting(report=newer, held_ver=1, audience=(mallory.node_id,))
    posted = await acme.node.ledger.post(wider, revision)
    assert [each.outcome for each in posted] == ["stored", "conflict"]
    posted = await acme.node.ledger.post(revision)
    assert [each.outcome for each in posted] == ["conflict"]
    posted = await acme.node.ledger.post(knowing, wider)
    assert [each.outcome for each in posted] == ["stored", "conflict"]
    posted = await acme.node.ledger.post(wider)
    assert [each.outcome for each in posted] == ["conflict"]
    found = await get(acme, f"/v1/reports/{report_id}")
    assert (found["ver"], [each["name"] for each in found["to"]]) == (2, ["mallory"])
    assert await log_size(acme) == 1


async def test_a_share_whose_commit_went_unheard_is_there_once_when_it_is_said_again(database, tmp_path):
    with tempfile.TemporaryDirectory(prefix="tw") as place:
        async with database_wire(database, Path(place)) as wire:
            settings = settings_on(tmp_path / "frail", wire.address, QUICK)
            async with open_here(settings) as node, villain() as mallory:
                await mallory.join(node)
                report_id = (await file(node, node.bundle("Once"), share="0"))["id"]
                wire.lose = b"COMMIT"
                status, said = await share(node, report_id, "mallory")
                wire.lose = b""
                assert (status, said["code"]) == (503, "storage-unavailable")

                async def answered():
                    status, said = await share(node, report_id, "mallory")
                    return said if status != 503 else None

                said = await until(answered)
                assert said["outcome"] == "unchanged"
                assert {w["name"]: w["code"] for w in said["withheld"]} == {"mallory": "has-it"}

                async def heard():
                    return await log_size(node)

                assert await until(heard) == 1


async def test_what_seems_to_name_people_goes_to_nobody_later_either_unless_a_person_takes_it_on(
    acme, mallory
):
    raw = acme.bundle("Kept here", description="The carer asked us to ring +49 30 901820 back.")
    report_id = (await file(acme, raw, share="0"))["id"]
    status, said = await share(acme, report_id, "mallory")
    assert (status, said["code"]) == (422, "review-needed")
    assert "901820" not in str(said)
    _, tried = await share(acme, report_id, "mallory", dry_run="1")
    assert tried["review_needed"] is True
    assert await log_size(acme) == 0
    status, said = await share(acme, report_id, "mallory", personal_data_reviewed_by="Mara Voss")
    assert (status, said["outcome"]) == (201, "stored")
    (review,) = (await get(acme, f"/v1/reports/{report_id}"))["reviews"]
    assert (review["ver"], review["reviewed_by"], review["kinds"]) == (1, "Mara Voss", ["telephone"])


async def test_what_we_say_of_a_report_goes_to_those_too_who_got_it_later(acme, mallory, stranger):
    await stranger.join(acme)
    raw = acme.bundle("Told in two steps")
    report_id = (await file(acme, raw, to="mallory"))["id"]
    await share(acme, report_id, "stranger")
    held = check_bundle(raw).report
    remark = sighting(held, producer=dict(acme.node.producer), now=now(), count=2, first_seen=held.created)
    said = await file(acme, remark, path=f"/v1/reports/{report_id}/remarks")
    assert sorted(peer["name"] for peer in said["to"]) == ["mallory", "stranger"]
