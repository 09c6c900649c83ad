"""What the commands on a node's keys are told: its directory, passphrase and root key, and where the next one goes."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tocsin_cli.errors import UsageFault
from tocsin_cli.local_node import directory_of
from tocsin_cli.session import Session
from tocsin_node.key_lock import locked_at_rest
from tocsin_node.passphrase import Passphrase, is_locked, read_passphrase
from tocsin_node.rotation import NextRoot, RootKey

F = TypeVar("F", bound=Callable[..., Any])
TYPED_MAX_BYTES = 16 * 1024


def node_directory(work: F) -> F:
    """[DIR], as all commands on a node's files take it."""
    kind = click.Path(path_type=Path, exists=True, file_okay=False)
    return click.argument("directory", metavar="[DIR]", required=False, type=kind)(work)


def passphrase_options(work: F) -> F:
    """--passphrase-file and --passphrase-fd."""
    work = click.option(
        "--passphrase-fd", metavar="N", type=click.IntRange(0), help="Read it from this open file descriptor."
    )(work)
    return click.option(
        "--passphrase-file",
        metavar="FILE",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The passphrase of the private keys, in an owner-only file. Left out: the systemd credential "
        "key-passphrase, or it is asked for on a terminal.",
    )(work)


def root_options(work: F) -> F:
    """--root-key and --root-passphrase-file."""
    work = click.option(
        "--root-passphrase-file",
        metavar="FILE",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The passphrase of the root key, if it was put away under another one.",
    )(work)
    return click.option(
        "--root-key",
        metavar="FILE",
        help="The offline key, as a file or as typed back from paper; - reads it from stdin. Left out: the one in "
        "DIR/offline.",
    )(work)


def next_root_options(work: F) -> F:
    """--next-root and --paper."""
    work = click.option("--paper", is_flag=True, help="Write it as a text to print and type back.")(work)
    return click.option(
        "--next-root",
        metavar="FILE",
        help="Where the next root key goes; - is stdout. Left out: beside the used one, or stdout with --paper.",
    )(work)


def directory_from(session: Session, directory: Path | None) -> Path:
    """The directory named, or the session's. Raises: NodeUnknown."""
    return directory or directory_of(session, os.environ)


def passphrase_from(
    session: Session, directory: Path, file: Path | None, descriptor: int | None, root: RootKey | None = None
) -> Passphrase | None:
    """The passphrase that was given; where keys are locked and a person sits here, it is asked for."""
    given = read_passphrase(file=file, descriptor=descriptor)
    needed = locked_at_rest(directory) or (
        root is not None and root.passphrase is None and is_locked(root.text)
    )
    if given is None and needed and session.interactive:
        return Passphrase(click.prompt("Passphrase of the private keys", hide_input=True, err=True))
    return given


def root_from(given: str | None, passphrase_file: Path | None) -> RootKey | None:
    """The root key that was named; None: the one in DIR/offline. Raises: SecretError, UsageFault."""
    passphrase = read_passphrase(file=passphrase_file) if passphrase_file else None
    if given is None:
        return None
    if given != "-":
        return RootKey.at(Path(given), passphrase)
    typed = sys.stdin.buffer.read(TYPED_MAX_BYTES)
    if not typed.strip():
        raise UsageFault("No root key came on stdin.", hint="Type the lines of the paper, then Ctrl-D.")
    return RootKey(typed.strip(), None, passphrase)


def next_root_to(session: Session, given: str | None, *, paper: bool) -> NextRoot:
    """Where the next root key goes. Raises: UsageFault."""
    if given != "-" and not (paper and given is None):
        return NextRoot(Path(given) if given else None, paper)
    if session.out.as_json:
        raise UsageFault(
            "The next root key and the JSON document cannot both go to stdout.",
            hint="Name a file with --next-root FILE.",
        )

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        if session.interactive and not click.confirm("Is it written down, whole and legible?", err=True):
            raise UsageFault("The next root key is not safe yet; nothing was changed.", hint="Start again.")

    return NextRoot(None, paper, show)
