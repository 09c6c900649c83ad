"""Everything the schema wing refuses, one root and its leaves.

A class's docstring is its default message; `code` is stable and documented in schema/README.md; `hint` says
what to do next. Refusals of a whole report are values (`finding.Finding`), since a person wants all of them
at once; these exceptions are for callers who asked for bytes or an object and cannot get one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tocsin_schema.finding import Finding


class SchemaError(Exception):
    """This is not what the incident profile allows."""

    code: ClassVar[str] = "schema-error"
    hint: str = "Check the input against schema/README.md."

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)
        if hint is not None:
            self.hint = hint


class TooLarge(SchemaError):
    """The text is larger than the limit."""

    code = "too-large"
    hint = "Shorten it; evidence travels as a hash, never as content."


class TooDeep(SchemaError):
    """Lists and objects are nested deeper than the limit."""

    code = "too-deep"
    hint = "Flatten the structure; no field of the profile nests deeper than 8 levels."


class NotUtf8(SchemaError):
    """The text is not UTF-8."""

    code = "not-utf8"
    hint = "Save the file as UTF-8 without a byte order mark."


class NotJson(SchemaError):
    """The text is not JSON."""

    code = "not-json"
    hint = "Look at the line and column named; a JSON checker in any editor shows the place."


class DuplicateKey(SchemaError):
    """An object says the same key twice."""

    code = "duplicate-key"
    hint = "Keep one of the two; readers disagree about which one counts."


class LoneSurrogate(SchemaError):
    """A text holds half of a character (a lone surrogate)."""

    code = "lone-surrogate"
    hint = "Type the character again; half of an emoji cannot be stored or signed."


class BadNumber(SchemaError):
    """A number is outside what JSON readers agree on."""

    code = "bad-number"
    hint = "Whole numbers up to 9007199254740991; no NaN, no Infinity. Write longer numbers as text."


class NotJsonValue(SchemaError):
    """A value has no form in JSON."""

    code = "not-json-value"
    hint = "Use text, whole numbers, decimals, true/false, lists and objects with text keys."


class BadTimestamp(SchemaError):
    """This is not a time in UTC."""

    code = "bad-timestamp"
    hint = "Write it as 2025-03-24T10:15:00.000Z."


class BadId(SchemaError):
    """This is not a STIX identifier."""

    code = "bad-id"
    hint = "A STIX identifier is type--UUID, for example incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a."


class ReportRefused(SchemaError):
    """The report breaks the profile."""

    code = "report-refused"
    hint = "Mend every finding named, then try again."

    def __init__(self, findings: "Sequence[Finding]") -> None:
        errors = [finding for finding in findings if finding.level == "error"]
        super().__init__(
            f"{len(errors)} finding(s): " + "; ".join(f"{f.path}: {f.message}" for f in errors[:5])
        )
        self.findings = tuple(findings)


class FormRefused(ReportRefused):
    """The form cannot become a report yet."""

    code = "form-refused"


class AlreadyWithdrawn(SchemaError):
    """The report is withdrawn; a withdrawal is final."""

    code = "already-withdrawn"
    hint = "File a new report and name the withdrawn one in its description."


class RemarkRefused(ReportRefused):
    """The remark breaks the profile."""

    code = "remark-refused"


class AlreadyRetracted(SchemaError):
    """The remark was taken back already."""

    code = "already-retracted"
    hint = "Nothing to do; what you say next begins anew."


class NoReason(SchemaError):
    """A withdrawal needs a reason."""

    code = "no-reason"
    hint = "Say in one sentence why the report is taken back."


class NotValidStix(SchemaError):
    """stix2 refuses an object that our own checks let pass."""

    code = "not-valid-stix"
    hint = "This is a fault of Tocsin: report it with the message and the report."


class NoSuchPlace(SchemaError):
    """There is nothing at this place of the report."""

    code = "no-such-place"
    hint = "Places are those of the form, such as description, affected[0] or harms[1].note; or those of a finding."


class CannotLeaveOut(SchemaError):
    """No report can do without this."""

    code = "cannot-leave-out"
    hint = "Give other words in its place: --replace PATH=TEXT."


class PersonalDataUndecided(SchemaError):
    """The report says that it names people; nobody has said what its shared version holds."""

    code = "personal-data-undecided"
    hint = (
        "Say it once you have looked at the preview: --personal-data none, or --personal-data pseudonymised."
    )


class NotADuplicate(SchemaError):
    """The report does not say that it is a duplicate of that one."""

    code = "not-a-duplicate"
    hint = "See what it says: `tocsin report show ID`."


class NotLater(SchemaError):
    """The new version is not later than the one it replaces."""

    code = "not-later"
    hint = "Check this machine's clock: a version must be later than the one before."


class ImportUnreadable(SchemaError):
    """The file cannot be read as the form it was said to be."""

    code = "import-unreadable"
    hint = "Check that the file is complete and is of the form named on the command line."


class RegimeUnknown(SchemaError):
    """There is no regime of that name."""

    code = "regime-unknown"
    hint = "`tocsin duty list --all` shows the regimes that an incident has; schema/README.md lists all."


class PdfUnavailable(SchemaError):
    """The part that writes PDF is not installed."""

    code = "pdf-unavailable"
    hint = "Install it with: pip install 'tocsin[pdf]'; or take --format html and print that."
