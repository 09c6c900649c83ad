"""Strict canonical JSON: whatever is signed or hashed in its own right has one sequence of bytes.

The profile is a subset of RFC 8785 (JCS) and of I-JSON: objects with ASCII keys, arrays, strings that are
valid Unicode, integers of magnitude below 2^53, true, false, null; no floats; at most 32 levels. Inside it,
sorting by code point and sorting by UTF-16 unit agree, and orjson's sorted output is byte for byte what RFC
8785 demands.

Bytes that arrive are taken only when writing what they say yields the same bytes. That one comparison refuses
duplicate keys, odd numbers, escapes that need not be, spare white space and trailing bytes.
"""

from typing import Any, Generic, TypeVar

import msgspec
import orjson

from tocsin_federation.errors import CanonicalRefused

MAX_DEPTH = 32  # levels of objects and arrays
MAX_INT = 2**53 - 1  # the largest integer that every JSON reader agrees on


Message = TypeVar("Message", bound=msgspec.Struct)


class Form(Generic[Message]):
    """One kind of message, given as a msgspec Struct, and its canonical bytes (at most `max_bytes` of them).

    The Struct must forbid unknown fields, omit defaults, bound its integers below 2^53 and hold no floats:
    then its sorted encoding is RFC 8785, and decoding plus encoding again is the whole check, in about a
    microsecond.
    """

    def __init__(self, struct: type[Message], *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._decoder = msgspec.json.Decoder(struct)
        self._encoder = msgspec.json.Encoder(order="sorted")

    def encode(self, message: Message) -> bytes:
        """The message's canonical bytes. Fields made in code are not checked here."""
        return self._encoder.encode(message)

    def decode(self, raw: bytes) -> Message:
        """The message that `raw` is the canonical form of.

        Raises: CanonicalRefused `too-large`, `not-canonical`, or `wrong-form` with the parsed `value` when
        the bytes are canonical but not this kind of message: it may be of a later version.
        """
        if len(raw) > self.max_bytes:
            raise CanonicalRefused("too-large")
        try:
            message = self._decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            refusal = CanonicalRefused("wrong-form")
            refusal.value = parse_canon(raw, max_bytes=self.max_bytes)
            raise refusal from exc
        if self._encoder.encode(message) != raw:
            raise CanonicalRefused("not-canonical")
        return message


def canon(obj: object) -> bytes:
    """The canonical bytes of `obj`, made of dict, list, tuple, str, int, bool and None.

    Raises: CanonicalRefused `outside-profile` for anything else (floats, non-ASCII keys, large integers, lone
    surrogates, more than 32 levels).
    """
    _walk(obj, MAX_DEPTH)
    try:
        return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError) as exc:
        raise CanonicalRefused("outside-profile") from exc


def parse_canon(raw: bytes, *, max_bytes: int) -> Any:
    """The value that `raw` is the canonical form of.

    Raises: CanonicalRefused `too-large` beyond `max_bytes` (checked before parsing), `not-canonical` for
    whatever is not JSON, not in the profile, or not its one canonical form.
    """
    if len(raw) > max_bytes:
        raise CanonicalRefused("too-large")
    try:
        obj = orjson.loads(raw)
        again = canon(obj)
    except (orjson.JSONDecodeError, CanonicalRefused) as exc:
        raise CanonicalRefused("not-canonical") from exc
    if again != raw:
        raise CanonicalRefused("not-canonical")
    return obj


def _walk(obj: object, depth: int) -> None:
    """Refuse what orjson writes differently from RFC 8785 and what other readers read differently."""
    kind = type(obj)
    if kind is str or kind is bool or obj is None:
        return
    if kind is int:
        if -MAX_INT <= obj <= MAX_INT:  # type: ignore[operator]  # an int by the line above
            return
    elif depth > 0:
        if kind is dict:
            for key, value in obj.items():  # type: ignore[attr-defined]  # a dict
                if type(key) is not str or not key.isascii():
                    raise CanonicalRefused("outside-profile")
                _walk(value, depth - 1)
            return
        if kind is list or kind is tuple:
            for value in obj:  # type: ignore[attr-defined]  # a list or tuple
                _walk(value, depth - 1)
            return
    raise CanonicalRefused("outside-profile")
