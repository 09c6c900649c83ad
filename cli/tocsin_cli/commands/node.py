"""`tocsin node`: run a node."""

import os
from pathlib import Path

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.errors import UsageFault
from tocsin_cli.local_node import directory_of, told
from tocsin_cli.session import Session, pass_session


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
@click.option(
    "--passphrase-file",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The passphrase of the private keys, if they are encrypted, in an owner-only file. Left out: the systemd "
    "credential key-passphrase.",
)
@click.option(
    "--passphrase-fd", metavar="N", type=click.IntRange(0), help="Read it from this open file descriptor."
)
@pass_session
def run(
    session: Session,
    directory: Path | None,
    ephemeral: bool,
    org: str | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Run the node until SIGTERM, SIGINT or SIGHUP; what is in flight is finished first.

    With --ephemeral one JSON line on stdout says url, token and dir as soon as the node is ready. Settings
    can be given in the environment, such as TOCSIN_ALERTS_GRADE_III=always.
    """
    from tocsin_node.passphrase import read_passphrase
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
            passphrase = read_passphrase(file=passphrase_file, descriptor=passphrase_fd)
            run_node(directory or directory_of(session, os.environ), passphrase)


@node.command("confirm")
@click.option("--by", metavar="NAME", required=True, help="Who says so; it is kept.")
@click.option(
    "--take-back",
    is_flag=True,
    help="What peers hold of our log beyond this database is ours: the node ran elsewhere, and nobody stole its key.",
)
@pass_session
def confirm(session: Session, by: str, take_back: bool) -> None:
    """Let the log go on although no peer could be asked how long it is.

    After a start on another machine a node asks its peers whether they hold a longer log than its database: then it was
    restored from a backup, and would sign a second past. If none can be reached, it waits. Say this only when you know
    that the database is the newest there is; when a longer log is known, it is refused.

    A node that knows that it wrote last takes a longer log for the work of somebody who has its key, and stops
    (log-elsewhere). Say --take-back only when you know who wrote that: it becomes yours.
    """
    asked = {"by": by} | ({"take_back": True} if take_back else {})
    found = session.client.json("POST", "/v1/log/confirm", send=asked)
    if session.out.as_json:
        session.out.document(found)
        return
    if found.get("state") != "confirmed":
        size = found.get("size")
        session.out.line(
            f"What peers hold of the log beyond {size} entries is taken back, on the word of {by}."
        )
        session.out.next_step("tocsin report list, and the check `log` of /healthz")
        return
    session.out.line(f"The log goes on from {found.get('size')} entries, on the word of {by}.")
