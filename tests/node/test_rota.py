"""Who is on call: one person at every instant, handovers by the wall clock, overrides by the last word."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin_node.services.rota import Override, Rota, moment, on_call, scheduled, shifts

# Ordinary ones, a half hour's change, changes at midnight, a day that never was, and one without any.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Beirut",
    "Pacific/Apia",
    "Asia/Kolkata",
    "UTC",
)
PEOPLE = ("@ada:hs", "@bo:hs", "@cy:hs")
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)

zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.datetimes(datetime(2009, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
walls = st.datetimes(datetime(2009, 1, 1), datetime(2030, 1, 1)).map(
    lambda t: t.replace(second=0, microsecond=0)
)
lengths = st.one_of(
    st.integers(1, 28).map(lambda days: timedelta(days=days)),
    st.integers(1, 48).map(lambda hours: timedelta(hours=hours)),
)
rotas = st.builds(
    Rota, st.just("first"), st.just(0), st.integers(1, 3).map(lambda n: PEOPLE[:n]), walls, lengths, zones
)


@st.composite
def changed(draw):
    """A rota, an instant, and overrides around it."""
    rota, at = draw(rotas), draw(instants)
    spans = draw(st.lists(st.tuples(st.integers(-72, 72), st.integers(0, 96)), max_size=5))
    overrides = [
        Override(n, "first", f"@stand-in{n}:hs", at + b * HOUR, at + (b + d) * HOUR)
        for n, (b, d) in enumerate(spans, 1)
    ]
    return rota, overrides, at


def weekly(**changes):
    given = {
        "name": "first",
        "level": 0,
        "members": PEOPLE,
        "first": datetime(2027, 1, 4, 9),
        "length": timedelta(days=7),
        "zone": BERLIN,
    }
    return Rota(**(given | changes))


@given(rotas, instants)
@example(weekly(first=datetime(2027, 3, 28, 2, 30), length=HOUR), datetime(2027, 3, 28, 1, tzinfo=UTC))
@example(weekly(first=datetime(2027, 10, 31, 2, 30), length=HOUR), datetime(2027, 10, 31, 1, 15, tzinfo=UTC))
@example(
    weekly(first=datetime(2011, 12, 30, 12), length=timedelta(hours=12), zone=ZoneInfo("Pacific/Apia")),
    datetime(2011, 12, 30, 10, tzinfo=UTC),
)
def test_every_instant_lies_in_exactly_one_shift_and_shifts_touch(rota, at):
    shift = scheduled(rota, at)
    assert shift.begins_at <= at < shift.ends_at
    following = scheduled(rota, shift.ends_at)
    assert following.begins_at == shift.ends_at
    assert scheduled(rota, shift.begins_at) == shift
    assert scheduled(rota, shift.ends_at - timedelta(microseconds=1)) == shift


@given(rotas, instants)
def test_a_handover_is_at_the_time_on_the_wall_wherever_the_clock_shows_it(rota, at):
    handover = scheduled(rota, at).begins_at
    wall = handover.astimezone(rota.zone).replace(tzinfo=None)
    if (wall - rota.first) % rota.length:  # the clock never showed it: it jumped over it at this moment
        before = (handover - timedelta(seconds=1)).astimezone(rota.zone).replace(tzinfo=None)
        assert wall - before > timedelta(seconds=1)
        missed = wall - (wall - rota.first) % rota.length
        assert before < missed < wall


@given(walls, st.integers(0, 3 * 24 * 60), zones)
def test_later_on_the_wall_is_never_earlier_in_the_world(wall, minutes, zone):
    assert moment(wall, zone) <= moment(wall + timedelta(minutes=minutes), zone)


@given(changed())
def test_overrides_leave_no_gap_and_the_one_made_last_counts(given_):
    rota, overrides, at = given_
    found = list(shifts(rota, overrides, at - 80 * HOUR, at + 80 * HOUR))
    assert found[0].begins_at <= at - 80 * HOUR
    assert found[-1].ends_at >= at + 80 * HOUR
    assert all(a.ends_at == b.begins_at for a, b in pairwise(found))
    shift = on_call(rota, overrides, at)
    assert shift in found
    meant = [o for o in overrides if o.begins_at <= at < o.ends_at]
    expected = max(meant, key=lambda o: o.id).person if meant else scheduled(rota, at).person
    assert shift.person == expected


def test_the_week_turns_at_nine_in_summer_and_in_winter():
    rota = weekly()
    for month, day, hour in ((1, 11, 8), (3, 29, 7), (7, 5, 7), (11, 1, 8)):  # Mondays, in UTC
        handover = datetime(2027, month, day, hour, tzinfo=UTC)
        before, after = scheduled(rota, handover - timedelta(seconds=1)), scheduled(rota, handover)
        assert after.begins_at == handover
        assert PEOPLE.index(after.person) == (PEOPLE.index(before.person) + 1) % 3


def test_the_night_in_which_the_clocks_go_back_hands_over_once():
    rota = weekly(first=datetime(2027, 10, 30, 2, 30), length=timedelta(days=1))
    night = [
        scheduled(rota, datetime(2027, 10, 31, 0, tzinfo=UTC) + timedelta(minutes=m)).person
        for m in range(0, 180, 10)
    ]
    assert night == ["@ada:hs"] * 3 + ["@bo:hs"] * 15


def test_before_the_first_day_somebody_is_on_call_too():
    assert scheduled(weekly(), datetime(2026, 12, 31, tzinfo=UTC)).person == "@cy:hs"


def test_an_override_of_another_rota_changes_nothing():
    at = datetime(2027, 1, 5, tzinfo=UTC)
    other = Override(1, "second", "@dee:hs", at, at + HOUR)
    assert on_call(weekly(), [other], at) == scheduled(weekly(), at)


@pytest.mark.parametrize("members", [("@ada:hs",), PEOPLE])
def test_an_override_ends_in_the_middle_of_a_shift_and_the_rest_is_the_rotation_s(members):
    rota = weekly(members=members)
    begin, end = datetime(2027, 1, 5, 12, tzinfo=UTC), datetime(2027, 1, 6, 12, tzinfo=UTC)
    found = list(shifts(rota, [Override(7, "first", "@dee:hs", begin, end)], begin - HOUR, end + HOUR))
    assert [(s.person, s.override) for s in found] == [("@ada:hs", None), ("@dee:hs", 7), ("@ada:hs", None)]
    assert (found[1].begins_at, found[1].ends_at) == (begin, end)
