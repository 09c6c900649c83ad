"""`tocsin key`: who this node is, for how long, and the ceremonies that keep it so."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import click

from tocsin_cli.command import Late, LazyGroup
from tocsin_cli.commands.key_options import (
    directory_from,
    node_directory,
    passphrase_from,
    passphrase_options,
)
from tocsin_cli.errors import UsageFault
from tocsin_cli.exits import Exit
from tocsin_cli.local_node import told
from tocsin_cli.session import Session, pass_session
from tocsin_node.key_lock import decrypt_keys, encrypt_keys
from tocsin_node.key_status import KeyStatus, key_status
from tocsin_node.passphrase import Passphrase

_CEREMONY = "tocsin_cli.commands.key_ceremony"
_LATE = {
    "rotate": Late(
        f"{_CEREMONY}:rotate", "Write the node's next statement, with new keys, by the offline key."
    ),
    "rehearse": Late(f"{_CEREMONY}:rehearse", "Hold the ceremony on a copy; nothing is changed."),
    "recover": Late(f"{_CEREMONY}:recover", "Replace keys that were lost or stolen, by the offline key."),
    "republish": Late(
        "tocsin_cli.commands.key_republish:republish",
        "Give out again what the ended log held, in the new one.",
    ),
}


@click.group("key", cls=LazyGroup, late=_LATE, no_args_is_help=True)
def key() -> None:
    """Look after the node's keys."""


@key.command("status")
@node_directory
@pass_session
def status(session: Session, directory: Path | None) -> int:
    """Show every key: what it is for, until when, whether it is encrypted, and where it lies.

    It reads the node's files, with the node stopped or running, and needs no passphrase. Exit code 7 when something
    needs a person: keys that end within 30 days, a root key on this machine, a key that is missing or that others can
    read.
    """
    with told():
        found = key_status(directory_from(session, directory), datetime.now(UTC))
    ending = Exit.ATTENTION if found.troubles else Exit.DONE
    if session.out.as_json:
        session.out.document(_document(found))
        return ending
    session.out.facts(
        [
            ("Node", found.node_id),
            ("Statement", f"number {found.statement}, until {found.expires_at:%Y-%m-%d %H:%M} UTC"),
            ("Log", f"generation {found.generation}"),
            ("Next root key", f"{found.next_root}: {_whereabouts(found)}"),
        ]
    )
    session.out.line()
    session.out.table(
        ("key", "kid", "from", "until", "term", "at rest", "where"),
        [
            (k.role, k.kid, f"{k.since:%Y-%m-%d}", f"{k.until:%Y-%m-%d}", k.term, k.at_rest, k.where or "-")
            for k in found.keys
        ],
    )
    for trouble in found.troubles:
        session.out.warn(f"{trouble.message} [{trouble.code}]\n→ {trouble.hint}")
    return ending


@key.command("encrypt")
@node_directory
@passphrase_options
@pass_session
def encrypt(
    session: Session, directory: Path | None, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Lock the node's private keys by a passphrase, in place.

    From then on the node needs it at each start. Interrupted, it is simply started again.
    """
    with told():
        directory = directory_from(session, directory)
        passphrase = passphrase_from(session, directory, passphrase_file, passphrase_fd)
        if passphrase is None and session.interactive:
            words = click.prompt(
                "New passphrase for the private keys", hide_input=True, confirmation_prompt=True, err=True
            )
            passphrase = Passphrase(words)
        files = encrypt_keys(directory, _needed(passphrase))
    _tell(session, files, "encrypted")
    if files and not session.out.as_json:
        session.out.next_step("restart the node with --passphrase-file FILE or the credential key-passphrase")


@key.command("decrypt")
@node_directory
@passphrase_options
@pass_session
def decrypt(
    session: Session, directory: Path | None, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Take the node's private keys out of the passphrase's lock, in place."""
    with told():
        directory = directory_from(session, directory)
        passphrase = passphrase_from(session, directory, passphrase_file, passphrase_fd)
        files = decrypt_keys(directory, _needed(passphrase))
    _tell(session, files, "decrypted")


def _needed(passphrase: Passphrase | None) -> Passphrase:
    if passphrase is None:
        raise UsageFault(
            "No passphrase was given.", hint="Give it with --passphrase-file FILE or --passphrase-fd N."
        )
    return passphrase


def _tell(session: Session, files: list[Path], what: str) -> None:
    if session.out.as_json:
        session.out.document({what: [str(file) for file in files]})
    else:
        session.out.say(f"{len(files)} keys were {what}." if files else f"All keys were {what} already.")


def _whereabouts(found: KeyStatus) -> str:
    here = [where for where in found.roots_here if Path(where).name == found.next_root]
    return f"still here, in {here[0]}" if here else "not on this machine, as it should be"


def _document(found: KeyStatus) -> dict[str, object]:
    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list | tuple) else value

    return {name: plain(value) for name, value in dataclasses.asdict(found).items()}
