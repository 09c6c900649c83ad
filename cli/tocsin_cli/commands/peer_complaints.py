"""`tocsin peer complaints`: who passed on what its marking forbids, and the proof."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import names
from tocsin_cli.listing import listed
from tocsin_cli.placing import check_place, put
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session


@click.command("complaints", cls=Command)
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--evidence", type=click.IntRange(min=1), metavar="ID", help="Write the proof of this one.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the proof there, else on stdout."
)
@click.option(
    "--disclose",
    is_flag=True,
    help="Show in the proof what was passed on: the report itself, whatever its marking.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@pass_session
def complaints(
    session: Session, name: str | None, evidence: int | None, out: Path | None, disclose: bool, force: bool
) -> None:
    """List what was passed on against its marking.

    All of it, or what was passed on by one peer. Each is proven by the log of who did it; nothing follows by itself:
    talk to them, lower what goes to them (tocsin peer policy NAME), or end the connection. What proves it of another's
    report is kept for 90 days, and no longer than the report may be: write it to a file while it is there.
    """
    if (out is not None or disclose) and evidence is None:
        raise UsageFault(
            "--out and --disclose need --evidence ID.", hint="`tocsin peer complaints` lists the numbers."
        )
    if evidence is not None:
        _evidence(session, evidence, out, disclose=disclose, force=force)
        return
    found = session.client.json("GET", "/v1/complaints", query=[("against", name)] if name else [])
    items = listed(session, found, nothing="No complaints.")
    if not items:
        return
    columns = [
        "id",
        "passed on by",
        "to",
        "marking",
        "report",
        "complained by",
        "author knows",
        "at",
        "proof",
    ]
    session.out.table(columns, [_row(each) for each in items])
    session.out.next_step("tocsin peer complaints --evidence ID --out FILE")


def _evidence(session: Session, number: int, out: Path | None, *, disclose: bool, force: bool) -> None:
    check_place(out, force=force)
    query = [("disclose", "1")] if disclose else []
    raw = session.client.raw("GET", f"/v1/complaints/{number}/evidence", query=query)
    put(session.out, out, [raw], force=force)
    if out is None:
        return
    session.out.say(f"{len(raw)} bytes: {out}")
    session.out.next_step(f"tocsin proof verify {out}")


def _row(each: Mapping[str, Any]) -> list[object]:
    def named(part: str) -> object:
        return (each.get(part) or {}).get("name")

    return [
        each.get("id"),
        named("against"),
        ", ".join(names(each.get("recipients"))),
        f"TLP:{str(each.get('tlp')).upper()}",
        f"{each['report_id']} (version {each.get('ver')})"
        if each.get("report_id")
        else "taken back, or long ago",
        named("by"),
        "yes" if each.get("author_told") else "no",
        local_time(each.get("at")),
        _proof(each),
    ]


def _proof(each: Mapping[str, Any]) -> str:
    """How long there is something to show."""
    if not each.get("report_id"):
        return "gone"
    return f"until {local_time(each['evidence_until'])}" if each.get("evidence_until") else "kept"
