"""`tocsin circle adopt|leave|backfill`: what a member's operator decides about a circle."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tocsin_cli.client import parsed, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.circle_look import tell
from tocsin_cli.commands.report_file import reviewed_by_option
from tocsin_cli.filing import member, names, reviewed_query
from tocsin_cli.plain import utc_text
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import When


@click.command("adopt", cls=Command)
@click.argument("what", metavar="FILE|NAME")
@click.option(
    "--resolve", is_flag=True, help="Two manifests of one epoch are known: the one in this file stands."
)
@pass_session
def adopt(session: Session, what: str, resolve: bool) -> None:
    """Join the circle in FILE, or the one that a peer has told us of by NAME; or take its next epoch.

    From then on reports can be shared into it from here, and this node tells its members of it, unless it hides
    them. Nothing flows to a member that is not an approved peer, whatever the circle says.
    """
    file = Path(what)
    if file.is_file():
        query = [("resolve", "1")] if resolve else []
        raw = file.read_bytes()
        found = session.client.raw(
            "POST", "/v1/circles", body=raw, query=query, content_type="application/json"
        )
        answer = parsed(found)
    else:
        answer = session.client.json("POST", f"/v1/circles/{segment(what)}/adopt", send={})
    member(answer, "id")
    if session.out.as_json:
        session.out.document(answer)
        return
    tell(session, answer)
    absent = [n for n in answer.get("nodes") or [] if n.get("peer") not in {"us", "active"}]
    if absent:
        session.out.warn(
            f"{len(absent)} of its members are no approved peers of ours: nothing goes to them until they are "
            "(tocsin peer invite)."
        )
    if answer.get("member") is False:
        session.out.warn(
            "This epoch does not name this node: nothing is shared into the circle from here any more."
        )
    elif answer.get("epoch"):
        session.out.next_step(f"tocsin circle backfill {answer.get('name')} --dry-run")
    else:
        session.out.next_step(f"tocsin report submit --circle {answer.get('name')} --file FILE")


@click.command("leave", cls=Command)
@click.argument("name", metavar="NAME")
@pass_session
def leave(session: Session, name: str) -> None:
    """Leave a circle: nothing goes to it from here, and nothing addressed to it is taken.

    What was shared stays with those who have it. Ask its admins to take this node out of the next manifest.
    """
    found = session.client.json("POST", f"/v1/circles/{segment(name)}/leave", send={})
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.say(f"Left: {found.get('name')}. Others still name this node: its admins can take it out.")


@click.command("backfill", cls=Command)
@click.argument("name", metavar="NAME")
@click.option("--since", type=When(), metavar="WHEN", help="Only reports changed then or later: 2026-11-01.")
@click.option("--dry-run", is_flag=True, help="Show who would get what; send nothing.")
@reviewed_by_option
@pass_session
def backfill(
    session: Session, name: str, since: datetime | None, dry_run: bool, reviewed_by: str | None
) -> None:
    """Give members of a circle the reports of ours that were shared into it before they came.

    Each gets the version that stands, if its marking and ceiling allow that. Asked twice, nothing is sent twice.
    """
    query = reviewed_query(reviewed_by)
    if since is not None:
        query.append(("since", utc_text(since)))
    if dry_run:
        query.append(("dry_run", "1"))
    done: dict[str, Any] = {"items": [], "more": True}
    while done["more"]:
        found = session.client.json("POST", f"/v1/circles/{segment(name)}/backfill", query=query, send={})
        done["items"] = [i for i in done["items"] if i["outcome"] == "stored"] + member(found, "items")
        done["more"] = bool(found.get("more")) and not dry_run
    if session.out.as_json:
        session.out.document({"items": done["items"]})
        return
    sent = [item for item in done["items"] if item.get("outcome") in {"stored", "dry-run"}]
    if sent:
        rows = [[item.get("id"), item.get("outcome"), ", ".join(names(item.get("to")))] for item in sent]
        session.out.table(["report", "outcome", "to"], rows)
    else:
        session.out.say("Nobody lacks anything that they may have.")
    for item in done["items"]:
        if item.get("outcome") == "refused":
            session.out.warn(f"{item.get('id')}: not sent [{item.get('code')}]\n→ {item.get('hint')}")
