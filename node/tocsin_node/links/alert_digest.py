"""The words of a digest: incidents that would have been too many to ring one by one. Pure.

Each has a line with its number, grade and marking, and as much of its title and origin as the place may read. The
gravest come first; of very many only the first are listed, and how many more there are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tocsin_node.links.alert_text import MENTIONS, NAME_BYTES, SIGNS, AlertFacts, foreign, title_of

LISTED = 60
TITLE_BYTES = 100
GRADES = ("I", "II", "III", "IV", "none")
SEE = "tocsin alert list --open"


def heading(incidents: Sequence[tuple[int, AlertFacts]], *, first: bool) -> str:
    """The first line: how many, of which grades."""
    counts = Counter(facts.grade for _, facts in incidents)
    grades = ", ".join(f"{counts[grade]} of grade {grade}" for grade in GRADES if counts[grade])
    sign = next((SIGNS[grade] for grade in GRADES if counts[grade] and grade in SIGNS), "🔵")
    more = "MANY ALERTS AT ONCE" if first else "STILL MANY ALERTS"
    how = "one told here" if len(incidents) == 1 else f"{len(incidents)} told together"
    return f"{sign} {more}: {how} ({grades})"


def digest_text(incidents: Sequence[tuple[int, AlertFacts]], *, first: bool, limits: str) -> str:
    """All of it as plain text. `limits`: why they were held back."""
    lines = [_line(number, facts) for number, facts in _listed(incidents)]
    return "\n".join([heading(incidents, first=first), limits, "", *lines, *_more(incidents), "", *_steps()])


def digest_words(
    incidents: Sequence[tuple[int, AlertFacts]],
    alert_id: int,
    mention: Sequence[str],
    *,
    first: bool,
    limits: str,
) -> dict[str, Any]:
    """The message content; only the first digest of a flood rings."""
    items = "".join(f"<li>{escape(_line(number, facts))}</li>" for number, facts in _listed(incidents))
    html = f"<h4>{escape(heading(incidents, first=first))}</h4><p>{escape(limits)}</p><ul>{items}</ul>"
    html += "".join(f"<p>{escape(line)}</p>" for line in (*_more(incidents), *_steps()))
    mentions: Mapping[str, Any] = {"user_ids": list(mention[:MENTIONS])} if mention else {"room": True}
    return {
        "msgtype": "m.text",
        "body": digest_text(incidents, first=first, limits=limits),
        "format": "org.matrix.custom.html",
        "formatted_body": html,
        "m.mentions": mentions if first else {},
        "org.tocsin.alert": {
            "v": 1,
            "alert": alert_id,
            "kind": "digest",
            "message": "digest",
            "held": len(incidents),
        },
    }


def _listed(incidents: Sequence[tuple[int, AlertFacts]]) -> Sequence[tuple[int, AlertFacts]]:
    return sorted(incidents, key=lambda one: (GRADES.index(one[1].grade), one[0]))[:LISTED]


def _line(number: int, facts: AlertFacts) -> str:
    title = foreign(facts.title, TITLE_BYTES) or title_of(facts)
    origin = foreign(facts.origin, NAME_BYTES)
    return " · ".join(
        [f"{number}", f"grade {facts.grade}", facts.tlp.label, title, *([origin] if origin else [])]
    )


def _more(incidents: Sequence[tuple[int, AlertFacts]]) -> list[str]:
    left = len(incidents) - LISTED
    return [f"and {left} more"] if left > 0 else []


def _steps() -> list[str]:
    return [f"See them all: {SEE}", "Acknowledge one: write !ack and its number"]
