"""The words of an alert: what a responder reads at three in the morning. Pure: facts in, message content out.

What the room may read depends on the report's TLP marking: RED gives nothing but id and grade, AMBER+STRICT
the severity too, AMBER the title too, GREEN and CLEAR a summary; a marking above the room's own ceiling
counts as RED. `cut` takes away the rest *before* the facts are stored with the alert, so that what is not
there cannot leak. `still` judges again, since a report's marking may be raised while its alert waits.

Titles, summaries, names and drivers were written by strangers. They are shown as text: no control or
direction characters, no mention that rings somebody, nothing that a client makes a link of, no markup; each keeps
to its line and its length. The plain body is complete by itself, since some clients show nothing else.
"""

import re
import unicodedata
from collections.abc import Sequence
from enum import IntEnum
from html import escape
from typing import Any, Literal

import msgspec

from tocsin_node.links import emergency_words
from tocsin_schema.marking import Tlp, strictest
from tocsin_schema.vocabulary import LEVEL_NAMES

Kind = Literal["raise", "escalate", "withdrawn", "test", "duty", "cluster", "digest", "emergency"]

BODY_BYTES = 4096
TITLE_BYTES = 240
SUMMARY_BYTES = 1200
NAME_BYTES = 120
DRIVER_BYTES = 160
REASON_BYTES = 500
STEP_BYTES = 240
STEPS = 5
DRIVERS = 5
SYSTEMS = 3
MENTIONS = 30
SIGNS = {"I": "🔴", "II": "🟠", "III": "🟡"}
DIGESTED = "Several incidents came at once and were told together. See each: tocsin alert list --open"
ACKNOWLEDGE_KEYS = ("👀", "👍", "✅")
DISPUTED_NOTE = (
    "Its author has ended the log that this stands in (its key was stolen, or its database restored) and vouches for "
    "it no longer. Ask them before you act on it."
)
HEADLINES = {
    "raise": "ALERT, grade {grade}",
    "escalate": "ALERT, grade raised to {grade}",
    "withdrawn": "WITHDRAWN: the report of grade {grade} no longer stands",
    "duty": "LEGAL CLOCK: {clock}",
    "cluster": "EARLY WARNING: several organisations report the same, up to grade {grade}",
    "digest": "MANY ALERTS AT ONCE, up to grade {grade}",
    "test": "TEST: this is a test of the alarm, nothing has happened",
}


# What clients make links of by themselves: addresses with a scheme, rooms of Matrix (#room:server; users go with
# their @), and whatever looks like the name of a host.
_LINKS = re.compile(
    r"://"
    r"|(?i:\b(?:mailto|matrix|tel|sips?|xmpp|magnet|geo|data|javascript):)"
    r"|\#(?=\S*:)"
    r"|(?i:(?<=\bwww))\."
    r"|(?<=\w)\.(?=[^\W\d_]{2})"
)
_USER = re.compile(r"@[a-z0-9._=/+-]+:[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_BROKEN = {"://": "[:]//", "#": "\uff03", ".": "[.]"}


class Detail(IntEnum):
    """How much of a report a room may read."""

    GRADE = 0
    SEVERITY = 1
    TITLE = 2
    SUMMARY = 3


DETAIL_OF = {
    Tlp.RED: Detail.GRADE,
    Tlp.AMBER_STRICT: Detail.SEVERITY,
    Tlp.AMBER: Detail.TITLE,
    Tlp.GREEN: Detail.SUMMARY,
    Tlp.CLEAR: Detail.SUMMARY,
}


class AlertFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an alert may say. A field that the room may not read is empty, not hidden."""

    kind: Kind
    grade: str
    tlp: Tlp
    report_id: str | None = None
    ver: int | None = None
    level: int | None = None
    score: int | None = None
    title: str = ""
    summary: str = ""
    origin: str = ""
    systems: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    clock: str = ""  # of a duty: how far, until when, which; ours, and every room may read it
    duties: tuple[str, ...] = ()  # what is owed to whom: tells what kind of harm it was
    unwitnessed: bool = False  # only its author has signed it; witnesses have not cosigned it yet
    through: str = ""  # who handed it on in its author's place, as we call them
    cluster: str = ""  # its id and size
    since: str = (
        ""  # when the first report of a cluster came: what a later cluster of the same name has otherwise
    )
    emergency: str = ""  # its id
    drill: bool = False
    ordinary: bool = False  # of an emergency: over its caller's limit of a day
    called_here: bool = False  # of an emergency: by us
    over: bool = False  # it was stood down, or is disputed: nothing is to be done
    disputed: bool = False  # who reported it, or called, vouches for it no longer
    caller: str = ""  # who called, as we call it
    call: str = ""  # why
    steps: tuple[str, ...] = ()  # what to do
    step_texts: tuple[str, ...] = ()


def detail_for(tlp: Tlp, ceiling: Tlp) -> Detail:
    """How much a room may read of a report marked `tlp`, when it takes details up to `ceiling`."""
    return DETAIL_OF[tlp] if tlp.rank <= ceiling.rank else Detail.GRADE


def cut(facts: AlertFacts, ceiling: Tlp) -> AlertFacts:
    """The facts that a room with this ceiling may read, and none besides."""
    detail = detail_for(facts.tlp, ceiling)
    kept: dict[str, Any] = {}
    if detail >= Detail.SEVERITY:
        kept |= {"level": facts.level, "score": facts.score, "caller": facts.caller}
    if detail >= Detail.TITLE:
        kept |= {"title": facts.title, "call": facts.call, "steps": facts.steps}
    if detail >= Detail.SUMMARY:
        names = ("summary", "origin", "through", "systems", "drivers", "reasons", "duties", "step_texts")
        kept |= {name: getattr(facts, name) for name in names}
    return _bare(facts, **kept)


def _bare(facts: AlertFacts, **kept: Any) -> AlertFacts:
    """What every room may read, and `kept`."""
    return AlertFacts(
        kind=facts.kind,
        grade=facts.grade,
        tlp=facts.tlp,
        report_id=facts.report_id,
        ver=facts.ver,
        clock=facts.clock,
        unwitnessed=facts.unwitnessed,
        cluster=facts.cluster,
        since=facts.since,
        emergency=facts.emergency,
        drill=facts.drill,
        ordinary=facts.ordinary,
        called_here=facts.called_here,
        over=facts.over,
        disputed=facts.disputed,
        **kept,
    )


def bare(facts: AlertFacts) -> AlertFacts:
    """What may be told of any report anywhere: that there is one, and its grade."""
    return _bare(facts)


def still(facts: AlertFacts, marking: Tlp | None, ceiling: Tlp) -> AlertFacts:
    """The facts that may be said now that the report is marked `marking`; a marking that fell gives nothing back."""
    tlp = facts.tlp if marking is None else strictest(facts.tlp, marking)
    return cut(msgspec.structs.replace(facts, tlp=tlp), ceiling)


def title_of(facts: AlertFacts) -> str:
    """One line for lists, no more than the room sees."""
    line = foreign(facts.title, TITLE_BYTES) or f"{facts.tlp.label} incident, details not shown"
    return emergency_words.title(line, drill=facts.drill) if facts.emergency else line


def words(
    facts: AlertFacts, alert_id: int, mention: Sequence[str], *, answered: bool = False
) -> dict[str, Any]:
    """The message content of an alert, at most 4 KiB of plain text.

    `mention`: users whose devices ring; nobody named rings the whole room, where the bot may do that. `answered`:
    nobody is asked to acknowledge it any more.
    """
    head = headline(facts)
    if facts.kind == "test":
        paragraphs = ["If you can read this, alerts reach this room."]
    elif facts.kind == "digest":
        paragraphs = [DIGESTED]
    else:
        paragraphs = _paragraphs(facts) or ["What happened may not be shown in this room."]
    paragraphs = [*_notes(facts), *paragraphs]
    points = _points(facts)
    keys = f"{', '.join(ACKNOWLEDGE_KEYS[:-1])} or {ACKNOWLEDGE_KEYS[-1]}"
    steps = _steps(facts, None if answered else f"react with {keys}, or write !ack {alert_id}")
    body = _lines(head, paragraphs, points, steps)
    return _message(body, _html(head, paragraphs, points, steps), facts, alert_id, mention)


def plain_text(facts: AlertFacts, alert_id: int, *, answered: bool = False) -> str:
    """The same in plain text, for ways that nothing is read back from."""
    if facts.kind == "test":
        paragraphs = ["If you can read this, alerts arrive here."]
    elif facts.kind == "digest":
        paragraphs = [DIGESTED]
    else:
        paragraphs = _paragraphs(facts) or ["What happened may not be shown here."]
    paragraphs = [*_notes(facts), *paragraphs]
    steps = _steps(facts, None if answered else f"tocsin alert ack {alert_id}")
    return _lines(headline(facts), paragraphs, _points(facts), steps)


def short_words(facts: AlertFacts, alert_id: int, mention: Sequence[str]) -> dict[str, Any]:
    """The content to fall back to when the homeserver refuses the full one: no foreign text at all."""
    return words(bare(facts), alert_id, mention)


def headline(facts: AlertFacts) -> str:
    """The first line: what kind of alert, how severe, how confidential."""
    if facts.kind == "test":
        return f"🔔 {HEADLINES['test']}"
    if facts.kind == "duty":
        return f"⏳ {HEADLINES['duty'].format(clock=facts.clock)} · {facts.tlp.label}"
    if facts.kind == "emergency":
        return emergency_words.headline(
            drill=facts.drill,
            ordinary=facts.ordinary,
            over=facts.over,
            disputed=facts.disputed,
            caller=foreign(facts.caller, NAME_BYTES),
            marking=facts.tlp.label,
        )
    sign = "⚪" if facts.kind == "withdrawn" or facts.disputed else SIGNS.get(facts.grade, "🔵")
    severity = "" if facts.level is None else f" · {LEVEL_NAMES[facts.level]}, {facts.level} of 5"
    first = HEADLINES[facts.kind].format(grade=facts.grade)
    return f"{sign} {f'DISPUTED, was: {first}' if facts.disputed else first}{severity} · {facts.tlp.label}"


def foreign(text: str, most_bytes: int) -> str:
    """Text by a stranger, made harmless and cut: one line, nothing invisible, no mention, no working link."""
    line = " ".join(_visible(text[: most_bytes * 4]).split())
    line = _LINKS.sub(_broken, line.replace("@", "\uff20"))
    raw = line.encode("utf-8", "ignore")
    if len(raw) <= most_bytes:
        return raw.decode()
    return raw[: most_bytes - 3].decode("utf-8", "ignore").rstrip() + "…"


def person(name: str, most_bytes: int) -> str:
    """Who has done something here: a Matrix user as he is called in the room, anything else made harmless."""
    return name if len(name) <= most_bytes and _USER.fullmatch(name) else foreign(name, most_bytes)


def _broken(link: re.Match[str]) -> str:
    return _BROKEN.get(link[0]) or f"{link[0][:-1]}[:]"


def _visible(text: str) -> str:
    """Without control, direction and other invisible characters, and with few marks heaped on one letter."""
    kept: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in {"Zl", "Zp", "Zs", "Cc"}:
            kept.append(" ")
        elif category[0] != "C" and marks <= 3:
            kept.append(character)
    return "".join(kept)


def _paragraphs(facts: AlertFacts) -> list[str]:
    """What strangers wrote, as far as it may be read here."""
    title, summary = foreign(facts.title, TITLE_BYTES), foreign(facts.summary, SUMMARY_BYTES)
    reason = foreign(facts.call, REASON_BYTES)
    return [text for text in (title, summary, f"Because: {reason}" if reason else "") if text]


def _notes(facts: AlertFacts) -> list[str]:
    if facts.disputed and not facts.emergency:
        return [DISPUTED_NOTE]
    return emergency_words.notes(drill=facts.drill, ordinary=facts.ordinary, over=facts.over)


def _points(facts: AlertFacts) -> list[tuple[str, str]]:
    several = ((facts.drivers[:DRIVERS], DRIVER_BYTES, "; "), (facts.systems[:SYSTEMS], NAME_BYTES, "; "))
    drivers, systems = (sep.join(foreign(t, most) for t in texts) for texts, most, sep in several)
    points = [
        ("How severe", f"score {facts.score} of 100" if facts.score is not None else ""),
        ("Owed", "; ".join(facts.duties)),
        ("Why", drivers),
        ("It rings because", ", ".join(foreign(reason, SUMMARY_BYTES) for reason in facts.reasons)),
        ("System", systems),
        ("Reported by", foreign(facts.origin, NAME_BYTES)),
        (
            "Came through",
            f"{foreign(facts.through, NAME_BYTES)}, not from its author" if facts.through else "",
        ),
        ("Not yet witnessed", "only its author has signed it so far" if facts.unwitnessed else ""),
        *emergency_words.steps_text(
            [foreign(name, NAME_BYTES) for name in facts.steps[:STEPS]],
            [foreign(text, STEP_BYTES) for text in facts.step_texts[:STEPS]],
        ),
    ]
    return [(name, text) for name, text in points if text]


def _lines(
    head: str, paragraphs: Sequence[str], points: Sequence[tuple[str, str]], steps: Sequence[tuple[str, str]]
) -> str:
    told, asked = ([f"{name}: {text}" for name, text in part] for part in (points, steps))
    return "\n\n".join("\n".join(part) for part in ([head, *paragraphs], told, asked) if part)


def _steps(facts: AlertFacts, acknowledge: str | None) -> list[tuple[str, str]]:
    steps = [] if facts.over or acknowledge is None else [("Acknowledge", acknowledge)]
    if facts.kind == "duty":
        steps.append(("See what is owed", f"tocsin duty list --report {facts.report_id}"))
    if facts.emergency:
        steps += emergency_words.to_do(facts.emergency, ours=facts.called_here, over=facts.over)
    if facts.report_id is not None:
        steps.append(("Read it all", f"tocsin report show {facts.report_id}"))
    if facts.cluster:
        steps.append(("See which reports", f"tocsin cluster show {facts.cluster.partition('/')[0]}"))
    return steps


def _html(
    head: str, paragraphs: Sequence[str], points: Sequence[tuple[str, str]], steps: Sequence[tuple[str, str]]
) -> str:
    first, *rest = paragraphs
    parts = [f"<h4>{escape(head)}</h4>", f"<p><strong>{escape(first)}</strong></p>"]
    parts += [f"<p>{escape(p)}</p>" for p in rest]
    if points:
        parts.append("<ul>" + "".join(f"<li>{escape(n)}: {escape(t)}</li>" for n, t in points) + "</ul>")
    for what, how in steps:
        marked = re.sub(
            r"(!ack \d+|tocsin (?:report|cluster|emergency) (?:show|answer|stand-down) \S+"
            r"|tocsin duty list --report \S+)",
            r"<code>\1</code>",
            escape(how),
        )
        parts.append(f"<p>{escape(what)}: {marked}</p>")
    return "".join(parts)


def _message(
    body: str, html: str, facts: AlertFacts, alert_id: int, mention: Sequence[str]
) -> dict[str, Any]:
    data: dict[str, Any] = {"v": 1, "alert": alert_id, "kind": facts.kind, "grade": facts.grade}
    data |= {"report": facts.report_id, "ver": facts.ver} if facts.report_id is not None else {}
    data |= {"cluster": facts.cluster.partition("/")[0]} if facts.cluster else {}
    data |= {"emergency": facts.emergency, "drill": facts.drill} if facts.emergency else {}
    data |= {"level": facts.level, "score": facts.score} if facts.level is not None else {}
    return {
        "msgtype": "m.text",
        "body": body,
        "format": "org.matrix.custom.html",
        "formatted_body": html,
        "m.mentions": {"user_ids": list(mention[:MENTIONS])} if mention else {"room": True},
        "org.tocsin.alert": data,
    }
