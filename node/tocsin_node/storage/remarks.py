"""Remarks in Postgres: the one that stands for each report, node and kind. Bundles are exact bytes.

What is affected by a report is a question to this table: `exposures` answers it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tocsin_node.storage.disputed import disputed
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place
from tocsin_schema.remark import Remark


@dataclass(frozen=True, slots=True)
class NewRemark:
    """A remark about to be stored. `node`: NodeID of who says it; `audience`: NodeIDs it was sealed to (own only)."""

    remark: Remark
    node: str
    ver: int
    place: Place | None = None
    audience: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredRemark:
    """A remark that stands. `said`: the step of an opinion, the word of an exposure, empty for a sighting.

    `disputed`: its node has ended the log that it stands in, before it.
    """

    report_id: str
    node: str
    kind: str
    ver: int
    said: str
    tlp: str
    created: datetime
    modified: datetime
    revoked: bool
    sha256: bytes
    audience: list[str]
    log_gen: int | None
    log_index: int | None
    leaf_hash: bytes | None
    stored_at: datetime
    disputed: bool
    bundle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a report that peers can refer to, and the place of the entry that carried it in its origin's log."""

    ver: int
    tlp: str
    place: Place


# Whether the row of `remark` stands where its node's log is disputed.
_DISPUTED = disputed("remark.node", "remark.log_gen", "remark.log_index")

# The rule of PROTOCOL.md, P-89, where the table itself keeps it: two writers cannot put the older one on top.
PUT = f"""
insert into remark (report_id, node, kind, ver, said, tlp, created, modified, revoked, sha256, bundle, audience,
    log_gen, log_index, leaf_hash)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
on conflict (report_id, node, kind) do update set ver = excluded.ver, said = excluded.said, tlp = excluded.tlp,
    created = excluded.created, modified = excluded.modified, revoked = excluded.revoked, sha256 = excluded.sha256,
    bundle = excluded.bundle, audience = excluded.audience, log_gen = excluded.log_gen,
    log_index = excluded.log_index, leaf_hash = excluded.leaf_hash, stored_at = now()
where (remark.modified, remark.sha256) < (excluded.modified, excluded.sha256) or {_DISPUTED}
"""

_COLUMNS = f"""report_id, node, kind, ver, said, tlp, created, modified, revoked, sha256, audience, log_gen, log_index,
    leaf_hash, stored_at, {_DISPUTED}, bundle"""

OF_REPORT = f"select {_COLUMNS} from remark where report_id = $1 order by modified, node, kind"

OF_NODE = f"select {_COLUMNS} from remark where node = $1 and report_id = any($2::text[])"

EXPOSURES = f"""
select {_COLUMNS} from remark where report_id = $1 and kind = 'exposure' and not revoked and not {_DISPUTED}
order by modified, node
"""

TLPS = """
select w.id, w.ver, coalesce(r.tlp, v.tlp)
from unnest($1::text[], $2::int[]) as w (id, ver)
left join report r on r.id = w.id and r.ver = w.ver
left join report_version v on v.report_id = w.id and v.ver = w.ver
where coalesce(r.tlp, v.tlp) is not null
"""

_VERSIONS = """
select id, ver, tlp, log_gen, log_index, leaf_hash from report where id = any($1::text[]) and leaf_hash is not null
union all
select report_id, ver, tlp, log_gen, log_index, leaf_hash from report_version
where report_id = any($1::text[]) and leaf_hash is not null
"""

SHARED = f"""
select ver, tlp, log_gen, log_index, leaf_hash from ({_VERSIONS}) v
where $2::int is null or ver = $2 order by ver desc limit 1
"""


async def put(conn: Connection, new: NewRemark) -> None:
    """Store a remark unless a later one of its node and kind stands already."""
    remark, place = new.remark, new.place
    await conn.execute(
        PUT,
        remark.incident_id,
        new.node,
        remark.kind,
        new.ver,
        remark.said,
        remark.tlp.value,
        remark.created,
        remark.modified,
        remark.revoked,
        remark.sha256,
        remark.raw,
        list(new.audience),
        None if place is None else place.gen,
        None if place is None else place.index,
        None if place is None else place.leaf_hash,
    )


async def of_report(conn: Connection, report_id: str) -> list[StoredRemark]:
    """All remarks on a report, those taken back too, oldest first."""
    return [StoredRemark(*row) for row in await conn.fetch(OF_REPORT, report_id)]


async def exposures(conn: Connection, report_id: str) -> list[StoredRemark]:
    """Who says to be affected by a report, not to be, or to be looking; oldest first, without what was taken back."""
    return [StoredRemark(*row) for row in await conn.fetch(EXPOSURES, report_id)]


async def of_node(conn: Connection, node: str, report_ids: Sequence[str]) -> list[StoredRemark]:
    """What one node says about some reports."""
    return [StoredRemark(*row) for row in await conn.fetch(OF_NODE, node, list(report_ids))]


async def tlps(conn: Connection, versions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """The marking of each of `versions` (report, version) that was ever held here."""
    rows = await conn.fetch(TLPS, [name for name, _ in versions], [ver for _, ver in versions])
    return {(row[0], row[1]): row[2] for row in rows}


async def shared(conn: Connection, report_id: str, ver: int | None = None) -> Version | None:
    """The newest version of a report that stands in a log, so that peers know it; or version `ver`, if it does."""
    row = await conn.fetchrow(SHARED, [report_id], ver)
    return None if row is None else Version(row[0], row[1], Place(*row[2:]))
