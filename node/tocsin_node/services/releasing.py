"""Releasing: which peers get a version of a report of ours, and why the others do not."""

import shlex
from collections.abc import Sequence

from tocsin_federation.sharing import PeerPolicy, Release, Withheld, release
from tocsin_node.services.circle_standing import Way, members_gone
from tocsin_node.services.naming import refuse_unshared
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.peering import Peering
from tocsin_node.services.report_refusals import AudienceEmpty
from tocsin_node.storage import reports, shares
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.reports import StoredReport
from tocsin_schema.facets import duplicates_named
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport


class Releasing:
    """Decides who gets a report, and knows who was sent it."""

    def __init__(self, pool: Pool, peering: Peering, ownership: Ownership, *, node_id: str) -> None:
        self._pool = pool
        self._peering = peering
        self._ownership = ownership
        self._node_id = node_id

    def first(
        self, report: IncidentReport, to: Sequence[str] | None, *, share: bool = True, way: Way | None = None
    ) -> Release:
        """Who gets a report that nobody has, or this version of it further.

        `to`: names or NodeIDs; None: all whose policy admits its TLP. `way`: the members of that circle instead.
        Raises: AudienceEmpty, PeerUnknown.
        """
        policies = self._peering.policies()
        if not share:
            return _to_nobody(policies, "not-shared", "it was filed with --no-share")
        if report.personal_data == "present":
            return _to_nobody(
                policies, "personal-data", "it holds personal data, which never leaves this node"
            )
        if self._ownership.of_another_node(report):
            return _to_nobody(
                policies, "foreign-creator", "another node created it, and it alone sends it on"
            )
        if way is not None and report.tlp is Tlp.RED and policies:
            raise AudienceEmpty
        if way is not None:
            return sealable_only(way.release(report.tlp, policies), self._peering)
        requested = None if to is None else [self._peering.named(name).node_id for name in to]
        released = release(report.tlp, policies, requested=requested)
        if requested is None and report.tlp is Tlp.RED and policies:
            raise AudienceEmpty
        return sealable_only(released, self._peering)

    async def next(
        self, report: IncidentReport, held: reports.Held, to: Sequence[str] | None, way: Way | None = None
    ) -> Release:
        """Who gets a later version; of a circle's report its members of today too.

        Raises: AudienceEmpty, PeerUnknown.
        """
        wanted = await self._for_whom(report, held, to)
        gone: frozenset[str] = frozenset()
        if way is not None and report.tlp is not Tlp.RED and not report.revoked:
            gone = way.gone(wanted)  # who was taken out learns of the withdrawal, and of nothing else
            wanted = [i for i in wanted if i not in gone]
            if not way.closed:
                back = await self.taken_back(report.id)
                members = [p.node_id for p in way.release(report.tlp, self._peering.policies()).to]
                wanted = list(dict.fromkeys([*wanted, *(i for i in members if i not in back)]))
        return members_gone(self.first(report, wanted, share=bool(wanted)), gone)

    def kept_here(self) -> Release:
        """What nobody has taken on goes to nobody."""
        return _to_nobody(
            self._peering.policies(),
            "review-needed",
            "it seems to hold personal data or secrets, and nobody has taken it on that it leaves",
        )

    async def refuse_unshared(self, report: IncidentReport, released: Release) -> None:
        """Return when its readers know of the reports whose duplicate it says to be. Raises: NamesUnshared."""
        if not (released.to and duplicates_named(report)):
            return
        async with self._pool.acquire() as conn:
            standing = await reports.get(conn, report.id)
            await refuse_unshared(conn, self._node_id, report, released, standing, self._peering.name_of)

    async def having(self, report: StoredReport) -> set[str]:
        """Those of an own report's audience (NodeIDs) that were sent its newest version."""
        async with self._pool.acquire() as conn:
            return await shares.recipients(conn, report.id, report.ver)

    async def taken_back(self, report_id: str) -> set[str]:
        """From whom (NodeIDs) an own report was taken back: a circle brings it to them no more."""
        async with self._pool.acquire() as conn:
            return await shares.taken_back(conn, report_id)

    async def _for_whom(
        self, report: IncidentReport, held: reports.Held, to: Sequence[str] | None
    ) -> list[str]:
        """Names and NodeIDs of those whom a new version is for (PROTOCOL.md, P-103).

        Whoever had the report, and whoever is named now. A version marked RED, unless it is the withdrawal, is only
        for those named for RED: named now, or recipients of the version held when that was RED already.
        Raises: AudienceEmpty when RED would go to former recipients whom nobody has named for it.
        """
        former = [i for i in held.audience if self._peering.by_id(i) is not None]
        if report.tlp is not Tlp.RED or report.revoked:
            return [*former, *(to or ())]
        if held.tlp == Tlp.RED.value:
            return [*await self._sealed_to(held, former), *(to or ())]
        if to:
            return list(to)
        unnamed = self.first(report, former, share=bool(former)).to
        if unnamed:
            raise AudienceEmpty(
                "TLP:RED goes to nobody who is not named, and nobody was named for this version.",
                hint="Name those of its recipients who may have it: "
                + " ".join(f"--to {shlex.quote(p.name)}" for p in unnamed),
            )
        return former

    async def _sealed_to(self, held: reports.Held, among: Sequence[str]) -> list[str]:
        """Which NodeIDs of `among` the version held was sealed to."""
        async with self._pool.acquire() as conn:
            got = await shares.recipients(conn, held.id, held.ver)
        return [i for i in among if i in got]


def sealable_only(released: Release, peering: Peering) -> Release:
    """Without the peers whose keys have expired: one that forgot to renew must not keep a report from the others."""
    expired = [p for p in released.to if not peering.sealable(p.node_id)]
    if not expired:
        return released
    reason = "its statement has expired and nothing is sealed to expired keys; its operator must renew it"
    withheld = (*released.withheld, *(Withheld(p, "no-enc-key", reason) for p in expired))
    return Release(tuple(p for p in released.to if p not in expired), withheld)


def _to_nobody(policies: Sequence[PeerPolicy], code: str, reason: str) -> Release:
    return Release(to=(), withheld=tuple(Withheld(p, code, reason) for p in policies))
