"""Reporting: file, revise, withdraw, list and show incident reports; decide who gets each and seal it to them.

A report is judged before anything is written: the check gives all findings at once, the release gives every peer
that gets it and every peer that does not, with the reason. A dry run stops there. What is filed twice is stored
once: the incident's id makes retries safe. What would leave is screened first (`screening.py`): a report that seems to
hold personal data or secrets goes to nobody until a named person has taken it on.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tocsin_federation.envelope import Sealed, seal
from tocsin_federation.sharing import PeerPolicy, Release, Withheld, release
from tocsin_node.errors import NodeError
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.audience import Left, left_behind, split_off
from tocsin_node.services.circle_standing import Way, members_gone
from tocsin_node.services.circles import Circles
from tocsin_node.services.erasing import Erased, Erasing
from tocsin_node.services.ledger import Ledger, Posted, Posting
from tocsin_node.services.naming import refuse_unshared
from tocsin_node.services.ownership import NotOurs, Ownership
from tocsin_node.services.peering import Peering
from tocsin_node.services.redactions import Basis, Redacted, Redactions, as_ended, ended, keeping
from tocsin_node.services.report_acts import report_act, review_acts
from tocsin_node.services.screening import NOTHING, Screened, Screening, reviewer
from tocsin_node.storage import reports, shares
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.redactions import Link
from tocsin_node.storage.reports import StoredReport
from tocsin_schema.check import Finding, check_bundle
from tocsin_schema.facets import duplicates_named
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

THREAD_FROM = 8  # seal to this many recipients off the event loop

Kind = Literal["publish", "revoke"]
Beside = Callable[[Connection], Awaitable[None]]
Narrowing = Callable[[reports.Held, Tlp, Sequence[Left], str], Awaitable[Beside | None]]


class FindingsRefused(NodeError):
    """The report has findings that must be mended first."""

    code = "findings"
    hint = "Mend what the findings name and send it again; nothing has been stored."

    def __init__(self, findings: Sequence[Finding], *, what: str = "report") -> None:
        errors = sum(f.level == "error" for f in findings)
        super().__init__(
            f"The {what} has {errors} finding{'s' if errors != 1 else ''} that must be mended first."
        )
        self.findings = tuple(findings)


class ReportUnknown(NodeError):
    """There is no report with that id here."""

    code = "report-unknown"
    hint = "`tocsin report list` shows the ids."


class ReportExists(NodeError):
    """A report with this id exists already, with other content."""

    code = "report-exists"
    hint = "To change it: `tocsin report update ID`."


class VersionConflict(NodeError):
    """The report was changed meanwhile."""

    code = "version-conflict"
    hint = "Fetch it again, make your change on the newest version, and send that."


class AlreadyWithdrawn(NodeError):
    """The report was withdrawn; that is final."""

    code = "already-withdrawn"
    hint = "File a new report: `tocsin report new`."


class AudienceEmpty(NodeError):
    """TLP:RED goes to nobody who is not named."""

    code = "audience-empty"
    hint = "Name the recipients: --to NAME; or keep it here: --no-share."


class CircleAndNames(NodeError):
    """A report is sent to a circle or to peers by name, not both at once."""

    code = "circle-and-names"
    hint = "Send it to the circle, then to the others: `tocsin report share ID --to NAME`."


class RecipientsMissing(NodeError):
    """Nobody is named to share the report with."""

    code = "recipients-missing"
    hint = "Name them: `tocsin report share ID --to NAME`, or --circle NAME."


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one report at this door."""

    outcome: Literal["stored", "unchanged", "dry-run"]
    report: IncidentReport
    ver: int
    release: Release
    findings: tuple[Finding, ...]
    place: reports.Place | None = None
    alert_id: int | None = None
    review_needed: bool = False  # a dry run: nobody has taken it on yet
    kept: tuple[str, ...] = ()  # an import that stays here: the kinds of what it seems to hold
    left: tuple[Left, ...] = ()
    redactions: tuple[Redacted, ...] = ()  # of this record, as they stand after this act


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
        alarms: Alarms,
        ownership: Ownership,
        redactions: Redactions,
        erasing: Erasing,
        circles: Circles,
        *,
        node_id: str,
        org: str,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
    ) -> None:
        self.screening = Screening(pool)
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._alarms = alarms
        self._ownership = ownership
        self._erasing = erasing
        self.redactions = redactions
        self._circles = circles
        self._node_id = node_id
        self._org = org
        self._now = now
        self._rng = rng
        self.narrowing: Narrowing = _no_narrowing  # what a stricter marking means for former recipients
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
        report, findings = _checked(raw)
        self._ownership.refuse_foreign(report)
        await self._erasing.refuse_erased(report.id, report.sha256)
        if circle is not None and (to or not share):
            raise CircleAndNames
        if redaction_of is None:
            async with self._circles.way(circle) if circle is not None else nullcontext() as way:
                return await self._submit(
                    report, findings, to, share=share, dry_run=dry_run, reviewed_by=reviewed_by, way=way
                )
        async with await self.redactions.family(redaction_of.record_id):
            link = await self.redactions.admit(report, redaction_of)
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
        release_ = self._release(report, to, share=share, way=way)
        await self._refuse_unshared(report, release_)
        screened = await self._screened(report, release_, reviewed_by, dry_run=dry_run)
        findings = (*findings, *screened.findings)
        if dry_run:
            return Submission("dry-run", report, 1, release_, findings, review_needed=screened.needed)
        kind: Kind = "revoke" if report.revoked else "publish"
        posting = await self._posting(
            report,
            release_,
            held=None,
            kind=kind,
            action="report.redact" if link else "report.file",
            screened=screened.admit(),
            alert=link is None,
            beside=keeping(link) if link else None,
            way=way,
        )
        (posted,) = await self._ledger.post(posting)
        return await self._told(self._answer(posted, report, release_, findings, ver=1))

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
        goes to those alone who were named for it (`_for_whom`). A withdrawal withdraws the report's standing
        redactions in the same transaction; after any other version the answer says which are stale.
        Raises: as submit, and ReportUnknown, NotOurs, AlreadyWithdrawn, VersionConflict (also when `modified` is not
        later than that of the version held: it was made on an older one).
        """
        async with await self.redactions.family(report_id), self._circles.way_of(report_id) as way:
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
        report, findings = _checked(raw)
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
        release_ = await self._release_next(report, held, to, way)
        await self._refuse_unshared(report, release_)
        left = left_behind(held.audience, release_, self._peering.name_of)
        screened = await self._screened(report, release_, reviewed_by, dry_run=dry_run)
        findings = (*findings, *screened.findings)
        link = await self.redactions.admit(report, redaction_of) if redaction_of else None
        speaks = link is None and await self.redactions.source(report_id) is None
        together = object()
        endings = await self._endings(report_id, together) if report.revoked else []
        told = tuple(each.told for each in endings)
        if not report.revoked:
            told = await self.redactions.of(report_id, ver=held.ver + 1)
        if dry_run:
            needed = screened.needed
            return Submission(
                "dry-run",
                report,
                held.ver + 1,
                release_,
                findings,
                review_needed=needed,
                left=left,
                redactions=told,
            )
        narrowed = await self.narrowing(held, report.tlp, left, reviewed_by or self._org)
        posting = await self._posting(
            report,
            release_,
            held=held,
            kind="revoke" if report.revoked else "publish",
            action="report.withdraw" if report.revoked else "report.revise",
            screened=screened.admit(),
            alert=speaks or report.revoked,  # who was rung by it, before links were kept, is told of its end
            beside=_both(keeping(link) if link else None, narrowed),
            way=way,
        )
        posted, *_ = await self._ledger.post(
            replace(posting, together=together), *(each.posting for each in endings)
        )
        done = await self._told(self._answer(posted, report, release_, findings, ver=held.ver + 1))
        return replace(done, left=left, redactions=told) if done.outcome == "stored" else done

    async def withdraw(
        self, raw: bytes, report_id: str, *, dry_run: bool = False, reviewed_by: str | None = None
    ) -> Submission:
        """File the last version of an own report: `raw` says `revoked`. It goes to all former recipients.

        Raises: as revise; NodeError `not-revoked` when the bundle is not a withdrawal.
        """
        report, _ = _checked(raw)
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
        report, findings = _checked(stored.bundle)
        if stored.origin != self._node_id or self._ownership.of_another_node(report):
            raise NotOurs(
                "Only the node that published a report, or created it, may send it on.",
                hint="Ask that organisation to share it with them.",
            )
        release_ = self._release(report, to, share=True, way=way)
        async with self._pool.acquire() as conn:
            having = await shares.recipients(conn, report_id, stored.ver)
            back = await shares.taken_back(conn, report_id) if way is not None else set()
            before = await reports.place_of(conn, report_id, stored.ver - 1)
        release_ = split_off(
            release_, back, "taken-back", "it was taken back from it; name it to give it anew"
        )
        if (
            way is None or {p.node_id for p in release_.to} <= having
        ):  # in a circle's count nobody is left out
            release_ = split_off(release_, having, "has-it", "it has this version already")
        await self._refuse_unshared(report, release_)
        screened = await self._screened(report, release_, reviewed_by, dry_run=dry_run)
        findings = (*findings, *screened.findings)
        if dry_run or not release_.to:
            outcome: Literal["dry-run", "unchanged"] = "dry-run" if dry_run else "unchanged"
            needed = dry_run and screened.needed
            return Submission(outcome, report, stored.ver, release_, findings, review_needed=needed)
        screened = screened.admit()
        audience = tuple(p.node_id for p in release_.to)
        sealed = await self._seal(
            report,
            audience,
            ver=stored.ver,
            prev=before.leaf_hash if before else None,
            kind="revoke" if report.revoked else "publish",
            way=way,
        )
        posting = Posting(
            sealed=sealed,
            report=report,
            held_ver=stored.ver,
            audience=audience,
            wider=True,
            after=_recording(screened, report.id, stored.ver, way, sealed),
            acts=(
                report_act("report.share", report, stored.ver, audience),
                *review_acts(screened, report.id, stored.ver),
            ),
        )
        (posted,) = await self._ledger.post(posting)
        return self._answer(posted, report, release_, findings, ver=stored.ver)

    async def publish_again(self, stored: StoredReport, audience: Sequence[str]) -> Posting:
        """The version that stands, to be put into the log anew: the same bytes under the same number (P-154)."""
        report, _ = _checked(stored.bundle)
        async with self._pool.acquire() as conn:
            before = await reports.place_of(conn, report.id, stored.ver - 1)
        sealed = await self._seal(
            report,
            audience,
            ver=stored.ver,
            prev=before.leaf_hash if before else None,
            kind="revoke" if report.revoked else "publish",
        )
        return Posting(
            sealed=sealed,
            report=report,
            held_ver=stored.ver,
            audience=tuple(audience),
            wider=True,
            acts=(report_act("report.republish", report, stored.ver, audience),),
        )

    async def having(self, report: StoredReport) -> set[str]:
        """Those of an own report's audience (NodeIDs) that were sent its newest version."""
        async with self._pool.acquire() as conn:
            return await shares.recipients(conn, report.id, report.ver)

    async def taken_back(self, report_id: str) -> set[str]:
        """From whom (NodeIDs) an own report was taken back: a circle brings it to them no more."""
        async with self._pool.acquire() as conn:
            return await shares.taken_back(conn, report_id)

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
        results: list[Submission | NodeError] = []
        sound: list[tuple[int, IncidentReport, Release, tuple[Finding, ...]]] = []
        looked: dict[int, Screened] = {}
        for raw in raws:
            await asyncio.sleep(0)  # whoever else wants something waits for one report, not for all of them
            try:
                report, findings = _checked(raw)
                sound.append((len(results), report, self._release(report, to, share=share), findings))
            except NodeError as exc:
                results.append(exc)
            else:
                results.append(ReportUnknown())  # its place is kept until the outcome is known
        async with self._pool.acquire() as conn:
            held = await reports.held(conn, [report.id for _, report, _, _ in sound])
            gone = await self._erasing.among(
                [n for _, r, _, _ in sound for n in (r.id.encode(), r.sha256)], conn
            )
        postings: list[tuple[int, Posting]] = []
        for nth, (position, report, release_, findings) in enumerate(sound):
            if gone & {report.id.encode(), report.sha256}:
                results[position] = Erased()
                continue
            standing = held.get(report.id)
            if standing is not None and _is_settled(report, standing):
                results[position] = _unchanged(report, standing, release_, findings)
                continue
            if standing is not None and (refusal := self._why_not_next(report, standing)):
                results[position] = refusal
                continue
            await asyncio.sleep(0)  # the same
            going = release_
            try:
                if standing is not None:
                    going = await self._release_next(report, standing, to)  # who had it learns of it
                await self._refuse_unshared(report, going)
            except NodeError as exc:
                results[position] = exc
                continue
            screened = await self._screened(report, going, reviewed_by)
            going = self._kept_here() if screened.needed else going
            sound[nth] = (position, report, going, findings)
            looked[nth] = screened
            kind: Kind = "revoke" if report.revoked else "publish"
            narrowed = None
            if standing is not None:
                left = left_behind(standing.audience, going, self._peering.name_of)
                narrowed = await self.narrowing(standing, report.tlp, left, reviewed_by or self._org)
            posting = await self._posting(
                report,
                going,
                held=standing,
                kind=kind,
                action="report.import",
                alert=False,
                screened=screened,
                beside=narrowed,
            )
            postings.append((nth, posting))
        posted = await self._ledger.post(*(posting for _, posting in postings)) if postings else []
        for (nth, posting), outcome in zip(postings, posted, strict=True):
            position, report, release_, findings = sound[nth]
            ver = (posting.held_ver or 0) + 1
            try:
                done = self._answer(outcome, report, release_, findings, ver=ver)
            except NodeError as exc:
                results[position] = exc
            else:
                results[position] = replace(done, kept=self._why_kept(report, looked[nth]) if share else ())
        return results

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
        for standing in await self.redactions.of(record_id):
            if standing.state == "withdrawn":
                continue
            report, _ = _checked(ended(await self.get(standing.id), self._now()))
            async with self._pool.acquire() as conn:
                held = (await reports.held(conn, [standing.id]))[standing.id]
            release_ = await self._release_next(report, held, None)
            posting = await self._posting(
                report, release_, held=held, kind="revoke", action="report.withdraw"
            )
            left = left_behind(held.audience, release_, self._peering.name_of)
            told = as_ended(standing, [p.node_id for p in release_.to], left)
            endings.append(_Ending(replace(posting, together=together), told))
        return endings

    async def _told(self, done: Submission) -> Submission:
        if done.outcome == "stored":
            await self.on_filed(done.report.id)
        return done

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
        unnamed = self._release(report, former, share=bool(former)).to
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

    async def _screened(
        self, report: IncidentReport, release_: Release, reviewed_by: str | None, *, dry_run: bool = False
    ) -> Screened:
        """The last look at what would leave; a dry run looks at what stays, too.

        Raises: ReviewerUnnamed.
        """
        leaves = bool(release_.to)
        if not (leaves or dry_run):
            reviewer(reviewed_by)
            return NOTHING
        return await self.screening.screen(report, leaves=leaves, reviewed_by=reviewed_by)

    async def _refuse_unshared(self, report: IncidentReport, release_: Release) -> None:
        """Raises: NamesUnshared."""
        if not (release_.to and duplicates_named(report)):
            return
        async with self._pool.acquire() as conn:
            standing = await reports.get(conn, report.id)
            await refuse_unshared(conn, self._node_id, report, release_, standing, self._peering.name_of)

    def _kept_here(self) -> Release:
        return _nobody(
            self._peering.policies(),
            "review-needed",
            "it seems to hold personal data or secrets, and nobody has taken it on that it leaves",
        )

    def _release(
        self, report: IncidentReport, to: Sequence[str] | None, *, share: bool, way: Way | None = None
    ) -> Release:
        policies = self._peering.policies()
        if not share:
            return _nobody(policies, "not-shared", "it was filed with --no-share")
        if report.personal_data == "present":
            return _nobody(policies, "personal-data", "it holds personal data, which never leaves this node")
        if self._ownership.of_another_node(report):
            return _nobody(policies, "foreign-creator", "another node created it, and it alone sends it on")
        if way is not None and report.tlp is Tlp.RED and policies:
            raise AudienceEmpty
        if way is not None:
            return sealable_only(way.release(report.tlp, policies), self._peering)
        requested = None if to is None else [self._peering.named(name).node_id for name in to]
        released = release(report.tlp, policies, requested=requested)
        if requested is None and report.tlp.value == "red" and policies:
            raise AudienceEmpty
        return sealable_only(released, self._peering)

    async def _release_next(
        self, report: IncidentReport, held: reports.Held, to: Sequence[str] | None, way: Way | None = None
    ) -> Release:
        """Who gets a later version; of a circle's report its members of today too. Raises: as `_for_whom`."""
        wanted = await self._for_whom(report, held, to)
        gone: frozenset[str] = frozenset()
        if way is not None and report.tlp is not Tlp.RED and not report.revoked:
            gone = way.gone(wanted)  # who was taken out learns of the withdrawal, and of nothing else
            back = await self.taken_back(report.id)
            members = [p.node_id for p in way.release(report.tlp, self._peering.policies()).to]
            joined = [i for i in members if i not in back]
            wanted = list(dict.fromkeys([i for i in wanted if i not in gone] + joined))
        return members_gone(self._release(report, wanted, share=bool(wanted)), gone)

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

    def _why_kept(self, report: IncidentReport, screened: Screened) -> tuple[str, ...]:
        """Why an import that was to be shared stays here: the kinds of what it seems to hold, or its creator."""
        if report.personal_data == "present":
            return ("personal-data-present",)
        if self._ownership.of_another_node(report):
            return ("foreign-creator",)
        return screened.kinds if screened.needed else ()

    async def _posting(
        self,
        report: IncidentReport,
        to: Release,
        *,
        held: reports.Held | None,
        kind: Kind,
        action: str,
        alert: bool = True,
        screened: Screened = NOTHING,
        beside: Callable[[Connection], Awaitable[None]] | None = None,
        way: Way | None = None,
    ) -> Posting:
        audience = tuple(p.node_id for p in to.to)
        ver = 1 if held is None else held.ver + 1
        prev = held.leaf_hash if held else None
        if way is not None and not way.carries(report, to):
            way = None  # then it is addressed to its recipients by name
        sealed = (
            await self._seal(report, audience, ver=ver, prev=prev, kind=kind, way=way) if audience else None
        )
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

    async def _seal(
        self,
        report: IncidentReport,
        audience: Sequence[str],
        *,
        ver: int,
        prev: bytes | None,
        kind: Kind,
        way: Way | None = None,
    ) -> Sealed:
        recipients = self._peering.enc_keys(audience)
        aud = (way.audience if way else None) or self._peering.audience(audience)

        def sealing() -> Sealed:
            return seal(
                t=kind,
                by=self._node_id,
                id=report.id,
                ver=ver,
                prev=prev,
                tlp=report.tlp,
                content=report.raw,
                recipients=recipients,
                now=self._now(),
                rng=self._rng,
                aud=aud,
            )

        return await asyncio.to_thread(sealing) if len(recipients) >= THREAD_FROM else sealing()

    def _answer(
        self,
        posted: Posted,
        report: IncidentReport,
        release_: Release,
        findings: tuple[Finding, ...],
        *,
        ver: int,
    ) -> Submission:
        match posted.outcome:
            case "stored":
                return Submission("stored", report, ver, release_, findings, posted.place, posted.alert_id)
            case "unchanged":
                if posted.held is None:
                    return Submission("unchanged", report, ver, release_, findings)
                return _unchanged(report, posted.held, release_, findings)
            case "exists":
                raise ReportExists
            case "conflict":
                raise VersionConflict


def sealable_only(released: Release, peering: Peering) -> Release:
    """Without the peers whose keys have expired: one that forgot to renew must not keep a report from the others."""
    expired = [p for p in released.to if not peering.sealable(p.node_id)]
    if not expired:
        return released
    reason = "its statement has expired and nothing is sealed to expired keys; its operator must renew it"
    withheld = (*released.withheld, *(Withheld(p, "no-enc-key", reason) for p in expired))
    return Release(tuple(p for p in released.to if p not in expired), withheld)


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


def _is_settled(report: IncidentReport, held: reports.Held) -> bool:
    """Whether an import brings what is held, or an older version of it."""
    older = held.creator == report.created_by_ref and report.modified < held.modified
    return held.sha256 == report.sha256 or older


def _checked(raw: bytes) -> tuple[IncidentReport, tuple[Finding, ...]]:
    checked = check_bundle(raw)
    if checked.report is None:
        raise FindingsRefused(checked.findings)
    return checked.report, checked.findings


def _unchanged(
    report: IncidentReport, held: reports.Held, release_: Release, findings: tuple[Finding, ...]
) -> Submission:
    """What is held already went to whom it went to then: nothing is sent now."""
    late = {p.node_id for p in release_.to} - set(held.audience)
    reason = "the report was filed before, and not to it; `tocsin report share ID --to NAME` sends it"
    sent = split_off(release_, late, "already-filed", reason)
    return Submission("unchanged", report, held.ver, sent, findings)


def _nobody(policies: Sequence[PeerPolicy], code: str, reason: str) -> Release:
    return Release(to=(), withheld=tuple(Withheld(p, code, reason) for p in policies))


def _both(first: Beside | None, second: Beside | None) -> Beside | None:
    if first is None or second is None:
        return first or second

    async def both(conn: Connection) -> None:
        await first(conn)
        await second(conn)

    return both


async def _no_narrowing(_held: reports.Held, _tlp: Tlp, _left: Sequence[Left], _by: str) -> Beside | None:
    """Nobody is told."""
    return None


async def _nothing(_report_id: str) -> None:
    """Nobody wants to know."""
