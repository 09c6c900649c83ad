"""`tocsin circle key new|propose|sign`: what the admins of a circle do, each with a key file of their own.

Keys and manifests are files: no node is asked but to look up a peer by its name, or the circle that is held there.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import segment
from tocsin_cli.command import Command, LazyGroup
from tocsin_cli.commands.circle_look import file_of
from tocsin_cli.commands.key_options import passphrase_options
from tocsin_cli.durable import write_durably
from tocsin_cli.errors import CliError, UsageFault
from tocsin_cli.filing import member
from tocsin_cli.local_node import told
from tocsin_cli.session import Session, pass_session
from tocsin_federation.circle import (
    MAX_FILE_BYTES,
    MAX_TERM_S,
    Manifest,
    SignedManifest,
    draft,
    is_admin,
    read_file,
    read_manifest,
    sign_manifest,
    write_file,
)
from tocsin_federation.errors import FederationError
from tocsin_federation.keys import check_public, generate, load_private, public_of
from tocsin_federation.node_id import NODE_ID_PATTERN
from tocsin_node.passphrase import Passphrase, decode_key, encode_key, is_locked, read_passphrase
from tocsin_node.secrets import read_secret_file, write_secret_file
from tocsin_schema.marking import Tlp

KEY_NAME = "circle-admin"
MOST_DAYS = MAX_TERM_S // 86_400
MARKINGS = [tlp.value for tlp in Tlp if tlp is not Tlp.RED]


@click.group("key", cls=LazyGroup, no_args_is_help=True)
def key() -> None:
    """Make the keys that admins sign with."""


@key.command("new")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@passphrase_options
@click.option("--unlocked", is_flag=True, help="Without a passphrase: whoever gets the file can sign.")
@pass_session
def new(
    session: Session, file: Path, passphrase_file: Path | None, passphrase_fd: int | None, unlocked: bool
) -> None:
    """Make a key for one admin, and write it to FILE, locked by a passphrase.

    The public key on stdout goes to whoever proposes the circle; the file stays with the person.
    """
    _refuse_to_overwrite(file)
    with told():
        passphrase = read_passphrase(file=passphrase_file, descriptor=passphrase_fd)
        if passphrase is None and not unlocked:
            passphrase = _asked(session, "New passphrase for this key", confirm=True)
        private = generate(os.urandom)
        write_secret_file(file, encode_key(KEY_NAME, private, passphrase).decode())
    public = public_of(private).hex()
    if session.out.as_json:
        session.out.document({"public": public, "file": str(file)})
        return
    session.out.line(public)
    session.out.say(f"The key is in {file}. Give the line above to whoever proposes the circle.")


@click.command("propose", cls=Command)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", metavar="NAME", help="What a new circle is called.")
@click.option("--from", "source", metavar="FILE|CIRCLE", help="The circle of which this is the next epoch.")
@click.option("--member", "add", multiple=True, metavar="NODEID|PEER", help="A member; may be repeated.")
@click.option("--remove", multiple=True, metavar="NODEID|PEER", help="A member to take out.")
@click.option("--admin", "admins", multiple=True, metavar="KEY", help="The public key of an admin.")
@click.option("--remove-admin", "gone", multiple=True, metavar="KEY", help="An admin to take out.")
@click.option("--threshold", type=click.IntRange(1), metavar="N", help="How many admins must sign.")
@click.option("--max-tlp", type=click.Choice(MARKINGS), help="The highest marking shared by the circle.")
@click.option(
    "--hidden",
    is_flag=True,
    help="A new circle whose members do not see each other: FILE is for those who publish.",
)
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=365, show_default=True, help="Its term.")
@pass_session
def propose(
    session: Session,
    file: Path,
    name: str | None,
    source: str | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    admins: tuple[str, ...],
    gone: tuple[str, ...],
    threshold: int | None,
    max_tlp: str | None,
    hidden: bool,
    days: int,
) -> None:
    """Write a manifest that nobody has signed yet: of a new circle, or with --from the next epoch of one.

    What is not said stays as it was. FILE goes from admin to admin, each of whom signs it.
    """
    _refuse_to_overwrite(file)
    chain = [] if source is None else list(_file_named(session, source))
    if source is None and (not name or not add or not admins or threshold is None):
        raise UsageFault(
            "A new circle needs --name, --member, --admin and --threshold.",
            hint="Or name the one that this is the next epoch of: --from FILE.",
        )
    with _refusals():
        read = [read_manifest(envelope) for envelope in chain]
        before = read[-1].manifest if read else None
        if hidden and before is not None and before.roster is None:
            raise UsageFault(
                "Its members know each other already; that cannot be taken back.",
                hint="Found a new circle: without --from.",
            )
        members = set(before.members if before else ())
        keys = set(before.admins if before else ())
        now = datetime.now(UTC)
        manifest = _manifest(
            circle=read[0].digest if read else None,
            prev=read[-1].digest if read else None,
            before=before,
            name=name,
            members=(members | {_node(session, m) for m in add}) - {_node(session, m) for m in remove},
            admins=(keys | set(map(_admin, admins))) - set(map(_admin, gone)),
            threshold=threshold,
            max_tlp=max_tlp,
            hidden=before.roster == "hidden" if before else hidden,
            now=now,
            days=days,
        )
        raw = write_file([*chain, draft(manifest)])
    if len(raw) > MAX_FILE_BYTES:
        raise UsageFault("The circle has too many epochs.", hint="Its admins must found a new one.")
    write_durably(file, raw)
    _tell(session, file, read_manifest(draft(manifest)), before)


@click.command("sign", cls=Command)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--key-file", "key_file", metavar="FILE", required=True, type=click.Path(path_type=Path), help="Your key."
)
@passphrase_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def sign(
    session: Session,
    file: Path,
    key_file: Path,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    yes: bool,
) -> None:
    """Sign the newest manifest in a circle's file, after looking at what it changes.

    Admins of the epoch before and of the new one sign; enough of both must.
    """
    with _refusals():
        chain = list(read_file(_read(file)))
        read = [read_manifest(envelope) for envelope in chain]
    newest, before = read[-1], read[-2].manifest if len(read) > 1 else None
    private = _private(session, key_file, passphrase_file, passphrase_fd)
    if not is_admin(private, before, newest.manifest):
        raise CliError(
            "This key is no admin's of this epoch or of the one before; its signature would count for nothing.",
            code="not-admin",
            hint="Compare the keys: `tocsin circle propose` names an admin with --admin KEY.",
        )
    for line in changes(newest.manifest, before, _names(session)):
        session.out.warn(line)
    if not yes and not Asker(session.out, instead=GIVE_YES).yes("Sign it?", default=False):
        session.out.warn("Nothing is signed.")
        return
    with _refusals():
        chain[-1] = sign_manifest(chain[-1], private)
        signed = read_manifest(chain[-1])
    if signed.signatures == newest.signatures:
        session.out.say("Your signature was there already.")
    write_durably(file, write_file(chain))
    _tell(session, file, signed, before)


def changes(manifest: Manifest, before: Manifest | None, names: Mapping[str, str]) -> list[str]:
    """What a manifest says, beside the one before it. `names`: what a node's people call NodeIDs; where known."""
    lines = [
        (
            f"Circle {manifest.name!r}, epoch {manifest.epoch}, until {manifest.expires_at:%Y-%m-%d}, up to "
            f"{manifest.max_tlp.label}; {manifest.threshold} of {len(manifest.admins)} admins sign."
        )
    ]
    was = before or manifest
    if (was.threshold, was.max_tlp) != (manifest.threshold, manifest.max_tlp):
        lines.append(f"Before: up to {was.max_tlp.label}; {was.threshold} of {len(was.admins)} admins.")
    lines += [
        f"{line}  {names[line.rpartition(' ')[2]]}" if line.rpartition(" ")[2] in names else line
        for line in _difference("member", manifest.members, before.members if before else ())
    ]
    lines += _difference(
        "admin", [k.hex() for k in manifest.admins], [k.hex() for k in before.admins] if before else ()
    )
    if manifest.roster == "hidden":
        lines.append("Its members do not see each other: this file goes to those alone who publish to it.")
    if not manifest.members:
        lines.append("It has no members: what is shared into it goes to nobody.")
    return lines


def _refuse_to_overwrite(file: Path) -> None:
    if file.exists():
        raise UsageFault(f"{file} exists already; it is not overwritten.", hint="Name another file.")


def _difference(what: str, now: Sequence[str], before: Sequence[str]) -> list[str]:
    added = [f"+ {what} {each}" for each in now if each not in before]
    return added + [f"- {what} {each}" for each in before if each not in now]


def _manifest(
    *,
    circle: bytes | None,
    prev: bytes | None,
    before: Manifest | None,
    name: str | None,
    members: set[str],
    admins: set[bytes],
    threshold: int | None,
    max_tlp: str | None,
    hidden: bool,
    now: datetime,
    days: int,
) -> Manifest:
    def chosen(given: object, standing: object) -> object:
        return given if given is not None else standing

    try:
        return Manifest(
            v=2 if hidden else 1,
            roster="hidden" if hidden else None,
            circle=circle,
            epoch=before.epoch + 1 if before else 0,
            prev=prev,
            name=str(chosen(name, before and before.name)),
            members=tuple(sorted(members)),
            admins=tuple(sorted(admins)),
            threshold=int(str(chosen(threshold, before and before.threshold))),
            max_tlp=Tlp(max_tlp) if max_tlp else before.max_tlp if before else Tlp.AMBER,
            iat=max(int(now.timestamp()), before.iat if before else 0),
            exp=int((now + timedelta(days=days)).timestamp()),
        )
    except ValueError as exc:
        raise UsageFault(
            "That is no manifest: there must be an admin, and no more signatures be asked for than there are admins.",
            hint="Look at --admin, --remove-admin, --threshold and --name.",
        ) from exc


def _names(session: Session) -> dict[str, str]:
    """Our names for the nodes that we know, if a node is at hand to ask: an admin need not have one."""
    try:
        us = session.client.json("GET", "/v1/node")
        peers = member(session.client.json("GET", "/v1/peers"), "items")
    except CliError:
        return {}
    found = {str(peer.get("node_id")): str(peer.get("name")) for peer in peers}
    return {**found, str(us.get("node_id")): "us"}


def _file_named(session: Session, source: str) -> tuple[bytes, ...]:
    path = Path(source)
    raw = _read(path) if path.is_file() else file_of(session, source)
    with _refusals():
        return read_file(raw)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)


def _node(session: Session, named: str) -> str:
    """The NodeID that is meant: itself, our own by the word `us`, or a peer's by our name for it."""
    if re.match(NODE_ID_PATTERN, named):
        return named
    if named == "us":
        return str(member(session.client.json("GET", "/v1/node"), "node_id"))
    return str(member(session.client.json("GET", f"/v1/peers/{segment(named)}"), "node_id"))


def _admin(text: str) -> bytes:
    try:
        return check_public(bytes.fromhex(text))
    except (ValueError, FederationError) as exc:
        raise UsageFault(
            "An admin's key is 64 hex digits, as `tocsin circle key new` prints it.", hint="Copy it whole."
        ) from exc


def _private(session: Session, file: Path, passphrase_file: Path | None, descriptor: int | None) -> bytes:
    with told():
        content = read_secret_file(file, carried=True)
        passphrase = read_passphrase(file=passphrase_file, descriptor=descriptor)
        if passphrase is None and is_locked(content) and session.interactive:
            passphrase = _asked(session, "Passphrase of your key", confirm=False)
        raw = decode_key(KEY_NAME, content, passphrase)
    with _refusals():
        return load_private(raw)


def _asked(session: Session, words: str, *, confirm: bool) -> Passphrase:
    if not session.interactive:
        raise UsageFault(
            "No passphrase was given.",
            hint="Give it with --passphrase-file FILE or --passphrase-fd N, or make the key with --unlocked.",
        )
    return Passphrase(click.prompt(words, hide_input=True, confirmation_prompt=confirm, err=True))


def _tell(session: Session, file: Path, newest: SignedManifest, before: Manifest | None) -> None:
    """How many signatures there are, and how many it takes."""
    manifest = newest.manifest
    with _refusals():
        asked = [(manifest, "this epoch"), *([(before, "the epoch before")] if before else [])]
        counts = [(len(newest.signers(one.admins)), one.threshold, what) for one, what in asked]
    ready = all(have >= need for have, need, _ in counts)
    if session.out.as_json:
        session.out.document(
            {
                "file": str(file),
                "name": manifest.name,
                "epoch": manifest.epoch,
                "signed": [{"by": what, "have": have, "need": need} for have, need, what in counts],
                "ready": ready,
            }
        )
        return
    for have, need, what in counts:
        session.out.say(f"Signed by {have} admin{'' if have == 1 else 's'} of {what}; it takes {need}.")
    if ready:
        session.out.next_step(f"tocsin circle adopt {file}")
    else:
        session.out.next_step(f"tocsin circle sign {file} --key-file KEYFILE")


@contextmanager
def _refusals() -> Iterator[None]:
    """What the federation refuses becomes an error of the command line."""
    try:
        yield
    except FederationError as exc:
        raise CliError(str(exc), code=exc.code, hint=exc.hint) from exc
