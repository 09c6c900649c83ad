"""Times as people write them: "today", "yesterday", "2026-11-20", "2026-11-20 14:30", "14:30"."""

import re
from datetime import UTC, datetime, timedelta

from tocsin_cli.plain import utc_text

_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_MONTH = re.compile(r"(\d{4})-(\d{1,2})")
_YEAR = re.compile(r"\d{4}")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


def read_when(answer: str, *, now: datetime) -> tuple[str, str] | None:
    """Return the start in RFC 3339 UTC and how exact it is (minute to year); None if not understood.

    Days and clock times are those of the writer's zone, which `now` carries. A day is kept as a date at 00:00
    UTC, since nothing more is known. A clock time alone that is still ahead today was yesterday's; any other time
    in the future is not understood.
    """
    words = answer.strip().lower()
    if words == "now":
        return utc_text(now), "minute"
    try:
        found = _absolute(words, now)
    except (ValueError, OverflowError):
        return None
    if found is None:
        return None
    start, fidelity = found
    if start > now and _CLOCK.fullmatch(words):
        there = now - timedelta(days=1)
        start = start.replace(year=there.year, month=there.month, day=there.day)
    if fidelity == "day" and start.date() == now.date():
        start = min(start, now)  # east of Greenwich a day begins before it does in UTC
    return (utc_text(start), fidelity) if start <= now else None


def _absolute(words: str, now: datetime) -> tuple[datetime, str] | None:
    day_words, _, clock = (
        words.replace("t", " ", 1).partition(" ") if _DAY.match(words) else words.partition(" ")
    )
    if _CLOCK.fullmatch(day_words) and not clock:
        day_words, clock = "today", day_words
    days_ago = {"today": 0, "yesterday": 1}.get(day_words)
    if days_ago is not None:
        there = now - timedelta(days=days_ago)
        day = (there.year, there.month, there.day)
    elif match := _DAY.fullmatch(day_words):
        day = (int(match[1]), int(match[2]), int(match[3]))
    elif match := _MONTH.fullmatch(words):
        return datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC), "month"
    elif _YEAR.fullmatch(words):
        return datetime(int(words), 1, 1, tzinfo=UTC), "year"
    else:
        return None
    if not clock:
        return datetime(*day, tzinfo=UTC), "day"
    time = _CLOCK.fullmatch(clock)
    return (datetime(*day, int(time[1]), int(time[2]), tzinfo=now.tzinfo), "minute") if time else None
