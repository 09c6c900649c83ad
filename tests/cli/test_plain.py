import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_cli.output import json_text
from tocsin_cli.plain import clean, escape_json, local_time, utc_text

hostile = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\x1b\x9b\x9d\x07\x00\x7f[]PX^_;m\u202e\u2066\u200f\ufeff\u2028\u00ad\U000e0041\ud800"
        ),
    )
)
HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(hostile, st.booleans())
def test_foreign_text_never_emits_a_control_format_or_escape_character(text, lines):
    shown = clean(text, lines=lines)
    bad = [char for char in shown if unicodedata.category(char) in HARMFUL and char not in "\u200c\u200d"]
    assert [char for char in bad if not (lines and char == "\n")] == []
    shown.encode("utf-8")


@given(hostile)
def test_cleaning_twice_is_cleaning_once(text):
    assert clean(clean(text, lines=True), lines=True) == clean(text, lines=True)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_people_write_stays_as_it_is(text):
    assert clean(text) == text


def test_whole_escape_sequences_go_and_their_neighbours_stay():
    assert clean("a\x1b[31mred\x1b[0m b") == "ared b"
    assert clean("x\x1b]0;title\x07y") == "xy"
    assert clean("x\x1b]52;c;aGk=\x1b\\y") == "xy"
    assert clean("up\x9b2Jdown") == "updown"
    assert clean("a\x1b]0;never ends") == "a0;never ends"
    assert clean("evil\u202etxt.exe") == "eviltxt.exe"
    assert clean("two\r\nlines\tand") == "two lines and"
    assert clean("two\r\nlines", lines=True) == "two\nlines"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | hostile,
        lambda c: st.lists(c) | st.dictionaries(hostile, c),
    )
)
def test_json_for_a_terminal_means_the_same_and_holds_nothing_harmful(value):
    text = json_text(value)
    assert json.loads(text) == value
    assert not [char for char in text if unicodedata.category(char) in {"Cc", "Cs"} and char != "\n"]
    assert not set("\u202a\u202e\u2066\u2069\u200e\u200f\u061c\ufeff\u2028\x9b") & set(text)
    assert escape_json(text) == text


@pytest.mark.usefixtures("vienna")
def test_times_are_told_in_the_local_zone_with_the_offset():
    assert local_time("2026-07-01T10:00:00.000Z") == "2026-07-01 12:00:00 +02:00"
    assert local_time("2026-12-01T10:00:00Z") == "2026-12-01 11:00:00 +01:00"
    assert local_time(None) == "-"
    assert local_time("no\x1b[2Jtime") == "notime"
    assert local_time("9999-12-31T23:59:59.999Z") == "9999-12-31T23:59:59.999Z"


def test_utc_text_cuts_to_milliseconds():
    from datetime import UTC, datetime, timedelta, timezone

    assert utc_text(datetime(2026, 1, 2, 3, 4, 5, 678999, tzinfo=UTC)) == "2026-01-02T03:04:05.678Z"
    assert (
        utc_text(datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2))))
        == "2026-01-02T01:04:00.000Z"
    )
