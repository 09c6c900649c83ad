"""Likeness in Postgres: which reports are worth comparing, how rare words are, and what people decided.

Nothing here grows with the number of reports: each word and key brings at most `PER_HINT` reports, and rarity is
counted over the newest `SAMPLE`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tocsin_node.actor import person
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection

SAMPLE = 1000
PER_HINT = 300
Verdict = Literal["duplicate", "distinct"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about two reports; it counts both ways round."""

    report_id: str
    other_id: str
    verdict: str
    by: str
    reason: str | None
    at: datetime


# A redaction of ours is like what its record is like, and the record is suggested. To the redaction itself it is not.
# A word that more reports hold than were asked for tells nothing, and one that two hold very much.
CANDIDATES = """
with bound as (
    select least($5::int, greatest(20, (select count(*) from (select from report_facet limit 2000) f) / 4)) as most
),
hint as (
    select found.report_id, found.n from unnest($2::text[]) as word, bound, lateral (
        select report_id, count(*) over () as n from (
            select report_id from report_facet where words @@ plainto_tsquery('simple', word) limit bound.most + 1
        ) f
    ) found
    union all
    select found.report_id, found.n from unnest($3::text[]) as key, bound, lateral (
        select report_id, count(*) over () as n from (
            select report_id from report_facet where keys && array[key] limit bound.most + 1
        ) f
    ) found
)
select report_id from hint, bound where n <= bound.most and report_id <> $1
    and not exists (select from redaction d where d.report_id = hint.report_id)
    and not exists (select from redaction d where d.report_id = $1 and d.record_id = hint.report_id)
group by report_id order by sum(ln(1 + 1e5 / n)) desc, report_id limit $4
"""

BUNDLES = "select id, bundle from report where id = any($1::text[])"

SEEN = f"""
select word, ndoc from ts_stat('select words from report_facet order by seq desc limit {SAMPLE}') where ndoc > 1
union all
select k, count(*)::int from (select keys from report_facet order by seq desc limit {SAMPLE}) f, unnest(f.keys) as k
where split_part(k, ':', 1) in ('party', 'product', 'url') group by k having count(*) > 1
"""

SAMPLED = f"select count(*) from (select from report_facet order by seq desc limit {SAMPLE}) f"

DECIDED = """
select report_id, other_id, verdict, by, note as reason, at from likeness
where report_id = $1 or other_id = $1 order by at, other_id
"""

FORGET = "delete from likeness where report_id = $2 and other_id = $1"

UNDO = """
delete from likeness where (report_id, other_id) in (($1, $2), ($2, $1))
returning report_id, other_id, verdict, by, note, at
"""

DECIDE = """
insert into likeness (report_id, other_id, verdict, by, note) values ($1, $2, $3, $4, $5)
on conflict (report_id, other_id) do update set verdict = $3, by = $4, note = $5, at = now()
"""


async def candidates(
    conn: Connection, report_id: str, words: Sequence[str], keys: Sequence[str], limit: int
) -> dict[str, bytes]:
    """The bundles of at most `limit` other reports that share the rarest of `words` and `keys`."""
    rows = await conn.fetch(CANDIDATES, report_id, list(words), list(keys), limit, PER_HINT)
    found = await conn.fetch(BUNDLES, [row[0] for row in rows])
    return {row[0]: row[1] for row in found}


async def seen(conn: Connection) -> tuple[int, dict[str, int]]:
    """How many reports were sampled, and how many of them hold each word and key that two or more hold."""
    rows = await conn.fetch(SEEN)
    return await sampled(conn), {row[0]: row[1] for row in rows}


async def sampled(conn: Connection) -> int:
    """How many reports are sampled: all of them while they are few."""
    count: int = await conn.fetchval(SAMPLED)
    return count


async def decided(conn: Connection, report_id: str) -> list[Decision]:
    """What people decided about a report and others, oldest first."""
    return [Decision(*row) for row in await conn.fetch(DECIDED, report_id)]


async def decide(
    conn: Connection, report_id: str, other_id: str, verdict: Verdict, *, by: str, reason: str | None
) -> None:
    """Keep a decision in the place of an earlier one about the same two."""
    await conn.execute(FORGET, report_id, other_id)
    await conn.execute(DECIDE, report_id, other_id, verdict, by, reason)
    for each in (report_id, other_id):
        await audit.note(conn, Act("duplicate.decide", f"report:{each}", {"verdict": verdict}, person(by)))


async def undo(conn: Connection, report_id: str, other_id: str) -> Decision | None:
    """Forget what was decided about two reports; returns what it was."""
    async with conn.transaction():
        row = await conn.fetchrow(UNDO, report_id, other_id)
        if row is not None:
            await audit.note(conn, *(Act("duplicate.undo", f"report:{i}") for i in (report_id, other_id)))
    return None if row is None else Decision(*row)
