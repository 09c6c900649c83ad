"""`tocsin report blocklist`: what was erased and does not come in again, and to let it in after all."""

import click

from tocsin_cli.command import Command, LazyGroup
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.listing import listed
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session


@click.group("blocklist", cls=LazyGroup, no_args_is_help=True)
def blocklist() -> None:
    """See what was erased and does not come in again, and lift that.

    The node knows what was erased by keyed hashes of ids and contents alone: the list has no names.
    """


@blocklist.command("list", cls=Command)
@click.option("--all", "all_", is_flag=True, help="With what was lifted, too.")
@pass_session
def list_(session: Session, all_: bool) -> None:
    """List what was erased, newest first: when, by whom, why."""
    found = session.client.json("GET", "/v1/erasures", query=[("all", "1")] if all_ else [])
    items = listed(session, found, nothing="Nobody here has erased a report.")
    if not items:
        return
    rows = [
        [
            one["id"],
            local_time(one["at"]),
            f"recalled by {one['origin']['name']}" if one["origin"] else one["by"],
            one["reason"] or "",
            f"lifted by {one['lifted_by']}" if one["lifted_at"] else "",
        ]
        for one in items
    ]
    session.out.table(["number", "when", "by", "why", ""], rows)


@blocklist.command("lift", cls=Command)
@click.argument("what", metavar="ID|NUMBER")
@click.option("--by", metavar="NAME", required=True, help="Who decides so; it is kept.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept.")
@pass_session
def lift(session: Session, what: str, by: str, reason: str) -> None:
    """Let a report come in again: by its id, or by its number in the list. It does not bring it back."""
    document: dict[str, object] = {"by": by, "reason": reason}
    if what.isdigit():
        document["id"] = int(what)
    else:
        try:
            document["report_id"] = ReportId().convert(what, None, None)
        except UsageFault as exc:
            raise UsageFault(
                f"{what!r} is neither a number of the list nor the id of a report.",
                hint="`tocsin report blocklist list` shows the numbers.",
            ) from exc
    found = session.client.json("POST", "/v1/erasures/lift", send=document)
    session.out.say(f"Lifted: {len(member(found, 'items'))}. Whoever has the report may send it again.")
