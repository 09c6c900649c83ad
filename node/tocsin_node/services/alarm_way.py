"""The ways that an alert can go: for each channel where to, what it admits, and in which words.

Pure. `place` tells places apart in lists and transaction ids; it holds no address of a person, and no path of a URL,
since these are often secrets.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tocsin_node.links.alert_digest import digest_text, digest_words, heading
from tocsin_node.links.alert_text import (
    NAME_BYTES,
    REASON_BYTES,
    SUMMARY_BYTES,
    TITLE_BYTES,
    AlertFacts,
    foreign,
    headline,
    plain_text,
    words,
)
from tocsin_node.links.alert_thread import Saying, as_edit, in_thread, said_words
from tocsin_node.services.pace import URGENT
from tocsin_node.settings.channels import MailSettings, MatrixSettings, SecondMatrixSettings, WebhookSettings
from tocsin_node.settings.record import Settings
from tocsin_node.storage.deliveries import DeliveryKind
from tocsin_schema.marking import Tlp

MATRIX, MATRIX_2, WEBHOOK, MAIL, OPS = "matrix", "matrix-2", "webhook", "mail", "ops"
ROOMS = (MATRIX, MATRIX_2)
SPOKEN = {
    MATRIX: "the first room",
    MATRIX_2: "the second room",
    WEBHOOK: "the webhook",
    MAIL: "e-mail",
    OPS: "the operators' room",
}
RANKS = {"I": 1, "II": 2, "III": 3}
MILDEST = 4


@dataclass(frozen=True, slots=True)
class Telling:
    """What one message tells: an alert's facts, cut for the place, and for one that follows what it says.

    `mention`: whose devices ring, where that is other than the settings have it.
    """

    facts: AlertFacts
    alert_id: int
    incident: str
    raised_at: datetime
    txn: str
    kind: DeliveryKind = "ring"
    saying: Saying | None = None
    state: str = "open"
    mention: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """What a digest tells: alerts by number with what the place may read. `first`: it begins a flood, and rings.

    `mention`: as in `Telling`.
    """

    incidents: Sequence[tuple[int, AlertFacts]]
    alert_id: int
    raised_at: datetime
    txn: str
    first: bool
    limits: str
    mention: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """The message that another one follows or replaces, as the other side knows it."""

    txn: str
    event_id: str | None


@dataclass(frozen=True, slots=True)
class Way:
    """One channel as the settings have it. `ceiling`: up to which marking it may be told details.

    `compose` gives a message's content. `follow` and `replace` tie it to the root of its thread, or put it into the
    root's place; what the channel has no such thing for, they leave as it is. `updates`: it is told how things are now
    without ringing. `digest`: how it is told many at once; None: each by itself, however many.
    `reserve`: what is not of grade I comes here only when another channel does not take it.
    """

    channel: str
    place: str
    ceiling: Tlp
    min_grade: str
    compose: Callable[[Telling], dict[str, Any]]
    follow: Callable[[Mapping[str, Any], Root], dict[str, Any]]
    replace: Callable[[Mapping[str, Any], Root], dict[str, Any]]
    updates: bool
    digest: Callable[[Digest], dict[str, Any]] | None
    reserve: bool = False

    def admits(self, facts: AlertFacts, priority: int) -> bool:
        """Whether an alert is for this channel from the start: tests and what is urgent always, the rest by grade."""
        if facts.kind == "test" or priority == URGENT:
            return True
        if self.reserve:
            return facts.grade == "I"
        return RANKS.get(facts.grade, MILDEST) <= RANKS.get(self.min_grade, MILDEST)


@dataclass(frozen=True, slots=True)
class Room:
    """Where alerts go: the room, whom they mention, and up to which marking it may read details."""

    id: str
    responders: tuple[str, ...]
    ceiling: Tlp
    reserve: bool = False

    @classmethod
    def from_settings(cls, settings: MatrixSettings) -> "Room":
        """The room that the settings name."""
        reserve = isinstance(settings, SecondMatrixSettings)
        return cls(settings.room, settings.responders, Tlp(settings.max_tlp), reserve)

    def mentioned(self, people: tuple[str, ...] | None) -> tuple[str, ...]:
        """Whose devices ring when it is the turn of `people`; None: of all responders. Nobody: the whole room.

        Rotas name people by their account on the first homeserver. In the second room those count whom it names too;
        where that is nobody, all that it names do.
        """
        if people is None:
            return self.responders
        if not self.reserve:
            return people
        return tuple(p for p in people if p in self.responders) or self.responders


def ways_from(settings: Settings) -> tuple[Way, ...]:
    """All ways that the settings name, in the order in which one stands in for another."""
    ways: list[Way] = []
    for channel, matrix in ((MATRIX, settings.matrix), (MATRIX_2, settings.matrix_second)):
        if matrix is not None:
            ways.append(_room(channel, Room.from_settings(matrix)))
    if settings.webhook is not None:
        ways.append(_webhook(settings.webhook))
    if settings.mail is not None:
        ways.append(_mail(settings.mail))
    return tuple(ways)


def hint_for(channel: str, hint: str) -> str:
    """A hint in the words of a channel's own section: transports know one section only."""
    if channel == MATRIX_2:
        return hint.replace("matrix.", "matrix_second.").replace("matrix login`", "matrix login --second`")
    return hint.replace("matrix.room", "ops.room") if channel == OPS else hint


def marked(content: dict[str, Any], txn: str) -> dict[str, Any]:
    """With the transaction id inside, so that our message is known again whatever device reads it."""
    return {**content, "org.tocsin.alert": {**content["org.tocsin.alert"], "txn": txn}}


def _room(channel: str, room: Room) -> Way:
    return Way(
        channel,
        room.id,
        room.ceiling,
        "IV",
        partial(_room_content, room),
        _in_thread,
        _as_edit,
        updates=True,
        digest=partial(_room_digest, room),
        reserve=channel == MATRIX_2,
    )


def _room_digest(room: Room, told: Digest) -> dict[str, Any]:
    mention = room.mentioned(told.mention)
    content = digest_words(told.incidents, told.alert_id, mention, first=told.first, limits=told.limits)
    return marked(content, told.txn)


def _room_content(room: Room, told: Telling) -> dict[str, Any]:
    mention = room.mentioned(told.mention)
    if told.saying is None:
        content = words(told.facts, told.alert_id, mention)
    else:
        named = room.mentioned(told.saying.mention) if told.saying.mention else ()
        saying = msgspec.structs.replace(told.saying, mention=named)
        content = said_words(
            told.kind, saying, told.facts, told.alert_id, mention, answered=told.state != "open"
        )
    return marked(content, told.txn)


def _in_thread(content: Mapping[str, Any], root: Root) -> dict[str, Any]:
    return dict(content) if root.event_id is None else in_thread(content, root.event_id)


def _as_edit(content: Mapping[str, Any], root: Root) -> dict[str, Any]:
    return dict(content) if root.event_id is None else as_edit(content, root.event_id)


def _webhook(settings: WebhookSettings) -> Way:
    place = f"{urlsplit(settings.url).hostname} ({_digest((settings.url,))})"
    return Way(WEBHOOK, place, Tlp(settings.max_tlp), settings.min_grade, _body, _alone, _alone, True, None)


def _alone(content: Mapping[str, Any], _root: Root) -> dict[str, Any]:
    """A program ties messages together by `incident`."""
    return dict(content)


def _mail(settings: MailSettings) -> Way:
    count = len(settings.recipients)
    place = f"{count} recipient{'' if count == 1 else 's'} ({_digest(sorted(settings.recipients))})"
    return Way(
        MAIL,
        place,
        Tlp(settings.max_tlp),
        settings.min_grade,
        _letter,
        _in_reply,
        _in_reply,
        False,
        _digest_letter,
    )


def _digest_letter(told: Digest) -> dict[str, Any]:
    return {
        "subject": f"[Tocsin {told.alert_id}] {heading(told.incidents, first=told.first)}",
        "text": digest_text(told.incidents, first=told.first, limits=told.limits) + "\n",
        "raised_at": _text(told.raised_at),
    }


def _body(told: Telling) -> dict[str, Any]:
    """What a program gets. A field that it may not read is left out."""
    facts = told.facts
    texts = {
        "title": foreign(facts.title, TITLE_BYTES),
        "summary": foreign(facts.summary, SUMMARY_BYTES),
        "reason": foreign(facts.call, REASON_BYTES),
        "caller": foreign(facts.caller, NAME_BYTES),
    }
    return {
        "id": told.alert_id,
        "incident": told.incident,
        "kind": _kind(told),
        "grade": facts.grade,
        "tlp": facts.tlp.value,
        **{name: text for name, text in texts.items() if text},
        "report_id": facts.report_id,
        "ver": facts.ver,
        **(
            {"emergency": facts.emergency, "drill": facts.drill, "over": facts.over}
            if facts.emergency
            else {}
        ),
        "raised_at": _text(told.raised_at),
        "state": told.state,
        "text": _plain(told),
    }


def _kind(told: Telling) -> str:
    if told.kind != "ring":
        return told.kind
    return told.facts.kind if told.saying is None else "again"


def _letter(told: Telling) -> dict[str, Any]:
    """A mail without its addresses."""
    line = headline(told.facts) if told.saying is None else told.saying.line
    return {
        "subject": f"[Tocsin {told.alert_id}] {line}",
        "text": _plain(told) + "\n",
        "raised_at": _text(told.raised_at),
    }


def _in_reply(content: Mapping[str, Any], root: Root) -> dict[str, Any]:
    return {**content, "in_reply_to": root.txn}


def _plain(told: Telling) -> str:
    full = plain_text(told.facts, told.alert_id, answered=told.state != "open")
    if told.saying is None:
        return full
    return f"{told.saying.line}\n\n{full}" if told.saying.facts else told.saying.line


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
