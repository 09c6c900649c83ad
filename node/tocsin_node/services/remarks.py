"""Remarks: say what we think of a report, our own or a peer's, and see what others say.

A remark goes the way its report came: to the report's origin, or, when the report is ours, to those it was given to.
Nobody else is told, since nobody else is known to have it. The remark, its entry in our log and the checkpoint over it
are one transaction; a remark that goes to nobody is stored alone. Nothing rings.

What others say about exposure is what a response is steered by: `exposures`.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from tocsin_federation.envelope import Sealed
from tocsin_federation.sharing import Release, Withheld, release
from tocsin_node.errors import NodeError
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.ownership import ForeignCreator
from tocsin_node.services.peering import Peering
from tocsin_node.services.releasing import sealable_only
from tocsin_node.services.report_refusals import FindingsRefused, ReportUnknown, VersionConflict
from tocsin_node.services.screening import look
from tocsin_node.services.sealing import Sealing
from tocsin_node.storage import audit, onward, remarks, reports, shares
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.remarks import NewRemark, StoredRemark, Version
from tocsin_schema.finding import Finding
from tocsin_schema.ids import node_identity_id
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import Remark, check_remark


class MarkingLooser(NodeError):
    """The remark is marked more mildly than the report that it tells of."""

    code = "marking-looser"
    hint = "Give it the report's own marking."


@dataclass(frozen=True, slots=True)
class Remarked:
    """What became of a remark at this door. `ver`: the version of the report that it speaks of."""

    outcome: Literal["stored", "unchanged", "dry-run"]
    remark: Remark
    ver: int
    release: Release
    place: reports.Place | None = None


class Remarks:
    """The verbs on remarks."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        sealing: Sealing,
        *,
        node_id: str,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._sealing = sealing
        self._node_id = node_id

    async def make(
        self, raw: bytes, report_id: str, *, to: Sequence[str] | None, dry_run: bool = False
    ) -> Remarked:
        """Say what `raw`, a remark's bundle, says about the report; kept and shared as exactly these bytes.

        `to`: names or NodeIDs of peers, of those whom it may go to; None: all of them. Who was told before is told
        again: what we said must not stand there alone. The same bytes again are unchanged, so a retry is safe. It
        replaces our remark of the same kind, if that one is older.
        Raises: FindingsRefused, ForeignCreator, ReportUnknown, MarkingLooser, VersionConflict, PeerUnknown,
        StorageError; NodeError `id-mismatch`, `already-withdrawn`, `already-retracted`.
        """
        remark = _checked(raw, report_id)
        if remark.created_by_ref != node_identity_id(self._node_id):
            raise ForeignCreator("The remark is made in another organisation's name.")
        async with self._pool.acquire() as conn:
            held = (await reports.held(conn, [report_id])).get(report_id)
            before = {one.kind: one for one in await remarks.of_node(conn, self._node_id, [report_id])}
            standing = before.get(remark.kind)
            # What takes a remark back keeps its marking, and so speaks of the version that it spoke of.
            back = standing if remark.revoked else None
            spoken = await remarks.shared(conn, report_id, back.ver if back else None)
            way = await self._way(conn, held, spoken)
        if held is None:
            raise ReportUnknown
        ver, tlp = (held.ver, held.tlp) if spoken is None else (spoken.ver, spoken.tlp)
        if remark.tlp.rank < Tlp(back.tlp if back else tlp).rank:
            raise MarkingLooser
        told = standing.audience if standing else ()
        released = self._release(way, remark, to, told)
        if standing is not None and standing.sha256 == remark.sha256:
            return Remarked("unchanged", remark, standing.ver, released)
        _refuse_out_of_turn(remark, held, standing)
        if released.to and not remark.revoked:
            await _refuse_suspected(raw)
        if dry_run:
            return Remarked("dry-run", remark, ver, released)
        audience = tuple(p.node_id for p in released.to)
        new = NewRemark(remark, self._node_id, ver, audience=tuple(dict.fromkeys([*told, *audience])))
        said = {"kind": remark.kind, "ver": ver, "tlp": remark.tlp.value, "revoked": remark.revoked}
        act = Act("remark.make", f"report:{report_id}", {**said, "recipients": len(audience)})
        if not audience or spoken is None:
            async with self._pool.transaction() as conn:
                await remarks.put(conn, new)
                await audit.note(conn, act)
            return Remarked("stored", remark, ver, released)
        sealed = await self._seal(remark, spoken, audience)
        after = partial(_store, new, self._ledger.head.gen, sealed.leaf_hash)
        (posted,) = await self._ledger.post(Posting(sealed=sealed, after=after, acts=(act,)))
        if posted.outcome == "conflict":
            raise ReportUnknown  # it was erased meanwhile
        return Remarked("stored", remark, ver, released, posted.place)

    async def of_report(self, report_id: str) -> list[StoredRemark]:
        """What everybody says about a report, oldest first, what was taken back too. Raises: ReportUnknown."""
        async with self._pool.acquire() as conn:
            if not await reports.held(conn, [report_id]):
                raise ReportUnknown
            return await remarks.of_report(conn, report_id)

    async def exposures(self, report_id: str) -> Mapping[str, StoredRemark]:
        """Who says to be affected by a report, not to be, or to be looking: NodeID → what it says now."""
        async with self._pool.acquire() as conn:
            return {one.node: one for one in await remarks.exposures(conn, report_id)}

    # -------------------------------------------------------------------------------------------------

    async def _way(
        self, conn: Connection, report: reports.Held | None, spoken: Version | None
    ) -> frozenset[str]:
        """NodeIDs that know the version that is spoken of from its own way: its origin, or whom we sealed it to."""
        if report is None or spoken is None:
            return frozenset()
        if report.origin != self._node_id:
            came = await onward.through(conn, [(report.id, spoken.ver)])
            return frozenset() if came else frozenset((report.origin,))  # it never gave it to us
        return frozenset(await shares.recipients(conn, report.id, spoken.ver))

    def _release(
        self, way: AbstractSet[str], remark: Remark, to: Sequence[str] | None, told: Sequence[str]
    ) -> Release:
        """Who gets a remark; every peer that does not is named with the reason."""
        named = way if to is None else {*told, *(self._peering.named(name).node_id for name in to)}
        released = release(remark.tlp, self._peering.policies(), requested=sorted(way & named))
        reason = "a remark goes to the report's origin, or from there to those that got the report"
        withheld = [
            Withheld(one.peer, "not-recipient", reason) if one.peer.node_id not in way else one
            for one in released.withheld
        ]
        return sealable_only(replace(released, withheld=tuple(withheld)), self._peering)

    async def _seal(self, remark: Remark, spoken: Version, audience: Sequence[str]) -> Sealed:
        return await self._sealing.seal(
            "remark",
            remark.incident_id,
            spoken.ver,
            to=audience,
            tlp=remark.tlp,
            content=remark.raw,
            ref=spoken.place.leaf_hash,
            aud=self._peering.audience(audience),
        )


async def _store(new: NewRemark, gen: int, leaf_hash: bytes, conn: Connection, index: int) -> None:
    await remarks.put(conn, replace(new, place=reports.Place(gen, index, leaf_hash)))


async def _refuse_suspected(raw: bytes) -> None:
    """A remark is a line or two: what seems to name people or hold a secret is taken out, not reviewed.

    Raises: FindingsRefused.
    """
    hint = "Take it out; a remark goes to others as it is."
    found = [each.finding() for each in await look(raw)]
    if found:
        said = [Finding(each.code, each.path, each.message, hint) for each in found]
        raise FindingsRefused(said, what="remark")


def _checked(raw: bytes, report_id: str) -> Remark:
    checked = check_remark(raw)
    if checked.remark is None:
        raise FindingsRefused(checked.findings, what="remark")
    if checked.remark.incident_id != report_id:
        raise NodeError(
            "The remark is about another report than the address names.",
            code="id-mismatch",
            hint="Send it to the address of the report that it is about.",
        )
    return checked.remark


def _refuse_out_of_turn(remark: Remark, report: reports.Held, standing: StoredRemark | None) -> None:
    """Return when a remark of ours may replace the one that stands."""
    if report.state == "withdrawn" and not remark.revoked:
        raise NodeError(
            "The report was withdrawn; nothing more is said about it.",
            code="already-withdrawn",
            hint="What you said before can still be taken back: `tocsin report retract ID KIND`.",
        )
    if standing is None:
        return
    if remark.modified <= standing.modified:
        raise VersionConflict(
            "A remark of yours of this kind stands that is as new, or newer.",
            hint="Fetch it, and make yours as its next version; check this machine's clock.",
        )
    if standing.revoked and remark.created == standing.created:
        raise NodeError(
            "The remark was taken back; it has no further version.",
            code="already-retracted",
            hint="Say it anew, with a time of creation of its own.",
        )
