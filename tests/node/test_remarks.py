"""Remarks at a node: they go the way the report came, the latest stands, and nobody speaks in another's name."""

import asyncio
import itertools
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from tests.node.test_intake import judged, taken
from tests.support.circle import spoken
from tests.support.node import open_here, settings_on
from tests.support.villain import get, incident_id_of, outcomes, peer_status, post, until, villain

from tocsin_schema.check import check_bundle
from tocsin_schema.ids import node_identity_id
from tocsin_schema.marking import MARKING_IDS, Tlp
from tocsin_schema.remark import MAX_BYTES, check_remark, remark_id
from tocsin_schema.remarks import exposure, opinion, retract, sighting
from tocsin_schema.stix import build, revise, withdraw

STIX = {"Content-Type": "application/stix+json"}
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
QUICK = {"federation": {"backoff_max_s": 0.3, "long_poll_s": 2.0, "read_timeout_s": 20.0}}


def at(minute):
    return START + timedelta(minutes=minute)


def read(raw):
    report = check_bundle(raw).report
    assert report is not None
    return report


async def file(node, raw, query=""):
    async with node.client.post(f"/v1/reports{query}", data=raw, headers=STIX) as answer:
        document = await answer.json()
        assert answer.status == 201, document
        return document


async def say(node, raw, query="", *, report=None):
    """Hand a remark to the node; (status, document)."""
    about = report or check_remark(raw).remark.incident_id
    async with node.client.post(f"/v1/reports/{about}/remarks{query}", data=raw, headers=STIX) as answer:
        return answer.status, await answer.json()


async def said(node, report_id):
    """(who, kind, what, taken back) of every remark on a report."""
    items = (await get(node, f"/v1/reports/{report_id}/remarks"))["items"]
    return [(i["by"]["name"], i["kind"], i["said"] or i["count"], i["revoked"]) for i in items]


# Two real nodes --------------------------------------------------------------------------------------------


@pytest.fixture
async def pair(cluster, tmp_path):
    """Two nodes in this process that are peers up to AMBER, words compared: `Acme` and `Birch`."""
    async with AsyncExitStack() as opened:
        nodes = []
        for org in ("Acme", "Birch"):
            database = await opened.enter_async_context(cluster.database())
            settings = settings_on(tmp_path / org, database, QUICK, org=org)
            nodes.append(await opened.enter_async_context(open_here(settings)))
        acme, birch = nodes
        invite = (await post(acme, "/v1/peers/invites", {"name": "birch"}))["invite"]
        words = (await post(birch, "/v1/peers/join", {"invite": invite, "name": "acme"}))["sas"]
        for node, name in ((acme, "birch"), (birch, "acme")):
            await post(node, f"/v1/peers/{name}/approve", {"sas": " ".join(words)})
        yield acme, birch


def producer(node):
    return dict(node.node.producer)


async def shared_report(acme, birch, tlp="amber", query=""):
    form = {"title": "Ours", "description": "What happened.", "tlp": tlp, "realization": "near-miss"}
    incident = "incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77"
    raw = build(form, producer=producer(acme), incident_id=incident, now=at(0))
    await file(acme, raw, query)

    async def there():
        async with birch.client.get(f"/v1/reports/{incident}") as answer:
            return answer.status == 200

    await until(there)
    return raw, incident


async def until_said(node, report_id, expected):
    async def there():
        return await said(node, report_id) == expected

    await until(there)


async def test_what_a_recipient_says_shows_at_the_origin_and_what_the_origin_says_at_the_recipient(pair):
    acme, birch = pair
    raw, incident = await shared_report(acme, birch)
    status, done = await say(birch, exposure(read(raw), "affected", producer=producer(birch), now=at(1)))
    assert (status, done["outcome"], done["ver"]) == (201, "stored", 1)
    assert [to["name"] for to in done["to"]] == ["acme"]
    assert done["entry"] is not None
    await until_said(acme, incident, [("birch", "exposure", "affected", False)])
    status, done = await say(acme, sighting(read(raw), producer=producer(acme), now=at(2), count=4))
    assert [to["name"] for to in done["to"]] == ["birch"]
    expected = [("Birch", "exposure", "affected", False), ("acme", "sighting", 4, False)]
    await until_said(birch, incident, expected)
    (shown, _) = (await get(acme, f"/v1/reports/{incident}"))["remarks"]
    assert shown["by"] == {"name": "birch", "node_id": birch.node.identity.node_id, "ours": False}
    assert (await peer_status(acme, "birch"))["outcomes"]["stored"] >= 1
    exposures = await acme.node.remarks.exposures(incident)
    assert {node: one.said for node, one in exposures.items()} == {birch.node.identity.node_id: "affected"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Ring +49 30 901820 and ask for the ward.", "personal-data-suspected"),
        ("The key was AKIAIOSFODNN7EXAMPLQ.", "secret-suspected"),
    ],
)
async def test_a_remark_that_seems_to_name_people_or_hold_a_secret_goes_to_nobody(pair, text, code):
    acme, birch = pair
    raw, incident = await shared_report(acme, birch)
    remark = exposure(read(raw), "affected", producer=producer(birch), now=at(1), text=text)
    for query in ("", "?dry_run=1"):
        status, problem = await say(birch, remark, query)
        assert (status, problem["code"]) == (422, "findings")
        (finding,) = problem["findings"]
        assert (finding["code"], finding["level"]) == (code, "error")
        assert text.split()[-1] not in str(problem)
    assert await said(birch, incident) == []
    assert await spoken(birch) == 0


async def test_the_later_remark_replaces_the_earlier_one_and_can_be_taken_back(pair):
    acme, birch = pair
    raw, incident = await shared_report(acme, birch)
    first = exposure(read(raw), "investigating", producer=producer(birch), now=at(1))
    second = exposure(
        read(raw), "not-affected", producer=producer(birch), now=at(2), before=check_remark(first).remark
    )
    gone = retract(second, now=at(3))
    anew = exposure(
        read(raw), "affected", producer=producer(birch), now=at(4), before=check_remark(gone).remark
    )
    for remark, word, revoked in (
        (first, "investigating", False),
        (second, "not-affected", False),
        (gone, "not-affected", True),
    ):
        assert (await say(birch, remark))[0] == 201
        await until_said(acme, incident, [("birch", "exposure", word, revoked)])
    assert await acme.node.remarks.exposures(incident) == {}
    assert (await say(birch, anew))[0] == 201
    await until_said(acme, incident, [("birch", "exposure", "affected", False)])
    for stale in (first, second, gone):
        status, problem = await say(birch, stale)
        assert (status, problem["code"]) == (409, "version-conflict")
    assert (await say(birch, anew))[1]["outcome"] == "unchanged"


async def test_who_was_told_is_told_what_replaces_it_whoever_else_is_named(pair):
    acme, birch = pair
    raw, incident = await shared_report(acme, birch)
    async with villain() as mallory:
        await mallory.join(acme)
        first = opinion(read(raw), "agree", producer=producer(acme), now=at(1))
        assert [to["name"] for to in (await say(acme, first))[1]["to"]] == ["birch"]
        later = opinion(read(raw), "disagree", producer=producer(acme), now=at(2))
        _, done = await say(acme, later, "?to=mallory")
        assert [to["name"] for to in done["to"]] == ["birch"]
        await until_said(birch, incident, [("acme", "opinion", "disagree", False)])


async def test_a_dry_run_says_who_would_get_it_and_does_nothing(pair):
    acme, birch = pair
    raw, incident = await shared_report(acme, birch)
    remark = opinion(read(raw), "agree", producer=producer(birch), now=at(1))
    status, done = await say(birch, remark, "?dry_run=1")
    assert (status, done["outcome"], done["entry"]) == (200, "dry-run", None)
    assert [to["name"] for to in done["to"]] == ["acme"]
    assert done["bytes"] == len(remark)
    assert await said(birch, incident) == []
    assert await spoken(birch) == 0


async def test_the_remark_and_its_entry_are_written_together_or_not_at_all(pair):
    acme, birch = pair
    raw, incident = await shared_report(acme, birch)
    remark = opinion(read(raw), "agree", producer=producer(birch), now=at(1))
    async with birch.node.pool.acquire() as conn:
        await conn.execute(
            "create function forbid() returns trigger language plpgsql as $$ begin raise exception 'forbidden' using"
            " errcode = '23514'; end $$; create trigger forbid before insert on remark execute function forbid()"
        )
        assert (await say(birch, remark))[0] >= 500
        assert await spoken(birch) == 0
        assert await said(birch, incident) == []
        await conn.execute("drop trigger forbid on remark")
    assert (await say(birch, remark))[1]["outcome"] == "stored"
    assert await spoken(birch) == 1
    await until_said(acme, incident, [("birch", "opinion", "agree", False)])


# At our own door ---------------------------------------------------------------------------------------------


@pytest.fixture
async def own(acme):
    """A report of acme's that went nowhere, and what makes remarks on it."""
    form = {"title": "Ours", "description": "What happened.", "tlp": "amber", "realization": "near-miss"}
    incident = "incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77"
    raw = build(form, producer=producer(acme), incident_id=incident, now=at(0))
    await file(acme, raw, "?share=0")
    return raw


async def test_a_remark_on_what_was_never_shared_stays_here(acme, mallory, own):
    status, done = await say(acme, opinion(read(own), "neutral", producer=producer(acme), now=at(1)))
    assert (status, done["to"], done["entry"]) == (201, [], None)
    assert [(w["name"], w["code"]) for w in done["withheld"]] == [("mallory", "not-recipient")]
    assert (await get(acme, "/v1/node"))["log"]["size"] == 0
    assert await said(acme, read(own).id) == [("Acme", "opinion", "neutral", False)]


async def test_nobody_files_a_remark_in_anothers_name_or_more_mildly_or_elsewhere(acme, mallory, own):
    report = read(own)
    good = exposure(report, "affected", producer=producer(acme), now=at(1))
    foreign = exposure(report, "affected", producer=mallory.producer, now=at(1))
    milder = good.replace(MARKING_IDS[Tlp.AMBER].encode(), MARKING_IDS[Tlp.GREEN].encode())
    milder = orjson.dumps(
        {
            **orjson.loads(milder),
            "objects": [o for o in orjson.loads(milder)["objects"] if o["type"] != "marking-definition"],
        }
    )
    elsewhere = "incident--00000000-0000-4000-8000-000000000000"
    unknown = exposure(report_like(report, elsewhere), "affected", producer=producer(acme), now=at(1))
    for raw, about, expected in (
        (foreign, report.id, (422, "foreign-creator")),
        (milder, report.id, (422, "marking-looser")),
        (good, elsewhere, (422, "id-mismatch")),
        (unknown, elsewhere, (404, "report-unknown")),
        (b"{}", report.id, (422, "findings")),
        (good.replace(b"Affected.", b"Not affected."), report.id, (422, "findings")),
        (b" " * (MAX_BYTES + 1), report.id, (413, "too-large")),
        (own, report.id, (422, "findings")),
    ):
        status, problem = await say(acme, raw, report=about)
        assert (status, problem["code"]) == expected
    assert await said(acme, report.id) == []


def report_like(report, incident):
    """The same report under another identifier."""
    form = {"title": "T", "description": "D", "tlp": report.tlp.value, "realization": "near-miss"}
    return read(build(form, producer={**PRODUCER}, incident_id=incident, now=at(0)))


PRODUCER = {
    "type": "identity", "spec_version": "2.1", "id": node_identity_id("n1x"), "created": "2025-01-01T00:00:00.000Z",
    "modified": "2025-01-01T00:00:00.000Z", "name": "X", "identity_class": "organization",
}  # fmt: skip


async def test_a_withdrawn_report_takes_no_new_remark_but_one_may_be_taken_back(acme, own):
    report = read(own)
    remark = opinion(report, "agree", producer=producer(acme), now=at(1))
    assert (await say(acme, remark))[0] == 201
    gone = withdraw(own, reason="No.", now=at(2))
    async with acme.client.post(f"/v1/reports/{report.id}/withdraw", data=gone, headers=STIX) as answer:
        assert answer.status == 201
    status, problem = await say(acme, exposure(report, "affected", producer=producer(acme), now=at(3)))
    assert (status, problem["code"]) == (409, "already-withdrawn")
    back = retract(remark, now=at(4))
    assert (await say(acme, back))[0] == 201
    again = orjson.loads(back)
    for obj in again["objects"]:
        if obj["type"] == "opinion":
            obj.update(modified="2026-11-02T00:00:00.000Z")
    status, problem = await say(acme, orjson.dumps(again))
    assert (status, problem["code"]) == (409, "already-retracted")


async def test_remarks_made_side_by_side_end_with_the_latest(acme, own):
    report = read(own)
    words = itertools.cycle(["affected", "not-affected", "investigating"])
    made = [exposure(report, next(words), producer=producer(acme), now=at(n)) for n in range(1, 13)]
    await asyncio.gather(*(say(acme, raw) for raw in reversed(made)))
    assert await said(acme, report.id) == [("Acme", "exposure", check_remark(made[-1]).remark.said, False)]


# A peer without manners ----------------------------------------------------------------------------------------


@pytest.fixture
async def told(acme, mallory):
    """An AMBER report of acme's that mallory was given."""
    form = {"title": "Ours", "description": "What happened.", "tlp": "amber", "realization": "near-miss"}
    incident = "incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77"
    raw = build(form, producer=producer(acme), incident_id=incident, now=at(0))
    document = await file(acme, raw, "?to=mallory")
    assert [to["name"] for to in document["to"]] == ["mallory"]
    SEALED_IN[incident] = bytes.fromhex(document["entry"]["leaf_hash"])
    return raw


SEALED_IN: dict[str, bytes] = {}  # report → leaf hash of the entry of acme's log that a peer was given it by


def send(node, peer, content, **header):
    """Log a remark of the peer's; the header says what the content says unless told otherwise."""
    if "id" not in header:
        header["id"] = check_remark(content).remark.incident_id
    ref = SEALED_IN.get(header["id"], bytes(32))
    facts = {"t": "remark", "ver": 1, "ref": ref, "tlp": Tlp.AMBER}
    peer.publish(node, content, **{**facts, **header})


def affected(told, peer, **more):
    return exposure(read(told), "affected", producer=peer.producer, now=at(1), **more)


def good(node, peer, told):
    send(node, peer, affected(told, peer))


def in_our_name(node, peer, told):
    send(node, peer, exposure(read(told), "affected", producer=producer(node), now=at(1)))


def in_a_strangers_name(node, peer, told):
    send(node, peer, exposure(read(told), "affected", producer=PRODUCER, now=at(1)))


def under_a_forged_identity(node, peer, told):
    """Its own identifier as the one who saw, another's as creator."""
    bundle = orjson.loads(affected(told, peer))
    note = next(o for o in bundle["objects"] if o["type"] == "note")
    note["created_by_ref"] = node.node.producer["id"]
    note["id"] = remark_id("exposure", read(told).id, note["created_by_ref"], note["created"])
    send(node, peer, orjson.dumps(bundle), id=read(told).id)


def more_mildly(node, peer, told):
    form = {"title": "T", "description": "D", "tlp": "clear", "realization": "near-miss"}
    mild = read(build(form, producer=PRODUCER, incident_id=read(told).id, now=at(0)))
    send(node, peer, exposure(mild, "affected", producer=peer.producer, now=at(1)), tlp=Tlp.CLEAR)


def header_milder(node, peer, told):
    send(node, peer, affected(told, peer), tlp=Tlp.GREEN)


def above_the_ceiling(node, peer, told):
    form = {"title": "T", "description": "D", "tlp": "red", "realization": "near-miss"}
    red = read(build(form, producer=PRODUCER, incident_id=read(told).id, now=at(0)))
    send(node, peer, exposure(red, "affected", producer=peer.producer, now=at(1)), tlp=Tlp.RED)


def of_an_unknown_report(node, peer, told):
    elsewhere = report_like(read(told), "incident--00000000-0000-4000-8000-000000000000")
    send(node, peer, exposure(elsewhere, "affected", producer=peer.producer, now=at(1)))


def of_a_version_never_held(node, peer, told):
    send(node, peer, affected(told, peer), ver=2)


def that_answers_no_entry_of_ours(node, peer, told):
    send(node, peer, affected(told, peer), ref=bytes(32))


def of_another_than_the_header_says(node, peer, told):
    send(node, peer, affected(told, peer), id="incident--00000000-0000-4000-8000-000000000000")


def label_against_words(node, peer, told):
    send(node, peer, affected(told, peer).replace(b"Affected.", b"Not affected."), id=read(told).id)


def oversized(node, peer, told):
    raw = affected(told, peer) + b" " * MAX_BYTES
    send(node, peer, raw, id=read(told).id)


def long_text(node, peer, told):
    raw = affected(told, peer, text="x").replace(b"\\n\\nx", b"\\n\\n" + b"x" * 3000)
    send(node, peer, raw, id=read(told).id)


def escapes(node, peer, told):
    raw = affected(told, peer, text="x").replace(b"\\n\\nx", b"\\n\\n\\u001b[2J")
    send(node, peer, raw, id=read(told).id)


def a_whole_report(node, peer, told):
    send(node, peer, told, id=read(told).id)


def noise(node, peer, told):
    send(node, peer, os.urandom(500), id=read(told).id)


def remark_as_a_report(node, peer, told):
    peer.publish(node, affected(told, peer), id=read(told).id, tlp=Tlp.AMBER)


STORED, REFUSED, QUARANTINED = "stored", "refused", "quarantined"
ENTRIES = {
    good: (STORED, None),
    in_our_name: (REFUSED, "foreign-creator"),
    in_a_strangers_name: (REFUSED, "foreign-creator"),
    under_a_forged_identity: (QUARANTINED, "content-remark-creator"),
    more_mildly: (REFUSED, "marking-looser"),
    header_milder: (REFUSED, "tlp-mismatch"),
    above_the_ceiling: (REFUSED, "above-ceiling"),
    of_an_unknown_report: (REFUSED, "unknown-report"),
    of_a_version_never_held: (REFUSED, "unknown-report"),
    that_answers_no_entry_of_ours: (REFUSED, "not-recipient"),
    of_another_than_the_header_says: (QUARANTINED, "inner-mismatch"),
    label_against_words: (QUARANTINED, "content-remark-words"),
    oversized: (QUARANTINED, "content-too-large"),
    long_text: (QUARANTINED, "content-too-long"),
    escapes: (QUARANTINED, "content-control-character"),
    a_whole_report: (QUARANTINED, "content-remark-objects"),
    noise: (QUARANTINED, "content-not-utf8"),
    remark_as_a_report: (QUARANTINED, "content-no-incident"),
}


async def test_every_remark_without_manners_gets_its_outcome_and_none_stops_the_stream(acme, mallory, told):
    for entry in ENTRIES:
        entry(acme, mallory, told)
    mallory.publish(acme, mallory.bundle("The one after"))
    await until(lambda: judged(acme, mallory))
    got = await taken(acme, mallory)
    expected = {entry.__name__: outcome for entry, outcome in ENTRIES.items()}
    assert dict(zip(expected, got, strict=False)) == expected
    assert got[-1] == (STORED, None)
    assert await said(acme, read(told).id) == [("mallory", "exposure", "affected", False)]
    status = await peer_status(acme)
    assert status["state"] == "active"
    assert status["outcomes"]["refused"] == {
        "foreign-creator": 2, "marking-looser": 1, "tlp-mismatch": 1, "above-ceiling": 1, "unknown-report": 2,
        "not-recipient": 1,
    }  # fmt: skip


async def test_who_was_never_given_a_report_cannot_remark_on_it(acme, mallory, told):
    async with villain("honest") as honest:
        await honest.join(acme)
        honest.publish(acme, honest.bundle("Honest words"), tlp=Tlp.GREEN)
        await taken(acme, honest)
        honest_id = (await get(acme, "/v1/reports?origin=honest"))["items"][0]["id"]
        send(acme, honest, affected(told, honest))
        assert (await taken(acme, honest))[1] == (REFUSED, "not-recipient")
        theirs = exposure(report_like_green(honest_id), "affected", producer=mallory.producer, now=at(1))
        send(acme, mallory, theirs, tlp=Tlp.GREEN)
        assert await taken(acme, mallory) == [(REFUSED, "not-recipient")]
        own = exposure(report_like_green(honest_id), "affected", producer=honest.producer, now=at(1))
        send(acme, honest, own, tlp=Tlp.GREEN)
        assert (await taken(acme, honest))[2] == (STORED, None)
    assert await said(acme, read(told).id) == []


def report_like_green(incident):
    form = {"title": "T", "description": "D", "tlp": "green", "realization": "near-miss"}
    return read(build(form, producer=PRODUCER, incident_id=incident, now=at(0)))


async def test_a_stricter_version_is_spoken_of_only_among_those_that_got_it(acme, mallory):
    """Honest got version 1; version 2 is above what goes to it, so nothing said of that one may come or go there."""
    async with villain("honest") as honest:
        await honest.join(acme, max_tlp_out="green")
        form = {"title": "Ours", "description": "D", "tlp": "green", "realization": "near-miss"}
        incident = "incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a78"
        raw = build(form, producer=producer(acme), incident_id=incident, now=at(0))
        first = bytes.fromhex((await file(acme, raw))["entry"]["leaf_hash"])
        early = opinion(read(raw), "agree", producer=producer(acme), now=at(1))
        assert sorted(to["name"] for to in (await say(acme, early))[1]["to"]) == ["honest", "mallory"]
        stricter = revise(raw, {"tlp": "amber"}, now=at(2))
        async with acme.client.put(f"/v1/reports/{incident}", data=stricter, headers=STIX) as answer:
            second = bytes.fromhex((await answer.json())["entry"]["leaf_hash"])

        mine = exposure(read(stricter), "affected", producer=producer(acme), now=at(3))
        _, done = await say(acme, mine)
        assert (done["ver"], [to["name"] for to in done["to"]]) == (2, ["mallory"])
        assert [(w["name"], w["code"]) for w in done["withheld"]] == [("honest", "not-recipient")]
        _, done = await say(acme, retract(early, now=at(4)))
        assert (done["ver"], done["tlp"]) == (1, "green")
        assert [to["name"] for to in done["to"]] == ["mallory"]  # honest was told to purge it

        theirs = exposure(read(stricter), "affected", producer=honest.producer, now=at(5))
        for ref in (first, second):
            send(acme, honest, theirs, ver=2, ref=ref)
        mild = exposure(read(raw), "affected", producer=honest.producer, now=at(6))
        send(acme, honest, mild, ver=1, ref=first, tlp=Tlp.GREEN)
        expected = [(REFUSED, "not-recipient"), (REFUSED, "not-recipient"), (STORED, None)]
        assert await taken(acme, honest) == expected


async def test_an_origin_may_remark_in_the_same_breath_as_it_reports(acme, mallory):
    raw = mallory.bundle("Theirs")
    mallory.publish(acme, raw)
    remark = sighting(read(raw), producer=mallory.producer, now=at(1), count=7)
    send(acme, mallory, remark, tlp=Tlp.GREEN)
    assert await taken(acme, mallory) == [(STORED, None), (STORED, None)]
    assert await said(acme, incident_id_of(raw)) == [("mallory", "sighting", 7, False)]


async def test_a_remark_may_be_marked_as_the_version_was_that_it_speaks_of(acme, mallory):
    """The report was made stricter while the remark was under way."""
    raw = mallory.bundle("Theirs")
    mallory.publish(acme, raw)
    mallory.publish(acme, revise(raw, {"tlp": "amber"}, now=datetime.now(UTC)), ver=2, tlp=Tlp.AMBER)
    remark = opinion(read(raw), "agree", producer=mallory.producer, now=at(1))
    send(acme, mallory, remark, tlp=Tlp.GREEN, ver=1)
    send(
        acme, mallory, opinion(read(raw), "agree", producer=mallory.producer, now=at(2)), tlp=Tlp.GREEN, ver=2
    )
    got = await taken(acme, mallory)
    assert got[2:] == [(STORED, None), (REFUSED, "marking-looser")]


async def test_times_at_both_ends_of_the_calendar_are_kept_and_shown(acme, mallory, told):
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    report = read(told)
    send(
        acme, mallory, sighting(report, producer=mallory.producer, now=last, first_seen=first, last_seen=last)
    )
    send(acme, mallory, exposure(report, "affected", producer=mallory.producer, now=first))
    assert await taken(acme, mallory) == [(STORED, None), (STORED, None)]
    oldest, newest = (await get(acme, f"/v1/reports/{report.id}"))["remarks"]
    assert (oldest["said"], newest["first_seen"]) == ("affected", "0001-01-01T00:00:00Z")


async def test_a_red_remark_goes_back_to_the_origin_and_to_nobody_else(pair):
    acme, birch = pair
    for node, name in ((acme, "birch"), (birch, "acme")):
        words = " ".join((await get(node, f"/v1/peers/{name}"))["sas"])
        yes = {"sas": words, "max_tlp_out": "red", "max_tlp_in": "red"}
        await post(node, f"/v1/peers/{name}/approve", yes)
    raw, incident = await shared_report(acme, birch, tlp="red", query="?to=birch")
    remark = exposure(read(raw), "affected", producer=producer(birch), now=at(1))
    assert [to["name"] for to in (await say(birch, remark))[1]["to"]] == ["acme"]
    await until_said(acme, incident, [("birch", "exposure", "affected", False)])


async def test_a_flood_leaves_one_remark_a_kind(acme, mallory, told):
    for n in range(300):
        word = ("affected", "not-affected", "investigating")[n % 3]
        send(acme, mallory, exposure(read(told), word, producer=mallory.producer, now=at(n)))
    await until(lambda: judged(acme, mallory), within_s=60)
    assert await said(acme, read(told).id) == [("mallory", "exposure", "investigating", False)]
    async with acme.node.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from remark") == 1
    assert (await get(acme, "/v1/alerts"))["items"] == []


async def test_remarks_end_alike_in_whatever_order_they_come(acme, mallory, told):
    report = read(told)
    first = exposure(report, "affected", producer=mallory.producer, now=at(1))
    second = exposure(
        report, "not-affected", producer=mallory.producer, now=at(2), before=check_remark(first).remark
    )
    gone = retract(second, now=at(3))
    for order in itertools.permutations((first, second, gone)):
        for raw in order:
            send(acme, mallory, raw)
        await until(lambda: judged(acme, mallory))
        assert await said(acme, report.id) == [("mallory", "exposure", "not-affected", True)]
        async with acme.node.pool.acquire() as conn:
            await conn.execute("delete from remark")
    got = [outcome for _, outcome, _ in await outcomes(acme, 18)]
    assert set(got) == {"stored", "superseded"}


async def test_what_an_older_program_did_not_know_is_taken_after_the_update(database, tmp_path):
    """As an older program leaves it: each remark kept whole, quarantined as of a later version of the protocol."""
    settings = settings_on(tmp_path / "acme", database, QUICK)
    async with villain() as mallory:
        async with open_here(settings) as acme:
            await mallory.join(acme)
            raw = mallory.bundle("Theirs")
            mallory.publish(acme, raw)
            for n in range(12):
                remark = sighting(read(raw), producer=mallory.producer, now=at(n), count=n + 1)
                send(acme, mallory, remark, tlp=Tlp.GREEN)
            await until(lambda: judged(acme, mallory), within_s=60)
            async with acme.node.pool.transaction() as conn:
                await conn.execute("delete from remark")
                await conn.execute(
                    "update remote_entry set outcome = 'quarantined', code = 'unsupported' where idx > 0"
                )
                for frame in mallory.entries[1:]:
                    await conn.execute(
                        "insert into quarantine (origin, gen, idx, code, leaf, wrap, ct)"
                        " select origin, gen, $1, 'unsupported', $2, $3, $4 from remote_log",
                        frame.idx,
                        frame.leaf,
                        frame.wrap,
                        frame.ct,
                    )
        async with open_here(settings) as acme:
            await until_said(acme, incident_id_of(raw), [("mallory", "sighting", 12, False)])
            assert (await peer_status(acme))["outcomes"]["quarantined"] == {}


async def test_a_peer_that_is_no_recipients_reader_is_served_no_wrap(acme, mallory, told):
    """The remark of acme goes to whom the report went to, and to nobody else."""
    async with villain("honest") as honest:
        await honest.join(acme)
        status, done = await say(acme, opinion(read(told), "agree", producer=producer(acme), now=at(1)))
        assert (status, [to["name"] for to in done["to"]]) == (201, ["mallory"])
        assert [(w["name"], w["code"]) for w in done["withheld"]] == [("honest", "not-recipient")]
        status, body, _ = await honest.ask(acme, honest.log_path(acme, "entries?from=0&max=10"))
        assert status == 200
        assert len(body) == 9  # the trailer alone
        status, problem = await say(
            acme, opinion(read(told), "neutral", producer=producer(acme), now=at(2)), "?to=nobody"
        )
        assert (status, problem["code"]) == (404, "peer-unknown")
        status, done = await say(
            acme, exposure(read(told), "affected", producer=producer(acme), now=at(3)), "?to=honest"
        )
        assert (status, done["to"]) == (201, [])  # nothing of this kind was said to mallory before
        assert sorted((w["name"], w["code"]) for w in done["withheld"]) == [
            ("honest", "not-recipient"), ("mallory", "not-named"),
        ]  # fmt: skip
