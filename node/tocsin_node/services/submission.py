"""A report at the node's own door: checked, and what became of it."""

from dataclasses import dataclass
from typing import Literal

from tocsin_federation.sharing import Release
from tocsin_node.services.audience import Left, split_off
from tocsin_node.services.ledger import Posted
from tocsin_node.services.redactions import Redacted
from tocsin_node.services.report_refusals import FindingsRefused, ReportExists, VersionConflict
from tocsin_node.storage import reports
from tocsin_schema.check import check_bundle
from tocsin_schema.finding import Finding
from tocsin_schema.report import IncidentReport


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


def checked(raw: bytes) -> tuple[IncidentReport, tuple[Finding, ...]]:
    """The report that `raw` is, and what is to be said of it. Raises: FindingsRefused."""
    found = check_bundle(raw)
    if found.report is None:
        raise FindingsRefused(found.findings)
    return found.report, found.findings


def answered(
    posted: Posted, report: IncidentReport, release: Release, findings: tuple[Finding, ...], *, ver: int
) -> Submission:
    """The ledger's outcome in the words of this door. Raises: ReportExists, VersionConflict."""
    match posted.outcome:
        case "stored":
            return Submission("stored", report, ver, release, findings, posted.place, posted.alert_id)
        case "unchanged":
            if posted.held is None:
                return Submission("unchanged", report, ver, release, findings)
            return unchanged(report, posted.held, release, findings)
        case "exists":
            raise ReportExists
        case "conflict":
            raise VersionConflict


def unchanged(
    report: IncidentReport, held: reports.Held, release: Release, findings: tuple[Finding, ...]
) -> Submission:
    """What is held already went to whom it went to then: nothing is sent now."""
    late = {p.node_id for p in release.to} - set(held.audience)
    reason = "the report was filed before, and not to it; `tocsin report share ID --to NAME` sends it"
    sent = split_off(release, late, "already-filed", reason)
    return Submission("unchanged", report, held.ver, sent, findings)
