"""`tocsin report search`: what is asked of the node, and what a person sees of the answer."""

import json

import pytest
from tests.cli.test_report_submit import FORM


@pytest.fixture
def filed(tocsin, node):
    for at in range(3):
        assert (
            tocsin("report", "submit", "--file", "-", input=FORM.replace("lethal", f"lethal {at}")).exit_code
            == 0
        )
    return list(node.reports)


def test_words_and_filters_are_sent_as_they_were_given(tocsin, node):
    tocsin(
        *("report", "search", "dosing advice", "or", "overdose", "--harm", "privacy", "--harm", "economic"),
        *("--system", "Kestrel Vigil", "--party", "Alder", "--country", "DE", "--min-level", "3"),
        *("--since", "2025-01-01", "--stored-until", "2026-01-01", "--state", "active", "--grade", "I"),
    )
    assert sorted(node.seen[-1].query) == sorted([
        ("limit", "50"), ("q", "dosing advice or overdose"), ("harm", "privacy"), ("harm", "economic"),
        ("system", "Kestrel Vigil"), ("party", "Alder"), ("country", "DE"), ("grade", "I"), ("state", "active"),
        ("min_level", "3"), ("since", "2025-01-01"), ("stored_until", "2026-01-01"),
    ])  # fmt: skip


def test_what_is_found_is_a_table_with_the_place_and_the_next_page(tocsin, node, filed):
    found = tocsin(
        "report", "search", "dosing", "advice", "--limit", "2", "--tlp", "amber", "--min-level", "1"
    )
    lines = found.stdout.splitlines()
    assert lines[0].endswith("FOUND IN")
    assert lines[1].startswith(filed[-1])
    assert lines[1].endswith("… as it was found")
    assert (
        "Next: tocsin report search dosing advice --limit 2 --tlp amber --min-level 1 --cursor 2"
        in found.stderr
    )
    assert "FOUND IN" not in tocsin("report", "search").stdout


def test_a_snippet_cannot_steer_the_terminal(tocsin, node, filed):
    node.snippet = "\x1b[2Jgone \u202egnirts\x07"
    shown = tocsin("report", "search", "dosing").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert (
        json.loads(tocsin("report", "search", "dosing", "--json").stdout)["items"][0]["snippet"]
        == node.snippet
    )


def test_facets_are_counts(tocsin, node, filed):
    shown = tocsin("report", "search", "dosing", "--facets")
    assert node.seen[-1].path == "/v1/reports/facets"
    assert shown.stdout.splitlines()[1].split() == ["tlp", "amber", "3"]
    assert "3 reports." in shown.stderr
    assert json.loads(tocsin("report", "search", "--facets", "--json").stdout)["total"] == 3


def test_counts_have_no_pages(tocsin, node):
    result = tocsin("report", "search", "--facets", "--cursor", "5")
    assert result.exit_code == 2
    assert "Leave --cursor out" in result.stderr


def test_nothing_found_is_said_so(tocsin, node):
    result = tocsin("report", "search", "nowhere")
    assert (result.stdout, result.stderr) == ("", "Nothing found.\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--harm", "helth"], "physical-health"),
        (["--flag", "going"], "ongoing"),
        (["--realization", "accident"], "near-miss"),
        (["--since", "last week"], "yesterday"),
        (["--until", "never"], "2025-03-24"),
        (["--country", "Germany"], "ISO 3166"),
        (["--classification", "4.3"], "SCHEME:CODE"),
    ],
)
def test_what_no_report_can_have_is_usage_with_what_there_is(tocsin, node, args, said):
    found = tocsin("report", "search", *args)
    assert found.exit_code == 2
    assert said in found.stderr
    assert node.seen == []


def test_times_are_sent_as_the_node_takes_them(tocsin, node):
    tocsin(
        "report",
        "search",
        "--since",
        "2024-02",
        "--until",
        "2024-02",
        "--country",
        "de",
        "--harm",
        "physical_health",
    )
    asked = dict(node.seen[-1].query)
    assert (asked["since"], asked["until"]) == ("2024-02-01", "2024-02-29")
    assert (asked["country"], asked["harm"]) == ("DE", "physical-health")
