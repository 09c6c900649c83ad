"""What a person in the room said to the alarm. Pure: one event of the room in, one answer or none out.

Taken: a reaction with one of a few keys; a message whose first line is an order such as `!ack` or `!mute 2h`, or a word
that answers an emergency (with the alert's number, or without it as a reply to the alert or in its thread); a
redaction. Not taken: edits, quoted lines, notices (so that two programs never talk to each other), and anything else.
Events are written by strangers; nothing here raises on any of them.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from tocsin_node.links.alert_text import foreign
from tocsin_node.links.emergency_words import ROOM_ANSWERS
from tocsin_node.links.matrix_answers import mapping
from tocsin_node.links.transport import RoomEvent

Verb = Literal[
    "ack", "take", "mute", "resolve", "escalate", "status", "affected", "not-affected", "investigating", "oncall",
    "subscriptions", "unsubscribe", "help",
]  # fmt: skip

KEYS = frozenset({"👀", "👍", "✅", "✔"})
VERBS: frozenset[str] = frozenset(get_args(Verb))
ABOUT_ALERTS = frozenset({"ack", "take", "mute", "resolve", "escalate", "status", *ROOM_ANSWERS})
NOTE_BYTES = 500
BODY_CHARACTERS = 4000
_TONES = dict.fromkeys([0xFE0E, 0xFE0F, *range(0x1F3FB, 0x1F400)])
_ORDER = re.compile(r"!(?P<verb>[a-z][a-z-]{0,19})(?:\s+(?P<rest>.*))?", re.IGNORECASE)
_SPAN = re.compile(r"(?P<count>[0-9]{1,4})(?P<unit>m|min|h)(?=\s|\Z)", re.IGNORECASE)
_NUMBER = re.compile(r"#?(?P<id>[0-9]{1,15})(?=\s|\Z)")


@dataclass(frozen=True, slots=True)
class Reacted:
    """A reaction that acknowledges the event `target`."""

    target: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order about the alert of that `number`, else about the event `target` that it answers, else its `thread`'s.

    `thread`: the root of the thread that it stands in. `span`: of a mute.
    """

    verb: Verb
    number: int | None = None
    target: str | None = None
    thread: str | None = None
    span: timedelta | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It looks like an order and is none."""

    word: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The event `target` no longer counts."""

    target: str


Answer = Reacted | Order | Unknown | TakenBack


def read(event: RoomEvent) -> Answer | None:
    """What `event` says to the alarm, if anything."""
    if event.type == "m.room.redaction":
        return TakenBack(event.redacts) if event.redacts else None
    relation = mapping(event.content.get("m.relates_to"))
    kind, target = relation.get("rel_type"), relation.get("event_id")
    if event.type == "m.reaction":
        key = relation.get("key")
        if kind == "m.annotation" and isinstance(target, str) and isinstance(key, str):
            return Reacted(target) if key.translate(_TONES) in KEYS else None
        return None
    if event.type != "m.room.message" or kind == "m.replace" or event.content.get("msgtype") != "m.text":
        return None
    body = event.content.get("body")
    return _order(body, relation) if isinstance(body, str) else None


def _order(body: str, relation: object) -> Order | Unknown | None:
    lines = (line.strip() for line in body[:BODY_CHARACTERS].splitlines())
    said = next((line for line in lines if line and not line.startswith(">")), "")
    match = _ORDER.fullmatch(said)
    if match is None:
        return None
    about = mapping(relation)
    reply, root = mapping(about.get("m.in_reply_to")).get("event_id"), about.get("event_id")
    thread = root if about.get("rel_type") == "m.thread" and isinstance(root, str) else None
    if thread is not None and about.get("is_falling_back") is True:
        reply = (
            None  # said in the thread as a whole: the client named its last message for those without threads
        )
    target = reply if isinstance(reply, str) else None
    word = match["verb"].lower()
    verb = next((v for v in get_args(Verb) if v == word), None)
    if verb is None:
        return Unknown(word, thread)
    span, number, note = _parts(verb, (match["rest"] or "").strip())
    return Order(verb, number, target, thread, span, note)


def _parts(verb: Verb, rest: str) -> tuple[timedelta | None, int | None, str | None]:
    """The span, the number and the note in what follows an order: the first two in any order, the note last."""
    span: timedelta | None = None
    number: int | None = None
    while rest:
        if verb == "mute" and span is None and (found := _SPAN.match(rest)):
            minutes = int(found["count"]) * (60 if found["unit"].lower() == "h" else 1)
            span = timedelta(minutes=minutes)
        elif number is None and (found := _NUMBER.match(rest)):
            number = int(found["id"])
        else:
            break
        rest = rest[found.end() :].strip()
    return span, number, foreign(rest, NOTE_BYTES) or None if rest else None
