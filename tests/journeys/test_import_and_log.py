"""Importing is safe to repeat; the log proves itself, and shows when a hand was at it."""

import asyncio
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import asyncpg
import pytest
from tests.support.neighbour import MILD, introduce, start_all, until
from tests.support.reports import PUBLIC

from tocsin_node.continuity import MEMORY
from tocsin_schema.stix import build

COUNT = 40


@pytest.fixture
def library(tmp_path, request):
    """Forty reports as somebody else's file, one bundle a line; among them one that is not whole and one double."""
    when = datetime(2026, 3, 1, tzinfo=UTC)
    lines = [
        build(
            {"title": f"Known case {n}", "description": "It was in the papers.", "tlp": "clear", **MILD},
            producer=PUBLIC,
            incident_id=f"incident--{uuid.uuid5(uuid.NAMESPACE_URL, f'{request.node.name} {n}')}",
            now=when,
        )
        for n in range(COUNT)
    ]
    broken = lines[0][:-9]
    file = tmp_path / "cases.jsonl"
    file.write_bytes(b"\n".join([*lines, lines[3], broken]) + b"\n")
    return file


@pytest.fixture(scope="module")
def pair(organisation):
    nodes = [organisation("archive"), organisation("reader")]
    start_all(nodes)
    introduce(*nodes)
    return nodes


def counts(account):
    return {name: account[name] for name in ("imported", "unchanged", "refused")}


def test_an_import_that_is_repeated_changes_nothing(pair, library):
    archive, reader = pair
    first = archive.json("import", "stix", str(library), "--share")
    assert counts(first) == {"imported": COUNT, "unchanged": 1, "refused": 1}
    reader.await_all_of(archive)
    held = reader.get("/reports?limit=500&text=Known")["items"]
    assert len(held) == COUNT
    log = archive.get("/node")["log"]

    again = archive.json("import", "stix", str(library), "--share")
    assert counts(again) == {"imported": 0, "unchanged": COUNT + 1, "refused": 1}
    assert archive.get("/node")["log"] == log

    # The reader had the same file at home: same ids, same bytes, no second copy, and nobody's ownership changes.
    theirs = reader.json("import", "stix", str(library), "--share")
    assert counts(theirs) == {"imported": 0, "unchanged": COUNT + 1, "refused": 1}
    assert reader.get("/reports?limit=500&text=Known")["items"] == held
    assert reader.settled(archive)["outcomes"]["stored"] == archive.get("/node")["log"]["size"]
    assert archive.settled(reader)["outcomes"]["quarantined"] == {}


def test_the_same_incidents_imported_on_both_sides_at_once_are_there_once(pair, library):
    archive, reader = pair
    with ThreadPoolExecutor() as pool:
        accounts = list(pool.map(lambda node: node.json("import", "stix", str(library), "--share"), pair))
    for account in accounts:
        assert account["imported"] + account["unchanged"] == COUNT + 1
        assert account["refused"] == 1
    for node, peer in ((archive, reader), (reader, archive)):
        outcomes = node.settled(peer)["outcomes"]
        assert (outcomes["refused"], outcomes["quarantined"]) == ({}, {})
        held = [report["id"] for report in node.get("/reports?limit=500")["items"]]
        assert len(held) == len(set(held))


def test_the_log_verifies_until_somebody_alters_it_by_hand(pair, tmp_path):
    archive, reader = pair
    for n in range(5):
        archive.file(f"Report {n}")
    reader.await_all_of(archive)
    before = archive.get("/node")["log"]["size"]
    verified = archive.json("log", "verify")
    size = archive.get("/node")["log"]["size"]
    assert verified["verified"]
    assert before <= verified["size"] <= size

    async def alter(statement):
        conn = await asyncpg.connect(archive.database_url)
        try:
            await conn.execute(statement)
        finally:
            await conn.close()

    byte = "set_byte(leaf, 20, 255 - get_byte(leaf, 20))"
    asyncio.run(alter(f"update log_entry set leaf = {byte} where idx = 2"))
    ran = archive.run("log", "verify", "--json", code=4)
    assert ran.problem()["code"] == "log-rewritten"
    asyncio.run(alter(f"update log_entry set leaf = {byte} where idx = 2"))
    archive.run("log", "verify")

    # The past rewritten whole, and the notes of it removed, by whoever holds the node: the second look finds it.
    archive.file("One more")
    reader.await_all_of(archive)
    asyncio.run(
        alter(
            f"delete from log_checkpoint where size > {size - 1}; delete from log_entry where idx >= {size - 1}; "
            f"delete from log_wrap where idx >= {size - 1}"
        )
    )
    node_id = archive.get("/node")["node_id"]
    archive.stop()
    reader.stop()
    for notes in (archive.directory / "log-size", MEMORY / f"tocsin-{os.getuid()}-{node_id}"):
        notes.unlink()
    archive.restart()
    ran = archive.run("log", "verify", "--json", code=4)
    assert ran.problem()["code"] == "log-rolled-back"

    # When the archive is made to go on from the rewritten past, behind the back of its peer, its own signatures prove
    # the fork, to strangers too.
    archive.run("node", "confirm", "--by", "Mallory")
    for n in range(3):
        archive.file(f"Another past, {n}")
    reader.restart()

    def stopped():
        status = reader.get("/peers/archive")
        return status if status["state"] == "suspect" else None

    assert until(stopped, "the reader stops the archive", log=reader.log)["problem"]["code"] == "log-fork"
    file = tmp_path / "evidence.json"
    reader.run("peer", "evidence", "archive", "--out", str(file))
    ran = reader.run("proof", "verify", str(file), "--node-id", node_id)
    assert "two pasts" in ran.out
