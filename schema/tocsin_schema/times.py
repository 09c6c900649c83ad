"""Times: one form on the wire (`2025-03-24T10:15:00.000Z`), aware UTC datetimes in the code.

STIX allows any number of fractional digits; we read one to six and write three, as RFC 3339 in UTC. Leap
seconds are refused, as the profile's readers are Python, JavaScript and Postgres, and none of them has
second 60.
"""

import re
from datetime import UTC, datetime
from typing import Final

from tocsin_schema.errors import BadTimestamp

TIMESTAMP_PATTERN: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z"
_SHAPE = re.compile(TIMESTAMP_PATTERN, re.ASCII).fullmatch


def parse(text: object) -> datetime | None:
    """The time that `text` says, or None when it is not a STIX timestamp of a day that exists."""
    if type(text) is not str or _SHAPE(text) is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def write(moment: datetime) -> str:
    """A moment as STIX writes it, in UTC, cut (never rounded up) to the millisecond.

    Raises: `BadTimestamp` when the moment carries no time zone or lies outside the years 1 to 9999 in UTC.
    """
    if moment.tzinfo is None:
        raise BadTimestamp("A time without a time zone could mean any of 26 hours.")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError as exc:
        raise BadTimestamp from exc
    # isoformat pads the year to four digits on every platform; strftime does not.
    return utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_millisecond(moment: datetime) -> datetime:
    """The moment in UTC, cut to the millisecond: what reading back `write(moment)` gives."""
    utc = moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)
