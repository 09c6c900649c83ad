"""What reports are found by, in Postgres: a narrow row a report, written in the transaction that writes the report.

Rows of reports that were stored by an earlier program are filled in afterwards, a batch at a time; a newer version
that comes meanwhile wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tocsin_node.storage.pool import Connection
from tocsin_schema.facets import facets_of
from tocsin_schema.report import IncidentReport

PARAMETERS = ("text", "int", "timestamptz", "timestamptz", "text", "text", "text", "text", "text", "text")
_NAMES = "id, level, occurred_at, newest_at, creator, origin, keys, title, names, body"
_SEPARATOR = "\x1f"  # no report holds control characters

# Language-agnostic: `simple` neither stems nor drops words; folding was done before (tocsin_schema.words).
_WORDS = """setweight(to_tsvector('simple', n.title), 'A') || setweight(to_tsvector('simple', n.names), 'B')
    || to_tsvector('simple', n.body)"""
_TARGET = "report_facet (report_id, seq, origin, creator, level, occurred_at, newest_at, keys, words)"


@dataclass(frozen=True, slots=True)
class Missing:
    """A report without facets."""

    id: str
    seq: int
    origin: str
    bundle: bytes = field(repr=False)


def insertion(first: int, filed: str, *, many: bool) -> str:
    """The insert beside the insert of reports that is called `filed` in the same statement and gives id and seq."""
    numbered = list(enumerate(PARAMETERS, first))
    if many:
        source = f"unnest({', '.join(f'${number}::{kind}[]' for number, kind in numbered)}) as n ({_NAMES})"
    else:
        source = f"(values ({', '.join(f'${number}::{kind}' for number, kind in numbered)})) as n ({_NAMES})"
    return f"""insert into {_TARGET}
    select f.id, f.seq, n.origin, n.creator, n.level, n.occurred_at, n.newest_at,
        string_to_array(n.keys, chr(31)), {_WORDS}
    from {filed} f join {source} on n.id = f.id"""


REPLACE = f"""
with filed as (select id, seq from report where id = $1)
{insertion(1, "filed", many=False)}
on conflict (report_id) do update set origin = excluded.origin, creator = excluded.creator, level = excluded.level,
    occurred_at = excluded.occurred_at, newest_at = excluded.newest_at, keys = excluded.keys, words = excluded.words,
    stored_at = now()
"""

MISSING = """
select r.id, r.seq, r.origin, r.bundle from report r
where r.seq < $1 and not exists (select from report_facet f where f.report_id = r.id) order by r.seq desc limit $2
"""

FILL = f"""
with filed as (select id, seq from report where id = any($1::text[])), filled as (
    {insertion(1, "filed", many=True)} on conflict do nothing returning report_id
)
select count(*) from filled
"""

# What a stricter program would refuse today is found by its columns and its title.
BARE = """
insert into report_facet (report_id, seq, origin, creator, level, keys, words)
select id, seq, origin, '', level,
    array['state:' || state, 'tlp:' || tlp, 'grade:' || lower(grade), 'realization:' || realization,
        'origin:' || origin],
    setweight(to_tsvector('simple', lower(name)), 'A')
from report where id = any($1::text[])
on conflict do nothing
"""

TIMES = """
update report_facet f set stored_at = r.stored_at,
    first_at = coalesce((select min(v.stored_at) from report_version v where v.report_id = r.id), r.stored_at)
from report r where r.id = f.report_id and r.id = any($1::text[]) and f.stored_at >= now()
"""


def row(report: IncidentReport, origin: str) -> tuple[object, ...]:
    """The parameters of an `insertion` of one; `origin` is the NodeID that owns the report here."""
    found = facets_of(report)
    return (
        report.id,
        report.severity.level,
        found.occurred,
        found.newest,
        report.created_by_ref,
        origin,
        _SEPARATOR.join((*found.keys, f"origin:{origin}")),
        found.title,
        found.names,
        found.text,
    )


def columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """The parameters of an `insertion` of many."""
    return [list(column) for column in zip(*rows, strict=True)]


async def replace(conn: Connection, report: IncidentReport, origin: str) -> None:
    """Put a new version's facets in the place of the old one's, in the caller's transaction."""
    await conn.execute(REPLACE, *row(report, origin))


async def missing(conn: Connection, *, below: int, limit: int) -> list[Missing]:
    """Reports without facets, newest first, below the place `below`."""
    return [Missing(*row) for row in await conn.fetch(MISSING, below, limit)]


async def fill(conn: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Add facets to reports that lack them; what got some meanwhile keeps them. In the caller's transaction."""
    if rows:
        await conn.execute(FILL, *columns(rows))


async def fill_bare(conn: Connection, ids: Sequence[str]) -> None:
    """The same for those of `ids` that lack them still, from their columns; then the times of all of them."""
    await conn.execute(BARE, list(ids))
    await conn.execute(TIMES, list(ids))
