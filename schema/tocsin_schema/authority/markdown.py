"""A filled form as Markdown (CommonMark). Foreign text is escaped: it cannot become a heading, a link or HTML."""

import re
from typing import Final

from tocsin_schema.authority.document import MISSING, Document, Entry

_ANYWHERE: Final = re.compile(r"[\\`*_{}\[\]<>#|~&!$^=]|@|:(?=//)|(?<=www)\.", re.IGNORECASE)
_AT_LINE_START: Final = re.compile(r"^(?:(\d{1,9})([.)])(?=\s|$)|()([-+]))")


def to_markdown(document: Document) -> str:
    """The document, ending with a line break."""
    parts = [f"# {escaped(document.title)}", *(f"> **{escaped(warning)}**" for warning in document.warnings)]
    parts.append("\n".join(f"- **{escaped(label)}:** {escaped(value)}" for label, value in document.head))
    for entry in document.entries:
        parts += _entry(entry)
    if document.notes:
        parts += ["## Notes", "\n".join(f"- {escaped(note)}" for note in document.notes)]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is. Line breaks stay; an empty line cannot end the paragraph."""
    lines = [_line(line) for line in text.split("\n") if line.strip()]
    return "\\\n".join(lines)


def _line(line: str) -> str:
    plain = _ANYWHERE.sub(lambda found: "\\" + found[0], " ".join(line.split()))
    return _AT_LINE_START.sub(lambda found: f"{found[1] or ''}\\{found[2] or found[4]}", plain)


def _entry(entry: Entry) -> list[str]:
    parts = [f"## {escaped(entry.heading)}", *map(escaped, entry.lines)]
    if entry.missing:
        parts.append(f"**{MISSING}:** {escaped(entry.missing)}")
    if entry.note:
        parts.append(f"*{escaped(entry.note)}*")
    return parts
