"""Roots of large subtrees, so that a proof about one entry does not read a million leaves each time.

Full tiles of 256 leaves never change. Their roots are computed when first needed and remembered.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from tocsin_federation.merkle import (
    EMPTY_ROOT,
    TILE_WIDTH,
    audit_path,
    past_path,
    root_of,
    root_over,
    without_first,
)

ReadLeaves = Callable[[int, int], Awaitable[list[bytes]]]

LOGS = 16  # remembered, those asked about last; a log of a million entries takes 400 kB
CHUNK = 64  # tiles read at once


class Trees:
    """Proofs and tiles over the leaf hashes of many logs."""

    def __init__(self) -> None:
        self._roots: OrderedDict[object, dict[int, bytes]] = OrderedDict()

    async def inclusion(self, log: object, read: ReadLeaves, index: int, size: int) -> tuple[bytes, ...]:
        """The audit path of leaf `index` in the tree of `size`. `log`: any name that stays the same.

        `read` gives the leaf hashes [low, high) of the log, verified. Raises: ProofRefused, StorageError.
        """
        return await self._subtrees(log, read, audit_path(index, size))

    async def past(self, log: object, read: ReadLeaves, old: int, size: int) -> tuple[bytes, ...]:
        """The `past_proof` of the tree of `size` at `old` (0 < old <= size). Raises: ProofRefused, StorageError."""
        return await self._subtrees(log, read, past_path(old, size))

    async def consistency(self, log: object, read: ReadLeaves, old: int, size: int) -> tuple[bytes, ...]:
        """The consistency proof (RFC 6962 2.1.2) from `old` to `size`; empty from 0 and between equals."""
        if old in {0, size}:
            return ()
        return tuple(without_first(await self.past(log, read, old, size), old))

    async def root(self, log: object, read: ReadLeaves, size: int) -> bytes:
        """The root of the tree of `size`."""
        if size == 0:
            return EMPTY_ROOT
        (root,) = await self._subtrees(log, read, [(0, size)])
        return root

    async def tile(self, log: object, read: ReadLeaves, level: int, index: int, width: int) -> bytes:
        """`width` hashes of tile `index` of a level above 0 (C2SP tlog-tiles): each the root of 256^level leaves."""
        span = TILE_WIDTH**level
        first = index * TILE_WIDTH
        parts = [(n * span, (n + 1) * span) for n in range(first, first + width)]
        return b"".join(await self._subtrees(log, read, parts))

    async def _subtrees(
        self, log: object, read: ReadLeaves, parts: Sequence[tuple[int, int]]
    ) -> tuple[bytes, ...]:
        tiles = self._roots.setdefault(log, {})
        self._roots.move_to_end(log)
        while len(self._roots) > LOGS:
            self._roots.popitem(last=False)
        return tuple([await _root(tiles, read, low, high) for low, high in parts])


async def _root(tiles: dict[int, bytes], read: ReadLeaves, low: int, high: int) -> bytes:
    if high - low < TILE_WIDTH:
        return root_of(await read(low, high))
    first, last = low // TILE_WIDTH, high // TILE_WIDTH
    for start in range(first, last, CHUNK):
        stop = min(start + CHUNK, last)
        if any(n not in tiles for n in range(start, stop)):
            leaves = await read(start * TILE_WIDTH, stop * TILE_WIDTH)
            found = await asyncio.to_thread(_tile_roots, leaves)
            tiles.update(zip(range(start, stop), found, strict=True))
    rest = await read(last * TILE_WIDTH, high) if high % TILE_WIDTH else []
    return root_over([tiles[n] for n in range(first, last)], rest)


def _tile_roots(leaves: list[bytes]) -> list[bytes]:
    return [root_of(leaves[i : i + TILE_WIDTH]) for i in range(0, len(leaves), TILE_WIDTH)]
