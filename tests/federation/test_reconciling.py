"""Comparing what two nodes hold: any difference is found, however long the log, and the same costs one question."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_federation.errors import CompareRefused
from tocsin_federation.reconciling import (
    LISTED,
    MAX_LISTED,
    MAX_RANGES,
    WIDEST,
    Listed,
    Question,
    differences,
    parts,
    questions,
    read_answer,
    read_question,
    summed,
    whole,
    write_answer,
    write_question,
)


def sums(held, ranges):
    return [summed(at for at in sorted(held) if low <= at < high) for low, high in ranges]


def compare(size, sealed, taken):
    """Play the whole of it between two; what differs, and how many questions it took."""
    ranges, listed, asked = whole(size), [], 0
    while ranges:
        differing = []
        for several in questions(ranges, listed=False):
            read_question(write_question(several, listed=False))
            asked += 1
            pairs = zip(several, sums(sealed, several), sums(taken, several), strict=True)
            differing += [each for each, mine, theirs in pairs if mine != theirs]
        narrow = [each for each in differing if each[1] - each[0] <= LISTED]
        listed += narrow
        ranges = parts([each for each in differing if each not in narrow])
    found = []
    for several in questions(sorted(listed), listed=True):
        read_question(write_question(several, listed=True))
        asked += 1
        here, there = (
            {at: Listed(at=at, state=state) for low, high in several for at in held if low <= at < high}
            for held, state in ((sealed, "sealed"), (taken, "stored"))
        )
        found += differences(here, there, ours=True)
    return {each.at for each in found}, asked


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3 * WIDEST), st.data())
def test_exactly_what_differs_is_found(size, data):
    places = st.sets(st.integers(0, size - 1), max_size=40)
    sealed = data.draw(places)
    lost, more = data.draw(st.sets(st.sampled_from(sorted(sealed)))) if sealed else set(), data.draw(places)
    taken = (sealed - lost) | more
    found, _ = compare(size, sealed, taken)
    assert found == sealed ^ taken


def test_the_same_costs_one_question_a_million_places_and_one_difference_five():
    sealed = set(range(0, 1_000_000, 997))
    assert compare(1_000_000, sealed, sealed) == (set(), 1)
    found, asked = compare(1_000_000, sealed, sealed - {997})
    assert (found, asked) == ({997}, 5)


def test_the_sum_tells_places_apart():
    told = [summed([1, 2]), summed([2, 1]), summed([1]), summed([2]), summed([])]
    assert len({each.sum for each in told}) == len(told)
    assert [each.n for each in told] == [2, 2, 1, 1, 0]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b'{"listed":false,"ranges":[],"v":1}',
        b'{"listed":false,"ranges":[[1,1]],"v":1}',
        b'{"listed":false,"ranges":[[2,1]],"v":1}',
        b'{"listed":false,"ranges":[[0,2],[1,3]],"v":1}',
        b'{"listed":false,"ranges":[[0,1048577]],"v":1}',
        b'{"listed":true,"ranges":[[0,1025]],"v":1}',
        b'{"listed":false,"ranges":[[0,1]],"v":2}',
        b'{"listed":false,"ranges":[[0,9007199254740993]],"v":1}',
        b'{"ranges":[[0,1]],"listed":false,"v":1}',
        write_question([(n, n + 1) for n in range(MAX_RANGES + 1)], listed=False),
    ],
)
def test_a_question_of_another_form_is_refused(raw):
    with pytest.raises(CompareRefused):
        read_question(raw)


def test_an_answer_to_something_else_is_refused():
    summing = Question(v=1, ranges=((0, 10), (10, 20)), listed=False)
    listing = Question(v=1, ranges=((0, 10), (20, 30)), listed=True)
    one = summed([])
    assert len(read_answer(write_answer(5, [one, one]), summing).sums) == 2
    entry = Listed(at=25, state="refused", code="above-ceiling")
    assert read_answer(write_answer(5, (), [entry]), listing).entries == (entry,)
    wrong = [
        (write_answer(5, [one]), summing),
        (write_answer(5, [one, one], [entry]), summing),
        (write_answer(5, [one]), listing),
        (write_answer(5, (), [Listed(at=15, state="stored")]), listing),
        (write_answer(5, (), [entry, entry]), listing),
        (write_answer(5, (), [entry, Listed(at=1, state="stored")]), listing),
        (b"[]", summing),
    ]
    for raw, asked in wrong:
        with pytest.raises(CompareRefused):
            read_answer(raw, asked)
    assert (
        len(
            write_answer(0, (), [Listed(at=n, state="quarantined", code="x" * 64) for n in range(MAX_LISTED)])
        )
        < 2**18
    )


@pytest.mark.parametrize(
    ("author", "reader", "ours", "remedy"),
    [
        ("sealed", None, False, "fetch"),
        ("sealed", None, True, "theirs"),
        ("withheld", None, True, "none"),
        ("sealed", ("quarantined", "bad-wrap"), False, "fetch"),
        ("sealed", ("quarantined", "commitment"), True, "offer"),
        ("sealed", ("quarantined", "padding"), True, "none"),
        ("sealed", ("refused", "above-ceiling"), True, "none"),
        ("sealed", ("refused", "erased"), True, "kept-out"),
        ("sealed", ("refused", "erased"), False, "kept-out"),
        ("withheld", ("refused", "erased"), False, "kept-out"),
        (None, ("refused", "erased"), False, "none"),
        (None, ("stored", None), True, "give-back"),
        (None, ("stored", None), False, "theirs"),
        ("sealed", ("unchanged", None), True, None),
        ("withheld", ("superseded", None), True, None),
    ],
)
def test_each_difference_has_its_remedy(author, reader, ours, remedy):
    wrote = {} if author is None else {7: Listed(at=7, state=author)}
    read = {} if reader is None else {7: Listed(at=7, state=reader[0], code=reader[1])}
    found = differences(*((wrote, read) if ours else (read, wrote)), ours=ours)
    assert [each.remedy for each in found] == ([] if remedy is None else [remedy])
