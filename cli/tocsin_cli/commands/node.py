"""`tocsin node`: run a node, renew its statement."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.errors import UsageFault
from tocsin_cli.local_node import directory_of, told
from tocsin_cli.session import Session, pass_session
from tocsin_federation.identity import Role

# A new key for the log opens a new generation of it: that is a recovery, not a renewal.
REPLACEABLE: tuple[Role, ...] = ("http", "witness", "enc")


@click.group("node", cls=LazyGroup, no_args_is_help=True)
def node() -> None:
    """Run a node."""


@node.command("run")
@click.option(
    "--dir", "directory", metavar="DIR", type=click.Path(path_type=Path), help="The node's directory."
)
@click.option(
    "--ephemeral",
    is_flag=True,
    help="Run a throw-away node: own directory, own PostgreSQL, a free port; nothing is left behind.",
)
@click.option("--org", metavar="NAME", help="With --ephemeral: the organisation's name.")
@pass_session
def run(session: Session, directory: Path | None, ephemeral: bool, org: str | None) -> None:
    """Run the node until SIGTERM, SIGINT or SIGHUP; what is in flight is finished first.

    With --ephemeral one JSON line on stdout says url, token and dir as soon as the node is ready. Settings
    can be given in the environment, such as TOCSIN_ALERTS_GRADE_III=always.
    """
    from tocsin_node.run import run_ephemeral, run_node

    if ephemeral and directory is not None:
        raise UsageFault("--ephemeral makes its own directory.", hint="Leave --dir out.")
    if org is not None and not ephemeral:
        raise UsageFault(
            "--org goes with --ephemeral.", hint="A lasting node's name is set by `tocsin init`."
        )
    with told():
        if ephemeral:
            run_ephemeral(org or "Ephemeral", os.environ)
        else:
            run_node(directory or directory_of(session, os.environ))


@node.command("confirm")
@click.option("--by", metavar="NAME", required=True, help="Who says so; it is kept.")
@pass_session
def confirm(session: Session, by: str) -> None:
    """Let the log go on although no peer could be asked how long it is.

    After a start on another machine a node asks its peers whether they hold a longer log than its database: then it was
    restored from a backup, and would sign a second past. If none can be reached, it waits. Say this only when you know
    that the database is the newest there is; when a longer log is known, it is refused.
    """
    found = session.client.json("POST", "/v1/log/confirm", send={"by": by})
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.line(f"The log goes on from {found.get('size')} entries, on the word of {by}.")


@node.command("renew")
@click.argument(
    "directory",
    metavar="[DIR]",
    required=False,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--root-key",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The offline key. Left out: the one in DIR/offline.",
)
@click.option("--url", metavar="URL", help="A new address for peers. Left out: as node.toml says.")
@click.option("--domain", metavar="DOMAIN", help="A new domain. Left out: as node.toml says.")
@click.option(
    "--new-key",
    "replaced",
    multiple=True,
    type=click.Choice(REPLACEABLE),
    help="Make this key anew; once for each.",
)
@pass_session
def renew(
    session: Session,
    directory: Path | None,
    root_key: Path | None,
    url: str | None,
    domain: str | None,
    replaced: Sequence[str],
) -> None:
    """Write the node's next statement, in force for 100 days, with the offline key.

    It carries what node.toml says: change the name, the domain or the address there first, then renew.
    Restart the node afterwards; peers fetch the statement by themselves.
    """
    from tocsin_node.initialise import renew as renew_statement

    directory = directory or directory_of(session, os.environ)
    keys = [role for role in REPLACEABLE if role in replaced]
    with told():
        made = renew_statement(directory, root_key=root_key, url=url, domain=domain, replace=keys)
    statement = made.identity.statement
    if session.out.as_json:
        session.out.document(
            {
                "node_id": made.identity.node_id,
                "statement": statement.seq,
                "url": statement.urls[0],
                "domain": statement.org.domain,
                "expires_at": statement.expires_at.isoformat(),
                "offline_key": str(made.next_root),
            }
        )
        return
    session.out.facts(
        [
            ("Node", made.identity.node_id),
            ("Statement", f"number {statement.seq}, until {statement.expires_at:%Y-%m-%d}"),
            ("Address for peers", statement.urls[0]),
            ("Offline key", f"{made.next_root} (new: the old one is used up and deleted)"),
        ]
    )
    if url or domain:
        session.out.warn(
            "Write the new address or domain into node.toml too, or the next renewal takes it back."
        )
    session.out.next_step(f"restart the node, and move {made.next_root} away from this machine")
