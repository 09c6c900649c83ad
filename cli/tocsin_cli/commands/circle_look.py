"""`tocsin circle list|show|members|export`: which circles there are, and how each stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.durable import write_durably
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.listing import listed
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

SHORT = 16  # letters of an id that are shown


@click.command("list", cls=Command)
@pass_session
def list_(session: Session) -> None:
    """List the circles: adopted ones, those that peers have told us of (offered), and those left."""
    found = session.client.json("GET", "/v1/circles")
    items = listed(session, found, nothing="No circles.")
    if not items:
        return
    columns = ["name", "state", "epoch", "members", "up to", "ends", "told by", "id"]
    session.out.table(columns, [_row(item) for item in items])
    if any(item.get("state") == "offered" for item in items):
        session.out.next_step("tocsin circle show NAME, then tocsin circle adopt NAME")


@click.command("show", cls=Command)
@click.argument("name", metavar="NAME")
@pass_session
def show(session: Session, name: str) -> None:
    """Show a circle: how it stands here, who signs for it, and whether entries of members did not come.

    NAME is its name, or its id from its first eight letters on.
    """
    found = circle_named(session, name)
    if session.out.as_json:
        session.out.document(found)
        return
    tell(session, found)
    session.out.line()
    session.out.table(["member", "peer", "up to", "knows epoch", "NodeID"], _members(found))
    for counted in found.get("entries") or []:
        if text := gap_text(counted):
            session.out.warn(text)


@click.command("members", cls=Command)
@click.argument("name", metavar="NAME")
@pass_session
def members(session: Session, name: str) -> None:
    """List the members of a circle: whether each is a peer of ours, up to which marking, what it knows."""
    found = circle_named(session, name)
    if session.out.as_json:
        session.out.document({"items": member(found, "nodes")})
        return
    session.out.table(["member", "peer", "up to", "knows epoch", "NodeID"], _members(found))


@click.command("export", cls=Command)
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@pass_session
def export(session: Session, name: str, file: Path) -> None:
    """Write a circle's file, from which its admins propose the next epoch.

    It holds no key. Of a circle that hides its members it says who they are: keep it close.
    """
    if file.exists():
        raise UsageFault(f"{file} exists already; it is not overwritten.", hint="Name another file.")
    write_durably(file, file_of(session, name))
    if session.out.as_json:
        session.out.document({"file": str(file)})
        return
    session.out.say(f"Written: {file}")
    session.out.next_step(f"tocsin circle propose NEW --from {file}")


def circle_named(session: Session, name: str) -> Mapping[str, Any]:
    """The circle as the node tells it."""
    found = session.client.json("GET", f"/v1/circles/{segment(name)}")
    member(found, "id")
    return dict(found)


def file_of(session: Session, name: str) -> bytes:
    """The circle's file from the node."""
    return session.client.raw("GET", f"/v1/circles/{segment(name)}/file")


def tell(session: Session, found: Mapping[str, Any]) -> None:
    """How a circle stands, in a few lines."""
    closed = found.get("closed")
    session.out.facts(
        [
            ("Circle", found.get("name")),
            ("Id", found.get("id")),
            (
                "State",
                f"{found.get('state')}" + (f"; nothing is shared into it [{closed}]" if closed else ""),
            ),
            ("Epoch", f"{found.get('epoch')}, until {local_time(found.get('expires_at'))}"),
            (
                "Members",
                f"{found.get('members')}{', who do not see each other' if found.get('hidden') else ''}",
            ),
            ("Shares up to", f"TLP:{str(found.get('max_tlp')).upper()}"),
            ("Admins", f"{found.get('admins')}, of whom {found.get('threshold')} must sign"),
        ]
    )


def gap_text(counted: Mapping[str, Any]) -> str | None:
    """What is odd about how a member's entries come."""
    name, last = counted.get("name"), counted.get("last")
    if counted.get("doubled"):
        return (
            f"{name} has put two entries under one number of this circle. Call its operator. [circle-doubled]"
        )
    if missing := counted.get("missing"):
        return (
            f"{missing} of {last} entries of {name} did not come to us: its ceiling for us may forbid them, we were "
            "left out, or its node was put back from a backup. Ask its operator. [circle-gap]"
        )
    return None


def _state(item: Mapping[str, Any]) -> str:
    """How it stands here; of an adopted one also why nothing is shared into it, if that is so."""
    closed = f" [{item['closed']}]" if item.get("state") == "adopted" and item.get("closed") else ""
    return f"{item.get('state')}{closed}"


def _row(item: Mapping[str, Any]) -> list[object]:
    return [
        item.get("name"),
        _state(item),
        item.get("epoch"),
        item.get("members"),
        item.get("max_tlp"),
        local_time(item.get("expires_at")),
        item.get("told_by") or "-",
        str(item.get("id"))[:SHORT],
    ]


def _members(found: Mapping[str, Any]) -> list[list[object]]:
    rows: list[list[object]] = []
    for node in member(found, "nodes"):
        known = node.get("name") != node.get("node_id")
        epoch = node.get("knows_epoch")
        rows.append(
            [
                node.get("name") if known else "-",
                node.get("peer"),
                node.get("max_tlp_out") or "-",
                "-" if epoch is None else epoch,
                node.get("node_id"),
            ]
        )
    return rows
