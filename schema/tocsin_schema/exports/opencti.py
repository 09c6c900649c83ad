"""The form that OpenCTI reads: STIX with the properties that it expects at the top of an incident.

This is not strict STIX 2.1: `severity` is a reserved name there, and the others are not among the incident's
properties. It is made at this edge only; what nodes exchange stays strict. OpenCTI knows an incident by its
name and its time of creation, and both stay as they are.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tocsin_schema import times
from tocsin_schema.artefacts import announcements
from tocsin_schema.exports import content
from tocsin_schema.exports.content import Content
from tocsin_schema.exports.stix import bundle
from tocsin_schema.merge import Merger
from tocsin_schema.report import IncidentReport

OPENCTI_EXTENSION: Final = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"
INCIDENT_TYPE: Final = "ai-incident"
SEVERITIES: Final = ("low", "low", "low", "medium", "high", "critical")

LOSSES: Final = (
    "It is not strict STIX 2.1: do not feed it to validators, and import it elsewhere from `stix` instead.",
    (
        "OpenCTI drops the extensions ai-incident, ai-system and incident-core: what stays of them are title,"
        " description, severity, times, labels, the parties, the systems and the report that wraps the incident."
    ),
    "Level 0, 1 and 2 are all `low`; the grade is among the labels.",
    "A last_seen that is not later than first_seen is left out, since OpenCTI refuses it.",
    "An object that several reports carry is there once, in its latest version.",
)


def write(reports: Iterable[IncidentReport]) -> Iterator[bytes]:
    """One bundle, as of `stix.write`, with OpenCTI's properties on every incident."""
    with Merger() as merger:
        merger.add(announcements())
        for report in reports:
            merger.add(_objects(content.read(report)))
        yield from bundle(merger)


def _objects(found: Content) -> list[dict[str, Any]]:
    incident = {**found.incident, **_top(found)}
    incident["labels"] = labels(found)
    incident["extensions"] = {
        **incident["extensions"],
        OPENCTI_EXTENSION: {
            "extension_type": "property-extension",
            "score": found.report.severity.score,
            "labels": incident["labels"],
        },
    }
    return [incident if obj["id"] == found.report.id else dict(obj) for obj in found.objects.values()]


def _top(found: Content) -> dict[str, Any]:
    facts = found.report.extension
    source = found.report.source
    top: dict[str, Any] = {
        "incident_type": INCIDENT_TYPE,
        "severity": SEVERITIES[found.report.severity.level],
        "source": source.source if source is not None else found.creator,
    }
    first, last = facts.get("occurred_start"), facts.get("occurred_end")
    if first is not None:
        top["first_seen"] = first
    if last is not None and (first is None or _later(last, first)):
        top["last_seen"] = last
    if facts.get("causal_intent") == "intentional" and facts.get("ai_relation"):
        top["objective"] = ", ".join(facts["ai_relation"])
    return top


def _later(last: str, first: str) -> bool:
    end, start = times.parse(last), times.parse(first)
    return end is not None and start is not None and end > start


def labels(found: Content) -> list[str]:
    """What people filter by: the labels of incident and report, the grade, the harms, the flags."""
    facts = found.report.extension
    own = [f'ai-incident:grade="{found.report.severity.grade}"']
    own += [f'ai-incident:harm="{harm["harm_type"]}"' for harm in facts.get("harms", ())]
    own += [f'ai-incident:flag="{flag}"' for flag in facts.get("flags", ())]
    return list(dict.fromkeys([*found.incident.get("labels", ()), *found.wrapper.get("labels", ()), *own]))
