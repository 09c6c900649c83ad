"""An end-to-end encrypted room of a Matrix homeserver as a `Transport`.

Requests, their outcomes and the room are `matrix`'s; what is in them is encrypted and decrypted by the machine of
`matrix_crypto`. Rules that hold here:

1. Only an encrypted room is served. Reactions stay in the open, as everywhere in Matrix.
2. The room's key is new at every start and whenever somebody came, went or changed devices, so that neither a
   restart nor a database put back from a backup uses a place of an old key twice; it is shared with the devices
   that the homeserver names at that moment.
3. A key has moved on in the database before anything that it encrypted is sent.
4. What one answer of the homeserver brings is taken in before its position is handed on. A crash in between
   repeats the answer: messages between devices are known again by their digest, events by their id.
5. Words that came in the open, or from a device that is not their sender's, are not heard.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import olm
from mautrix.crypto import OlmAccount

from tocsin_node.errors import SecretError
from tocsin_node.links import matrix_answers as answers
from tocsin_node.links.matrix import POLL_S, MatrixTransport
from tocsin_node.links.matrix_answers import mapping
from tocsin_node.links.matrix_crypto import Keys, Machine, Refused, RoomState, Unreadable, is_theirs
from tocsin_node.links.matrix_identity import UNSIGNED, sign_device
from tocsin_node.links.transport import ChannelDown, Heard, Outcome, Ready, Retry, RoomEvent, Sent
from tocsin_node.settings.channels import MatrixSettings

STALE_S = 90.0  # not heard for so long: who is in the room, and with which devices, is asked anew
KEYS_S = 15.0  # all that precedes the message itself; the courier's lease has room for it
FEWEST_KEYS = 50
REQUESTS = 10
IN_THE_OPEN = frozenset({"m.reaction", "m.room.redaction", answers.CANARY})  # phones ring for what is sealed
NEW_DEVICE = (
    "Log the bot in as a new device: `tocsin matrix login --new-device`. The node takes it up by itself."
)
KEYS_LOST = ChannelDown("crypto-keys-lost", f"The database lacks the keys of the bot's device. {NEW_DEVICE}")
KEYS_DIFFER = ChannelDown(
    "crypto-keys-differ", f"The homeserver has other keys of the bot's device. {NEW_DEVICE}"
)
KEY_MISSING = ChannelDown(
    "crypto-key-missing",
    "The bot's keys cannot be used without keys/matrix-pickle-key: `tocsin matrix login` makes one at first; put a "
    "lost one back from the backup, or begin anew with `tocsin matrix login --new-device`.",
)
ALGORITHM_UNKNOWN = ChannelDown(
    "room-cipher-unknown", "The room is encrypted in a way that this version does not know; use another room."
)
UNREAD = ChannelDown(
    "events-unreadable",
    "Some messages in the room could not be read; their senders' devices were asked for the keys. "
    "Acknowledge by a reaction, or with `tocsin alert ack`.",
)
logger = logging.getLogger(__name__)


class EncryptedTransport(MatrixTransport):
    """The bot's client in an encrypted room.

    `open_keys` opens the bot's keys in the database, `read_recovery_key` reads what its device is signed with.
    Both may raise SecretError.
    """

    def __init__(
        self,
        settings: MatrixSettings,
        read_token: Callable[[], str],
        open_keys: Callable[[], Keys],
        read_recovery_key: Callable[[], str],
        *,
        poll_s: float = POLL_S,
    ) -> None:
        super().__init__(settings, read_token, poll_s=poll_s)
        self._open_keys = open_keys
        self._read_recovery_key = read_recovery_key
        self._lock = asyncio.Lock()  # the machine does one thing at a time
        self._state = RoomState()
        self._machine: Machine | None = None
        self._shared: str | None = None
        self._known_s = 0.0
        self._present: frozenset[str] = frozenset()
        self._readers: frozenset[str] = frozenset()
        logging.getLogger("mau").setLevel(logging.ERROR)  # below, it tells of every device and key

    async def preflight(self, room: str) -> Ready | Retry | ChannelDown:
        """Look at the room as any, then at the bot's keys; whoever is there has the room's key afterwards."""
        outcome = await super().preflight(room)
        if not isinstance(outcome, Ready):
            return outcome
        try:
            async with self._working():
                machine = await self._load()
                trouble = await self._prepare(machine)
                if isinstance(trouble, ChannelDown) and trouble is not UNSIGNED:
                    self._machine = None
                    return trouble
                await self._see_to_key(machine)
                unread = await machine.keys.unread(self._state.id)
        except Refused as exc:
            return exc.trouble
        warnings = (self._deaf(), trouble, UNREAD if unread else None, outcome.warning)
        return replace(outcome, warning=next((w for w in warnings if w is not None), None))

    async def send(self, room: str, kind: str, content: Mapping[str, Any], txn: str) -> Outcome:
        """Encrypt one event and put it into the room; tried again it is encrypted again, and is the same event."""
        if kind in IN_THE_OPEN:
            return await self._put(room, kind, content, txn)
        try:
            async with asyncio.timeout(KEYS_S), self._working():
                machine = await self._load()
                await self._see_to_key(machine)
                sealed = await machine.encrypt(self._state.id, kind, content)
        except Refused as exc:
            return exc.trouble
        except TimeoutError:
            return Retry("homeserver-silent")
        outcome = await self._put(room, "m.room.encrypted", sealed, txn)
        deaf = self._deaf()
        return replace(outcome, warning=deaf) if deaf is not None and isinstance(outcome, Sent) else outcome

    async def sync(self, room: str, since: str | None, *, wait: bool = True) -> Heard | Retry | ChannelDown:
        """Wait for news, take in keys, and decrypt."""
        listened = await self._listen(room, since, wait)
        if not isinstance(listened, tuple):
            return listened
        heard, answer = listened
        try:
            async with self._working():
                machine = await self._load()
                if since is not None:
                    await machine.keys.passed(since)
                await self._take_keys(machine, answer)
                events = await self._readable(machine, heard.events, heard.next)
                self._notice(heard, answer)
                unread = await machine.keys.unread(self._state.id)
        except Refused as exc:
            return exc.trouble
        return replace(heard, events=events, warning=UNREAD if unread else None)

    async def relations(self, room: str, event_id: str) -> tuple[RoomEvent, ...] | Retry | ChannelDown:
        """All that relates to one event, still stands and can be read, oldest first."""
        found = await super().relations(room, event_id)
        if not isinstance(found, tuple):
            return found
        read: list[RoomEvent | None] = []
        try:
            for event in found:  # one at a time, so that a message waits for one of them at most
                async with self._working():
                    read.append(await self._read(await self._load(), event))
        except Refused as exc:
            return exc.trouble
        return tuple(event for event in read if event is not None)

    def _room_trouble(self, state: Iterable[RoomEvent]) -> ChannelDown | None:
        return answers.room_trouble(state, encrypted=True)

    def _judge_state(self, state: tuple[RoomEvent, ...]) -> Ready | ChannelDown:
        found = next((e for e in state if e.type == "m.room.encryption" and e.state_key == ""), None)
        if found is None:
            return answers.NOT_ENCRYPTED
        if found.content.get("algorithm") != answers.ALGORITHM:
            return ALGORITHM_UNKNOWN
        self._state.encryption = found.content
        return super()._judge_state(state)

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """One thing at a time; after a failure the machine is read from the database again."""
        async with self._lock:
            try:
                yield
            except BaseException:
                self._machine = None
                raise

    async def _load(self) -> Machine:
        """The machine as the database has it. Keys of another device than ours (a new login) are let go of."""
        if self._machine is not None:
            return self._machine
        if not self._device_id:
            raise Refused(Retry("encryption-not-ready"))
        self._state.id = self._id(self._settings.room)
        try:
            keys = self._open_keys()
            await keys.prepare()
            chosen = self._settings
            machine = Machine(
                self.ask,
                keys,
                self._state,
                chosen.user_id,
                self._device_id,
                only_verified=chosen.only_verified,
            )
            store = machine.crypto_store
            if await store.get_device_id() not in {"", None, self._device_id}:
                await keys.delete()
            machine.account = await store.get_account()
        except SecretError as exc:
            raise Refused(replace(KEY_MISSING, detail=exc.message)) from exc
        except olm.OlmAccountError as exc:
            raise Refused(replace(KEY_MISSING, detail="the key there is does not open the account")) from exc
        self._machine = machine
        return machine

    async def _prepare(self, machine: Machine) -> ChannelDown | None:
        """Hold our keys against the homeserver's, and give it what it lacks.

        1. Keys there and none here: they are lost. 2. Different keys. 3. None there: send ours. 4. Enough one-time
        keys. 5. The device is signed.
        """
        store = machine.crypto_store
        theirs = await self._keys_of_device()
        if machine.account is None:
            if theirs:
                return KEYS_LOST
            machine.account = OlmAccount()
            await store.put_device_id(self._device_id)
            await store.put_account(machine.account)
        elif theirs and theirs != dict(machine.account.identity_keys):
            return KEYS_DIFFER
        machine.account.shared = bool(theirs)
        await machine.top_up(None, fallback=not theirs)
        return await sign_device(machine, self._read_recovery_key)

    async def _keys_of_device(self) -> dict[str, Any]:
        me, device = self._settings.user_id, self._device_id
        body = await self._asked("POST", "keys/query", {"device_keys": {me: [device]}})
        keys = mapping(mapping(mapping(mapping(body.get("device_keys")).get(me)).get(device)).get("keys"))
        return {name.partition(":")[0]: key for name, key in keys.items()}

    async def _see_to_key(self, machine: Machine) -> None:
        """The room's key is ours of this run, not worn out, and those who are there have it."""
        now_s = time.monotonic()
        current = await machine.usable_session(self._state.id)
        if current is not None and current == self._shared and now_s - self._known_s < STALE_S:
            return
        path = f"rooms/{quote(self._state.id, safe='')}/joined_members"
        self._present = frozenset(mapping((await self._asked("GET", path)).get("joined")))
        users = await machine.look_up(sorted(self._present))
        self._shared = await machine.share(self._state.id, users)
        self._readers = machine.readers
        self._known_s = now_s

    async def _take_keys(self, machine: Machine, answer: Mapping[str, Any]) -> None:
        """What the answer says about keys and devices. Everything here may be repeated."""
        found = mapping(answer.get("to_device")).get("events")
        messages = [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []
        digests = [hashlib.sha256(json.dumps(m, sort_keys=True).encode()).digest() for m in messages]
        async with machine.keys.transaction():
            known = await machine.keys.heard(digests)
            for message, digest in zip(messages, digests, strict=True):
                if digest not in known:
                    await _tried(machine, machine.take, message)
            await machine.keys.hear(digests)
        await machine.mend()
        for message in messages[:REQUESTS]:
            await _tried(machine, machine.answer_request, message)
        changed = mapping(answer.get("device_lists")).get("changed")
        if isinstance(changed, list) and changed:
            await machine.look_up([user for user in changed if isinstance(user, str)], again=True)
        left = mapping(answer.get("device_one_time_keys_count")).get("signed_curve25519", 0)
        unused = answer.get("device_unused_fallback_key_types")
        fallback = isinstance(unused, list) and "signed_curve25519" not in unused
        if fallback or (isinstance(left, int) and left < FEWEST_KEYS):
            await machine.top_up(left if isinstance(left, int) else None, fallback=fallback)

    def _notice(self, heard: Heard, answer: Mapping[str, Any]) -> None:
        """Who came or went; a gap that could not be filled may hide it."""
        if not heard.complete or any(e.type == "m.room.member" for e in heard.events):
            self._shared = None
        lists = mapping(answer.get("device_lists"))
        if lists.get("changed") or lists.get("left"):
            self._shared = None
        self._known_s = time.monotonic()
        for event in heard.events:
            if event.type == "m.room.encryption" and event.content.get("algorithm") == answers.ALGORITHM:
                self._state.encryption = event.content

    async def _readable(
        self, machine: Machine, events: Sequence[RoomEvent], position: str
    ) -> tuple[RoomEvent, ...]:
        """What can be read of these and of those that waited for a key. The rest waits, and its key is asked for."""
        read: list[RoomEvent] = []
        settled: list[str] = []
        for event_id, text in await machine.keys.waiting(self._state.id):
            try:
                late = await self._opened(machine, _from_text(text))
            except Unreadable:
                continue
            settled.append(event_id)
            read += () if late is None else (late,)
        if settled:
            await machine.keys.given(settled, position)
        asked = 0
        for event in events:
            try:
                opened = await self._opened(machine, event)
            except Unreadable as exc:
                first = await machine.keys.set_aside(
                    event.event_id, self._state.id, exc.session_id, _as_text(event)
                )
                if first and asked < REQUESTS:
                    asked += 1
                    await machine.request_key(self._state.id, event)
                continue
            if opened is not None:
                read.append(opened)
        return tuple(read)

    async def _read(self, machine: Machine, event: RoomEvent) -> RoomEvent | None:
        try:
            return await self._opened(machine, event)
        except Unreadable:
            return None

    async def _opened(self, machine: Machine, event: RoomEvent) -> RoomEvent | None:
        """The event as it was meant; None when it is not to be heard.

        Raises: Unreadable.
        """
        mine = event.sender == self._settings.user_id
        if event.type == "m.room.message":
            return event if mine else None
        if event.type != "m.room.encrypted":
            return event
        if event.content.get("algorithm") != answers.ALGORITHM:  # taken back, or for other eyes
            return None
        try:
            opened: list[tuple[str, dict[str, Any]]] = []

            async def open_it(sealed: RoomEvent) -> None:
                opened.append(await machine.decrypt(self._state.id, sealed))

            await _tried(machine, open_it, event)
        except Unreadable:
            if mine:  # written by a device that is gone; the words in it are known
                return None
            raise
        if not opened:
            return None
        kind, content = opened[0]
        return replace(event, type=kind, content=content)

    def _deaf(self) -> ChannelDown | None:
        """Those in the room who are to be rung, and of whom no device has the room's key."""
        chosen = self._settings
        there = (
            self._present & set(chosen.responders) if chosen.responders else self._present - {chosen.user_id}
        )
        deaf = sorted(there - self._readers)
        if not deaf or (not chosen.responders and there & self._readers):  # with nobody named, one is enough
            return None
        verified = (
            " that its owner has verified"
            if self._settings.only_verified
            else " that can read encrypted rooms"
        )
        return ChannelDown(
            "responder-cannot-read",
            f"{len(deaf)} of those who are to be rung have no device{verified}. Ask them to log in and verify it.",
            ", ".join(deaf),
        )

    async def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        answer = await self.ask(method, f"/_matrix/client/v3/{path}", body)
        if isinstance(answer, Retry):
            raise Refused(answer)
        if not answer.ok:
            raise Refused(answers.not_about_message(answers.refusal(answer)), answer)
        return mapping(answer.body)


async def _tried(machine: Machine, work: Callable[[Any], Any], what: Any) -> None:
    """Do it, or leave everything as it was: what strangers send may be anything.

    Raises: Unreadable, Refused, and the database's errors that say nothing about what was sent.
    """
    try:
        async with machine.keys.transaction():
            await work(what)
    except Unreadable:
        raise
    except Exception as exc:
        if not is_theirs(exc):
            raise
        logger.warning("something encrypted is not in order: %s", type(exc).__name__)


def _as_text(event: RoomEvent) -> str:
    return json.dumps(
        {
            "event_id": event.event_id,
            "sender": event.sender,
            "type": event.type,
            "at_ms": int(event.at.timestamp() * 1000),
            "content": dict(event.content),
        }
    )


def _from_text(text: str) -> RoomEvent:
    kept = json.loads(text)
    at = datetime.fromtimestamp(kept.pop("at_ms") / 1000, UTC)
    return RoomEvent(**kept, at=at)
