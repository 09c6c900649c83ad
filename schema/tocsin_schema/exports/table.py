"""CSV (RFC 4180): one row a report under a fixed header, for spreadsheets.

UTF-8 without a byte order mark, CRLF between rows. A spreadsheet runs a cell that begins with one of
= + - @ or their full-width forms, a tab or a line break as a formula; such a cell gets an apostrophe in
front, which spreadsheets hide.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tocsin_schema.exports import content, flat
from tocsin_schema.exports.plain import shown
from tocsin_schema.extension import QUANTITIES
from tocsin_schema.report import IncidentReport

LOSSES: Final = (
    "Everything that JSON Lines loses.",
    (
        "Lists are one cell, their items joined by “; ”; of harms, actions, classifications and sources the essentials"
        " are there."
    ),
    "A cell that a spreadsheet would run as a formula begins with an apostrophe that is not part of the text.",
    "Hidden characters, such as those that turn the reading direction, are named: [U+202E].",
    "A cell ends after 32,000 characters, since spreadsheets cut it there; what was cut ends in “…”.",
)

MAX_CELL: Final = 32_000  # spreadsheets take 32,767
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")  # noqa: RUF001 (full-width on purpose)
_HIDDEN_KEYS: Final = ("quantities", "evidence", "severity_override")
HEADER: Final = (
    *(key for key in flat.KEYS if key not in _HIDDEN_KEYS),
    *QUANTITIES.fields,
    "evidence",
    "severity_override",
)


def write(reports: Iterable[IncidentReport]) -> Iterator[bytes]:
    """The header, then a row for each report."""
    yield _row(HEADER)
    for report in reports:
        values = flat.record(content.read(report))
        values.update(values.pop("quantities", {}))
        yield _row([cell(_text(key, values[key])) if key in values else "" for key in HEADER])


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()


def cell(text: str) -> str:
    """A text that no spreadsheet runs, hides or cuts."""
    safe = shown(text)
    if safe.startswith(_FORMULA):
        safe = "'" + safe
    return safe if len(safe) <= MAX_CELL else safe[: MAX_CELL - 1] + "…"


def _text(key: str, value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_item(key, one) for one in value)
    return _item(key, value)


def _item(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _SHORT.get(key, _pairs)(value)
    return str(value)


def _pairs(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_text(name, one)}" for name, one in value.items())


def _words(*names: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda value: " ".join(_text(name, value[name]) for name in names if name in value)


def _harm(harm: Mapping[str, Any]) -> str:
    said = [str(harm["harm_type"])]
    said += [f"level {harm['level']}"] if "level" in harm else []
    said += ["" if harm["materialised"] else "not materialised"] if "materialised" in harm else []
    said += [str(harm["reversibility"])] if "reversibility" in harm else []
    return ", ".join(filter(None, said))


_SHORT: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "systems": _words("vendor", "name", "version"),
    **dict.fromkeys(flat.PARTIES, _words("name")),
    "harms": _harm,
    "economic_loss": _words("amount", "currency"),
    "classifications": _words("scheme", "code", "label"),
    "actions_taken": _words("at", "kind", "text"),
    "sources": _words("name", "url", "id"),
    "source_record": _words("source", "id", "url", "license"),
    "evidence": _words("kind", "sha256"),
    "severity_override": _words("by_ref", "at", "reason"),
    "cvss": _words("base_score", "vector"),
}
