"""`tocsin audit`: who did what at this node; exported, and verified on this machine."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.log import memory, refuse_malformed
from tocsin_cli.commands.report_table import command_of
from tocsin_cli.durable import write_durably
from tocsin_cli.filing import member
from tocsin_cli.listing import cursor_option, limit_option, listed
from tocsin_cli.placing import check_place, put
from tocsin_cli.plain import local_time, utc_text
from tocsin_cli.progress import progress
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import When

if TYPE_CHECKING:
    from tocsin_cli.audit_log import Verified

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NODE_ID = click.option(
    "--node-id", metavar="NODEID", help="The NodeID that it must be, as its operator told you."
)


@click.group("audit", cls=LazyGroup, no_args_is_help=True)
def audit() -> None:
    """See who did what at this node, export it, and verify that nothing was changed.

    What people and the node itself do is written down in the same step, hashed into a tree and signed. It names people:
    it stays on this node unless you export it.
    """


@audit.command("list")
@click.option(
    "--who", metavar="WHO", help="One actor, as listed: `token:alice`, `person:Ann Lee`, `node`, `peer:n1…`."
)
@click.option("--action", metavar="ACTION", help="One action, or a group of them: `report.read`, `peer`.")
@click.option(
    "--object", "about", metavar="WHAT", help="What it was done to: a report's ID, `alert:12`, `peer:n1…`."
)
@click.option("--since", type=When(), metavar="TIME", help="Not before.")
@click.option("--until", type=When(), metavar="TIME", help="Before.")
@limit_option("Lines")
@cursor_option
@pass_session
def list_(
    session: Session,
    who: str | None,
    action: str | None,
    about: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List what was done, newest first. Looking is noted too."""
    if about is not None and about.startswith("incident--"):
        about = f"report:{about}"
    times = {name: None if at is None else utc_text(at) for name, at in (("since", since), ("until", until))}
    asked = {"who": who, "action": action, "object": about, **times, "cursor": cursor}
    query = [("limit", str(limit)), *((name, value) for name, value in asked.items() if value is not None)]
    found = session.client.json("GET", "/v1/audit", query=query)
    items = listed(session, found, nothing="Nothing of that kind was done.")
    if not items:
        return
    session.out.table(["line", "at", "who", "action", "to what", "more"], [_row(item) for item in items])
    if found.get("next"):
        given = {"limit": limit, **asked, "cursor": None}
        again = command_of("tocsin audit list", given, {})
        session.out.next_step(f"{again} --cursor {found['next']}")


@audit.command("export")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there."
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@pass_session
def export(session: Session, out: Path | None, force: bool) -> None:
    """Write the whole audit log, with all that is needed to verify it elsewhere.

    JSON lines: the node's statements with the signed checkpoint, then every line. It names people: mind who gets it. It
    is written as it stands, even where it does not hold: then it is evidence.
    """
    from tocsin_cli.audit_log import export as pieces

    check_place(out, force=force)
    with progress(session.out, "Lines", None, printing=out is None) as advance:
        put(session.out, out, (line + b"\n" for line in pieces(session.client, advance)), force=force)
    if out is not None:
        session.out.next_step(f"tocsin audit verify {out}")


@audit.command("verify")
@click.argument("file", required=False, type=_FILE, metavar="[FILE]")
@click.option(
    "--against", type=_FILE, multiple=True, metavar="OLD", help="An earlier note or export; may be repeated."
)
@_NODE_ID
@pass_session
def verify(session: Session, file: Path | None, against: tuple[Path, ...], node_id: str | None) -> None:
    """Verify an exported audit log, offline; without FILE the node's own, through its API.

    Every line is hashed into the tree, the root must be the one that the node's log key has signed, and the chain of
    statements must vouch for that key. With --against it is shown that nothing has changed of what the earlier
    checkpoint covers; of the node's own log what was verified here last is remembered and held against it. Exit code 4
    with the reason if anything does not hold.
    """
    from tocsin_cli.audit_log import export as pieces
    from tocsin_cli.audit_log import lines_of, note_of
    from tocsin_cli.audit_log import verify as hold

    if node_id is not None:
        refuse_malformed(node_id)
    earlier = [note_of(each) for each in against]
    if file is not None:
        _tell(session, hold(lines_of(file), earlier, expected=node_id))
        return
    own = session.client.json("GET", "/v1/audit/head")
    kept = memory(session) / "audit" / f"{_plain(member(own, 'node_id'))}.note"
    if kept.is_file():
        earlier.append(kept.read_bytes())
    size = member(own, "size")
    with progress(session.out, "Lines", size if isinstance(size, int) else None) as advance:
        found = hold(pieces(session.client, advance), earlier, expected=node_id)
    write_durably(kept, found.note)
    _tell(session, found)


def _plain(node_id: object) -> str:
    name = str(node_id)
    return name if name.isalnum() else "unknown"


def _tell(session: Session, found: "Verified") -> None:
    if session.out.as_json:
        session.out.document(found.document())
        return
    before = found.before
    facts: list[tuple[str, object]] = [
        ("Verified", f"{found.checkpoint.size} lines, root {found.checkpoint.root.hex()}"),
        ("Node", f"{found.identity.node_id} (calls itself {found.identity.statement.org.name})"),
        ("Log", found.checkpoint.origin),
        (
            "Grown from",
            f"{before.size} lines, root {before.root.hex()}" if before else "nothing: no earlier checkpoint",
        ),
    ]
    if found.forgotten:
        facts.append(("Forgotten", f"{found.forgotten} lines no longer say which report they were about"))
    session.out.facts(facts)


def _row(item: dict[str, Any]) -> list[str]:
    about = "(forgotten)" if item.get("forgotten") else str(item.get("object") or "")
    more = ", ".join(f"{name} {_value(value)}" for name, value in (item.get("detail") or {}).items())
    who = str(item.get("who")) + (
        "" if item.get("via") in {item.get("who"), "clock"} else f" ({item.get('via')})"
    )
    return [str(item.get("seq")), local_time(item.get("at")), who, str(item.get("action")), about, more]


def _value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
