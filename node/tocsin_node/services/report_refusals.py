"""Why a report is not taken at the node's own door; each with what to do next."""

from collections.abc import Sequence

from tocsin_node.errors import NodeError
from tocsin_schema.finding import Finding


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
