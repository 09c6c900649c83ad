"""Roots of large subtrees, so that a proof about one entry does not read a million leaves each time.

Full tiles of 256 leaves never change. Their roots are computed when first needed and remembered.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from tocsin_federation.merkle import TILE_WIDTH, audit_path, root_of, root_over

ReadLeaves = Callable[[int, int], Awaitable[list[bytes]]]

LOGS = 16  # remembered, those asked about last; a log of a million entries takes 400 kB
CHUNK = 64  # tiles read at once


class Trees:
    """Audit paths over the leaf hashes of many logs."""

    def __init__(self) -> None:
        self._roots: OrderedDict[object, dict[int, bytes]] = OrderedDict()

    async def inclusion(self, log: object, read: ReadLeaves, index: int, size: int) -> tuple[bytes, ...]:
        """The audit path of leaf `index` in the tree of `size`. `log`: any name that stays the same.

        `read` gives the leaf hashes [low, high) of the log, verified. Raises: ProofRefused, StorageError.
        """
        tiles = self._roots.setdefault(log, {})
        self._roots.move_to_end(log)
        while len(self._roots) > LOGS:
            self._roots.popitem(last=False)
        return tuple([await _root(tiles, read, low, high) for low, high in audit_path(index, size)])


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
