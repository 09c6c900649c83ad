import hypothesis.strategies as st
import pytest
from hypothesis import given

from tocsin_federation.errors import FramesRefused
from tocsin_federation.frames import (
    MAX_CT_BYTES,
    MAX_INDEX,
    MAX_WRAP_BYTES,
    Frame,
    FrameReader,
    encode_frame,
    encode_trailer,
)
from tocsin_federation.messages import MAX_LEAF_BYTES

small = st.binary(max_size=40)


@st.composite
def bodies(draw):
    frames, index = [], 0
    for _ in range(draw(st.integers(0, 6))):
        index += draw(st.integers(1, 5))
        frames.append(Frame(index, draw(small), draw(small), draw(small)))
    end = index + draw(st.integers(1, 5))
    raw = b"".join(encode_frame(f.idx, f.leaf, f.wrap, f.ct) for f in frames) + encode_trailer(end)
    return frames, end, raw


@given(bodies(), st.data())
def test_frames_come_out_as_they_went_in_however_the_body_is_cut(body, data):
    frames, end, raw = body
    reader, got = FrameReader(), []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        got += reader.feed(raw[:size])
        raw = raw[size:]
    assert got == frames
    assert reader.finish() == end


@given(bodies(), st.data())
def test_a_body_that_is_cut_anywhere_is_known_to_be_cut(body, data):
    frames, _, raw = body
    reader = FrameReader()
    got = reader.feed(raw[: data.draw(st.integers(0, len(raw) - 1))])
    assert got == frames[: len(got)]
    with pytest.raises(FramesRefused) as caught:
        reader.finish()
    assert caught.value.code == "frames-truncated"


@given(st.binary(max_size=200))
def test_noise_gives_a_refusal_or_frames_that_write_back_to_it(raw):
    reader = FrameReader()
    try:
        frames = reader.feed(raw)
        end = reader.finish()
    except FramesRefused:
        return
    written = b"".join(encode_frame(f.idx, f.leaf, f.wrap, f.ct) for f in frames) + encode_trailer(end)
    assert written == raw


def test_the_body_as_a_whole_has_a_limit():
    reader = FrameReader(max_body_bytes=100)
    reader.feed(encode_frame(0, bytes(1000), b"", b"")[:100])
    with pytest.raises(FramesRefused) as caught:
        reader.feed(b"x")
    assert caught.value.code == "frames-oversized"


def test_the_number_of_frames_has_a_limit():
    reader = FrameReader(max_frames=2)
    with pytest.raises(FramesRefused) as caught:
        reader.feed(b"".join(encode_frame(i, b"", b"", b"") for i in range(3)))
    assert caught.value.code == "frames-oversized"


def test_the_largest_ciphertext_passes():
    raw = encode_frame(0, b"leaf", b"wrap", bytes(MAX_CT_BYTES)) + encode_trailer(1)
    (frame,) = FrameReader().feed(raw)
    assert len(frame.ct) == MAX_CT_BYTES
    with pytest.raises(FramesRefused):
        FrameReader().feed(encode_frame(0, b"leaf", b"wrap", bytes(MAX_CT_BYTES + 1)))


def test_everything_passes_at_its_limit():
    last = MAX_INDEX
    body = encode_frame(last - 1, bytes(MAX_LEAF_BYTES), bytes(MAX_WRAP_BYTES), b"") + encode_trailer(last)
    reader = FrameReader(start=last - 1)
    (frame,) = reader.feed(body)
    assert (len(frame.leaf), len(frame.wrap), reader.finish()) == (MAX_LEAF_BYTES, MAX_WRAP_BYTES, last)
    assert len(FrameReader().feed(encode_frame(last, b"", b"", b""))) == 1


def test_a_frame_is_given_as_soon_as_it_is_whole():
    assert len(FrameReader().feed(encode_frame(0, b"leaf", b"wrap", b"ct"))) == 1


def test_a_claimed_length_is_refused_before_its_bytes_are_waited_for():
    head = encode_frame(0, b"leaf", b"wrap", b"")[:-4]
    reader = FrameReader()
    assert reader.feed(head) == []
    with pytest.raises(FramesRefused):
        reader.feed(b"\xff\xff\xff\xff")
