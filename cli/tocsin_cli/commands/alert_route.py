"""`tocsin alert route`: what a report would ring, and why not; nothing is sent."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tocsin_cli.client import parsed, segment
from tocsin_cli.command import Command
from tocsin_cli.errors import FileUnreadable
from tocsin_cli.filing import member
from tocsin_cli.session import Session, pass_session

_MAX_BYTES = 1024 * 1024


@click.command("route", cls=Command)
@click.argument("what", metavar="REPORT|FILE")
@click.option("--explain", is_flag=True, help="Also the words that each channel would get.")
@pass_session
def route(session: Session, what: str, explain: bool) -> None:
    """Say whether a report would ring if it came now: where, when, whom, and if not, why.

    REPORT is the id of a report that the node has; FILE a bundle that is not filed, - for stdin. Nothing is stored and
    nobody is rung.
    """
    if what.startswith("incident--"):
        found = session.client.json("GET", f"/v1/reports/{segment(what)}/route")
    else:
        found = parsed(session.client.raw("POST", "/v1/alerts/route", body=_read(what)))
    channels = member(found, "channels")
    if session.out.as_json:
        session.out.document(found)
        return
    verb = "It rings" if found.get("rings") else "It rings nobody"
    session.out.line(f"{verb}: {'; '.join(str(each) for each in found.get('why') or [])}.")
    for each in channels:
        session.out.line(_channel(each))
        for line in str(each.get("text") or "").splitlines() if explain else ():
            session.out.line(f"    {line}")


def _channel(each: Mapping[str, Any]) -> str:
    wait = float(each.get("after_s") or 0)
    when = "at once" if wait == 0 else f"after {wait:g} s"
    whom = f", for {', '.join(each['mentions'])}" if each.get("mentions") else ""
    what = f"{when}{whom}" if each.get("goes") else "not"
    why = f" ({each['why']})" if each.get("why") else ""
    return f"  {each.get('channel')} {each.get('place')}: {what}{why}"


def _read(what: str) -> bytes:
    try:
        if what == "-":
            return sys.stdin.buffer.read(_MAX_BYTES + 1)  # what is longer the node refuses
        with Path(what).open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise FileUnreadable(f"{what} cannot be read: {exc.strerror}.") from exc
