"""Who is not a recipient learns that there is an entry, when, and its hash: nothing else, from any side."""

import asyncio

from tests.support.neighbour import form_text, until
from tests.support.recorder import database_values, file_contents, found

TITLE = "Nightingale protocol misdoses insulin"
SECRET = "The ward on the third floor was told by telephone at dawn that the pump had halved each dose."


def test_a_peer_that_is_not_a_recipient_learns_nothing_but_hashes(town):
    form = form_text(TITLE, description=SECRET, tlp="amber")
    filed = town.hospital.json("report", "submit", "--file", "-", "--to", "lab", stdin=form)
    town.lab.await_report(filed["id"])
    town.school.await_all_of(town.hospital)
    index = filed["entry"]["index"]

    held = asyncio.run(database_values(town.hospital.database_url))
    assert found([TITLE, SECRET], held), "the search finds what is there"

    theirs = asyncio.run(database_values(town.school.database_url))
    assert bytes.fromhex(filed["entry"]["leaf_hash"]) in theirs, "the school follows the log"
    for places in (theirs, file_contents(town.school.directory), [town.school.log().encode()]):
        assert found([TITLE, SECRET, filed["id"]], places) == set()
    assert town.school.get(f"/reports/{filed['id']}") is None
    assert town.school.alerts_about(filed["id"]) == []
    assert index not in {entry["index"] for entry in town.school.get("/peers/hospital")["recent"]}


def test_nothing_of_a_report_can_be_read_on_the_wire(town):
    form = form_text(TITLE + ", again", description=SECRET + " Twice.", tlp="green")
    filed = town.hospital.json("report", "submit", "--file", "-", stdin=form)
    for node in (town.lab, town.school):
        node.await_report(filed["id"])
    streams = [s for node in (town.hospital, town.lab, town.school) for s in node.wire.streams()]
    assert sum(map(len, streams)) > 10_000
    node_id = town.hospital.get("/node")["node_id"]
    assert found([node_id], streams), "the search finds what is there"
    words = [TITLE, SECRET, "Vigil Sepsis", "Kestrel AI Lab"]
    assert found(words, streams) == set()


def known(node):
    """What a node has said, and what it holds: receipts, which it writes by itself a moment later, say nothing new."""
    held = node.get("/reports?limit=500")["items"]
    return node.spoken(), [(report["id"], report["ver"], report["state"]) for report in held]


def test_everything_that_crossed_the_wire_may_be_said_again_and_nothing_happens(town):
    """A recorder on the way replays all requests to the node they were meant for, and to another one."""
    town.lab.await_all_of(town.hospital)
    before = [known(node) for node in (town.hospital, town.lab)]
    replayed = town.hospital.wire.replay()
    assert len(replayed) > 10
    allowed = {401, 429}
    for request, status in replayed:
        if request.startswith((b"GET /.well-known/", b"POST /f1/peer/join", b"POST /f1/wit/add-checkpoint")):
            continue  # open to anybody; what was answered is answered again, or is refused as old
        assert status in allowed, request[:100]
    assert [known(node) for node in (town.hospital, town.lab)] == before
    assert until(lambda: town.lab.get("/peers/hospital")["state"] == "active", "all is as it was")
