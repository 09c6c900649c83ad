"""Whether the parts of a report agree: wrapper and incident, versions, references, severity, facts.

Rules 8 to 10 of `check.py` and its warnings. Objects are well-shaped here; properties may be missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tocsin_schema import times
from tocsin_schema.extension import PARTIES
from tocsin_schema.finding import Finding, join, show
from tocsin_schema.ids import INCIDENT_EXTENSION
from tocsin_schema.severity import SCHEME, Severity, assess, band_of, grade_of, has_override
from tocsin_schema.survey import Object, Survey

FACTS: Final = "incident.extensions.ai-incident"
_HARMED: Final = ("deaths", "serious_injuries", "injuries")


def check_agreement(
    survey: Survey, incident: Object, wrapper: Object, found: list[Finding]
) -> Severity | None:
    """The incident's severity, or None without an ai-incident extension; `found` takes what disagrees."""
    _check_pair(incident, wrapper, found)
    _check_versions(survey, found)
    extension = incident.get("extensions", {}).get(INCIDENT_EXTENSION)
    _check_references(survey, wrapper, extension or {}, found)
    if extension is None:
        if said_of(FACTS, found) or said_of("incident.extensions", found):
            return None
        said = "The incident carries no ai-incident extension, so nobody can tell how grave it is."
        hint = (
            "File it with tocsin report new, or import it with tocsin import stix, which adds the extension."
        )
        found.append(Finding("not-ai-incident", "incident.extensions", said, hint))
        return None
    if incident.get("revoked") is not True and extension.get("report_status") == "withdrawn":
        said = "The status says withdrawn, but the incident is not revoked."
        hint = "Withdraw it with tocsin report withdraw, or set another status."
        found.append(Finding("half-withdrawn", f"{FACTS}.report_status", said, hint))
    severity = assess(extension)
    _check_claims(extension, severity, found)
    check_facts(extension, FACTS, found)
    return severity


def check_facts(extension: Mapping[str, Any], prefix: str, found: list[Finding]) -> None:
    """Rule 10 and what else the facts can contradict; for reports and forms alike."""
    realization = extension.get("realization")
    if realization not in ("harm-event", "unknown", None):
        _check_realization(extension, str(realization), join(prefix, "realization"), found)
    if "occurred_end" in extension:
        _check_period(extension, join(prefix, "occurred_end"), found)


def said_of(path: str, found: Sequence[Finding]) -> bool:
    """Whether an error is already named there, so that what follows from it need not be said too."""
    return any(path in finding.path for finding in found if finding.level == "error")


def _check_pair(incident: Object, wrapper: Object, found: list[Finding]) -> None:
    creator = incident.get("created_by_ref")
    if creator is None:
        if not said_of("incident.created_by_ref", found):
            said = "Nobody is named as the creator of the incident."
            hint = "Name the identity of the node."
            found.append(Finding("missing-property", "incident.created_by_ref", said, hint))
    elif wrapper.get("created_by_ref") != creator and not said_of("report.created_by_ref", found):
        said = "The report object has another creator than the incident."
        hint = "One organisation answers for both: name the same identity."
        found.append(Finding("creator-differs", "report.created_by_ref", said, hint))
    if incident.get("id") not in wrapper.get("object_refs", ()) and not said_of("report.object_refs", found):
        said = "The report object does not list the incident."
        hint = f"Add {incident.get('id', 'the incident')} to object_refs."
        found.append(Finding("not-wrapped", "report.object_refs", said, hint))
    if (incident.get("revoked") is True) is not (wrapper.get("revoked") is True):
        said = "Only one of incident and report object is revoked."
        hint = "Withdraw both together: tocsin report withdraw."
        found.append(Finding("half-withdrawn", "report.revoked", said, hint))
    if incident.get("name") != wrapper.get("name") and not said_of("name", found):
        said = (
            "The report object has another title than the incident; tools that know only one of them differ."
        )
        found.append(Finding("title-differs", "report.name", said, "Give both the same name.", "warning"))


def _check_versions(survey: Survey, found: list[Finding]) -> None:
    for obj in survey.versions:
        first, this = times.parse(obj.get("created")), times.parse(obj.get("modified"))
        if first is not None and this is not None and this < first:
            said = f"modified ({obj['modified']}) lies before created ({obj['created']})."
            where = f"{survey.place(obj)}.modified"
            found.append(Finding("modified-before-created", where, said, "Set modified to created or later."))


def _check_references(
    survey: Survey, wrapper: Object, extension: Mapping[str, Any], found: list[Finding]
) -> None:
    wanted = survey.refs.union(wrapper.get("object_refs", ()))
    wanted.update([use["system_ref"] for use in extension.get("systems", ())])
    for name, refs in extension.get("parties", {}).items():
        if name in PARTIES.fields:
            wanted.update(refs)
    wanted.discard(None)
    if wanted <= survey.ids:
        return
    for ref in sorted(str(ref) for ref in wanted - survey.ids):
        said = f"{show(ref, 60)} is referred to but does not travel along."
        hint = "Add the object, or drop the reference; until then nobody can see what it names."
        found.append(Finding("dangling-ref", "objects", said, hint, "warning"))


def _check_claims(extension: Mapping[str, Any], severity: Severity, found: list[Finding]) -> None:
    """Rule 9: what the report says of its severity against what its facts give."""
    basis = extension.get("severity_basis", "computed")
    if basis == "overridden" and not has_override(extension):
        said = "The level is said to be overridden, but not by whom, when, why and to which level."
        hint = "Give severity_level and severity_override (by_ref, at, reason), or leave severity_basis out."
        found.append(Finding("override-incomplete", f"{FACTS}.severity_override", said, hint))
    if extension.get("severity_scheme", SCHEME) != SCHEME:
        other = show(extension["severity_scheme"])
        said = f"The severity was computed by {other}; here it is graded by {SCHEME}."
        hint = "Nothing to do; the level shown here is the one of this node."
        found.append(Finding("other-scheme", f"{FACTS}.severity_scheme", said, hint, "warning"))
        return
    claimed = extension.get("severity_level")
    if basis == "reported" and claimed is not None and claimed < severity.level:
        said = f"The source reports level {claimed}, the facts give level {severity.level}; the facts count."
        hint = "Check the facts, or override the level with a reason."
        found.append(Finding("severity-below-facts", f"{FACTS}.severity_level", said, hint, "warning"))
        return
    for name, wrong, right in _mismatches(extension, severity):
        said = f"{name} says {show(wrong)}, the facts give {right}."
        hint = "Leave the severity fields out (they are computed), or override the level with a reason."
        found.append(Finding("severity-mismatch", f"{FACTS}.{name}", said, hint))


def _mismatches(extension: Mapping[str, Any], severity: Severity) -> Iterable[tuple[str, object, str]]:
    level, score = extension.get("severity_level"), extension.get("severity_score")
    grade, oecd = extension.get("response_grade"), extension.get("oecd_class")
    why = f" ({severity.drivers[0]})" if severity.drivers else ""
    if level is not None and level != severity.level:
        yield "severity_level", level, f"level {severity.level}{why}"
    if grade is not None and grade != grade_of(severity.level):
        yield "response_grade", grade, f"grade {severity.grade}"
    low, high = band_of(severity.level)
    if severity.basis == "computed":
        low = high = severity.score
    if score is not None and not low <= score <= high:
        yield "severity_score", score, f"score {severity.score}"
    if oecd is not None and severity.basis == "computed" and oecd != severity.oecd_class:
        yield "oecd_class", oecd, severity.oecd_class


def _check_realization(
    extension: Mapping[str, Any], realization: str, path: str, found: list[Finding]
) -> None:
    """Nobody is harmed in an event without harm."""
    quantities = extension.get("quantities", {})
    said = [f"{name}={quantities[name]}" for name in _HARMED if quantities.get(name, 0) > 0]
    said += [
        f"{harm['harm_type']} has happened" for harm in extension.get("harms", ()) if harm.get("materialised")
    ]
    if not said:
        return
    listed = ", ".join(said[:5])
    if realization == "no-harm":
        text = f"The report says that there was no harm, and also {listed}."
        hint = "Set realization to harm-event, or correct the facts."
        found.append(Finding("realization-contradicts", path, text, hint))
    else:
        text = f"Realization is {realization}, yet the report says {listed}; it is graded as not happened."
        hint = (
            "If harm happened, set realization to harm-event; for what could have happened use harms[].level."
        )
        found.append(Finding("realization-doubtful", path, text, hint, "warning"))


def _check_period(extension: Mapping[str, Any], path: str, found: list[Finding]) -> None:
    start, end = times.parse(extension.get("occurred_start")), times.parse(extension.get("occurred_end"))
    if start is not None and end is not None and end < start:
        said = "The event ends before it begins."
        hint = "Check occurred_start and occurred_end."
        found.append(Finding("ends-before-start", path, said, hint, "warning"))
