"""What is wrong with the node itself and what of it the operators were told: one row a part that is not well."""

from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Trouble:
    """`code`: status and code of the check; `held_s`: how long it is so. `well_s`: how long it is over, if it is."""

    name: str
    code: str
    held_s: float
    began_at: datetime
    told: tuple[str, ...]
    well_s: float | None


STANDING = """
select name, code, extract(epoch from now() - since)::float8, began_at, told,
    extract(epoch from now() - well_since)::float8
from trouble order by name for update
"""

NOTE = """
insert into trouble (name, code) values ($1, $2)
on conflict (name) do update set code = excluded.code, well_since = null,
    since = case when trouble.code = excluded.code then trouble.since else now() end
"""

WELL = "update trouble set well_since = coalesce(well_since, now()) where name = $1"

TOLD = "update trouble set told = array_append(told, code) where name = $1"

OVER = "delete from trouble where name = $1"


async def standing(conn: Connection) -> list[Trouble]:
    """All that is not well, or was not until a moment ago. Locks the rows."""
    return [
        Trouble(name, code, held, began, tuple(told), well)
        for name, code, held, began, told, well in await conn.fetch(STANDING)
    ]


async def note(conn: Connection, name: str, code: str) -> None:
    """A part is not well."""
    await conn.execute(NOTE, name, code)


async def well(conn: Connection, name: str) -> None:
    """It is well again; since when is kept."""
    await conn.execute(WELL, name)


async def told(conn: Connection, name: str) -> None:
    """The operators were told of it as it is now."""
    await conn.execute(TOLD, name)


async def over(conn: Connection, name: str) -> None:
    """Nothing more is to be said of it."""
    await conn.execute(OVER, name)
