"""Who gets which version of a report: by its marking, by who was named, and by the ceilings of the moment."""

import uuid
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from tests.support.villain import GRAVE, get, post, until, villain

from tocsin_federation.envelope import open_entry
from tocsin_federation.frames import FrameReader
from tocsin_federation.keys import load_enc_private
from tocsin_federation.merkle import leaf_hash
from tocsin_federation.messages import read_acknowledgement
from tocsin_schema.stix import build, revise, withdraw

STIX = {"Content-Type": "application/stix+json"}


def now():
    return datetime.now(UTC)


async def filed(node, tlp, query=""):
    """A report of the node's own: its bytes, and what was said to it."""
    producer = (await get(node, "/v1/node"))["identity"]
    form = {"title": "Ours", "tlp": tlp, "realization": "near-miss", "description": "Nobody was hurt."}
    raw = build(form, producer=producer, incident_id=f"incident--{uuid.uuid4()}", now=now() - timedelta(5))
    async with node.client.post(f"/v1/reports{query}", data=raw, headers=STIX) as answer:
        said = await answer.json()
        assert answer.status == 201, said
    return raw, said


async def put(node, raw, report_id, query=""):
    async with node.client.put(f"/v1/reports/{report_id}{query}", data=raw, headers=STIX) as answer:
        return answer.status, await answer.json()


def names(said):
    return [peer["name"] for peer in said["to"]]


@pytest.fixture
async def two(acme):
    """Two peers of `acme` that may have everything up to TLP:RED."""
    async with villain("alder") as alder, villain("birch") as birch:
        for peer in (alder, birch):
            await peer.join(acme, max_tlp_out="red")
        yield alder, birch


@pytest.mark.usefixtures("two")
async def test_a_report_raised_to_red_goes_to_nobody_who_was_not_named_for_it(acme):
    raw, said = await filed(acme, "amber")
    assert names(said) == ["alder", "birch"]
    red = revise(raw, {"tlp": "red"}, now=now())
    for query in ("", "?dry_run=1"):
        status, refused = await put(acme, red, said["id"], query)
        assert (status, refused["code"]) == (422, "audience-empty")
        assert "--to alder --to birch" in refused["hint"]
    assert (await get(acme, f"/v1/reports/{said['id']}"))["ver"] == 1
    status, raised = await put(acme, red, said["id"], "?to=birch")
    assert (status, names(raised)) == (201, ["birch"])
    assert [(peer["name"], peer["code"]) for peer in raised["withheld"]] == [("alder", "not-named")]


@pytest.mark.usefixtures("two")
async def test_a_further_red_version_goes_to_those_who_got_the_red_one_before(acme):
    raw, said = await filed(acme, "amber")
    red = revise(raw, {"tlp": "red"}, now=now())
    await put(acme, red, said["id"], "?to=birch")
    status, again = await put(acme, red, said["id"])
    assert (status, again["outcome"]) == (200, "unchanged"), "a retry needs no names"
    further = revise(red, {"title": "More of it"}, now=now())
    status, third = await put(acme, further, said["id"])
    assert (status, names(third)) == (201, ["birch"])
    lowered = revise(further, {"tlp": "amber"}, now=now())
    status, fourth = await put(acme, lowered, said["id"])
    assert (status, names(fourth)) == (201, ["alder", "birch"]), "below RED it is for all again"


@pytest.mark.usefixtures("two")
async def test_the_withdrawal_of_a_red_report_reaches_all_who_ever_had_it(acme):
    raw, said = await filed(acme, "amber")
    red = revise(raw, {"tlp": "red"}, now=now())
    await put(acme, red, said["id"], "?to=birch")
    gone = withdraw(red, reason="It was another system.", now=now())
    async with acme.client.post(f"/v1/reports/{said['id']}/withdraw", data=gone, headers=STIX) as answer:
        assert names(await answer.json()) == ["alder", "birch"]


@pytest.mark.usefixtures("mallory")
async def test_a_report_may_be_raised_to_red_unnamed_when_no_ceiling_would_let_it_out(acme):
    raw, said = await filed(acme, "amber")
    status, raised = await put(acme, revise(raw, {"tlp": "red"}, now=now()), said["id"])
    assert (status, names(raised), raised["entry"]) == (201, [], None)
    assert [peer["code"] for peer in raised["withheld"]] == ["above-ceiling"]


async def served(node, peer):
    """Kind and marking of every entry that the node serves the peer, and where it goes on."""
    status, body, _ = await peer.ask(node, peer.log_path(node, "entries?from=0&max=100"))
    assert status == 200
    reader = FrameReader(start=0, max_frames=100, max_body_bytes=len(body))
    leaves = [orjson.loads(frame.leaf) for frame in reader.feed(body)]
    return [(leaf["t"], leaf["tlp"]) for leaf in leaves], reader.finish()


async def acknowledgements(node, peer):
    """What the node's log tells the peer of how far people are: state, and whether that is taken back."""
    return [(said.state, said.revoked) for said in await contents(node, peer)]


async def contents(node, peer):
    """The acknowledgements in the node's log that the peer can open."""
    _, body, _ = await peer.ask(node, peer.log_path(node, "entries?from=0&max=100"))
    keys = {kid: load_enc_private(seed) for kid, seed in peer.keys.enc.items()}
    said = []
    for frame in FrameReader(start=0, max_frames=100, max_body_bytes=len(body)).feed(body):
        opened = open_entry(
            frame,
            expected_leaf_hash=leaf_hash(frame.leaf),
            origin=node.node.identity.node_id,
            me=peer.node_id,
            enc_private=keys,
        )
        if opened.header.t == "ack":
            assert b"Mara" not in opened.content
            assert b"vendor" not in opened.content
            said.append(read_acknowledgement(opened.content))
    return said


async def test_a_lowered_ceiling_holds_for_what_was_sealed_before_and_not_fetched(acme, mallory):
    for tlp in ("clear", "amber", "green"):
        await filed(acme, tlp)
    publish = [("publish", tlp) for tlp in ("clear", "amber", "green")]
    assert await served(acme, mallory) == (publish, 3)
    await post(acme, "/v1/peers/mallory/approve", {"max_tlp_out": "clear"})
    assert await served(acme, mallory) == (publish[:1], 3), (
        "the others are passed over, and the cursor moves on"
    )


async def test_who_is_approved_anew_without_words_gets_nothing_above_green_of_before(acme, mallory):
    await filed(acme, "amber")
    async with acme.client.delete("/v1/peers/mallory") as answer:
        assert answer.status < 300
    await mallory.join(acme, approve=False)
    await post(acme, "/v1/peers/mallory/approve", {"unverified": True})
    await filed(acme, "green")
    assert await served(acme, mallory) == ([("publish", "green")], 2)


async def test_an_acknowledgement_is_served_whatever_the_ceiling(acme, mallory):
    mallory.publish(acme, mallory.bundle("Grave", **GRAVE))
    await mallory.ring()

    async def rung():
        return (await get(acme, "/v1/alerts"))["items"]

    (alert,) = await until(rung)
    await post(acme, f"/v1/alerts/{alert['id']}/ack", {})
    await post(acme, "/v1/peers/mallory/approve", {"max_tlp_out": "clear"})

    async def told():
        return (await served(acme, mallory))[0]

    assert await until(told) == [("ack", "green")]


async def test_each_act_about_an_alert_is_told_to_the_origin_and_so_is_that_nobody_answers(acme, mallory):
    mallory.publish(acme, mallory.bundle("Grave", **GRAVE))
    await mallory.ring()

    async def rung():
        return (await get(acme, "/v1/alerts"))["items"]

    (alert,) = await until(rung)
    path = f"/v1/alerts/{alert['id']}"

    async def told(count):
        async def found():
            said = await acknowledgements(acme, mallory)
            return said if len(said) >= count else None

        return await until(found)

    async with acme.node.pool.acquire() as conn:  # everybody was called, and the last minutes are over
        await conn.execute("update followup set level = 2, next_at = now()")
    acme.node.alarms.escalation.wake()
    assert await told(1) == [("unanswered", False)]
    await post(acme, f"{path}/take", {"by": "Mara", "note": "on it"})
    assert sorted((await told(4))[1:]) == [("acknowledged", False), ("taken", False), ("unanswered", True)]
    await post(acme, f"{path}/take", {"by": "Mara", "undo": True})
    assert (await told(5))[4:] == [("taken", True)]
    await post(acme, f"{path}/resolve", {"by": "Mara"})
    assert ("resolved", False) in (await told(6))[5:]
    await post(acme, f"{path}/mute", {"minutes": 30, "note": "the vendor is on it"})
    assert (await told(7))[6:] == [("muted", False)]
    await post(acme, f"{path}/mute", {"minutes": 45})
    assert (await told(8))[7:] == [("muted", False)]
    await post(acme, f"{path}/mute", {"undo": True})
    assert set((await told(10))[8:]) == {("muted", True)}, "both mutes were taken back"
    await post(acme, f"{path}/escalate", {"note": "I want help"})
    assert (await told(11))[10:] == [("escalated", False)]
    muted = [said for said in await contents(acme, mallory) if said.state == "muted"]
    first, second = (said.until - said.at for said in muted if said.until is not None)
    assert (first, second) == (30 * 60_000, 45 * 60_000), "until when, and no more than that"
