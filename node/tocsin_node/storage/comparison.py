"""What was found when peers and we were last compared, a row for each."""

from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Comparison:
    """`at`: when both were last compared; None: never yet. `amiss`: entries that one should hold and does not.

    `contradicted`: the heads show two pasts. `mended`: entries that were fetched again then. `trouble`: the code of
    what kept us from comparing at `tried_at`; None: nothing did.
    """

    at: datetime | None
    amiss: int
    contradicted: bool
    mended: int
    tried_at: datetime
    trouble: str | None


_COLUMNS = "at, amiss, contradicted, mended, tried_at, trouble"

FOUND = """
insert into comparison (node, at, amiss, contradicted, mended, tried_at) values ($1, now(), $2, $3, $4, now())
on conflict (node) do update set at = excluded.at, amiss = excluded.amiss, contradicted = excluded.contradicted,
    mended = excluded.mended, tried_at = excluded.tried_at, trouble = null
"""

FAILED = """
insert into comparison (node, trouble) values ($1, $2)
on conflict (node) do update set tried_at = now(), trouble = excluded.trouble
"""

ALL = f"select node, {_COLUMNS} from comparison"

# Who answers otherwise: of all others it is told that they are silent. Who never could has an older program.
IN_VAIN = """
select c.node from comparison c join peer p on p.node_id = c.node and p.state = 'active'
where c.trouble is not null and c.at < now() - make_interval(days => $1)
    and p.approved_at < now() - make_interval(days => $1) and p.last_contact_at > now() - interval '1 day'
"""


async def found(conn: Connection, node: str, *, amiss: int, contradicted: bool, mended: int) -> None:
    """A peer and we were compared."""
    await conn.execute(FOUND, node, amiss, contradicted, mended)


async def failed(conn: Connection, node: str, trouble: str) -> None:
    """They could not be; what was found before stays."""
    await conn.execute(FAILED, node, trouble)


async def every(conn: Connection) -> dict[str, Comparison]:
    """By NodeID, also of peers that were removed since."""
    return {row[0]: Comparison(*row[1:]) for row in await conn.fetch(ALL)}


async def in_vain(conn: Connection, days: int) -> set[str]:
    """Active peers (NodeIDs) that answer, and were compared with before, but could not be for so many days."""
    return {row[0] for row in await conn.fetch(IN_VAIN, days)}
