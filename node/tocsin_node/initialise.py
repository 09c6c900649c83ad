"""Making a node: its keys, its first statement, its settings, its first token.

    DIR/node.toml          every setting with its meaning
    DIR/token              an admin token for this machine, 0600
    DIR/keys/              private keys that the node works with, 0600
    DIR/identity/          its statements, public
    DIR/offline/           the key that signs the next statement: belongs away from this machine

The node works without the offline key; only a rotation (at the latest after 100 days), a new address or new
keys need it. Whoever has it can take the node's identity over; whoever has all the others cannot.
"""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tocsin_federation.identity import NodeKeys, incept, verify_chain
from tocsin_federation.statement import is_domain, is_url
from tocsin_node.errors import AlreadyInitialised, SettingsError
from tocsin_node.health import utc_now
from tocsin_node.identity_files import (
    IDENTITY_DIRECTORY,
    OFFLINE_DIRECTORY,
    next_root_name,
    write_key,
    write_statement,
)
from tocsin_node.node_toml import commented
from tocsin_node.passphrase import encode_key
from tocsin_node.secrets import KEYS_DIRECTORY, TOKEN_FILE, write_secret_file
from tocsin_node.services.tokens import new_token
from tocsin_node.settings.loading import FILE_NAME, parse
from tocsin_node.settings.record import Settings

OFFLINE_WORDS = """\
The key in this directory signs the node's next statement: new keys, a new address, another 100 days.

Move it away from this machine, onto two sticks in two places, and delete it here. The node runs without it.
Whoever has it can take the node's identity over. If it is lost, the node ends when its statement expires,
and every peering has to be made anew.

To rotate the keys, at the latest 100 days after the last time (the node reminds you from 30 days before):

    tocsin key rehearse DIR --root-key /media/stick/{name}     says what would happen, changes nothing
    tocsin key rotate DIR --root-key /media/stick/{name}

Each key is used once. A rotation writes the key for the time after beside it and deletes the used one.
"""


@dataclass(frozen=True, slots=True)
class Initialised:
    """A node that was made."""

    settings: Settings
    node_id: str
    next_root: Path


def initialise(
    directory: Path,
    values: Mapping[str, Mapping[str, Any]],
    *,
    now: Callable[[], datetime] = utc_now,
    rng: Callable[[int], bytes] = os.urandom,
) -> Initialised:
    """Make a node in `directory`. `values`: section → setting → value; `node.org` must be there.

    Nothing is left behind when it fails.

    Raises: AlreadyInitialised, SettingsError, SecretError.
    """
    parse(values, directory, {})
    text = commented(values)
    settings = parse(tomllib.loads(text), directory, {})
    _refuse_names(settings)
    _refuse_used(directory)
    keys, statement = incept(
        org=settings.node.org, domain=settings.public_domain, urls=[settings.public_url], now=now(), rng=rng
    )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    fresh = Path(tempfile.mkdtemp(prefix=".init-", dir=directory))
    try:
        _write_all(fresh, text, keys, statement, new_token(rng))
        for name in (KEYS_DIRECTORY, IDENTITY_DIRECTORY, OFFLINE_DIRECTORY, TOKEN_FILE, FILE_NAME):
            (fresh / name).rename(directory / name)
    finally:
        shutil.rmtree(fresh)
    node_id = verify_chain([statement], expected=None, now=None).node_id
    return Initialised(settings, node_id, directory / OFFLINE_DIRECTORY / next_root_name(1))


def _refuse_names(settings: Settings) -> None:
    org = settings.node.org
    if not org.isprintable() or org.strip() != org:
        raise SettingsError("node.org must be printable text without spaces at its ends.")
    if not is_url(settings.public_url):
        raise SettingsError(
            f"Peers cannot be told the address {settings.public_url}.",
            hint="Give one with --url: https://HOST or https://HOST:PORT, in lower case.",
        )
    if not is_domain(settings.public_domain):
        raise SettingsError(
            f"{settings.public_domain} is not a domain.",
            hint="Give one with --domain: example.org, in lower case.",
        )


def _refuse_used(directory: Path) -> None:
    for name in (FILE_NAME, KEYS_DIRECTORY, IDENTITY_DIRECTORY, OFFLINE_DIRECTORY, TOKEN_FILE):
        if (directory / name).exists():
            raise AlreadyInitialised(f"{directory / name} exists already.")
    if directory.exists() and not directory.is_dir():
        raise AlreadyInitialised(f"{directory} is not a directory.")


def _write_all(fresh: Path, text: str, keys: NodeKeys, statement: bytes, token: str) -> None:
    for name in (KEYS_DIRECTORY, IDENTITY_DIRECTORY, OFFLINE_DIRECTORY):
        (fresh / name).mkdir(mode=0o700)
    for role, private in (("log", keys.log), ("witness", keys.witness), ("http", keys.http)):
        write_key(fresh, role, private)
    for kid, seed in keys.enc.items():
        write_key(fresh, f"enc-{kid}", seed)
    offline = fresh / OFFLINE_DIRECTORY
    write_secret_file(offline / next_root_name(1), encode_key(next_root_name(1), keys.next_root).decode())
    (offline / "README.txt").write_text(OFFLINE_WORDS.format(name=next_root_name(1)), encoding="utf-8")
    write_statement(fresh, 0, statement)
    write_secret_file(fresh / TOKEN_FILE, token + "\n")
    (fresh / FILE_NAME).write_text(text, encoding="utf-8")
