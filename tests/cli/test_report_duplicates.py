"""`tocsin report duplicates` and `duplicate-of`: suggestions with reasons, and what a person says goes where it may."""

import json

import pytest
from tests.cli.fake_node.wire import problem
from tests.cli.test_report_submit import FORM

OTHER = "incident--00000000-0000-4000-8000-000000000001"


def alike(**more):
    return {
        "id": OTHER, "name": "The same, told by others", "likeness": 72, "likely": True, "decision": None,
        "reasons": ["similar words: dosing", "on the same day"], "origin": {"name": "lab", "ours": False}, **more,
    }  # fmt: skip


@pytest.fixture
def two(tocsin, node):
    """Two reports of our own: (the newer, the older)."""
    for at in ("amber", "green"):
        assert tocsin("report", "submit", "--file", "-", input=FORM.replace("amber", at)).exit_code == 0
    older, newer = node.reports
    return newer, older


def test_a_filing_says_what_it_looks_like_and_a_dry_run_too(tocsin, node):
    node.alike = [alike(), alike(likely=False, name="Hardly")]
    filed = tocsin("report", "submit", "--file", "-", input=FORM)
    assert "It looks like incident--00000000" in filed.stderr
    assert "similar words: dosing; on the same day" in filed.stderr
    assert "duplicate-of" in filed.stderr
    assert "Hardly" not in filed.stderr
    tried = tocsin("report", "submit", "--file", "-", "--dry-run", input=FORM)
    assert "It looks like" in tried.stderr
    assert len(node.reports) == 1


def test_a_filing_does_not_depend_on_the_suggestions(tocsin, node):
    async def broken(_request, _handler):
        return problem(500, "internal-error", "The node failed.")

    for verb in ("GET", "POST"):
        node.faults[verb, "/v1/duplicates"] = [broken]
    node.alike = [{"odd": 1}]
    assert tocsin("report", "submit", "--file", "-", input=FORM).exit_code == 0


def test_suggestions_are_shown_with_their_reasons(tocsin, node, two):
    node.alike = [alike(), alike(decision={"verdict": "distinct", "by": "Safety desk"})]
    shown = tocsin("report", "duplicates", two[0])
    assert "72 of 100, likely the same event" in shown.stdout
    assert "not the same event, says Safety desk" in shown.stdout
    assert json.loads(tocsin("report", "duplicates", two[0], "--json").stdout)["items"] == node.alike
    node.alike = []
    assert tocsin("report", "duplicates", two[0]).stderr == "No report here is like it.\n"


def test_an_own_report_says_in_a_new_version_what_it_duplicates(tocsin, node, two):
    amber, green = two[1], two[0]
    assert tocsin("report", "duplicate-of", amber, green, "--by", "Safety desk").exit_code == 0
    bundle = json.loads(node.reports[amber].raw)
    (link,) = [o for o in bundle["objects"] if o.get("relationship_type") == "duplicate-of"]
    assert (link["source_ref"], link["target_ref"]) == (amber, green)
    assert b"Safety desk" not in node.reports[amber].raw
    sent = [
        json.loads(each.body)
        for each in node.seen
        if each.path.endswith(f"/duplicates/{green}") and each.body
    ]
    assert sent == [{"verdict": "duplicate", "by": "Safety desk"}]
    assert node.reports[amber].ver == 2
    tocsin("report", "duplicate-of", amber, green, "--by", "Safety desk")
    assert node.reports[amber].ver == 2


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("marked-stricter", "more strictly"),
        ("not-ours", "not your report"),
        ("nobody-has-it", "nobody else has"),
        ("withdrawn", "is withdrawn"),
        ("never-sent", "lab, north ward never got the other report"),
    ],
)
def test_what_must_not_be_told_is_kept_here_and_said_and_changes_no_report(tocsin, node, two, why, said):
    node.telling = {
        "may": False,
        "why": why,
        "never_sent": ["lab", "north ward"] if why == "never-sent" else [],
    }
    done = tocsin("report", "duplicate-of", *two, "--by", "Safety desk")
    assert done.exit_code == 0
    assert said in done.stderr
    assert ("share" in done.stderr) == (why == "never-sent")
    assert "'north ward'" in done.stderr or why != "never-sent"
    assert "Kept at your node" in done.stderr
    assert {kept.ver for kept in node.reports.values()} == {1}
    assert node.decided == [two]


def test_what_was_said_can_be_taken_back_from_either_side_and_everybody_gets_the_next_version(
    tocsin, node, two
):
    amber, green = two[1], two[0]
    assert tocsin("report", "duplicate-of", amber, green, "--by", "Safety desk").exit_code == 0
    tried = tocsin("report", "duplicate-of", green, amber, "--undo", "--dry-run")
    assert (tried.exit_code, node.reports[amber].ver, len(node.decided)) == (0, 2, 1)
    done = tocsin("report", "duplicate-of", green, amber, "--undo")
    assert done.exit_code == 0, done.stderr
    assert (node.reports[amber].ver, node.reports[green].ver, node.decided) == (3, 1, [])
    assert b"duplicate-of" not in node.reports[amber].raw
    assert green.encode() not in node.reports[amber].raw
    again = tocsin("report", "duplicate-of", green, amber, "--undo", "--json")
    assert json.loads(again.stderr)["code"] == "decision-unknown"


def test_a_decision_needs_a_name_and_an_undo_takes_nothing_else(tocsin, node, two):
    for wrong in ([], ["--undo", "--not"], ["--undo", "--reason", "x"]):
        assert tocsin("report", "duplicate-of", *two, *wrong).exit_code == 2
    assert node.decided == []


def test_that_two_are_not_the_same_is_kept_and_changes_no_report(tocsin, node, two):
    done = tocsin(
        "report", "duplicate-of", *two, "--by", "Safety desk", "--not", "--reason", "Other hospital"
    )
    assert done.exit_code == 0
    assert json.loads(node.seen[-1].body)["verdict"] == "distinct"
    assert {kept.ver for kept in node.reports.values()} == {1}


def test_a_dry_run_sends_nothing(tocsin, node, two):
    tocsin("report", "duplicate-of", two[1], two[0], "--by", "Safety desk", "--dry-run")
    assert {kept.ver for kept in node.reports.values()} == {1}
    assert node.decided == []


def test_a_report_is_no_duplicate_of_itself(tocsin, node, two):
    assert tocsin("report", "duplicate-of", two[0], two[0], "--by", "Safety desk").exit_code == 2
