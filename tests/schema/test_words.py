"""Text as it is searched: the same for what is stored and for what is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_schema.words import excerpt, fold, searchable, sought, tokens


@pytest.mark.parametrize(
    ("written", "asked"),
    [("ZÜRICH", "zurich"), ("Straße", "STRASSE"), ("ＡＩ", "ai"), ("Éléphant", "elephant"), ("ЁЛКА", "елка")],
)
def test_case_accents_and_width_make_no_difference(written, asked):
    assert fold(written) == fold(asked)


def test_scripts_without_spaces_are_searched_by_character_and_asked_for_as_a_phrase():
    assert tokens("自動運転車の事故") == list("自動運転車の事故")
    assert sought("事故 Uber") == '"事 故"  uber'
    assert sought('"事故 車"') == '" 事 故   車 "'


@given(st.text(max_size=200))
def test_folding_twice_changes_nothing_more_and_what_is_asked_stays_words_of_the_text(text):
    assert tokens(fold(text)) == tokens(text)
    assert tokens(sought(text)) == tokens(text)


def test_a_long_text_is_searched_up_to_a_limit():
    assert len(searchable("x " * 100_000)) <= 60_000


@given(st.text(max_size=300), st.lists(st.text(max_size=5), max_size=3))
def test_an_excerpt_is_one_printable_line_of_bounded_length(text, wanted):
    line = excerpt(text, wanted, 80)
    assert len(line) <= 82
    assert line.isprintable()


def test_an_excerpt_shows_the_word_that_was_looked_for():
    text = "Nothing here. " * 40 + "Then the shuttle hit a truck." + " Nothing there." * 40
    assert "shuttle hit" in excerpt(text, ["shuttle"])
    assert excerpt("\x1b[31mred\x1b[0m \u202eevil", ["red"]) == "[31mred [0m evil"
