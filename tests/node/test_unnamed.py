"""A peer that is to be named to nobody else, and a circle of such: nothing that other readers get names it."""

import base64

from tests.node.test_circles import adopt, file_into, ids
from tests.node.test_emergencies import declare, emergency_at
from tests.node.test_passing_on import changed, policy, share
from tests.node.test_recalls import until_recall
from tests.node.test_relaying import Neighbourhood
from tests.node.test_remarks import say, until_said
from tests.node.test_share import file, now
from tests.support.circle import circle, filed, seen
from tests.support.manifests import Founders
from tests.support.villain import GRAVE, get, post, until

from tocsin_federation.frames import FrameReader
from tocsin_federation.messages import read_header
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.remarks import sighting

HIDDEN = "quillfeather"
NAMES = ("alder", HIDDEN, "cedar")
STAR = (("alder", HIDDEN), ("alder", "cedar"))  # both know alder alone
WHY = {"reason": "It was a test.", "by": "Ada"}


def spellings(node):
    """Every way in which bytes could name the node, as they look in a row's text."""
    node_id = node.node.identity.node_id.encode()
    ways = {node_id, node_id.hex().encode(), HIDDEN.encode(), HIDDEN.encode().hex().encode()}
    for shift in range(3):  # inside of base64, wherever it begins
        inner = base64.b64encode(b"\0" * shift + node_id)[4:-4]
        ways |= {inner, inner.hex().encode()}
    return {way.decode() for way in ways}


async def naming(node, hidden):
    """The tables of `node` in which something names the `hidden` node."""
    found = set()
    async with node.node.pool.acquire() as conn:
        tables = await conn.fetch("select tablename from pg_tables where schemaname = 'public'")
        assert len(tables) > 40
        for (table,) in tables:
            for (text,) in await conn.fetch(f'select t::text from "{table}" t'):
                found |= {table for way in spellings(hidden) if way in text}
    return found


async def headers(node):
    async with node.node.pool.acquire() as conn:
        return [read_header(row[0]) for row in await conn.fetch("select leaf from log_entry order by idx")]


async def said_to_both(alder, hidden, cedar, query=""):
    """All that an author sends to several: versions, a remark, an emergency, the withdrawal."""
    report = await file_into(alder, "It halves each dose", query, **GRAVE)
    for node in (hidden, cedar):
        await seen(node, report["id"])
    held = check_bundle((await alder.node.reporting.get(report["id"])).bundle).report
    status, done = await say(alder, sighting(held, producer=dict(alder.node.producer), now=now(), count=4))
    assert (status, len(done["to"])) == (201, 2)
    called = (await declare(alder, report["id"]))["emergency"]
    for node in (hidden, cedar):
        await emergency_at(node, called["id"], state="declared")
        await until_said(node, report["id"], [("alder", "sighting", 4, False)])
    await post(alder, f"/v1/emergencies/{called['id']}/stand-down", {"reason": "Over.", "by": "Ada"})
    await changed(alder, report["id"], "It halves every dose")
    for node in (hidden, cedar):
        await emergency_at(node, called["id"], state="stood-down")
        await seen(node, report["id"], ver=2)
    await changed(alder, report["id"])
    for node in (hidden, cedar):
        await seen(node, report["id"], state="withdrawn")
    return report["id"]


async def test_nothing_that_another_reader_gets_names_it(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=STAR) as nodes:
        alder, hidden, cedar = (nodes[name] for name in NAMES)
        await policy(alder, HIDDEN, unnamed=True)
        report_id = await said_to_both(alder, hidden, cedar)
        assert await naming(cedar, hidden) == set()
        assert await naming(hidden, cedar) == set(), "and it learns of nobody else"
        assert await naming(alder, hidden)
        await post(alder, f"/v1/reports/{report_id}/recall", WHY)
        await until_recall(alder, report_id, "purged", "purged")
        assert await naming(cedar, hidden) == set()
        told = [h for h in await headers(alder) if h.aud.unnamed]
        assert {h.t for h in told} == {"publish", "revoke", "remark", "call", "recall"}


async def test_without_that_every_reader_sees_who_else_reads(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=STAR) as nodes:
        alder, hidden, cedar = (nodes[name] for name in NAMES)
        await said_to_both(alder, hidden, cedar)
        assert "remote_entry" in await naming(cedar, hidden)
        assert not any(h.aud.unnamed for h in await headers(alder))


async def test_what_named_nobody_is_neither_passed_on_nor_handed_on_and_passing_on_names_it_to_nobody(
    cluster, tmp_path
):
    """Fir has from elm what names nobody; and what fir may pass on does not go to who is to be named to nobody."""
    async with circle(cluster, tmp_path, ("elm", "fir", "oak")) as nodes:
        elm, fir, oak = nodes.values()
        await policy(elm, "oak", unnamed=True)
        both = await filed(elm, "To both", tlp=Tlp.GREEN)
        await seen(fir, both["id"])
        await seen(oak, both["id"])
        held = await fir.node.giving.entries(
            fir.node.peering.named("oak"), fir.node.peering.named("elm"), 0, 512
        )
        assert not [frame for frame in FrameReader().feed(held) if b"publish" in frame.leaf]
        tried = await share(fir, both["id"], "oak", status=200, dry_run=1)
        assert [w["code"] for w in tried["withheld"] if w["name"] == "oak"] == ["onward-forbidden"]
        alone = await file(elm, elm.bundle("To fir", tlp=Tlp.GREEN), to="fir")
        await seen(fir, alone["id"])
        await share(fir, alone["id"], "oak")
        await seen(oak, alone["id"])
        await policy(fir, "oak", unnamed=True)
        other = await file(elm, elm.bundle("To fir again", tlp=Tlp.GREEN), to="fir")
        await seen(fir, other["id"])
        tried = await share(fir, other["id"], "oak", status=200)
        assert [w["code"] for w in tried["withheld"] if w["name"] == "oak"] == ["unnamed"]
        await changed(elm, alone["id"])  # who had it learns of its withdrawal all the same
        await seen(oak, alone["id"], state="withdrawn")


async def test_it_is_asked_for_no_cosignature_since_that_stands_on_a_note_that_all_peers_read(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=STAR) as nodes:
        alder, _, cedar = (nodes[name] for name in NAMES)
        await policy(alder, HIDDEN, unnamed=True)
        await filed(alder, "A longer log")

        async def cedar_has_cosigned():
            await alder.node.witnessing.push()
            told = alder.node.witnessing._told.get(cedar.node.identity.node_id, (0,))
            return told[0] == alder.node.ledger.head.size

        await until(cedar_has_cosigned)
        peer = alder.node.peering.named(HIDDEN)
        assert alder.node.witnessing._told.get(peer.node_id, (0,))[0] < alder.node.ledger.head.size


async def test_a_cosignature_that_it_gave_before_is_shown_to_nobody_any_more(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=STAR) as nodes:
        alder = nodes["alder"]
        await filed(alder, "A longer log")

        async def cosigned():
            await alder.node.witnessing.push()
            return (await alder.node.heads.note(alder.node.heads.own())).count(b"\n\xe2\x80\x94 ") == 3

        await until(cosigned)
        await policy(alder, HIDDEN, unnamed=True)
        shown = await alder.node.heads.note(alder.node.heads.own())
        assert shown.count(b"\n\xe2\x80\x94 ") == 2


# Circles that hide their members ---------------------------------------------------------------------------


def veiled(founders, nodes, *names):
    return founders.next(ids(nodes, *names), v=2, roster="hidden")


async def test_members_of_a_hidden_circle_get_what_is_shared_into_it_and_learn_of_nobody(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=STAR) as nodes:
        alder, hidden, cedar = (nodes[name] for name in NAMES)
        founders = Founders()
        assert (await adopt(alder, veiled(founders, nodes, *NAMES)))["hidden"]
        assert await alder.node.circles.tell() == 0, "its manifest is sent to nobody"
        report_id = await said_to_both(alder, hidden, cedar, "circle=Vigil")
        assert await naming(cedar, hidden) == await naming(hidden, cedar) == set()
        assert [(await get(node, "/v1/circles"))["items"] for node in (hidden, cedar)] == [[], []]
        assert {h.t for h in await headers(alder) if h.t != "receipt"} == {
            "publish",
            "revoke",
            "remark",
            "call",
        }
        assert all(h.aud.unnamed for h in await headers(alder) if h.t != "receipt")
        assert [one["name"] for one in (await get(alder, f"/v1/reports/{report_id}"))["circles"]] == ["Vigil"]
        await post(alder, f"/v1/reports/{report_id}/recall", WHY)
        await until_recall(alder, report_id, "purged", "purged")
        assert await naming(cedar, hidden) == set()


async def test_who_was_taken_out_of_a_hidden_circle_hears_of_withdrawals_alone_and_stays_hidden(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=STAR) as nodes:
        alder, hidden, cedar = (nodes[name] for name in NAMES)
        founders = Founders()
        await adopt(alder, veiled(founders, nodes, *NAMES))
        report = await file_into(alder, "To both", "circle=Vigil")
        for node in (hidden, cedar):
            await seen(node, report["id"])
        await adopt(alder, veiled(founders, nodes, "alder", "cedar"))
        said = await changed(alder, report["id"], "To those who stayed")
        assert [(w["name"], w["code"]) for w in said["withheld"]] == [(HIDDEN, "not-member")]
        await seen(cedar, report["id"], ver=2)
        await changed(alder, report["id"])
        for node in (hidden, cedar):
            await seen(node, report["id"], state="withdrawn")
        assert await naming(cedar, hidden) == await naming(hidden, cedar) == set()


async def test_a_hidden_circle_hides_its_members_after_a_restart_and_after_it_was_left(cluster, tmp_path):
    async with Neighbourhood(cluster, tmp_path) as town:
        alder, hidden, cedar = await town.met("alder", HIDDEN, "cedar")
        await adopt(alder, veiled(Founders(), town.nodes, *NAMES))
        await post(alder, "/v1/circles/Vigil/leave", {})
        await town.close("alder")
        (alder,) = await town.open("alder")
        report = await filed(alder, "By name, to both")
        for node in (hidden, cedar):
            await seen(node, report["id"])
        assert [h.aud.unnamed for h in await headers(alder) if h.t == "publish"] == [True]
        assert (await get(alder, f"/v1/peers/{HIDDEN}"))["policy"]["unnamed"]
