"""Reporting: file, revise, withdraw, list and show incident reports; decide who gets each and seal it to them.

A report is judged before anything is written: the check gives all findings at once, the release gives every peer
that gets it and every peer that does not, with the reason. A dry run stops there. What is filed twice is stored
once: the incident's id makes retries safe.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tocsin_federation.envelope import Sealed, seal
from tocsin_federation.sharing import PeerPolicy, Release, Withheld, release
from tocsin_node.errors import NodeError
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.audience import Left, left_behind, split_off
from tocsin_node.services.ledger import Ledger, Posted, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.storage import reports, shares
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.reports import ReportFilter, StoredReport
from tocsin_schema.check import Finding, check_bundle
from tocsin_schema.report import IncidentReport

THREAD_FROM = 8  # seal to this many recipients off the event loop

Kind = Literal["publish", "revoke"]


class FindingsRefused(NodeError):
    """The report has findings that must be mended first."""

    code = "findings"
    hint = "Mend what the findings name and send it again; nothing has been stored."

    def __init__(self, findings: Sequence[Finding]) -> None:
        errors = sum(f.level == "error" for f in findings)
        super().__init__(
            f"The report has {errors} finding{'s' if errors != 1 else ''} that must be mended first."
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


class NotOurs(NodeError):
    """Only the organisation that filed a report may change it."""

    code = "not-ours"
    hint = "Tell its origin, or file a report of your own that refers to it."


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


class RecipientsMissing(NodeError):
    """Nobody is named to share the report with."""

    code = "recipients-missing"
    hint = "Name them: `tocsin report share ID --to NAME`."


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
    left: tuple[Left, ...] = ()


class Reporting:
    """The verbs on reports."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        alarms: Alarms,
        *,
        node_id: str,
        org: str,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._alarms = alarms
        self._node_id = node_id
        self._org = org
        self._now = now
        self._rng = rng

    async def submit(
        self, raw: bytes, *, to: Sequence[str] | None, share: bool = True, dry_run: bool = False
    ) -> Submission:
        """File a new report: `raw` is a STIX bundle, kept and shared as exactly these bytes.

        `to`: names or NodeIDs of peers; None: all whose policy admits the report's TLP (RED: nobody).
        Raises: FindingsRefused, ReportExists, AudienceEmpty, PeerUnknown, StorageError.
        """
        report, findings = _checked(raw)
        release_ = self._release(report, to, share=share)
        if dry_run:
            return Submission("dry-run", report, 1, release_, findings)
        posting = await self._posting(
            report, release_, held=None, kind="revoke" if report.revoked else "publish"
        )
        (posted,) = await self._ledger.post(posting)
        return self._answer(posted, report, release_, findings, ver=1)

    async def revise(
        self, raw: bytes, report_id: str, *, to: Sequence[str] | None, dry_run: bool = False
    ) -> Submission:
        """File a new version of an own report; it goes to the former recipients unless `to` says otherwise.

        A former recipient keeps getting versions: it must learn of corrections and of a raised marking.
        Raises: as submit, and ReportUnknown, NotOurs, AlreadyWithdrawn, VersionConflict (also when `modified` is not
        later than that of the version held: it was made on an older one).
        """
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
        if held.origin != self._node_id:
            raise NotOurs
        if held.sha256 != report.sha256:
            if held.state == "withdrawn":
                raise AlreadyWithdrawn
            if report.modified <= held.modified:
                raise VersionConflict
        wanted = [i for i in held.audience if self._peering.by_id(i) is not None] + list(to or ())
        release_ = self._release(report, wanted, share=bool(wanted))
        left = left_behind(held.audience, release_, self._peering.name_of)
        if dry_run:
            return Submission("dry-run", report, held.ver + 1, release_, findings, left=left)
        kind: Kind = "revoke" if report.revoked else "publish"
        posting = await self._posting(report, release_, held=held, kind=kind)
        (posted,) = await self._ledger.post(posting)
        done = self._answer(posted, report, release_, findings, ver=held.ver + 1)
        return replace(done, left=left) if done.outcome == "stored" else done

    async def withdraw(self, raw: bytes, report_id: str, *, dry_run: bool = False) -> Submission:
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
        return await self.revise(raw, report_id, to=None, dry_run=dry_run)

    async def share(self, report_id: str, *, to: Sequence[str], dry_run: bool = False) -> Submission:
        """Send the version of an own report that stands to the peers `to`, those that do not have it yet.

        The same bytes under the same number in a further entry; also a withdrawal. The others notice nothing.
        Raises: ReportUnknown, NotOurs, PeerUnknown, RecipientsMissing, VersionConflict, StorageError.
        """
        if not to:
            raise RecipientsMissing
        stored = await self.get(report_id)
        if stored.origin != self._node_id:
            raise NotOurs
        report, findings = _checked(stored.bundle)
        release_ = self._release(report, to, share=True)
        async with self._pool.acquire() as conn:
            having = await shares.having(conn, report_id, [p.node_id for p in release_.to])
            before = await reports.place_of(conn, report_id, stored.ver - 1)
        release_ = split_off(release_, having, "has-it", "it has this version already")
        if dry_run or not release_.to:
            return Submission("dry-run" if dry_run else "unchanged", report, stored.ver, release_, findings)
        audience = tuple(p.node_id for p in release_.to)
        sealed = await self._seal(
            report,
            audience,
            ver=stored.ver,
            prev=before.leaf_hash if before else None,
            kind="revoke" if report.revoked else "publish",
        )
        posting = Posting(sealed=sealed, report=report, held_ver=stored.ver, audience=audience, wider=True)
        (posted,) = await self._ledger.post(posting)
        return self._answer(posted, report, release_, findings, ver=stored.ver)

    async def having(self, report: StoredReport) -> set[str]:
        """Those of an own report's audience (NodeIDs) that were sent its newest version."""
        async with self._pool.acquire() as conn:
            return await shares.having(conn, report.id, report.audience)

    async def take_in(
        self, raws: Sequence[bytes], *, to: Sequence[str] | None, share: bool
    ) -> list[Submission | NodeError]:
        """Import many bundles in one transaction, each with an outcome of its own, in order.

        What is held already is not sealed again: the same import may be repeated at little cost.
        Raises: PeerUnknown for a name in `to`.
        """
        for name in to or ():
            self._peering.named(name)  # a name that nobody has is the caller's mistake, not each report's
        results: list[Submission | NodeError] = []
        sound: list[tuple[int, IncidentReport, Release, tuple[Finding, ...]]] = []
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
        postings: list[tuple[int, Posting]] = []
        for nth, (position, report, release_, findings) in enumerate(sound):
            standing = held.get(report.id)
            if standing is not None and standing.sha256 == report.sha256:
                results[position] = _unchanged(report, standing, release_, findings)
                continue
            await asyncio.sleep(0)  # the same
            kind: Kind = "revoke" if report.revoked else "publish"
            posting = await self._posting(report, release_, held=None, kind=kind, alert=False)
            postings.append((nth, posting))
        posted = await self._ledger.post(*(posting for _, posting in postings)) if postings else []
        for (nth, _), outcome in zip(postings, posted, strict=True):
            position, report, release_, findings = sound[nth]
            try:
                results[position] = self._answer(outcome, report, release_, findings, ver=1)
            except NodeError as exc:
                results[position] = exc
        return results

    async def get(self, report_id: str) -> StoredReport:
        """The newest version. Raises: ReportUnknown."""
        async with self._pool.acquire() as conn:
            report = await reports.get(conn, report_id)
        if report is None:
            raise ReportUnknown
        return report

    async def listing(self, keep: ReportFilter, *, before: int | None, limit: int) -> list[StoredReport]:
        """Newest first, without bundles."""
        async with self._pool.acquire() as conn:
            return await reports.listing(conn, keep, before=before, limit=limit)

    # -------------------------------------------------------------------------------------------------

    def _release(self, report: IncidentReport, to: Sequence[str] | None, *, share: bool) -> Release:
        policies = self._peering.policies()
        if not share:
            return _nobody(policies, "not-shared", "it was filed with --no-share")
        if report.personal_data == "present":
            return _nobody(policies, "personal-data", "it holds personal data, which never leaves this node")
        requested = None if to is None else [self._peering.named(name).node_id for name in to]
        released = release(report.tlp, policies, requested=requested)
        if requested is None and report.tlp.value == "red" and policies:
            raise AudienceEmpty
        expired = [p for p in released.to if not self._peering.sealable(p.node_id)]
        if expired:  # one peer that forgot to renew must not keep a report from the others
            reason = (
                "its statement has expired and nothing is sealed to expired keys; its operator must renew it"
            )
            withheld = (*released.withheld, *(Withheld(p, "no-enc-key", reason) for p in expired))
            return Release(tuple(p for p in released.to if p not in expired), withheld)
        return released

    async def _posting(
        self,
        report: IncidentReport,
        to: Release,
        *,
        held: reports.Held | None,
        kind: Kind,
        alert: bool = True,
    ) -> Posting:
        audience = tuple(p.node_id for p in to.to)
        ver = 1 if held is None else held.ver + 1
        prev = held.leaf_hash if held else None
        sealed = await self._seal(report, audience, ver=ver, prev=prev, kind=kind) if audience else None
        plan = None
        if alert:
            plan = self._alarms.plan(
                report, origin=self._org, ours=True, previous_grade=held.grade if held else None
            )
        kept = tuple(dict.fromkeys([*(held.audience if held else ()), *audience]))
        return Posting(
            sealed=sealed, report=report, held_ver=held.ver if held else None, audience=kept, alert=plan
        )

    async def _seal(
        self,
        report: IncidentReport,
        audience: Sequence[str],
        *,
        ver: int,
        prev: bytes | None,
        kind: Kind,
    ) -> Sealed:
        recipients = self._peering.enc_keys(audience)

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
