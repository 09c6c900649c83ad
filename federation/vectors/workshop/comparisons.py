"""Vectors for the question that compares what two nodes hold of a log, and for its answer."""

from collections.abc import Iterator
from typing import Any

from tocsin_federation.reconciling import (
    MAX_LISTED,
    MAX_RANGES,
    WIDEST,
    Listed,
    summed,
    write_answer,
    write_question,
)
from workshop.case import Case

_MALFORMED = "compare-malformed"


def cases() -> Iterator[Case]:
    """All of them."""
    for name, expect, comment, question in _questions():
        yield Case("compare", name, expect, "P-225", comment, {"question": question})
    for name, expect, comment, given in _answers():
        yield Case("compare", name, expect, "P-225", comment, given)


def _questions() -> Iterator[tuple[str, str, str, bytes]]:
    good = write_question([(0, 256), (512, 768)], listed=False)
    yield "valid", "ok", "Two ranges, summed.", good
    yield "valid-widest", "ok", "A million places.", write_question([(0, WIDEST)], listed=False)
    yield "valid-listed", "ok", "A range, listed.", write_question([(7, 7 + MAX_LISTED)], listed=True)
    yield "empty", _MALFORMED, "Nothing.", b""
    yield "no-range", _MALFORMED, "About nothing.", b'{"listed":false,"ranges":[],"v":1}'
    yield "an-answer", _MALFORMED, "What a question brings.", write_answer(1, [summed([])])
    yield "another-version", _MALFORMED, "A later form.", good.replace(b'"v":1', b'"v":2')
    yield "spare-space", _MALFORMED, "Not canonical.", good + b" "
    yield "of-nothing", _MALFORMED, "An empty range.", write_question([(5, 5)], listed=False)
    yield (
        "backwards",
        _MALFORMED,
        "A range that ends before it begins.",
        write_question([(9, 5)], listed=False),
    )
    yield (
        "overlapping",
        _MALFORMED,
        "Two ranges with a place in common.",
        write_question([(0, 9), (8, 12)], listed=False),
    )
    yield (
        "wider-than-a-million",
        _MALFORMED,
        "One place too many.",
        write_question([(0, WIDEST + 1)], listed=False),
    )
    yield (
        "listed-too-wide",
        _MALFORMED,
        "More than may be listed.",
        write_question([(0, MAX_LISTED + 1)], listed=True),
    )
    many = [(n, n + 1) for n in range(MAX_RANGES + 1)]
    yield "ranges-by-the-thousand", _MALFORMED, "1,025.", write_question(many, listed=False)


def _answers() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """`held`: the places whose sums the answer gives."""
    summing = write_question([(0, 256), (512, 768)], listed=False)
    held = [3, 4, 200, 513]
    sums = [summed(held[:3]), summed(held[3:])]
    good = write_answer(900, sums)

    def given(answer: bytes, question: bytes = summing, **more: Any) -> dict[str, Any]:
        return {"question": question, "answer": answer, **more}

    yield "valid-answer", "ok", "A sum for each range.", given(good, held=held)
    nothing = write_answer(900, [summed([]), summed([])])
    yield "valid-answer-nothing", "ok", "Nothing is held.", given(nothing, held=[])
    listing = write_question([(0, 8)], listed=True)
    entries = [Listed(at=1, state="stored"), Listed(at=5, state="refused", code="above-ceiling")]
    listed = write_answer(900, entries=entries)
    yield "valid-answer-listed", "ok", "Each entry by name.", given(listed, listing)
    yield "answer-empty", _MALFORMED, "Nothing.", given(b"")
    yield "answer-cut", _MALFORMED, "A sum is missing.", given(write_answer(900, sums[:1]))
    yield (
        "answer-with-a-sum-too-many",
        _MALFORMED,
        "Three for two.",
        given(write_answer(900, [*sums, sums[0]])),
    )
    yield "answer-not-asked-for", _MALFORMED, "Sums were asked for.", given(listed)
    yield "answer-of-sums", _MALFORMED, "A list was asked for.", given(write_answer(900, sums[:1]), listing)
    beyond = write_answer(900, entries=[Listed(at=8, state="stored")])
    yield "answer-beyond", _MALFORMED, "A place that nobody asked about.", given(beyond, listing)
    back = write_answer(900, entries=entries[::-1])
    yield "answer-backwards", _MALFORMED, "5, then 1.", given(back, listing)
    unknown = listed.replace(b'"stored"', b'"eaten"')
    yield "answer-of-another-state", _MALFORMED, "No state that there is.", given(unknown, listing)
    later = good.replace(b'"v":1', b'"v":2')
    yield "answer-of-another-version", _MALFORMED, "A later form.", given(later)
