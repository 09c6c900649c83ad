"""`tocsin log verify`: the node's log, verified here."""

from datetime import UTC, datetime
from pathlib import Path

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.errors import UsageFault
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

THROWAWAY = "ephemeral"  # the file by which the directory of a throw-away node is known


@click.group("log", cls=LazyGroup, no_args_is_help=True)
def log() -> None:
    """Verify the node's log."""


@log.command("verify")
@click.option("--node-id", metavar="NODEID", help="The NodeID that it must be, as its operator told you.")
@pass_session
def verify(session: Session, node_id: str | None) -> None:
    """Verify the node's log: keys, signature, every leaf, and that it has only grown since the last look.

    Nothing that the node says is believed: the statements, the checkpoint and the tree are checked on this
    machine. Exit code 4 with the reason if anything does not hold.
    """
    from tocsin_cli.log_audit import audit
    from tocsin_cli.progress import progress

    if node_id is not None:
        refuse_malformed(node_id)

    size = (session.client.json("GET", "/v1/node").get("log") or {}).get("size")
    with progress(session.out, "Leaves", size if isinstance(size, int) else None) as advance:
        found = audit(
            session.client, memory(session), expected=node_id, now=datetime.now(UTC), advance=advance
        )
    if session.out.as_json:
        session.out.document(found.document())
        return
    head = found.head
    since = (
        f"{found.before.size} entries on {local_time(found.before.at)}"
        if found.before
        else "nothing: first look"
    )
    session.out.facts(
        [
            ("Verified", f"{head.size} entries, root {head.root}"),
            ("Node", f"{head.node_id} ({found.org})"),
            ("Log", head.origin),
            ("Grown from", since),
        ]
    )


def memory(session: Session) -> Path:
    """Where what was verified is remembered: for a throw-away node in its own directory, to go with it."""
    directory = session.target.dir
    return directory if directory is not None and (directory / THROWAWAY).is_file() else session.state


def refuse_malformed(node_id: str) -> None:
    """Raises: UsageFault when it is not a NodeID."""
    from tocsin_federation.errors import FederationError
    from tocsin_federation.node_id import node_id_bytes

    try:
        node_id_bytes(node_id)
    except FederationError as exc:
        raise UsageFault(
            f"{node_id!r} is not a NodeID.",
            hint="Give it whole, as its operator told you: n1 and the letters and digits after it.",
        ) from exc
