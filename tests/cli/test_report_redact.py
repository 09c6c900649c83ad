"""Personal data at the command line: what is said early, what is asked, and the version that others get."""

import json
import tomllib

import pytest
from tests.cli.fake_node.wire import goes_away
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


def test_a_yes_given_beforehand_takes_on_nothing_that_still_seems_personal(tocsin, beta, private):
    args = ["report", "redact", private, "--by", "Mara", "--yes", "--drop", "failure_modes"]
    refused = tocsin(*args, "--json")
    assert refused.exit_code == 6
    found = json.loads(refused.stderr)
    assert [each["code"] for each in found["findings"]] == ["personal-data-suspected"]
    assert "--reviewed-by" in found["hint"]
    assert tocsin(*args).exit_code == 6
    assert PHONE not in refused.stderr
    assert shared(beta, private) == {}
    assert tocsin(*args, "--reviewed-by", "Mara Ilves").exit_code == 0
    assert ("personal_data_reviewed_by", "Mara Ilves") in beta.posts()[-1].query
    assert len(shared(beta, private)) == 1


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


# The record and its redaction ---------------------------------------------------------------------------------


@pytest.fixture
def pair(tocsin, beta, private):
    """(record, its redaction at TLP:GREEN without the affected)."""
    args = ["report", "redact", private, "--by", "Mara", "--yes", "--json", "--tlp", "green"]
    result = tocsin(*args, "--drop", "affected", "--replace", "description=A carer was told to wait.")
    assert result.exit_code == 0, result.stderr
    return private, json.loads(result.stdout)["id"]


def test_the_node_is_told_of_which_record_and_version_it_is(tocsin, beta, pair):
    assert {("redaction_of", pair[0]), ("record_ver", "1")} <= set(beta.posts()[-1].query)


def test_each_of_the_two_says_what_the_other_is(tocsin, beta, pair):
    private, shared_as = pair
    record, redaction = (" ".join(tocsin("report", "show", each).stdout.split()) for each in pair)
    assert f"Shared as: {shared_as} (redacted, version 1, TLP:GREEN) to beta" in record
    assert f"Redaction of: {private}, version 1" in redaction
    assert "Stale" not in record + redaction
    rows = tocsin("report", "list").stdout.splitlines()
    assert [("(redaction)" in row) for row in rows if "incident--" in row] == [True, False]


def test_an_export_takes_the_redaction_and_leaves_its_record_private(tocsin, beta, pair):
    private, shared_as = pair
    export = ["report", "export", "jsonl", "--max-tlp", "amber"]

    def ids(result):
        return [json.loads(line)["id"] for line in result.stdout.splitlines()]

    found = tocsin(*export)
    assert (found.exit_code, ids(found)) == (1, [shared_as])
    assert "1 kept private behind a redaction" in found.stderr
    chosen = tocsin(*export, "--no-suspected")
    assert (chosen.exit_code, ids(chosen)) == (0, [shared_as])
    taken_on = tocsin(*export, "--reviewed-by", "Mara")
    assert (taken_on.exit_code, set(ids(taken_on))) == (0, {private, shared_as})


def test_an_update_says_that_the_redaction_is_stale_and_again_without_tlp_is_its_next_version(
    tocsin, beta, pair
):
    private, shared_as = pair
    change = ["report", "update", private, "--set", "title=Carers were told to wait"]
    change += ["--reviewed-by", "Mara"]
    for more in (["--dry-run"], []):
        said = tocsin(*change, *more).stderr
        assert f"Its redaction {shared_as} {'would be' if more else 'is'} of version 1 still" in said
        assert f"tocsin report redact {private} --tlp green" in said
        assert "Say again what to leave out" in said
    record, redaction = (" ".join(tocsin("report", "show", each).stdout.split()) for each in pair)
    assert "its redaction is of version 1;" in record
    assert "the record is at version 2;" in redaction
    args = ["report", "redact", private, "--by", "Mara", "--yes", "--json", "--drop", "description"]
    refused = tocsin(*args)
    assert refused.exit_code == 1
    assert '"says-more"' in refused.stderr
    again = tocsin(*args, "--reviewed-by", "Mara")
    found = json.loads(again.stdout)
    assert (found["id"], found["ver"], found["tlp"]) == (shared_as, 2, "green")
    (told,) = (line for line in again.stderr.splitlines() if "did not say, or said otherwise" in line)
    assert {"title,", "description,", "affected[0]."} <= set(told.split())
    assert "failure_modes" not in told
    assert "Stale" not in tocsin("report", "show", private).stdout


def test_a_raised_marking_names_the_redactions_that_stay_as_they_are(tocsin, beta, pair):
    private, shared_as = pair
    said = tocsin("report", "update", private, "--set", "tlp=red", "--reviewed-by", "Mara").stderr
    assert f"{shared_as} stays TLP:GREEN" in said
    assert f"tocsin report withdraw {shared_as}" in said
    lowered = tocsin("report", "update", private, "--set", "tlp=green", "--reviewed-by", "Mara").stderr
    assert f"{shared_as} stays" not in lowered


def test_a_withdrawal_asks_for_both_tells_of_both_and_a_dry_run_too(tocsin, beta, pair):
    private, shared_as = pair
    base = ["report", "withdraw", private, "--reason", "Mistaken", "--reviewed-by", "Mara"]
    tried = " ".join(tocsin(*base, "--dry-run").stdout.split())
    assert f"Would withdraw too: {shared_as}, its redaction; told: beta" in tried
    assert beta.reports[shared_as].state == "active"
    asked = tocsin(*base, input="y\n")
    assert f"and its redactions {shared_as} for good?" in " ".join(asked.stderr.split())
    assert f"Withdrawn with it: {shared_as}" in " ".join(asked.stdout.split())
    assert beta.reports[shared_as].state == "withdrawn"


def test_who_does_not_learn_that_a_redaction_ended_is_named_with_what_to_do(tocsin, beta, pair):
    private, shared_as = pair
    beta.withholds["beta"] = ("no-enc-key", "its statement has expired")
    base = ["report", "withdraw", private, "--reason", "Mistaken", "--yes", "--reviewed-by", "Mara"]
    said = " ".join(tocsin(*base).stderr.split())
    assert "WARNING: beta has an earlier version and was NOT told: its statement has expired." in said
    assert f"tocsin report share {shared_as} --to beta" in said


def test_an_override_too_says_which_redaction_is_stale(tocsin, beta, pair):
    private, shared_as = pair
    change = [
        "report",
        "override",
        private,
        "--level",
        "3",
        "--by",
        "Mara",
        "--reason",
        "Known to be worse.",
        "--yes",
    ]
    said = tocsin(*change)
    assert said.exit_code == 0, said.stderr
    assert f"Its redaction {shared_as} is of version 1 still" in said.stderr


def test_what_was_withdrawn_by_hand_is_shared_anew_under_another_id(tocsin, beta, pair):
    private, shared_as = pair
    tocsin("report", "withdraw", shared_as, "--reason", "Too much", "--yes")
    args = ["report", "redact", private, "--by", "Mara", "--yes", "--json", "--tlp", "green"]
    found = json.loads(tocsin(*args, "--drop", "description").stdout)
    assert (found["id"] != shared_as, found["ver"]) == (True, 1)
    shown = " ".join(tocsin("report", "show", private).stdout.split())
    assert f"{shared_as} (redacted, version 2, TLP:GREEN) withdrawn" in shown
    again = json.loads(tocsin(*args, "--drop", "affected", "--reviewed-by", "Mara").stdout)
    assert (again["id"], again["ver"]) == (found["id"], 2)


def test_of_several_redactions_one_must_be_named_and_a_redaction_is_not_redacted(tocsin, beta, pair):
    private, shared_as = pair
    args = ["report", "redact", private, "--by", "Mara", "--yes", "--drop", "description"]
    said = tocsin(*args, "--tlp", "clear").stderr
    assert f"{shared_as} at TLP:GREEN stands too and is not changed." in said
    refused = tocsin(*args, "--json")
    assert refused.exit_code == 2
    assert "--tlp green" in json.loads(refused.stderr)["hint"]
    twice = tocsin("report", "redact", shared_as, "--dry-run", "--json")
    assert json.loads(twice.stderr)["code"] == "not-a-redaction"
    assert private in json.loads(twice.stderr)["hint"]


def test_a_redaction_is_not_changed_by_hand(tocsin, beta, pair):
    private, shared_as = pair
    ran = tocsin("report", "update", shared_as, "--set", "title=Something else", "--json")
    refused = json.loads(ran.stderr)
    assert (refused["code"], private in refused["hint"]) == ("is-redaction", True)
