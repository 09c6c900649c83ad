import io
import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_schema.errors import ImportUnreadable
from tocsin_schema.imports.safe_yaml import MAX_BYTES, read_yaml


def read(text):
    return read_yaml(io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def test_everything_is_a_mapping_a_list_or_a_text():
    found = read("---\na: 2020-01-01\nb: [1, true, 0o17, 1:30, .inf]\nc: ~\nd:\ne: 'null'\nf: |\n  x\n  y\n")
    assert found.value == {
        "a": "2020-01-01", "b": ["1", "true", "0o17", "1:30", ".inf"], "c": None, "d": None, "e": "null", "f": "x\ny\n",
    }  # fmt: skip
    assert found.doubles == frozenset()


def test_a_byte_order_mark_and_windows_line_ends_are_read():
    assert read(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").value == {"a": "1", "b": "2"}


def test_keys_that_stand_twice_are_reported_with_their_place_and_the_first_counts():
    found = read("a: 1\nlist:\n- x: 1\n- x: 1\n  y: {z: 1, z: 2}\n  x: 2\na: 2\n")
    assert found.value == {"a": "1", "list": [{"x": "1"}, {"x": "1", "y": {"z": "1"}}]}
    assert found.doubles == {("a",), ("list", 1, "x"), ("list", 1, "y", "z")}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "alias"),
        ("a: &a\n  b: *a\n", "alias"),
        ("[" * 100_000, "deeper than 32"),
        ("a:\n" + "".join(" " * level + "- b:\n" for level in range(1, 90, 2)), "deeper than 32"),
        ("!!python/object/apply:os.system ['true']", "tag"),
        ("a: !!binary aGk=", "tag"),
        ("a: !include x", "tag"),
        ("? [a, b]\n: c\n", "a key that is no text"),
        ("~: c\n", "a key that is no text"),
        ("a: 1\n---\nb: 2\n", "several YAML documents"),
        ("a: [1\nb: 2", "not YAML in line"),
        ("a: 'x", "not YAML in line"),
        ("\tx: 1", "not YAML in line"),
        (b"a: \xff", "not UTF-8"),
        (b"\xff\xfea\x00:\x00 \x001\x00", "not UTF-8"),
        ("a: \x00", "not YAML"),
        ('a: "\\ud800"', "not YAML"),
        (b"a" * (MAX_BYTES + 1), "16 MiB"),
    ],
)
def test_what_is_hostile_is_refused_before_it_grows(text, said):
    with pytest.raises(ImportUnreadable, match=said):
        read(text)


def test_nothing_is_an_empty_document():
    assert read("").value is None
    assert read("# only a remark\n").value is None


nested = st.recursive(
    st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdefghij", min_size=1, max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(nested)
def test_what_was_written_is_read(value):
    assert read(yaml.safe_dump(value, allow_unicode=True)).value == value


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_damaged_file_is_read_or_said_to_be_unreadable(seed, changes):
    chance = random.Random(seed)
    raw = bytearray(
        b"id: X\ncase-studies:\n- id: AML.CS0001\n  name: 'a: b'\n  list: [a, {b: c}]\n  text: |\n    x\n"
    )
    for _ in range(changes):
        raw[chance.randrange(len(raw))] = chance.choice(b" :-[]{}&*!|>'\"%@`\n\t#?,\x00\xff~a")
    try:
        read(bytes(raw))
    except ImportUnreadable:
        pass
