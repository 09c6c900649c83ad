"""`tocsin report share`: the version that stands, of ours or of a peer's, to peers that do not have it yet."""

import click

from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_file import circle_option, reviewed_by_option
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_told import (
    audience_lines,
    refuse_as_tried,
    severity_line,
    tell_answer,
    warn_not_sent,
)
from tocsin_cli.errors import CliError, UsageFault
from tocsin_cli.filing import Answer, Audience, member
from tocsin_cli.session import Session, pass_session

HAS_IT = "has-it"


@click.command("share", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--to",
    multiple=True,
    metavar="NAME",
    help="Send it to this peer (tocsin peer list); may be repeated.",
)
@circle_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show who would get what; send nothing.")
@reviewed_by_option
@pass_session
def share(
    session: Session,
    report_id: str,
    to: tuple[str, ...],
    circle: str | None,
    yes: bool,
    dry_run: bool,
    reviewed_by: str | None,
) -> None:
    """Send a report to further peers, or pass on a peer's.

    They get the version that stands, unchanged, also when it is a withdrawal; a peer with an earlier version
    gets this one in its place. Whoever has it already notices nothing. Later versions of yours go to them as well.

    A peer's report goes on with its author's proof, as its marking permits: TLP:CLEAR and TLP:GREEN to any peer
    that you name, TLP:AMBER to your clients (tocsin peer policy NAME --client), TLP:AMBER+STRICT and TLP:RED to
    nobody. Its author learns to whom. When the author withdraws it, so does your node by itself; of other versions
    you decide anew.
    """
    if bool(to) == (circle is not None):
        raise UsageFault("Say whom to send it to: --to NAME, or --circle NAME, not both.")
    audience = Audience(to or None, share=True, reviewed_by=reviewed_by, circle=circle)
    tried = _send(session, report_id, audience, dry_run=True)
    if dry_run:
        tell_answer(session.out, tried, dry_run=True)
        warn_not_sent(session.out, tried, to=to)
        refuse_as_tried(tried)
        _refuse_nobody(tried, to)
        return
    if not yes and tried.get("to") and not _agreed(session, tried):
        session.out.warn("Nothing is sent.")
        return
    answer = tried | {"outcome": "unchanged"}
    if tried.get("to"):
        answer = _send(session, report_id, audience, dry_run=False)
    nobody = not (answer.get("to") or _have_it(answer, to))
    refused = {"outcome": "refused"} if nobody and not session.out.as_json else {}
    tell_answer(session.out, {**answer, **refused}, heading="Shared")
    warn_not_sent(session.out, answer, to=to)
    _refuse_nobody(answer, to)
    session.out.next_step(f"tocsin report show {report_id}")


def _send(session: Session, report_id: str, audience: Audience, *, dry_run: bool) -> Answer:
    query = audience.query() + ([("dry_run", "1")] if dry_run else [])
    found = session.client.json("POST", f"/v1/reports/{segment(report_id)}/share", query=query)
    member(found, "id")
    return dict(found)


def _refuse_nobody(answer: Answer, to: tuple[str, ...]) -> None:
    """Raise CliError when nobody gets it, and nobody who was meant has it already."""
    if not answer.get("to") and not _have_it(answer, to):
        raise CliError(
            "It goes to nobody.", code="nothing-shared", hint="Why is said above, for each of them."
        )


def _have_it(answer: Answer, to: tuple[str, ...]) -> bool:
    """Whether somebody has it already of those who were meant: the peers named, or a circle's members."""
    having = [each for each in answer.get("withheld") or [] if each.get("code") == HAS_IT]
    return any(not to or each.get("name") in to or each.get("node_id") in to for each in having)


def _agreed(session: Session, tried: Answer) -> bool:
    out = session.out
    out.warn(f"{tried.get('name')} (version {tried.get('ver')}): {severity_line(tried)}")
    for label, value in audience_lines(tried, dry_run=True):
        out.warn(f"{label}: {value}")
    return Asker(out, instead=GIVE_YES).yes("Send it?", default=False)
