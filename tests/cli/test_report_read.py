import json

import pytest
from tests.cli.test_report_submit import FORM, HOSTILE

from tocsin_schema.check import check_bundle

TITLE = "Chatbot gave lethal dosing advice"


@pytest.fixture
def filed(tocsin, node):
    assert tocsin("report", "submit", "--file", "-", input=FORM).exit_code == 0
    return next(iter(node.reports))


def stored(node, report_id):
    report = check_bundle(node.reports[report_id].raw).report
    assert report is not None
    return report


# list, show -----------------------------------------------------------------------------------------


def test_the_list_has_a_line_a_report(tocsin, node, filed):
    lines = tocsin("report", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "GRADE", "TLP", "STATE", "TRUST", "FROM", "MODIFIED", "TITLE"]
    assert lines[1].startswith(f"{filed}  II     amber  active  witnessed  us")
    assert lines[1].endswith(TITLE)


def test_filters_are_sent_and_a_longer_list_goes_on(tocsin, node):
    for at in range(3):
        tocsin("report", "submit", "--file", "-", input=FORM.replace("lethal", f"lethal {at}"))
    result = tocsin(
        "report",
        "list",
        "--limit",
        "2",
        "--grade",
        "II",
        "--tlp",
        "amber",
        "--origin",
        "us",
        "--text",
        "dosing",
    )
    assert node.seen[-1].query == [
        ("limit", "2"), ("grade", "II"), ("tlp", "amber"), ("origin", "us"), ("text", "dosing"),
    ]  # fmt: skip
    again = "Next: tocsin report list --limit 2 --grade II --tlp amber --origin us --text dosing --cursor 2\n"
    assert again in result.stderr
    assert "lethal 0" in tocsin("report", "list", "--cursor", "2").stdout


def test_an_empty_list_is_said_so(tocsin, node):
    result = tocsin("report", "list")
    assert (result.stdout, result.stderr) == ("", "No reports.\n")
    assert json.loads(tocsin("report", "list", "--json").stdout) == {"items": [], "next": None}


def test_one_report_in_full(tocsin, node, filed):
    text = tocsin("report", "show", filed).stdout
    for words in (
        TITLE,
        "grade II",
        "because",
        "harm-event",
        "@ann:example.org via reaction",
        "ten times the dose",
    ):
        assert words in text
    assert tocsin("report", "show", filed.removeprefix("incident--")).stdout == text
    found = json.loads(tocsin("report", "show", filed, "--json").stdout)
    assert found["bundle"]["type"] == "bundle"


FULL = """\
title = "T"
description = "D"
tlp = "green"
realization = "harm-event"
flags = ["ongoing"]
countries = ["AT", "DE"]
developers = ["Acme"]
deployers = ["Hospital North"]
affected = ["patients", { name = "Ward 3", class = "organization" }]
occurred_start = 2026-11-02
detected_at = 2026-11-03T10:00:00Z

[quantities]
deaths = 1

[[harms]]
harm_type = "physical-health"
level = 4
materialised = true

[[systems]]
name = "TriageBot"
vendor = "Acme"
version = "2.1"

[[sources]]
name = "The Daily"
url = "https://news.example/1"

[source_record]
source = "AIID"
id = "7"
url = "https://incidents.example/7"
license = "CC-BY-SA-4.0"
"""


def test_everything_that_a_report_says_is_shown(tocsin, node):
    assert tocsin("report", "submit", "--file", "-", input=FULL).exit_code == 0
    result = tocsin("report", "show", next(iter(node.reports)))
    lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
    assert lines >= {
        "AI system: Acme TriageBot 2.1", "Developed by: Acme", "Deployed by: Hospital North",
        "Affected: patients; Ward 3 (organization)", "Occurred: 2026-11-02 (known to the day)",
        "Noticed: 2026-11-03 11:00:00 +01:00", "Flags: ongoing", "Countries: AT, DE", "Quantities: deaths: 1",
        "Source: The Daily: https://news.example/1", "Taken from: AIID 7: https://incidents.example/7",
        "Licence: CC-BY-SA-4.0", "Harm: physical-health, level 4, materialised yes",
    }, result.stdout  # fmt: skip


@pytest.mark.parametrize("bundle", [None, [], {"type": "bundle", "objects": [{}]}, {"objects": 1}])
def test_a_bundle_that_cannot_be_taken_apart_hides_nothing_else(tocsin, node, filed, bundle):
    async def broken(request, handler):
        response = await handler(request)
        response.body = json.dumps(json.loads(response.body) | {"bundle": bundle}).encode()
        return response

    node.fault("GET", f"/v1/reports/{filed}", broken)
    result = tocsin("report", "show", filed)
    assert result.exit_code == 0
    assert TITLE in result.stdout
    assert "--stix" in result.stderr


def test_the_signed_bytes_come_out_as_they_are(tocsin, node, filed):
    assert tocsin("report", "show", filed, "--stix").stdout_bytes == node.reports[filed].raw


def test_an_unknown_report_is_refused_with_the_next_step(tocsin, node):
    result = tocsin("report", "show", "11111111-2222-4333-8444-555555555555")
    assert result.exit_code == 1
    assert "[report-unknown]" in result.stderr
    assert "tocsin report list" in result.stderr


def test_foreign_text_in_a_report_cannot_reach_the_terminal(tocsin, node):
    bad = "Evil \\u001b]0;x\\u0007\\u009b2J \\u202e txt"
    form = json.dumps({"title": "T", "description": "D", "tlp": "green", "realization": "no-harm"})
    tocsin("report", "submit", "--file", "-", input=form)
    report_id = next(iter(node.reports))
    raw = node.reports[report_id].raw
    node.reports[report_id].raw = raw.replace(b'"D"', b'"' + bad.encode() + b'"')

    async def evil(request, handler):
        response = await handler(request)
        response.body = response.body.replace(b'"T"', b'"' + bad.encode() + b'"').replace(
            b'"D"', b'"' + bad.encode() + b'"'
        )
        return response

    for args in (["list"], ["show", report_id]):
        node.reports[report_id].raw = raw
        node.fault("GET", "/v1/reports" if args == ["list"] else f"/v1/reports/{report_id}", evil)
        out = tocsin("report", *args).stdout
        assert "Evil" in out
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(out)


# update ---------------------------------------------------------------------------------------------


def test_fields_are_set_one_by_one(tocsin, node, filed):
    result = tocsin(
        "report",
        "update",
        filed,
        "--set",
        "tlp=green",
        "--set",
        "quantities.deaths=12",
        "--set",
        'flags=["cross-border"]',
    )
    assert result.exit_code == 0, result.stderr
    assert "Updated:" in result.stdout
    report = stored(node, filed)
    assert node.reports[filed].ver == 2
    assert (str(report.tlp), report.severity.grade) == ("green", "I")
    assert report.extension["flags"] == ["cross-border"]
    assert report.modified > report.created


def test_a_new_form_replaces_the_old_one(tocsin, node, home, filed):
    text = FORM.replace("lethal", "deadly").replace('flags = ["ongoing"]\n', "")
    assert tocsin("report", "update", filed, "--file", "-", input=text).exit_code == 0
    report = stored(node, filed)
    assert report.name == "Chatbot gave deadly dosing advice"
    assert "flags" not in report.extension
    assert home.drafts == []


def test_the_editor_opens_on_the_form_as_it_stands(tocsin, node, home, filed, monkeypatch):
    import sys

    script = home.file(
        "e.py",
        "import sys, pathlib\np = pathlib.Path(sys.argv[1])\nt = p.read_text()\np.write_text(t.replace('lethal', 'deadly'))",
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    result = tocsin("report", "update", filed, "--editor")
    assert result.exit_code == 0, result.stderr
    report = stored(node, filed)
    assert report.name == "Chatbot gave deadly dosing advice"
    assert report.extension["quantities"] == {"deaths": 1}
    assert report.systems == ("Acme TriageBot",)
    assert home.drafts == []


def test_nothing_changed_is_nothing_sent(tocsin, node, home, filed, monkeypatch):
    monkeypatch.setenv("EDITOR", "true")
    for args in (["--editor"], ["--set", "tlp=amber"]):
        result = tocsin("report", "update", filed, *args)
        assert result.exit_code == 2
        assert "Nothing changes" in result.stderr
    assert node.reports[filed].ver == 1
    assert home.drafts == []


@pytest.mark.parametrize("sets", [["tlp"], ["=x"], ["a..b=1"], ["title.x=1"]])
def test_what_is_no_field_and_value_is_usage(tocsin, node, filed, sets):
    result = tocsin("report", "update", filed, *(part for each in sets for part in ("--set", each)))
    assert result.exit_code == 2
    assert node.reports[filed].ver == 1


def test_findings_in_an_update_are_listed(tocsin, node, filed):
    result = tocsin("report", "update", filed, "--set", "tlp=purple", "--set", "confidence=900", "--json")
    assert result.exit_code == 6
    assert {finding["path"] for finding in json.loads(result.stderr)["findings"]} == {"tlp", "confidence"}
    assert node.reports[filed].ver == 1


@pytest.mark.parametrize("name", ["not-toml", "duplicate-keys", "broken-bundle", "wrong-types"])
def test_a_hostile_update_is_kept(tocsin, node, home, filed, name):
    result = tocsin("report", "update", filed, "--file", "-", input=HOSTILE[name])
    assert result.exit_code == 6
    (draft,) = home.drafts
    assert draft.read_bytes() == HOSTILE[name]
    assert f"tocsin report update {filed} --file {draft}" in result.stderr


def test_a_dry_update_changes_nothing_and_more_may_be_told(tocsin, node, filed):
    result = tocsin("report", "update", filed, "--set", "tlp=green", "--dry-run", "--to", "beta")
    assert result.exit_code == 0
    assert "Not sent, only tried:" in result.stdout
    assert node.seen[-1].query == [("to", "beta"), ("dry_run", "1")]
    assert node.reports[filed].ver == 1


def test_one_way_to_change_at_a_time(tocsin, node, filed):
    assert tocsin("report", "update", filed).exit_code == 2
    assert tocsin("report", "update", filed, "--set", "tlp=red", "--file", "x").exit_code == 2


# withdraw -------------------------------------------------------------------------------------------


def test_a_withdrawal_asks_for_a_reason_and_a_yes(tocsin, node, filed):
    assert tocsin("report", "withdraw", filed, input="It was a test.\nn\n").exit_code == 0
    assert node.reports[filed].state == "active"
    result = tocsin("report", "withdraw", filed, input="\nIt was a test.\ny\n")
    assert result.exit_code == 0, result.stderr
    assert "Withdrawn:" in result.stdout
    assert TITLE in result.stderr
    report = stored(node, filed)
    assert report.revoked
    assert "It was a test." in json.dumps(report.extension)


def test_a_withdrawal_may_be_said_at_once(tocsin, node, filed):
    assert tocsin("report", "withdraw", filed, "--reason", "Wrong.", "--yes").exit_code == 0
    result = tocsin("report", "withdraw", filed, "--reason", "Wrong.", "--yes")
    assert result.exit_code == 1
    assert "[already-withdrawn]" in result.stderr


def test_a_dry_withdrawal_changes_nothing(tocsin, node, filed):
    assert tocsin("report", "withdraw", filed, "--reason", "x", "--dry-run").exit_code == 0
    assert node.reports[filed].state == "active"


def test_without_a_terminal_and_without_yes_nothing_is_withdrawn(tocsin, node, filed):
    assert tocsin("report", "withdraw", filed, "--reason", "x", input="").exit_code == 2
    assert node.reports[filed].state == "active"


@pytest.mark.parametrize(
    "args",
    [("update", "--set", "tlp=green"), ("update", "--set", "title="), ("update", "--editor"), ("withdraw",)],
)
def test_a_withdrawn_report_has_no_further_version(tocsin, node, filed, args):
    assert tocsin("report", "withdraw", filed, "--reason", "mistaken", "--yes").exit_code == 0
    held = node.reports[filed].ver
    result = tocsin("report", args[0], filed, *args[1:])
    assert result.exit_code == 1
    assert "is withdrawn, for good" in result.stderr
    assert "[already-withdrawn]" in result.stderr
    assert node.reports[filed].ver == held


def test_a_withdrawal_without_a_person_names_its_options(tocsin, node, filed):
    result = tocsin("report", "withdraw", filed, input="")
    assert result.exit_code == 2
    assert "--reason TEXT and --yes" in result.stderr


def test_what_would_change_the_grade_is_shown(tocsin, node, filed):
    text = tocsin("report", "show", filed).stdout
    assert "grade I if" in text
    explanation = json.loads(tocsin("report", "show", filed, "--json").stdout)["explanation"]
    assert explanation["computed_grade"] == "II"
    facts = {change["fact"]: change["grade"] for change in explanation["raised_by"]}
    assert facts["deaths=10"] == "I"
    assert all(change["grade"] in {"III", "IV", "none"} for change in explanation["lowered_by"])


# override -------------------------------------------------------------------------------------------


def test_a_person_s_level_counts_and_the_computed_one_stays_beside_it(tocsin, node, filed):
    said = ("--by", "Duty officer", "--reason", "Twelve wards use it.")
    result = tocsin("report", "override", filed, "--level", "5", *said, "--yes")
    assert result.exit_code == 0, result.stderr
    report = stored(node, filed)
    assert (report.severity.grade, report.severity.basis) == ("I", "overridden")
    assert any("computed from the facts: level 4" in driver for driver in report.severity.drivers)
    assert report.extension["severity_override"]["by_name"] == "Duty officer"
    text = tocsin("report", "show", filed).stdout
    assert "overridden to level 5 by Duty officer: Twelve wards use it." in text
    assert "computed from the facts: level 4" in text
    assert "computed, grade III if" in text
    assert "grade I if" not in text.replace("computed, grade I if", "")
    assert tocsin("report", "override", filed, "--clear", "--yes").exit_code == 0
    report = stored(node, filed)
    assert (report.severity.grade, report.severity.basis) == ("II", "computed")
    assert "severity_override" not in report.extension


def test_nobody_sets_a_level_without_a_name_and_a_reason(tocsin, node, filed):
    for lacking in (("--by", "Duty officer"), ("--reason", "Because.")):
        result = tocsin("report", "override", filed, "--level", "5", *lacking, "--yes", "--no-input")
        assert result.exit_code == 2, result.stderr
    assert tocsin("report", "override", filed, "--yes").exit_code == 2
    assert tocsin("report", "override", filed, "--level", "5", "--clear", "--yes").exit_code == 2
    assert stored(node, filed).severity.basis == "computed"


@pytest.mark.parametrize(
    ("known", "said"), [(1, "it takes 2; 1 witness known here"), (3, "it takes 2; 3 witnesses known")]
)
def test_trust_says_how_many_witnesses_it_takes_and_how_many_are_known(known, said):
    from tocsin_cli.commands.report_read import _trust

    found = {"trust": "provisional", "witnesses": {"by": [], "required": 2, "known": known}}
    [(label, text)] = _trust(found)
    assert label == "Trust"
    assert said in str(text)
