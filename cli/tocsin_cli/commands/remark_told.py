"""How remarks are told to a person: who says what about a report, when, and in which words."""

from collections.abc import Mapping
from typing import Any

from tocsin_cli.plain import local_time

_VERBS = {
    "affected": "is affected",
    "not-affected": "is not affected",
    "investigating": "is investigating",
    "strongly-agree": "strongly agrees",
    "agree": "agrees",
    "neutral": "cannot say",
    "disagree": "disagrees",
    "strongly-disagree": "strongly disagrees",
}


def remark_lines(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The remarks in an answer about a report, one a line: who says what, when, in which words."""
    origin = found.get("origin") or {}
    author = None if origin.get("ours") or origin.get("imported") else origin.get("name")
    remarks = [one for one in found.get("remarks") or [] if isinstance(one, Mapping)]
    return [("Remark", _line(one) + _untold(one, author)) for one in remarks]


def _line(one: Mapping[str, Any]) -> str:
    text = f": {one['text']}" if one.get("text") else ""
    return f"{who(one)} {says(one)}, {local_time(one.get('modified'))}{text}"


def _untold(one: Mapping[str, Any], author: str | None) -> str:
    """What we said of a copy before its author's own report came, or while the author could not be told."""
    ours = (one.get("by") or {}).get("ours")
    if author is None or not ours or one.get("revoked") or one.get("to") or "to" not in one:
        return ""
    return f" ({author} was not told: say it again)"


def who(one: Mapping[str, Any]) -> str:
    """Whose remark it is."""
    by = one.get("by") or {}
    name = str(by.get("name", "?"))
    return f"{name} (us)" if by.get("ours") else name


def says(one: Mapping[str, Any]) -> str:
    """What it says, as the rest of a sentence."""
    word = str(one.get("said") or "")
    what = _VERBS.get(word, word) or "has said something"
    if one.get("kind") == "sighting":
        count = one.get("count", "?")
        what = f"has seen it {'once' if count == 1 else f'{count} times'}"
        seen = [one.get("first_seen"), one.get("last_seen")]
        told = [f"{word} {local_time(at)}" for word, at in zip(("from", "to"), seen, strict=True) if at]
        what = " ".join([what, *told])
    if one.get("disputed"):
        return f"{what} (disputed by its author)"
    return f"{what} (taken back)" if one.get("revoked") else what
