"""Clusters in Postgres: what several organisations reported within a window, read from the facets at each look.

Nothing is kept of a cluster but that it rang, so none can be missed or be out of date: whatever is committed counts
at the next look.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import DISPUTED

MOST = 200
MEMBERS = 100
_BOUNDS = "select set_config('statement_timeout', '10s', true)"


@dataclass(frozen=True, slots=True)
class Member:
    """A report of a cluster."""

    report_id: str
    origin: str
    creator: str
    level: int
    tlp: str
    first_at: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Reports that share a key. `organisations`: as many as both origins and creators tell apart."""

    key: str
    organisations: int
    reports: int
    members: tuple[Member, ...]


# A peer counts once, whatever creators it names, and whoever wrote what it passes on; a creator counts once, whoever
# brought its reports. What was long
# over when it came is history and warns of nothing, as it does not ring; nor do records without any time. A redaction
# of ours is counted with its record.
CLUSTERS = f"""
with recent as materialized (
    select f.report_id, coalesce((
            select p.through from passed p join report r on r.id = p.report_id and r.ver = p.ver
            where p.report_id = f.report_id), f.origin) as origin,
        f.creator, f.level, f.first_at, f.keys
    from report_facet f
    where f.first_at > now() - make_interval(days => $1) and not f.keys && array['state:withdrawn']
      and not exists (select from redaction d where d.report_id = f.report_id)
      and not exists (select from report r where r.id = f.report_id and {DISPUTED})
      and (f.keys && array['flag:ongoing', 'flag:imminent-risk-to-life']
           or f.newest_at > f.first_at - make_interval(days => $2)
           or f.newest_at is null and not exists (select from unnest(f.keys) s where s like 'source:%'))
), shared as (
    select k, r.report_id, r.origin, r.creator, r.level, r.first_at from recent r, unnest(r.keys) as k
    where k like 'product:%' or k like 'technique:%'
), found as (
    select k, least(count(distinct origin), count(distinct creator)) as organisations, count(*) as reports,
        max(first_at) as last_at
    from shared group by k having least(count(distinct origin), count(distinct creator)) >= $3
    order by organisations desc, last_at desc, k limit {MOST}
), numbered as (
    select s.*, f.organisations, f.reports, f.last_at,
        row_number() over (partition by s.k order by s.first_at desc, s.report_id) as nth
    from found f join shared s on s.k = f.k
)
select n.k, n.organisations, n.reports, n.report_id, n.origin, n.creator, n.level, r.tlp, n.first_at
from numbered n join report r on r.id = n.report_id where n.nth <= {MEMBERS}
order by n.organisations desc, n.last_at desc, n.k, n.first_at, n.report_id
"""

RUNG = """
select exists (select from cluster_rung where cluster_id = $1 and organisations >= $2
               and at > now() - make_interval(days => $3))
"""

RING = "insert into cluster_rung (cluster_id, organisations, alert_id) values ($1, $2, $3)"


def cluster_id(key: str) -> str:
    """The name of the cluster of all reports that share this facet."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def clusters_of(keys: Sequence[str]) -> list[str]:
    """The clusters that a report with these facets may belong to."""
    return [cluster_id(key) for key in keys if key.startswith(("product:", "technique:"))]


async def groups(pool: Pool, *, days: int, history_days: int, organisations: int) -> Sequence[Group]:
    """What so many organisations reported within `days`, the most organisations first."""
    async with pool.transaction() as conn:
        await conn.execute(_BOUNDS)
        rows = await conn.fetch(CLUSTERS, days, history_days, organisations)
    found: dict[str, tuple[int, int, list[Member]]] = {}
    for key, count, reports, *member in rows:
        found.setdefault(key, (count, reports, []))[2].append(Member(*member))
    return [Group(key, count, reports, tuple(members)) for key, (count, reports, members) in found.items()]


async def has_rung(conn: Connection, cluster_id: str, organisations: int, *, days: int) -> bool:
    """Whether the cluster rang within `days` with so many organisations or more."""
    rung: bool = await conn.fetchval(RUNG, cluster_id, organisations, days)
    return rung


async def record_rung(conn: Connection, cluster_id: str, organisations: int, alert_id: int) -> None:
    """Keep, in the transaction that writes the alert, that the cluster rang."""
    await conn.execute(RING, cluster_id, organisations, alert_id)
