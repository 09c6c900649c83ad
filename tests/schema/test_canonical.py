import itertools
import json
import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from tests.schema.strategies import json_values, wild_values

from tocsin_schema import canonical
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


@given(json_values)
def test_bytes_are_those_of_another_implementation(value):
    assert canonical.to_bytes(value) == rfc8785.dumps(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_as_ecmascript_writes_them(value):
    assert canonical.number_text(value).encode() == rfc8785.dumps(value)


def test_large_doubles_are_written_and_not_read_back():
    assert canonical.to_bytes(1e20) == b"100000000000000000000"
    assert canonical.to_bytes(1e21) == b"1e+21"
    with pytest.raises(BadNumber):
        canonical.parse_strict(b"100000000000000000000")


@given(json_values)
def test_canonical_bytes_are_read_back_and_written_the_same(value):
    raw = canonical.to_bytes(value)
    assert canonical.to_bytes(canonical.parse_strict(raw)) == raw


@given(json_values, st.sampled_from([None, 0, 3]))
def test_reading_does_not_depend_on_spacing_or_escapes(value, indent):
    loose = json.dumps(value, indent=indent, ensure_ascii=True).encode()
    assert canonical.to_bytes(canonical.parse_strict(loose)) == canonical.to_bytes(value)


def _outcome(call, *args):
    """What the call gives, and how it was refused."""
    try:
        return call(*args), None
    except SchemaError as exc:
        return None, exc


@given(wild_values)
def test_whatever_has_no_canonical_form_is_refused_with_a_reason(value):
    raw, refusal = _outcome(canonical.to_bytes, value)
    if refusal is None:
        assert raw == rfc8785.dumps(value)
    else:
        assert refusal.code in {"bad-number", "lone-surrogate", "too-deep"}
        assert refusal.hint


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_a_code(raw):
    value, refusal = _outcome(canonical.parse_strict, raw)
    if refusal is None:
        assert json.loads(raw) == value
    else:
        assert refusal.code
        assert refusal.hint


def test_keys_sort_by_utf16_code_units():
    # U+1F600 is two code units from 0xD83D on, so it comes before U+FFFD although its code point is higher.
    assert canonical.to_bytes({"\ufffd": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufffd":1}'.encode()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**53, BadNumber),
        (-(2**53), BadNumber),
        (math.nan, BadNumber),
        ([math.inf], BadNumber),
        ({"a": "\ud800"}, LoneSurrogate),
        ({"\udfff": 1}, LoneSurrogate),
        ({1: "a"}, NotJsonValue),
        ({"a": {1, 2}}, NotJsonValue),
        (b"bytes", NotJsonValue),
    ],
)
def test_no_bytes_are_made_of(value, error):
    with pytest.raises(error):
        canonical.to_bytes(value)


def test_a_structure_that_contains_itself_is_too_deep():
    loop: list = []
    loop.append(loop)
    with pytest.raises(TooDeep):
        canonical.to_bytes(loop)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b'{"a":1,"a":1}', DuplicateKey),
        (b'{"a":1,"\\u0061":2}', DuplicateKey),
        (b'[[[{"b":{"a":1, "a":2}}]]]', DuplicateKey),
        (b'{"a":{"x":1,"x":2},"a":3}', DuplicateKey),
        (b'"\\ud800"', LoneSurrogate),
        (b'{"\\udc00":1}', LoneSurrogate),
        (b"\xed\xa0\x80", NotUtf8),
        (b'"\xff"', NotUtf8),
        (b'\xef\xbb\xbf{"a":1}', NotUtf8),
        (b"NaN", BadNumber),
        (b"[-Infinity]", BadNumber),
        (b"1e400", BadNumber),
        (b"9007199254740992", BadNumber),
        (b"[123456789012345678901234567890]", BadNumber),
        (b"[" + b"9" * 5000 + b"]", BadNumber),
        (b"", NotJson),
        (b"{", NotJson),
        (b"[1,]", NotJson),
        (b"{'a':1}", NotJson),
        (b"[1] [2]", NotJson),
        (b'"a\x00b"', NotJson),
        (b"[" * 33 + b"]" * 33, TooDeep),
        (b"[" * 100_000, TooDeep),
        (b'{"a":' * 50_000, TooDeep),
        (b'"' + b"x" * canonical.MAX_BYTES + b'"', TooLarge),
    ],
    ids=itertools.count(),
)
def test_what_two_readers_could_understand_differently_is_refused(raw, error):
    with pytest.raises(error):
        canonical.parse_strict(raw)


def test_the_deepest_and_the_largest_allowed_are_read():
    assert canonical.parse_strict(b"[" * 32 + b"]" * 32)
    body = b'"' + b"x" * (canonical.MAX_BYTES - 2) + b'"'
    assert len(canonical.parse_strict(body)) == canonical.MAX_BYTES - 2


def test_brackets_inside_of_strings_are_not_depth():
    raw = json.dumps(["[" * 500, '\\"[{' * 100], indent=1).encode()
    assert canonical.parse_strict(raw)[0] == "[" * 500


def test_a_duplicate_is_named_with_its_place():
    _, doubles = canonical.parse_exact(b'{"a":[{"b":1,"b":2}],"c":{"d":1,"d":1}}', max_depth=9)
    assert doubles == [("a[0]", "b"), ("c", "d")]
