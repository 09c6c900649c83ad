"""An alert in words: its facts, its history and its messages, for every command that shows one."""

from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.commands.report_table import whence
from tocsin_cli.deliveries import state_of
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session

DONE = {
    "ack": "acknowledged",
    "take": "taken",
    "mute": "muted",
    "resolve": "resolved",
    "escalate": "escalated",
    "unanswered": "unanswered",
}


class AlertNumber(click.IntRange):
    """The number of an alert."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        try:
            int(value)
        except ValueError as exc:
            hint = "`tocsin alert list` shows the numbers."
            raise UsageFault(f"{value} is not a number.", hint=hint) from exc
        return super().convert(value, param, ctx)


def tell(session: Session, found: Mapping[str, Any]) -> None:
    """Show one alert in full."""
    member(found, "id")
    if session.out.as_json:
        session.out.document(found)
        return
    pairs: list[tuple[str, object]] = [
        ("Alert", f"{found['id']} ({found.get('kind')})"),
        ("Title", found.get("title")),
        ("Grade", f"{found.get('grade')}, level {found.get('level')}; TLP:{str(found.get('tlp')).upper()}"),
        (
            "Report",
            f"{found['report_id']} (version {found.get('ver')})" if found.get("report_id") else "none",
        ),
        ("From", _origin(found)),
        ("Raised", local_time(found.get("raised_at"))),
        ("State", state_words(found)),
    ]
    pairs += [("Silenced", _silence_line(found["silenced"]))] if found.get("silenced") else []
    if found.get("next_escalation_at"):
        pairs.append(("Next call", local_time(found["next_escalation_at"])))
    pairs += [("History", act_line(each)) for each in found.get("history") or []]
    pairs += [("Delivery", _delivery_line(each)) for each in found.get("deliveries") or []]
    session.out.facts(pairs)


def _origin(found: Mapping[str, Any]) -> str:
    """Who brought the report, and what it is called in the alert where that says more."""
    name, called = whence(found.get("from")), str(found.get("origin") or "")
    return called if called.startswith(name) else f"{name} ({called})" if called else name


def state_words(found: Mapping[str, Any]) -> str:
    """The state, and who has it in hand."""
    words = [str(found.get("state"))]
    if found.get("disputed"):
        words.append("disputed: its author vouches for it no longer, ask them")
    words += ["nobody has answered though everybody was called"] if found.get("unanswered") else []
    words += [f"{found['assigned']} works on it"] if found.get("assigned") else []
    words += [f"muted until {local_time(found['muted_until'])}"] if found.get("muted_until") else []
    return "; ".join(words)


def act_line(each: Mapping[str, Any]) -> str:
    """What was done, by whom, where and when, on one line."""
    kind = str(each.get("kind"))
    where = f" at {each['node']}" if each.get("node") and each.get("via") != "peer" else ""
    level = f" to level {each['level']}" if kind == "escalate" and each.get("level") is not None else ""
    until = f" until {local_time(each['until'])}" if each.get("until") else ""
    note = f": {each['note']}" if each.get("note") else ""
    gone = ""
    if each.get("revoked_at"):
        by = f" by {each['revoked_by']}" if each.get("revoked_by") else ""
        gone = f", taken back {local_time(each['revoked_at'])}{by}"
    if each.get("disputed"):
        gone = ", disputed by its author: it does not count"
    done = f"{DONE.get(kind, kind)}{level}{until}"
    return (
        f"{done} by {each.get('by')}{where} via {each.get('via')}, {local_time(each.get('at'))}{gone}{note}"
    )


def standing(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The acknowledgements that were not taken back and count."""
    return [
        each
        for each in found.get("acknowledgements") or []
        if each.get("revoked_at") is None and not each.get("disputed")
    ]


def whose(each: Mapping[str, Any]) -> str:
    """Who acknowledged it."""
    return f"{each.get('by')} (peer)" if each.get("node") else str(each.get("by"))


def held_words(each: Mapping[str, Any]) -> str:
    """The state of a message, and that a silence holds it."""
    held = str(each.get("held") or "")
    return "silenced" if held.startswith("silence ") and _waits(each) else state_of(each)


def _waits(each: Mapping[str, Any]) -> bool:
    return each.get("state") == "pending" and bool(each.get("not_before"))


def _silence_line(silence: Mapping[str, Any]) -> str:
    until = local_time(silence.get("until"))
    return f"until {until} by {silence.get('by')}: {silence.get('reason')} (silence {silence.get('id')})"


def _delivery_line(each: Mapping[str, Any]) -> str:
    when = each.get("seen_at") or each.get("echoed_at") or each.get("accepted_at")
    kind = each.get("kind") or "ring"
    what = "" if kind == "ring" else f" {kind}"
    parts = [f"{each.get('channel')} {each.get('room')}{what}: {state_of(each)}"]
    parts += [f"in the thread of delivery {each['thread']}"] if each.get("thread") else []
    parts += [f"in the place of delivery {each['edits']}"] if each.get("edits") else []
    parts += [str(each["held"])] if each.get("held") else []
    parts += [f"not before {local_time(each['not_before'])}"] if _waits(each) else []
    parts += [local_time(when)] if when else []
    parts += [f"{each.get('attempts')} tries"] if int(each.get("attempts") or 0) > 1 else []
    parts += [f"last error: {each['last_error']}"] if each.get("last_error") else []
    return ", ".join(parts)
