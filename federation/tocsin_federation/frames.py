"""The body of an `entries` answer: entries as length-prefixed frames, closed by a trailer.

    frame    0x01 ‖ index u64 ‖ leaf_len u32 ‖ leaf ‖ wrap_len u16 ‖ wrap ‖ ct_len u32 ‖ ct
    trailer  0x00 ‖ next u64                                               all big endian

The trailer says where to go on, and is how a reader tells a whole answer from one that was cut: without it
nothing of the answer counts. Every length is checked against its limit before a byte is waited for, so a
claim of 2 GiB costs nothing. What a frame holds is not judged here.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from tocsin_federation.errors import FramesRefused
from tocsin_federation.messages import MAX_LEAF_BYTES

MAX_WRAP_BYTES = 4096  # a wrap of suite 1 has 1,168; a longer one is the entry's fault, not the stream's
MAX_CT_BYTES = 1_081_360  # 1 MiB of content after padding, and the tag
MAX_FRAMES = 512
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_INDEX = 2**53 - 1

_ENTRY: Final = 1
_TRAILER: Final = 0
_HEAD = Struct(">BQI")  # kind, index, leaf_len
_WRAP_LEN = Struct(">H")
_CT_LEN = Struct(">I")
_END = Struct(">BQ")  # kind, next


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry as served to one recipient. `idx`: its place in the log."""

    idx: int
    leaf: bytes = field(repr=False)
    wrap: bytes = field(repr=False)
    ct: bytes = field(repr=False)


def encode_frame(idx: int, leaf: bytes, wrap: bytes, ct: bytes) -> bytes:
    """The frame's bytes. Lengths are the caller's word: what `seal` made fits."""
    return b"".join(
        (
            _HEAD.pack(_ENTRY, idx, len(leaf)),
            leaf,
            _WRAP_LEN.pack(len(wrap)),
            wrap,
            _CT_LEN.pack(len(ct)),
            ct,
        )
    )


def encode_trailer(next_index: int) -> bytes:
    """The trailer's bytes. `next_index`: all before it was served or is not the reader's to see."""
    return _END.pack(_TRAILER, next_index)


class FrameReader:
    """Takes the body as it arrives, in pieces of any size, and gives frames as they become whole.

    `start`: the index that was asked for; no frame may stand before it. After any refusal the reader is
    spent.
    """

    def __init__(
        self, *, start: int = 0, max_frames: int = MAX_FRAMES, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._buffer = bytearray()
        self._at = 0  # read up to here
        self._least = start  # the smallest index that may come
        self._frames_left = max_frames
        self._bytes_left = max_body_bytes
        self._next: int | None = None

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that `piece` completes, in order.

        Raises: FramesRefused `frames-oversized`, `frames-malformed`, `frames-disordered`, `frames-trailing`.
        """
        self._bytes_left -= len(piece)
        if self._bytes_left < 0:
            raise FramesRefused("frames-oversized")
        self._buffer += piece
        frames: list[Frame] = []
        while (frame := self._frame()) is not None:
            frames.append(frame)
        if self._next is not None and self._at < len(self._buffer):
            raise FramesRefused("frames-trailing")
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        return frames

    def finish(self) -> int:
        """The index to ask for next, once the whole body was fed.

        Raises: FramesRefused `frames-truncated`.
        """
        if self._next is None:
            raise FramesRefused("frames-truncated")
        return self._next

    def _frame(self) -> Frame | None:
        buffer, at = self._buffer, self._at
        if at == len(buffer) or self._next is not None:
            return None
        if buffer[at] == _TRAILER:
            self._trailer()
            return None
        if buffer[at] != _ENTRY:
            raise FramesRefused("frames-malformed")
        if len(buffer) - at < _HEAD.size:
            return None
        _, idx, leaf_len = _HEAD.unpack_from(buffer, at)
        self._admit(idx, leaf_len)
        wrap_at = at + _HEAD.size + leaf_len + _WRAP_LEN.size
        if len(buffer) < wrap_at:
            return None
        (wrap_len,) = _WRAP_LEN.unpack_from(buffer, wrap_at - _WRAP_LEN.size)
        ct_at = wrap_at + wrap_len + _CT_LEN.size
        if wrap_len > MAX_WRAP_BYTES:
            raise FramesRefused("frames-oversized")
        if len(buffer) < ct_at:
            return None
        (ct_len,) = _CT_LEN.unpack_from(buffer, ct_at - _CT_LEN.size)
        if ct_len > MAX_CT_BYTES:
            raise FramesRefused("frames-oversized")
        if len(buffer) < ct_at + ct_len:
            return None
        leaf_at = at + _HEAD.size
        with memoryview(buffer) as view:  # one copy each; released so that the buffer can shrink
            frame = Frame(
                idx,
                bytes(view[leaf_at : leaf_at + leaf_len]),
                bytes(view[wrap_at : wrap_at + wrap_len]),
                bytes(view[ct_at : ct_at + ct_len]),
            )
        self._at, self._least = ct_at + ct_len, idx + 1
        self._frames_left -= 1
        return frame

    def _admit(self, idx: int, leaf_len: int) -> None:
        if leaf_len > MAX_LEAF_BYTES or self._frames_left == 0:
            raise FramesRefused("frames-oversized")
        if idx > MAX_INDEX:
            raise FramesRefused("frames-malformed")
        if idx < self._least:
            raise FramesRefused("frames-disordered")

    def _trailer(self) -> None:
        if len(self._buffer) - self._at < _END.size:
            return
        _, next_index = _END.unpack_from(self._buffer, self._at)
        if next_index > MAX_INDEX:
            raise FramesRefused("frames-malformed")
        if next_index < self._least:
            raise FramesRefused("frames-disordered")
        self._at += _END.size
        self._next = next_index
