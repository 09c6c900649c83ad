import io
import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.measured import memory_of, seconds_of

from tocsin_schema.imports import split as module
from tocsin_schema.imports.split import MAX_PIECE, split


class Dripping(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a pipe may."""

    def __init__(self, raw: bytes, size: int) -> None:
        self._rest, self._size = raw, size

    def read(self, size: int = -1) -> bytes:
        take = min(self._size, size if size > 0 else self._size)
        given, self._rest = self._rest[:take], self._rest[take:]
        return given


def pieces(raw: bytes, size: int = 1 << 20) -> list[tuple[str, bytes]]:
    return [(piece.kind, piece.raw) for piece in split(Dripping(raw, size))]


OBJECTS = [
    {"id": n, "text": 'brackets ]}[{ and "quotes" \\ in strings', "deep": [[{"a": [n]}]]} for n in range(9)
]
FILLER = {"id": "filler", "text": "x" * 900_000}


def _large(objects) -> list:
    return [FILLER, *objects, FILLER]


def test_a_small_stream_is_one_document():
    raw = json.dumps({"type": "bundle", "objects": OBJECTS}, indent=1).encode()
    assert pieces(raw) == [("document", raw)]


def test_a_small_stream_of_lines_is_taken_apart():
    raw = b"\n".join(json.dumps(one).encode() for one in OBJECTS) + b"\n\n"
    assert [json.loads(piece) for _, piece in pieces(raw)] == OBJECTS


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("size", [7919, 65_536, 1 << 20])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_large_list_comes_out_object_by_object(indent, size, wrapped):
    value = _large(OBJECTS)
    raw = json.dumps(
        {"type": "bundle", "id": "x", "objects": value} if wrapped else value, indent=indent
    ).encode()
    found = pieces(raw, size)
    assert {kind for kind, _ in found} == {"object"}
    assert [json.loads(piece) for _, piece in found] == value


def test_large_bundles_one_after_the_other_are_read_to_the_end():
    raw = b"\n".join(
        json.dumps({"objects": _large([{"id": n}]), "type": "bundle"}, indent=1).encode() for n in range(3)
    )
    assert [json.loads(p)["id"] for _, p in pieces(raw)] == [
        "filler",
        0,
        "filler",
        "filler",
        1,
        "filler",
        "filler",
        2,
        "filler",
    ]


def test_lines_of_a_large_stream_are_taken_apart():
    lines = [json.dumps(FILLER).encode() for _ in range(4)]
    assert pieces(b"\n".join(lines), 9999) == [("document", line) for line in lines]


def test_a_piece_that_is_too_large_is_passed_over_and_the_next_is_read():
    huge = {"id": "huge", "text": "y" * (2 * MAX_PIECE)}
    listed = json.dumps([huge, {"id": 1}, huge, {"id": 2}]).encode()
    assert [(kind, json.loads(raw)["id"] if raw else None) for kind, raw in pieces(listed, 50_000)] == [
        ("too-large", None),
        ("object", 1),
        ("too-large", None),
        ("object", 2),
    ]
    lines = b"\n".join(json.dumps(one).encode() for one in (FILLER, FILLER, huge, {"id": 1}))
    assert [kind for kind, _ in pieces(lines, 50_000)] == ["document", "document", "too-large", "document"]


def test_a_stream_that_breaks_off_says_so():
    raw = json.dumps(_large(OBJECTS)).encode()[:-500_000]
    found = pieces(raw)
    assert [kind for kind, _ in found[:-1]] == ["object"] * 10
    assert found[-1][0] == "document"
    with pytest.raises(ValueError):
        json.loads(found[-1][1])


@pytest.mark.parametrize("opening", [b'[{"text":"', b'["', b'{"objects":[{"text":"\\'])
def test_a_string_without_end_takes_time_and_memory_as_its_bytes_do(opening):
    def spent(chunks: int) -> None:
        scan = module._ListScan(opening)
        for _ in range(chunks):
            scan.buffer += chunk
            list(scan.objects())

    chunk = b"x" * module._CHUNK
    short, long = (min(seconds_of(partial(spent, n)) for _ in range(2)) for n in (64, 512))
    assert long < 24 * max(short, 0.02)  # quadratic would be 64 times as long
    _, most = memory_of(partial(spent, 256))
    assert most < 6 * MAX_PIECE


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.lists(st.integers())), max_size=6),
    st.integers(1, 40),
)
def test_where_the_chunks_end_does_not_matter(objects, size):
    value = json.dumps({"objects": objects, "type": "bundle"}).encode()
    scan = module._ListScan(b"")
    found = []
    for at in range(0, len(value), size):
        scan.buffer += value[at : at + size]
        found += [json.loads(raw) for _, raw in scan.objects()]
    assert found == objects
