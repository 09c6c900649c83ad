"""Following another node's log: what a reader believes of it, and when it stops.

Pure steps, in the order of a round. `look`: may the signed head stand after what was verified? `tiles`: which leaf
hashes are missing. `grow`: do they give the signed root? `within`: which frames of an answer belong to what was
verified. The caller asks, keeps what `grow` returns before it acts on it, and moves its cursor in one step with the
outcomes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tocsin_federation.checkpoint import Checkpoint
from tocsin_federation.errors import FramesRefused, LogBroken
from tocsin_federation.frames import Frame
from tocsin_federation.merkle import HASH_BYTES, TILE_WIDTH, Frontier, past_proof, root_of

MAX_GROWTH = 1_000_000  # leaves in one step; a claim beyond it is not a log but an attack


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile to fetch: its number, its width, and how many of its first hashes are known already."""

    index: int
    width: int
    known: int


def look(size: int, frontier: bytes, head: Checkpoint) -> None:
    """Return when a log that was verified up to `size`, with `frontier` over it, may now have `head`.

    Raises: LogBroken `log-rollback`, `log-fork`, `log-growth` [P-46].
    """
    if head.size < size:
        raise LogBroken("log-rollback")
    if head.size == size and head.root != Frontier.from_bytes(frontier).root():
        raise LogBroken("log-fork")
    if head.size - size > MAX_GROWTH:
        raise LogBroken("log-growth")


def tiles(size: int, head: Checkpoint) -> Iterator[Tile]:
    """The tiles that hold the leaf hashes from `size` up to the head, in order."""
    for index in range(size // TILE_WIDTH, -(-head.size // TILE_WIDTH)):
        width = min(TILE_WIDTH, head.size - index * TILE_WIDTH)
        yield Tile(index, width, max(0, size - index * TILE_WIDTH))


def new_leaves(tile: Tile, body: bytes) -> list[bytes]:
    """The leaf hashes of a fetched tile that were not known. `body`: 32 bytes each, as many as its width."""
    return [body[HASH_BYTES * i : HASH_BYTES * (i + 1)] for i in range(tile.known, tile.width)]


def grow(frontier: bytes, leaves: Sequence[bytes], head: Checkpoint) -> bytes:
    """The frontier after `leaves`, which make the older tree a prefix of the one that `head` signs [P-45].

    Raises: LogBroken `log-root`.
    """
    grown = Frontier.from_bytes(frontier)
    grown.extend(leaves)
    if grown.size != head.size or grown.root() != head.root:
        raise LogBroken("log-root")
    return grown.to_bytes()


def past_of(frontier: bytes, leaves: Sequence[bytes], head: Checkpoint) -> tuple[bytes, ...] | None:
    """What shows that the log which `head` signs has another past than the one that was verified, with `frontier`.

    `leaves`: all of the log, fetched anew, after what was verified did not lead to the head's root. None when they do
    not yield it either, or continue what was verified: then something was damaged on the way, and nothing is shown.
    """
    verified = Frontier.from_bytes(frontier)
    size = verified.size
    if len(leaves) != head.size or root_of(leaves) != head.root or not 0 < size < head.size:
        return None
    return tuple(past_proof(leaves, size)) if root_of(leaves[:size]) != verified.root() else None


def within(start: int, size: int, frames: Sequence[Frame], next_index: int) -> tuple[list[Frame], int]:
    """The frames of an answer asked for from `start` that lie in the verified log, and where the cursor goes with them.

    A server may have more by now than was verified: that is left for the next round. Raises: FramesRefused
    `frames-disordered` for an answer that does not move on.
    """
    following = min(next_index, size)
    taken = [frame for frame in frames if frame.idx < following]
    if following <= start or any(frame.idx < start for frame in taken):
        raise FramesRefused("frames-disordered")
    return taken, following
