"""A receipt says what it was made from, owes nobody an answer, and counts only about what went to its sender."""

import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_federation.errors import EntryRefused
from tocsin_federation.messages import KINDS
from tocsin_federation.receipt import (
    MAX_ITEMS,
    RECEIPT,
    Told,
    about,
    ours,
    owed,
    read_receipt,
    write_receipt,
)

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANSWERS = {"ack", "answer", "receipt"}
ID = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"


def test_the_last_word_about_a_state_is_what_is_written():
    entry = os.urandom(32)
    first = Told(entry, "quarantined", AT, "unsupported")
    receipt = read_receipt(write_receipt([first, Told(entry, "quarantined", AT, "padding")]))
    assert [(item.state, item.code) for item in receipt.items] == [("quarantined", "padding")]


def test_the_largest_receipt_is_within_its_limit():
    told = [Told(os.urandom(32), "quarantined", AT, "a" * 64) for _ in range(MAX_ITEMS)]
    assert len(read_receipt(write_receipt(told)).items) == MAX_ITEMS


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_only_what_answers_nothing_is_owed_a_receipt(kind):
    assert owed(f'{{"t":"{kind}"}}'.encode()) == (kind not in ANSWERS)


def test_a_kind_of_a_later_version_is_owed_one():
    assert owed(b'{"t":"decree"}')


@given(st.binary(max_size=200))
def test_noise_is_owed_one_and_is_about_nothing(noise):
    owed(noise)
    assert about(noise)[0] is None
    with pytest.raises(EntryRefused):
        read_receipt(noise)


def test_a_header_tells_what_it_is_about_before_it_is_checked():
    assert about(f'{{"id":"{ID}","t":"decree","ver":3}}'.encode()) == (ID, 3)
    assert about(f'{{"id":"{ID}","t":"decree","ver":-3}}'.encode()) == (ID, None)
    assert about(b'{"id":"receipt--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a","t":"receipt","ver":1}') == (
        None,
        None,
    )


def test_items_about_what_never_went_to_the_sender_are_passed_over():
    mine, other = os.urandom(32), os.urandom(32)
    receipt = RECEIPT.decode(write_receipt([Told(other, "stored", AT), Told(mine, "stored", AT)]))
    assert [item.entry for item in ours(receipt, {mine})] == [mine]
    with pytest.raises(EntryRefused, match="not ours"):
        ours(receipt, set())
