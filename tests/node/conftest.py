"""Fixtures for all tests of the node: the homeserver's, a node in this process, and a peer of it without manners."""

import secrets
from collections.abc import AsyncIterator

import pytest
from tests.support.confidant import confidant
from tests.support.homeserver import (
    _second_synapse,
    _synapse,
    encrypted_room,
    homeserver,
    limited_homeserver,
    room,
    second_room,
)
from tests.support.node import ServedNode, open_here, settings_on
from tests.support.villain import Villain, villain

__all__ = [
    "_second_synapse",
    "_synapse",
    "encrypted_room",
    "homeserver",
    "limited_homeserver",
    "room",
    "second_room",
]

QUICK = {"federation": {"backoff_max_s": 0.3, "long_poll_s": 2.0, "read_timeout_s": 20.0}}


@pytest.fixture
async def acme(database, tmp_path) -> AsyncIterator[ServedNode]:
    """A node in this process, with a database of its own and short patience."""
    async with open_here(settings_on(tmp_path / "acme", database, QUICK)) as served:
        yield served


@pytest.fixture
async def stranger() -> AsyncIterator[Villain]:
    """Somebody with keys whom nobody invited."""
    async with villain("stranger") as somebody:
        yield somebody


@pytest.fixture
async def mallory(acme) -> AsyncIterator[Villain]:
    """An approved peer of `acme`, words compared, up to TLP:AMBER both ways."""
    async with villain() as peer:
        await peer.join(acme)
        yield peer


@pytest.fixture
def keys_dir(tmp_path):
    """A node's directory with the key that opens the bot's keys."""
    directory = tmp_path / "node"
    (directory / "keys").mkdir(parents=True, mode=0o700)
    file = directory / "keys/matrix-pickle-key"
    file.write_text(secrets.token_hex(32))
    file.chmod(0o600)
    return directory


@pytest.fixture
async def friend(encrypted_room, tmp_path):
    """The responder's client in the encrypted room."""
    async with confidant(encrypted_room.responder, tmp_path / "friend") as opened:
        yield opened
