from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_cli.when import read_when

NOW = datetime(2026, 11, 20, 1, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("answer", "start", "fidelity"),
    [
        ("now", "2026-11-19T23:30:00.000Z", "minute"),
        ("yesterday", "2026-11-19T00:00:00.000Z", "day"),
        ("2026-11-02", "2026-11-02T00:00:00.000Z", "day"),
        ("2026-11-2 09:05", "2026-11-02T07:05:00.000Z", "minute"),
        ("2026-11-02T09:05", "2026-11-02T07:05:00.000Z", "minute"),
        ("yesterday 23:00", "2026-11-19T21:00:00.000Z", "minute"),
        ("23:59", "2026-11-19T21:59:00.000Z", "minute"),
        ("0:15", "2026-11-19T22:15:00.000Z", "minute"),
        ("2026-10", "2026-10-01T00:00:00.000Z", "month"),
        ("2025", "2025-01-01T00:00:00.000Z", "year"),
        ("  TODAY ", "2026-11-19T23:30:00.000Z", "day"),
    ],
)
def test_times_are_read_as_people_write_them(answer, start, fidelity):
    assert read_when(answer, now=NOW) == (start, fidelity)


@pytest.mark.parametrize(
    "answer",
    [
        "tomorrow",
        "2026-11-21",
        "today 23:59",
        "2026-11-20 23:59",
        "2026-13-01",
        "2026-02-30",
        "25:00",
        "soon",
        "99999",
        "1/2/2026",
        "-1",
    ],
)
def test_what_is_no_time_in_the_past_is_not_understood(answer):
    assert read_when(answer, now=NOW) is None


@given(st.text())
def test_nothing_that_is_typed_breaks_it(answer):
    found = read_when(answer, now=NOW)
    assert found is None or datetime.fromisoformat(found[0]) <= NOW.astimezone(UTC)
