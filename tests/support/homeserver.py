"""A real Synapse for the tests: one for the session, and people and rooms of their own for each test."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from deploy.demo.synapse import Person, Synapse
from tests.support.ports import free_port

_numbers = itertools.count(1)


@dataclass
class Room:
    """A room with one responder in it, to which the bot is invited."""

    id: str
    bot: Person
    responder: Person
    homeserver: Synapse

    @cached_property
    def outsider(self) -> Person:
        """Somebody who is in the room too but is no responder."""
        person = self.homeserver.register(f"outsider{next(_numbers)}")
        self.responder.call("POST", f"/rooms/{self.id}/invite", {"user_id": person.user_id})
        person.join(self.id)
        return person

    async def wait_for(
        self, wanted: Callable[[dict[str, Any]], bool], *, within_s: float = 60
    ) -> dict[str, Any]:
        """The first event that reaches the responder's client and is `wanted`."""
        return await asyncio.to_thread(self.responder.wait_for, self.id, wanted, within_s=within_s)

    async def alert(self, *, within_s: float = 60) -> dict[str, Any]:
        """The next alert to reach the responder's client."""
        return await self.wait_for(is_ring, within_s=within_s)

    async def said(self, words: str, *, within_s: float = 60) -> dict[str, Any]:
        """The bot's message that holds `words`, as soon as it is in the room."""
        async with asyncio.timeout(within_s):
            while True:
                found = await asyncio.to_thread(self.alerts)
                if (event := next((e for e in found if words in e["content"]["body"]), None)) is not None:
                    return event
                await asyncio.sleep(0.05)

    async def read_up_to(self, event_id: str, *, by: Person | None = None, **more: Any) -> None:
        """Let the responder's client say that they have read the room as far as an event."""
        path = f"/rooms/{self.id}/receipt/m.read/{event_id}"
        await asyncio.to_thread((by or self.responder).call, "POST", path, more)

    def alerts(self) -> list[dict[str, Any]]:
        """What people see of the bot in the room, oldest first."""
        return self.responder.messages(self.id, self.bot.user_id)


def is_ring(event: dict[str, Any]) -> bool:
    """Whether it is a message of a bot of ours that is no notice and no edit."""
    content = event["content"]
    return (
        "org.tocsin.alert" in content
        and content.get("msgtype") == "m.text"
        and content.get("m.relates_to", {}).get("rel_type") != "m.replace"
    )


def open_room(synapse: Synapse, **options: Any) -> Room:
    """New people in a new room; the responder owns it and already listens."""
    number = next(_numbers)
    bot, responder = synapse.register(f"bot{number}"), synapse.register(f"responder{number}")
    room = responder.create_room(bot.user_id, **options)
    responder.arrivals(room)
    return Room(room, bot, responder, synapse)


@pytest.fixture(scope="session")
def _synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    pytest.importorskip("synapse", reason="no homeserver is installed here")
    with Synapse(tmp_path_factory.mktemp("synapse"), port=free_port()) as running:
        yield running


@pytest.fixture
def homeserver(_synapse: Synapse) -> Iterator[Synapse]:
    """The session's homeserver, alive at the start of every test; a test may pause, kill and restart it."""
    yield from _alive_again(_synapse)


@pytest.fixture(scope="session")
def _second_synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    pytest.importorskip("synapse", reason="no homeserver is installed here")
    with Synapse(tmp_path_factory.mktemp("second"), port=free_port()) as running:
        yield running


@pytest.fixture
def second_room(_second_synapse: Synapse) -> Iterator[Room]:
    """A room on another homeserver, which a test may pause and kill too."""
    for synapse in _alive_again(_second_synapse):
        yield open_room(synapse)


def _alive_again(synapse: Synapse) -> Iterator[Synapse]:
    yield synapse
    if not synapse.alive:
        synapse.start()
    synapse.resume()
    synapse.wait_ready()


@pytest.fixture(scope="session")
def limited_homeserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A homeserver with the rate limits that Synapse ships with."""
    pytest.importorskip("synapse", reason="no homeserver is installed here")
    with Synapse(tmp_path_factory.mktemp("limited"), limited=True, port=free_port()) as running:
        yield running


@pytest.fixture
def room(homeserver: Synapse) -> Room:
    return open_room(homeserver)


def open_encrypted_room(synapse: Synapse, **limits: int) -> Room:
    """The same, end-to-end encrypted; `limits`: when the room's key is changed."""
    content = {"algorithm": "m.megolm.v1.aes-sha2", **limits}
    return open_room(
        synapse, initial_state=[{"type": "m.room.encryption", "state_key": "", "content": content}]
    )


@pytest.fixture
def encrypted_room(homeserver: Synapse) -> Room:
    return open_encrypted_room(homeserver)
