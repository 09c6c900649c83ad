"""Alerts. One is written once and never changed; what was done about it stands in `acts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tocsin_node.actor import NODE
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.disputed import ACT, ALERT, OVER
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert about to be stored; `facts` is JSON. `only` as in `alarm_rule.Ring`."""

    report_id: str | None
    ver: int | None
    kind: str
    grade: str
    level: int
    tlp: str
    origin: str
    ours: bool
    facts: str
    only: Literal["always", "new", "rung"] = "always"
    emergency: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as it was stored; `facts` is JSON. `marking`: its report's TLP now, None without a report here.

    `incident`: what it is about, the same for all alerts of one report or cluster. `over`: its emergency was stood
    down.
    """

    id: int
    report_id: str | None
    ver: int | None
    kind: str
    grade: str
    level: int
    tlp: str
    origin: str
    facts: str
    raised_at: datetime
    incident: str
    marking: str | None
    over: bool
    disputed: bool


_ALERT = f"""a.id, a.report_id, a.ver, a.kind, a.grade, a.level, a.tlp, a.origin, a.facts, a.raised_at, a.incident,
    (select r.tlp from report r where r.id = coalesce(a.report_id, e.report_id)) as marking,
    {OVER} as over, {ALERT} as disputed"""
_FROM = "from alert a left join emergency e on e.id = a.emergency"
# What was done; what a peer said of a redaction it said of its record too, of the version that was redacted.
SAID = f"""(
    select k.id, k.kind, k.alert_id, k.report_id, k.ver, k.node, k.by, k.via, k.note, k.at, k.until, k.level,
        k.revoked_at, k.revoked_by, {ACT} as disputed
    from act k
    union all
    select k.id, k.kind, null, d.record_id, case when k.ver >= p.ver then d.record_ver else 1 end, k.node, k.by, k.via,
        k.note, k.at, k.until, k.level, k.revoked_at, k.revoked_by, {ACT}
    from act k join redaction d on d.report_id = k.report_id join report p on p.id = k.report_id
    where k.via = 'peer'
)"""

INSERT = """
insert into alert (report_id, ver, kind, grade, level, tlp, origin, ours, facts, emergency)
select $1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $11::uuid
where case $10::text when 'new' then not exists (select from alert where report_id = $1 and kind <> 'duty')
                     when 'rung' then exists (select from alert where report_id = $1 and kind <> 'duty')
                     else true end
on conflict do nothing
returning id
"""

GET = f"select {_ALERT} {_FROM} where a.id = $1"

# What is said in a thread is about the newest that rang there.
NEWEST = """
select max(b.id) from alert a join alert b on b.incident = a.incident where a.id = $1
"""

MANY = f"select {_ALERT} {_FROM} where a.id = any($1::bigint[]) order by a.id"

LIST = f"""
select {_ALERT} {_FROM}
where ($1::bigint is null or a.id < $1)
  and (not $2 or not exists (select from act k where k.alert_id = a.id and k.kind = 'ack' and k.revoked_at is null)
    and not {OVER}
    and not exists (select from {SAID} k where k.via = 'peer' and k.kind in ('ack', 'take', 'resolve')
                    and k.report_id = a.report_id and k.ver >= a.ver and k.revoked_at is null and not k.disputed)
    and not (a.kind = 'test' and (a.raised_at < now() - interval '1 hour' or exists (
        select from delivery d where d.alert_id = a.id
            and (d.echoed_at is not null or d.channel not like 'matrix%' and d.accepted_at is not null)))))
order by a.id desc limit $3
"""


async def insert(conn: Connection, new: NewAlert) -> int | None:
    """Store an alert; None when this version rang already or its condition does not hold."""
    alert_id: int | None = await conn.fetchval(
        INSERT,
        new.report_id,
        new.ver,
        new.kind,
        new.grade,
        new.level,
        new.tlp,
        new.origin,
        new.ours,
        new.facts,
        new.only,
        new.emergency,
    )
    if alert_id is not None:
        facts = {"kind": new.kind, "grade": new.grade, "tlp": new.tlp}
        await audit.note(conn, Act("alert.raise", f"alert:{alert_id}", facts, NODE))
    return alert_id


async def get(conn: Connection, alert_id: int | None) -> StoredAlert | None:
    """One alert; None where there is none of that number."""
    row = await conn.fetchrow(GET, alert_id)
    return None if row is None else StoredAlert(*row)


async def newest_of_incident(conn: Connection, alert_id: int) -> int | None:
    """The newest alert about the incident that this one is about."""
    found: int | None = await conn.fetchval(NEWEST, alert_id)
    return found


async def many(conn: Connection, alert_ids: Sequence[int]) -> list[StoredAlert]:
    """These alerts, oldest first."""
    return [StoredAlert(*row) for row in await conn.fetch(MANY, list(alert_ids))]


async def listing(conn: Connection, *, before: int | None, open_only: bool, limit: int) -> list[StoredAlert]:
    """Newest first; `before` is the id of the last one seen."""
    return [StoredAlert(*row) for row in await conn.fetch(LIST, before, open_only, limit)]
