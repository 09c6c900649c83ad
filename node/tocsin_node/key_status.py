"""How a node's keys stand, read from its files: it works with the node stopped or running, and without a passphrase."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tocsin_federation.identity import Identity, verify_chain
from tocsin_federation.keys import kid
from tocsin_node.expiry import due
from tocsin_node.identity_files import (
    OFFLINE_DIRECTORY,
    WAITING,
    next_root_name,
    read_chain,
    signing_publics,
)
from tocsin_node.passphrase import is_locked
from tocsin_node.secrets import KEYS_DIRECTORY, OTHERS, secret_files

Term = Literal["in-force", "coming", "over"]
AtRest = Literal["plain", "encrypted", "credential", "missing"]


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key: what it is for, its name, its term (aware UTC), how it lies on the disk, and where."""

    role: str
    kid: str
    since: datetime
    until: datetime
    term: Term
    at_rest: AtRest
    where: str | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a person should do something about."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """All of it. `next_root`: the name of the key for the next ceremony; `roots_here`: root keys on this machine."""

    node_id: str
    statement: int
    issued_at: datetime
    expires_at: datetime
    generation: int
    keys: tuple[KeyLine, ...]
    next_root: str
    roots_here: tuple[str, ...]
    troubles: tuple[Trouble, ...]


def key_status(directory: Path, now: datetime) -> KeyStatus:
    """Read it. Raises: NotInitialised, IdentityRefused."""
    identity = verify_chain(read_chain(directory), expected=None, now=None)
    statement = identity.statement
    keys = tuple(_lines(directory, identity, now))
    roots = tuple(str(file) for file in sorted((directory / OFFLINE_DIRECTORY).glob("next-root-*")))
    return KeyStatus(
        identity.node_id,
        statement.seq,
        statement.issued_at,
        statement.expires_at,
        statement.log.gen,
        keys,
        next_root_name(statement.seq + 1),
        roots,
        tuple(_troubles(directory, identity, keys, roots, now)),
    )


def _lines(directory: Path, identity: Identity, now: datetime) -> Iterator[KeyLine]:
    statement = identity.statement
    whole = (statement.issued_at, statement.expires_at)
    terms = {key.pk: (_at(key.nbf), _at(key.exp)) for key in statement.http}
    for role, publics in signing_publics(identity).items():
        for public in sorted(publics):
            yield _line(directory, role, role, kid(public), *terms.get(public, whole), now)
    current = {key.kid for key in statement.enc}
    seen = {key.kid: key for each in identity.statements for key in each.enc}
    for key in sorted(seen.values(), key=lambda key: key.nbf):
        line = _line(directory, "enc", f"enc-{key.kid}", key.kid, _at(key.nbf), _at(key.exp), now)
        if key.kid in current or line.at_rest != "missing":
            yield line


def _line(
    directory: Path, role: str, name: str, key_id: str, since: datetime, until: datetime, now: datetime
) -> KeyLine:
    term: Term = "over" if now >= until else "coming" if now < since else "in-force"
    files = secret_files(directory, name) or secret_files(directory, f"{name}{WAITING}")
    if not files:
        return KeyLine(role, key_id, since, until, term, "missing", None)
    file, guarded = files[0]
    at_rest: AtRest = "credential" if guarded else "encrypted" if is_locked(file.read_bytes()) else "plain"
    return KeyLine(role, key_id, since, until, term, at_rest, str(file))


def _troubles(
    directory: Path, identity: Identity, keys: tuple[KeyLine, ...], roots: tuple[str, ...], now: datetime
) -> Iterator[Trouble]:
    expiring = due(identity, now)
    if expiring is not None:
        yield Trouble(expiring.code, expiring.message, expiring.hint)
    for name in roots:
        used = Path(name).name != next_root_name(identity.statement.seq + 1)
        yield Trouble(
            "root-key-used" if used else "root-key-here",
            f"{name} is a root key that was used up."
            if used
            else f"The next root key lies on this machine: {name}.",
            "Delete it."
            if used
            else "Move it away, to two places, and delete it here: who has it can take the node over.",
        )
    current = {key.kid for key in identity.statement.enc}
    for key in keys:
        if key.at_rest == "missing" and (key.role != "enc" or key.kid in current):
            hint = "Restore it from a backup, or replace it: `tocsin key recover DIR --lost ROLE`."
            yield Trouble("key-missing", f"The {key.role} key {key.kid} is not here.", hint)
        elif key.where and key.at_rest in {"plain", "encrypted"} and Path(key.where).stat().st_mode & OTHERS:
            yield Trouble("key-readable", f"Others can read {key.where}.", f"chmod 600 {key.where}")
    waiting = sorted((directory / KEYS_DIRECTORY).glob(f"*{WAITING}"))
    if waiting:
        hint = "The next start of the node, or the rotation held again, ends it."
        yield Trouble("rotation-cut-off", "A rotation was cut off.", hint)


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
