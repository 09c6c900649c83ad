"""How long a legal period runs: pure arithmetic over one start, one limit, a time zone and the days off.

Every period has two ends. `conservative` is the start plus the period in elapsed time and is what people are warned
about; `legal` is what the rule of counting gives and is never earlier. The rules:

- `elapsed`: hours and minutes run through, without pause; both ends are the same.
- `eu` (Regulation (EEC, Euratom) No 1182/71, Article 3, from memory but for 3(4)): the day of the event is not
  counted; the period ends when the last day ends, 24:00 in the authority's zone; if that is a Saturday, Sunday or
  holiday, with the next working day; a period of two days or more holds at least two working days.
- `calendar`: the day of the event is not counted, the last day ends at 24:00, and nothing is put off.
- `working`: only working days count.

A period in months ends on the day of the same number, or on the last day of a shorter month. `day-of-month` ends with
that day of the following month.
"""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

COUNTING_VERIFIED: Final = {"elapsed": True, "eu": False, "calendar": True, "working": True}
_FIRST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_ONE_DAY: Final = timedelta(days=1)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much time there is: `amount` of `unit`, counted by a rule of this module."""

    amount: int
    unit: Literal["hours", "days", "months", "day-of-month"]
    count: Literal["elapsed", "eu", "calendar", "working"]

    def __post_init__(self) -> None:
        """Refuse what no rule can count."""
        most = {"hours": 100_000, "days": 3_660, "months": 120, "day-of-month": 31}[self.unit]
        if not 1 <= self.amount <= most:
            raise ValueError(f"amount must be 1 to {most} {self.unit}")
        if (self.unit == "hours") != (self.count == "elapsed"):
            raise ValueError("hours are counted as elapsed, and nothing else is")
        if self.count == "working" and self.unit != "days":
            raise ValueError("only days can be counted as working days")

    def words(self) -> str:
        """For people: "10 days", "5 working days", "by the 15th of the next month"."""
        if self.unit == "day-of-month":
            return f"by day {self.amount} of the next month"
        unit = self.unit.removesuffix("s") if self.amount == 1 else self.unit
        return f"{self.amount} {'working ' if self.count == 'working' else ''}{unit}"


class Due(msgspec.Struct, frozen=True):
    """Both ends of a period, aware UTC; `conservative` is never after `legal`."""

    conservative: datetime
    legal: datetime


def due(start: datetime, limit: Limit, zone: ZoneInfo, holidays: frozenset[date] = frozenset()) -> Due:
    """When a period that starts at `start` (aware) ends. Starts outside the years 1900 to 9000 count as those."""
    start = min(max(start.astimezone(UTC), _FIRST), _LAST)
    if limit.unit == "hours":
        end = start + timedelta(hours=limit.amount)
        return Due(end, end)
    first = start.astimezone(zone).date()
    legal = _end_of(_last_day(first, limit, holidays), zone)
    return Due(min(_elapsed(start, first, limit, zone), legal), legal)


def is_working(day: date, holidays: frozenset[date]) -> bool:
    """Whether a day is neither Saturday nor Sunday nor one of the holidays."""
    return day.weekday() < 5 and day not in holidays


def _elapsed(start: datetime, first: date, limit: Limit, zone: ZoneInfo) -> datetime:
    """The start plus the period, to the second."""
    if limit.unit == "days":
        return start + timedelta(days=limit.amount)
    if limit.unit == "months":
        return start + (_months_later(first, limit.amount) - first)
    return _end_of(_day_of_next_month(first, limit.amount), zone)


def _last_day(first: date, limit: Limit, holidays: frozenset[date]) -> date:
    if limit.unit == "day-of-month":
        return _rolled(_day_of_next_month(first, limit.amount), limit, holidays)
    if limit.unit == "months":
        return _rolled(_months_later(first, limit.amount), limit, holidays)
    if limit.count == "working":
        return _after_working_days(first, limit.amount, holidays)
    last = _rolled(first + timedelta(days=limit.amount), limit, holidays)
    if limit.count == "eu" and limit.amount >= 2:
        last = max(last, _after_working_days(first, 2, holidays))
    return last


def _rolled(day: date, limit: Limit, holidays: frozenset[date]) -> date:
    """The day itself, or under `eu` the next working day. A list of holidays without end ends after a year."""
    if limit.count != "eu":
        return day
    for _ in range(366):
        if is_working(day, holidays):
            break
        day += _ONE_DAY
    return day


def _after_working_days(first: date, amount: int, holidays: frozenset[date]) -> date:
    """The day on which the `amount`th working day after `first` falls."""
    day = first
    for _ in range(amount):
        day += _ONE_DAY
        for _ in range(366):
            if is_working(day, holidays):
                break
            day += _ONE_DAY
    return day


def _months_later(first: date, months: int) -> date:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, min(first.day, calendar.monthrange(year, month + 1)[1]))


def _day_of_next_month(first: date, day: int) -> date:
    following = _months_later(first.replace(day=1), 1)
    return following.replace(day=min(day, calendar.monthrange(following.year, following.month)[1]))


def _end_of(day: date, zone: ZoneInfo) -> datetime:
    """24:00 of a day in a zone."""
    return datetime.combine(day + _ONE_DAY, time(), tzinfo=zone).astimezone(UTC)
