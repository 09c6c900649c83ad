"""Personal data at the command line: what is said early, what is asked, and the version that others get."""

import json
import tomllib

import pytest
from tests.cli.fake_node import goes_away
from tests.cli.test_report_new import typed

from tocsin_schema.check import check_bundle
from tocsin_schema.stix import to_form

PHONE = "+49 30 901820"
FORM = f"""\
title = "Triage line told a carer to wait"
description = "The carer, to be rung on {PHONE}, was told to wait; a nurse of Ward Seven stepped in."
tlp = "amber"
realization = "near-miss"
affected = ["carers of Ward Seven"]
failure_modes = ["wrong queue"]
"""
CLEAN = FORM.replace(f", to be rung on {PHONE},", "")


@pytest.fixture
def beta(node):
    node.add_peer("beta")
    return node


@pytest.fixture
def private(tocsin, beta, home):
    """The id of a record that is kept here."""
    result = tocsin("report", "submit", "--file", str(home.file("r.toml", FORM)), "--no-share", "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["id"]


def shared(node, private):
    """What is at the node beside the private record."""
    return {report_id: kept for report_id, kept in node.reports.items() if report_id != private}


# Before it leaves ------------------------------------------------------------------------------------------


def test_a_telephone_number_keeps_a_report_from_being_sent_and_the_text_is_kept(tocsin, beta, home):
    result = tocsin("report", "submit", "--file", "-", input=FORM)
    assert result.exit_code == 6
    assert beta.reports == {}
    assert PHONE not in result.output + result.stderr
    assert "personal-data-suspected at incident.description" in result.stderr
    assert "Redact it." in result.stderr
    (kept,) = home.drafts
    assert kept.read_text() == FORM
    assert tocsin("report", "submit", "--file", str(kept), "--json").exit_code == 6


def test_the_code_of_the_refusal_is_the_nodes(tocsin, beta):
    result = tocsin("report", "submit", "--file", "-", "--json", input=FORM)
    assert json.loads(result.stderr)["code"] == "review-needed"


def test_a_named_person_lets_it_leave_and_is_shown(tocsin, beta):
    result = tocsin("report", "submit", "--file", "-", "--reviewed-by", "Mara Ilves", input=FORM)
    assert result.exit_code == 0, result.stderr
    assert ("personal_data_reviewed_by", "Mara Ilves") in beta.posts()[0].query
    (report_id,) = beta.reports
    shown = tocsin("report", "show", report_id).stdout
    assert "Reviewed:" in shown
    assert "by Mara Ilves" in shown


def test_a_dry_run_says_what_is_suspected_and_shows_exactly_what_would_leave(tocsin, beta, home):
    file = str(home.file("r.toml", FORM))
    result = tocsin("report", "submit", "--file", file, "--dry-run")
    assert "REFUSED until somebody has looked" in result.stderr
    assert "carers of Ward Seven (class)" in result.stdout or "carers of Ward Seven" in result.stdout
    assert "a nurse of Ward Seven stepped in" in result.stdout
    full = tocsin("report", "submit", "--file", file, "--dry-run", "--full")
    raw = full.stdout.strip().splitlines()[-1].encode()
    assert check_bundle(raw).report is not None
    assert raw == [s for s in beta.seen if s.method == "POST"][-1].body
    found = json.loads(tocsin("report", "submit", "--file", file, "--dry-run", "--full", "--json").stdout)
    assert found["review_needed"] is True
    assert check_bundle(found["bundle"].encode()).report.name == "Triage line told a carer to wait"


def test_while_the_node_is_away_the_look_is_taken_here(tocsin, beta, home):
    beta.fault("POST", "/v1/reports", goes_away)
    result = tocsin("report", "submit", "--file", "-", input=FORM)
    assert result.exit_code == 3
    assert "personal-data-suspected at description" in result.stderr
    assert len(home.queue) == 1


def test_who_has_looked_waits_in_the_queue_with_the_report(tocsin, beta, home):
    beta.fault("POST", "/v1/reports", goes_away)
    tocsin("report", "submit", "--file", "-", "--reviewed-by", "Mara Ilves", input=FORM)
    assert tocsin("report", "flush").exit_code == 0
    assert ("personal_data_reviewed_by", "Mara Ilves") in beta.posts()[-1].query


@pytest.mark.parametrize(("name", "sent"), [("Mara Ilves", True), ("", False)])
def test_the_guided_report_asks_who_has_looked_and_otherwise_stays_here(tocsin, beta, name, sent):
    answers = typed(description=f"Ring {PHONE}.\n", send=f"{name}\ny")
    result = tocsin("report", "new", input=answers)
    assert result.exit_code == 0, result.stderr
    assert "Names of persons in running text are mostly not found" in result.stderr
    ((_, kept),) = beta.reports.items()
    assert kept.to == (["beta"] if sent else [])


def test_an_update_and_a_withdrawal_name_who_has_looked(tocsin, beta):
    tocsin("report", "submit", "--file", "-", input=CLEAN)
    (report_id,) = beta.reports
    change = ["report", "update", report_id, "--set", f"description=Ring {PHONE}."]
    assert tocsin(*change).exit_code == 6
    assert tocsin(*change, "--reviewed-by", "Mara Ilves").exit_code == 0
    assert ("personal_data_reviewed_by", "Mara Ilves") in beta.seen[-1].query
    withdrawal = ["report", "withdraw", report_id, "--yes", "--reason", f"Ring {PHONE}."]
    assert tocsin(*withdrawal).exit_code == 6
    assert tocsin(*withdrawal, "--reviewed-by", "Mara Ilves").exit_code == 0


def test_an_import_names_what_stays_here(tocsin, beta, home):
    for title, text in (("One", FORM), ("Two", CLEAN)):
        tocsin("report", "submit", "--no-share", "--file", "-", input=text.replace("Triage line", title))
    lines = b"\n".join(kept.raw for kept in beta.reports.values())
    file = str(home.file("r.jsonl", lines))
    tried = json.loads(tocsin("import", "stix", file, "--share", "--dry-run", "--json").stdout)
    assert (tried["imported"], tried["kept_here"]) == (2, 1)
    beta.reports.clear()
    result = tocsin("import", "stix", file, "--share")
    assert result.exit_code == 0
    assert "kept here" in result.stdout
    assert "1 of them stay at your node" in result.stderr
    beta.reports.clear()
    taken = tocsin("import", "stix", file, "--share", "--reviewed-by", "Mara Ilves", "--json")
    assert json.loads(taken.stdout)["kept_here"] == 0


# The version for others ------------------------------------------------------------------------------------


def test_a_redacted_version_is_shown_whole_confirmed_and_sent(tocsin, beta, private):
    args = ["report", "redact", private, "--by", "Mara Ilves", "--drop", "affected"]
    result = tocsin(*args, "--replace", "description=A carer of Ward Seven was told to wait.", input="y\n")
    assert result.exit_code == 0, result.stderr
    ((report_id, kept),) = shared(beta, private).items()
    said = to_form(kept.raw)
    assert said["description"] == "A carer of Ward Seven was told to wait."
    assert "affected" not in said
    assert (kept.to, said["tlp"]) == (["beta"], "amber")
    assert PHONE.encode() not in kept.raw
    assert private.encode() not in kept.raw
    assert "A carer of Ward Seven was told to wait." in result.stdout
    assert "left out as asked" in result.stdout
    assert "Send exactly this to beta?" in result.stderr
    assert ("personal_data_reviewed_by", "Mara Ilves") in beta.posts()[-1].query
    assert f"Next: tocsin report show {report_id}" in result.stderr
    assert to_form(beta.reports[private].raw)["affected"] == ["carers of Ward Seven"]


def test_without_a_yes_nothing_is_sent(tocsin, beta, private):
    for answer in ("n\n", "\n", ""):
        tocsin("report", "redact", private, "--by", "Mara", "--drop", "description", input=answer)
    assert shared(beta, private) == {}


def test_a_dry_run_of_a_redaction_names_what_goes_and_what_does_not(tocsin, beta, private):
    result = tocsin(
        "report", "redact", private, "--drop", "failure_modes[0]", "--dry-run", "--json", "--full"
    )
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert {"what": "failure_modes[0]", "why": "left out as asked"} in found["removed"]
    assert "wrong queue" not in found["bundle"]
    assert [peer["name"] for peer in found["to"]] == ["beta"]
    assert shared(beta, private) == {}


def test_the_same_redaction_again_is_the_next_version_of_the_same_report(tocsin, beta, private):
    args = ["report", "redact", private, "--by", "Mara", "--yes", "--json", "--drop", "description"]
    first = json.loads(tocsin(*args).stdout)
    second = json.loads(tocsin(*args, "--drop", "affected").stdout)
    assert (first["id"], first["ver"], second["ver"]) == (second["id"], 1, 2)
    other = json.loads(tocsin(*args, "--tlp", "green").stdout)
    assert other["id"] != first["id"]


def test_the_rest_may_be_changed_in_an_editor_and_what_was_dropped_stays_out(
    tocsin, beta, home, private, monkeypatch
):
    script = home.file(
        "editor.sh", '#!/bin/sh\nsed -i \'s/^title = .*/title = "Wait, said the wrong queue"/\' "$1"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    args = ["report", "redact", private, "--by", "Mara", "--yes", "--editor", "--drop", "description"]
    result = tocsin(*args, "--drop", "failure_modes")
    assert result.exit_code == 0, result.stderr
    ((_, kept),) = shared(beta, private).items()
    assert to_form(kept.raw)["title"] == "Wait, said the […]"
    assert home.drafts == []


def test_what_the_shared_version_holds_must_be_said_when_the_record_names_people(tocsin, beta, home):
    tocsin("report", "submit", "--no-share", "--file", "-", input=FORM + 'personal_data = "present"\n')
    (report_id,) = beta.reports
    args = ["report", "redact", report_id, "--by", "Mara", "--yes", "--drop", "description", "--json"]
    refused = tocsin(*args)
    assert (refused.exit_code, json.loads(refused.stderr)["code"]) == (1, "personal-data-undecided")
    assert tocsin(*args, "--personal-data", "pseudonymised").exit_code == 0
    ((_, kept),) = shared(beta, report_id).items()
    assert check_bundle(kept.raw).report.personal_data == "pseudonymised"


def test_a_record_of_somebody_else_is_not_ours_to_redact(tocsin, beta, private):
    beta.ours = False
    result = tocsin("report", "redact", private, "--dry-run", "--json")
    assert (result.exit_code, json.loads(result.stderr)["code"]) == (5, "not-ours")


@pytest.mark.parametrize(
    ("more", "exit_code", "code"),
    [
        ([], 2, "usage"),
        (["--by", "Mara", "--json"], 2, "usage"),
        (["--dry-run", "--drop", "nowhere"], 1, "no-such-place"),
        (["--dry-run", "--drop", "realization"], 1, "cannot-leave-out"),
        (["--dry-run", "--replace", "title"], 2, "usage"),
        (["--dry-run", "--replace", "realization=a guess"], 6, "findings"),
        (["--dry-run", "--tlp", "purple"], 2, "usage"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(tocsin, beta, private, more, exit_code, code):
    result = tocsin("report", "redact", private, *more, *([] if "--json" in more else ["--json"]))
    assert (result.exit_code, json.loads(result.stderr)["code"]) == (exit_code, code)
    assert shared(beta, private) == {}


def test_the_editor_is_offered_again_with_what_is_suspected_written_into_the_text():
    """The words that are written into it are comments: the text is still a form."""
    from tocsin_cli import editor
    from tocsin_cli.handin import Form
    from tocsin_cli.output import findings_text
    from tocsin_cli.suspects import suspected

    found = suspected(Form(tomllib.loads(FORM)))
    again = editor.annotate(FORM, findings_text(found))
    assert "personal-data-suspected at description" in again
    assert tomllib.loads(again) == tomllib.loads(FORM)
