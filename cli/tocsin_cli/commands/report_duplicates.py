"""`tocsin report duplicates` and `tocsin report duplicate-of`: what is like a report, and a person's word on it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from tocsin_cli.client import STIX, parsed, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_told import tell_answer, warn_not_sent
from tocsin_cli.errors import CliError, UsageFault
from tocsin_cli.filing import build_bundle, member, post
from tocsin_cli.queue import Waiting
from tocsin_cli.session import Session, pass_session

STRICTNESS = ("clear", "green", "amber", "amber+strict", "red")


@click.command("duplicates", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@pass_session
def duplicates(session: Session, report_id: str) -> None:
    """Show reports that may tell of the same event, and why.

    Nothing is merged. When two are the same, say so: tocsin report duplicate-of ID OTHER --by NAME; when they are
    not: the same with --not, and the suggestion is gone.
    """
    found = session.client.json("GET", f"/v1/reports/{segment(report_id)}/duplicates")
    items = member(found, "items")
    if session.out.as_json:
        session.out.document(found)
        return
    if not items:
        session.out.say("No report here is like it.")
        return
    for item in items:
        session.out.facts(_facts(item))
        session.out.line()
    session.out.next_step(f"tocsin report duplicate-of {report_id} OTHER --by NAME, or with --not")


@click.command("duplicate-of", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.argument("other_id", metavar="OTHER", type=ReportId())
@click.option("--by", metavar="NAME", required=True, help="Who says so; it stays at your own node.")
@click.option("--not", "distinct", is_flag=True, help="They are not the same: do not suggest it again.")
@click.option("--reason", metavar="TEXT", help="Why; it stays at your own node.")
@click.option("--dry-run", is_flag=True, help="Show who would be told; store and send nothing.")
@pass_session
def duplicate_of(
    session: Session,
    report_id: str,
    other_id: str,
    by: str,
    distinct: bool,
    reason: str | None,
    dry_run: bool,
) -> None:
    """Say that two reports are the same event, or are not.

    If the report is your own, a new version of it names the other, and goes to everybody who has it. For a report of
    somebody else, and when the other is marked more strictly than yours, the decision is kept at your node only.
    Nothing is merged.
    """
    if report_id == other_id:
        raise UsageFault("A report is no duplicate of itself.", hint="Give the ids of two reports.")
    session.client.json(
        "GET", f"/v1/reports/{segment(other_id)}"
    )  # who does not know it cannot have compared
    if not distinct:
        _tell_everybody(session, report_id, other_id, dry_run=dry_run)
    if dry_run:
        return
    verdict = "distinct" if distinct else "duplicate"
    kept = session.client.json(
        "PUT",
        f"/v1/reports/{segment(report_id)}/duplicates/{segment(other_id)}",
        send={"verdict": verdict, "by": by, **({"reason": reason} if reason else {})},
    )
    member(kept, "verdict")
    said = "is not the same event as" if distinct else "tells of the same event as"
    session.out.say(f"Kept: {report_id} {said} {other_id}, says {by}.")


def _tell_everybody(session: Session, report_id: str, other_id: str, *, dry_run: bool) -> None:
    """File a new version of an own report that names the other, unless it does already or must not."""
    from tocsin_schema.errors import SchemaError
    from tocsin_schema.stix import mark_duplicate

    path = f"/v1/reports/{segment(report_id)}"
    ours, other = (
        session.client.json("GET", path),
        session.client.json("GET", f"/v1/reports/{segment(other_id)}"),
    )
    if not member(ours, "origin").get("ours"):
        session.out.say("It is not your report: the decision is kept at your node only.")
        return
    if _strict(other) > _strict(ours):
        session.out.warn("The other report is marked more strictly, so its id is told to nobody.")
        return
    held = session.client.raw("GET", path, accept=STIX)
    if names_as_duplicate(held, report_id, other_id):
        return
    try:
        bundle = mark_duplicate(held, other_id, now=datetime.now(UTC))
    except SchemaError as exc:
        raise CliError(str(exc), code=exc.code, hint=exc.hint) from exc
    answer = post(session.client, "PUT", path, bundle, [("dry_run", "1")] if dry_run else [])
    tell_answer(session.out, answer, dry_run=dry_run, heading="Updated")
    warn_not_sent(session.out, answer)


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
    origin = item.get("origin") or {}
    pairs: list[tuple[str, object]] = [
        ("Report", item.get("id")),
        ("Title", item.get("name")),
        ("From", "us" if origin.get("ours") else origin.get("name")),
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


def _strict(report: Mapping[str, Any]) -> int:
    tlp = report.get("tlp")
    return STRICTNESS.index(tlp) if tlp in STRICTNESS else len(STRICTNESS)
