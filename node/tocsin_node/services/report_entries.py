"""The entries of our log that carry reports: sealed to their readers, with all that is kept and rung beside them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from tocsin_federation.envelope import Sealed
from tocsin_federation.sharing import Release
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.circle_standing import Way
from tocsin_node.services.ledger import Beside, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.services.recalling import Recalling
from tocsin_node.services.report_acts import report_act, review_acts
from tocsin_node.services.screening import NOTHING, Screened
from tocsin_node.services.sealing import Sealing
from tocsin_node.storage import reports, shares
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.report import IncidentReport


class ReportEntries:
    """Makes postings; whoever asks for one brings it to the ledger."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        alarms: Alarms,
        sealing: Sealing,
        recalling: Recalling,
        *,
        org: str,
    ) -> None:
        self._pool = pool
        self._recalling = recalling
        self._peering = peering
        self._alarms = alarms
        self._sealing = sealing
        self._org = org

    async def version(
        self,
        report: IncidentReport,
        to: Release,
        *,
        held: reports.Held | None,
        action: str,
        alert: bool = True,
        screened: Screened = NOTHING,
        beside: Beside | None = None,
        way: Way | None = None,
    ) -> Posting:
        """The version after `held` (None: the first), sealed to whom it is released to; to nobody it makes no entry."""
        audience = tuple(p.node_id for p in to.to)
        ver = 1 if held is None else held.ver + 1
        prev = held.leaf_hash if held else None
        way = await self._carrying(way, report, audience)
        if held is not None and audience:
            await self._recalling.before_giving(report.id)
        sealed = await self._seal(report, audience, ver=ver, prev=prev, way=way) if audience else None
        plan = None
        if alert:
            plan = self._alarms.plan(
                report, origin=self._org, ours=True, previous_grade=held.grade if held else None
            )
        kept = tuple(dict.fromkeys([*(held.audience if held else ()), *audience]))
        return Posting(
            sealed=sealed,
            report=report,
            held_ver=held.ver if held else None,
            audience=kept,
            alert=plan,
            after=_recording(screened, report.id, ver, way, sealed),
            beside=beside,
            acts=(
                report_act(action, report, ver, audience),
                *(review_acts(screened, report.id, ver) if sealed else ()),
            ),
        )

    async def further(
        self,
        report: IncidentReport,
        ver: int,
        audience: Sequence[str],
        *,
        action: str,
        screened: Screened = NOTHING,
        way: Way | None = None,
    ) -> Posting:
        """The version `ver`, which stands, once more: the same bytes under the same number (P-154).

        For further NodeIDs, or for the same ones in another log.
        """
        async with self._pool.acquire() as conn:
            before = await reports.place_of(conn, report.id, ver - 1)
        prev = before.leaf_hash if before else None
        way = await self._carrying(way, report, audience)
        await self._recalling.before_giving(report.id)
        sealed = await self._seal(report, audience, ver=ver, prev=prev, way=way)
        return Posting(
            sealed=sealed,
            report=report,
            held_ver=ver,
            audience=tuple(audience),
            wider=True,
            after=_recording(screened, report.id, ver, way, sealed),
            acts=(report_act(action, report, ver, audience), *review_acts(screened, report.id, ver)),
        )

    async def _carrying(self, way: Way | None, report: IncidentReport, to: Sequence[str]) -> Way | None:
        """The way into the circle, if the entry can be addressed to it; else it is to its recipients by name."""
        if way is None:
            return None
        async with self._pool.acquire() as conn:
            back = await shares.taken_back(conn, report.id)
        return way if way.carries(report, to, back) else None

    async def _seal(
        self,
        report: IncidentReport,
        audience: Sequence[str],
        *,
        ver: int,
        prev: bytes | None,
        way: Way | None,
    ) -> Sealed:
        kind: Literal["publish", "revoke"] = "revoke" if report.revoked else "publish"
        aud = (way.audience if way else None) or self._peering.audience(audience)
        return await self._sealing.seal(
            kind, report.id, ver, to=audience, tlp=report.tlp, content=report.raw, prev=prev, aud=aud
        )


def _recording(
    screened: Screened, report_id: str, ver: int, way: Way | None, sealed: Sealed | None
) -> Callable[[Connection, int], Awaitable[None]] | None:
    """Keeps with a version that leaves the reviewer's decision, and its place in a circle; None for neither."""
    if sealed is None or not (screened.reviewed_by or way):
        return None
    place = way.recording(sealed.leaf_hash, report_id, ver) if way else None

    async def after(conn: Connection, index: int) -> None:
        if screened.reviewed_by:
            await screened.record(conn, report_id, ver)
        if place is not None:
            await place(conn, index)

    return after
