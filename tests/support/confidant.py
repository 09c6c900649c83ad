"""A responder's client in an encrypted room: nio over vodozemac, which shares no code with the bot's crypto."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.synapse import Person
from nio import AsyncClient, AsyncClientConfig, Event, MegolmEvent, SyncResponse
from tests.support.homeserver import is_ring


@dataclass
class Confidant:
    """One device of one person. `read`: events that it could read, in their order; `sealed`: those that it could not."""

    client: AsyncClient
    read: list[Event] = field(default_factory=list)
    sealed: list[MegolmEvent] = field(default_factory=list)

    async def listen(self, *, wait_s: float = 5) -> None:
        """One sync, and what has to be done about keys after it."""
        first = not self.client.next_batch
        answer = await self.client.sync(
            timeout=0 if first else int(wait_s * 1000),
            full_state=first,
            sync_filter={"room": {"timeline": {"limit": 100}}},
        )
        assert isinstance(answer, SyncResponse), answer
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()
        if self.client.should_claim_keys:
            await self.client.keys_claim(self.client.get_users_for_key_claiming())
        await self.client.send_to_device_messages()

    async def hear(self, wanted: Callable[[Event], bool], *, within_s: float = 60) -> Event:
        """The first event that it can read and is `wanted`, taken out of `read`."""
        async with asyncio.timeout(within_s):
            while True:
                for event in self.read:
                    if wanted(event):
                        self.read.remove(event)
                        return event
                await self.listen()

    async def alert(self, *, within_s: float = 60) -> dict[str, Any]:
        """The next alert, as an event in the clear; it did come encrypted. Notices and edits are passed over."""
        event = await self.hear(lambda e: is_ring(e.source), within_s=within_s)
        assert event.decrypted
        return dict(event.source)

    async def fail_to_read(self, *, within_s: float = 60) -> MegolmEvent:
        """The next event that it cannot read."""
        async with asyncio.timeout(within_s):
            while not self.sealed:
                await self.listen()
        return self.sealed.pop(0)

    async def say(self, room: str, text: str, **content: Any) -> str:
        """Write an encrypted message; returns its id."""
        words = {"msgtype": "m.text", "body": text, **content}
        return await self._send(room, "m.room.message", words)

    async def react(self, room: str, event_id: str, key: str = "👀") -> str:
        """React to an event; returns the reaction's id."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self._send(room, "m.reaction", {"m.relates_to": relation})

    async def _send(self, room: str, kind: str, content: dict[str, Any]) -> str:
        answer = await self.client.room_send(room, kind, content, ignore_unverified_devices=True)
        return str(answer.event_id)


@asynccontextmanager
async def confidant(person: Person, directory: Path) -> AsyncIterator[Confidant]:
    """The person's device, with its keys in `directory`, listening from now on."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  before anything runs
    client = AsyncClient(
        person.url,
        person.user_id,
        store_path=str(directory),
        config=AsyncClientConfig(encryption_enabled=True, store_sync_tokens=False, max_timeouts=0),
    )
    client.restore_login(person.user_id, person.device_id, person.access_token)
    opened = Confidant(client)

    def sort(_room: Any, event: Event) -> None:
        (opened.sealed if isinstance(event, MegolmEvent) else opened.read).append(event)

    client.add_event_callback(sort, (Event,))
    try:
        await opened.listen()
        yield opened
    finally:
        await client.close()


def another_device(person: Person) -> Person:
    """The same person with a new login."""
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": person.user_id},
        "password": person.password,
    }
    answer = person.call("POST", "/login", body)
    return Person(person.url, person.user_id, answer["device_id"], answer["access_token"], person.password)


async def verify_device(person: Person) -> str:
    """Do what a person does who verifies a device of theirs; returns the recovery key of their identity."""
    from mautrix.crypto.store import MemoryCryptoStore
    from mautrix.types import DeviceIdentity, TrustState

    from tocsin_node.links.matrix import MatrixTransport
    from tocsin_node.links.matrix_crypto import Machine, RoomState
    from tocsin_node.links.matrix_identity import Identity
    from tocsin_node.settings.channels import MatrixSettings

    settings = MatrixSettings(homeserver=person.url, user_id=person.user_id, room="!none:here")
    transport = MatrixTransport(settings, lambda: person.access_token)
    transport.take_token()
    kept: list[str] = []
    try:
        identity = Identity(transport.ask, person.user_id)
        await identity.make(person.password, kept.append)
        store = MemoryCryptoStore(person.user_id, "none")
        machine = Machine(
            transport.ask, store, RoomState(), person.user_id, person.device_id, only_verified=False
        )
        key_id, data = await machine.ssss.get_default_key_data()
        seeds = await machine._fetch_cross_signing_keys_from_ssss(data.verify_recovery_key(key_id, kept[0]))
        machine._import_cross_signing_keys(seeds)
        keys = (await machine.client.query_keys([person.user_id])).device_keys[person.user_id][
            person.device_id
        ]
        await machine.sign_own_device(
            DeviceIdentity(
                user_id=person.user_id,
                device_id=person.device_id,
                identity_key=keys.curve25519,
                signing_key=keys.ed25519,
                trust=TrustState.UNVERIFIED,
                deleted=False,
                name="",
            )
        )
    finally:
        await transport.close()
    return kept[0]
