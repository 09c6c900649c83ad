"""Redactions in Postgres: which report of ours is a version for others of which record. A fact of this node alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class Link:
    """`report_id` was made from version `record_ver` of the record, for readers up to `clearance`."""

    report_id: str
    record_id: str
    record_ver: int
    clearance: str


@dataclass(frozen=True, slots=True)
class Source:
    """The record of a redaction as it stands: `record_ver` was redacted, `ver` is its newest version."""

    record_id: str
    record_ver: int
    ver: int
    state: str


@dataclass(frozen=True, slots=True)
class Made:
    """A redaction as it stands, and the version of the record that it was made from."""

    id: str
    ver: int
    state: str
    tlp: str
    clearance: str
    record_ver: int
    audience: list[str]


PUT = """
insert into redaction (report_id, record_id, record_ver, clearance) values ($1, $2, $3, $4)
on conflict (report_id) do update set record_ver = excluded.record_ver
"""

SOURCE = """
select d.record_id, d.record_ver, r.ver, r.state from redaction d join report r on r.id = d.record_id
where d.report_id = $1
"""

MADE = """
select r.id, r.ver, r.state, r.tlp, d.clearance, d.record_ver, r.audience
from redaction d join report r on r.id = d.report_id where d.record_id = $1 order by r.seq
"""

RECORDS = (
    "select report_id, record_id from redaction where report_id = any($1::text[]) and record_id is not null"
)

# What an earlier program filed waits without a record.
WAITING = """
select report_id from redaction where record_id is null and report_id > $1 order by report_id limit $2
"""

FOUND = """
update redaction d set record_id = n.record_id, clearance = n.clearance, record_ver = coalesce((
    select max(v.ver) from (
        select ver, stored_at from report where id = n.record_id
        union all select ver, stored_at from report_version where report_id = n.record_id
    ) v where v.stored_at <= r.stored_at), 1)
from unnest($1::text[], $2::text[], $3::text[]) as n (report_id, record_id, clearance)
join report r on r.id = n.report_id and r.origin = $4
where d.report_id = n.report_id
"""

# Earlier programs redacted redactions: each belongs to the record at the root.
FLATTEN = """
update redaction d set record_id = up.record_id, record_ver = up.record_ver
from redaction up where up.report_id = d.record_id and up.record_id is not null
"""

SETTLED = "delete from redaction where record_id is null"


async def put(conn: Connection, link: Link) -> None:
    """Keep that a version of `link.report_id` was made from the record, in the transaction that files it."""
    await conn.execute(PUT, link.report_id, link.record_id, link.record_ver, link.clearance)


async def source(conn: Connection, report_id: str) -> Source | None:
    """The record that a report was made from; None: it is no redaction."""
    row = await conn.fetchrow(SOURCE, report_id)
    return None if row is None else Source(*row)


async def made_from(conn: Connection, record_id: str) -> list[Made]:
    """The redactions of a record, oldest first, withdrawn ones too."""
    return [Made(*row) for row in await conn.fetch(MADE, record_id)]


async def records(conn: Connection, report_ids: Sequence[str]) -> dict[str, str]:
    """The record of each of `report_ids` that is a redaction."""
    return {row[0]: row[1] for row in await conn.fetch(RECORDS, list(report_ids))}


async def waiting(conn: Connection, after: str, limit: int) -> list[str]:
    """Reports from before links were kept that nobody has looked at, in the order of their ids."""
    return [row[0] for row in await conn.fetch(WAITING, after, limit)]


async def found(conn: Connection, node_id: str, derived: Sequence[tuple[str, str, str]]) -> None:
    """Link those of `derived` (redaction, record, clearance) that are reports of ours and wait."""
    columns = list(zip(*derived, strict=True)) or [(), (), ()]
    await conn.execute(FOUND, *(list(column) for column in columns), node_id)


async def settle(conn: Connection) -> None:
    """All that waited was looked at: what was not linked is no redaction."""
    while await conn.execute(FLATTEN) != "UPDATE 0":
        pass
    await conn.execute(SETTLED)
