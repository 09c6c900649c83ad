"""The tree is served to peers as C2SP tlog-tiles has it: all levels, one spelling, no entries."""

from functools import partial

import pytest

from tocsin_federation.checkpoint import open_checkpoint, sign_checkpoint
from tocsin_federation.merkle import Frontier, leaf_hash, root_of, roots_of_past, tile_path
from tocsin_node.services.trees import Trees

LEAVES = [leaf_hash(str(n).encode()) for n in range(70_000)]


async def read(low, high):
    return LEAVES[low:high]


async def test_the_tree_of_70000_is_the_specifications_example():
    """273 full tiles and one of 112 at level 0; one full and one of 17 at level 1; one of 1 at level 2."""
    trees = Trees()
    tile = partial(trees.tile, "log", read)
    first, second = await tile(1, 0, 256), await tile(1, 1, 17)
    for index, body in ((0, first), (256, second)):
        for n in range(len(body) // 32):
            start = (index + n) * 256
            assert body[32 * n : 32 * n + 32] == root_of(LEAVES[start : start + 256])
    assert await tile(2, 0, 1) == root_of(LEAVES[: 256 * 256])
    assert await trees.root("log", read, 70_000) == root_of(LEAVES)


@pytest.fixture
async def grown(acme):
    """A log of 300 entries of which only the hashes are there."""
    head = acme.node.ledger.head
    key, frontier = acme.node.identity.statement.log, Frontier()
    frontier.extend(LEAVES[:300])
    note = sign_checkpoint(key.origin, 300, frontier.root(), acme.node.keys.log)
    await acme.node.ledger.adopt(
        head, open_checkpoint(note, key.vkey), frontier.to_bytes(), note, LEAVES[:300]
    )
    return acme


async def test_a_peer_reads_every_tile_that_there_is_and_none_that_there_is_not(grown, mallory):
    async def ask(path):
        status, body, _ = await mallory.ask(grown, mallory.log_path(grown, path))
        return status, body

    assert await ask(tile_path(0)) == (200, b"".join(LEAVES[:256]))
    assert await ask(tile_path(1, 44)) == (200, b"".join(LEAVES[256:300]))
    assert await ask(tile_path(0, 1, level=1)) == (200, root_of(LEAVES[:256]))
    for missing in (
        tile_path(1),
        tile_path(1, 45),
        tile_path(0, 2, level=1),
        tile_path(0, 1, level=2),
        "tile/entries/000",
        "tile/entries/001.p/44",
    ):
        assert (await ask(missing))[0] == 404, missing
    assert (await ask("tile/63/000"))[0] in {400, 404}
    assert (await ask("past?from=300&to=301"))[0] == 404
    assert (await ask("past?from=0&to=300"))[0] == 404
    status, body = await ask("past?from=256&to=300")
    path = [body[i : i + 32] for i in range(0, len(body), 32)]
    assert status == 200
    assert roots_of_past(256, 300, path) == (root_of(LEAVES[:256]), root_of(LEAVES[:300]))


async def test_a_stranger_reads_no_tile(grown, stranger):
    assert (await stranger.ask(grown, stranger.log_path(grown, tile_path(0))))[0] == 401
