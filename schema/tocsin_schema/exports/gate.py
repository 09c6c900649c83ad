"""Which reports an export should leave out: a file knows no recipients, so nobody enforces a marking any more."""

from typing import Final, Literal

from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

Reason = Literal["above-tlp", "personal-data"]

# TLP:GREEN may be passed on within a community; anything stricter names its recipients.
DEFAULT_TLP: Final = Tlp.GREEN


def withheld(
    report: IncidentReport, *, max_tlp: Tlp = DEFAULT_TLP, personal_data: bool = False
) -> Reason | None:
    """Why a report stays out of an export, or None; `personal_data` lets those through that name people."""
    if report.tlp.rank > max_tlp.rank:
        return "above-tlp"
    if report.personal_data == "present" and not personal_data:
        return "personal-data"
    return None
