"""`tocsin init`: make a node."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.config import is_loopback
from tocsin_cli.errors import UsageFault
from tocsin_cli.local_node import told
from tocsin_cli.session import Session, pass_session
from tocsin_node.initialise import Initialised, initialise

MATRIX_NEEDS = ("homeserver", "user_id", "room")


@click.command("init", cls=Command)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--org", required=True, metavar="NAME", help="Your organisation's name, as peers see it.")
@click.option("--domain", metavar="DOMAIN", help="Its domain. Left out: the host of --url.")
@click.option("--url", metavar="URL", help="The address at which peers reach the node, behind a TLS proxy.")
@click.option(
    "--listen", default="127.0.0.1:8711", show_default=True, metavar="HOST:PORT", help="Where it listens."
)
@click.option(
    "--database-url-file",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
    help="Use the PostgreSQL whose address is in this file. Left out: the node runs its own.",
)
@click.option("--matrix-homeserver", metavar="URL", help="The homeserver of the room to ring.")
@click.option("--matrix-user", metavar="@BOT:HOST", help="The bot's user.")
@click.option("--matrix-room", metavar="ROOM", help="The room's id or alias.")
@click.option(
    "--matrix-token-file",
    metavar="FILE",
    type=click.Path(path_type=Path, resolve_path=True),
    help="The bot's access token. Left out: DIR/keys/matrix-token.",
)
@click.option(
    "--matrix-encrypted", is_flag=True, help="The room is end-to-end encrypted (needs the extra e2ee)."
)
@click.option("--matrix-responder", multiple=True, metavar="@USER:HOST", help="Who is called; once for each.")
@pass_session
def init(
    session: Session,
    directory: Path,
    org: str,
    domain: str | None,
    url: str | None,
    listen: str,
    database_url_file: Path | None,
    matrix_homeserver: str | None,
    matrix_user: str | None,
    matrix_room: str | None,
    matrix_token_file: Path | None,
    matrix_encrypted: bool,
    matrix_responder: Sequence[str],
) -> None:
    """Make a node in DIR: its keys, its first statement, its settings, its first token.

    Nothing is started. DIR must not hold a node yet.
    """
    if not org.strip() or org.strip() != org or not org.isprintable():
        raise UsageFault(
            f"--org {org!r} is no name of an organisation.",
            hint="Give its name, such as --org 'Alder Hospital'.",
        )
    host, port = _host_and_port(listen)
    values: dict[str, dict[str, Any]] = {
        "node": _given(org=org, domain=domain, url=url, host=host, port=port),
        "database": _given(url_file=str(database_url_file) if database_url_file else None),
        "matrix": _given(
            homeserver=matrix_homeserver,
            user_id=matrix_user,
            room=matrix_room,
            access_token_file=str(matrix_token_file) if matrix_token_file else None,
            encrypted=matrix_encrypted or None,
            responders=list(matrix_responder) or None,
        ),
    }
    missing = [name for name in MATRIX_NEEDS if name not in values["matrix"]]
    if values["matrix"] and missing:
        options = ", ".join(f"--matrix-{name.removesuffix('_id')}" for name in missing)
        raise UsageFault(
            f"For a Matrix room these are needed too: {options}.", hint="Or leave all of them out."
        )
    with told():
        made = initialise(directory, {name: part for name, part in values.items() if part})
    _tell(session, directory, made)


def _tell(session: Session, directory: Path, made: Initialised) -> None:
    if session.out.as_json:
        session.out.document(
            {
                "dir": str(directory),
                "node_id": made.node_id,
                "url": made.settings.public_url,
                "token_file": str(directory / "token"),
                "offline_key": str(made.next_root),
            }
        )
        return
    session.out.facts(
        [
            ("Node", made.node_id),
            ("Organisation", f"{made.settings.node.org} ({made.settings.public_domain})"),
            ("Address for peers", made.settings.public_url),
            ("Settings", directory / "node.toml"),
            ("Token", f"{directory / 'token'} (for you; it may do everything)"),
            ("Offline key", made.next_root),
        ]
    )
    session.out.warn(
        "Move the offline key away from this machine, to two places. The node runs without it; it is needed to renew\n"
        "the node's statement, at the latest in 100 days. Whoever has it can take the node's identity over."
    )
    if made.settings.public_url.startswith("http://") and not is_loopback(made.settings.public_url):
        session.out.warn(
            "WARNING: the address for peers is plain http: other nodes refuse it unless their operators say that a\n"
            "tunnel protects the way. Use https, with a proxy in front of the node."
        )
    session.out.next_step(f"tocsin node run --dir {directory}")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise UsageFault(
            f"--listen {text} is not HOST:PORT.", hint="Write it like 127.0.0.1:8711 or [::1]:8711."
        )
    return host.strip("[]"), int(port)
