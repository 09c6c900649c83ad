"""A text that JSON readers refuse has all its findings too: what is wrong with the text, and with what it says."""

import json

import pytest
from tests.schema.samples import MINIMAL_RAW

from tocsin_schema.canonical import parse_exact, parse_lenient
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import NotJson, SchemaError


def told(raw):
    checked = check_bundle(raw)
    assert checked.report is None
    return {(finding.code, finding.path) for finding in checked.findings}


def test_a_bad_number_a_double_key_a_nul_and_an_unknown_word_are_named_together():
    raw = MINIMAL_RAW.replace(b'"criticality":15', b'"criticality":NaN,"confidence":1e999')
    raw = raw.replace(b'"tlp_2_0":"green"', b'"tlp_2_0":"clear","tlp_2_0":"green"')
    raw = raw.replace(b"gave a dangerous dose", b"gave a\x00 dangerous \\ud800 dose")
    raw = raw.replace(b'"realization":"', b'"realization":"x-')
    found = told(raw)
    codes = {code for code, _ in found}
    assert {"bad-number", "duplicate-key", "not-json", "control-character", "unknown-word"} <= codes, found
    places = {path for code, path in found if code == "bad-number"}
    assert {path.rpartition(".")[2] for path in places} == {"criticality", "confidence"}
    assert all(path.startswith("incident.") for path in places)


def test_a_byte_that_is_not_utf_8_hides_nothing_else():
    raw = MINIMAL_RAW.replace(b"dangerous", b"danger\xffous").replace(
        b'"criticality":15', b'"criticality":-Infinity'
    )
    found = told(raw)
    assert ("not-utf8", "") in found
    assert [path for code, path in found if code == "bad-number" and path.endswith("criticality")]


def places_of(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_of(item, (*path, key))


ROOT = json.loads(MINIMAL_RAW)


@pytest.mark.parametrize("place", list(places_of(ROOT)), ids=str)
def test_wherever_something_is_no_number_the_report_is_refused_with_the_place(place):
    holder = {"root": json.loads(MINIMAL_RAW)}
    inner, last = holder, "root"
    for key in place:
        inner, last = inner[last], key
    inner[last] = float("nan")
    found = check_bundle(json.dumps(holder["root"]).encode())
    assert found.report is None
    assert [finding for finding in found.findings if finding.code == "bad-number"]


@pytest.mark.parametrize("digits", [400, 5000])
def test_digits_without_end_are_named_with_their_place(digits):
    found = told(MINIMAL_RAW.replace(b'"criticality":15', b'"criticality":' + b"9" * digits))
    assert [path for code, path in found if code == "bad-number" and path.endswith("criticality")]


def test_what_was_refused_stays_refused_though_no_place_is_found():
    raw = MINIMAL_RAW.replace(b'"type":"bundle"', b'"type": "bundle"').replace(
        b'"realization"', b'"x_digits":"' + b"7" * 450 + b'","realization"'
    )
    with pytest.raises(SchemaError):
        parse_exact(raw, max_depth=32)
    value, doubles, wrong = parse_lenient(raw, max_depth=32)
    assert (doubles, wrong) == ([], [])
    assert isinstance(value, dict)
    assert ("bad-number", "") in told(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a": "x\ny"}', "line 1, column 9: a text holds a line break"),
        (b'{"a": 1', "a comma or a closing bracket is expected."),
        (b'{"a" 1}', "a colon is expected."),
        (b"{a: 1}", "the name of a property in double quotes is expected."),
        (b'{"a": }', "a value is expected."),
        (b'{"a": 1} x', "something follows after the end."),
        (b'{"a": "x', "has no closing quotation mark."),
        (b'{"a": "\\x"}', "a backslash is followed by"),
        (b'{"a": "\\u12"}', "four hexadecimal digits"),
    ],
)
def test_broken_json_is_explained_in_whole_sentences(raw, words):
    with pytest.raises(NotJson) as refused:
        parse_exact(raw, max_depth=32)
    assert words in str(refused.value)
    assert not str(refused.value).endswith(" at.")
