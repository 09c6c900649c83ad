"""Who is on call: rotations in the local time of their zone, and what was changed by hand for a while. Pure.

A rota is a row of people who follow each other. A shift begins at a time on the wall clock and lasts until the next
one begins, so every instant has exactly one person a rota, before the first day too. When the clocks are put forward
over a handover, it happens at that moment; when they are put back over it, at its first passing, once. An override
puts another person in the place of whoever it would have been; of several for one instant the one made last counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

EXACT = timedelta(seconds=1)  # no zone ever changed its offset between two seconds


@dataclass(frozen=True, slots=True)
class Rota:
    """One rotation. `first`: local wall time (naive) at which the first member began; `level`: of the escalation."""

    name: str
    level: int
    members: tuple[str, ...]
    first: datetime
    length: timedelta
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Override:
    """From `begins_at` until before `ends_at` it is `person` in the rota of that name. Of two the higher id counts."""

    id: int
    rota: str
    person: str
    begins_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Shift:
    """A person is on call from `begins_at` until before `ends_at`; `override`: because of that one."""

    rota: str
    level: int
    person: str
    begins_at: datetime
    ends_at: datetime
    override: int | None = None


def moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a clock in `zone` first shows `wall` or, where it never does, jumps over it."""
    early = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if early.astimezone(zone).replace(tzinfo=None) == wall:
        return early
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), early
    offset = after.astimezone(zone).utcoffset()
    while after - before > EXACT:
        middle = before + (after - before) / 2
        middle = middle.replace(microsecond=0) if middle.replace(microsecond=0) > before else before + EXACT
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after


def scheduled(rota: Rota, at: datetime) -> Shift:
    """The shift that `at` (aware) lies in as the rotation has it."""
    local = at.astimezone(rota.zone).replace(tzinfo=None, fold=0)
    nth = (local - rota.first) // rota.length
    while _handover(rota, nth) > at:
        nth -= 1
    while _handover(rota, nth + 1) <= at:
        nth += 1
    return Shift(
        rota.name,
        rota.level,
        rota.members[nth % len(rota.members)],
        _handover(rota, nth),
        _handover(rota, nth + 1),
    )


def on_call(rota: Rota, overrides: Sequence[Override], at: datetime) -> Shift:
    """The shift that `at` lies in, overrides counted: nobody else is on call in it."""
    return next(shifts(rota, overrides, at, at + EXACT))


def shifts(rota: Rota, overrides: Sequence[Override], begin: datetime, end: datetime) -> Iterator[Shift]:
    """Every shift that reaches into [begin, end), in order and without a gap, with its own limits.

    One person may have several that touch: a handover and the edge of an override each begin a new one.
    """
    mine = [o for o in overrides if o.rota == rota.name and o.begins_at < o.ends_at]
    at = begin
    while at < end:
        base = scheduled(rota, at)
        edges = sorted(
            {base.begins_at, base.ends_at}
            | {e for o in mine for e in (o.begins_at, o.ends_at) if base.begins_at < e < base.ends_at}
        )
        for first, last in pairwise(edges):
            if last <= at or first >= end:
                continue
            won = max((o for o in mine if o.begins_at <= first < o.ends_at), key=lambda o: o.id, default=None)
            if won is None:
                yield Shift(rota.name, rota.level, base.person, first, last)
            else:
                yield Shift(rota.name, rota.level, won.person, first, last, won.id)
        at = base.ends_at


def _handover(rota: Rota, nth: int) -> datetime:
    return moment(rota.first + nth * rota.length, rota.zone)
