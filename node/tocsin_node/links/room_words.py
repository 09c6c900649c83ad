"""What the alarm answers in the room: short, ours, without anything that a report says. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

HELP = (
    ("!ack [N] [note]", "somebody has seen it: nobody further is called (a reaction 👀 👍 ✅ does the same)"),
    ("!take [N] [note]", "I work on it"),
    ("!mute 2h [N]", "call nobody for that time; at most 24h, 1h for grade I"),
    ("!resolve [N] [note]", "it is over"),
    ("!escalate [N] [note]", "I want help: the next are called now"),
    ("!status [N]", "how an alert stands; without a number all that are open"),
    ("!affected [N] [note]", "in an emergency: we are; or !not-affected, !investigating"),
    ("!oncall", "who is on call, and who is next"),
    ("!subscriptions", "what you are told of besides; !unsubscribe N ends one"),
)
HELP_END = (
    "N is the alert's number; in its thread, or as a reply to it, it can be left out. To take a word back, remove the"
    " message."
)
NO_EMERGENCY = "Alert {alert} is no emergency: say it of the report, `tocsin report opinion ID --affected`."
NO_ALERT = (
    "Which alert? Answer in its thread, or give its number: !{verb} N. !status lists those that are open."
)


def reply_content(lines: Sequence[str], answers: str, thread: str | None) -> dict[str, Any]:
    """A notice that answers the event `answers`, in its thread if it stands in one. It rings nobody."""
    relation: dict[str, Any] = {"m.in_reply_to": {"event_id": answers}}
    if thread is not None:
        relation |= {"rel_type": "m.thread", "event_id": thread, "is_falling_back": False}
    return {
        "msgtype": "m.notice",
        "body": "\n".join(lines),
        "format": "org.matrix.custom.html",
        "formatted_body": "<br>".join(escape(line) for line in lines),
        "m.mentions": {},
        "m.relates_to": relation,
        "org.tocsin.alert": {"v": 1, "message": "notice"},
    }


def help_lines() -> list[str]:
    """All orders, one a line."""
    return [*(f"{order}: {meaning}" for order, meaning in HELP), HELP_END]


def hint_line(word: str) -> str:
    """For an order that there is not."""
    return f"There is no !{word}. !help lists what there is."


def done_line(
    kind: str,
    alert_id: int,
    by: str,
    *,
    note: str | None = None,
    until: datetime | None = None,
    zone: ZoneInfo,
) -> str:
    """That something was done about an alert."""
    said = f" “{note}”" if note else ""
    if kind == "mute" and until is not None:
        return f"Alert {alert_id} is muted until {clock(until, zone)} by {by}: nobody is called until then.{said}"
    words = {
        "ack": f"Alert {alert_id}: {by} has seen it. Nobody further is called.",
        "take": f"Alert {alert_id}: {by} works on it.",
        "resolve": f"Alert {alert_id} is resolved, says {by}.",
    }
    return words[kind] + said


def undone_line(alert_id: int, by: str) -> str:
    """That a word was taken back and nobody else has answered."""
    return f"Alert {alert_id} is open again: {by} took it back. Who takes it?"


def status_line(alert: Mapping[str, Any], zone: ZoneInfo) -> str:
    """How one alert stands, from its JSON; no more than a number, a grade and people."""
    parts = [f"Alert {alert['id']}, grade {alert['grade']}: {alert['state']}"]
    standing = [a for a in alert["acknowledgements"] if a["revoked_at"] is None]
    if standing:
        parts.append("seen by " + ", ".join(dict.fromkeys(str(a["by"]) for a in standing)))
    if alert["assigned"]:
        parts.append(f"{alert['assigned']} works on it")
    if alert["muted_until"]:
        parts.append(f"muted until {clock(alert['muted_until'], zone)}")
    if alert["next_escalation_at"]:
        parts.append(f"the next are called at {clock(alert['next_escalation_at'], zone)}")
    return "; ".join(parts) + "."


def oncall_lines(shown: Mapping[str, Any], zone: ZoneInfo) -> list[str]:
    """Who is on call, a line a rota."""
    if not shown["rotas"]:
        people = ", ".join(shown["responders"]) or "everybody in this room"
        return [f"There is no rota: {people}."]
    return [
        f"{each['name']} (level {each['level']}): {each['now']['person']} until {clock(each['now']['until'], zone)}, "
        f"then {each['next']['person']}"
        for each in shown["rotas"]
    ]


def clock(at: datetime, zone: ZoneInfo) -> str:
    """A moment on the team's wall clock."""
    there = at.astimezone(zone)
    return f"{there:%a %Y-%m-%d %H:%M} {there.tzname()}"


def span_words(span: timedelta) -> str:
    """24 hours, 1 hour, 90 minutes."""
    minutes = round(span / timedelta(minutes=1))
    if minutes % 60:
        return f"{minutes} minutes"
    return "1 hour" if minutes == 60 else f"{minutes // 60} hours"
