"""`tocsin key rotate|rehearse|recover`: the ceremonies with the offline key."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.commands.key_options import (
    directory_from,
    next_root_options,
    next_root_to,
    node_directory,
    passphrase_from,
    passphrase_options,
    root_from,
    root_options,
)
from tocsin_cli.errors import UsageFault
from tocsin_cli.local_node import told
from tocsin_cli.session import Session, pass_session
from tocsin_federation.identity import Role
from tocsin_federation.statement import Void
from tocsin_node.identity_files import read_chain
from tocsin_node.recovery import last_good
from tocsin_node.rehearsal import rehearse as rehearse_rotation
from tocsin_node.rotation import Change, NextRoot, RootKey, Rotated
from tocsin_node.rotation import rotate as rotate_keys

ONLINE: tuple[Role, ...] = ("http", "witness", "enc")
ALL: tuple[Role, ...] = (*ONLINE, "log")


@click.command("rotate", cls=Command)
@node_directory
@root_options
@next_root_options
@click.option("--url", metavar="URL", help="A new address for peers. Left out: as node.toml says.")
@click.option("--domain", metavar="DOMAIN", help="A new domain. Left out: as node.toml says.")
@click.option(
    "--new-key",
    "replaced",
    multiple=True,
    type=click.Choice(ONLINE),
    help="Make this key anew; once for each.",
)
@passphrase_options
@pass_session
def rotate(session: Session, /, directory: Path | None, **given: Any) -> None:
    """Write the node's next statement, in force for 100 days, with the offline key.

    It lays out a new encryption key for each month, carries what node.toml says (change the name, the domain or the
    address there first), writes the root key for the time after and deletes the used one. Interrupted, it is held
    again. Restart the node afterwards; peers fetch the statement by themselves.
    """
    change = Change(_roles(given["replaced"]), url=given["url"], domain=given["domain"])
    made, changed = _hold(session, directory, change, given)
    _tell(session, made, changed)
    if given["url"] or given["domain"]:
        session.out.warn(
            "Write the new address or domain into node.toml too, or the next rotation takes it back."
        )


@click.command("rehearse", cls=Command)
@node_directory
@root_options
@click.option(
    "--new-key", "replaced", multiple=True, type=click.Choice(ALL), help="As if this key were made anew."
)
@passphrase_options
@pass_session
def rehearse(session: Session, /, directory: Path | None, **given: Any) -> None:
    """Hold the whole ceremony on a copy: it says what would happen and whether the root key is the right one.

    Nothing is changed, and the root key is not used up. Do it when you put a new root key away, and before each
    rotation.
    """
    with told():
        directory = directory_from(session, directory)
        root = root_from(given["root_key"], given["root_passphrase_file"])
        passphrase = passphrase_from(
            session, directory, given["passphrase_file"], given["passphrase_fd"], root
        )
        change = Change(_roles(given["replaced"]))
        made = rehearse_rotation(directory, root=root, change=change, passphrase=passphrase)
    _tell(session, made, change, rehearsed=True)


@click.command("recover", cls=Command)
@node_directory
@click.option("--lost", multiple=True, type=click.Choice(ALL), help="This key is gone; once for each.")
@click.option(
    "--stolen",
    multiple=True,
    type=click.Choice((*ALL, "all")),
    help="Somebody else has this key; once for each. A stolen log key ends the log.",
)
@click.option("--restored", is_flag=True, help="The database is older than what peers have seen.")
@click.option(
    "--last-good",
    metavar="SIZE",
    type=click.IntRange(0),
    help="How many of the log's entries are good, after a theft or a restored backup. Left out: all that the database "
    "holds. After a theft it has to be said if entries came back from peers.",
)
@click.option(
    "--last-good-root",
    metavar="BASE64",
    help="The root at that size (third line of a checkpoint), when the database is lost.",
)
@root_options
@next_root_options
@passphrase_options
@pass_session
def recover(session: Session, /, directory: Path | None, **given: Any) -> None:
    """Replace keys that were lost or stolen, with the offline key.

    With --stolen log (or --restored, --lost log) the node begins a new generation of its log. After a theft peers
    dispute what the old one holds beyond the last good entry, whoever signed it; `tocsin key republish` gives out
    again what is ours. Stop the node before a log key is replaced. node/RECOVERY.md has the steps for each case.
    """
    stolen = set(ALL) if "all" in given["stolen"] else set(given["stolen"])
    roles = _roles([*given["lost"], *stolen, *(["log"] if given["restored"] else [])])
    if not roles:
        raise UsageFault(
            "What happened is not said.",
            hint="Give --lost ROLE, --stolen ROLE or --restored; see node/RECOVERY.md.",
        )
    void = "log" in stolen or given["restored"]
    if not void and (given["last_good"] is not None or given["last_good_root"]):
        raise UsageFault(
            "--last-good goes with --stolen log or --restored.",
            hint="Leave it out: nothing is disputed otherwise.",
        )
    if given["last_good_root"] and given["last_good"] is None:
        raise UsageFault(
            "--last-good-root needs --last-good SIZE.", hint="The size stands on the line before it."
        )
    made, changed = asyncio.run(_recover(session, directory, roles, given, void=void))
    _tell(session, made, changed)


async def _recover(
    session: Session, directory: Path | None, roles: tuple[Role, ...], given: dict[str, Any], *, void: bool
) -> tuple[Rotated, Change]:
    with told():
        directory = directory_from(session, directory)
        if not void:
            return _hold(session, directory, Change(roles), given)
        if given["last_good_root"]:
            known = _void(directory, given["last_good"], given["last_good_root"])
            return _hold(session, directory, Change(roles, known), given)
        stolen = bool({"log", "all"} & set(given["stolen"]))
        async with last_good(directory, given["last_good"], stolen=stolen) as good:
            if good.beyond:
                session.out.warn(
                    f"{good.beyond} entries of this node's own database lie beyond the last good one:\n"
                    "peers dispute them until they are published again."
                )
            return _hold(session, directory, Change(roles, good.void), given)


def _void(directory: Path, size: int, root: str) -> Void:
    from tocsin_federation.identity import verify_chain

    gen = verify_chain(read_chain(directory), expected=None, now=None).statement.log.gen
    try:
        raw = base64.b64decode(root, validate=True)
    except binascii.Error as exc:
        raise UsageFault(
            "--last-good-root is not base64.", hint="Copy the third line of the checkpoint."
        ) from exc
    if len(raw) != 32:
        raise UsageFault("--last-good-root is no root: it has to be 32 bytes.")
    return Void(gen=gen, size=size, root=raw)


def _hold(
    session: Session, directory: Path | None, change: Change, given: dict[str, Any]
) -> tuple[Rotated, Change]:
    with told():
        directory = directory_from(session, directory)
        root: RootKey | None = root_from(given["root_key"], given["root_passphrase_file"])
        passphrase = passphrase_from(
            session, directory, given["passphrase_file"], given["passphrase_fd"], root
        )
        to: NextRoot = next_root_to(session, given["next_root"], paper=given["paper"])
        return rotate_keys(directory, root=root, change=change, to=to, passphrase=passphrase), change


def _roles(names: Sequence[str]) -> tuple[Role, ...]:
    return tuple(role for role in ALL if role in names)


def _tell(session: Session, made: Rotated, change: Change, *, rehearsed: bool = False) -> None:
    statement = made.identity.statement
    monthly = [key for key in statement.enc if key.nbf >= statement.iat or key.exp == statement.exp]
    void = statement.void if change.void is not None else None
    if session.out.as_json:
        session.out.document(
            {
                "node_id": made.identity.node_id,
                "rehearsed": rehearsed,
                "statement": statement.seq,
                "url": statement.urls[0],
                "domain": statement.org.domain,
                "expires_at": statement.expires_at.isoformat(),
                "generation": statement.log.gen,
                "last_good": void and void.size,
                "new_keys": list(change.replace),
                "encryption_keys": [key.kid for key in statement.enc],
                "offline_key": made.next_root and str(made.next_root),
                "used_keys_left": [str(file) for file in made.left],
            }
        )
        return
    facts: list[tuple[str, object]] = [
        ("Node", made.identity.node_id),
        ("Statement", f"number {statement.seq}, until {statement.expires_at:%Y-%m-%d}"),
        ("Address for peers", statement.urls[0]),
        ("Encryption keys", f"{len(statement.enc)}, {len(monthly)} of them laid out ahead"),
        ("New keys", ", ".join(change.replace) or "none beside the encryption keys"),
    ]
    if "log" in change.replace:
        facts.append(("Log", f"generation {statement.log.gen}, from its first entry"))
    if void is not None:
        facts.append(("Good of the old log", f"its first {void.size} entries; the rest is disputed"))
    if rehearsed:
        session.out.facts(facts)
        session.out.say("Rehearsed on a copy: the root key is the right one, and nothing was changed.")
        return
    where = made.next_root or "as shown above"
    session.out.facts([*facts, ("Offline key", f"{where} (new: the old one is used up)")])
    for file in made.left:
        session.out.warn(f"The used root key {file} could not be deleted: delete it yourself.")
    if made.next_root is not None:
        session.out.next_step(f"restart the node, and move {made.next_root} away from this machine")
    else:
        session.out.next_step("restart the node, and destroy the used root key")
    if "log" in change.replace:
        session.out.next_step("once it runs: tocsin key republish")
