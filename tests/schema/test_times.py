from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_schema import times
from tocsin_schema.errors import BadTimestamp

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)


@given(moments)
def test_what_is_written_is_read_back_to_the_millisecond(moment):
    text = times.write(moment)
    assert times.parse(text) == times.to_millisecond(moment)
    assert len(text) == len("2025-03-24T10:15:00.000Z")


@given(moments)
def test_a_moment_is_never_moved_into_the_future(moment):
    assert times.to_millisecond(moment) <= moment


@pytest.mark.parametrize(
    "text",
    [
        "2025-03-24T10:15:00Z",
        "2025-03-24T10:15:00.1Z",
        "2025-03-24T10:15:00.123456Z",
        "2024-02-29T23:59:59.999Z",
    ],
)
def test_these_are_times(text):
    assert times.parse(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", "2025-03-24", "2025-03-24T10:15:00", "2025-03-24T10:15:00+00:00", "2025-03-24t10:15:00z",
        "2025-02-29T00:00:00Z", "2025-13-01T00:00:00Z", "2025-03-24T24:00:00Z", "2016-12-31T23:59:60Z",
        "2025-03-24T10:15:00.Z", "2025-03-24T10:15:00.1234567Z", " 2025-03-24T10:15:00Z", "2025-03-24T10:15:00Z\n",
        "٢٠٢٥-03-24T10:15:00Z", "0000-01-01T00:00:00Z", None, 5, b"2025-03-24T10:15:00Z",
    ],
)  # fmt: skip
def test_these_are_not(text):
    assert times.parse(text) is None


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(BadTimestamp):
        times.write(datetime(2025, 3, 24))


def test_a_time_outside_of_the_calendar_is_refused():
    with pytest.raises(BadTimestamp):
        times.write(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))))
    assert times.write(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000Z"
