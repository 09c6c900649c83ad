"""`tocsin report prove`: a file that shows a stranger that a report stands in its author's log."""

import sys
from pathlib import Path

import click

from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.output import on_terminal
from tocsin_cli.placing import check_place, put
from tocsin_cli.session import Session, pass_session

_MAX_BYTES = 8 * 1024 * 1024


@click.command("prove", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--version", "ver", type=click.IntRange(min=1), metavar="N", help="Which version; else the newest."
)
@click.option("--disclose", is_flag=True, help="Show what the report says, too.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, else on stdout."
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@pass_session
def prove(
    session: Session, report_id: str, ver: int | None, disclose: bool, out: Path | None, force: bool
) -> None:
    """Write a proof of a report that anybody can verify offline.

    It shows that its author's log holds this version: the report's id, its marking, when it was sealed and to which
    nodes. It does not show what the report says, unless you disclose it: then the file holds the whole report and the
    key of this one entry. Only the author may disclose what is not TLP:CLEAR.
    """
    check_place(out, force=force)
    query = ([("ver", str(ver))] if ver is not None else []) + ([("disclose", "1")] if disclose else [])
    path = f"/v1/reports/{segment(report_id)}/proof"
    proof = session.client.raw("GET", path, query=query, accept="text/plain", max_bytes=_MAX_BYTES)
    put(session.out, out, [proof], force=force)
    if out is not None:
        session.out.say(f"{len(proof)} bytes: {out}")
    if disclose:
        session.out.say("The file holds the whole report: give it only to those who may read it.")
    if out is not None or not on_terminal(sys.stdout):
        session.out.next_step(f"tocsin proof verify {out or 'FILE'}")
