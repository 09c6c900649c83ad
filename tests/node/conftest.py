"""Fixtures for all tests of the node: the homeserver's, a node in this process, and a peer of it without manners."""

from collections.abc import AsyncIterator

import pytest
from tests.support.homeserver import (
    _second_synapse,
    _synapse,
    homeserver,
    limited_homeserver,
    room,
    second_room,
)
from tests.support.node import ServedNode, open_here, settings_on
from tests.support.villain import Villain, villain

__all__ = ["_second_synapse", "_synapse", "homeserver", "limited_homeserver", "room", "second_room"]

QUICK = {"federation": {"backoff_max_s": 0.3, "long_poll_s": 2.0, "read_timeout_s": 2.0}}


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
