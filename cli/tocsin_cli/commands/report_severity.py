"""How a report's severity comes about, for `tocsin report show`; and `tocsin report override`, which sets the level."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tocsin_cli.ask import Asker
from tocsin_cli.client import STIX, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_change import form_of, refuse_foreign, refuse_withdrawn, revised
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_told import refuse_as_tried, tell_answer, warn_not_sent
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import post
from tocsin_cli.session import Session, pass_session

if TYPE_CHECKING:
    from tocsin_schema.explain import Change

OVERRIDE = ("severity_basis", "severity_level", "severity_override")


@click.command("override", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--level", type=click.IntRange(0, 5), metavar="0-5", help="The level that counts: 5 is critical."
)
@click.option("--by", metavar="NAME", help="Who decides: a name or a role. It travels with the report.")
@click.option("--reason", metavar="TEXT", help="Why; everybody who has the report will read it.")
@click.option("--clear", is_flag=True, help="Let the computed level count again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show who would get what; store and send nothing.")
@pass_session
def override(
    session: Session,
    report_id: str,
    level: int | None,
    by: str | None,
    reason: str | None,
    clear: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Set the severity level of a report by a person's decision.

    The computed level stays visible beside it, with the name and the reason. A new version goes to everybody who
    has the report, and rings again if the grade rose.
    """
    if clear is (level is not None):
        raise UsageFault("Say either --level or --clear.")
    path = f"/v1/reports/{segment(report_id)}"
    refuse_foreign(session, path)
    held = session.client.raw("GET", path, accept=STIX)
    refuse_withdrawn(held, report_id)
    form = {name: value for name, value in form_of(held).items() if name not in OVERRIDE}
    ask = Asker(session.out, instead="Without a person to ask give --by NAME, --reason TEXT and --yes.")
    if level is not None:
        by = by or ask.text("Who decides (a name or a role; it travels with the report):", required=True)
        reason = reason or ask.text("Why:", required=True)
        decision = {"by_name": by, "reason": reason}
        form |= {"severity_basis": "overridden", "severity_level": level, "severity_override": decision}
    bundle = revised(held, form, report_id)
    if not yes and not dry_run:
        said = (
            f"Set {report_id} to level {level}?"
            if level is not None
            else f"Let {report_id} be graded by its facts?"
        )
        if not ask.yes(said, default=True):
            session.out.warn("Nothing is changed.")
            return
    answer = post(session.client, "PUT", path, bundle, [("dry_run", "1")] if dry_run else [])
    tell_answer(session.out, answer, dry_run=dry_run, heading="Updated")
    warn_not_sent(session.out, answer)
    refuse_as_tried(answer)


def explanation_of(bundle: object) -> dict[str, Any] | None:
    """What the facts of a bundle give and what would change it, as a document; None when it is no sound report."""
    from tocsin_schema.canonical import to_bytes
    from tocsin_schema.check import check_bundle
    from tocsin_schema.explain import explain

    report = check_bundle(to_bytes(bundle)).report
    if report is None:
        return None
    found = explain(report.extension)
    return {
        "overridden": report.severity.basis != "computed",
        "computed_level": found.computed.level,
        "computed_grade": found.computed.grade,
        "raised_by": [_document(change) for change in found.raised_by],
        "lowered_by": [_document(change) for change in found.lowered_by],
    }


def explanation_lines(explanation: Mapping[str, Any], *, most: int = 4) -> list[tuple[str, object]]:
    """The same for a person: a line for each grade that one fact would lead to, with at most `most` such facts."""
    pairs: list[tuple[str, object]] = []
    for changes in (explanation["raised_by"], explanation["lowered_by"]):
        for grade in dict.fromkeys(change["grade"] for change in changes):
            facts = [change["fact"] for change in changes if change["grade"] == grade]
            pairs.append((_if(grade, computed=explanation["overridden"]), _some(facts, most)))
    return pairs


def _document(change: "Change") -> dict[str, Any]:
    return {"fact": change.fact, "level": change.level, "grade": change.grade}


def _if(grade: str, *, computed: bool) -> str:
    """`computed`: another level was set, and the facts move only the one beside it."""
    said = "no grade if" if grade == "none" else f"grade {grade} if"
    return f"computed, {said}" if computed else said


def _some(facts: Sequence[str], most: int) -> str:
    more = f"; {len(facts) - most} more with --json" if len(facts) > most else ""
    return "; ".join(facts[:most]) + more
