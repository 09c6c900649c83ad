"""Entries of ours that came back from a reader and name nobody: who else has them, and who is still to be asked."""

from collections.abc import Collection, Sequence

from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place

ASK = (
    "insert into regained (gen, idx, node) select $1, $2, n from unnest($3::text[]) n on conflict do nothing"
)

DUE = """
select r.idx, e.leaf_hash from regained r join log_entry e on e.gen = r.gen and e.idx = r.idx
where r.gen = $1 and r.node = $2 and e.leaf is not null order by r.idx limit $3
"""

SETTLE = "delete from regained where gen = $1 and node = $2 and idx = any($3::bigint[])"
FORGET = "delete from regained where node <> all($1::text[])"
LEFT = "select count(*) from regained where gen = $1"

READER = """
with report as (
    update report set audience = audience || $2::text where leaf_hash = $1 and $2 <> all(audience)
)
update remark set audience = audience || $2::text where leaf_hash = $1 and $2 <> all(audience)
"""


async def ask(conn: Connection, place: Place, nodes: Sequence[str]) -> None:
    """These peers (NodeIDs) are to be asked whether the entry at `place` was sealed to them, too."""
    await conn.execute(ASK, place.gen, place.index, list(nodes))


async def due(conn: Connection, gen: int, node: str, limit: int) -> dict[int, bytes]:
    """What a peer is to be asked about: place → leaf hash."""
    return {row[0]: row[1] for row in await conn.fetch(DUE, gen, node, limit)}


async def settle(conn: Connection, gen: int, node: str, indices: Collection[int]) -> None:
    """A peer has said whether it has the entries at these places."""
    await conn.execute(SETTLE, gen, node, list(indices))


async def forget_others(conn: Connection, nodes: Sequence[str]) -> None:
    """Ask nobody any more but these peers (NodeIDs): who is none has nothing to say."""
    await conn.execute(FORGET, list(nodes))


async def left(conn: Connection, gen: int) -> int:
    """How many questions are open."""
    count: int = await conn.fetchval(LEFT, gen)
    return count


async def add_reader(conn: Connection, leaf_hash: bytes, node: str) -> None:
    """The entry went to this peer, too: later versions of what it carried go there as well."""
    await conn.execute(READER, leaf_hash, node)
