"""Reports in Postgres: the current version of each, and what newer versions replaced. Bundles are exact bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tocsin_node.storage import audit, facets
from tocsin_node.storage.audit import Act
from tocsin_node.storage.disputed import disputed
from tocsin_node.storage.pool import Connection
from tocsin_schema.report import IncidentReport


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version stands in its origin's log."""

    gen: int
    index: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class NewReport:
    """A version about to be stored. `audience`: NodeIDs it was sealed to (own reports only)."""

    report: IncidentReport
    origin: str
    ver: int
    place: Place | None = None
    audience: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What is held under an id now: enough to judge a newcomer."""

    id: str
    origin: str
    ver: int
    state: str
    grade: str
    tlp: str
    sha256: bytes
    audience: tuple[str, ...]
    leaf_hash: bytes | None
    modified: datetime
    creator: str
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A stored report, whole. `disputed`: its origin has ended the log that this version stands in, before it."""

    id: str
    origin: str
    ver: int
    state: str
    name: str
    tlp: str
    grade: str
    level: int
    score: int
    realization: str
    modified: datetime
    audience: list[str]
    log_gen: int | None
    log_index: int | None
    leaf_hash: bytes | None
    stored_at: datetime
    seq: int
    creator: str
    disputed: bool
    bundle: bytes = field(repr=False)


# The `created_by_ref` of the report `r` with the facets `f`; from its bytes while an earlier program's report has none.
CREATOR = """coalesce(nullif(f.creator, ''), (
    select o.value ->> 'created_by_ref' from json_array_elements(convert_from(r.bundle, 'UTF8')::json -> 'objects') o
    where o.value ->> 'id' = r.id limit 1))"""

# Whether the version of the report `r` stands where its origin's log is disputed.
DISPUTED = disputed("r.origin", "r.log_gen", "r.log_index")

LOCK = "select id from report where id = any($1::text[]) for key share"

HELD = f"""
select r.id, r.origin, r.ver, r.state, r.grade, r.tlp, r.sha256, r.audience, r.leaf_hash, r.modified, {CREATOR},
    {DISPUTED}
from report r left join report_facet f on f.report_id = r.id where r.id = any($1::text[])
"""

_COLUMNS = """id, origin, ver, state, name, tlp, grade, level, score, realization, modified, sha256, bundle,
    audience, log_gen, log_index, leaf_hash"""

_TYPES = (
    *("text", "text", "int", "text", "text", "text", "text", "int", "int", "text", "timestamptz"),
    *("bytea", "bytea", "text", "int", "bigint", "bytea"),
)


def insertion(first: int, *, many: bool) -> str:
    """The inserts of first versions and their facets, with the parameters `$first` and on, as parts of a `with`.

    `many`: one array a column (`columns`). Else the plain values of one row (`row`): arrays are slow to make and to
    take apart, and most reports come alone. Audiences travel as text with a separator no NodeID holds, since
    Postgres has no arrays of unequal arrays.
    """
    found = facets.insertion(first + len(_TYPES), "filed", many=many)
    return f"filed as ({_filing(first, many=many)} returning id, seq), found as ({found})"


def _filing(first: int, *, many: bool) -> str:
    audience = "string_to_array(audience, ' ')"
    if many:
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_TYPES, first))
        source = f"unnest({arrays}) as r ({_COLUMNS})"
        return (
            f"insert into report ({_COLUMNS}) select {_COLUMNS.replace('audience', audience)} from {source}"
        )
    values = [f"${number}" for number, _ in enumerate(_TYPES, first)]
    place = _COLUMNS.split().index("audience,")
    values[place] = audience.replace("audience", values[place])
    return f"insert into report ({_COLUMNS}) values ({', '.join(values)})"


FILE_ONE, FILE_MANY = (
    f"with noted as ({audit.insertion(1)}), {insertion(1 + audit.WIDTH, many=many)} select count(*) from filed"
    for many in (False, True)
)

INSERT = f"""
with filed as ({_filing(1, many=True)} on conflict (id) do nothing returning id, seq),
    found as ({facets.insertion(1 + len(_TYPES), "filed", many=True)})
select id from filed
"""

KEEP_OLD = """
insert into report_version (report_id, ver, tlp, grade, sha256, bundle, log_gen, log_index, leaf_hash, stored_at)
select id, ver, tlp, grade, sha256, bundle, log_gen, log_index, leaf_hash, stored_at
from report where id = $1 and ver = $2
"""

# What a copy's versions were called, or those of a thief, does not stand in the way of the creator's own count, and is
# looked up by nobody; an alert about one does not stand in the way of one about the creator's.
# Whoever reckoned by the copy reckons anew.
SET_ASIDE = """
with looked as (update duty_subject set basis = '' where report_id = $1),
    aside as (select least(min(ver), 0) as lowest from report_version where report_id = $1),
    rung as (
        update alert a set ver = aside.lowest - a.ver from aside where a.report_id = $1 and a.ver > 0
    )
update report_version v set ver = aside.lowest - v.ver from aside where v.report_id = $1 and v.ver > 0
"""

REPLACE = """
update report set origin = $3, ver = $4, state = $5, name = $6, tlp = $7, grade = $8, level = $9, score = $10,
    realization = $11, modified = $12, sha256 = $13, bundle = $14, audience = $15, log_gen = $16, log_index = $17,
    leaf_hash = $18, stored_at = now()
where id = $1 and ver = $2 and origin = $19
returning ver
"""

GET = f"""
select r.id, r.origin, r.ver, r.state, r.name, r.tlp, r.grade, r.level, r.score, r.realization, r.modified, r.audience,
    r.log_gen, r.log_index, r.leaf_hash, r.stored_at, r.seq, {CREATOR}, {DISPUTED}, r.bundle
from report r left join report_facet f on f.report_id = r.id where r.id = $1
"""

MOVE = "update report set log_gen = $3, log_index = $4, leaf_hash = $5 where id = $1 and ver = $2"

VERSION_PLACE = """
select log_gen, log_index, leaf_hash from report where id = $1 and ver = $2 and leaf_hash is not null
union all
select log_gen, log_index, leaf_hash from report_version where report_id = $1 and ver = $2 and leaf_hash is not null
"""

REGAIN_OLD = """
insert into report_version (report_id, ver, tlp, grade, sha256, bundle, log_gen, log_index, leaf_hash, stored_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now()) on conflict do nothing
"""

BUNDLE_BEFORE = """
select bundle from report_version where report_id = $1 and ver > 0 and ver < $2 order by ver desc limit 1
"""

ID_TAKEN = "report_pkey"


async def lock(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Which of `ids` are held; they are, until the caller's transaction ends."""
    return {row[0] for row in await conn.fetch(LOCK, list(ids))}


async def held(conn: Connection, ids: Sequence[str]) -> dict[str, Held]:
    """What is held under each of `ids`; ids not held are absent."""
    rows = await conn.fetch(HELD, list(ids))
    return {row["id"]: Held(*(*row[:7], tuple(row["audience"]), *row[8:])) for row in rows}


async def file(conn: Connection, reports: Sequence[NewReport], acts: Sequence[Act] = ()) -> None:
    """Insert first versions and what is noted, all or none.

    Raises: StorageConflict with the constraint `ID_TAKEN` when an id is held already.
    """
    if len(reports) == 1:
        await conn.execute(FILE_ONE, *audit.columns(acts), *row(reports[0]))
    else:
        await conn.execute(FILE_MANY, *audit.columns(acts), *columns(reports))


async def insert(conn: Connection, reports: Sequence[NewReport]) -> set[str]:
    """Insert first versions; returns the ids that were new. An id already held is left as it is."""
    if not reports:
        return set()
    return {row[0] for row in await conn.fetch(INSERT, *columns(reports))}


async def move(conn: Connection, report_id: str, ver: int, place: Place) -> None:
    """The version that stands has come again, in another place of its origin's log: that one counts."""
    await conn.execute(MOVE, report_id, ver, place.gen, place.index, place.leaf_hash)


async def replace(
    conn: Connection, new: NewReport, *, held_ver: int, held_origin: str, anew: bool = False
) -> bool:
    """Put `new` in the place of version `held_ver` of `held_origin` (NodeID), keeping the old.

    False when another version stands there. When another node brings it now, or what was held is disputed (`anew`), the
    count of versions begins anew.
    """
    await conn.execute(KEEP_OLD, new.report.id, held_ver)
    if anew or new.origin != held_origin:
        await conn.execute(SET_ASIDE, new.report.id)
    values = row(new)
    ver = await conn.fetchval(
        REPLACE, values[0], held_ver, *values[1:13], list(new.audience), *values[14:17], held_origin
    )
    if ver is None:
        return False
    await facets.replace(conn, new.report, new.origin)
    return True


async def regain(conn: Connection, new: NewReport) -> bool:
    """Put back a version of an own report that was lost, in whatever order they come; what is newer stays.

    True when that version is here already: what came back is a further entry of it. Raises: StorageConflict when the
    report was filed anew meanwhile.
    """
    before = (await held(conn, [new.report.id])).get(new.report.id)
    if before is None:
        await insert(conn, [new])
    elif before.origin != new.origin:
        return False
    elif before.ver < new.ver:
        await replace(conn, new, held_ver=before.ver, held_origin=before.origin)
    elif before.ver > new.ver:
        report, place = new.report, new.place
        done = await conn.execute(
            REGAIN_OLD,
            report.id,
            new.ver,
            report.tlp.value,
            report.severity.grade,
            report.sha256,
            report.raw,
            None if place is None else place.gen,
            None if place is None else place.index,
            None if place is None else place.leaf_hash,
        )
        return done.endswith(" 0")
    else:
        return True
    return False


async def get(conn: Connection, report_id: str) -> StoredReport | None:
    """The current version under `report_id`."""
    row = await conn.fetchrow(GET, report_id)
    return None if row is None else StoredReport(*row)


async def bundle_before(conn: Connection, report_id: str, ver: int) -> bytes | None:
    """The newest version that is kept of those before version `ver`."""
    bundle: bytes | None = await conn.fetchval(BUNDLE_BEFORE, report_id, ver)
    return bundle


async def place_of(conn: Connection, report_id: str, ver: int) -> Place | None:
    """Where version `ver` stands in its origin's log, if it was shared."""
    row = await conn.fetchrow(VERSION_PLACE, report_id, ver)
    return None if row is None else Place(*row)


def columns(reports: Sequence[NewReport]) -> list[list[object]]:
    """The parameters of an `insertion` of many."""
    return facets.columns([row(new) for new in reports])


def row(new: NewReport) -> tuple[object, ...]:
    """The parameters of an `insertion` of one."""
    report, place = new.report, new.place
    return (
        report.id,
        new.origin,
        new.ver,
        "withdrawn" if report.revoked else "active",
        report.name,
        report.tlp.value,
        report.severity.grade,
        report.severity.level,
        report.severity.score,
        report.realization,
        report.modified,
        report.sha256,
        report.raw,
        " ".join(new.audience),
        None if place is None else place.gen,
        None if place is None else place.index,
        None if place is None else place.leaf_hash,
        *facets.row(report, new.origin),
    )
