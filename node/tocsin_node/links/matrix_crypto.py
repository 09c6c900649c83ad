"""The crypto of encrypted rooms: mautrix's machine, made to keep the promises of the seam.

What is different from the library's own: requests go through our one HTTP client (bounded, no redirects, no
retries) and what they meet comes back as `Refused`; one-time keys are on the disk before the homeserver has
them; a key that nobody asked for is not taken; nothing runs in the background, so that everything that one
answer brought is done, or is not done, together. Nothing here logs a key, a token or a plain text.
"""

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import unpaddedbase64
from mautrix.api import HTTPAPI, Method, Path
from mautrix.client import Client
from mautrix.crypto import OlmMachine
from mautrix.crypto.signature import sign_olm
from mautrix.errors import MNotFound
from mautrix.types import (
    EncryptedEvent,
    EncryptionKeyAlgorithm,
    EventType,
    RoomEncryptionStateEventContent,
    ToDeviceEvent,
    TrustState,
)

from tocsin_node.errors import NodeError
from tocsin_node.links import matrix_answers as answers
from tocsin_node.links.matrix_answers import Answer, mapping
from tocsin_node.links.transport import ChannelDown, Retry, RoomEvent

Ask = Callable[[str, str, Mapping[str, Any] | None], Awaitable[Answer | Retry]]
UNBELIEVED = frozenset({TrustState.UNKNOWN_DEVICE, TrustState.FORWARDED, TrustState.BLACKLISTED})
logger = logging.getLogger(__name__)


class Refused(Exception):
    """A request of the machine came to nothing. `answer`: what the homeserver said, if it said anything."""

    def __init__(self, trouble: Retry | ChannelDown, answer: Answer | None = None) -> None:
        super().__init__(trouble.code)
        self.trouble = trouble
        self.answer = answer


class Keys(Protocol):
    """Where keys are kept, as far as this side of the house sees it; the machine's own calls are mautrix's."""

    async def prepare(self) -> None:
        """Make or migrate its tables."""
        ...

    async def delete(self) -> None:
        """Forget the account and its sessions; keys of rooms stay."""
        ...

    def transaction(self) -> Any:
        """Everything that is done in this block is kept, or nothing."""
        ...

    async def heard(self, digests: Sequence[bytes]) -> set[bytes]:
        """Which of these messages between devices were taken in already."""
        ...

    async def hear(self, digests: Sequence[bytes]) -> None:
        """These were."""
        ...

    async def set_aside(self, event_id: str, room: str, session_id: str, event: str) -> bool:
        """Keep an event until its key comes; whether it is the first that waits for that key."""
        ...

    async def waiting(self, room: str) -> list[tuple[str, str]]:
        """Id and JSON of the events that wait."""
        ...

    async def given(self, event_ids: Sequence[str], position: str) -> None:
        """These were handed on together with that position."""
        ...

    async def passed(self, position: str) -> None:
        """That position was reached for good."""
        ...

    async def unread(self, room: str) -> int:
        """How many events of the room cannot be read."""
        ...


def is_theirs(exc: Exception) -> bool:
    """Whether what somebody else sent is at fault: it may be anything, and the library trusts its form."""
    if isinstance(exc, NodeError):
        return bool(getattr(exc, "of_data", False))
    return not isinstance(exc, Refused | OSError)


def client_of(ask: Ask, user_id: str, device_id: str = "") -> Client:
    """The library's client, with requests that go through `ask`."""
    return Client(mxid=user_id, device_id=device_id, api=_Api(ask))


class Unreadable(Exception):
    """An event that its key is missing for. `session_id`: which key."""

    def __init__(self, session_id: str) -> None:
        super().__init__("its key is missing")
        self.session_id = session_id


class Machine(OlmMachine):  # type: ignore[misc]  # see pyproject: their types are not followed
    """The crypto of one device in one room."""

    def __init__(
        self, ask: Ask, keys: Keys, room: "RoomState", user_id: str, device_id: str, *, only_verified: bool
    ) -> None:
        super().__init__(client_of(ask, user_id, device_id), keys, room)
        self.keys = keys
        self.room = room
        self.wedged: set[tuple[str, str]] = set()
        self.readers: frozenset[str] = frozenset()
        self._refused: Refused | None = None
        self._fallback = False  # a new fallback key waits to be uploaded
        if only_verified:
            self.send_keys_min_trust = TrustState.CROSS_SIGNED_TOFU

    async def look_up(self, users: Sequence[str], *, again: bool = False) -> list[str]:
        """Ask which devices these users have now; returns those whose keys are in order.

        `again`: only those that were looked up before.

        Raises: Refused.
        """
        try:
            await self._look_up(users, again)
        except Exception as exc:
            if not is_theirs(exc):
                raise
        else:
            return list(users)
        fit: list[str] = []
        for user in users:  # one whose keys are garbage must not keep the others from theirs
            try:
                await self._look_up([user], again)
                fit.append(user)
            except Exception as exc:
                if not is_theirs(exc):
                    raise
                logger.warning("the keys of %s are not in order", user)
        return fit

    async def _look_up(self, users: Sequence[str], again: bool) -> None:
        async with self._fetch_keys_lock:
            await self._fetch_keys(list(users), include_untracked=not again)

    async def share(self, room_id: str, users: Sequence[str]) -> str:
        """Make a new key for the room and give it to the devices of `users`; returns the key's session id.

        Raises: Refused; then the key is not used.
        """
        await self.crypto_store.remove_outbound_group_session(room_id)
        self._refused, self.readers = None, frozenset()
        await self.share_group_session(room_id, list(users))
        if self._refused is not None:  # the library only logs it
            await self.crypto_store.remove_outbound_group_session(room_id)
            raise self._refused
        session = await self.crypto_store.get_outbound_group_session(room_id)
        return str(session.id)

    async def usable_session(self, room_id: str) -> str | None:
        """The session id of the room's key, while it may be used."""
        session = await self.crypto_store.get_outbound_group_session(room_id)
        return None if session is None or session.expired or not session.shared else str(session.id)

    async def encrypt(self, room_id: str, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The encrypted form of an event. The key has moved on in the database before this returns."""
        event_type = EventType.find(kind, t_class=EventType.Class.MESSAGE)
        inside = {key: value for key, value in content.items() if key != "m.relates_to"}
        sealed: dict[str, Any] = (await self.encrypt_megolm_event(room_id, event_type, inside)).serialize()
        relation = content.get("m.relates_to")  # in the open, as the homeserver's threads and edits need it
        return sealed if relation is None else {**sealed, "m.relates_to": relation}

    async def decrypt(self, room_id: str, event: RoomEvent) -> tuple[str, dict[str, Any]]:
        """Type and content of an encrypted event, when its device is one of its sender's.

        Raises: Unreadable when its key is missing; any other exception: it is not what it says it is.
        """
        raw = {
            "type": event.type,
            "event_id": event.event_id,
            "sender": event.sender,
            "room_id": room_id,
            "origin_server_ts": 0,
            "content": dict(event.content),
        }
        session_id = str(event.content.get("session_id"))
        session = await self.crypto_store.get_group_session(room_id, session_id)
        if session is None or session.first_known_index > _index(event):
            raise Unreadable(session_id)
        judged = await self.decrypt_megolm_event(EncryptedEvent.deserialize(raw))
        if judged["mautrix"]["trust_state"] in UNBELIEVED:
            raise ValueError("it was sent by a device that is not its sender's")
        inside = json.loads(
            session.decrypt(event.content["ciphertext"])[0]
        )  # as it was written, not as types know it
        content = {**mapping(inside.get("content"))}
        content.pop("m.relates_to", None)
        relation = event.content.get("m.relates_to")
        return str(inside["type"]), content if relation is None else {**content, "m.relates_to": relation}

    async def take(self, message: Mapping[str, Any]) -> None:
        """Take in one message between devices that brings or asks for a key.

        Raises: anything, when it is not in order.
        """
        event = ToDeviceEvent.deserialize({**message, "content": {**mapping(message.get("content"))}})
        if event.type == EventType.TO_DEVICE_ENCRYPTED:
            await self.handle_to_device_event(event)

    async def answer_request(self, message: Mapping[str, Any]) -> None:
        """Give a key to another verified device of the bot's own that asks for it."""
        if message.get("type") == "m.room_key_request" and message.get("sender") == self.client.mxid:
            event = ToDeviceEvent.deserialize({**message, "content": {**mapping(message.get("content"))}})
            await self.handle_room_key_request(event)

    async def mend(self) -> None:
        """Begin anew with the devices whose messages could not be read."""
        wedged, self.wedged = self.wedged, set()
        for user, key in wedged:
            await super()._unwedge_session(user, key)

    async def top_up(self, left: int | None, *, fallback: bool) -> None:
        """See to it that the homeserver has enough one-time keys; `left` of them are there (None: ask).

        `fallback`: it lacks the key that is given out when none is left, so that new devices are heard even then.

        Raises: Refused.
        """
        if fallback:
            assert self.account is not None, "loaded before anything else"
            self.account.generate_fallback_key()
            self._fallback = True
        await self.share_keys(left)

    async def request_key(self, room_id: str, event: RoomEvent) -> None:
        """Ask the device that sent an event for its key."""
        device = event.content.get("device_id")
        await self.request_room_key(
            room_id,
            str(event.content.get("sender_key") or ""),
            str(event.content.get("session_id")),
            {event.sender: [device if isinstance(device, str) else "*"]},
            timeout=0,
        )

    async def _unwedge_session(self, sender: str, sender_key: str) -> None:
        self.wedged.add((sender, sender_key))

    async def _receive_forwarded_room_key(self, evt: Any) -> None:
        """Only a key that we asked for, and only from a device of its sender's or of our own."""
        for _, text in await self.keys.waiting(evt.content.room_id):
            event = json.loads(text)
            if event["content"].get("session_id") == evt.content.session_id and evt.sender in {
                event["sender"],
                self.client.mxid,
            }:
                await super()._receive_forwarded_room_key(evt)
                return
        logger.warning("a device of %s sent a key that nobody asked for", evt.sender)

    async def _create_group_session(
        self, sender_key: Any, signing_key: Any, room_id: Any, session_id: Any, *args: Any, **limits: Any
    ) -> None:
        """Keys of our room; the first that came of a name stays, so that nobody can put another in its place."""
        if room_id == self.room.id and not await self.crypto_store.has_group_session(room_id, session_id):
            await super()._create_group_session(sender_key, signing_key, room_id, session_id, *args, **limits)

    async def _create_outbound_sessions(self, users: Any, _force_recreate_session: bool = False) -> None:
        try:
            await super()._create_outbound_sessions(users, _force_recreate_session)
        except Refused as exc:
            self._refused = exc
            raise
        except Exception as exc:
            if not is_theirs(exc) or sum(map(len, users.values())) <= 1:
                raise
            for user, devices in users.items():  # the same as with whole users
                for device, known in devices.items():
                    await self._create_one_session(user, device, known)

    async def _create_one_session(self, user: Any, device: Any, known: Any) -> None:
        try:
            await self._create_outbound_sessions({user: {device: known}})
        except Exception as exc:
            if not is_theirs(exc):
                raise
            logger.warning("a device of %s has no usable key", user)

    async def _encrypt_and_share_group_session(self, session: Any, olm_sessions: Any) -> None:
        self.readers = frozenset(str(user) for user, devices in olm_sessions.items() if devices)
        await super()._encrypt_and_share_group_session(session, olm_sessions)

    async def _share_keys(self, current_otk_count: int | None) -> None:
        account = self.account
        assert account is not None, "loaded before anything else"
        if current_otk_count is None:
            counts = await self.client.upload_keys()
            current_otk_count = counts.get(EncryptionKeyAlgorithm.SIGNED_CURVE25519, 0)
        unpublished = len(account.one_time_keys.get("curve25519", {}))
        lacking = account.max_one_time_keys // 2 - current_otk_count - unpublished
        if lacking > 0:
            account.generate_one_time_keys(lacking)
        await self.crypto_store.put_account(
            account
        )  # a key that the homeserver gives away must never be lost
        mine, device = self.client.mxid, self.client.device_id
        one_time = account.get_one_time_keys(mine, device, account.max_one_time_keys)  # generates none
        device_keys = None if account.shared else account.get_device_keys(mine, device)
        if not one_time and device_keys is None and not self._fallback:
            return
        await self.client.api.request(Method.POST, Path.v3.keys.upload, self._upload(one_time, device_keys))
        self._fallback = False
        account.shared = True
        account.mark_keys_as_published()
        await self.crypto_store.put_account(account)

    def _upload(self, one_time: Mapping[str, Any], device_keys: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"one_time_keys": one_time}
        if device_keys is not None:
            body["device_keys"] = device_keys.serialize()
        if self._fallback:
            mine, device = self.client.mxid, self.client.device_id
            body["fallback_keys"] = {
                f"signed_curve25519:{key_id}": {
                    **(bare := {"key": key, "fallback": True}),
                    "signatures": {mine: {f"ed25519:{device}": sign_olm({**bare}, self.account)}},
                }
                for key_id, key in self.account.fallback_key["curve25519"].items()
            }
        return body


class RoomState:
    """What the machine has to know of the room: that it is encrypted, and how."""

    def __init__(self) -> None:
        self.id = ""
        self.encryption: Mapping[str, Any] = {}

    async def is_encrypted(self, _room_id: str) -> bool:
        """It is, or nothing is sent."""
        return True

    async def get_encryption_info(self, _room_id: str) -> RoomEncryptionStateEventContent:
        """After how many messages, and after how long, its key is changed."""
        limits = {
            name: value
            for name in ("rotation_period_ms", "rotation_period_msgs")
            if isinstance(value := self.encryption.get(name), int) and 0 < value < 2**31 * 1000
        }
        return RoomEncryptionStateEventContent.deserialize({"algorithm": answers.ALGORITHM, **limits})

    async def find_shared_rooms(self, _user_id: str) -> list[str]:
        """The rooms whose key is changed when somebody's devices change."""
        return [self.id]


class _Api(HTTPAPI):  # type: ignore[misc]  # the same
    """The library's requests through our client."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.log = logging.getLogger("mau.http")

    async def request(self, method: Method, path: Any, content: Any = None, **_: Any) -> Any:
        answer = await self._ask(
            str(method), f"/{path}", None if method == Method.GET else dict(content or {})
        )
        if isinstance(answer, Retry):
            raise Refused(answer)
        if answer.ok:
            return answer.body
        if answer.errcode == "M_NOT_FOUND":
            raise MNotFound(answer.status, "")
        raise Refused(answers.not_about_message(answers.refusal(answer)), answer)

    def get_txn_id(self) -> str:
        return secrets.token_hex(16)


def _index(event: RoomEvent) -> int:
    """The place of an event in its key's row of messages: a varint after the version and a tag (Megolm, section 4)."""
    text = event.content.get("ciphertext")
    raw = unpaddedbase64.decode_base64(text) if isinstance(text, str) else b""
    number, shift = 0, 0
    for byte in raw[2:7]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return number
