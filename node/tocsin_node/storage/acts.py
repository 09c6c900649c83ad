"""What was done about alerts: one row an act, never changed but for being taken back.

`ack` somebody has seen it; `take` somebody works on it; `resolve` it is over: both come with an `ack` of their own;
`mute` nobody is called until then; `escalate` the next were called; `unanswered` all were called and nobody answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tocsin_node.actor import NODE, person
from tocsin_node.storage import audit
from tocsin_node.storage.alerts import SAID, StoredAlert
from tocsin_node.storage.audit import Act
from tocsin_node.storage.disputed import disputed
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place

Kind = Literal["ack", "take", "mute", "resolve", "escalate", "unanswered"]
Via = Literal["reaction", "reply", "api", "clock"]


@dataclass(frozen=True, slots=True)
class NewAct:
    """An act by our own people or the node's clock. `event_id`, `channel`: the Matrix event that says it, and where.

    `until`: of a mute. `level`: of an escalation.
    """

    kind: Kind
    by: str
    via: Via
    at: datetime
    event_id: str | None = None
    note: str | None = None
    until: datetime | None = None
    level: int | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAct:
    """An act. `node`: NodeID of the peer it came from; None: ours. `disputed`: that peer no longer vouches for it."""

    id: int
    kind: str
    alert_id: int | None
    report_id: str | None
    ver: int | None
    node: str | None
    by: str
    via: str
    note: str | None
    at: datetime
    until: datetime | None
    level: int | None
    revoked_at: datetime | None
    revoked_by: str | None
    disputed: bool

    @property
    def stands(self) -> bool:
        """Whether it was not taken back, and counts (P-253)."""
        return self.revoked_at is None and not self.disputed


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of what our own people did about an alert. `taken_by`: who took it last."""

    acknowledged: bool
    resolved: bool
    taken_by: str | None
    muted_until: datetime | None


_ACT = """k.id, k.kind, k.alert_id, k.report_id, k.ver, k.node, k.by, k.via, k.note, k.at, k.until, k.level,
    k.revoked_at, k.revoked_by, k.disputed"""

# A peer's word about a version stands for that version and those before it.
OF_ALERTS = f"""
select {_ACT} from {SAID} k
where k.alert_id = any($1::bigint[]) or k.via = 'peer' and k.report_id = any($2::text[])
order by k.at, k.id
"""

OF_REPORT = f"""
select {_ACT} from {SAID} k where k.report_id = $1
order by k.at, k.id
"""

# What is done about an emergency is done about its report; about a drill not, lest it stand there as if in earnest.
ADD = """
insert into act (kind, alert_id, report_id, ver, by, via, event_id, note, at, until, level, channel)
select $2, a.id, coalesce(a.report_id, e.report_id),
    coalesce(a.ver, case when e.id is not null then (a.facts ->> 'ver')::integer end), $3, $4, $5, $6, $7, $8, $9, $10
from alert a left join emergency e on e.id = a.emergency and not e.drill where a.id = $1
on conflict do nothing
returning id
"""

STANDING = """
select coalesce(bool_or(kind = 'ack'), false), coalesce(bool_or(kind = 'resolve'), false),
    (array_agg(by order by at desc, id desc) filter (where kind = 'take'))[1],
    (array_agg(until order by at desc, id desc) filter (where kind = 'mute'))[1]
from act where alert_id = $1 and node is null and revoked_at is null
"""

# The origin must hear of the change too: it counts as untold again.
REVOKE = """
update act set revoked_at = greatest(at, least($2, now())), revoked_by = $3, shared_idx = null
where event_id = $1 and revoked_at is null
returning alert_id
"""

REVOKE_MISSING = """
update act set revoked_at = now(), shared_idx = null
where alert_id = $1 and coalesce(channel, 'matrix') = $3 and via = 'reaction' and revoked_at is null
    and event_id <> all($2::text[])
returning id
"""

REVOKE_KIND = """
update act set revoked_at = greatest(at, $3), revoked_by = $4, shared_idx = null
where alert_id = $1 and kind = $2 and node is null and revoked_at is null
returning id
"""

ANSWERED = """
update act set revoked_at = greatest(at, $2), shared_idx = null
where alert_id = $1 and kind = 'unanswered' and node is null and revoked_at is null
"""

UNANSWERED = """
select alert_id from act where kind = 'unanswered' and node is null and revoked_at is null order by alert_id
"""

# That says once more what stands and is vouched for. A mute and a call further say something new each time.
_REPEATED = f"""(not $6 and act.revoked_at is null and act.kind in ('ack', 'take', 'resolve', 'unanswered')
    and not {disputed("act.node", "act.log_gen", "act.log_index")})"""

# Only about what we sent them; their clock may say anything, so it says nothing later than ours. What is said once more
# stays where it was said first: a thief who repeats what is true takes it away from nobody, when his word is disputed.
RECORD_PEER = f"""
insert into act (kind, report_id, ver, node, by, via, at, revoked_at, until, log_gen, log_index)
select $7, r.id, $2, $3, $4, 'peer', said.at, case when $6 then said.at end,
    said.at + make_interval(secs => ($8::bigint - $5::bigint) / 1000.0), $9, $10
from report r, (select least(to_timestamp($5::bigint / 1000.0), now()) as at) said
where r.id = $1 and $3 = any(r.audience)
on conflict (report_id, ver, node, kind) where via = 'peer' do update set
    at = case when $6 or {_REPEATED} then act.at else excluded.at end, revoked_at = excluded.revoked_at,
    by = excluded.by,
    until = case when $6 then act.until else excluded.until end,
    log_gen = case when {_REPEATED} then act.log_gen else excluded.log_gen end,
    log_index = case when {_REPEATED} then act.log_index else excluded.log_index end
returning id
"""


async def of_alerts(conn: Connection, alerts: Sequence[StoredAlert]) -> list[StoredAct]:
    """What was done about these alerts here, and about their reports at peers; oldest first."""
    reports = [a.report_id for a in alerts if a.report_id is not None]
    return [StoredAct(*row) for row in await conn.fetch(OF_ALERTS, [a.id for a in alerts], reports)]


async def of_report(conn: Connection, report_id: str) -> list[StoredAct]:
    """How far people are with one report, here and at peers, oldest first."""
    return [StoredAct(*row) for row in await conn.fetch(OF_REPORT, report_id)]


async def add(conn: Connection, alert_id: int, act: NewAct) -> int | None:
    """Store an act; returns its number, None when it was known, or the alert is not."""
    found: int | None = await conn.fetchval(
        ADD,
        alert_id,
        act.kind,
        act.by,
        act.via,
        act.event_id,
        act.note,
        act.at,
        act.until,
        act.level,
        act.channel,
    )
    if found is not None:
        by = NODE if act.via == "clock" else person(act.by)
        detail: dict[str, Any] = {} if act.level is None else {"level": act.level}
        detail |= {} if act.until is None else {"until": act.until.isoformat()}
        await audit.note(conn, Act(f"alert.{act.kind}", f"alert:{alert_id}", detail, by))
    return found


async def standing(conn: Connection, alert_id: int) -> Standing:
    """What stands of what was done here."""
    return Standing(*await conn.fetchrow(STANDING, alert_id))


async def revoke(conn: Connection, event_id: str, at: datetime, by: str) -> int | None:
    """Take back the acts that this event said; the alert's number, None when there is none that stands."""
    alert_id: int | None = await conn.fetchval(REVOKE, event_id, at, by)
    if alert_id is not None:
        await audit.note(conn, Act("alert.undo", f"alert:{alert_id}", actor=person(by)))
    return alert_id


async def revoke_missing(conn: Connection, alert_id: int, channel: str, standing: Sequence[str]) -> bool:
    """Take back the reactions to an alert on a channel that are not among the `standing` events any more."""
    gone = bool(await conn.fetch(REVOKE_MISSING, alert_id, list(standing), channel))
    if gone:
        found = {"kind": "ack", "why": "reaction-gone"}  # who took it away was not heard
        await audit.note(conn, Act("alert.undo", f"alert:{alert_id}", found, NODE))
    return gone


async def revoke_kind(conn: Connection, alert_id: int, kind: str, at: datetime, by: str) -> bool:
    """Take back all acts of one kind that stand here about an alert; False when none does."""
    gone = bool(await conn.fetch(REVOKE_KIND, alert_id, kind, at, by))
    if gone:
        await audit.note(conn, Act("alert.undo", f"alert:{alert_id}", {"kind": kind}, person(by)))
    return gone


async def answered(conn: Connection, alert_id: int, at: datetime) -> None:
    """That nobody answers is over."""
    await conn.execute(ANSWERED, alert_id, at)


async def unanswered(conn: Connection) -> list[int]:
    """The alerts for which all were called and that nobody has answered."""
    return [row[0] for row in await conn.fetch(UNANSWERED)]


async def record_peer(
    conn: Connection,
    *,
    kind: str,
    report_id: str,
    ver: int,
    node_id: str,
    org: str,
    at_ms: int,
    revoked: bool,
    until_ms: int | None = None,
    place: Place | None = None,
) -> bool:
    """Keep what a peer says about its own people: one row a peer, version and kind, the latest word counts.

    `until_ms`: of a mute, which lasts as long as they say from when it is dated here. `place`: where their log says so.
    False: nothing is kept about a report that was not sealed to that peer.
    """
    at = (None, None) if place is None else (place.gen, place.index)
    kept = await conn.fetchval(RECORD_PEER, report_id, ver, node_id, org, at_ms, revoked, kind, until_ms, *at)
    return kept is not None
