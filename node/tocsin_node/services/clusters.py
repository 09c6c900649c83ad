"""Early warning: several organisations report the same system or technique within a window.

Found anew at each look, so a restart loses nothing. If `alerts.cluster` is set, a look follows whenever a report was
filed or came, and a cluster rings once, and once more for each further organisation: the alert, its message and that it
rang are one transaction.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.errors import NodeError
from tocsin_node.links.alert_text import AlertFacts
from tocsin_node.links.alert_thread import NOTICE, Saying
from tocsin_node.services.alarm_plan import AlertPlan
from tocsin_node.services.alarms import Alarms
from tocsin_node.settings.alerting import AlertSettings
from tocsin_node.storage import clusters, grouping
from tocsin_node.storage.clusters import Group, Member
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.marking import Tlp
from tocsin_schema.severity import GRADES

NAMED = 5
PRIORITY = 3
REST = 10  # times as long as a look took: in a flood of reports, looks take a tenth of the time at most
logger = logging.getLogger(__name__)


class ClusterUnknown(NodeError):
    """There is no cluster with that id now."""

    code = "cluster-unknown"
    hint = "`tocsin cluster list` shows those there are; one ends when its reports lie further back than the window."


@dataclass(frozen=True, slots=True)
class Cluster:
    """What several organisations report. `tlp`: the strictest of its members'; `level`: the gravest."""

    id: str
    kind: str
    name: str
    organisations: int
    reports: int
    level: int
    tlp: Tlp
    first_at: datetime
    last_at: datetime
    reasons: tuple[str, ...]
    members: tuple[Member, ...]


class Clusters:
    """The clusters there are now, and ringing for them."""

    def __init__(
        self,
        pool: Pool,
        alarms: Alarms,
        settings: AlertSettings,
        name_of: Callable[[str], str],
        *,
        org: str,
    ) -> None:
        """`name_of`: the name of the organisation behind a NodeID; `org`: ours, since the warning is the node's own."""
        self._pool = pool
        self._alarms = alarms
        self._settings = settings
        self._name_of = name_of
        self._org = org
        self._woken = asyncio.Event()
        self._ringing = asyncio.Lock()

    def wake(self) -> None:
        """A report was filed or came: look soon."""
        self._woken.set()

    async def run(self) -> None:
        """Look and ring after each `wake`; ends at once where clusters do not ring. Start it once."""
        while self._settings.cluster:
            await self._woken.wait()
            self._woken.clear()
            began = time.monotonic()
            try:
                await self.ring()
            except StorageError as exc:
                logger.warning("clusters are looked for again within a minute: %s", exc)
            await asyncio.sleep(REST * (time.monotonic() - began))

    async def list(self) -> Sequence[Cluster]:
        """All clusters of the window, the most organisations first."""
        settings = self._settings
        found = await clusters.groups(
            self._pool,
            days=settings.cluster_days,
            history_days=settings.history_days,
            organisations=settings.cluster_organisations,
        )
        return [self._cluster(group) for group in _once(found)]

    async def get(self, cluster_id: str) -> Cluster:
        """One cluster. Raises: ClusterUnknown."""
        for cluster in await self.list():
            if cluster.id == cluster_id:
                return cluster
        raise ClusterUnknown

    async def ring(self) -> int:
        """Ring for what is new or has grown, if that is set; returns how many alerts were written."""
        if not self._settings.cluster:
            return 0
        rang = 0
        async with self._ringing:  # two looks at once would both ring
            for cluster in await self.list():
                rang += await self._ring(cluster)
        if rang:
            self._alarms.wake()
        return rang

    async def _ring(self, cluster: Cluster) -> bool:
        facts = AlertFacts(
            kind="cluster",
            grade=GRADES[cluster.level],
            tlp=cluster.tlp,
            level=cluster.level,
            title=f"{cluster.organisations} organisations report {cluster.name}",
            summary="Different organisations reported it within days; it may be one cause.",
            reasons=cluster.reasons,
            systems=(cluster.name,),
            cluster=f"{cluster.id}/{cluster.organisations}",
            since=cluster.first_at.isoformat(),
        )
        plan = AlertPlan(self._alarms.cut(facts), cluster.level, self._org, ours=True, priority=PRIORITY)
        async with self._pool.transaction() as conn:
            days = self._settings.cluster_days
            if await clusters.has_rung(conn, cluster.id, cluster.organisations, days=days):
                return False
            alert_id = await self._alarms.record(conn, plan, report_ver=None)
            assert alert_id is not None, "only alerts about reports can have rung already"
            await clusters.record_rung(conn, cluster.id, cluster.organisations, alert_id)
            await self._tell_members(conn, cluster, alert_id)
        return True

    async def _tell_members(self, conn: Connection, cluster: Cluster, alert_id: int) -> None:
        """Say so in the threads of the newest reports that it is made of; once for each, however it grows."""
        saying = Saying(
            what=f"cluster {cluster.id}",
            line=f"Several organisations report the same: alert {alert_id}. See: tocsin cluster show {cluster.id}",
        )
        for member in sorted(cluster.members, key=lambda one: one.first_at)[-NAMED:]:
            newest = await grouping.newest(conn, member.report_id)
            if newest is not None:
                await self._alarms.say(conn, newest, NOTICE, saying)

    def _cluster(self, group: Group) -> Cluster:
        kind, _, name = group.key.partition(":")
        members = group.members
        names = list(dict.fromkeys(self._name_of(member.origin) for member in members))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        days = self._settings.cluster_days
        what = "system" if kind == "product" else "technique"
        return Cluster(
            id=clusters.cluster_id(group.key),
            kind=what,
            name=name,
            organisations=group.organisations,
            reports=group.reports,
            level=max(member.level for member in members),
            tlp=max((Tlp(member.tlp) for member in members), key=lambda tlp: tlp.rank),
            first_at=min(member.first_at for member in members),
            last_at=max(member.first_at for member in members),
            reasons=(
                f"{group.organisations} organisations within {days} days: {', '.join(names[:NAMED])}{more}",
                f"the same {what} in {group.reports} reports: {name}",
            ),
            members=members,
        )


def _once(found: Sequence[Group]) -> Sequence[Group]:
    """Each set of reports once: a technique has its identifier and its short name, which says more."""
    best: dict[tuple[str, ...], Group] = {}
    for group in found:
        which = (group.key.partition(":")[0], *(member.report_id for member in group.members))
        if which not in best or len(group.key) < len(best[which].key):
            best[which] = group
    return list(best.values())
