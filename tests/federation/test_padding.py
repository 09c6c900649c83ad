import math

import hypothesis.strategies as st
from hypothesis import given

from tocsin_federation.errors import EntryRefused
from tocsin_federation.padding import MIN_PADDED_BYTES, pad, padded_length, unpad


def padme(length):
    """From the paper: keep the leading bit and as many after it as it takes to write the exponent; round up."""
    exponent = math.floor(math.log2(length))
    last_bits = exponent - (math.floor(math.log2(exponent)) + 1)
    step = 2**last_bits
    return math.ceil(length / step) * step


def test_every_length_up_to_70_kib_is_the_papers():
    for length in range(70 * 1024 + 1):
        assert padded_length(length) == (padme(length) if length > MIN_PADDED_BYTES else MIN_PADDED_BYTES)


@given(st.integers(0, 4 * 2**20))
def test_padding_costs_little_and_leaves_few_lengths(length):
    padded = padded_length(length)
    assert padded >= max(length, MIN_PADDED_BYTES)
    if length > MIN_PADDED_BYTES:
        assert padded <= length * 1.12
    assert padded_length(padded) == padded


def test_a_megabyte_of_lengths_falls_into_few_classes():
    assert len({padded_length(n) for n in range(0, 2**20, 7)}) < 340


@given(st.binary(max_size=3000))
def test_padding_is_taken_off_again(content):
    assert unpad(pad(content)) == content


@given(st.binary(max_size=3000))
def test_noise_is_not_padding(raw):
    try:
        content = unpad(raw)
    except EntryRefused:
        return
    assert pad(content) == raw
