"""How messages about one incident hang together, and the words of those that follow the first. Pure.

The first message that rings is the root of a thread. What is said later about the same incident follows in that
thread; edits take the root's place. Clients without threads show a reply (`is_falling_back`), and those without edits
a message that begins with an asterisk.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import msgspec

from tocsin_node.links.alert_text import MENTIONS, AlertFacts, words

NOTICE: Final = "notice"  # kinds of messages for which no device rings
UPDATE: Final = "update"
CALL: Final = "call"  # what more an emergency's caller says
ESCALATION: Final = "escalation"


class Saying(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said about an alert that exists: `line` is ours, strangers' text in it went through `foreign`.

    `what`: tells it apart from all else that is said about this alert in this kind; the same again is no second
    message. `mention`: whose devices ring; nobody named are those whom the alert rang (a notice rings nobody).
    `everybody`: the whole room rings. `facts`: the alert's own words follow, as far as the place may read them then;
    without it the line must hold nothing of what the report says. `instead`: the facts that follow in the place of
    the alert's own: what it is about has changed. `seq`: of a call by the emergency's caller its number, of an
    escalation the level; by it the bots of other nodes in the room know that it was told.
    """

    what: str
    line: str
    mention: tuple[str, ...] = ()
    everybody: bool = False
    facts: bool = False
    instead: AlertFacts | None = None
    seq: int = 0


def said_words(
    kind: str,
    saying: Saying,
    facts: AlertFacts,
    alert_id: int,
    mention: Sequence[str],
    *,
    answered: bool = False,
) -> dict[str, Any]:
    """The content of a message that follows; `mention`: whom the alert rang. `answered`: as in `words`."""
    named = saying.mention or tuple(mention)
    body, html = saying.line, f"<p>{escape(saying.line)}</p>"
    full = words(facts, alert_id, named, answered=answered)
    if saying.facts:
        body, html = (
            f"{body}\n\n{full['body']}",
            f"<p><strong>{escape(saying.line)}</strong></p>{full['formatted_body']}",
        )
    return {
        "msgtype": "m.notice" if kind == NOTICE else "m.text",
        "body": body,
        "format": "org.matrix.custom.html",
        "formatted_body": html,
        "m.mentions": {} if kind in {NOTICE, UPDATE} else _mentions(named, everybody=saying.everybody),
        "org.tocsin.alert": {
            **full["org.tocsin.alert"],
            "message": kind,
            **({"seq": saying.seq} if saying.seq else {}),
        },
    }


def list_words(person: str, head: str, lines: Sequence[str]) -> dict[str, Any]:
    """The content of a message to one person in the room: a line, and a list."""
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return {
        "msgtype": "m.text",
        "body": "\n".join([f"{person}: {head}", *lines]),
        "format": "org.matrix.custom.html",
        "formatted_body": f"<p>{escape(person)}: {escape(head)}</p><ul>{listed}</ul>",
        "m.mentions": {"user_ids": [person]},
        "org.tocsin.alert": {"v": 1, "message": "digest"},
    }


def letter_words(head: str, lines: Sequence[str], at: datetime) -> dict[str, Any]:
    """The same as a letter."""
    return {
        "subject": f"[Tocsin] {head}",
        "text": "\n".join([head, "", *lines, ""]),
        "raised_at": at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def in_thread(content: Mapping[str, Any], root: str) -> dict[str, Any]:
    """The message in the thread of the event `root` (Matrix, threading)."""
    relation = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True}
    return {**content, "m.relates_to": {**relation, "m.in_reply_to": {"event_id": root}}}


def as_edit(content: Mapping[str, Any], event_id: str) -> dict[str, Any]:
    """The message in the place of the event `event_id` (Matrix, event replacements); nobody rings for it."""
    new = {name: value for name, value in content.items() if name != "m.relates_to"}
    return {
        **new,
        "body": f"* {new['body']}",
        "formatted_body": f"* {new['formatted_body']}",
        "m.mentions": {},
        "m.new_content": new,
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }


def _mentions(named: Sequence[str], *, everybody: bool) -> dict[str, Any]:
    users = {"user_ids": list(named[:MENTIONS])} if named else {}
    return users | ({"room": True} if everybody or not named else {})
