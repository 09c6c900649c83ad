"""Foreign text made fit for a terminal, and times made fit for people.

Titles, names, hints and the words of errors come from other organisations: nothing of it may move the cursor,
colour the screen, set the clipboard or turn the reading direction around.
"""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}[@-~]"  # CSI
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\r\n]{0,4096}(?:\x07|\x1b\\|\x9c)"  # OSC, DCS …
    r"|\x1b[ -/]{0,16}[0-~]"  # the two-character ones
)
_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_JOINERS = frozenset("\u200c\u200d")  # needed for whole scripts and for emoji; they move nothing
_PLAIN_ASCII = re.compile(r"[ -~]*")
_HARMFUL_IN_JSON = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
    "|[\U000e0000-\U000e007f]"
)


def clean(text: object, *, lines: bool = False) -> str:
    """`text` without escape sequences, control, format and bidi characters.

    Line breaks become spaces unless `lines`, then they stay as line feeds; tabs become spaces either way.
    """
    found = str(text)
    if _PLAIN_ASCII.fullmatch(found):
        return found
    found = _BREAKS.sub("\n", _SEQUENCE.sub("", found)).replace("\t", " ")
    if not lines:
        found = found.replace("\n", " ")
    return "".join(char for char in found if char == "\n" or _shown(char))


def _shown(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape_json(document: str) -> str:
    """The same JSON with every character that could harm a terminal escaped: no datum changes."""
    return _HARMFUL_IN_JSON.sub(_escape, document)


def _escape(match: re.Match[str]) -> str:
    raw = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[at]:02x}{raw[at + 1]:02x}" for at in range(0, len(raw), 2))


def local_time(value: Any) -> str:
    """An RFC 3339 time in the reader's own zone, with its offset; what is not a time stays, cleaned."""
    if not value:
        return "-"
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return clean(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        here = moment.astimezone()
    except OverflowError:  # the first or the last hours of the calendar, from a peer that means to annoy
        return clean(value)
    offset = here.strftime("%z")
    return f"{here:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"


def utc_text(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as the schema writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
