"""Who stands in for whom: acts that change a rota for a while."""

from dataclasses import dataclass
from datetime import datetime

from tocsin_node.actor import person as named
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class StoredOverride:
    """`made_by` put `person` into the place of whoever would be on call in `rota`."""

    id: int
    rota: str
    person: str
    begins_at: datetime
    ends_at: datetime
    made_by: str
    made_at: datetime
    note: str | None


_OVERRIDE = "id, rota, person, begins_at, until, by, at, note"

STANDING = f"""
select {_OVERRIDE} from act
where kind = 'override' and revoked_at is null and until > $1 and begins_at < $2 order by id
"""

ADD = f"""
insert into act (kind, rota, person, begins_at, until, by, via, at, note)
values ('override', $1, $2, $3, $4, $5, 'api', $6, $7) returning {_OVERRIDE}
"""

CLEAR = f"""
update act set revoked_at = greatest(at, $2), revoked_by = $3
where id = $1 and kind = 'override' and revoked_at is null returning {_OVERRIDE}
"""


async def standing(conn: Connection, begin: datetime, end: datetime) -> list[StoredOverride]:
    """Those that reach into [begin, end), in the order in which they were made."""
    return [StoredOverride(*row) for row in await conn.fetch(STANDING, begin, end)]


async def add(
    conn: Connection,
    *,
    rota: str,
    person: str,
    begins_at: datetime,
    ends_at: datetime,
    by: str,
    at: datetime,
    note: str | None,
) -> StoredOverride:
    """Keep one."""
    async with conn.transaction():
        made = StoredOverride(*await conn.fetchrow(ADD, rota, person, begins_at, ends_at, by, at, note))
        detail = {"rota": rota, "person": person}
        await audit.note(conn, Act("override.make", f"override:{made.id}", detail, named(by)))
    return made


async def clear(conn: Connection, override_id: int, at: datetime, by: str) -> StoredOverride | None:
    """Take one back; None when none of that number stands."""
    async with conn.transaction():
        row = await conn.fetchrow(CLEAR, override_id, at, by)
        if row is not None:
            await audit.note(conn, Act("override.clear", f"override:{override_id}", actor=named(by)))
    return None if row is None else StoredOverride(*row)
