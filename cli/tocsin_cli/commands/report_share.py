"""`tocsin report share`: the version that stands, of ours or of a peer's, to peers that do not have it yet."""

import click

from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_file import reviewed_by_option
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_told import audience_lines, severity_line, tell_answer, warn_not_sent
from tocsin_cli.errors import CliError
from tocsin_cli.filing import Answer, member, reviewed_query
from tocsin_cli.session import Session, pass_session

HAS_IT = "has-it"


@click.command("share", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--to",
    multiple=True,
    metavar="NAME",
    required=True,
    help="Send it to this peer (tocsin peer list); may be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show who would get what; send nothing.")
@reviewed_by_option
@pass_session
def share(
    session: Session,
    report_id: str,
    to: tuple[str, ...],
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
    tried = _send(session, report_id, to, reviewed_by, dry_run=True)
    if dry_run:
        tell_answer(session.out, tried, dry_run=True)
        warn_not_sent(session.out, tried, to=to)
        return
    if not yes and tried.get("to") and not _agreed(session, tried):
        session.out.warn("Nothing is sent.")
        return
    answer = tried | {"outcome": "unchanged"}
    if tried.get("to"):
        answer = _send(session, report_id, to, reviewed_by, dry_run=False)
    tell_answer(session.out, answer, heading="Shared")
    warn_not_sent(session.out, answer, to=to)
    reached = answer.get("to") or [w for w in answer.get("withheld") or [] if w.get("code") == HAS_IT]
    if not reached:
        raise CliError(
            "It was sent to nobody.", code="nothing-shared", hint="Why is said above, for each of them."
        )
    session.out.next_step(f"tocsin report show {report_id}")


def _send(
    session: Session, report_id: str, to: tuple[str, ...], reviewed_by: str | None, *, dry_run: bool
) -> Answer:
    query = (
        [("to", name) for name in to] + ([("dry_run", "1")] if dry_run else []) + reviewed_query(reviewed_by)
    )
    found = session.client.json("POST", f"/v1/reports/{segment(report_id)}/share", query=query)
    member(found, "id")
    return dict(found)


def _agreed(session: Session, tried: Answer) -> bool:
    out = session.out
    out.warn(f"{tried.get('name')} (version {tried.get('ver')}): {severity_line(tried)}")
    for label, value in audience_lines(tried, dry_run=True):
        out.warn(f"{label}: {value}")
    return Asker(out, instead=GIVE_YES).yes("Send it?", default=False)
