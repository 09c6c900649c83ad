"""Reporting: file, revise, withdraw, share and show incident reports of ours.

A report is judged before anything is written: the check gives all findings at once, the release (`releasing.py`) every
peer that gets it and every peer that does not, with the reason. A dry run stops there. What is filed twice is stored
once: the incident's id makes retries safe. What would leave is screened first (`screening.py`): a report that seems to
hold personal data or secrets goes to nobody until a named person has taken it on.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tocsin_federation.sharing import Release
from tocsin_node.errors import NodeError
from tocsin_node.services.audience import left_behind, split_off
from tocsin_node.services.circle_standing import Way
from tocsin_node.services.circles import Circles
from tocsin_node.services.erasing import Erasing
from tocsin_node.services.ledger import Beside, Ledger, Posting
from tocsin_node.services.ownership import NotOurs, Ownership
from tocsin_node.services.peering import Peering
from tocsin_node.services.recalling import Recalling
from tocsin_node.services.redactions import Basis, Redacted, Redactions, as_ended, ended, keeping
from tocsin_node.services.releasing import Releasing
from tocsin_node.services.report_entries import ReportEntries
from tocsin_node.services.report_refusals import (
    AlreadyWithdrawn,
    CircleAndNames,
    RecipientsMissing,
    ReportUnknown,
    VersionConflict,
)
from tocsin_node.services.screening import NOTHING, Screened, Screening, reviewer
from tocsin_node.services.submission import Submission, answered, checked
from tocsin_node.storage import reports
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.redactions import Link
from tocsin_node.storage.reports import StoredReport
from tocsin_schema.finding import Finding
from tocsin_schema.report import IncidentReport


@dataclass(frozen=True, slots=True)
class _Ending:
    """The withdrawal of a redaction, written together with its record's."""

    posting: Posting
    told: Redacted


class Reporting:
    """The verbs on reports."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        ownership: Ownership,
        redactions: Redactions,
        erasing: Erasing,
        recalling: Recalling,
        circles: Circles,
        screening: Screening,
        releasing: Releasing,
        entries: ReportEntries,
        *,
        node_id: str,
        org: str,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._ownership = ownership
        self._redactions = redactions
        self._erasing = erasing
        self._recalling = recalling
        self._circles = circles
        self._screening = screening
        self._releasing = releasing
        self._entries = entries
        self._node_id = node_id
        self._org = org
        self._now = now
        self.on_filed: Callable[[str], Awaitable[None]] = (
            _nothing  # after a version of ours was stored, with its id
        )

    async def submit(
        self,
        raw: bytes,
        *,
        to: Sequence[str] | None,
        share: bool = True,
        dry_run: bool = False,
        reviewed_by: str | None = None,
        redaction_of: Basis | None = None,
        circle: str | None = None,
    ) -> Submission:
        """File a new report of ours: `raw` is a STIX bundle, kept and shared as exactly these bytes.

        `to`: names or NodeIDs of peers; None: all whose policy admits the report's TLP (RED: nobody). `circle`: to the
        members of that circle instead.
        `reviewed_by`: who has looked for personal data and secrets and takes it on that the report leaves.
        `redaction_of`: the record of which it is a version for others.
        Raises: FindingsRefused, ForeignCreator, ReviewNeeded, ReviewerUnnamed, ReportExists, AudienceEmpty,
        PeerUnknown, StorageError, NotARedaction, RecordChanged, CircleUnknown, CircleClosed, CircleAndNames.
        """
        report, findings = checked(raw)
        self._ownership.refuse_foreign(report)
        await self._erasing.refuse_erased(report.id, report.sha256)
        if circle is not None and (to or not share):
            raise CircleAndNames
        if redaction_of is None:
            async with self._circles.way(circle) if circle is not None else nullcontext() as way:
                return await self._submit(
                    report, findings, to, share=share, dry_run=dry_run, reviewed_by=reviewed_by, way=way
                )
        async with await self._redactions.family(redaction_of.record_id):
            link = await self._redactions.admit(report, redaction_of)
            async with self._circles.way(circle) if circle is not None else nullcontext() as way:
                return await self._submit(
                    report, findings, to,
                    share=share, dry_run=dry_run, reviewed_by=reviewed_by, link=link, way=way,
                )  # fmt: skip

    async def _submit(
        self,
        report: IncidentReport,
        findings: tuple[Finding, ...],
        to: Sequence[str] | None,
        *,
        share: bool,
        dry_run: bool,
        reviewed_by: str | None,
        link: Link | None = None,
        way: Way | None = None,
    ) -> Submission:
        released = self._releasing.first(report, to, share=share, way=way)
        await self._releasing.refuse_unshared(report, released)
        screened = await self._screened(report, released, reviewed_by, dry_run=dry_run)
        findings = (*findings, *screened.findings)
        if dry_run:
            return Submission("dry-run", report, 1, released, findings, review_needed=screened.needed)
        posting = await self._entries.version(
            report,
            released,
            held=None,
            action="report.redact" if link else "report.file",
            screened=screened.admit(),
            alert=link is None,
            beside=keeping(link) if link else None,
            way=way,
        )
        (posted,) = await self._ledger.post(posting)
        return await self._told(answered(posted, report, released, findings, ver=1))

    async def revise(
        self,
        raw: bytes,
        report_id: str,
        *,
        to: Sequence[str] | None,
        dry_run: bool = False,
        reviewed_by: str | None = None,
        redaction_of: Basis | None = None,
    ) -> Submission:
        """File a new version of an own report; it goes to the former recipients and to those in `to`.

        A former recipient keeps getting versions: it must learn of corrections and of a raised marking. But TLP:RED
        goes to those alone who were named for it (`releasing.py`). A withdrawal withdraws the report's standing
        redactions in the same transaction; after any other version the answer says which are stale.
        Raises: as submit, and ReportUnknown, NotOurs, AlreadyWithdrawn, VersionConflict (also when `modified` is not
        later than that of the version held: it was made on an older one).
        """
        async with await self._redactions.family(report_id), self._circles.way_of(report_id) as way:
            return await self._revise(
                raw, report_id, to,
                dry_run=dry_run, reviewed_by=reviewed_by, redaction_of=redaction_of, way=way,
            )  # fmt: skip

    async def _revise(
        self,
        raw: bytes,
        report_id: str,
        to: Sequence[str] | None,
        *,
        dry_run: bool,
        reviewed_by: str | None,
        redaction_of: Basis | None,
        way: Way | None,
    ) -> Submission:
        report, findings = checked(raw)
        held = await self._replaceable(report, report_id)
        released = await self._releasing.next(report, held, to, way)
        await self._releasing.refuse_unshared(report, released)
        left = left_behind(held.audience, released, self._peering.name_of)
        screened = await self._screened(report, released, reviewed_by, dry_run=dry_run)
        findings = (*findings, *screened.findings)
        link = await self._redactions.admit(report, redaction_of) if redaction_of else None
        speaks = link is None and await self._redactions.source(report_id) is None
        together = object()
        endings = await self._endings(report_id, together) if report.revoked else []
        told = tuple(each.told for each in endings)
        if not report.revoked:
            told = await self._redactions.of(report_id, ver=held.ver + 1)
        if dry_run:
            done = Submission("dry-run", report, held.ver + 1, released, findings, left=left)
            return replace(done, review_needed=screened.needed, redactions=told)
        narrowed = await self._recalling.narrowing(held, report.tlp, left, reviewed_by or self._org)
        posting = await self._entries.version(
            report,
            released,
            held=held,
            action="report.withdraw" if report.revoked else "report.revise",
            screened=screened.admit(),
            alert=speaks or report.revoked,  # who was rung by it, before links were kept, is told of its end
            beside=_both(keeping(link) if link else None, narrowed),
            way=way,
        )
        posted, *_ = await self._ledger.post(
            replace(posting, together=together), *(each.posting for each in endings)
        )
        done = await self._told(answered(posted, report, released, findings, ver=held.ver + 1))
        return replace(done, left=left, redactions=told) if done.outcome == "stored" else done

    async def _replaceable(self, report: IncidentReport, report_id: str) -> reports.Held:
        """What is held of a report that `report` may take the place of. Raises: as `revise`."""
        if report.id != report_id:
            raise NodeError(
                "The bundle holds another report than the address names.",
                code="id-mismatch",
                hint="Send the new version of the report to its own address.",
            )
        async with self._pool.acquire() as conn:
            held = (await reports.held(conn, [report_id])).get(report_id)
        if held is None:
            raise ReportUnknown
        if not self._ownership.ours(held):
            raise NotOurs
        self._ownership.refuse_foreign(report)
        if held.sha256 != report.sha256:
            if held.state == "withdrawn":
                raise AlreadyWithdrawn
            if report.modified <= held.modified:
                raise VersionConflict
        return held

    async def withdraw(
        self, raw: bytes, report_id: str, *, dry_run: bool = False, reviewed_by: str | None = None
    ) -> Submission:
        """File the last version of an own report: `raw` says `revoked`. It goes to all former recipients.

        Raises: as revise; NodeError `not-revoked` when the bundle is not a withdrawal.
        """
        report, _ = checked(raw)
        if not report.revoked:
            raise NodeError(
                "The bundle does not say `revoked`.",
                code="not-revoked",
                hint="`tocsin report withdraw ID` makes the right bundle.",
            )
        return await self.revise(raw, report_id, to=None, dry_run=dry_run, reviewed_by=reviewed_by)

    async def share(
        self,
        report_id: str,
        *,
        to: Sequence[str],
        dry_run: bool = False,
        reviewed_by: str | None = None,
        circle: str | None = None,
    ) -> Submission:
        """Send the version that stands, of what this node brought in, to the peers `to` that do not have it yet.

        The same bytes under the same number in a further entry; also a withdrawal. The others notice nothing. What
        another node created is that node's to send. `circle`: to the members of that circle instead.
        Raises: ReportUnknown, NotOurs, PeerUnknown, RecipientsMissing, ReviewNeeded, ReviewerUnnamed,
        VersionConflict, StorageError, CircleUnknown, CircleClosed, CircleAndNames.
        """
        if not to and circle is None:
            raise RecipientsMissing
        if to and circle is not None:
            raise CircleAndNames
        async with self._circles.way(circle) if circle is not None else nullcontext() as way:
            return await self._share(report_id, to, dry_run=dry_run, reviewed_by=reviewed_by, way=way)

    async def _share(
        self, report_id: str, to: Sequence[str], *, dry_run: bool, reviewed_by: str | None, way: Way | None
    ) -> Submission:
        stored = await self.get(report_id)
        report, findings = checked(stored.bundle)
        if stored.origin != self._node_id or self._ownership.of_another_node(report):
            raise NotOurs(
                "Only the node that published a report, or created it, may send it on.",
                hint="Ask that organisation to share it with them.",
            )
        released = self._releasing.first(report, to, share=True, way=way)
        having = await self._releasing.having(stored)
        back = await self._releasing.taken_back(report_id) if way is not None else set()
        taken = "it was taken back from it; name it to give it anew"
        released = split_off(released, back, "taken-back", taken)
        # in a circle's count nobody is left out
        if way is None or {p.node_id for p in released.to} <= having:
            released = split_off(released, having, "has-it", "it has this version already")
        await self._releasing.refuse_unshared(report, released)
        screened = await self._screened(report, released, reviewed_by, dry_run=dry_run)
        findings = (*findings, *screened.findings)
        if dry_run or not released.to:
            outcome: Literal["dry-run", "unchanged"] = "dry-run" if dry_run else "unchanged"
            needed = dry_run and screened.needed
            return Submission(outcome, report, stored.ver, released, findings, review_needed=needed)
        posting = await self._entries.further(
            report,
            stored.ver,
            [p.node_id for p in released.to],
            action="report.share",
            screened=screened.admit(),
            way=way,
        )
        (posted,) = await self._ledger.post(posting)
        return answered(posted, report, released, findings, ver=stored.ver)

    async def get(self, report_id: str) -> StoredReport:
        """The newest version. Raises: ReportUnknown."""
        async with self._pool.acquire() as conn:
            report = await reports.get(conn, report_id)
        if report is None:
            raise ReportUnknown
        return report

    # -------------------------------------------------------------------------------------------------

    async def _endings(self, record_id: str, together: object) -> list[_Ending]:
        """The withdrawals of what stands of a record's redactions, each to everybody who has it."""
        endings = []
        for standing in await self._redactions.of(record_id):
            if standing.state == "withdrawn":
                continue
            report, _ = checked(ended(await self.get(standing.id), self._now()))
            async with self._pool.acquire() as conn:
                held = (await reports.held(conn, [standing.id]))[standing.id]
            released = await self._releasing.next(report, held, None)
            posting = await self._entries.version(report, released, held=held, action="report.withdraw")
            left = left_behind(held.audience, released, self._peering.name_of)
            told = as_ended(standing, [p.node_id for p in released.to], left)
            endings.append(_Ending(replace(posting, together=together), told))
        return endings

    async def _told(self, done: Submission) -> Submission:
        if done.outcome == "stored":
            await self.on_filed(done.report.id)
        return done

    async def _screened(
        self, report: IncidentReport, released: Release, reviewed_by: str | None, *, dry_run: bool = False
    ) -> Screened:
        """The last look at what would leave; a dry run looks at what stays, too.

        Raises: ReviewerUnnamed.
        """
        leaves = bool(released.to)
        if not (leaves or dry_run):
            reviewer(reviewed_by)
            return NOTHING
        return await self._screening.screen(report, leaves=leaves, reviewed_by=reviewed_by)


def _both(first: Beside | None, second: Beside | None) -> Beside | None:
    if first is None or second is None:
        return first or second

    async def both(conn: Connection) -> None:
        await first(conn)
        await second(conn)

    return both


async def _nothing(_report_id: str) -> None:
    """Nobody wants to know."""
