"""Where a node keeps who it is: its statements in DIR/identity, its private keys in DIR/keys.

    identity/0000.dsse …    statements, public, never changed once written
    keys/log, witness, http Ed25519 private keys
    keys/enc-KID            X-Wing seeds; one is destroyed 60 days after its term, with what only it could
    keys/NAME.next          a key that waits for its statement to be in force
    open offline/next-root-NNNN  signs statement NNNN, once; belongs away from this machine

A key file is one line of base64, or locked by a passphrase. A key may come as a systemd credential of the same name
instead. Of several the node takes the one that its newest statement names, so it starts whatever a rotation was cut
off at.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from tocsin_federation.errors import FederationError
from tocsin_federation.identity import Identity, verify_chain
from tocsin_federation.keys import (
    VKEY_COSIGNATURE,
    EncPrivateKey,
    decode_vkey,
    load_enc_private,
    load_private,
    public_of,
)
from tocsin_node.disk import Disk
from tocsin_node.errors import NotInitialised, SecretError
from tocsin_node.passphrase import Passphrase, decode_key, encode_key
from tocsin_node.secrets import KEYS_DIRECTORY, read_secret_file, secret_files, write_secret_file

IDENTITY_DIRECTORY = "identity"
OFFLINE_DIRECTORY = "offline"
ROLES = ("http", "witness", "log")
WAITING = ".next"  # after the name of a key whose statement is not in force yet
STATEMENT_FILE = re.compile(r"\d{4}\.dsse")
KEPT_AFTER_TERM = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class PrivateKeys:
    """What the node signs and opens with. `enc`: by kid. `http_kid` names the key that signs requests."""

    log: bytes = field(repr=False)
    witness: bytes = field(repr=False)
    http: bytes = field(repr=False)
    http_kid: str
    enc: Mapping[str, EncPrivateKey] = field(repr=False)


def load_identity(directory: Path, passphrase: Passphrase | None = None) -> tuple[Identity, PrivateKeys]:
    """Who the node in `directory` is, and its keys; an expired statement is loaded too (`/healthz` tells).

    Raises: NotInitialised; SecretError when a key is missing, malformed, locked or not the one in the statement;
    IdentityRefused when the statements do not verify.
    """
    identity = verify_chain(read_chain(directory), expected=None, now=None)
    kids = {key.pk: key.kid for key in identity.statement.http}
    named = signing_publics(identity)
    log, witness, http = (
        _signing_key(directory, role, named[role], passphrase) for role in ("log", "witness", "http")
    )
    enc = dict(_enc_keys(directory, identity, passphrase))
    return identity, PrivateKeys(log, witness, http, kids[public_of(http)], enc)


def signing_publics(identity: Identity) -> dict[str, set[bytes]]:
    """Role → the public keys that the newest statement names for it."""
    statement = identity.statement
    return {
        "log": {decode_vkey(statement.log.vkey).public},
        "witness": {decode_vkey(statement.wit, VKEY_COSIGNATURE).public},
        "http": {key.pk for key in statement.http},
    }


def newest_first(identity: Identity, keys: PrivateKeys, now: datetime) -> Mapping[str, EncPrivateKey]:
    """The keys that entries may be sealed to, the likeliest first: those in force, then the others."""
    at = now.timestamp()
    terms = {key.kid: (key.nbf <= at < key.exp, key.nbf) for s in identity.statements for key in s.enc}
    kids = sorted(keys.enc, key=lambda kid: terms.get(kid, (False, 0)), reverse=True)
    return {kid: keys.enc[kid] for kid in kids}


def read_chain(directory: Path) -> list[bytes]:
    """The node's statements, oldest first.

    Raises: NotInitialised when there is none.
    """
    folder = directory / IDENTITY_DIRECTORY
    files = sorted(file for file in folder.glob("*.dsse") if STATEMENT_FILE.fullmatch(file.name))
    if not files:
        raise NotInitialised(f"There is no statement in {folder}.")
    return [file.read_bytes() for file in files]


def write_statement(directory: Path, number: int, statement: bytes, disk: Disk | None = None) -> None:
    """Add a statement, whole or not at all; one that exists is never overwritten. Raises: SecretError."""
    file = directory / IDENTITY_DIRECTORY / f"{number:04}.dsse"
    if file.exists():
        raise SecretError(f"{file} exists already.", hint="Nothing was overwritten.")
    (disk or Disk()).write(file, statement)


def write_key(directory: Path, name: str, private: bytes) -> None:
    """Keep a private key as DIR/keys/NAME, owner-only. Raises: SecretError when there is one."""
    write_secret_file(directory / KEYS_DIRECTORY / name, encode_key(name, private).decode())


def next_root_name(number: int) -> str:
    """The file name of the key that signs statement `number`."""
    return f"next-root-{number:04}"


def destroy_old_keys(directory: Path, identity: Identity, now: datetime) -> list[str]:
    """Delete the encryption seeds whose term ended 60 days ago or more; their kids."""
    ends: dict[str, float] = {}
    for statement in identity.statements:
        for key in statement.enc:
            ends[key.kid] = max(ends.get(key.kid, 0), key.exp)
    destroyed = []
    for kid, end in ends.items():
        file = directory / KEYS_DIRECTORY / f"enc-{kid}"
        if end + KEPT_AFTER_TERM.total_seconds() < now.timestamp() and file.exists():
            file.unlink()
            destroyed.append(kid)
    return destroyed


def settle_keys(directory: Path, identity: Identity, disk: Disk, passphrase: Passphrase | None) -> None:
    """End a rotation that was cut off: what its statement names takes its place, what no statement names is deleted.

    Raises: SecretError, also when a key that waits is locked and there is no passphrase: nothing is deleted unread.
    """
    signing, enc = signing_publics(identity), {key.kid for s in identity.statements for key in s.enc}
    for waiting in sorted((directory / KEYS_DIRECTORY).glob(f"*{WAITING}")):
        name = waiting.name.removesuffix(WAITING)
        if name.startswith("enc-"):
            named = name.removeprefix("enc-") in enc
        else:
            private = decode_key(name, read_secret_file(waiting), passphrase)
            named = public_of(private) in signing.get(name, set())
        if named:
            disk.move(waiting, waiting.with_name(name))
        else:
            disk.remove(waiting)


def _signing_key(directory: Path, role: str, named: set[bytes], passphrase: Passphrase | None) -> bytes:
    def wanted(private: bytes) -> bool:
        return public_of(load_private(private)) in named

    return _find_key(directory, role, wanted, passphrase)


def _find_key(
    directory: Path, name: str, wanted: Callable[[bytes], bool], passphrase: Passphrase | None
) -> bytes:
    """The first of the keys of that name that is `wanted`. Raises: SecretError."""
    files = [file for each in (name, f"{name}{WAITING}") for file in secret_files(directory, each)]
    fault = SecretError(f"There is no secret at {directory / KEYS_DIRECTORY / name}.")
    for nth, (file, guarded) in enumerate(files):
        try:
            private = decode_key(name, file.read_bytes() if guarded else read_secret_file(file), passphrase)
            if wanted(private):
                return private
            found = SecretError(
                f"The key keys/{name} is not the one in the node's statement.",
                hint="Keys and statements belong together: restore both from one backup.",
            )
        except SecretError as exc:
            found = exc
        except FederationError:
            found = SecretError(f"The key {name} is damaged.")
        fault = found if nth == 0 else fault  # what a person looks for first
    raise fault


def _enc_keys(
    directory: Path, identity: Identity, passphrase: Passphrase | None
) -> Iterator[tuple[str, EncPrivateKey]]:
    """The seeds that are there: those in force must be, older ones may have been destroyed."""
    current = {key.kid for key in identity.statement.enc}
    for kid in {key.kid for statement in identity.statements for key in statement.enc}:
        if kid not in current and not any(secret_files(directory, f"enc-{kid}")):
            continue
        seed = _find_key(directory, f"enc-{kid}", partial(_is_seed_of, kid), passphrase)
        yield kid, load_enc_private(seed)


def _is_seed_of(kid: str, seed: bytes) -> bool:
    return load_enc_private(seed).kid == kid
