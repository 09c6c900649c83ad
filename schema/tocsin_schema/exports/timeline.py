"""When what happened, as exactly as it is known, in order."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from tocsin_schema import times
from tocsin_schema import vocabulary as voc
from tocsin_schema.exports.content import Content

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_TIMES: Final = (
    ("occurred_start", "It began"),
    ("occurred_end", "It ended"),
    ("detected_at", "It was noticed"),
    ("aware_at", "The organisation became aware"),
    ("causal_link_at", "The link to the AI system was established"),
    ("contained_at", "It stopped spreading"),
    ("resolved_at", "The cause was removed"),
)


class Moment(NamedTuple):
    """One point of the timeline."""

    at: datetime
    shown: str
    said: str


def timeline(found: Content) -> list[Moment]:
    """Everything that has a time, in order."""
    report, facts = found.report, found.report.extension
    exact = facts.get("occurred_fidelity", "")
    moments = [
        _moment(facts[name], said, exact if name.startswith("occurred") else "")
        for name, said in _TIMES
        if name in facts
    ]
    actions = [action for action in facts.get("actions_taken", ()) if "at" in action]
    moments += [_moment(action["at"], action_text(action), "") for action in actions]
    moments.append(Moment(report.created, day(report.created, "minute"), f"Reported by {found.creator}"))
    if report.modified != report.created:
        said = "Withdrawn" if report.revoked else "This version"
        moments.append(Moment(report.modified, day(report.modified, "minute"), said))
    return sorted(moments, key=lambda moment: moment.at)


def action_text(action: Mapping[str, Any]) -> str:
    """What was done, in words where there are some."""
    said = voc.ACTION_KIND.get(action["kind"], action["kind"])
    return f"Done: {said}" + (f". {action['text']}" if "text" in action else "")


def undated_actions(facts: Mapping[str, Any]) -> list[str]:
    """What was done at no time that anybody said."""
    return [action_text(action) for action in facts.get("actions_taken", ()) if "at" not in action]


def _moment(text: str, said: str, exact: str) -> Moment:
    at = times.parse(text)
    assert at is not None  # the check has passed it
    return Moment(at, day(at, exact or "minute"), said)


def day(at: datetime, exact: str) -> str:
    """A time as exactly as it is known: "March 2025", "23 March 2025", "23 March 2025, 16:02 UTC"."""
    month = f"{MONTHS[at.month - 1]} {at.year}"
    if exact in ("year", "month"):
        return str(at.year) if exact == "year" else month
    date = f"{at.day} {month}"
    if exact == "day":
        return date
    return f"{date}, {at:%H:%M:%S} UTC" if exact == "second" else f"{date}, {at:%H:%M} UTC"
