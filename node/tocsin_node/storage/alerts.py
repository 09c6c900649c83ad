"""Alerts and who acknowledged them. An alert is written once and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as it was stored; `facts` is JSON. `marking`: its report's TLP now, None without a report here.

    `incident`: what it is about, the same for all alerts of one report or cluster.
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


@dataclass(frozen=True, slots=True)
class NewAck:
    """An acknowledgement by our own people. `event_id`: the Matrix event that said it, if one did, on `channel`."""

    by: str
    via: Literal["reaction", "reply", "api"]
    at: datetime
    event_id: str | None = None
    note: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAck:
    """An acknowledgement. `node`: NodeID of the peer it came from; None: ours."""

    alert_id: int | None
    report_id: str | None
    ver: int | None
    node: str | None
    by: str
    via: str
    note: str | None
    at: datetime
    revoked_at: datetime | None


_ALERT = """a.id, a.report_id, a.ver, a.kind, a.grade, a.level, a.tlp, a.origin, a.facts, a.raised_at, a.incident,
    (select r.tlp from report r where r.id = a.report_id) as marking"""
# What was acknowledged; what a peer said of a redaction it said of its record too, of the version that was redacted.
_SAID = """(
    select id, alert_id, report_id, ver, node, by, via, note, at, revoked_at from acknowledgement
    union all
    select k.id, null, d.record_id, case when k.ver >= p.ver then d.record_ver else 1 end, k.node, k.by, k.via, k.note,
        k.at, k.revoked_at
    from acknowledgement k join redaction d on d.report_id = k.report_id join report p on p.id = k.report_id
    where k.via = 'peer'
)"""
_ACK = "k.alert_id, k.report_id, k.ver, k.node, k.by, k.via, k.note, k.at, k.revoked_at"

INSERT = """
insert into alert (report_id, ver, kind, grade, level, tlp, origin, ours, facts)
select $1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb
where case $10::text when 'new' then not exists (select from alert where report_id = $1 and kind <> 'duty')
                     when 'rung' then exists (select from alert where report_id = $1 and kind <> 'duty')
                     else true end
on conflict (report_id, ver) do nothing
returning id
"""

GET = f"select {_ALERT} from alert a where a.id = $1"

LIST = f"""
select {_ALERT} from alert a
where ($1::bigint is null or a.id < $1)
  and (not $2 or not exists (select from acknowledgement k where k.alert_id = a.id and k.revoked_at is null)
    and not exists (select from {_SAID} k where k.via = 'peer' and k.report_id = a.report_id
                    and k.ver >= a.ver and k.revoked_at is null)
    and not (a.kind = 'test' and (a.raised_at < now() - interval '1 hour' or exists (
        select from delivery d where d.alert_id = a.id
            and (d.echoed_at is not null or d.channel not like 'matrix%' and d.accepted_at is not null)))))
order by a.id desc limit $3
"""

# A peer's acknowledgement of a version stands for that version and those before it.
ACKS = f"""
select {_ACK} from {_SAID} k
where k.alert_id = any($1::bigint[]) or k.via = 'peer' and k.report_id = any($2::text[])
order by k.at, k.id
"""

ACKS_OF_REPORT = f"select {_ACK} from {_SAID} k where k.report_id = $1 order by k.at, k.id"

ACKNOWLEDGE = """
insert into acknowledgement (alert_id, report_id, ver, by, via, event_id, note, at, channel)
select a.id, a.report_id, a.ver, $2, $3, $4, $5, least($6, now()), $7 from alert a where a.id = $1
on conflict do nothing
returning id
"""

UNANSWERED = """
select exists (select from alert a
    where a.kind in ('raise', 'escalate') and a.grade in ('I', 'II')
      and a.raised_at < now() - make_interval(secs => $1) and a.raised_at > now() - interval '1 day'
      and not exists (select from acknowledgement k where k.alert_id = a.id and k.revoked_at is null)
      and not exists (select from acknowledgement k where k.via = 'peer' and k.report_id = a.report_id
                      and k.ver >= a.ver and k.revoked_at is null)
      and not exists (select from alert newer where newer.report_id = a.report_id and newer.id > a.id
                      and newer.kind <> 'duty'))
"""

# Its origin must hear of the change too: it counts as untold again.
REVOKE = """
update acknowledgement set revoked_at = greatest(at, least($2, now())), shared_idx = null
where event_id = $1 and revoked_at is null
returning id
"""

REVOKE_MISSING = """
update acknowledgement set revoked_at = now(), shared_idx = null
where alert_id = $1 and coalesce(channel, 'matrix') = $3 and via = 'reaction' and revoked_at is null
    and event_id <> all($2::text[])
returning id
"""

# Only about what we sent them; their clock may say anything, so it says nothing later than ours.
RECORD_PEER = """
insert into acknowledgement (report_id, ver, node, by, via, at, revoked_at)
select r.id, $2, $3, $4, 'peer', said.at, case when $6 then said.at end
from report r, (select least(to_timestamp($5::bigint / 1000.0), now()) as at) said
where r.id = $1 and $3 = any(r.audience)
on conflict (report_id, ver, node) where via = 'peer' do update set
    at = case when $6 then acknowledgement.at else excluded.at end, revoked_at = excluded.revoked_at,
    by = excluded.by
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
    )
    return alert_id


async def get(conn: Connection, alert_id: int) -> StoredAlert | None:
    """One alert."""
    row = await conn.fetchrow(GET, alert_id)
    return None if row is None else StoredAlert(*row)


async def listing(conn: Connection, *, before: int | None, open_only: bool, limit: int) -> list[StoredAlert]:
    """Newest first; `before` is the id of the last one seen."""
    return [StoredAlert(*row) for row in await conn.fetch(LIST, before, open_only, limit)]


async def acks_of(conn: Connection, alerts: Sequence[StoredAlert]) -> list[StoredAck]:
    """What was said about these alerts here, and about their reports at peers; oldest first."""
    reports = [a.report_id for a in alerts if a.report_id is not None]
    return [StoredAck(*row) for row in await conn.fetch(ACKS, [a.id for a in alerts], reports)]


async def acks_of_report(conn: Connection, report_id: str) -> list[StoredAck]:
    """Everything that was acknowledged about one report, oldest first."""
    return [StoredAck(*row) for row in await conn.fetch(ACKS_OF_REPORT, report_id)]


async def acknowledge(conn: Connection, alert_id: int, ack: NewAck) -> bool:
    """Store an acknowledgement; False when it was known, or the alert is not."""
    found = await conn.fetchval(
        ACKNOWLEDGE, alert_id, ack.by, ack.via, ack.event_id, ack.note, ack.at, ack.channel
    )
    return found is not None


async def unanswered(conn: Connection, after_s: float) -> bool:
    """Whether nobody has acknowledged an alert of grade I or II of the last day for so long."""
    found: bool = await conn.fetchval(UNANSWERED, after_s)
    return found


async def revoke(conn: Connection, event_id: str, at: datetime) -> bool:
    """Take back the acknowledgement that this event said; False when there is none that stands."""
    return await conn.fetchval(REVOKE, event_id, at) is not None


async def revoke_missing(conn: Connection, alert_id: int, channel: str, standing: Sequence[str]) -> bool:
    """Take back the reactions to an alert on a channel that are not among the `standing` events any more."""
    return bool(await conn.fetch(REVOKE_MISSING, alert_id, list(standing), channel))


async def record_peer_ack(
    conn: Connection, *, report_id: str, ver: int, node_id: str, org: str, at_ms: int, revoked: bool
) -> None:
    """Keep what a peer says about its own people: one row a peer and version, the latest word counts.

    Nothing is kept about a report that was not sealed to that peer.
    """
    await conn.execute(RECORD_PEER, report_id, ver, node_id, org, at_ms, revoked)
