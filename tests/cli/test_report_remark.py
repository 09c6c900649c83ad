"""`tocsin report sight`, `opinion`, `retract`, `remarks`: what is sent, what is told, and what is refused here."""

import json
from datetime import UTC, datetime

import pytest
from tests.cli.fake_node.wire import answers
from tests.cli.test_report_submit import FORM

from tocsin_schema import stix
from tocsin_schema.check import check_bundle
from tocsin_schema.remark import check_remark
from tocsin_schema.remarks import exposure, sighting

OTHER = stix.node_identity("Elsewhere", "n1elsewhere")


@pytest.fixture
def filed(tocsin, node):
    assert tocsin("report", "submit", "--file", "-", input=FORM).exit_code == 0
    return next(iter(node.reports))


def sent(node, report_id):
    """The remarks that were handed to the node for good, as they were made."""
    made = [check_remark(seen.body).remark for seen in node.posts(f"/v1/reports/{report_id}/remarks")]
    assert None not in made
    return made


def test_a_sighting_says_how_often_and_when(tocsin, node, filed):
    node.add_peer("hospital")
    result = tocsin(
        "report", "sight", filed, "--count", "3", "--first-seen", "2025-11-01 14:30", "--last-seen",
        "2025-11-02T08:00:00Z", "--note", "On two wards.",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (remark,) = sent(node, filed)
    assert (remark.kind, remark.count, remark.text) == ("sighting", 3, "On two wards.")
    assert remark.first_seen == datetime(2025, 11, 1, 13, 30, tzinfo=UTC)  # as the clock stands in Vienna
    assert remark.last_seen == datetime(2025, 11, 2, 8, 0, tzinfo=UTC)
    assert remark.created_by_ref == node.identity["id"]
    assert remark.tlp is check_bundle(node.reports[filed].raw).report.tlp
    assert result.stdout.splitlines() == [
        f"Said:      seen, on {filed}",
        "Marked:    TLP:AMBER, as the report is",
        "Goes to:   hospital",
        "Log entry: 7",
    ]
    assert f"Next: tocsin report remarks {filed}" in result.stderr


@pytest.mark.parametrize("word", ["affected", "not-affected", "investigating"])
def test_an_exposure_is_one_flag(tocsin, node, filed, word):
    assert tocsin("report", "opinion", filed, f"--{word}").exit_code == 0
    (remark,) = sent(node, filed)
    assert (remark.kind, remark.said) == ("exposure", word)


@pytest.mark.parametrize("step", ["strongly-agree", "agree", "neutral", "disagree", "strongly-disagree"])
def test_an_opinion_is_one_flag(tocsin, node, filed, step):
    assert tocsin("report", "opinion", filed, f"--{step}", "--note", "Why.").exit_code == 0
    (remark,) = sent(node, filed)
    assert (remark.kind, remark.said, remark.text) == ("opinion", step, "Why.")


def test_saying_it_again_is_the_next_version_of_the_same_remark(tocsin, node, filed):
    for flag in ("--investigating", "--affected", "--agree"):
        assert tocsin("report", "opinion", filed, flag).exit_code == 0
    first, second, other = sent(node, filed)
    assert second.id == first.id
    assert (second.created, second.said) == (first.created, "affected")
    assert second.modified > first.modified
    assert other.id != first.id


def test_what_is_taken_back_can_be_said_anew(tocsin, node, filed):
    tocsin("report", "opinion", filed, "--affected")
    result = tocsin("report", "retract", filed, "exposure")
    assert f"exposure, taken back, on {filed}" in result.stdout
    tocsin("report", "opinion", filed, "--not-affected")
    first, gone, anew = sent(node, filed)
    assert (gone.id, gone.revoked) == (first.id, True)
    assert (anew.id == first.id, anew.revoked) == (False, False)


def test_nothing_is_taken_back_that_was_never_said(tocsin, node, filed):
    tocsin("report", "opinion", filed, "--affected")
    result = tocsin("report", "retract", filed, "sighting", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["code"] == "nothing-said"
    tocsin("report", "retract", filed, "exposure")
    result = tocsin("report", "retract", filed, "exposure", "--json")
    assert (result.exit_code, json.loads(result.stderr)["code"]) == (1, "already-retracted")


def test_a_dry_run_shows_who_would_get_it_and_says_nothing(tocsin, node, filed):
    node.add_peer("hospital")
    node.withholds = {
        "clinic": ("not-recipient", "a remark goes to the report's origin"),
        "ward": ("above-ceiling", "TLP:AMBER is above TLP:GREEN, the most that goes to it"),
    }
    result = tocsin("report", "opinion", filed, "--affected", "--dry-run")
    assert sent(node, filed) == []
    assert result.stdout.splitlines() == [
        f"Not said, only tried: affected, on {filed}",
        "Marked:               TLP:AMBER, as the report is",
        "Would go to:          hospital",
        "Withheld from:        ward: TLP:AMBER is above TLP:GREEN, the most that goes to it [above-ceiling]",
    ]
    told = json.loads(tocsin("report", "opinion", filed, "--affected", "--dry-run", "--json").stdout)
    assert (told["outcome"], told["to"][0]["name"]) == ("dry-run", "hospital")


def test_a_named_peer_that_does_not_get_it_is_warned_of(tocsin, node, filed):
    node.add_peer("clinic")
    node.withholds = {"clinic": ("not-recipient", "it does not have the report")}
    result = tocsin("report", "sight", filed, "--to", "clinic", "-q")
    assert "WARNING: NOT sent to clinic: it does not have the report." in result.stderr
    assert ("to", "clinic") in node.seen[-1].query


@pytest.mark.parametrize(
    "words",
    [
        ["opinion", "ID"],
        ["opinion", "ID", "--affected", "--not-affected"],
        ["opinion", "ID", "--affected", "--agree"],
        ["opinion", "no-id", "--agree"],
        ["sight", "ID", "--count", "0"],
        ["sight", "ID", "--first-seen", "soon"],
        ["sight", "ID", "--last-seen", "2199-01-01T00:00:00Z"],
        ["sight", "ID", "--last-seen", "2025-11-20T10:00:00"],
        ["sight", "ID", "--last-seen", "0001-01-01T00:00:00+14:00"],
        ["retract", "ID", "everything"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(tocsin, node, filed, words):
    asked = len(node.seen)
    result = tocsin("report", *[filed if word == "ID" else word for word in words])
    assert result.exit_code == 2
    assert len(node.seen) == asked


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sight", "--first-seen", "2025-11-02", "--last-seen", "2025-11-01"], "last-before-first"),
        (["opinion", "--agree", "--note", "a" * 2001], "too-long"),
        (["opinion", "--affected", "--note", "a\x1b[2Jb"], "control-character"),
    ],
    ids=["backwards", "long", "escape"],
)
def test_findings_are_told_and_nothing_is_sent(tocsin, node, filed, words, code):
    result = tocsin("report", words[0], filed, *words[1:], "--json")
    assert result.exit_code == 6
    assert [finding["code"] for finding in json.loads(result.stderr)["findings"]] == [code]
    assert sent(node, filed) == []


def test_a_refusal_of_the_node_is_passed_on(tocsin, node, filed):
    path = f"/v1/reports/{filed}/remarks"
    node.fault("POST", path, answers(409, "version-conflict", "A newer one stands.", hint="Fetch it."))
    result = tocsin("report", "opinion", filed, "--agree")
    assert result.exit_code == 1
    assert "A newer one stands." in result.stderr


def test_remarks_are_listed_and_shown_with_the_report(tocsin, node, filed):
    report = check_bundle(node.reports[filed].raw).report
    at = datetime(2025, 11, 20, 10, 0, tzinfo=UTC)
    node.add_remark(
        exposure(report, "affected", producer=OTHER, now=at, text="Since the update."), "Elsewhere"
    )
    node.add_remark(sighting(report, producer=OTHER, now=at, count=2, first_seen=at), "Elsewhere")
    tocsin("report", "opinion", filed, "--agree")
    shown = tocsin("report", "show", filed).stdout
    assert "Remark:       Elsewhere is affected, 2025-11-20 11:00:00 +01:00: Since the update.\n" in shown
    assert "Elsewhere has seen it 2 times from 2025-11-20 11:00:00 +01:00, 2025-11-20" in shown
    assert "Fake Org (us) agrees, " in shown
    lines = tocsin("report", "remarks", filed).stdout.splitlines()
    assert lines[0].split() == ["WHO", "SAYS", "WHEN", "IN", "WORDS"]
    assert lines[1].split()[:3] == ["Elsewhere", "is", "affected"]
    listed = json.loads(tocsin("report", "remarks", filed, "--json").stdout)
    assert [item["kind"] for item in listed["items"]] == ["exposure", "sighting", "opinion"]
    assert json.loads(tocsin("report", "show", filed, "--json").stdout)["remarks"] == listed["items"]


def test_foreign_words_do_nothing_to_the_terminal(tocsin, node, filed):
    report = check_bundle(node.reports[filed].raw).report
    raw = exposure(report, "affected", producer=OTHER, now=datetime.now(UTC))
    evil = "\x1b]52;c;ZXZpbA==\x07a\u202eb\x1b[2J"
    node.add_remark(raw, f"Else{evil}where", text=f"Words{evil}", said=f"affected{evil}")
    for command in ("show", "remarks"):
        told = tocsin("report", command, filed).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(told)
        raw_json = tocsin("report", command, filed, "--json").stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(raw_json)


def test_a_report_without_remarks_says_so(tocsin, node, filed):
    result = tocsin("report", "remarks", filed)
    assert (result.stdout, result.stderr) == ("", "Nobody has said anything about it.\n")
    assert json.loads(tocsin("report", "remarks", filed, "--json").stdout) == {"items": []}
