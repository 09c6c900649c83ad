"""Fixtures for the tests that look at a responder's screen."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from tests.support.homeserver import Room, _synapse, homeserver
from tests.support.hydrogen import Screen, chromium, chromium_running, client, screen, served

ORGANISATION = "Alder Hospital"
__all__ = ["_synapse", "homeserver"]


@pytest.fixture(scope="session")
async def hydrogen() -> AsyncIterator[str]:
    """The address of the client."""
    chromium()
    async with served(await asyncio.to_thread(client)) as address:
        yield address


@pytest.fixture
def room(homeserver) -> Room:
    """A room whose people have names."""
    people = []
    for local, name in (("tocsin", f"Tocsin · {ORGANISATION}"), ("mara", "Mara Lindqvist")):
        person = homeserver.register(f"{local}-{secrets.token_hex(4)}")
        person.call("PUT", f"/profile/{person.user_id}/displayname", {"displayname": name})
        people.append(person)
    bot, responder = people
    return Room(responder.create_room(bot.user_id, name="AI incidents"), bot, responder, homeserver)


@pytest.fixture
async def phone(hydrogen, room) -> AsyncIterator[Screen]:
    """The responder's client, logged in, with the room open."""
    async with chromium_running() as browser, screen(browser, hydrogen) as shown:
        await shown.log_in(room)
        yield shown
