"""Importing: many reports at once, which somebody wrote elsewhere, each with an outcome of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tocsin_federation.sharing import Release
from tocsin_node.errors import NodeError
from tocsin_node.services.audience import left_behind
from tocsin_node.services.erasing import Erased, Erasing
from tocsin_node.services.ledger import Beside, Ledger, Posted, Posting
from tocsin_node.services.ownership import NotOurs, Ownership
from tocsin_node.services.peering import Peering
from tocsin_node.services.recalling import Recalling
from tocsin_node.services.releasing import Releasing
from tocsin_node.services.report_entries import ReportEntries
from tocsin_node.services.report_refusals import ReportExists
from tocsin_node.services.screening import NOTHING, Screened, Screening, reviewer
from tocsin_node.services.submission import Submission, answered, checked, unchanged
from tocsin_node.storage import reports
from tocsin_node.storage.pool import Pool
from tocsin_schema.finding import Finding
from tocsin_schema.report import IncidentReport


@dataclass(frozen=True, slots=True)
class _Sound:
    """A bundle without faults. `nth`: its place in the import; `release`: who would get it."""

    nth: int
    report: IncidentReport
    findings: tuple[Finding, ...]
    release: Release


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is to be written of one bundle."""

    sound: _Sound
    release: Release
    screened: Screened
    posting: Posting


class Importing:
    """Takes in what is handed over as a file. What it releases and refuses is decided as for a report of our own."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        ownership: Ownership,
        erasing: Erasing,
        recalling: Recalling,
        screening: Screening,
        releasing: Releasing,
        entries: ReportEntries,
        *,
        node_id: str,
        org: str,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._ownership = ownership
        self._erasing = erasing
        self._screening = screening
        self._releasing = releasing
        self._entries = entries
        self._node_id = node_id
        self._org = org
        self._recalling = recalling

    async def take_in(
        self, raws: Sequence[bytes], *, to: Sequence[str] | None, share: bool, reviewed_by: str | None = None
    ) -> list[Submission | NodeError]:
        """Import many bundles in one transaction, each with an outcome of its own, in order.

        What is held already is not sealed again: the same import may be repeated at little cost. A later
        version of what was imported before, by the same creator, is filed as `revise` would; an older one changes
        nothing, and neither does a file what is ours or what a peer has published. What seems to hold personal data or
        secrets is stored and goes to nobody, unless `reviewed_by` takes all of them on; what another node created goes
        to nobody.
        Raises: PeerUnknown for a name in `to`, ReviewerUnnamed.
        """
        reviewer(reviewed_by)
        for name in to or ():
            self._peering.named(name)  # a name that nobody has is the caller's mistake, not each report's
        results: dict[int, Submission | NodeError] = {}
        sound: list[_Sound] = []
        for nth, raw in enumerate(raws):
            await asyncio.sleep(0)  # whoever else wants something waits for one report, not for all of them
            try:
                report, findings = checked(raw)
                sound.append(_Sound(nth, report, findings, self._releasing.first(report, to, share=share)))
            except NodeError as exc:
                results[nth] = exc
        async with self._pool.acquire() as conn:
            held = await reports.held(conn, [one.report.id for one in sound])
            named = [name for one in sound for name in (one.report.id.encode(), one.report.sha256)]
            gone = await self._erasing.among(named, conn)
        ready: list[_Ready] = []
        for one in sound:
            standing = held.get(one.report.id)
            settled = self._settled(
                one, standing, erased=bool(gone & {one.report.id.encode(), one.report.sha256})
            )
            if settled is not None:
                results[one.nth] = settled
                continue
            await asyncio.sleep(0)  # the same
            try:
                going = await self._release(one, standing, to)
            except NodeError as exc:
                results[one.nth] = exc
            else:
                ready.append(await self._made_ready(one, standing, going, reviewed_by))
        posted = await self._ledger.post(*(one.posting for one in ready)) if ready else []
        for made, outcome in zip(ready, posted, strict=True):
            results[made.sound.nth] = self._outcome(made, outcome, share=share)
        return [results[nth] for nth in range(len(raws))]

    def _settled(
        self, one: _Sound, standing: reports.Held | None, *, erased: bool
    ) -> Submission | NodeError | None:
        """What becomes of a bundle that is not to be written; None: it is."""
        if erased:
            return Erased()
        if standing is None:
            return None
        older = standing.creator == one.report.created_by_ref and one.report.modified < standing.modified
        if standing.sha256 == one.report.sha256 or older:
            return unchanged(one.report, standing, one.release, one.findings)
        return self._why_not_next(one.report, standing)

    def _why_not_next(self, report: IncidentReport, held: reports.Held) -> NodeError | None:
        """Why an import does not take the place of what is held; None when it brings the next version."""
        if held.origin != self._node_id:
            return NotOurs(
                f"{self._peering.name_of(held.origin)} has published this report; a file does not change it.",
                hint="Its next version comes from there by itself.",
            )
        if held.creator != report.created_by_ref:
            return ReportExists(
                "Another creator's report stands under this id.", hint="`tocsin report show ID` says whose."
            )
        if self._ownership.ours(held):
            return ReportExists("This report is your own; a file does not change it.")
        if held.state == "withdrawn" or report.modified == held.modified:
            return ReportExists()
        return None

    async def _release(self, one: _Sound, standing: reports.Held | None, to: Sequence[str] | None) -> Release:
        """Who would get it, who had an earlier version among them. Raises: as `Releasing.next`, and NamesUnshared."""
        going = one.release if standing is None else await self._releasing.next(one.report, standing, to)
        await self._releasing.refuse_unshared(one.report, going)
        return going

    async def _made_ready(
        self, one: _Sound, standing: reports.Held | None, going: Release, reviewed_by: str | None
    ) -> _Ready:
        report, screened = one.report, NOTHING
        if going.to:
            screened = await self._screening.screen(report, leaves=True, reviewed_by=reviewed_by)
        going = self._releasing.kept_here() if screened.needed else going
        narrowed: Beside | None = None
        if standing is not None:
            left = left_behind(standing.audience, going, self._peering.name_of)
            narrowed = await self._recalling.narrowing(standing, report.tlp, left, reviewed_by or self._org)
        posting = await self._entries.version(
            report,
            going,
            held=standing,
            action="report.import",
            alert=False,
            screened=screened,
            beside=narrowed,
        )
        return _Ready(one, going, screened, posting)

    def _outcome(self, made: _Ready, posted: Posted, *, share: bool) -> Submission | NodeError:
        report, ver = made.sound.report, (made.posting.held_ver or 0) + 1
        try:
            done = answered(posted, report, made.release, made.sound.findings, ver=ver)
        except NodeError as exc:
            return exc
        return replace(done, kept=self._why_kept(report, made.screened) if share else ())

    def _why_kept(self, report: IncidentReport, screened: Screened) -> tuple[str, ...]:
        """Why an import that was to be shared stays here: the kinds of what it seems to hold, or its creator."""
        if report.personal_data == "present":
            return ("personal-data-present",)
        if self._ownership.of_another_node(report):
            return ("foreign-creator",)
        return screened.kinds if screened.needed else ()
