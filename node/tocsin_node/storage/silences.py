"""Silences: which rings people do not want for a while, who said so, and until when."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.actor import person
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection

RANKS = {"I": 1, "II": 2, "III": 3, "IV": 4, "none": 5}


@dataclass(frozen=True, slots=True)
class NewSilence:
    """A silence about to be stored. `keys`: lists of facets, of each of which a report has to have one.

    `rank`: the gravest grade that it silences, 1 for grade I.
    """

    by: str
    reason: str
    until: datetime
    origin: str | None
    report_id: str | None
    system: str | None
    harm: str | None
    technique: str | None
    keys: Sequence[Sequence[str]]
    rank: int


@dataclass(frozen=True, slots=True)
class StoredSilence:
    """A silence. `holding`: how many alerts it keeps from ringing now."""

    id: int
    by: str
    reason: str
    at: datetime
    until: datetime
    ended_at: datetime | None
    ended_by: str | None
    origin: str | None
    report_id: str | None
    system: str | None
    harm: str | None
    technique: str | None
    rank: int
    active: bool
    holding: int


@dataclass(frozen=True, slots=True)
class Subject:
    """What a silence is held against: an alert's report with its facets; `rank` of its grade."""

    report_id: str | None
    origin: str | None
    keys: Sequence[str]
    rank: int


_ROW = """s.id, s.by, s.reason, s.at, s.until, s.ended_at, s.ended_by, s.origin, s.report_id, s.system, s.harm,
    s.technique, s.rank, s.ended_at is null and s.until > now(),
    (select count(distinct d.alert_id)::int from delivery d
     where d.held = 'silence ' || s.id and d.state = 'pending')"""

ADD = """
insert into silence (by, reason, until, origin, report_id, system, harm, technique, keys, rank)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10) returning id
"""

GET = f"select {_ROW} from silence s where s.id = $1"

LIST = f"""
select {_ROW} from silence s
where ($1::bigint is null or s.id < $1) and (not $2 or s.ended_at is null and s.until > now())
order by s.id desc limit $3
"""

END = """
update silence set ended_at = now(), ended_by = $2 where id = $1 and ended_at is null and until > now() returning id
"""

LET_GO = "update delivery set not_before = now() where held = 'silence ' || $1::bigint and state = 'pending'"

# The one that lasts longest, so that a held alert is looked at as seldom as may be.
MATCHING = f"""
select {_ROW} from silence s
where s.ended_at is null and s.until > now() and s.rank <= $4
  and (s.origin is null or s.origin = $2) and (s.report_id is null or s.report_id = $1)
  and not exists (select from jsonb_array_elements(s.keys) wanted
                  where not exists (select from jsonb_array_elements_text(wanted) one where one = any($3::text[])))
order by s.until desc limit 1
"""

SUBJECT = "select f.origin, f.keys from report_facet f where f.report_id = $1"

ANY = "select exists (select from silence where ended_at is null and until > now())"


async def add(conn: Connection, new: NewSilence) -> int:
    """Store a silence."""
    silence_id: int = await conn.fetchval(
        ADD,
        new.by,
        new.reason,
        new.until,
        new.origin,
        new.report_id,
        new.system,
        new.harm,
        new.technique,
        json.dumps(new.keys),
        new.rank,
    )
    detail = {"until": new.until.isoformat(timespec="seconds")}
    await audit.note(conn, Act("silence.add", f"silence:{silence_id}", detail, person(new.by)))
    return silence_id


async def get(conn: Connection, silence_id: int) -> StoredSilence | None:
    """One silence."""
    row = await conn.fetchrow(GET, silence_id)
    return None if row is None else StoredSilence(*row)


async def listing(
    conn: Connection, *, before: int | None, active_only: bool, limit: int
) -> list[StoredSilence]:
    """Newest first; `before` is the id of the last one seen."""
    return [StoredSilence(*row) for row in await conn.fetch(LIST, before, active_only, limit)]


async def end(conn: Connection, silence_id: int, by: str) -> bool:
    """End a silence before its time, and let go of what it held; False when it had ended."""
    ended = await conn.fetchval(END, silence_id, by) is not None
    if ended:
        await conn.execute(LET_GO, silence_id)
        await audit.note(conn, Act("silence.expire", f"silence:{silence_id}", actor=person(by)))
    return ended


async def matching(conn: Connection, subject: Subject) -> StoredSilence | None:
    """The silence that keeps the subject from ringing now."""
    row = await conn.fetchrow(MATCHING, subject.report_id, subject.origin, list(subject.keys), subject.rank)
    return None if row is None else StoredSilence(*row)


async def subject(conn: Connection, report_id: str | None, grade: str) -> Subject:
    """What is known of an alert's report here: without a report nothing."""
    row = None if report_id is None else await conn.fetchrow(SUBJECT, report_id)
    origin, keys = (None, []) if row is None else row
    return Subject(report_id, origin, keys, RANKS.get(grade, len(RANKS)))
