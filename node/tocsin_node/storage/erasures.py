"""The blocklist: what was erased here, by keyed hashes, so that it does not come in again by another door."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, without its name. `origin`: NodeID of the peer that asked for it; None: we did."""

    id: int
    origin: str | None
    by: str | None
    reason: str | None
    at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    why_lifted: str | None


_COLUMNS = "id, origin, by, reason, at, lifted_at, lifted_by, why_lifted"

ADD = "insert into erasure (tag, contents, origin, by, reason) values ($1, $2, $3, $4, $5)"

# Who asked for it may give it anew: that is the word of its author.
STANDING = """
select tag from erasure where lifted_at is null and tag = any($1::bytea[]) and origin is distinct from $2
union select t from erasure, unnest(contents) t
where lifted_at is null and contents && $1::bytea[] and t = any($1::bytea[]) and origin is distinct from $2
"""

LIST = f"select {_COLUMNS} from erasure where lifted_at is null or $1 order by id desc"

LIFT = f"""
update erasure set lifted_at = now(), lifted_by = $3, why_lifted = $4
where lifted_at is null and (id = $1 or tag = $2) returning {_COLUMNS}
"""


async def add(
    conn: Connection,
    tag: bytes,
    contents: Sequence[bytes],
    *,
    origin: str | None,
    by: str | None,
    reason: str | None,
) -> None:
    """Keep that it was erased, inside the transaction that does. `tag`, `contents`: keyed hashes."""
    await conn.execute(ADD, tag, list(contents), origin, by, reason)


async def standing(conn: Connection, tags: Sequence[bytes], giver: str | None = None) -> set[bytes]:
    """Which of these keyed hashes name what may not come in; `giver`: NodeID of the peer that it would come from."""
    return {row[0] for row in await conn.fetch(STANDING, list(tags), giver or "")}


async def listing(conn: Connection, *, lifted: bool) -> list[Erasure]:
    """What was erased, newest first; with those that were `lifted`, too."""
    return [Erasure(*row) for row in await conn.fetch(LIST, lifted)]


async def lift(
    conn: Connection, erasure_id: int | None, tag: bytes | None, *, by: str, reason: str
) -> list[Erasure]:
    """Let it come in again, by its number or its keyed hash; what was lifted now."""
    return [Erasure(*row) for row in await conn.fetch(LIFT, erasure_id, tag, by, reason)]
