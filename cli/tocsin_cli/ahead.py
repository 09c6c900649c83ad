"""Times that lie ahead, and spans, as people write them: "8h", "2d", "2027-01-04 09:00"."""

import re
from datetime import datetime, timedelta
from typing import Any

import click

from tocsin_cli.errors import UsageFault

_SPAN = re.compile(r"([0-9]{1,4})\s*(m|min|h|d)")
_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


class Span(click.ParamType[timedelta]):
    """A span such as 30m, 2h or 1d, as a timedelta."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ARG002
        """Return the span."""
        found = value if isinstance(value, timedelta) else read_span(str(value))
        if found is None:
            raise UsageFault(f"{value} is not a span.", hint="Write 30m, 2h or 1d.")
        return found


class Moment(click.ParamType[datetime]):
    """A moment, or a span from now, as an aware datetime."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ARG002
        """Return the moment."""
        if isinstance(value, datetime):
            return value
        found = read_ahead(str(value), now=datetime.now().astimezone())
        if found is None:
            hint = 'Write "2027-01-04 09:00" in your own zone, 2027-01-04T09:00:00+01:00, or a span from now: 8h.'
            raise UsageFault(f"{value} is not a time.", hint=hint)
        return found


def read_span(text: str) -> timedelta | None:
    """A span; None for what is none, or is nothing."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or not int(match[1]):
        return None
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def read_ahead(text: str, *, now: datetime) -> datetime | None:
    """A moment in the zone of `now` unless it has its own, or a span from `now`; None for what is neither."""
    words = text.strip()
    if words.lower() == "now":
        return now
    span = read_span(words)
    try:
        if span is not None:
            return now + span
        found = datetime.fromisoformat(words)
        return found.astimezone() if found.tzinfo is None else found
    except (ValueError, OverflowError):
        return None
