"""The two halves of every shape agree: a value passes exactly when nothing is wrong with it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.schema.strategies import wild_values

from tocsin_schema import extension
from tocsin_schema.form import FORM
from tocsin_schema.ids import INCIDENT_EXTENSION
from tocsin_schema.objects import OBJECTS
from tocsin_schema.record import Field, ListOf, Record
from tocsin_schema.shape import Number, Pattern, Ref, Text, Time, Whole, Word, YesNo

SHAPES = {
    "text": Text(10),
    "lines": Text(10, lines=True),
    "pattern": extension.COUNTRY,
    "time": Time(),
    "word": Word({"green": "", "red": ""}),
    "open-word": Word({"green": ""}, open_=True),
    "whole": Whole(0, 5),
    "number": Number(0, 1),
    "yes-no": YesNo(),
    "ref": Ref(("identity",)),
    "any-ref": Ref(),
    "list": ListOf(Whole(0, 5), 3),
    "record": Record({"name": Field(Text(5), "", required=True), "level": Field(Whole(0, 5), "")}),
    "refusing": Record({"name": Field(Text(5), "")}, unknown="refuse"),
    "one-of": Record(
        {"url": Field(Text(), ""), "lang": Field(Text(), "")}, unknown="refuse", one_of=("url", "lang")
    ),
}
near = st.sampled_from(
    [
        "DE", "green", "abc-def", "2025-03-24T10:15:00.000Z", "2025-02-30T10:15:00Z", "2025-03-24T10:15:00",
        INCIDENT_EXTENSION, "identity--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", "line\nbreak", "x" * 11, "\u2028",
        0, 5, 6, -1, True, 1.0, 0.5, [], [1], [1, 2, 3, 4], [None], {}, {"name": "a"}, {"name": "a", "level": 9},
        {"name": "a", "colour": "red"}, {"url": "a"}, {"lang": None}, "٣", "2025-03-24T10:15:00.٣Z",
    ]
)  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
@given(value=near | wild_values)
@example(value=None)
def test_a_value_passes_exactly_when_nothing_is_wrong_with_it(name, value):
    shape = SHAPES[name]
    try:
        passed = bool(shape.passes()(value))
    except (TypeError, LookupError):
        passed = False
    wrong = shape.explain(value)
    assert passed == (wrong == [])
    assert all(finding.code and finding.message and finding.hint for finding in wrong)


@pytest.mark.parametrize("record", [FORM, *OBJECTS.values()], ids=["form", *OBJECTS])
def test_every_property_has_a_meaning_and_words(record):
    for name, field in record.fields.items():
        assert field.meaning, name
        assert field.shape.words(), name


def test_an_unknown_word_is_answered_with_the_nearest_one():
    wrong = SHAPES["word"].explain("gren")[0]
    assert "Did you mean “green”?" in wrong.hint


def test_an_unknown_property_of_a_later_profile_is_a_warning():
    found = SHAPES["record"].explain({"name": "a", "water_use": {"litres": 3}})
    assert [(one.code, one.path, one.level) for one in found] == [
        ("unknown-property", "water_use", "warning")
    ]


def test_what_is_inside_an_unknown_property_is_looked_at():
    value = {"name": "a", "water_use": {"deep": [{"x": None}], "empty": [], "text": "\x1b[2J", "big": 2**60}}
    codes = {(one.code, one.path) for one in SHAPES["record"].explain(value) if one.level == "error"}
    assert codes == {
        ("null-value", "water_use.deep[0].x"),
        ("empty-list", "water_use.empty"),
        ("control-character", "water_use.text"),
        ("bad-number", "water_use.big"),
    }


def test_a_quoted_value_is_short_and_printable():
    wrong = Pattern("a", "the letter a").explain("\x1b[31m" + "b" * 1000)[0]
    assert len(wrong.message) < 100
    assert wrong.message.isprintable()
