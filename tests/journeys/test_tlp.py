"""TLP 2.0 between organisations: who gets what, who says why not, and what the one at the door refuses."""

from pathlib import Path

import pytest
from tests.support.neighbour import form_text, introduce, start_all, until

from tocsin_schema.marking import MARKING_IDS, Tlp


def recipients(said):
    return {peer["name"] for peer in said["to"]}


def reasons(said):
    return {peer["name"]: peer["code"] for peer in said["withheld"]}


@pytest.mark.parametrize(
    ("tlp", "to", "withheld"),
    [
        ("clear", {"lab", "school"}, {}),
        ("green", {"lab", "school"}, {}),
        ("amber", {"lab"}, {"school": "above-ceiling"}),
        ("amber+strict", set(), {"lab": "above-ceiling", "school": "above-ceiling"}),
    ],
)
def test_a_marking_goes_as_far_as_the_peers_ceilings(town, tlp, to, withheld):
    """The lab's words were compared (AMBER), the school's were not (GREEN)."""
    said = town.hospital.json("report", "submit", "--file", "-", stdin=form_text(f"Marked {tlp}", tlp=tlp))
    assert (recipients(said), reasons(said)) == (to, withheld)
    for node in (town.lab, town.school):
        node.await_all_of(town.hospital)
        held = node.get(f"/reports/{said['id']}")
        assert (held is not None) == (node.name in to)


def test_red_goes_to_those_who_are_named_for_it_and_only_up_to_their_ceiling(town):
    form = form_text("For your eyes", tlp="red")
    ran = town.hospital.run("report", "submit", "--file", "-", stdin=form, code=None)
    assert ran.code == 1
    assert "audience-empty" in ran.said
    said = town.hospital.json("report", "submit", "--file", "-", "--to", "lab", stdin=form)
    assert recipients(said) == set()
    assert reasons(said) == {"lab": "above-ceiling", "school": "not-named"}


def test_a_dry_run_tells_the_same_and_sends_nothing(town):
    before = town.hospital.spoken()
    form = form_text("Only asking", tlp="amber")
    said = town.hospital.json("report", "submit", "--dry-run", "--file", "-", stdin=form)
    assert said["outcome"] == "dry-run"
    assert (recipients(said), reasons(said)) == ({"lab"}, {"school": "above-ceiling"})
    assert town.hospital.get(f"/reports/{said['id']}") is None
    assert town.hospital.spoken() == before


def test_an_unknown_marking_goes_to_nobody_and_is_not_even_filed(town):
    before = town.hospital.spoken()
    other = "marking-definition--00000000-0000-4000-8000-000000000000"
    raw = town.hospital.bundle("Marked somehow").replace(MARKING_IDS[Tlp.GREEN].encode(), other.encode())
    ran = town.hospital.run("report", "submit", "--file", "-", stdin=raw, code=6)
    assert "tlp-unknown" in ran.said
    answer = town.hospital.call("POST", "/v1/reports", raw)
    assert answer.status == 422
    assert "tlp-unknown" in {finding["code"] for finding in answer.json()["findings"]}
    assert town.hospital.spoken() == before


def test_a_raised_marking_is_told_to_those_who_may_still_have_it(town):
    filed = town.hospital.file("Milder than it should be", tlp="green")
    said = town.hospital.json("report", "update", filed["id"], "--set", "tlp=amber")
    assert (recipients(said), reasons(said)) == ({"lab"}, {"school": "above-ceiling"})
    assert town.lab.await_report(filed["id"], ver=2)["tlp"] == "amber"
    path = f"/v1/reports/{filed['id']}"  # who may no longer have it is told to purge it, and does
    until(lambda: town.school.call("GET", path).status == 404, "purged", log=town.school.log)


def test_no_share_keeps_a_report_at_home(town):
    said = town.hospital.json(
        "report", "submit", "--no-share", "--file", "-", stdin=form_text("Ours alone", tlp="clear")
    )
    assert (recipients(said), said["entry"]) == (set(), None)


def test_the_receiver_has_a_ceiling_of_its_own(organisation):
    """The sender would send up to RED; the receiver takes GREEN at most from it. Neither trusts the other's word."""
    sender, receiver = organisation("sender"), organisation("receiver")
    start_all([sender, receiver])
    introduce(sender, receiver, inviter_limits={"max_tlp_out": "red"}, joiner_limits={"max_tlp_in": "green"})
    green = sender.file("Green enough", tlp="green")
    refused = [
        sender.file(f"Too much {tlp}", tlp=tlp, query="?to=receiver")
        for tlp in ("amber", "amber+strict", "red")
    ]
    status = receiver.settled(sender)
    assert status["outcomes"]["refused"] == {"above-ceiling": 3}
    assert status["outcomes"]["stored"] == 1
    assert receiver.get(f"/reports/{green['id']}") is not None
    assert [receiver.get(f"/reports/{report['id']}") for report in refused] == [None] * 3
    recent = receiver.json("peer", "status", "sender")["recent"]
    assert [entry["code"] for entry in recent].count("above-ceiling") == 3


def test_findings_keep_the_text(town):
    """All findings at once, exit 6, and the text is where the command line says."""
    form = form_text("Half a report").replace('tlp = "green"', "").replace("harm-event", "harm-evnt")
    ran = town.hospital.run("report", "submit", "--file", "-", "--json", stdin=form, code=6)
    told = ran.problem()
    assert {"tlp", "realization"} <= {
        finding["path"].strip("/").split(".")[0] for finding in told["findings"]
    }
    assert "Half a report" in Path(told["kept"]).read_text("utf-8")
