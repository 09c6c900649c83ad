"""When a subscriber is told: at once, after the quiet hours, or with the day's digest. Pure.

Times of the day are the wall clock's in the subscriber's zone, as in `rota`.
"""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tocsin_node.services.rota import moment

DAY = timedelta(days=1)


def due_at(
    now: datetime,
    zone: ZoneInfo,
    *,
    digest_at: time | None,
    quiet: tuple[time, time] | None,
    breaks: bool,
) -> datetime:
    """When somebody is told of what rings at `now`. `breaks`: it waits for neither digest nor quiet."""
    if breaks:
        return now
    if digest_at is not None:
        return following(now, digest_at, zone)
    if quiet is not None and is_quiet(now, zone, *quiet):
        return following(now, quiet[1], zone)
    return now


def following(now: datetime, clock: time, zone: ZoneInfo) -> datetime:
    """The next instant after `now` at which the wall clock shows `clock`, or jumps over it."""
    day = now.astimezone(zone).date() - DAY
    while (at := moment(datetime.combine(day, clock), zone)) <= now:
        day += DAY
    return at


def is_quiet(now: datetime, zone: ZoneInfo, begin: time, end: time) -> bool:
    """Whether `now` lies in [begin, end) of a day, over midnight where `end` is earlier; equal: never."""
    local = now.astimezone(zone).time()
    return begin <= local < end if begin <= end else local >= begin or local < end
