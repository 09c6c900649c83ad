"""What a person in the room said about an alert. Pure: one event of the room in, one answer or none out.

Taken: a reaction with one of a few keys; a message that begins with `!ack`, or with a word that answers an emergency
(with the alert's number, or without it as a reply to the alert or in its thread); a redaction. Not taken: edits,
quoted lines, notices, and anything else. Events are written by strangers; nothing here raises on any of them.
"""

import re
from dataclasses import dataclass

from tocsin_federation.calls import Said
from tocsin_node.links.alert_text import foreign
from tocsin_node.links.emergency_words import ROOM_ANSWERS
from tocsin_node.links.matrix_answers import mapping
from tocsin_node.links.transport import RoomEvent

KEYS = frozenset({"👀", "👍", "✅", "✔"})
NOTE_BYTES = 500
BODY_CHARACTERS = 4000
_TONES = dict.fromkeys([0xFE0E, 0xFE0F, *range(0x1F3FB, 0x1F400)])
_WORDS = "|".join(map(re.escape, ROOM_ANSWERS))
_ACK = re.compile(
    rf"!(?P<verb>ack|{_WORDS})(?:\s+#?(?P<id>[0-9]{{1,15}}))?(?:\s+(?P<note>\S.*))?\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Reacted:
    """A reaction that acknowledges the event `target`."""

    target: str


@dataclass(frozen=True, slots=True)
class Replied:
    """`!ack`, or a word that answers an emergency (`says`): names the alert by number, or by what it replies to."""

    alert_id: int | None
    targets: tuple[str, ...]
    note: str | None
    says: Said | None = None


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The event `target` no longer counts."""

    target: str


Answer = Reacted | Replied | TakenBack


def read(event: RoomEvent) -> Answer | None:
    """What `event` says about an alert, if anything."""
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


def _order(body: str, relation: object) -> Replied | None:
    lines = (line.strip() for line in body[:BODY_CHARACTERS].splitlines())
    said = next((line for line in lines if line and not line.startswith(">")), "")
    match = _ACK.fullmatch(said)
    if match is None:
        return None
    reply = mapping(mapping(relation).get("m.in_reply_to")).get("event_id")
    thread = mapping(relation).get("event_id")
    targets = tuple(t for t in (reply, thread) if isinstance(t, str))
    number, note = match["id"], match["note"]
    if number is None and not targets:
        return None
    return Replied(
        None if number is None else int(number),
        targets,
        foreign(note, NOTE_BYTES) or None if note else None,
        ROOM_ANSWERS.get(match["verb"].lower()),
    )
