"""`tocsin duty`: what is owed to which authority, by when, why, and how sure that is; a named person decides."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.listing import cursor_option, limit_option, listed
from tocsin_cli.plain import local_time, utc_text
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import When

_BY = click.option("--by", metavar="NAME", required=True, help="The person who says so.")
_NUMBER = click.argument("duty_id", metavar="DUTY", type=click.IntRange(min=1))


@click.group("duty", cls=LazyGroup, no_args_is_help=True)
def duty() -> None:
    """See what is owed to which authority, by when and why, and decide about it.

    A rule proposes; a named person confirms or dismisses. Nothing is sent to an authority from here.
    """


@duty.command("list")
@click.option("--open", "open_only", is_flag=True, help="Only what is open and in force (the default).")
@click.option("--all", "everything", is_flag=True, help="Also what is settled, dismissed or not in force.")
@click.option("--report", "report_id", metavar="ID", type=ReportId(), help="All about one report.")
@limit_option("Duties")
@cursor_option
@pass_session
def list_(
    session: Session, open_only: bool, everything: bool, report_id: str | None, limit: int, cursor: str | None
) -> None:
    """List duties, shortest due first; the date is the one on the safe side."""
    if open_only and everything:
        raise UsageFault("--open and --all exclude each other.")
    narrow = open_only or not (everything or report_id)
    query = [("limit", str(limit)), *([("open", "1")] if narrow else [])]
    query += [(name, value) for name, value in (("report", report_id), ("cursor", cursor)) if value]
    found = session.client.json("GET", "/v1/duties", query=query)
    items = member(found, "items")
    if session.out.as_json:
        session.out.document(found)
        return
    if not member(found, "organisation").get("stated"):
        session.out.say("No duties are reckoned: set roles and jurisdictions in [duties] of node.toml.")
    if not items:
        session.out.say("No open duties." if narrow else "No duties.")
        return
    columns = ["duty", "due", "time", "state", "rule", "stage", "to", "report"]
    session.out.table(columns, [_row(item) for item in items])
    session.out.next_step("tocsin duty show DUTY")
    if found.get("next"):
        more = " --all" if everything else ""
        about = f" --report {report_id}" if report_id else ""
        session.out.next_step(f"tocsin duty list --limit {limit}{more}{about} --cursor {found['next']}")


@duty.command("show")
@_NUMBER
@pass_session
def show(session: Session, duty_id: int) -> None:
    """Show one duty: when it is due, why, what would decide it, how sure the rule is, and its history."""
    _tell(session, session.client.json("GET", f"/v1/duties/{duty_id}"))


@duty.command("track")
@click.argument("report_id", metavar="ID", type=ReportId())
@_BY
@click.option("--reason", metavar="TEXT", help="Why this report concerns you.")
@pass_session
def track(session: Session, report_id: str, by: str, reason: str | None) -> None:
    """Reckon your duties for a report that is not yours, such as a peer's about your system."""
    asked = {"report_id": report_id, "by": by, **_given(reason=reason)}
    found = session.client.json("POST", "/v1/duties/track", send=asked)
    items = listed(
        session, found, nothing="No rule asks for anything; it is looked at again when the report changes."
    )
    if not items:
        return
    session.out.table(
        ["duty", "due", "time", "state", "rule", "stage", "to", "report"], list(map(_row, items))
    )
    session.out.next_step(f"tocsin duty list --report {report_id}")


@duty.command("confirm")
@_NUMBER
@_BY
@click.option("--reason", metavar="TEXT", help="Why it applies.")
@click.option(
    "--start", type=When(), metavar="TIME", help="When this clock started, if the report does not say."
)
@pass_session
def confirm(session: Session, duty_id: int, by: str, reason: str | None, start: datetime | None) -> None:
    """Say that a rule applies: to all of its stages for this report."""
    asked = {"by": by, **_given(reason=reason, start=start)}
    _tell(session, session.client.json("POST", f"/v1/duties/{duty_id}/confirm", send=asked))


@duty.command("dismiss")
@_NUMBER
@_BY
@click.option("--reason", metavar="TEXT", required=True, help="Why it does not apply.")
@pass_session
def dismiss(session: Session, duty_id: int, by: str, reason: str) -> None:
    """Say that a rule does not apply: to none of its stages for this report. It stays in the history."""
    asked = {"by": by, "reason": reason}
    _tell(session, session.client.json("POST", f"/v1/duties/{duty_id}/dismiss", send=asked))


@duty.command("done")
@_NUMBER
@_BY
@click.option("--reference", metavar="TEXT", help="The authority's reference.")
@click.option("--at", type=When(), metavar="TIME", help="When the report was made; else now.")
@pass_session
def done(session: Session, duty_id: int, by: str, reference: str | None, at: datetime | None) -> None:
    """Record that this report to the authority was made. Clocks that start with it start."""
    asked = {"by": by, **_given(reference=reference, at=at)}
    _tell(session, session.client.json("POST", f"/v1/duties/{duty_id}/done", send=asked))


def _given(**values: str | datetime | None) -> dict[str, str]:
    texts = {
        name: utc_text(value) if isinstance(value, datetime) else value for name, value in values.items()
    }
    return {name: text for name, text in texts.items() if text is not None}


def _row(item: Mapping[str, Any]) -> list[object]:
    return [
        item["id"],
        _due(item),
        "" if item.get("progress") is None else f"{min(item['progress'], 9.99):.0%}",
        state_words(item),
        item.get("regime"),
        item.get("stage_title"),
        item.get("recipient"),
        item.get("report_name"),
    ]


def _due(item: Mapping[str, Any]) -> str:
    if item.get("due_conservative"):
        return local_time(item["due_conservative"])
    return "waits" if item.get("clock") == "waiting" else str(item.get("wording", ""))


def state_words(item: Mapping[str, Any]) -> str:
    """How a duty stands, in a few words: what was decided, and what makes it less than certain."""
    words = [str(item.get("state"))]
    if item.get("state") in {"proposed", "confirmed"} and item.get("missed_at"):
        words.insert(0, "MISSED,")
    if item.get("late"):
        words.append("late")
    if item.get("standing") != "applies":
        words.append(f"({item.get('standing')})")
    if not item.get("in_force"):
        words.append("(not in force)")
    if not item.get("verified"):
        words.append("(not verified)")
    return " ".join(words)


def _tell(session: Session, found: Mapping[str, Any]) -> None:
    member(found, "id")
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.facts(list(_facts(found)))
    if found.get("state") == "proposed":
        session.out.next_step(f"tocsin duty confirm {found['id']} --by NAME")
    elif found.get("state") == "confirmed":
        shown = f"{found.get('report_id')} --regime {found.get('regime')}"
        session.out.next_step(f"tocsin report export authority {shown} --format pdf --out FILE")
        session.out.next_step(f"tocsin duty done {found['id']} --by NAME")


def _facts(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        ("Duty", f"{found['id']}: {found.get('title')}, {found.get('stage_title')}"),
        ("Rule", f"{found.get('regime')}: {found.get('wording')}"),
        ("To", found.get("recipient")),
        ("State", state_words(found)),
        ("Report", f"{found.get('report_name')} ({found.get('report_id')})"),
    ]
    if found.get("start_at"):
        pairs.append(("Clock since", f"{local_time(found['start_at'])}: {found.get('start_from')}"))
    pairs += [
        (label, found[name])
        for name, label in (("assumed", "Assumed"), ("waits_for", "Waits for"))
        if found.get(name)
    ]
    for name, label in (("due_conservative", "Due, safe side"), ("due_legal", "Due, as counted")):
        if found.get(name):
            pairs.append((label, local_time(found[name])))
    if found.get("progress") is not None:
        pairs.append(("Has run", f"{found['progress']:.0%}"))
    pairs += [("Because", each) for each in found.get("reasons") or []]
    pairs += [("Undecided", each) for each in found.get("missing") or []]
    pairs += [("Doubt", each) for each in found.get("doubts") or []]
    if found.get("effective_from"):
        pairs.append(("In force from", found["effective_from"]))
    if found.get("missed_at"):
        pairs.append(("Missed", local_time(found["missed_at"])))
    if found.get("done_at"):
        pairs.append(("Done", f"{local_time(found['done_at'])} {found.get('reference') or ''}".strip()))
    return pairs + [("History", _step(each)) for each in found.get("history") or []]


def _step(each: Mapping[str, Any]) -> str:
    who = f" by {each['by']}" if each.get("by") else ""
    said = f": {each['said']}" if each.get("said") else ""
    return f"{local_time(each.get('at'))} {each.get('what')}{who}{said}"
