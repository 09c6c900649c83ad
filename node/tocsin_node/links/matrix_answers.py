"""What a homeserver's answers mean: whose trouble a refusal is, what a room holds, what happened in it.

Pure. Everything in an answer except its status was written by somebody else, members of the room included, so
every value is looked at before it is believed and nothing here raises on any JSON.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tocsin_node.links.transport import BadMessage, ChannelDown, Receipt, Retry, RoomEvent

CANARY = (
    "org.tocsin.canary"  # clients show no events of types that they do not know, and notify nobody of them
)
HEARD_TYPES = (
    CANARY,
    "m.room.message",
    "m.room.encrypted",
    "m.reaction",
    "m.room.redaction",
    "m.room.tombstone",
    "m.room.encryption",
    "m.room.member",  # without it a homeserver does not tell that the bot was put out
)
TIMELINE_EVENTS = 50
LIMITED_DEFAULT_S = 5.0
LIMITED_MOST_S = 3600.0
RING_ALL = 50  # power to mention the room, unless the room says otherwise
CREATORS_RULE_FROM = 12  # room versions in which creators stand above all power levels

NEW_TOKEN = "Give the bot a new token: `tocsin matrix login`. The node takes it up by itself."  # noqa: S105  words
NOT_IN_ROOM = ChannelDown("not-in-room", "Invite the bot into the room again; it joins by itself.")
ENCRYPTED = ChannelDown(
    "room-encrypted",
    "The room is encrypted: set matrix.encrypted = true, or set matrix.room to a room without encryption.",
)
NOT_ENCRYPTED = ChannelDown(
    "room-not-encrypted",
    "The room is not encrypted as matrix.encrypted says. Switch encryption on in the room's settings.",
)
_NUMBER = re.compile(r"-?[0-9]{1,18}")
ALGORITHM = "m.megolm.v1.aes-sha2"
_BY_ERRCODE = {
    "M_UNKNOWN_TOKEN": ChannelDown("token-rejected", NEW_TOKEN),
    "M_MISSING_TOKEN": ChannelDown("token-rejected", NEW_TOKEN),
    "M_USER_DEACTIVATED": ChannelDown("bot-deactivated", f"The bot's account was closed. {NEW_TOKEN}"),
    "M_USER_SUSPENDED": ChannelDown(
        "bot-suspended", "Ask the homeserver's operator why the bot is suspended."
    ),
    "M_USER_LOCKED": ChannelDown("bot-suspended", "Ask the homeserver's operator why the bot is locked."),
    "M_CONSENT_NOT_GIVEN": ChannelDown(
        "consent-missing", "Log in as the bot once with an ordinary client and accept the homeserver's terms."
    ),
    "M_UNRECOGNIZED": ChannelDown(
        "not-a-homeserver", "Correct matrix.homeserver: no Matrix API answers there."
    ),
    "M_NOT_FOUND": ChannelDown("room-unknown", "Correct matrix.room: the homeserver does not know it."),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the homeserver said. `body` is None when it was not JSON."""

    status: int
    body: Any = field(repr=False)
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the request was done."""
        return self.status == 200 and isinstance(self.body, dict)

    @property
    def overloaded(self) -> bool:
        """Whether it says nothing about what was asked: too many requests, or trouble on the way."""
        return self.status == 429 or self.status >= 500 or not isinstance(self.body, dict)

    @property
    def errcode(self) -> str | None:
        """Matrix's own word for the refusal."""
        code = mapping(self.body).get("errcode")
        return code if isinstance(code, str) else None


def refusal(answer: Answer) -> Retry | ChannelDown | BadMessage:
    """Say whose trouble an answer other than success is, in this order.

    1. 429: wait as told, the whole bot user. 2. A redirect: the address is wrong, and following it would show
    the alert to another host. 3. 5xx, or anything that is not JSON (a proxy speaks, not the homeserver):
    retry. 4. 400 and 413: this message is bad. 5. The rest: the channel is down until a person mends it.
    """
    status, errcode = answer.status, answer.errcode
    if status == 429 or errcode == "M_LIMIT_EXCEEDED":
        return Retry("limited", _wait_s(answer))
    if 300 <= status < 400:
        return ChannelDown("redirected", "Set matrix.homeserver to the address that it redirects to.")
    if status >= 500 or answer.body is None or status == 408:
        return Retry(f"http-{status}")
    if status == 200:
        return Retry("answer-strange")
    if status in {400, 413}:
        return BadMessage(_kebab(errcode) or f"http-{status}")
    known = _BY_ERRCODE.get(errcode or "")
    if known is not None:
        return known
    if status == 401:
        return ChannelDown("token-rejected", NEW_TOKEN)
    if status == 403:
        return ChannelDown(
            "forbidden", "The homeserver lets the bot not write in the room; look at its power level."
        )
    return ChannelDown(
        "homeserver-refuses", f"The homeserver answers {status} {errcode or ''}; ask its operator."
    )


def not_about_message(trouble: Retry | ChannelDown | BadMessage) -> Retry | ChannelDown:
    """The same for a request that carries no message: a bad request is then the channel's trouble."""
    if isinstance(trouble, BadMessage):
        return ChannelDown(
            trouble.code, "The homeserver refuses the request; check matrix.homeserver and matrix.room."
        )
    return trouble


def sync_filter(room_id: str) -> dict[str, Any]:
    """Only this room, only what an alarm needs to hear."""
    nothing = {"not_types": ["*"]}
    return {
        "presence": nothing,
        "account_data": nothing,
        "room": {
            "rooms": [room_id],
            "account_data": nothing,
            "ephemeral": {"types": ["m.receipt"]},
            "state": {"types": ["m.room.tombstone", "m.room.encryption"], "lazy_load_members": True},
            "timeline": {"limit": TIMELINE_EVENTS, "types": list(HEARD_TYPES)},
        },
    }


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def events(values: Any) -> tuple[RoomEvent, ...]:
    """The events of a JSON list; what is not an event is left out."""
    found = (_event(v) for v in values) if isinstance(values, list) else ()
    return tuple(e for e in found if e is not None)


def receipts(values: Any) -> tuple[Receipt, ...]:
    """The public read receipts of a room's ephemeral events (spec: m.receipt); what is none is left out."""
    found: list[Receipt] = []
    for event in values if isinstance(values, list) else ():
        if mapping(event).get("type") != "m.receipt":
            continue
        for event_id, kinds in mapping(event.get("content")).items():
            for user, said in mapping(mapping(kinds).get("m.read")).items():
                thread = mapping(said).get("thread_id")
                found.append(
                    Receipt(
                        user,
                        event_id,
                        happened_at(mapping(said).get("ts")),
                        thread if isinstance(thread, str) else None,
                    )
                )
    return tuple(found)


def room_trouble(state: Iterable[RoomEvent], *, encrypted: bool) -> ChannelDown | None:
    """Why a room with these state events must not be rung, if so. `encrypted`: it is meant to be."""
    for event in state:
        if event.state_key != "":
            continue
        if event.type == "m.room.encryption" and not encrypted:
            return ENCRYPTED
        if event.type == "m.room.tombstone":
            return ChannelDown(
                "room-upgraded",
                "The room was replaced by another. Look at that one and set matrix.room to it; the log names it.",
                f"the room's follower is {event.content.get('replacement_room')}",
            )
    return None


def may_post(state: Iterable[RoomEvent], user: str) -> bool:
    """Whether `user` has the power to write messages in a room with this state."""

    def needed(levels: Mapping[str, Any]) -> int:
        message = mapping(levels.get("events")).get("m.room.message")
        return _level(message, _level(levels.get("events_default"), 0))

    return _has_power(state, user, needed)


def may_ring_all(state: Iterable[RoomEvent], user: str) -> bool:
    """Whether `user` has the power to mention the whole room; without it, such a mention rings nobody."""
    return _has_power(
        state, user, lambda levels: _level(mapping(levels.get("notifications")).get("room"), RING_ALL)
    )


def _has_power(state: Iterable[RoomEvent], user: str, needed: Callable[[Mapping[str, Any]], int]) -> bool:
    """Whether `user` has what is `needed` by the content of the room's power levels."""
    only = {e.type: e for e in state if e.state_key == ""}
    create, power = only.get("m.room.create"), only.get("m.room.power_levels")
    if create is not None and _above_all(create, user):
        return True
    if power is None:
        return True
    levels = power.content
    has = _level(mapping(levels.get("users")).get(user), _level(levels.get("users_default"), 0))
    return has >= needed(levels)


def joined(state: Iterable[RoomEvent]) -> set[str]:
    """Who is in the room."""
    return {
        e.state_key
        for e in state
        if e.type == "m.room.member" and e.state_key and e.content.get("membership") == "join"
    }


def _above_all(create: RoomEvent, user: str) -> bool:
    version = create.content.get("room_version")
    if not (
        isinstance(version, str)
        and version.isdecimal()
        and len(version) < 4
        and int(version) >= CREATORS_RULE_FROM
    ):
        return False
    more = create.content.get("additional_creators")
    return user == create.sender or (isinstance(more, list) and user in more)


def _level(value: Any, otherwise: int) -> int:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)  # old rooms write numbers as text
    return value if isinstance(value, int) else otherwise


def _wait_s(answer: Answer) -> float:
    """What the body tells, else what the header does; a time that is none counts for nothing told."""
    told, header = mapping(answer.body).get("retry_after_ms"), (answer.retry_after or "").strip()
    wait_s: float = LIMITED_DEFAULT_S
    if (
        isinstance(told, int | float) and told >= 0
    ):  # JSON as Python reads it knows NaN, and integers beyond all floats
        wait_s = min(told, LIMITED_MOST_S * 1000) / 1000
    elif header.isascii() and header.isdigit():
        wait_s = float(header[:9])
    return min(max(wait_s, 0.05), LIMITED_MOST_S)


def _kebab(errcode: str | None) -> str:
    return (errcode or "").removeprefix("M_").lower().replace("_", "-")[:40]


def _event(raw: Any) -> RoomEvent | None:
    source = mapping(raw)
    names = [source.get(k) for k in ("event_id", "sender", "type")]
    if not all(isinstance(n, str) for n in names):
        return None
    content = mapping(source.get("content"))
    state_key, txn = source.get("state_key"), mapping(source.get("unsigned")).get("transaction_id")
    redacts = content.get("redacts") or source.get("redacts")
    return RoomEvent(
        event_id=str(names[0]),
        sender=str(names[1]),
        type=str(names[2]),
        at=happened_at(source.get("origin_server_ts")),
        content=content,
        state_key=state_key if isinstance(state_key, str) else None,
        txn=txn if isinstance(txn, str) else None,
        redacts=redacts if isinstance(redacts, str) else None,
    )


def happened_at(ms: Any) -> datetime:
    """The sender's homeserver's clock, never in the future; our own when that is not a time at all."""
    now = datetime.now(UTC)
    try:
        return min(datetime.fromtimestamp(ms / 1000, UTC), now)
    except (TypeError, ValueError, OverflowError, OSError):
        return now
