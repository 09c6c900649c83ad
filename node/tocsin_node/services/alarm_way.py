"""The ways that an alert can go: for each channel where to, what it admits, and in which words.

Pure. `place` tells places apart in lists and transaction ids; it holds no address of a person, and no path of a URL,
since these are often secrets.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tocsin_node.links.alert_text import (
    SUMMARY_BYTES,
    TITLE_BYTES,
    AlertFacts,
    foreign,
    headline,
    plain_text,
    words,
)
from tocsin_node.settings import MailSettings, MatrixSettings, Settings, WebhookSettings
from tocsin_schema.marking import Tlp

MATRIX, WEBHOOK, MAIL = "matrix", "webhook", "mail"
URGENT = 0  # grade I, or a life at risk
RANKS = {"I": 1, "II": 2, "III": 3}
MILDEST = 4
# facts, number of the alert, when it was raised, transaction id → content
Compose = Callable[[AlertFacts, int, datetime, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Way:
    """One channel as the settings have it. `ceiling`: up to which marking it may be told details."""

    channel: str
    place: str
    ceiling: Tlp
    min_grade: str
    compose: Compose

    def admits(self, facts: AlertFacts, priority: int) -> bool:
        """Whether an alert is for this channel: tests and what is urgent always, the rest by grade."""
        if facts.kind == "test" or priority == URGENT:
            return True
        return RANKS.get(facts.grade, MILDEST) <= RANKS.get(self.min_grade, MILDEST)


@dataclass(frozen=True, slots=True)
class Room:
    """Where alerts go: the room, whom they mention, and up to which marking it may read details."""

    id: str
    responders: tuple[str, ...]
    ceiling: Tlp

    @classmethod
    def from_settings(cls, settings: MatrixSettings) -> "Room":
        """The room that the settings name."""
        return cls(settings.room, settings.responders, Tlp(settings.max_tlp))


def ways_from(settings: Settings) -> tuple[Way, ...]:
    """All ways that the settings name."""
    ways: list[Way] = []
    if settings.matrix is not None:
        room = Room.from_settings(settings.matrix)
        ways.append(Way(MATRIX, room.id, room.ceiling, "IV", partial(_room_content, room)))
    if settings.webhook is not None:
        ways.append(_webhook(settings.webhook))
    if settings.mail is not None:
        ways.append(_mail(settings.mail))
    return tuple(ways)


def marked(content: dict[str, Any], txn: str) -> dict[str, Any]:
    """With the transaction id inside, so that our message is known again whatever device reads it."""
    return {**content, "org.tocsin.alert": {**content["org.tocsin.alert"], "txn": txn}}


def _room_content(room: Room, facts: AlertFacts, alert_id: int, _at: datetime, txn: str) -> dict[str, Any]:
    return marked(words(facts, alert_id, room.responders), txn)


def _webhook(settings: WebhookSettings) -> Way:
    place = f"{urlsplit(settings.url).hostname} ({_digest((settings.url,))})"
    return Way(WEBHOOK, place, Tlp(settings.max_tlp), settings.min_grade, _body)


def _mail(settings: MailSettings) -> Way:
    count = len(settings.recipients)
    place = f"{count} recipient{'' if count == 1 else 's'} ({_digest(sorted(settings.recipients))})"
    return Way(MAIL, place, Tlp(settings.max_tlp), settings.min_grade, _letter)


def _body(facts: AlertFacts, alert_id: int, raised_at: datetime, _txn: str) -> dict[str, Any]:
    """What a program gets. A field that it may not read is left out."""
    told = {"title": foreign(facts.title, TITLE_BYTES), "summary": foreign(facts.summary, SUMMARY_BYTES)}
    return {
        "id": alert_id,
        "kind": facts.kind,
        "grade": facts.grade,
        "tlp": facts.tlp.value,
        **{name: text for name, text in told.items() if text},
        "report_id": facts.report_id,
        "ver": facts.ver,
        "raised_at": _text(raised_at),
        "text": plain_text(facts, alert_id),
    }


def _letter(facts: AlertFacts, alert_id: int, raised_at: datetime, _txn: str) -> dict[str, Any]:
    """A mail without its addresses."""
    return {
        "subject": f"[Tocsin {alert_id}] {headline(facts)}",
        "text": plain_text(facts, alert_id) + "\n",
        "raised_at": _text(raised_at),
    }


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
