"""Kept drafts: listed with what goes on with them, gone when filed, thrown away only when asked."""

import json
import shlex

import pytest

BAD = "title = 3\n"
GOOD = """title = "A chatbot gave dosing advice"
description = "It told a patient to double the dose."
tlp = "green"
realization = "near-miss"
"""


def resumed(tocsin):
    return [item["resume"] for item in json.loads(tocsin("report", "drafts", "--json").stdout)["items"]]


def test_nothing_kept_is_said_so(tocsin, node):
    assert "No draft" in tocsin("report", "drafts").stderr
    assert resumed(tocsin) == []


def test_a_draft_is_listed_with_the_command_that_files_it_and_then_it_is_gone(tocsin, node, home):
    assert tocsin("report", "submit", "--file", "-", input=BAD).exit_code == 6
    (command,) = resumed(tocsin)
    assert command in tocsin("report", "drafts").stdout
    home.drafts[0].write_text(GOOD)
    assert tocsin(*shlex.split(command)[1:]).exit_code == 0
    assert len(node.reports) == 1
    assert home.drafts == []
    assert resumed(tocsin) == []


def test_every_kind_of_draft_names_its_own_command(tocsin, node, home):
    (place := home.state / "drafts").mkdir(parents=True)
    report = "incident--1b671a64-40d5-491e-99b0-da01ff1f3341"
    kinds = {
        f"{report}.json": "report new --draft {}",
        "report-20261125T120000-abcdef.toml": "report submit --file {}",
        "stdin-20261125T120000-abcdef.txt": "report submit --file {}",
        f"{report}-20261125T120000-abcdef.toml": f"report update {report} --file {{}}",
        f"redact-{report}-20261125T120000-abcdef.toml": f"report redact {report} --editor   # with the text of {{}}",
    }
    for name in kinds:
        (place / name).touch()
    (place / ".half.part").touch()
    assert sorted(resumed(tocsin)) == sorted(
        f"tocsin {kind.format(place / name)}" for name, kind in kinds.items()
    )


@pytest.mark.parametrize(("answer", "left"), [("n\n", 1), ("y\n", 0)])
def test_clearing_asks(tocsin, node, home, answer, left):
    tocsin("report", "submit", "--file", "-", input=BAD)
    assert tocsin("report", "drafts", "--clear", input=answer).exit_code == 0
    assert len(home.drafts) == left


def test_clearing_without_a_person_needs_yes(tocsin, node, home):
    tocsin("report", "submit", "--file", "-", input=BAD)
    assert tocsin("report", "drafts", "--clear", input="").exit_code == 2
    (draft,) = home.drafts
    cleared = tocsin("report", "drafts", "--clear", "--yes", "--json")
    assert json.loads(cleared.stdout) == {"cleared": [str(draft)]}
    assert home.drafts == []


def test_a_person_who_did_not_write_leaves_no_draft_however_the_editor_ends(tocsin, node, home, monkeypatch):
    for chosen in ("true", "false", "/no/such/editor"):
        monkeypatch.setenv("EDITOR", chosen)
        assert tocsin("report", "submit", "--editor").exit_code == 2
        assert home.drafts == []


def test_what_was_written_before_the_editor_failed_is_kept(tocsin, node, home, monkeypatch):
    script = home.file("editor.sh", 'echo "title = 1" > "$1"; exit 1')
    monkeypatch.setenv("EDITOR", f"sh {script}")
    result = tocsin("report", "submit", "--editor")
    assert result.exit_code == 2
    (draft,) = home.drafts
    assert draft.read_text() == "title = 1\n"
    assert str(draft) in result.stderr
