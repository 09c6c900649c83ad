"""`tocsin matrix`: give the node's Matrix bot its access token."""

import asyncio
import os
import secrets
from pathlib import Path

import click

from tocsin_cli.ask import Asker
from tocsin_cli.command import LazyGroup
from tocsin_cli.errors import CliError, UsageFault
from tocsin_cli.exits import Exit
from tocsin_cli.local_node import directory_of, told
from tocsin_cli.session import Session, pass_session
from tocsin_node.errors import EncryptionMissing
from tocsin_node.links.matrix import Login, MatrixTransport, login
from tocsin_node.links.transport import ChannelDown, Retry
from tocsin_node.secrets import KEYS_DIRECTORY, PICKLE_KEY, RECOVERY_KEYS, read_secret_file, write_secret_file
from tocsin_node.settings.channels import MatrixSettings
from tocsin_node.settings.loading import load
from tocsin_node.settings.record import Settings

DEVICE_FILE = "matrix-device"
SECOND_DEVICE_FILE = "matrix-second-device"


class NoMatrix(UsageFault):
    """The node's settings name no Matrix room."""

    code = "matrix-missing"
    hint = "Add a [matrix] section with homeserver, user_id and room to node.toml first."


class NoSecondMatrix(NoMatrix):
    """The node's settings name no second Matrix room."""

    hint = "Add a [matrix_second] section with homeserver, user_id and room to node.toml first."


@click.group("matrix", cls=LazyGroup, no_args_is_help=True)
def matrix() -> None:
    """Connect the node to its Matrix room."""


class IdentityLocked(CliError):
    """The bot has a cross-signing identity already, and no key here opens it."""

    code = "identity-locked"
    hint = (
        "Put its recovery key (other clients call it security key) into keys/matrix-recovery-key, or make a new "
        "identity with --new-identity; people then have to verify the bot again."
    )
    exit = Exit.REFUSED


@matrix.command("login")
@click.option("--second", is_flag=True, help="The bot of [matrix_second], on the other homeserver.")
@click.option(
    "--new-device", is_flag=True, help="Be another device than before: the keys of the old one are lost."
)
@click.option(
    "--new-identity", is_flag=True, help="In an encrypted room: replace the identity that signs devices."
)
@pass_session
def login_(session: Session, second: bool, new_device: bool, new_identity: bool) -> None:
    """Log the bot in with its password, once, and keep the access token in the node's directory.

    The password is asked for, or read from standard input, and not kept. The bot stays the same device, so that
    no alert is told twice. A running node takes the new token up by itself.

    For an encrypted room the bot also gets an identity of its own that signs its devices. Back up
    keys/matrix-recovery-key, which opens it, and keys/matrix-pickle-key, which opens the keys in the database.
    """
    with told():
        settings = load(directory_of(session, os.environ))
        chosen = settings.matrix_second if second else settings.matrix
        if chosen is None:
            raise NoSecondMatrix if second else NoMatrix
        name = SECOND_DEVICE_FILE if second else DEVICE_FILE
        device_file = settings.path(chosen.access_token_file).with_name(name)
        device = "" if new_device else chosen.device_id or _kept(device_file)
        password = Asker(session.out).secret(f"Password of {chosen.user_id}:")
        if not password:
            raise UsageFault(
                "No password was given.", hint="Type the bot's password, or write it to standard input."
            )
        given = _log_in(chosen, password, device)
        _keep(settings, chosen, device_file, given)
        made = chosen.encrypted and _identify(
            settings, chosen, given, password, RECOVERY_KEYS[second], renew=new_identity
        )
    if session.out.as_json:
        session.out.document({"user_id": given.user_id, "device_id": given.device_id, "new_identity": made})
        return
    session.out.say(f"{given.user_id} is logged in as device {given.device_id}.")
    if made:
        session.out.say("It has a new identity that signs its devices. Back up keys/matrix-recovery-key now.")
    session.out.next_step("tocsin alert test")


def _log_in(chosen: MatrixSettings, password: str, device: str) -> Login:
    outcome = asyncio.run(login(chosen.homeserver, chosen.user_id, password, device))
    if isinstance(outcome, Login):
        return outcome
    raise _refused(chosen, outcome, "The homeserver does not log the bot in.")


def _refused(chosen: MatrixSettings, outcome: ChannelDown | Retry, what: str) -> CliError:
    if isinstance(outcome, ChannelDown):
        error = CliError(what, code=outcome.code, hint=outcome.hint)
        error.exit = Exit.NOT_ALLOWED
        return error
    wait = f" It says: wait {outcome.after_s:.0f} s." if outcome.after_s is not None else ""
    error = CliError(
        f"The homeserver {chosen.homeserver} did not take the request.{wait}",
        code=outcome.code,
        hint="Check matrix.homeserver and try again.",
    )
    error.exit = Exit.UNREACHABLE
    return error


def _identify(
    settings: Settings, chosen: MatrixSettings, given: Login, password: str, name: str, *, renew: bool
) -> bool:
    """See to the secrets of an encrypted room; whether the bot got a new identity.

    Raises: IdentityLocked, EncryptionMissing, CliError.
    """
    try:
        from tocsin_node.links.matrix_crypto import Refused
        from tocsin_node.links.matrix_identity import Identity
    except ImportError as exc:
        raise EncryptionMissing from exc
    directory = settings.dir / KEYS_DIRECTORY
    if not (directory / PICKLE_KEY).exists():
        write_secret_file(directory / PICKLE_KEY, secrets.token_hex(32))
    file = directory / name
    fresh = file.with_name(f"{name}.new")

    async def work() -> bool:
        transport = MatrixTransport(chosen, lambda: given.access_token)
        transport.take_token()
        try:
            identity = Identity(transport.ask, chosen.user_id)
            if not renew and await identity.exists():
                for known in (file, fresh):
                    if known.exists() and await identity.opens(read_secret_file(known).decode()):
                        known.replace(file)
                        return False
                raise IdentityLocked
            await identity.make(password, lambda key: _replace(fresh, key))
        finally:
            await transport.close()
        fresh.replace(file)
        return True

    try:
        return asyncio.run(work())
    except Refused as exc:
        raise _refused(chosen, exc.trouble, "The homeserver does not take the bot's identity.") from exc


def _keep(settings: Settings, chosen: MatrixSettings, device_file: Path, given: Login) -> None:
    if given.user_id != chosen.user_id:
        raise UsageFault(
            f"The homeserver knows the bot as {given.user_id}.",
            hint="Set matrix.user_id to that in node.toml.",
        )
    _replace(device_file, given.device_id)
    _replace(settings.path(chosen.access_token_file), given.access_token)


def _kept(file: Path) -> str:
    return read_secret_file(file).decode() if file.exists() else ""


def _replace(file: Path, content: str) -> None:
    """Put a new secret in the place of the old one, in one step."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret_file(fresh, content)
    fresh.replace(file)
