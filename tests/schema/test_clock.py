"""How legal periods are counted: properties for every rule, and the days that go wrong in practice."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_schema.clock import Limit, due, is_working

BRUSSELS, UTC_ZONE = ZoneInfo("Europe/Brussels"), ZoneInfo("UTC")
ZONES = st.sampled_from(
    [
        "Europe/Brussels",
        "Europe/Dublin",
        "America/Los_Angeles",
        "America/New_York",
        "Asia/Shanghai",
        "UTC",
        "Pacific/Apia",
    ]
).map(ZoneInfo)
STARTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
HOLIDAYS = st.frozensets(st.dates(date(2020, 1, 1), date(2030, 1, 1)), max_size=20)
DAYS = st.integers(1, 90)


def at(text, zone=UTC_ZONE):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def eu(days):
    return Limit(days, "days", "eu")


limits = st.one_of(
    st.builds(Limit, st.integers(1, 2000), st.just("hours"), st.just("elapsed")),
    st.builds(Limit, DAYS, st.just("days"), st.sampled_from(["eu", "calendar", "working"])),
    st.builds(Limit, st.integers(1, 24), st.just("months"), st.sampled_from(["eu", "calendar"])),
    st.builds(Limit, st.integers(1, 31), st.just("day-of-month"), st.sampled_from(["eu", "calendar"])),
)


@given(STARTS, limits, ZONES, HOLIDAYS)
def test_the_safe_date_is_never_after_the_legal_one_and_both_lie_ahead(start, limit, zone, holidays):
    ends = due(start, limit, zone, holidays)
    assert start < ends.conservative <= ends.legal


@given(STARTS, limits, ZONES, HOLIDAYS, st.integers(0, 10 * 24 * 60))
def test_who_starts_later_is_never_due_earlier(start, limit, zone, holidays, minutes):
    later = due(start + timedelta(minutes=minutes), limit, zone, holidays)
    assert due(start, limit, zone, holidays).legal <= later.legal


@given(STARTS, DAYS, ZONES, HOLIDAYS)
def test_eu_days_end_at_midnight_after_a_working_day_and_hold_two_of_them(start, days, zone, holidays):
    legal = due(start, eu(days), zone, holidays).legal
    end = (legal - timedelta(microseconds=1)).astimezone(zone)
    first, last = start.astimezone(zone).date(), end.date()
    assert legal.astimezone(zone).date() > last
    assert is_working(last, holidays)
    assert last >= first + timedelta(days=days)
    counted = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    assert sum(is_working(day, holidays) for day in counted) >= min(days, 2)


@given(STARTS, DAYS, ZONES, HOLIDAYS)
def test_working_days_are_exactly_that_many(start, days, zone, holidays):
    legal = due(start, Limit(days, "days", "working"), zone, holidays).legal
    first = start.astimezone(zone).date()
    last = (legal - timedelta(microseconds=1)).astimezone(zone).date()
    counted = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    assert sum(is_working(day, holidays) for day in counted) == days
    assert is_working(last, holidays)


@given(STARTS, st.integers(1, 2000), ZONES)
def test_hours_run_through_whatever_the_clocks_on_the_wall_do(start, hours, zone):
    ends = due(start, Limit(hours, "hours", "elapsed"), zone)
    assert ends.conservative == ends.legal == start + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("start", "days", "legal", "holidays"),
    [
        ("2026-10-05T08:00", 2, "2026-10-07T22:00", []),  # Monday: Tuesday, Wednesday, 24:00 in summer time
        ("2026-10-08T08:00", 2, "2026-10-12T22:00", []),  # Thursday: Saturday becomes Monday
        ("2026-10-09T08:00", 2, "2026-10-13T22:00", []),  # Friday: Monday alone would be one working day
        ("2026-10-10T08:00", 2, "2026-10-13T22:00", []),  # Saturday: Monday and Tuesday
        ("2026-10-05T08:00", 10, "2026-10-15T22:00", []),
        ("2026-10-05T08:00", 15, "2026-10-20T22:00", []),
        ("2026-10-22T08:00", 5, "2026-10-27T23:00", []),  # over the end of summer time
        ("2026-12-24T08:00", 1, "2026-12-28T23:00", ["2026-12-25"]),
        ("2028-02-18T08:00", 10, "2028-02-28T23:00", []),  # a leap year: 28 February is a Monday
        ("2028-02-18T08:00", 11, "2028-02-29T23:00", []),
        ("2026-10-05T21:59", 2, "2026-10-07T22:00", []),  # still Monday in Brussels
        ("2026-10-05T22:01", 2, "2026-10-08T22:00", []),  # Tuesday there already
    ],
)
def test_eu_days_by_example(start, days, legal, holidays):
    ends = due(at(start), eu(days), BRUSSELS, frozenset(map(date.fromisoformat, holidays)))
    assert ends.legal == at(legal)
    assert ends.conservative == min(at(start) + timedelta(days=days), at(legal))


def test_a_short_day_never_puts_the_safe_date_behind_the_legal_one():
    start = at("2026-03-26T23:45", BRUSSELS)  # two days later the night is an hour short
    ends = due(start, Limit(3, "days", "calendar"), BRUSSELS)
    assert ends.conservative == ends.legal == at("2026-03-29T22:00")
    assert ends.legal < start.astimezone(UTC) + timedelta(days=3)


@pytest.mark.parametrize(
    ("start", "limit", "legal"),
    [
        ("2027-01-31T10:00", Limit(1, "months", "calendar"), "2027-03-01T00:00"),
        ("2028-01-31T10:00", Limit(1, "months", "calendar"), "2028-03-01T00:00"),
        ("2026-12-15T10:00", Limit(1, "months", "calendar"), "2027-01-16T00:00"),
        ("2026-10-14T10:00", Limit(1, "months", "eu"), "2026-11-17T00:00"),  # 14 November is a Saturday
        ("2026-10-05T10:00", Limit(15, "day-of-month", "calendar"), "2026-11-16T00:00"),
        ("2026-12-31T10:00", Limit(15, "day-of-month", "calendar"), "2027-01-16T00:00"),
        ("2027-01-02T10:00", Limit(31, "day-of-month", "calendar"), "2027-03-01T00:00"),
        ("2026-10-09T10:00", Limit(5, "days", "working"), "2026-10-17T00:00"),
        ("2026-10-05T10:00", Limit(30, "days", "calendar"), "2026-11-05T00:00"),
    ],
)
def test_months_and_days_of_months_by_example(start, limit, legal):
    assert due(at(start), limit, UTC_ZONE).legal == at(legal)


@pytest.mark.parametrize(
    "start", [datetime(1, 1, 1), datetime(9999, 12, 31), datetime(1899, 1, 1), datetime(9500, 1, 1)]
)
@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/Los_Angeles"])
def test_times_at_the_end_of_the_calendar_are_survived(start, zone):
    ends = due(start.replace(tzinfo=UTC), Limit(120, "months", "eu"), ZoneInfo(zone))
    assert ends.conservative <= ends.legal


def test_a_year_without_a_working_day_still_ends():
    everything = frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(3 * 366))
    assert due(at("2026-01-01T10:00"), eu(2), UTC_ZONE, everything).legal > at("2026-01-01T10:00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0, "unit": "days", "count": "eu"},
        {"amount": 3, "unit": "hours", "count": "eu"},
        {"amount": 3, "unit": "days", "count": "elapsed"},
        {"amount": 1, "unit": "months", "count": "working"},
        {"amount": 32, "unit": "day-of-month", "count": "calendar"},
        {"amount": 1, "unit": "weeks", "count": "eu"},
        {"amount": 1, "unit": "days", "count": "eu", "more": 1},
    ],
)
def test_a_limit_that_no_rule_counts_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Limit)
