"""Spans of time in few characters, for tables that are looked at from afar."""

from datetime import UTC, datetime, timedelta


def span(length: timedelta) -> str:
    """A span in its two greatest units: 45 s, 12 min, 3 h 05 min, 2 d 4 h. Less than nothing is nothing."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{days} d {hours % 24} h" if days < 100 else f"{days} d"


def moment_of(value: object) -> datetime | None:
    """An RFC 3339 time as a datetime in UTC; None for what is none."""
    try:
        found = datetime.fromisoformat(str(value))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def age(value: object, now: datetime) -> str:
    """How long ago a time was."""
    moment = moment_of(value)
    return "-" if moment is None else span(now - moment)


def left(value: object, now: datetime) -> str:
    """How long it is still to a time, or how long it is past."""
    moment = moment_of(value)
    if moment is None:
        return "-"
    return f"in {span(moment - now)}" if moment >= now else f"{span(now - moment)} over"
