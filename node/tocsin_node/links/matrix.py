"""The one door to matrix-nio: a room of a Matrix homeserver as a `Transport`.

nio builds the requests and carries them; three of its habits are left at the door. It may not retry or wait
(that is the alarm service's, which keeps its timers in the database); it may not follow a redirect (the
alert's text would go to another host); and it keeps no state of rooms and no position in the stream (both
would be lost or wrong after a crash). Answers are taken as status, headers and bounded JSON, since what to do
depends on all three.

Only unencrypted rooms are served: a homeserver takes plain text into an encrypted room without a word, so a
room that is or becomes encrypted is refused here, and looked at again before every message. For encrypted
rooms `matrix_e2ee` builds on this. The access token leaves this module in no log, error or repr.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientPayloadError, ClientResponse, ClientSession, ClientTimeout
from nio import Api, AsyncClient, AsyncClientConfig, MessageDirection

from tocsin_node.errors import SecretError
from tocsin_node.links import matrix_answers as answers
from tocsin_node.links.matrix_answers import Answer, mapping
from tocsin_node.links.transport import BadMessage, ChannelDown, Heard, Outcome, Ready, Retry, RoomEvent, Sent
from tocsin_node.settings.channels import MatrixSettings

POLL_S = 30.0
ANSWER_BYTES = 32 * 1024 * 1024
PAGES = 20
PAGE_EVENTS = 100
DEVICE_NAME = "Tocsin"


@dataclass(frozen=True, slots=True)
class Login:
    """What a password login gives. Keep the device for ever: transaction ids are only known to it."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)


class MatrixTransport:
    """The bot's client. `read_token` is asked at every preflight, so that a new token needs no restart.

    `rings`: what goes there mentions people, so the bot needs the power to.
    """

    def __init__(
        self,
        settings: MatrixSettings,
        read_token: Callable[[], str],
        *,
        poll_s: float = POLL_S,
        rings: bool = True,
    ) -> None:
        self._settings = settings
        self._read_token = read_token
        self._poll_s = poll_s
        self._rings = rings
        self._client = _client(settings.homeserver, settings.user_id, settings.request_timeout_s)
        self._rooms: dict[str, str] = {}  # alias → id
        self._device_id = settings.device_id

    async def send(self, room: str, kind: str, content: Mapping[str, Any], txn: str) -> Outcome:
        """Put one event into the room unless it is encrypted by now; see `Transport`."""
        trouble = await self._look_for_encryption(room)
        return await self._put(room, kind, content, txn) if trouble is None else trouble

    async def _look_for_encryption(self, room: str) -> Retry | ChannelDown | None:
        answer = await _answer(self._client.room_get_state_event(self._id(room), "m.room.encryption"))
        if isinstance(answer, Retry):
            return answer
        if answer.ok:
            return answers.ENCRYPTED
        # refused for another reason: so is the message, and that says more
        return answers.not_about_message(answers.refusal(answer)) if answer.overloaded else None

    async def _put(self, room: str, kind: str, content: Mapping[str, Any], txn: str) -> Outcome:
        answer = await _answer(self._client.room_send(self._id(room), kind, dict(content), tx_id=txn))
        if isinstance(answer, Retry):
            return answer
        if answer.ok and isinstance(answer.body.get("event_id"), str):
            return Sent(answer.body["event_id"])
        return Sent(None) if answer.errcode == "M_DUPLICATE_ANNOTATION" else answers.refusal(answer)

    async def unsay(self, room: str, event_id: str, txn: str) -> Outcome:
        """Redact an event of ours; what is gone already is gone."""
        answer = await _answer(
            self._client.room_redact(self._id(room), event_id, reason="recalled", tx_id=txn)
        )
        if isinstance(answer, Retry):
            return answer
        if answer.ok:
            return Sent(event_id)
        if answer.errcode == "M_NOT_FOUND":
            return Sent(None)
        refused = answers.refusal(answer)
        return BadMessage("redaction-refused") if answer.errcode == "M_FORBIDDEN" else refused

    async def sync(self, room: str, since: str | None, *, wait: bool = True) -> Heard | Retry | ChannelDown:
        """Wait for news; what a busy room pushed out of the answer is fetched page by page."""
        listened = await self._listen(room, since, wait)
        return listened[0] if isinstance(listened, tuple) else listened

    async def _listen(
        self, room: str, since: str | None, wait: bool
    ) -> tuple[Heard, Mapping[str, Any]] | Retry | ChannelDown:
        """What the room said, and the whole answer that told it."""
        room_id = self._id(room)
        answer = await _answer(
            self._client.sync(
                timeout=int(self._poll_s * 1000) if since and wait else 0,
                sync_filter=answers.sync_filter(room_id),
                since=since,
            )
        )
        if isinstance(answer, Retry):
            return answer
        if since and answer.status == 400 and answer.errcode:
            return Retry("position-lost")  # the homeserver was put back to an older state, or is another one
        if not answer.ok or not isinstance(answer.body.get("next_batch"), str):
            return _trouble(answer)
        rooms = mapping(answer.body.get("rooms"))
        joined = mapping(mapping(rooms.get("join")).get(room_id))
        timeline = mapping(joined.get("timeline"))
        events = answers.events(timeline.get("events"))
        complete = not timeline.get("limited")
        if not complete and since:
            missing = await self._gap(room_id, timeline.get("prev_batch"), since)
            if isinstance(missing, Retry):
                return missing
            earlier, complete = missing
            events = (*earlier, *events)
        trouble = self._room_trouble((*answers.events(mapping(joined.get("state")).get("events")), *events))
        if room_id in mapping(rooms.get("leave")):
            trouble = answers.NOT_IN_ROOM
        read = answers.receipts(mapping(joined.get("ephemeral")).get("events"))
        return Heard(answer.body["next_batch"], events, complete, trouble, receipts=read), answer.body

    async def happened_at(self, room: str, event_id: str) -> datetime | Retry | ChannelDown | None:
        """When an event happened, by the homeserver's clock."""
        answer = await _answer(self._client.room_get_event(self._id(room), event_id))
        if isinstance(answer, Retry):
            return answer
        if answer.status in {400, 403, 404} and answer.errcode:
            return None
        if not answer.ok:
            return _trouble(answer)
        return answers.happened_at(answer.body.get("origin_server_ts"))

    async def relations(self, room: str, event_id: str) -> tuple[RoomEvent, ...] | Retry | ChannelDown:
        """All that relates to one event and still stands, oldest first."""
        found: list[RoomEvent] = []
        start: str | None = None
        for _ in range(PAGES):
            answer = await _answer(self._client.relations_page(self._id(room), event_id, start))
            if isinstance(answer, Retry):
                return answer
            if not answer.ok:
                return _trouble(answer)
            found += answers.events(answer.body.get("chunk"))
            start = answer.body.get("next_batch")
            if not isinstance(start, str):
                return tuple(reversed(found))
        return Retry("too-many-relations")

    async def preflight(self, room: str) -> Ready | Retry | ChannelDown:
        """Look at token, user, device, room, its state, the bot's power and who is there to hear it."""
        missing = self.take_token()
        if missing is not None:
            return missing
        for step in (self._look_at_token, self._find_room, self._enter_room):
            trouble = await step(room)
            if trouble is not None:
                return trouble
        answer = await _answer(self._client.room_get_state(self._id(room)))
        if isinstance(answer, Retry):
            return answer
        if answer.status != 200 or not isinstance(answer.body, list):
            return _trouble(answer)
        return self._judge_state(answers.events(answer.body))

    async def invited(self, room: str) -> bool:
        """Ask for the room's place among spaces, which is shown to those who are invited, and to nobody outside."""
        path = f"/_matrix/client/v1/rooms/{quote(self._id(room), safe='')}/hierarchy?limit=1&max_depth=1"
        answer = await self.ask("GET", path)
        return not isinstance(answer, Retry) and answer.ok

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer | Retry:
        """Any other request of the client API, as the bot."""
        return await _answer(self._client.ask(method, path, body))

    def take_token(self) -> ChannelDown | None:
        """Use the token that there is now."""
        try:
            self._client.access_token = self._read_token()
        except SecretError as exc:
            return ChannelDown("token-missing", f"{exc.hint} {answers.NEW_TOKEN}", exc.message)
        return None

    def _room_trouble(self, state: Iterable[RoomEvent]) -> ChannelDown | None:
        return answers.room_trouble(state, encrypted=False)

    def _id(self, room: str) -> str:
        return self._rooms.get(room, room)

    async def _look_at_token(self, _room: str) -> Retry | ChannelDown | None:
        answer = await _answer(self._client.whoami())
        if isinstance(answer, Retry):
            return answer
        if not answer.ok:
            return _trouble(answer)
        user, device = answer.body.get("user_id"), answer.body.get("device_id")
        if user != self._settings.user_id:
            hint = f"The token belongs to another user than matrix.user_id. {answers.NEW_TOKEN}"
            return ChannelDown("wrong-user", hint, f"the token is of {user}")
        if self._settings.device_id and device != self._settings.device_id:
            hint = f"The token belongs to another device than matrix.device_id. {answers.NEW_TOKEN}"
            return ChannelDown("wrong-device", hint, f"the token is of device {device}")
        self._device_id = device if isinstance(device, str) else ""
        return None

    async def _find_room(self, room: str) -> Retry | ChannelDown | None:
        if not room.startswith("#"):
            return None
        answer = await _answer(self._client.room_resolve_alias(room))
        if isinstance(answer, Retry):
            return answer
        if answer.ok and isinstance(answer.body.get("room_id"), str):
            self._rooms[room] = answer.body["room_id"]
            return None
        if answer.status == 404:
            return ChannelDown("room-unknown", "There is no room of that alias. Correct matrix.room.")
        return _trouble(answer)

    async def _enter_room(self, room: str) -> Retry | ChannelDown | None:
        me = self._settings.user_id
        answer = await _answer(self._client.room_get_state_event(self._id(room), "m.room.member", me))
        if isinstance(answer, Retry):
            return answer
        if answer.ok and answer.body.get("membership") == "join":
            return None
        if answer.status not in {200, 403, 404} or answer.body is None:
            return _trouble(answer)
        answer = await _answer(self._client.join(self._id(room)))
        if isinstance(answer, Retry):
            return answer
        refusal = None if answer.ok else _trouble(answer)
        return (
            answers.NOT_IN_ROOM
            if answer.status in {403, 404} and isinstance(refusal, ChannelDown)
            else refusal
        )

    def _judge_state(self, state: tuple[RoomEvent, ...]) -> Ready | ChannelDown:
        trouble = self._room_trouble(state)
        if trouble is not None:
            return trouble
        me, responders = self._settings.user_id, self._settings.responders
        if not answers.may_post(state, me):
            return ChannelDown("muted", "The bot may not write in the room; raise its power level.")
        others = answers.joined(state) - {me}
        present = others & set(responders) if responders else others
        if not present:
            hint = "Nobody who may acknowledge is in the room; invite them."
            return Ready(ChannelDown("no-responder", hint), 0, frozenset(others))
        if self._rings and not responders and not answers.may_ring_all(state, me):
            hint = "The bot may not mention the whole room: raise its power level (mostly to 50), or name responders."
            return Ready(ChannelDown("no-room-mention", hint), len(present), frozenset(others))
        return Ready(None, len(present), frozenset(others))

    async def _gap(self, room_id: str, start: Any, since: str) -> tuple[tuple[RoomEvent, ...], bool] | Retry:
        """What happened between `since` and `start`, oldest first, and whether that is all of it."""
        newest_first: list[RoomEvent] = []
        for _ in range(PAGES):
            if not isinstance(start, str):
                return tuple(reversed(newest_first)), True
            answer = await _answer(
                self._client.room_messages(
                    room_id,
                    start,
                    end=since,
                    direction=MessageDirection.back,
                    limit=PAGE_EVENTS,
                    message_filter={"types": list(answers.HEARD_TYPES)},
                )
            )
            if isinstance(answer, Retry):
                return answer
            if not answer.ok:
                break
            newest_first += answers.events(answer.body.get("chunk"))
            start = answer.body.get("end") if answer.body.get("chunk") else None
        return tuple(reversed(newest_first)), False


async def login(
    homeserver: str, user_id: str, password: str, device_id: str = ""
) -> Login | Retry | ChannelDown:
    """Log in once with a password; with `device_id` the bot stays the device it was, and retries harmless."""
    client = _client(homeserver, user_id, 30.0)
    client.device_id = device_id
    try:
        answer = await _answer(client.login(password, device_name=DEVICE_NAME))
    finally:
        await client.close()
    if isinstance(answer, Retry):
        return answer
    parts = [answer.body.get(k) for k in ("user_id", "device_id", "access_token")] if answer.ok else []
    if parts and all(isinstance(p, str) for p in parts):
        return Login(*parts)
    if answer.status == 403:
        return ChannelDown(
            "login-refused", "User or password are wrong, or password login is switched off there."
        )
    return _trouble(answer)


class _Client(AsyncClient):  # type: ignore[misc]  # nio ships no types
    """nio's client with its answers, its redirects and its memory replaced; see the module."""

    client_session: ClientSession | None

    async def send(
        self,
        method: str,
        path: str,
        data: Any = None,
        headers: dict[str, str] | None = None,
        _trace_context: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109  nio's signature
    ) -> ClientResponse:
        session: ClientSession | None = self.client_session
        if session is None:
            session = self.client_session = ClientSession()
        return await session.request(
            method,
            self.homeserver + path,
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=ClientTimeout(total=timeout or self.config.request_timeout),
        )

    async def create_matrix_response(
        self,
        response_class: type,  # noqa: ARG002  nio names its arguments
        transport_response: ClientResponse,
        **_: object,
    ) -> Answer:
        async with transport_response:
            raw = bytearray()
            async for chunk in transport_response.content.iter_any():
                raw += chunk
                if len(raw) > ANSWER_BYTES:
                    raise ClientPayloadError("the answer is too large")
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        return Answer(transport_response.status, body, transport_response.headers.get("Retry-After"))

    async def receive_response(self, response: object) -> None:
        """Nothing is remembered."""

    async def relations_page(self, room_id: str, event_id: str, start: str | None) -> Answer:
        """One page of what relates to an event; nio's own iterator fails on every refusal."""
        method, path = Api.room_get_event_relations(
            self.access_token, room_id, event_id, paginate_from=start, limit=PAGE_EVENTS
        )
        answer: Answer = await self._send(Answer, method, path)
        return answer

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        """A request that nio has no method for."""
        data = None if body is None else Api.to_json(body)
        answer: Answer = await self._send(Answer, method, path, data)
        return answer


def _client(homeserver: str, user_id: str, request_timeout_s: float) -> Any:
    config = AsyncClientConfig(
        encryption_enabled=False,
        store_sync_tokens=False,
        max_timeouts=0,
        max_limit_exceeded=0,
        request_timeout=request_timeout_s,
    )
    return _Client(homeserver.rstrip("/"), user_id, config=config)


async def _answer(request: Awaitable[Any]) -> Answer | Retry:
    """The answer to one request of nio's, or that there was none."""
    try:
        answer: Answer = await request
    except TimeoutError:
        return Retry("homeserver-silent")
    except ClientPayloadError:
        return Retry("answer-cut")
    except (ClientError, OSError):
        return Retry("homeserver-unreachable")
    return answer


def _trouble(answer: Answer) -> Retry | ChannelDown:
    return answers.not_about_message(answers.refusal(answer))
