"""`tocsin report duplicates` and `tocsin report duplicate-of`: what is like a report, and a person's word on it."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import click

from tocsin_cli.client import STIX, parsed, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_table import whence
from tocsin_cli.commands.report_told import refuse_as_tried, tell_answer, warn_not_sent
from tocsin_cli.errors import CliError, Refused, UsageFault
from tocsin_cli.filing import build_bundle, member, post
from tocsin_cli.listing import listed
from tocsin_cli.queue import Waiting
from tocsin_cli.session import Session, pass_session


class Change(Protocol):
    """Makes the next version of a report, about another one."""

    def __call__(self, raw: bytes, other_id: str, /, *, now: datetime) -> bytes:
        """The bundle of the next version."""


@click.command("duplicates", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@pass_session
def duplicates(session: Session, report_id: str) -> None:
    """Show reports that may tell of the same event, and why.

    Nothing is merged. When two are the same, say so: tocsin report duplicate-of ID OTHER --by NAME; when they are
    not: the same with --not, and the suggestion is gone.
    """
    found = session.client.json("GET", f"/v1/reports/{segment(report_id)}/duplicates")
    items = listed(session, found, nothing="No report here is like it.")
    if not items:
        return
    for item in items:
        session.out.facts(_facts(item))
        session.out.line()
    session.out.next_step(f"tocsin report duplicate-of {report_id} OTHER --by NAME, or with --not")


@click.command("duplicate-of", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.argument("other_id", metavar="OTHER", type=ReportId())
@click.option("--by", metavar="NAME", help="Who says so; it stays at your own node.")
@click.option("--not", "distinct", is_flag=True, help="They are not the same: do not suggest it again.")
@click.option("--undo", is_flag=True, help="Take back what was said of the two.")
@click.option("--reason", metavar="TEXT", help="Why; it stays at your own node.")
@click.option("--dry-run", is_flag=True, help="Show who would be told; store and send nothing.")
@pass_session
def duplicate_of(
    session: Session,
    report_id: str,
    other_id: str,
    by: str | None,
    distinct: bool,
    undo: bool,
    reason: str | None,
    dry_run: bool,
) -> None:
    """Say that two reports are the same event, or are not.

    The decision is kept at your node. If the report is your own and everybody who has it was sent the other as well, a
    new version of it names the other and goes to them; else the other's id is told to nobody. Nothing is merged.

    --undo takes back what was said: the decision is forgotten, and a report of yours that names the other goes out in a
    new version that does not.
    """
    if report_id == other_id:
        raise UsageFault("A report is no duplicate of itself.", hint="Give the ids of two reports.")
    if undo and (distinct or reason):
        raise UsageFault("--undo takes nothing else.", hint="Leave --not and --reason out.")
    if undo:
        _undo(session, report_id, other_id, dry_run=dry_run)
        return
    if not by:
        raise UsageFault("Nobody is named who says so.", hint="Give --by NAME; it stays at your own node.")
    may_tell = not distinct and _may_tell(session, report_id, other_id)
    if not dry_run:
        _decide(
            session,
            report_id,
            other_id,
            {"verdict": "distinct" if distinct else "duplicate", "by": by},
            reason,
        )
    if may_tell:
        _tell_everybody(session, report_id, other_id, dry_run=dry_run)


def _decide(
    session: Session, report_id: str, other_id: str, decision: Mapping[str, str], reason: str | None
) -> None:
    path = _path(report_id, other_id)
    kept = session.client.json("PUT", path, send={**decision, **({"reason": reason} if reason else {})})
    said = "is not" if member(kept, "verdict") == "distinct" else "is"
    session.out.say(
        f"Kept at your node: {report_id} {said} the same event as {other_id}, says {decision['by']}."
    )


def _may_tell(session: Session, report_id: str, other_id: str) -> bool:
    """Whether everybody who has the report may read of the other; if not, say why it stays here."""
    found = session.client.json("GET", _path(report_id, other_id))
    if member(found, "may"):
        return True
    left = [str(name) for name in found.get("never_sent") or []]
    why = {
        "not-ours": "it is not your report",
        "withdrawn": "your report is withdrawn",
        "nobody-has-it": "nobody else has the report from you",
        "marked-stricter": "the other report is marked more strictly",
        "never-sent": f"{', '.join(left)} never got the other report and would learn that there is one",
    }.get(str(found.get("why")), str(found.get("why")))
    session.out.warn(f"It is told to nobody: {why}.")
    if left:
        to = " ".join(f"--to {shlex.quote(name)}" for name in left)
        session.out.warn(f"  To tell it: tocsin report share {other_id} {to}; then this again.")
    return False


def _tell_everybody(session: Session, report_id: str, other_id: str, *, dry_run: bool) -> None:
    """File a new version of an own report that names the other, unless it does already."""
    from tocsin_schema.stix import mark_duplicate

    held = session.client.raw("GET", f"/v1/reports/{segment(report_id)}", accept=STIX)
    if not names_as_duplicate(held, report_id, other_id):
        _revise(session, report_id, other_id, held, mark_duplicate, dry_run=dry_run)


def _undo(session: Session, report_id: str, other_id: str, *, dry_run: bool) -> None:
    """Take the name out of those of the two that are ours and hold it, then forget the decision."""
    from tocsin_schema.stix import unmark_duplicate

    told = False
    for one, other in ((report_id, other_id), (other_id, report_id)):
        path = f"/v1/reports/{segment(one)}"
        shown = session.client.json("GET", path)
        if not (member(shown, "origin") or {}).get("ours") or shown.get("state") == "withdrawn":
            continue
        held = session.client.raw("GET", path, accept=STIX)
        if names_as_duplicate(held, one, other):
            _revise(session, one, other, held, unmark_duplicate, dry_run=dry_run)
            told = True
    if dry_run:
        return
    try:
        session.client.json("DELETE", _path(report_id, other_id))
    except Refused as exc:
        if exc.code != "decision-unknown" or not told:
            raise
    session.out.say(f"Taken back: nothing is said of {report_id} and {other_id} any more.")


def _revise(
    session: Session, report_id: str, other_id: str, held: bytes, change: Change, *, dry_run: bool
) -> None:
    from tocsin_schema.errors import SchemaError

    try:
        bundle = change(held, other_id, now=datetime.now(UTC))
    except SchemaError as exc:
        raise CliError(str(exc), code=exc.code, hint=exc.hint) from exc
    path = f"/v1/reports/{segment(report_id)}"
    answer = post(session.client, "PUT", path, bundle, [("dry_run", "1")] if dry_run else [])
    tell_answer(session.out, answer, dry_run=dry_run, heading="Updated")
    warn_not_sent(session.out, answer)
    refuse_as_tried(answer)


def _path(report_id: str, other_id: str) -> str:
    return f"/v1/reports/{segment(report_id)}/duplicates/{segment(other_id)}"


def names_as_duplicate(bundle: bytes, report_id: str, other_id: str) -> bool:
    """Whether a report says already that it is a duplicate of the other."""
    found = parsed(bundle)
    return any(
        each.get("relationship_type") == "duplicate-of"
        and (each.get("source_ref"), each.get("target_ref")) == (report_id, other_id)
        for each in member(found, "objects")
    )


def warn_of_likely(session: Session, report_id: str) -> None:
    """After a filing: name the reports that it looks like. Whatever fails here is no matter of the filing."""
    try:
        found = session.client.json("GET", f"/v1/reports/{segment(report_id)}/duplicates")
        likely = _likely(found)
    except CliError as exc:
        session.out.detail(f"Duplicates were not looked for: {exc}")
        return
    if likely:
        _warn(session, likely)
        session.out.warn(f"If it is the same event: tocsin report duplicate-of {report_id} OTHER --by NAME")


def warn_of_likely_before(session: Session, item: Waiting) -> None:
    """The same before a filing."""
    try:
        bundle = item.bundle or build_bundle(item, session.client.json("GET", "/v1/node"))
        found = parsed(session.client.raw("POST", "/v1/duplicates", body=bundle.encode()))
        _warn(session, _likely(found))
    except CliError as exc:
        session.out.detail(f"Duplicates were not looked for: {exc}")


def _likely(found: object) -> list[Mapping[str, Any]]:
    return [item for item in member(found, "items") if item.get("likely")]


def _warn(session: Session, likely: Sequence[Mapping[str, Any]]) -> None:
    for item in likely:
        why = "; ".join(item.get("reasons") or [])
        session.out.warn(
            f"It looks like {item.get('id')} ({item.get('likeness')} of 100): {item.get('name')}\n  {why}"
        )


def _facts(item: Mapping[str, Any]) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        ("Report", item.get("id")),
        ("Title", item.get("name")),
        ("From", whence(item.get("origin"))),
        (
            "Likeness",
            f"{item.get('likeness')} of 100{', likely the same event' if item.get('likely') else ''}",
        ),
    ]
    pairs += [("because of", reason) for reason in item.get("reasons") or []]
    decision = item.get("decision")
    if isinstance(decision, Mapping):
        said = "the same event" if decision.get("verdict") == "duplicate" else "not the same event"
        pairs.append(("Decided", f"{said}, says {decision.get('by')}"))
    return pairs
