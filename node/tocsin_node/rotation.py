"""The ceremony: the node's next statement, its new keys, and the root key for the time after.

    1. settle      end what an earlier rotation was cut off at
    2. next root   the key that signs the statement after this one is written down: nothing is in force before it is
                   safe. Its hash is noted first, so that the same file may be written again after a power cut
    3. keys        every new key lies beside the old ones and waits (`NAME.next`)
    4. statement   appears whole: from this step on the new keys are in force, before it the old ones
    5. settle      the new keys take the places of the old ones, which are gone
    6. used root   is deleted

A power cut anywhere leaves a node that starts, with all old keys or all new ones, and the ceremony can be held again.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tocsin_federation.errors import FederationError
from tocsin_federation.identity import Identity, RenewedKeys, Role, extend, verify_chain
from tocsin_federation.keys import load_private, public_of
from tocsin_federation.statement import Void
from tocsin_node.disk import Disk
from tocsin_node.errors import NodeError, SecretError
from tocsin_node.health import utc_now
from tocsin_node.identity_files import (
    IDENTITY_DIRECTORY,
    OFFLINE_DIRECTORY,
    WAITING,
    next_root_name,
    read_chain,
    settle_keys,
    write_statement,
)
from tocsin_node.key_lock import locked_at_rest
from tocsin_node.paper import is_paper, read_paper, write_paper
from tocsin_node.passphrase import KeyLocked, Passphrase, decode_key, encode_key
from tocsin_node.secrets import KEYS_DIRECTORY, read_secret_file
from tocsin_node.settings.loading import load


class RotationRunning(NodeError):
    """Another rotation of this node is under way."""

    code = "rotation-running"
    hint = "Wait until it has ended; one that was killed is simply held again."


@dataclass(frozen=True, slots=True)
class RootKey:
    """The key that was put away at the last ceremony. `text`: a key file's content, or what was typed from paper.

    `file`: where it lies, to be deleted when it is used; None when it was typed. `passphrase`: the one it was locked
    with, where that is not the node's.
    """

    text: bytes = field(repr=False)
    file: Path | None = None
    passphrase: Passphrase | None = None

    @classmethod
    def at(cls, file: Path, passphrase: Passphrase | None = None) -> "RootKey":
        """The key in a file. Raises: SecretError."""
        return cls(read_secret_file(file, carried=True), file, passphrase)

    def private(self, number: int, passphrase: Passphrase | None) -> bytes:
        """The private key for statement `number`. Raises: SecretError, KeyLocked, PassphraseWrong, PaperUnread."""
        passphrase = self.passphrase or passphrase
        if is_paper(self.text):
            signs, private = read_paper(self.text, passphrase)
            if signs != number:
                raise SecretError(f"This root key signs statement {signs}; the next statement is {number}.")
            return private
        try:
            return load_private(decode_key(next_root_name(number), self.text, passphrase))
        except FederationError as exc:
            raise SecretError("The root key is damaged.") from exc


@dataclass(frozen=True, slots=True)
class NextRoot:
    """Where the next root key goes. `file`: None for beside the used one, as next-root-NNNN.

    `paper`: as a text to print and type back. `show`: is given the text instead of a file, before the statement is in
    force; it must raise when the text did not arrive.
    """

    file: Path | None = None
    paper: bool = False
    show: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What the next statement says anew, beside what node.toml says."""

    replace: tuple[Role, ...] = ()
    void: Void | None = None
    url: str | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """A statement that was made. `next_root`: the file for the next one, if it is one.

    `left`: used root keys that could not be deleted and must be.
    """

    identity: Identity
    next_root: Path | None
    left: tuple[Path, ...] = ()


def rotate(
    directory: Path,
    *,
    root: RootKey | None = None,
    change: Change | None = None,
    to: NextRoot | None = None,
    passphrase: Passphrase | None = None,
    now: Callable[[], datetime] = utc_now,
    rng: Callable[[int], bytes] = os.urandom,
    disk: Disk | None = None,
) -> Rotated:
    """Write the node's next statement, in force for 100 days, signed with the offline key.

    It says what node.toml says, unless `change` says otherwise. `root`: None for the key in DIR/offline. Where there
    is a passphrase, every new key is locked by it. A running node takes the statement up when it is started again.

    Raises: NotInitialised, SettingsError, SecretError, IdentityRefused, RotationRunning.
    """
    settings, disk = load(directory), disk or Disk()
    change, to = change or Change(), to or NextRoot()
    with _alone(directory):
        chain = read_chain(directory)
        number = len(chain)
        before = verify_chain(chain, expected=None, now=None)
        root = root or RootKey.at(directory / OFFLINE_DIRECTORY / next_root_name(number))
        private = root.private(number, passphrase)
        locked = locked_at_rest(directory)
        if locked and passphrase is None:
            raise KeyLocked
        at_rest = passphrase if locked else None
        made, statement = extend(
            chain,
            root_private=private,
            now=now(),
            rng=rng,
            org=settings.node.org,
            domain=change.domain or settings.public_domain,
            urls=[change.url or settings.public_url],
            replace=change.replace,
            void=change.void,
        )
        settle_keys(directory, before, disk, passphrase)
        following = _target(directory, root, to, number + 1)
        _refuse_taken(directory, following, number + 1, passphrase)
        disk.write(_attempt(directory), public_of(made.next_root).hex().encode())
        _keep_root(made, following, to, number + 1, settings.node.org, passphrase, disk)
        for name, key in _named(made).items():
            disk.write(
                directory / KEYS_DIRECTORY / f"{name}{WAITING}",
                encode_key(name, key, at_rest),
            )
        write_statement(directory, number, statement, disk)
        identity = verify_chain([*chain, statement], expected=None, now=None)
        settle_keys(directory, identity, disk, passphrase)
        disk.remove(_attempt(directory))
        return Rotated(identity, following, tuple(_destroy_used(directory, root, identity, passphrase, disk)))


def end_cut_off(directory: Path, passphrase: Passphrase | None) -> None:
    """End a rotation that was cut off, as the node does at its start; one that is under way is left alone.

    Raises: SecretError, NotInitialised.
    """
    try:
        with _alone(directory):
            identity = verify_chain(read_chain(directory), expected=None, now=None)
            settle_keys(directory, identity, Disk(), passphrase)
    except RotationRunning:
        pass  # the node takes its keys from where they are


def used_roots(folder: Path, identity: Identity, passphrase: Passphrase | None) -> list[Path]:
    """The root keys in `folder`, under the names that a ceremony gives them, that statements have used up.

    One that is another node's, or locked by another passphrase, is none of them.
    """
    used = {public for statement in identity.statements for public in statement.root}
    found = []
    for number in range(1, len(identity.statements)):
        file = folder / next_root_name(number)
        try:
            if file.is_file() and public_of(RootKey.at(file).private(number, passphrase)) in used:
                found.append(file)
        except SecretError:
            continue
    return found


def _named(made: RenewedKeys) -> dict[str, bytes]:
    roles = {"http": made.http, "witness": made.witness, "log": made.log}
    return {
        **{f"enc-{kid}": seed for kid, seed in made.enc.items()},
        **{role: private for role, private in roles.items() if private is not None},
    }


def _target(directory: Path, root: RootKey, to: NextRoot, number: int) -> Path | None:
    """The file for the root key of statement `number`; None when it is shown instead."""
    if to.show is not None:
        return None
    beside = root.file.parent if root.file else directory / OFFLINE_DIRECTORY
    return to.file or beside / next_root_name(number)


def _keep_root(
    made: RenewedKeys,
    following: Path | None,
    to: NextRoot,
    number: int,
    org: str,
    passphrase: Passphrase | None,
    disk: Disk,
) -> None:
    name = next_root_name(number)
    if to.paper:
        content = write_paper(number, made.next_root, name=name, org=org, passphrase=passphrase).encode()
    else:
        content = encode_key(name, made.next_root, passphrase)
    if following is not None:
        disk.write(following, content)
    elif to.show is not None:
        to.show(content.decode())


def _attempt(directory: Path) -> Path:
    """Where the public half of the next root key of a rotation stands until its statement is in force."""
    return directory / IDENTITY_DIRECTORY / "attempted"


def _refuse_taken(
    directory: Path, following: Path | None, number: int, passphrase: Passphrase | None
) -> None:
    """A root key that stands there is overwritten only if it is of our own rotation that was cut off."""
    if following is None or not following.exists():
        return
    try:
        public = public_of(RootKey.at(following).private(number, passphrase))
        if public.hex() == _attempt(directory).read_text("ascii"):
            return
    except (SecretError, FileNotFoundError):
        pass
    raise SecretError(
        f"{following} exists already.", hint="Name another file for the next root key, or move that one away."
    )


def _destroy_used(
    directory: Path, root: RootKey, identity: Identity, passphrase: Passphrase | None, disk: Disk
) -> Iterator[Path]:
    """Delete the root keys that are used up; those that are still there."""
    folders = {directory / OFFLINE_DIRECTORY, *([root.file.parent] if root.file else [])}
    used = {file for folder in folders for file in used_roots(folder, identity, passphrase)}
    for file in sorted(used | ({root.file} if root.file else set())):
        try:
            disk.remove(file)
        except SecretError:
            yield file


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise RotationRunning from exc
    finally:
        os.close(descriptor)
