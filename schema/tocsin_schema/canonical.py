"""Canonical JSON bytes (RFC 8785, JCS) and the strict reader.

`to_bytes` gives the one byte string of a value: what is hashed, signed and compared. orjson writes it where
its output and JCS agree; where they differ (decimals, keys beyond the Basic Multilingual Plane) a small
writer of our own does. `parse_strict` reads JSON and refuses everything that two readers could understand
differently. It proves the absence of duplicate keys by writing the value again: a compact text that comes
back byte for byte had every key once. Texts that do not come back (indented, escaped otherwise) are read by
the exact and slower way.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NoReturn

import orjson

from tocsin_schema.errors import (
    BadNumber,
    DuplicateKey,
    LoneSurrogate,
    NotJson,
    NotJsonValue,
    NotUtf8,
    SchemaError,
    TooDeep,
    TooLarge,
)
from tocsin_schema.finding import Unreadable, join, label, show

MAX_INT: Final = 2**53 - 1  # the last whole number that every JSON reader keeps exact (RFC 8785, 3.2.2.3)
MAX_DEPTH: Final = 32
MAX_BYTES: Final = 1024 * 1024
_WRITER_DEPTH: Final = 200

_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*+"?|[\[\]{}]', re.DOTALL)
_DIGITS = re.compile(rb"[0-9]{400}")
_SURE_DIGITS: Final = 20  # a whole number with more is beyond 2^53 whatever its digits are
# What the standard library says of broken JSON, in whole sentences.
_JSON_WORDS: Final = {
    "Invalid control character": "a text holds a line break or another control character; write it as \\n or \\u0000",
    "Unterminated string": "the text that begins here has no closing quotation mark",
    "Expecting property name": "the name of a property in double quotes is expected",
    "Expecting value": "a value is expected",
    "Expecting ',' delimiter": "a comma or a closing bracket is expected",
    "Expecting ':' delimiter": "a colon is expected",
    "Extra data": "something follows after the end",
    "Invalid \\escape": "a backslash is followed by a character that it cannot stand before",
    "Invalid \\uXXXX escape": "\\u is not followed by four hexadecimal digits",
    "Illegal trailing comma": "a comma stands before a closing bracket",
}


def to_bytes(obj: object) -> bytes:
    """RFC 8785 bytes of a JSON value made of dict, list, tuple, str, int, float, bool and None.

    Raises: `BadNumber` beyond ±(2^53-1) or for NaN and infinities, `LoneSurrogate`, `NotJsonValue` for any
    other type or a key that is not text, `TooDeep` beyond 200 levels.
    """
    if _orjson_agrees(obj, _WRITER_DEPTH):
        return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    out: list[str] = []
    _write(obj, out)
    return "".join(out).encode()


def _orjson_agrees(value: object, depth: int) -> bool:
    """Whether orjson's bytes for `value` are the canonical ones; raises for what has no canonical form."""
    kind = type(value)
    if kind is str:
        _check_text(value)  # type: ignore[arg-type]  # exact type compared above
        return True
    if value is None or kind is bool:
        return True
    if kind is int:
        if not -MAX_INT <= value <= MAX_INT:  # type: ignore[operator]  # exact type compared above
            raise BadNumber
        return True
    if depth == 0:
        raise TooDeep
    agrees = True
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]  # exact type compared above
            if type(key) is not str:
                raise NotJsonValue(f"An object has the key {show(key)}, which is not text.")
            if not key.isascii():
                _check_text(key)
                agrees = False
            agrees &= _orjson_agrees(item, depth - 1)
        return agrees
    if kind is list or kind is tuple:
        for item in value:  # type: ignore[attr-defined]  # exact type compared above
            agrees &= _orjson_agrees(item, depth - 1)
        return agrees
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]  # exact type compared above
            raise BadNumber
        return False
    raise NotJsonValue(f"{show(value).capitalize()} has no form in JSON.")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise LoneSurrogate from exc


def _write(value: Any, out: list[str]) -> None:
    """The canonical text of a value that `_orjson_agrees` has already looked through."""
    kind = type(value)
    if kind is dict:
        out.append("{")
        first = True
        for key in sorted(value, key=_utf16):
            out.append(("" if first else ",") + orjson.dumps(key).decode() + ":")
            first = False
            _write(value[key], out)
        out.append("}")
    elif kind is list or kind is tuple:
        out.append("[")
        for index, item in enumerate(value):
            if index:
                out.append(",")
            _write(item, out)
        out.append("]")
    elif kind is float:
        out.append(number_text(value))
    else:
        out.append(orjson.dumps(value).decode())


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")  # RFC 8785, 3.2.3: keys sort by UTF-16 code units


def number_text(value: float) -> str:
    """A finite double as ECMAScript's Number::toString writes it (RFC 8785, 3.2.2.3)."""
    if value == 0:
        return "0"  # also -0
    sign, mantissa = ("-" if value < 0 else ""), repr(abs(value))
    digits, _, exponent = mantissa.partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    # value = 0.DIGITS * 10^point
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    shown = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{shown}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def parse_strict(raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """The JSON value of `raw`, or a refusal of whatever two readers could understand differently.

    Raises: `TooLarge`, `TooDeep` (objects and lists inside each other), `NotUtf8`, `NotJson`,
    `DuplicateKey` at any depth, `LoneSurrogate`, `BadNumber` (NaN, infinity, whole numbers beyond
    ±(2^53-1)). All are `SchemaError`.
    """
    if len(raw) > max_bytes:
        raise TooLarge(f"The text has {len(raw):,} bytes; the limit is {max_bytes:,}.")
    value, proven = parse_fast(raw)
    if not proven:
        value, doubles = parse_exact(raw, max_depth=max_depth)
        if doubles:
            path, key = doubles[0]
            raise DuplicateKey(f"The key {show(key)} is there twice (in {path or 'the outermost object'}).")
    _check_values(value, max_depth)
    return value


def parse_fast(raw: bytes) -> tuple[Any, bool]:
    """Read with orjson: (value, whether the absence of duplicate keys is proven).

    (None, False) also when orjson refuses: `parse_exact` then finds out why.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None, False
    try:
        return value, orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == raw
    except orjson.JSONEncodeError:  # nested more than 254 deep: orjson reads it but does not write it
        return None, False


def parse_exact(raw: bytes, *, max_depth: int) -> tuple[Any, list[tuple[str, str]]]:
    """Read with the standard library after every check that can be made on the bytes.

    Returns the value (the last of two duplicates wins) and each duplicate as (path of its object, key).
    Raises: as `parse_strict`, apart from `DuplicateKey` and the limits on single values.
    """
    text = _decode(raw)
    check_depth(raw, max_depth)
    if _DIGITS.search(raw) is not None:
        raise BadNumber("A number has 400 digits or more.")
    seen: dict[int, tuple[dict[str, Any], list[str]]] = {}
    try:
        value = json.loads(
            text, object_pairs_hook=partial(_keep_doubles, seen), parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as exc:
        raise _not_json(exc) from exc
    return value, _locate(value, seen) if seen else []


def parse_lenient(raw: bytes, *, max_depth: int) -> tuple[Any, list[tuple[str, str]], list[SchemaError]]:
    """Read a text that `parse_exact` refused as far as it can be read: only for finding out what else is wrong.

    Returns the value, in which `Unreadable` stands for what is no number, the duplicates as `parse_exact` does, and
    what is wrong with the text as a whole. Raises: SchemaError when no value comes out.
    """
    wrong: list[SchemaError] = []
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        text = _decode(raw)
    except NotUtf8 as exc:
        wrong.append(exc)
        text = raw.decode("utf-8", "replace")
    check_depth(raw, max_depth)
    seen: dict[int, tuple[dict[str, Any], list[str]]] = {}

    def read(*, strict: bool) -> Any:
        seen.clear()
        return json.loads(
            text,
            object_pairs_hook=partial(_keep_doubles, seen),
            parse_constant=Unreadable,
            parse_int=_whole,
            parse_float=_decimal,
            strict=strict,
        )

    try:
        value = read(strict=True)
    except json.JSONDecodeError as exc:
        wrong.append(_not_json(exc))
        try:
            value = read(strict=False)
        except json.JSONDecodeError:
            raise wrong[-1] from exc
    return value, _locate(value, seen) if seen else [], wrong


def _keep_doubles(
    seen: dict[int, tuple[dict[str, Any], list[str]]], pairs: list[tuple[str, Any]]
) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        seen[id(made)] = (made, sorted(key for key, count in counts.items() if count > 1))
    return made


def _whole(digits: str) -> int | Unreadable:
    return int(digits) if len(digits) <= _SURE_DIGITS else Unreadable(f"A number of {len(digits):,} digits")


def _decimal(text: str) -> float | Unreadable:
    value = float(text)
    return value if math.isfinite(value) else Unreadable(show(text))


def _not_json(exc: json.JSONDecodeError) -> NotJson:
    what = next(
        (words for begin, words in _JSON_WORDS.items() if exc.msg.startswith(begin)), "it cannot be read"
    )
    return NotJson(f"The text is not JSON at line {exc.lineno}, column {exc.colno}: {what}.")


def _refuse_constant(name: str) -> NoReturn:
    raise BadNumber(f"{name} is not a number in JSON.")


def _decode(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise NotUtf8("The text starts with a byte order mark.")
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise NotUtf8(f"The text is not UTF-8 at byte {exc.start:,}.") from exc


def check_depth(raw: bytes, max_depth: int) -> None:
    """Count brackets outside of strings without parsing.

    Raises: `TooDeep` as soon as `max_depth` is passed.
    """
    depth = 0
    for match in _TOKEN.finditer(raw):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > max_depth:
                raise TooDeep(f"The text is nested more than {max_depth} levels deep.")
        elif token in (b"]", b"}"):
            depth -= 1


def _locate(value: Any, seen: dict[int, tuple[dict[str, Any], list[str]]]) -> list[tuple[str, str]]:
    """The paths of the objects that `parse_exact` marked (no deeper than its depth limit)."""
    found: list[tuple[str, str]] = []

    def walk(node: Any, path: str) -> None:
        if type(node) is dict:
            found.extend((path, key) for key in seen.get(id(node), (node, []))[1])
            for key, item in node.items():
                walk(item, join(path, label(key)))
        elif type(node) is list:
            for index, item in enumerate(node):
                walk(item, f"{path}[{index}]")

    walk(value, "")
    # A duplicate inside a value that a later duplicate replaced is no longer reachable; it still counts.
    return found or [("", key) for _, keys in seen.values() for key in keys]


def _check_values(value: Any, max_depth: int) -> None:
    for _, fault in faults(value, max_depth):
        raise fault


def faults(value: Any, max_depth: int, path: str = "") -> Iterable[tuple[str, SchemaError]]:
    """Every place in a parsed value that has no canonical form or lies too deep, with its path."""
    kind = type(value)
    if kind is dict or kind is list:
        if max_depth == 0:
            yield path, TooDeep()
            return
        if kind is dict:
            for key, item in value.items():
                yield from faults(key, 1, join(path, label(key)))
                yield from faults(item, max_depth - 1, join(path, label(key)))
        else:
            for index, item in enumerate(value):
                yield from faults(item, max_depth - 1, f"{path}[{index}]")
    elif kind is str:
        try:
            _check_text(value)
        except LoneSurrogate as exc:
            yield path, exc
    elif kind is int:
        if not -MAX_INT <= value <= MAX_INT:
            yield path, BadNumber()
    elif kind is Unreadable:
        yield path, BadNumber(f"{value.said} is not a number in JSON.")
    elif kind is float and not (math.isfinite(value) and _exact_enough(value)):
        yield path, BadNumber()


def _exact_enough(value: float) -> bool:
    """Whole doubles beyond 2^53 are what orjson makes of longer numbers: digits are lost already."""
    return abs(value) <= MAX_INT or not value.is_integer()
