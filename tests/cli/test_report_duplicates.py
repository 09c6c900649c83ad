"""`tocsin report duplicates` and `duplicate-of`: suggestions with reasons, and what a person says goes where it may."""

import json

import pytest
from tests.cli.fake_node import problem
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
    assert json.loads(node.seen[-1].body) == {"verdict": "duplicate", "by": "Safety desk"}
    assert node.reports[amber].ver == 2
    tocsin("report", "duplicate-of", amber, green, "--by", "Safety desk")
    assert node.reports[amber].ver == 2


def test_the_id_of_a_stricter_report_is_told_to_nobody(tocsin, node, two):
    amber, green = two[1], two[0]
    done = tocsin("report", "duplicate-of", green, amber, "--by", "Safety desk")
    assert "more strictly" in done.stderr
    assert node.reports[green].ver == 1
    assert node.seen[-1].method == "PUT"


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
    assert not node.seen[-1].path.startswith(f"/v1/reports/{two[1]}/duplicates")


def test_a_report_is_no_duplicate_of_itself(tocsin, node, two):
    assert tocsin("report", "duplicate-of", two[0], two[0], "--by", "Safety desk").exit_code == 2
