"""An emergency in words: the screen, the list and the report of times, for people and as Markdown.

A drill says that it is one in the first line of everything. Foreign text is cleaned where it is printed; in Markdown
also of what would be markup.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tocsin_cli.commands.report_table import whence
from tocsin_cli.plain import clean, local_time, utc_text
from tocsin_cli.spans import moment_of

Found = Mapping[str, Any]
STAGES = ("stored", "rung", "acknowledged", "answered")
_STAGE_WORDS = {
    "stored": "the node stored it",
    "rung": "a room or another way took it",
    "acknowledged": "a person acknowledged",
    "answered": "it was answered",
}
_RANG = {
    "ordinary": "over the caller's limit of a day: it rang as an ordinary alert of grade I",
    "silent": "over the caller's limit of a day: it rang nobody",
    "late": "it was over, or more than a week old, when it came: it rang nobody",
}
DISPUTED = "its caller has ended the log that this was called in, and vouches for it no longer: ask them"
NODE_COLUMNS = ("who", "says", "stored", "rung", "acknowledged", "answered", "in their words")
LIST_COLUMNS = ("id", "what", "state", "from", "declared", "called", "title")


def kind(found: Found) -> str:
    """What it is, in one word."""
    return "DRILL" if found.get("drill") else "EMERGENCY"


def heading(found: Found) -> str:
    """The first line about an emergency."""
    local = ", of our own people alone" if found.get("local") else ""
    return f"{kind(found)} {state(found)}{local}"


def state(found: Found) -> str:
    """How it stands, in one word."""
    return "disputed" if found.get("disputed") else f"{found.get('state')}"


def facts(found: Found) -> list[tuple[str, object]]:
    """What it is and how it stands."""
    counts = found.get("counts") or {}
    said = [
        f"{counts.get(word, 0)} {word.replace('-', ' ')}"
        for word in ("affected", "investigating", "not-affected")
    ]
    pairs: list[tuple[str, object]] = [
        (kind(found), heading(found)),
        ("Id", found.get("id")),
        ("Title", found.get("title")),
        ("Called by", whence(found.get("caller")) + (f" ({found['by']})" if found.get("by") else "")),
        ("Because", found.get("reason")),
        ("Report", f"{found.get('report_id')} (version {found.get('ver')}, {found.get('report_state')})"),
        ("Marking", f"TLP:{str(found.get('tlp')).upper()}"),
        ("Declared", local_time(found.get("declared_at"))),
    ]
    if found.get("disputed"):
        pairs.append(("Disputed", DISPUTED))
    elif not found.get("open"):
        pairs.append(("Stood down", local_time(found.get("said_at"))))
    if found.get("rang") in _RANG:
        pairs.append(("Limit", _RANG[str(found["rang"])]))
    if found.get("alert_id") is not None:
        pairs.append(("Alert", f"{found['alert_id']}"))
    pairs += [
        (
            f"Step {nth}",
            f"{step.get('name')}" + (f": {step['description']}" if step.get("description") else ""),
        )
        for nth, step in enumerate(found.get("steps") or [], 1)
    ]
    pairs.append(("Answers", f"{', '.join(said)}, {counts.get('silent', 0)} silent"))
    return pairs


def node_rows(found: Found) -> list[list[object]]:
    """Who was called, how far it got there, so long after the declaration, and who says what."""
    declared = moment_of(found.get("declared_at"))
    return [
        [
            whence(row.get("node")) + (" (calls)" if row.get("caller") else ""),
            row.get("says") or "-",
            *(_after(declared, row.get(f"{stage}_at")) for stage in STAGES),
            row.get("text") or "",
        ]
        for row in found.get("nodes") or []
    ]


def _after(declared: datetime | None, at: object) -> str:
    moment = moment_of(at) if at else None
    if declared is None or moment is None:
        return "-"
    return f"+{seconds(max((moment - declared).total_seconds(), 0.0))}"


def list_row(item: Found) -> list[object]:
    """An emergency in the list."""
    called = "own people" if item.get("local") else item.get("called")
    if not (item.get("caller") or {}).get("ours"):
        called = "-"
    facts_ = [item.get("id"), kind(item), state(item), whence(item.get("caller"))]
    return [*facts_, local_time(item.get("declared_at")), called, item.get("title")]


# The report of times -----------------------------------------------------------------------------------------


def stage_rows(found: Found) -> list[list[object]]:
    """How long each stage took, over all that were called."""
    stages = found.get("stages") or {}
    return [
        [
            _STAGE_WORDS[stage],
            f"{stages.get(stage, {}).get('reached', 0)} of {stages.get(stage, {}).get('of', 0)}",
            seconds(stages.get(stage, {}).get("p50_s")),
            seconds(stages.get(stage, {}).get("max_s")),
            ", ".join(map(str, stages.get(stage, {}).get("missing") or [])) or "-",
        ]
        for stage in STAGES
    ]


def span_rows(found: Found, name: Callable[[object], str] = whence) -> list[list[object]]:
    """How long it took at each node, from the declaration on. `name`: how a node is called."""
    return [
        [
            name(row.get("node")),
            *(seconds(row.get(f"{stage}_s")) for stage in STAGES),
            row.get("says") or "-",
        ]
        for row in found.get("nodes") or []
    ]


STAGE_COLUMNS = ("until", "reached", "p50", "max", "who did not")
SPAN_COLUMNS = ("who", "stored", "rung", "acknowledged", "answered", "says")


def seconds(value: object) -> str:
    """A span for people; a dash for none."""
    if not isinstance(value, int | float):
        return "-"
    if value < 120:
        return f"{value:.2f} s"
    minutes, rest = divmod(int(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def markdown(found: Found) -> str:
    """The report of times as a Markdown document."""
    what = "drill" if found.get("drill") else "emergency"
    lines = [
        f"# Times of the {what}: {_md(found.get('title'))}",
        "",
        *(["**This was a DRILL. Nothing had happened.**", ""] if found.get("drill") else []),
        f"- Called by: {_md((found.get('caller') or {}).get('name'))}",
        f"- About: `{_md(found.get('report_id'))}`",
        f"- Declared: {_utc(found.get('declared_at'))}",
        f"- Stood down: {_utc(found.get('stood_down_at'))}",
        f"- Id: `{_md(found.get('id'))}`",
        "",
        "All times run from the declaration. A peer's are by its own clock, within what is possible here.",
        "",
        *_table(STAGE_COLUMNS, stage_rows(found)),
        "",
        *_table(SPAN_COLUMNS, span_rows(found, name=_name)),
        "",
    ]
    return "\n".join(lines)


def _name(node: object) -> str:
    """A node by its name, ours too: the document is read elsewhere."""
    return str(node.get("name", "?")) if isinstance(node, Mapping) else "?"


def _utc(value: object) -> str:
    moment = moment_of(value) if value else None
    return "not yet" if moment is None else utc_text(moment)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(_md(cell) for cell in cells) + " |"

    return [line(columns), "|" + "---|" * len(columns), *(line(row) for row in rows)]


def _md(value: object) -> str:
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", clean(value))
