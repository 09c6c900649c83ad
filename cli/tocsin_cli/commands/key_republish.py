"""`tocsin key republish`: what an ended log held goes into the one in force."""

from collections.abc import Sequence

import click

from tocsin_cli.command import Command
from tocsin_cli.listing import listed
from tocsin_cli.session import Session, pass_session


@click.command("republish", cls=Command)
@click.argument("reports", metavar="[ID]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only show what would be given out, and to whom.")
@pass_session
def republish(session: Session, reports: Sequence[str], dry_run: bool) -> None:
    """Give out again what an ended log held, in the one in force; without ID: all of it.

    Each report goes, unchanged, to the peers that had it before and may have it now. With them it is no longer
    disputed, and it rings nobody a second time. Interrupted, it is simply called again.
    """
    body = {"reports": list(reports), "dry_run": dry_run}
    told = session.client.json("POST", "/v1/log/republish", send=body)
    items = listed(session, told, nothing="Nothing stands in an ended log alone.")
    if not items:
        return
    rows = [(i["outcome"], i["id"], i["ver"], i["title"], ", ".join(i["to"]) or "-") for i in items]
    session.out.table(("outcome", "report", "ver", "title", "to"), rows)
    if any(item["outcome"] == "came-back" for item in items):
        session.out.say(
            "What came back from peers beyond the last good entry was not given out: a thief may have written it.\n"
            "What you know to be yours: tocsin key republish ID. What is not: tocsin report show ID, then update,\n"
            "withdraw or erase it."
        )
    for item in items:
        for withheld in item["withheld"]:
            session.out.detail(f"{item['id']}: not to {withheld['name']}: {withheld['reason']}")
