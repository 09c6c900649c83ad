"""One vector: what is given, which check it is given to, and what the check must answer."""

import base64
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import shake_256
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One vector. `name` is the attack; `expect` is "ok" or the one code that must be raised."""

    check: str
    name: str
    expect: str
    rule: str
    comment: str
    given: dict[str, Any] = field(repr=False)

    def path(self, folder: Path) -> Path:
        """Where it is kept."""
        return folder / self.check / f"{self.name}.json"

    def text(self) -> str:
        """The file's content."""
        document = {
            "check": self.check,
            "expect": self.expect,
            "rule": self.rule,
            "comment": self.comment,
            "given": _plain(self.given),
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


Row = tuple[str, str, str, str, dict[str, Any]]  # name, expect, rule, comment, given


def of(check: str, *rows: Iterable[Row]) -> Iterator[Case]:
    """The rows as vectors of one check."""
    for name, expect, rule, comment, given in itertools.chain(*rows):
        yield Case(check, name, expect, rule, comment, given)


class Dice:
    """Bytes that look random and are the same each time: SHAKE-256 over a label and a count."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._count = 0

    def __call__(self, length: int) -> bytes:
        """The next `length` bytes."""
        self._count += 1
        return shake_256(f"tocsin vectors {self._label} {self._count}".encode()).digest(length)


def _plain(value: object) -> Any:
    """Bytes become {"utf8": …} where that shows them as they are, else {"base64": …}; times become ISO 8601."""
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _bytes(value: bytes) -> dict[str, str]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    if value and all(c.isprintable() or c == "\n" for c in text):
        return {"utf8": text}
    return {"base64": base64.b64encode(value).decode()}
