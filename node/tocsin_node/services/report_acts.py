"""What the audit log says of reports that are filed, changed or given out: which, how marked, to whom. Not the text."""

from collections.abc import Sequence

from tocsin_node.actor import person
from tocsin_node.services.screening import Screened
from tocsin_node.storage.audit import Act
from tocsin_schema.report import IncidentReport

NAMED_MAX = 64  # recipients that are named; the others are counted


def report_act(action: str, report: IncidentReport, ver: int, to: Sequence[str]) -> Act:
    """A version of a report is written, and sealed `to` these NodeIDs."""
    facts = {"ver": ver, "tlp": report.tlp.value, "grade": report.severity.grade, "recipients": len(to)}
    named = {"to": sorted(to)[:NAMED_MAX]} if to else {}
    return Act(action, f"report:{report.id}", {**facts, **named})


def review_acts(screened: Screened, report_id: str, ver: int) -> tuple[Act, ...]:
    """A person took it on that a version leaves, whatever it seems to hold; nothing where nobody did."""
    if screened.reviewed_by is None:
        return ()
    detail = {"ver": ver, "kinds": list(screened.kinds), "suspicions": len(screened.found)}
    return (Act("report.review", f"report:{report_id}", detail, person(screened.reviewed_by)),)
