"""Reviews: who took it on that a version of a report may be shared, when, and what kinds of things were found in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Review:
    """One decision, as it is shown. `kinds` are those of the suspicions; empty when nothing was suspected."""

    ver: int
    reviewed_by: str
    kinds: tuple[str, ...]
    at: datetime


INSERT = """
insert into review (report_id, ver, reviewed_by, kinds, found) values ($1, $2, $3, $4, $5)
on conflict (report_id, ver) do nothing
"""

LIST = "select ver, reviewed_by, kinds, at from review where report_id = $1 order by ver desc limit 50"

KNOWN = "select distinct unnest(found) as digest from review where report_id = $1"


async def insert(
    conn: Connection,
    report_id: str,
    ver: int,
    *,
    reviewed_by: str,
    kinds: Sequence[str],
    found: Sequence[bytes],
) -> None:
    """Keep a decision about version `ver`; the first one stands."""
    await conn.execute(INSERT, report_id, ver, reviewed_by, list(kinds), list(found))


async def listing(conn: Connection, report_id: str) -> list[Review]:
    """The decisions about a report, newest first."""
    return [Review(row[0], row[1], tuple(row[2]), row[3]) for row in await conn.fetch(LIST, report_id)]


async def known(conn: Connection, report_id: str) -> frozenset[bytes]:
    """The digests of all that was decided about in any version."""
    return frozenset(row[0] for row in await conn.fetch(KNOWN, report_id))
