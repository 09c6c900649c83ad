"""How organisations meet, and how they part: invites, eight words, two approvals, removal, new keys and addresses."""

import itertools
import tomllib

import pytest
from tests.support.neighbour import introduce, start_all, until

_numbers = itertools.count(1)


@pytest.fixture
def pair(organisation):
    """Two nodes that have not met; they part in the end."""
    patience = {"TOCSIN_FEDERATION_LONG_POLL_S": "3"}
    nodes = [organisation(f"{name}{next(_numbers)}", **patience) for name in ("alder", "birch")]
    start_all(nodes)
    yield nodes
    for node in nodes:
        node.kill()


def invite(node, name, *more):
    return node.run("peer", "invite", name, *more).out.strip()


def test_two_organisations_meet_by_command_line(pair):
    alder, birch = pair
    text = invite(alder, birch.name)
    joined = birch.json("peer", "join", "--name", alder.name, stdin=text + "\n")
    assert joined["state"] == "pending"
    seen = alder.json("peer", "status", birch.name)
    words = " ".join(joined["sas"])
    assert seen["sas"] == joined["sas"]
    assert len(joined["sas"]) == 8

    wrong = words.replace(joined["sas"][0], joined["sas"][1], 1)
    ran = alder.run("peer", "approve", birch.name, "--words", wrong, code=4)
    assert "sas-mismatch" in ran.said

    alder.run("peer", "approve", birch.name, "--words", words.upper())
    filed = alder.file("Before the other side has said yes")
    assert [peer["name"] for peer in filed["to"]] == [birch.name]
    until(
        lambda: (alder.get(f"/peers/{birch.name}")["problem"] or {}).get("code") == "not-approved",
        "alder is told that birch has not approved it",
    )
    assert birch.get(f"/reports/{filed['id']}") is None
    birch.run("peer", "approve", alder.name, "--words", words)
    birch.await_report(filed["id"])
    assert alder.get(f"/peers/{birch.name}")["max_tlp_out"] == "amber"

    for node, other in ((alder, birch.name), (birch, alder.name)):
        (listed,) = node.json("peer", "list")["items"]
        assert (listed["name"], listed["state"]) == (other, "active")

    # Parting: nothing more goes either way, what was sent stays.
    birch.run("peer", "remove", alder.name, "--yes")
    assert birch.json("peer", "list")["items"] == []
    late = alder.file("After they parted")
    until(
        lambda: alder.get(f"/peers/{birch.name}")["problem"] is not None,
        "alder notices that birch is gone for it",
    )
    assert birch.get(f"/reports/{filed['id']}")["name"] == "Before the other side has said yes"
    assert birch.get(f"/reports/{late['id']}") is None
    said = birch.file("Birch alone")
    assert said["to"] == []

    # Meeting again takes a new invite, and brings what was sent in between.
    alder.run("peer", "remove", birch.name, "--yes")
    introduce(alder, birch)
    again = alder.file("They met again")
    birch.await_report(again["id"])
    birch.await_report(late["id"])


def test_an_invite_serves_one_node_once_and_not_for_ever(pair, organisation):
    alder, birch = pair
    text = invite(alder, birch.name)
    for spoilt in (
        text[:-8],
        text.replace(text[40], "A" if text[40] != "A" else "B", 1),
        "tocsin1.",
        "hello",
    ):
        ran = birch.run("peer", "join", "--name", alder.name, stdin=spoilt + "\n", code=1)
        assert "invite" in ran.said
    assert birch.json("peer", "list")["items"] == []

    wrapped = "\n  ".join(text[at : at + 60] for at in range(0, len(text), 60))
    birch.post("/peers/join", {"invite": wrapped, "name": alder.name})
    third = organisation("cedar")
    start_all([third])
    ran = third.run("peer", "join", "--name", alder.name, stdin=text + "\n", code=1)
    assert "refused" in ran.said
    assert [peer["name"] for peer in alder.json("peer", "list")["items"]] == [birch.name]

    short = invite(alder, "cedar", "--ttl", "1s")
    until(
        lambda: third.run("peer", "join", "--name", alder.name, stdin=short + "\n", code=None).code == 1,
        "the invite ends",
    )
    ran = third.run("peer", "join", "--name", alder.name, stdin=short + "\n", code=1)
    assert "invite-expired" in ran.said


def test_a_node_that_moves_and_changes_its_keys_is_followed(pair):
    alder, birch = pair
    introduce(alder, birch)
    alder.await_report(birch.file("Before the move")["id"])
    before = birch.get(f"/peers/{alder.name}")

    # The address that peers know is gone for good; a new wire, new request and encryption keys.
    assert alder.stop() == 0
    old = alder.wire
    old.cut()
    from tests.support.wire import Wire

    with Wire(alder.port) as new:
        alder.wire = new
        settings = alder.directory / "node.toml"
        settings.write_text(settings.read_text().replace(old.url, new.url))
        assert tomllib.loads(settings.read_text())["node"]["url"] == new.url
        renewed = alder.run(
            "key",
            "rotate",
            str(alder.directory),
            "--new-key",
            "http",
            "--new-key",
            "enc",
            "--json",
            here=False,
        ).json()
        assert (renewed["statement"], renewed["url"]) == (1, new.url)
        meanwhile = birch.file("While it moved")
        alder.restart()

        until(lambda: birch.get(f"/peers/{alder.name}")["url"] == new.url, "birch follows", log=birch.log)
        assert birch.get(f"/peers/{alder.name}")["node_id"] == before["node_id"]
        alder.await_report(meanwhile["id"])
        alder.await_report(birch.file("Sealed to the new key")["id"])
        birch.await_report(alder.file("From the new address")["id"])
        for node, peer in ((alder, birch), (birch, alder)):
            outcomes = node.settled(peer)["outcomes"]
            assert (outcomes["refused"], outcomes["quarantined"]) == ({}, {})
        ran = birch.run("log", "verify")
        assert ran.code == 0
        alder.run("log", "verify")
        alder.stop()


def test_the_command_that_init_names_next_starts_the_node(organisation, monkeypatch):
    """Also when the directory was given as a relative path."""
    node = organisation("dogwood")
    monkeypatch.chdir(node.home)
    node.initialise()
    node.process._arguments[-1] = "dogwood"
    node.restart()
    assert node.health()["status"] in {"ok", "degraded"}
    assert node.stop() == 0
