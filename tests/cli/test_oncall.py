import json
from datetime import UTC, datetime, timedelta

import pytest

from tocsin_cli.ahead import read_ahead, read_span


def test_it_shows_who_is_on_call_and_who_is_next(tocsin, node):
    text = tocsin("oncall", "show").stdout
    for piece in ("first", "@ada:hs", "2026-11-23 09:00:00 +01:00", "@bo:hs"):
        assert piece in text
    assert json.loads(tocsin("oncall", "show", "--json").stdout)["rotas"][0]["now"]["person"] == "@ada:hs"


def test_it_shows_another_time_and_every_shift_of_some_days(tocsin, node):
    tocsin("oncall", "show", "--at", "2027-01-04T09:00:00+01:00")
    assert node.seen[-1].query == [("at", "2027-01-04T08:00:00.000Z")]
    text = tocsin("oncall", "show", "--at", "2027-01-04T09:00:00+01:00", "--days", "14").stdout
    assert ("until", "2027-01-18T08:00:00.000Z") in node.seen[-1].query
    assert "2026-11-30 09:00:00 +01:00" in text


def test_without_a_rota_it_says_who_is_called(tocsin, node):
    node.rota = False
    assert "who is called: @dee:hs" in tocsin("oncall", "show").stderr


def test_somebody_stands_in_and_no_longer(tocsin, node):
    until = "2027-01-04T17:00:00+00:00"
    made = tocsin(
        "oncall", "override", "first", "@dee:hs", "--until", until, "--note", "swap", "--by", "Mara"
    )
    assert node.asked == {
        "rota": "first", "person": "@dee:hs", "until": "2027-01-04T17:00:00.000Z", "note": "swap", "by": "Mara",
    }  # fmt: skip
    assert "Next: tocsin oncall clear 1" in made.stderr
    assert "@dee:hs in first" in tocsin("oncall", "show").stderr
    assert "is taken back" in tocsin("oncall", "clear", "1", "--by", "Mara").stderr
    assert tocsin("oncall", "override", "first", "@dee:hs").exit_code == 2
    assert tocsin("oncall", "override", "first", "@dee:hs", "--until", "later").exit_code == 2


NOW = datetime(2027, 1, 4, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", NOW),
        ("8h", NOW + timedelta(hours=8)),
        ("30 min", NOW + timedelta(minutes=30)),
        ("2d", NOW + timedelta(days=2)),
        ("2027-01-05T09:00:00Z", datetime(2027, 1, 5, 9, tzinfo=UTC)),
        ("2027-01-05 09:00", datetime(2027, 1, 5, 9).astimezone()),
        ("9999999h", None),
        ("0h", None),
        ("soon", None),
        ("", None),
        ("2027-02-30", None),
    ],
)
def test_times_ahead_are_read_as_people_write_them(text, found):
    assert read_ahead(text, now=NOW) == found


@pytest.mark.parametrize("text", ["h", "1", "1w", "-1h", "1h30m", "١h"])
def test_what_is_no_span_is_none(text):
    assert read_span(text) is None
