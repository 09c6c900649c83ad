"""Sharing later: the command that every hint names does what the hint says."""

import json

import pytest
from tests.cli.test_report_submit import FORM

CEILING = ("above-ceiling", "TLP:AMBER is above TLP:GREEN, the most that goes to it")


@pytest.fixture
def filed(tocsin, node):
    for name in ("beta", "two words"):
        node.add_peer(name)
    assert tocsin("report", "submit", "--file", "-", "--no-share", input=FORM).exit_code == 0
    return next(iter(node.reports))


def test_a_filed_report_is_shared_with_those_who_are_named(tocsin, node, filed):
    result = tocsin("report", "share", filed, "--to", "beta", "--to", "two words", "--yes")
    assert result.exit_code == 0
    assert node.posts(f"/v1/reports/{filed}/share")[-1].query == [("to", "beta"), ("to", "two words")]
    assert node.reports[filed].to == ["beta", "two words"]
    assert result.stdout.splitlines()[0].split() == ["Shared:", filed]
    assert ["Goes", "to:", "beta,", "two", "words"] in [line.split() for line in result.stdout.splitlines()]


def test_it_asks_before_it_sends(tocsin, node, filed):
    assert "Nothing is sent" in tocsin("report", "share", filed, "--to", "beta", input="n\n").stderr
    assert node.reports[filed].to == []
    asked = tocsin("report", "share", filed, "--to", "beta", input="y\n")
    assert "Would go to: beta" in asked.stderr
    assert node.reports[filed].to == ["beta"]
    assert tocsin("report", "share", filed, "--to", "two words", input="").exit_code == 2
    assert node.reports[filed].to == ["beta"]


def test_a_dry_run_sends_nothing(tocsin, node, filed):
    result = tocsin("report", "share", filed, "--to", "beta", "--dry-run")
    assert (result.exit_code, node.posts(f"/v1/reports/{filed}/share")) == (0, [])
    assert "Would go to" in result.stdout


def test_whoever_has_it_already_is_no_failure(tocsin, node, filed):
    tocsin("report", "share", filed, "--to", "beta", "--yes")
    result = tocsin("report", "share", filed, "--to", "beta")
    assert result.exit_code == 0
    assert ["Have", "it", "already:", "beta"] in [line.split() for line in result.stdout.splitlines()]
    assert "WARNING" not in result.stderr


def test_a_share_that_reaches_nobody_is_a_refusal(tocsin, node, filed):
    node.withholds["two words"] = CEILING
    result = tocsin("report", "share", filed, "--to", "two words")
    assert result.exit_code == 1
    assert "NOT sent to two words" in result.stderr
    assert "tocsin peer approve 'two words' --max-tlp-out amber" in result.stderr
    assert "[nothing-shared]" in result.stderr
    assert result.stdout.splitlines()[0].split() == ["Not", "shared:", filed]
    tried = tocsin("report", "share", filed, "--to", "two words", "--dry-run")
    assert (tried.exit_code, "[nothing-shared]" in tried.stderr) == (1, True)


def test_that_another_has_it_is_no_success_for_who_was_named(tocsin, node, filed):
    tocsin("report", "share", filed, "--to", "beta", "--yes")
    node.withholds["two words"] = CEILING
    assert tocsin("report", "share", filed, "--to", "two words").exit_code == 1
    assert tocsin("report", "share", filed, "--to", "two words", "--to", "beta").exit_code == 0


def test_somebody_must_be_named(tocsin, node, filed):
    result = tocsin("report", "share", filed)
    assert result.exit_code == 2
    assert "--to NAME, or --circle NAME" in result.stderr
    assert "--circle NAME" in tocsin("report", "share", "--help").stdout


def test_who_is_left_behind_is_seen_in_the_report_too(tocsin, node, filed):
    tocsin("report", "share", filed, "--to", "beta", "--yes")
    kept = json.loads(tocsin("report", "show", filed, "--json").stdout)["to"]
    assert [each["current"] for each in kept] == [True]
    node.withholds["beta"] = CEILING
    tocsin("report", "update", filed, "--set", "title=Another title")
    shown = tocsin("report", "show", filed).stdout
    assert f"beta has an earlier version: tocsin report share {filed} --to beta" in shown
