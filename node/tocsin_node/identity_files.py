"""Where a node keeps who it is: its statements in DIR/identity, its private keys in DIR/keys.

    identity/0000.dsse …    statements, public, never changed once written
    keys/log, witness, http Ed25519 private keys
    keys/enc-KID            X-Wing seeds; one is destroyed 60 days after its term, with what only it could
    open offline/next-root-NNNN  signs statement NNNN, once; belongs away from this machine

A key file is one line of base64. A key may come as a systemd credential of the same name instead.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tocsin_federation.errors import FederationError
from tocsin_federation.identity import Identity, verify_chain
from tocsin_federation.keys import (
    VKEY_COSIGNATURE,
    EncPrivateKey,
    VerifierKey,
    decode_vkey,
    load_enc_private,
    load_private,
    public_of,
)
from tocsin_node.errors import NotInitialised, SecretError
from tocsin_node.secrets import KEYS_DIRECTORY, read_secret, write_secret_file

IDENTITY_DIRECTORY = "identity"
OFFLINE_DIRECTORY = "offline"
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


def load_identity(directory: Path) -> tuple[Identity, PrivateKeys]:
    """Who the node in `directory` is, and its keys; an expired statement is loaded too (`/healthz` tells).

    Raises: NotInitialised; SecretError when a key is missing, malformed or not the one in the statement;
    IdentityRefused when the statements do not verify.
    """
    identity = verify_chain(read_chain(directory), expected=None, now=None)
    statement = identity.statement
    log, witness, http = (_signing_key(directory, role) for role in ("log", "witness", "http"))
    _match("log", log, decode_vkey(statement.log.vkey))
    _match("witness", witness, decode_vkey(statement.wit, VKEY_COSIGNATURE))
    http_kid = next((key.kid for key in statement.http if key.pk == public_of(http)), None)
    if http_kid is None:
        raise SecretError("The key keys/http is not one of the node's statement.")
    enc = dict(_enc_keys(directory, identity))
    return identity, PrivateKeys(log, witness, http, http_kid, enc)


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


def write_statement(directory: Path, number: int, statement: bytes) -> None:
    """Add a statement; one that exists is never overwritten. Raises: FileExistsError."""
    with (directory / IDENTITY_DIRECTORY / f"{number:04}.dsse").open("xb") as stream:
        stream.write(statement)
        stream.flush()
        os.fsync(stream.fileno())


def write_key(directory: Path, name: str, private: bytes) -> None:
    """Keep a private key as DIR/keys/NAME, owner-only. Raises: SecretError when there is one."""
    write_secret_file(directory / KEYS_DIRECTORY / name, encode_key(private))


def next_root_name(number: int) -> str:
    """The file name of the key that signs statement `number`."""
    return f"next-root-{number:04}"


def encode_key(private: bytes) -> str:
    """The one line of a key file."""
    return base64.b64encode(private).decode() + "\n"


def decode_key(line: bytes, name: str) -> bytes:
    """The private key in a key file's line.

    Raises: SecretError.
    """
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error as exc:
        raise SecretError(f"The key {name} is damaged: it is not base64.") from exc


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


def _signing_key(directory: Path, role: str) -> bytes:
    raw = decode_key(read_secret(directory, role), role)
    try:
        return load_private(raw)
    except FederationError as exc:
        raise SecretError(f"The key {role} is damaged.") from exc


def _enc_keys(directory: Path, identity: Identity) -> Iterator[tuple[str, EncPrivateKey]]:
    """The seeds that are there: those in force must be, older ones may have been destroyed."""
    current = {key.kid for key in identity.statement.enc}
    for kid in {key.kid for statement in identity.statements for key in statement.enc}:
        try:
            seed = decode_key(read_secret(directory, f"enc-{kid}"), f"enc-{kid}")
        except SecretError:
            if kid in current:
                raise
            continue
        key = load_enc_private(seed)
        if key.kid != kid:
            raise SecretError(f"The key enc-{kid} is another key than the statement names.")
        yield kid, key


def _match(role: str, private: bytes, public: VerifierKey) -> None:
    if public_of(private) != public.public:
        raise SecretError(
            f"The key keys/{role} is not the one in the node's statement.",
            hint="Keys and statements belong together: restore both from one backup.",
        )
