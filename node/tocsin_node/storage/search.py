"""Finding reports: the conditions of a search, pages of what it finds, and how often each facet occurs there.

Work is bounded. Without words, pages are walked newest first. With words, the newest `WINDOW` matches are ranked
(ts_rank, then the newer first), then the next `WINDOW`: a search for a word that half of the reports hold stays as
quick as any. Facets are counted over the newest `COUNTED` matches, and it is said when there were more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import CREATOR, DISPUTED, StoredReport

WINDOW = 200
COUNTED = 5000
PER_FACET = 20
UNSEEN = 2**63 - 1
COUNTABLE = (
    *("grade", "tlp", "state", "realization", "origin", "harm", "product", "party", "country", "flag"),
    *("classification", "technique", "source"),
)
# What a statement's parameters are decides how it is best done: a plan for all of them would be a poor one.
_BOUNDS = "select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('statement_timeout', '5s', true)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search keeps. `any_of`: for each facet the keys of which a report must hold one.

    `words` is a query in the syntax of web search engines, folded (`tocsin_schema.words.sought`); `title` a piece of
    the title, whatever its case; `since` and `until` bound when it began, `stored_since` and `stored_until` when its
    newest version came; ends are not included.
    """

    words: str | None = None
    any_of: Sequence[Sequence[str]] = ()
    min_level: int | None = None
    title: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    stored_since: datetime | None = None
    stored_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after `skip` of the matches from `seq` downwards (`skip` only with words)."""

    seq: int = UNSEEN
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and where the next one begins; None at the end. Bundles are only there when words were wanted."""

    items: list[StoredReport]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Counted:
    """How often each facet's values occur: (value, count), the commonest first. `complete`: all matches counted."""

    total: int
    complete: bool
    facets: Mapping[str, list[tuple[str, int]]] = field(default_factory=dict)


_REPORT = f"""r.id, r.origin, r.ver, r.state, r.name, r.tlp, r.grade, r.level, r.score, r.realization, r.modified,
    r.audience, r.log_gen, r.log_index, r.leaf_hash, r.stored_at, r.seq, {CREATOR}, {DISPUTED}"""


async def page(pool: Pool, wanted: Wanted, *, at: Place, limit: int, window: int = WINDOW) -> Page:
    """One page of what is wanted; with words, so many matches are ranked at once."""
    args: list[object] = [at.seq]
    hits = _hits(wanted, args)
    async with pool.transaction() as conn:
        await conn.execute(_BOUNDS)
        if wanted.words is None:
            return await _newest(conn, hits, args, limit)
        return await _ranked(conn, hits, args, at, limit, window)


async def count(pool: Pool, wanted: Wanted) -> Counted:
    """How often each value of each facet occurs among what is wanted; a redaction is counted with its record."""
    args: list[object] = [UNSEEN]
    hits = _hits(wanted, args) + " and not exists (select from redaction d where d.report_id = f.report_id)"
    args += [COUNTED, list(COUNTABLE), PER_FACET]
    query = f"""
    with hit as materialized ({hits.format(columns="f.keys")} order by f.seq desc limit ${len(args) - 2} + 1),
    total as (select count(*) as n from hit),
    tally as (
        select k, count(*) as n from (select keys from hit limit ${len(args) - 2}) h, unnest(h.keys) as k
        where split_part(k, ':', 1) = any(${len(args) - 1}::text[]) group by k
    ), ranked as (
        select k, n, row_number() over (partition by split_part(k, ':', 1) order by n desc, k) as nth from tally
    )
    select null as k, total.n from total union all select k, n from (
        select k, n from ranked where nth <= ${len(args)} order by n desc, k
    ) commonest
    """
    async with pool.transaction() as conn:
        await conn.execute(_BOUNDS)
        rows = await conn.fetch(query, *args)
    total = next(row[1] for row in rows if row[0] is None)
    facets: dict[str, list[tuple[str, int]]] = {name: [] for name in COUNTABLE}
    for key, number in rows:
        if key is not None:
            name, _, value = key.partition(":")
            facets[name].append((value, number))
    return Counted(min(total, COUNTED), total <= COUNTED, facets)


def _hits(wanted: Wanted, args: list[object]) -> str:
    """The matches from `$1` downwards, `columns` to be filled in; `args` grows by what the conditions need."""
    said = ["f.seq <= $1"]

    def add(condition: str, value: object) -> None:
        args.append(value)
        said.append(condition.replace("$", f"${len(args)}"))

    for keys in wanted.any_of:
        add("f.keys && $::text[]", list(keys))
    if wanted.words is not None:
        add("f.words @@ websearch_to_tsquery('simple', $)", wanted.words)
    for condition, value in (
        ("f.level >= $", wanted.min_level),
        ("f.occurred_at >= $", wanted.since),
        ("f.occurred_at < $", wanted.until),
        ("f.stored_at >= $", wanted.stored_since),
        ("f.stored_at < $", wanted.stored_until),
        ("(select strpos(lower(t.name), lower($)) from report t where t.id = f.report_id) > 0", wanted.title),
    ):
        if value is not None:
            add(condition, value)
    return f"select {{columns}} from report_facet f where {' and '.join(said)}"


async def _newest(conn: Connection, hits: str, args: list[object], limit: int) -> Page:
    args.append(limit + 1)
    query = f"""
    with hit as materialized (
        {hits.format(columns="f.report_id, f.seq, f.creator")} order by f.seq desc limit ${len(args)}
    )
    select {_REPORT}, ''::bytea as bundle from hit f join report r on r.id = f.report_id order by f.seq desc
    """
    found = [StoredReport(*row) for row in await conn.fetch(query, *args)]
    return Page(found[:limit], Place(found[limit].seq) if len(found) > limit else None)


async def _ranked(
    conn: Connection, hits: str, args: list[object], at: Place, limit: int, window: int
) -> Page:
    words = next(
        n for n, value in enumerate(args, 1) if isinstance(value, str)
    )  # the only one before a title
    args += [window, at.skip, limit]
    query = f"""
    with hit as materialized (
        {hits.format(columns="f.report_id, f.seq, f.words, f.creator")} order by f.seq desc limit ${len(args) - 2}
    ), best as materialized (
        select report_id, seq, creator, ts_rank(words, websearch_to_tsquery('simple', ${words})) as rank from hit
        order by rank desc, seq desc offset ${len(args) - 1} limit ${len(args)}
    ), bounds as (select count(*) as n, min(seq) as lowest from hit)
    select {_REPORT}, r.bundle, bounds.n, bounds.lowest
    from best f join report r on r.id = f.report_id, bounds order by f.rank desc, f.seq desc
    """
    rows = await conn.fetch(query, *args)
    if not rows:
        return Page([], None)
    matched, lowest = rows[0][-2:]
    following = None
    if at.skip + limit < matched:
        following = Place(at.seq, at.skip + limit)
    elif matched == window:
        following = Place(lowest - 1)
    return Page([StoredReport(*row[:-2]) for row in rows], following)
