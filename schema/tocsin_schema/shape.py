"""A small language for what a value may look like: single values here, objects and lists in `record.py`.

One description serves four readers. `passes()` compiles a test for the hot path that only says yes or no;
`explain()` says everything that is wrong with a value; `json_schema()` is the published schema and `words()`
the glossary. They agree: a value passes exactly when nothing is wrong with it.

Deliberately not here: rules that look at more than one value (they are numbered in `check.py`).
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final, Protocol

from tocsin_schema import times
from tocsin_schema.canonical import MAX_INT
from tocsin_schema.errors import BadNumber, LoneSurrogate
from tocsin_schema.finding import Finding, Unreadable, show
from tocsin_schema.ids import ID_PATTERN, UUID_PATTERN
from tocsin_schema.vocabulary import Words

Test = Callable[[Any], object]

WORD_PATTERN: Final = r"[a-z0-9][a-z0-9+._-]{0,63}"
# Control characters, and halves of characters, which UTF-8 cannot write.
control_in_line: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
control_in_lines: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]").search

# Identifiers and times recur inside a report and between reports. Both are short, so the caches stay small: there is
# one for times and one for each set of types that references may have.
_CACHE: Final = 2048

# Looking for the word that was meant is a thousand times dearer than seeing that this one is wrong.
MAX_SUGGESTIONS: Final = 20
_suggestions_left: Final[ContextVar[int | None]] = ContextVar("suggestions_left", default=None)


class Shape(Protocol):
    """What a value may look like."""

    def passes(self) -> Test:
        """A compiled test: truthy for what passes; falsy, a TypeError or a LookupError for what does not."""

    def explain(self, value: Any) -> list[Finding]:
        """Everything wrong with the value, warnings included, with paths inside of it."""

    def json_schema(self) -> dict[str, Any]:
        """The same as JSON Schema, draft 2020-12."""

    def words(self) -> str:
        """The same for people, a few words."""


def wrong_type(value: object, wanted: str, hint: str | None = None) -> list[Finding]:
    """The finding for a value of another JSON type; null has its own, and so has what JSON cannot say."""
    if value is None:
        return [Finding("null-value", "", "The value is null.", "Leave the property out; null says nothing.")]
    if isinstance(value, Unreadable):
        return [Finding(BadNumber.code, "", f"{value.said} is not a number in JSON.", BadNumber.hint)]
    return [Finding("wrong-type", "", f"This is {show(value)}, not {wanted}.", hint or f"Write {wanted}.")]


@contextmanager
def few_suggestions() -> Iterator[None]:
    """Within: `nearest` looks 20 times at most. Whoever sends ten thousand wrong words needs no hint to each."""
    before = _suggestions_left.set(MAX_SUGGESTIONS)
    try:
        yield
    finally:
        _suggestions_left.reset(before)


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be; None also when enough was suggested already."""
    if not isinstance(word, str):
        return None
    left = _suggestions_left.get()
    if left is not None:
        if left <= 0:
            return None
        _suggestions_left.set(left - 1)
    close = difflib.get_close_matches(word[:64].lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


@dataclass(frozen=True, slots=True)
class Text:
    """Text of 1 to `limit` characters without control characters; `lines` allows line breaks and tabs."""

    limit: int = 250
    lines: bool = False
    like: str = "text"

    def passes(self) -> Test:
        """See `Shape`."""
        limit = self.limit
        control = control_in_lines if self.lines else control_in_line

        def test(value: Any) -> bool:
            return (
                type(value) is str
                and 0 < len(value) <= limit
                and (value.isprintable() or control(value) is None)
                and not value.isspace()
            )

        def test_lines(value: Any) -> bool:
            return (
                type(value) is str
                and 0 < len(value) <= limit
                # Paragraphs without their breaks are mostly printable, which is quicker to see than to search.
                and (value.replace("\n", "").isprintable() or control(value) is None)
                and not value.isspace()
            )

        return test_lines if self.lines else test

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        if type(value) is not str:
            return wrong_type(value, self.like)
        found = []
        if len(value) > self.limit:
            said = f"The text has {len(value):,} characters; the limit is {self.limit:,}."
            found.append(Finding("too-long", "", said, "Shorten it; long material belongs behind a link."))
        control = (control_in_lines if self.lines else control_in_line)(value)
        if control is not None:
            found.append(control_found(control))
        if not value.strip():
            found.append(Finding("empty-text", "", "The text is empty.", "Write something or leave it out."))
        return found

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        low = r"\u0000-\u0008\u000b\u000c\u000e-\u001f" if self.lines else r"\u0000-\u001f"
        pattern = rf"^(?=[\s\S]*\S)[^{low}\u007f-\u009f]*$"
        return {"type": "string", "minLength": 1, "maxLength": self.limit, "pattern": pattern}

    def words(self) -> str:
        """See `Shape`."""
        return f"{self.like}, up to {self.limit:,} characters"


def control_found(control: re.Match[str]) -> Finding:
    """The finding for a control character, or half of a character, in a text."""
    if "\ud800" <= control[0] <= "\udfff":
        said = f"The text holds half of a character at position {control.start():,}."
        return Finding(LoneSurrogate.code, "", said, LoneSurrogate.hint)
    name = "a NUL character" if control[0] == "\0" else f"the control character U+{ord(control[0]):04X}"
    said = f"The text holds {name} at position {control.start():,}."
    return Finding("control-character", "", said, "Delete it; it often comes from pasting.")


@cache
def _matching(pattern: str) -> Test:
    """A test that remembers which texts of at most 300 characters have the pattern."""
    matches = re.compile(pattern).fullmatch

    @lru_cache(_CACHE)
    def test(value: Any) -> bool:
        if len(value) > 300 or matches(value) is None:
            raise TypeError  # not cached: what fails may be of any length
        return True

    return test


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text of one exact form. `like` says it in words, with an example."""

    pattern: str
    like: str
    limit: int = 2000
    recurring: bool = False  # few short texts come again and again, so that remembering them pays

    def passes(self) -> Test:
        """See `Shape`."""
        if self.recurring:
            return _matching(self.pattern)
        matches, limit = re.compile(self.pattern).fullmatch, self.limit
        return lambda value: type(value) is str and len(value) <= limit and matches(value)

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        if type(value) is not str:
            return wrong_type(value, self.like)
        if len(value) <= self.limit and re.fullmatch(self.pattern, value):
            return []
        return [Finding("bad-format", "", f"{show(value)} is not {self.like}.", f"Write {self.like}.")]

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {"type": "string", "maxLength": self.limit, "pattern": f"^(?:{self.pattern})$"}

    def words(self) -> str:
        """See `Shape`."""
        return self.like


@lru_cache(_CACHE)
def _is_time(value: Any) -> bool:
    if times.parse(value) is None:
        raise TypeError  # not cached: what fails may be of any length
    return True


@lru_cache(_CACHE)
def _is_exact_time(value: Any) -> bool:
    if len(value) < len("2025-03-24T10:15:00.000Z"):
        raise TypeError  # as above
    return _is_time(value)


@dataclass(frozen=True, slots=True)
class Time:
    """A STIX timestamp of a day that exists; `exact` to the millisecond, as STIX wants versions (3.6)."""

    exact: bool = False

    def passes(self) -> Test:
        """See `Shape`."""
        return _is_exact_time if self.exact else _is_time

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        if times.parse(value) is not None and not (self.exact and len(value) < 24):
            return []
        hint = "Write it as 2025-03-24T10:15:00.000Z, in UTC."
        if type(value) is not str:
            return wrong_type(value, "a time", hint)
        exactly = " to the millisecond" if self.exact else ""
        return [Finding("bad-timestamp", "", f"{show(value)} is not a time in UTC{exactly}.", hint)]

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {"type": "string", "format": "date-time", "pattern": f"^{times.TIMESTAMP_PATTERN}$"}

    def words(self) -> str:
        """See `Shape`."""
        return "time in UTC"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a list; `open_` takes other words of the same form too."""

    vocabulary: Words
    open_: bool = False

    def passes(self) -> Test:
        """See `Shape`."""
        return re.compile(WORD_PATTERN).fullmatch if self.open_ else frozenset(self.vocabulary).__contains__

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        listed = ", ".join(self.vocabulary)
        if type(value) is not str:
            return wrong_type(value, "a word", f"One of: {listed}.")
        if value in self.vocabulary or (self.open_ and re.fullmatch(WORD_PATTERN, value)):
            return []
        if not value.strip():
            return [Finding("empty-text", "", "Nothing is chosen.", f"Choose one of: {listed}.")]
        close = nearest(value, self.vocabulary)
        hint = (f"Did you mean “{close}”? " if close else "") + f"Known words: {listed}."
        if self.open_:
            said = f"{show(value)} is not a word of a-z, 0-9 and dashes."
            return [Finding("bad-format", "", said, hint)]
        return [Finding("unknown-word", "", f"{show(value)} is not a word of this list.", hint)]

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        if self.open_:
            return {"type": "string", "pattern": f"^{WORD_PATTERN}$", "examples": list(self.vocabulary)}
        return {"type": "string", "enum": list(self.vocabulary)}

    def words(self) -> str:
        """See `Shape`."""
        listed = ", ".join(f"`{word}`" for word in self.vocabulary)
        return f"{listed}{', or another word' if self.open_ else ''}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both allowed; 3.0 is none, and true is not 1."""

    low: int = 0
    high: int = MAX_INT

    def passes(self) -> Test:
        """See `Shape`."""
        low, high = self.low, self.high
        return lambda value: type(value) is int and low <= value <= high

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        bounds = "a whole number, zero or more"
        if self.high < MAX_INT:
            bounds = f"a whole number from {self.low:,} to {self.high:,}"
        if type(value) is not int:
            return wrong_type(value, bounds)
        if self.low <= value <= self.high:
            return []
        return [Finding("out-of-range", "", f"{show(value)} is out of range.", f"Write {bounds}.")]

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def words(self) -> str:
        """See `Shape`."""
        return f"whole number {self.low}-{self.high}" if self.high < MAX_INT else "whole number"


@dataclass(frozen=True, slots=True)
class Number:
    """A number, whole or decimal, from `low` to `high`, both allowed."""

    low: float
    high: float

    def passes(self) -> Test:
        """See `Shape`."""
        low, high = self.low, self.high  # the comparison is false for NaN too
        return lambda value: (type(value) is int or type(value) is float) and low <= value <= high

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        bounds = f"a number from {self.low:g} to {self.high:g}"
        if type(value) is not int and type(value) is not float:
            return wrong_type(value, bounds)
        if self.low <= value <= self.high:
            return []
        return [Finding("out-of-range", "", f"{show(value)} is out of range.", f"Write {bounds}.")]

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def words(self) -> str:
        """See `Shape`."""
        return f"number {self.low:g}-{self.high:g}"


@dataclass(frozen=True, slots=True)
class YesNo:
    """true or false."""

    def passes(self) -> Test:
        """See `Shape`."""
        return lambda value: type(value) is bool

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        return [] if type(value) is bool else wrong_type(value, "true or false")

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {"type": "boolean"}

    def words(self) -> str:
        """See `Shape`."""
        return "true / false"


@dataclass(frozen=True, slots=True)
class Ref:
    """The identifier of another object, of one of `types` (empty: of any type)."""

    types: tuple[str, ...] = ()

    def _pattern(self) -> str:
        return f"(?:{'|'.join(self.types)})--{UUID_PATTERN}" if self.types else ID_PATTERN

    def passes(self) -> Test:
        """See `Shape`."""
        return _matching(self._pattern())

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        like = f"the identifier of {' or '.join(self.types) or 'an object'}"
        hint = (
            f"It looks like {self.types[0] if self.types else 'type'}--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a."
        )
        if type(value) is not str:
            return wrong_type(value, like, hint)
        if len(value) > 300 or not re.fullmatch(ID_PATTERN, value):
            return [Finding("bad-id", "", f"{show(value, 60)} is not {like}.", hint)]
        if self.types and value.partition("--")[0] not in self.types:
            said = f"{show(value, 60)} is the identifier of another type."
            return [Finding("bad-ref-type", "", said, f"Here belongs {like}.")]
        return []

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {"type": "string", "maxLength": 300, "pattern": f"^{self._pattern()}$"}

    def words(self) -> str:
        """See `Shape`."""
        return f"identifier of {' / '.join(self.types) or 'any object'}"


@dataclass(frozen=True, slots=True)
class Present:
    """A value that is checked elsewhere."""

    like: str

    def passes(self) -> Test:
        """See `Shape`."""
        return lambda _: True

    def explain(self, value: Any) -> list[Finding]:  # noqa: ARG002 (the answer is the same for all)
        """See `Shape`."""
        return []

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {}

    def words(self) -> str:
        """See `Shape`."""
        return self.like
