"""A report as one flat record for tables and scripts: names instead of identifiers, the glossary's words as keys.

The keys are those of the form and of the ai-incident extension, in the order of the glossary; a property
that the profile gains is here at once. What a report does not say has no key.
"""

from typing import Any, Final

from tocsin_schema import times
from tocsin_schema.compose import REFERENCE_NAMES
from tocsin_schema.exports.content import Content, Object, System
from tocsin_schema.extension import INCIDENT
from tocsin_schema.severity import SCHEME

HEAD: Final = ("id", "title", "description", "tlp", "created", "modified", "created_by", "revoked")
PARTIES: Final = ("developers", "deployers", "affected", "actors")
TAIL: Final = ("sources", "confidence", "labels")
_FACTS: Final = tuple(
    name for name in INCIDENT.fields if name not in ("extension_type", "systems", "parties")
)
KEYS: Final = (*HEAD, "systems", *PARTIES, *_FACTS, *TAIL)


def record(found: Content) -> dict[str, Any]:
    """The flat record; severity is what was computed here, which the check has compared with what is claimed."""
    report, severity = found.report, found.report.severity
    facts = report.extension
    values: dict[str, Any] = {
        "id": report.id,
        "title": report.name,
        "description": report.description,
        "tlp": report.tlp.value,
        "created": times.write(report.created),
        "modified": times.write(report.modified),
        "created_by": found.creator,
        "revoked": report.revoked,
        "systems": [_system(one) for one in found.systems()],
        **{key: [_party(one) for one in ones] for key, ones in found.parties().items()},
        **{name: facts[name] for name in _FACTS if name in facts},
        "severity_scheme": facts.get("severity_scheme", SCHEME),
        "severity_level": severity.level,
        "severity_score": severity.score,
        "response_grade": severity.grade,
        "severity_basis": severity.basis,
        "severity_drivers": list(severity.drivers),
        "oecd_class": severity.oecd_class,
        "sources": [_source(one) for one in found.sources()],
        "confidence": found.incident.get("confidence"),
        "labels": [*found.incident.get("labels", ()), *found.wrapper.get("labels", ())],
    }
    if "severity_override" in values:
        override = values["severity_override"]
        values["severity_override"] = {**override, "by_ref": found.name_of(override["by_ref"])}
    return {key: values[key] for key in KEYS if values.get(key) not in (None, [], ())}


def _system(system: System) -> dict[str, Any]:
    obj = system.obj
    known = {name: obj[name] for name in ("name", "vendor", "version") if name in obj}
    kind = {"kind": system.facts["system_kind"]} if "system_kind" in system.facts else {}
    return {**known, **kind, "role": system.role}


def _party(obj: Object) -> dict[str, Any]:
    return {"name": obj["name"], "class": obj.get("identity_class", obj["type"])}


def _source(reference: Object) -> dict[str, Any]:
    made = {"name": reference["source_name"]}
    made.update((ours, reference[theirs]) for ours, theirs in REFERENCE_NAMES.items() if theirs in reference)
    if "hashes" in reference:
        made["sha256"] = reference["hashes"]["SHA-256"]
    return made
