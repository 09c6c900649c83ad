"""A finding: one thing wrong with a report, in words that a tired person can act on."""

from typing import Literal

import msgspec

Level = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """One thing wrong, where, and what to do.

    `code` is stable kebab-case, listed in schema/README.md. `path` leads to the place:
    `incident.extensions.ai-incident.harms[0].level`; `incident` and `report` stand for
    the one object of that type, and the extensions of the profile go by their short names
    instead of their 59-character keys; empty means the whole text. A finding of level "error" keeps the
    report from being stored, a "warning" does not.
    """

    code: str
    path: str
    message: str
    hint: str
    level: Level = "error"

    def below(self, prefix: str) -> "Finding":
        """The same finding seen from a container: `prefix` and the path joined."""
        return Finding(self.code, join(prefix, self.path), self.message, self.hint, self.level)


class Unreadable(msgspec.Struct, frozen=True):
    """Stands, when a broken text is read for its findings, where JSON has no value: NaN, or a number without bounds."""

    said: str


def join(prefix: str, path: str) -> str:
    """Put two path pieces together: `a` + `b` is `a.b`, `a` + `[0]` is `a[0]`."""
    if not prefix or not path or path.startswith("["):
        return prefix + path
    return f"{prefix}.{path}"


def label(name: str) -> str:
    """The name of a property as a piece of a path: short and printable."""
    return name if len(name) <= 80 and name.isprintable() else show(name)


def show(value: object, limit: int = 40) -> str:
    """A value as a short quotation, printable and at most `limit` characters: safe on a terminal."""
    if isinstance(value, str):
        text = value if len(value) <= limit else value[: limit - 1] + "…"
        return "“" + "".join(c if c.isprintable() else "�" for c in text) + "”"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # A thousand-digit number must neither be printed nor trip the interpreter's digit limit.
        return (
            str(value)
            if isinstance(value, float) or abs(value) < 10**18
            else "a number of more than 18 digits"
        )
    if isinstance(value, Unreadable):
        return value.said
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"
