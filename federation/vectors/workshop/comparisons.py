"""Vectors for the question that compares what two nodes hold of a log."""

from collections.abc import Iterator

from tocsin_federation.reconciling import MAX_LISTED, MAX_RANGES, WIDEST, summed, write_answer, write_question
from workshop.case import Case

_MALFORMED = "compare-malformed"


def cases() -> Iterator[Case]:
    """All of them."""
    for name, expect, comment, question in _questions():
        yield Case("compare", name, expect, "P-225", comment, {"question": question})


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
