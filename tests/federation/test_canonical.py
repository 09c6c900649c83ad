import hypothesis.strategies as st
import pytest
import rfc8785
from hypothesis import given
from tests.federation.nodes import NOW, REPORT_ID

from tocsin_federation.canonical import MAX_DEPTH, MAX_INT, Form, canon, parse_canon
from tocsin_federation.errors import CanonicalRefused
from tocsin_federation.messages import Acknowledgement, write_acknowledgement

CONTENT = write_acknowledgement(REPORT_ID, 1, NOW, revoked=False)

text = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(max_codepoint=127))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_the_bytes_are_those_of_rfc_8785(value):
    assert canon(value) == rfc8785.dumps(value)


@given(values)
def test_what_is_written_is_read_back(value):
    assert parse_canon(canon(value), max_bytes=2**20) == value


@given(st.binary(max_size=40))
def test_bytes_are_either_refused_or_the_one_form_of_what_they_say(raw):
    try:
        value = parse_canon(raw, max_bytes=64)
    except CanonicalRefused:
        return
    assert rfc8785.dumps(value) == raw


@given(values, st.data())
def test_a_flipped_bit_gives_another_value_or_none(value, data):
    raw = bytearray(canon(value))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    try:
        again = parse_canon(bytes(raw), max_bytes=2**20)
    except CanonicalRefused:
        return
    assert canon(again) == raw


@pytest.mark.parametrize(
    "value",
    [1.0, -0.0, float("nan"), 2**53, -(2**53), {"é": 1}, {1: 2}, "\ud800", b"x", {"a": {1, 2}}, object()],
    ids=repr,
)
def test_what_is_outside_the_profile_is_not_written(value):
    with pytest.raises(CanonicalRefused, match="profile") as refused:
        canon({"a": [value]})
    assert refused.value.code == "outside-profile"


def test_depth_is_counted_in_levels():
    deep: list = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert parse_canon(canon(deep), max_bytes=100) == deep
    with pytest.raises(CanonicalRefused):
        canon([deep])


@pytest.mark.parametrize("depth", [33, 1_000, 1_025, 100_000])
def test_no_depth_overflows_the_stack(depth):
    with pytest.raises(CanonicalRefused) as refused:
        parse_canon(b"[" * depth + b"]" * depth, max_bytes=10**6)
    assert refused.value.code == "not-canonical"


def test_size_is_judged_before_anything_is_parsed():
    with pytest.raises(CanonicalRefused) as refused:
        parse_canon(b"\xff" * 11, max_bytes=10)
    assert refused.value.code == "too-large"


def test_the_limit_itself_is_allowed():
    assert parse_canon(b'"12345678"', max_bytes=10) == "12345678"


def test_a_form_has_its_limit_too():
    form = Form(Acknowledgement, max_bytes=len(CONTENT))
    assert form.encode(form.decode(CONTENT)) == CONTENT
    for raw in (CONTENT + b" ", b"\xff" * 200):
        with pytest.raises(CanonicalRefused) as refused:
            form.decode(raw)
        assert refused.value.code == "too-large"


def test_a_form_that_does_not_fit_hands_over_what_was_said():
    form = Form(Acknowledgement, max_bytes=100)
    with pytest.raises(CanonicalRefused) as refused:
        form.decode(b'{"v":2}')
    assert (refused.value.code, refused.value.value) == ("wrong-form", {"v": 2})
