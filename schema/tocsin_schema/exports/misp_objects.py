"""The objects of a MISP event, by the templates that MISP publishes.

Identifiers are derived from the event and the place in it, since MISP wants every object and attribute to
be the only one of its UUID on an instance: the same system in two events is two objects there.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tocsin_schema.exports.content import Content, Object, System
from tocsin_schema.ids import NAMESPACE
from tocsin_schema.severity import SCHEME

MAX_VALUE_BYTES: Final = 65_000  # MISP keeps a value in a column of 65,535 bytes
INHERIT: Final = "5"  # the distribution of the event
# A published object template: name, UUID, version, meta-category.
INCIDENT: Final = ("incident", "38597424-f9bb-4865-9b4b-819172df0334", "1", "misc")
MODEL: Final = ("ai-model-component", "e5162e7f-ca79-49b4-b997-9873521f05d9", "1", "file")
DATASET: Final = ("ai-dataset-component", "2a7519c7-dbc9-441f-abd1-d1fc9e8e46ea", "1", "file")
SOFTWARE: Final = ("software", "b1b5dc0e-73fe-443c-8d9d-0e208de3951e", "1", "misc")
ORGANIZATION: Final = ("organization", "f750e12b-127a-432c-b022-b3f9153c4e2a", "9", "misc")
VULNERABILITY: Final = ("vulnerability", "81650945-f186-437b-8945-9f31715d32da", "12", "vulnerability")
TECHNIQUE: Final = ("attack-pattern", "35928348-56be-4d7f-9752-a80927936351", "1", "vulnerability")
MITIGATION: Final = ("course-of-action", "3d1c2c06-68a9-4394-8c8d-258d115f796f", "1", "misc")

CATEGORIES: Final = {
    "text": "Other",
    "link": "External analysis",
    "vulnerability": "External analysis",
    "sha256": "Payload delivery",
    "float": "Other",
    "cpe": "External analysis",
    "attachment": "External analysis",
}
DETERMINATION: Final = {"confirmed": "successful-attempt"}
# incident-core, Appendix B: bands of criticality.
BANDS: Final = ((90, "Extreme"), (50, "High"), (30, "Moderate"), (1, "Low"))

Values = Iterable[tuple[str, str, Any]]  # (object relation, attribute type, value)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which event things are made; gives identifiers that stay the same."""

    event: str
    timestamp: str

    def uuid(self, name: str) -> str:
        """The identifier of what has this name in the event."""
        return str(uuid.uuid5(NAMESPACE, f"misp:{self.event}:{name}"))

    def attribute(self, name: str, kind: str, value: object, **more: Any) -> dict[str, Any]:
        """An attribute that neither correlates by itself nor becomes an indicator."""
        return {
            "uuid": self.uuid(name),
            "type": kind,
            "category": CATEGORIES[kind],
            "value": _cut(str(value)),
            "to_ids": False,
            "disable_correlation": kind == "text",
            "distribution": INHERIT,
            "timestamp": self.timestamp,
            "comment": "",
            **more,
        }

    def object(
        self, template: tuple[str, str, str, str], key: str, values: Values, comment: str = ""
    ) -> dict[str, Any]:
        """An object of a published template; values that are empty are left out."""
        name, template_uuid, version, category = template
        attributes = [
            self.attribute(f"{key}:{relation}:{number}", kind, value, object_relation=relation)
            for number, (relation, kind, value) in enumerate(values)
            if value not in (None, "")
        ]
        return {
            "uuid": self.uuid(key),
            "name": name,
            "template_uuid": template_uuid,
            "template_version": version,
            "meta-category": category,
            "description": "",
            "comment": comment,
            "distribution": INHERIT,
            "timestamp": self.timestamp,
            "Attribute": attributes,
            "ObjectReference": [],
        }


def _cut(value: str) -> str:
    raw = value.strip().encode()
    if len(raw) <= MAX_VALUE_BYTES:
        return value.strip()
    return raw[:MAX_VALUE_BYTES].decode(errors="ignore") + "…"


def objects(found: Content, place: Place) -> Iterator[dict[str, Any]]:
    """The incident, which refers to the others, then systems, parties, techniques, mitigations, weaknesses."""
    others = [
        *_systems(found, place),
        *_parties(found, place),
        *(_technique(obj, step, place) for obj, step in found.steps()),
        *(_mitigation(obj, place) for obj in found.of("course-of-action")),
        *(_weakness(obj, place) for obj in found.of("vulnerability")),
    ]
    incident = place.object(INCIDENT, "incident", _incident(found))
    incident["ObjectReference"] = [
        {
            "uuid": place.uuid(f"reference:{made['uuid']}"),
            "object_uuid": incident["uuid"],
            "referenced_uuid": made["uuid"],
            "relationship_type": verb,
            "comment": made["comment"],
            "timestamp": place.timestamp,
        }
        for made, verb in others
    ]
    yield incident
    for made, _ in others:
        yield made


def _incident(found: Content) -> Values:
    severity, core = found.report.severity, found.core
    yield "name", "text", found.report.name
    yield "description", "text", found.report.description
    said = core.get("determination", "")
    yield "determination", "text", DETERMINATION.get(said, said)
    yield "investigation_status", "text", core.get("investigation_status")
    band = next((word for lowest, word in BANDS if severity.score >= lowest), "Not Specified")
    yield "criticality", "text", "False Positive" if found.report.realization == "no-harm" else band
    yield "recoverability", "text", core.get("recoverability")
    for method in core.get("detection_methods", ()):
        yield "detection_method", "text", method
    for kind in core.get("incident_types", ()):
        yield "incident_type", "text", kind
    yield "score", "text", f"{SCHEME}: level {severity.level}, score {severity.score}, grade {severity.grade}"


def _systems(found: Content, place: Place) -> Iterator[tuple[dict[str, Any], str]]:
    seen = set()
    for system in found.systems():
        if system.obj["id"] in seen:
            continue
        seen.add(system.obj["id"])
        kind = system.facts.get("system_kind")
        template, values = (
            (MODEL, _model(system))
            if kind == "model"
            else (DATASET, _dataset(system))
            if kind == "dataset"
            else (SOFTWARE, _software(system))
        )
        said = f"role: {system.role}" + (f"; {kind}" if kind else "")
        yield place.object(template, system.obj["id"], values, said), "affects"


def _model(system: System) -> Values:
    obj, facts = system.obj, system.facts
    yield "model-name", "text", obj["name"]
    yield "model-version", "text", obj.get("version")
    yield "provider", "text", obj.get("vendor")
    yield "model-identifier", "text", facts.get("model_identifier")
    yield "model-type", "text", facts.get("model_type")
    yield "artifact-hash", "sha256", facts.get("artifact_sha256")
    yield "license", "text", facts.get("license")
    yield "training-framework", "text", facts.get("training_framework")


def _dataset(system: System) -> Values:
    obj, facts = system.obj, system.facts
    yield "dataset-name", "text", obj["name"]
    yield "dataset-version", "text", obj.get("version")
    yield "dataset-provider", "text", obj.get("vendor")
    yield "dataset-license", "text", facts.get("license")
    yield "integrity-hash", "sha256", facts.get("artifact_sha256")


def _software(system: System) -> Values:
    obj = system.obj
    yield "name", "text", obj["name"]
    yield "version", "text", obj.get("version")
    yield "vendor", "text", obj.get("vendor")
    yield "cpe", "cpe", obj.get("cpe")
    yield "swid", "text", obj.get("swid")


def _parties(found: Content, place: Place) -> Iterator[tuple[dict[str, Any], str]]:
    """One object a party, with all its roles."""
    roles: dict[str, list[str]] = {}
    parties: dict[str, Object] = {}
    for role, ones in found.parties().items():
        for obj in ones:
            parties[obj["id"]] = obj
            roles.setdefault(obj["id"], []).append(role)
    for ref, obj in parties.items():
        values: list[tuple[str, str, Any]] = [
            ("name", "text", obj["name"]),
            ("type-of-organization", "text", obj.get("identity_class")),
            *(("role", "text", role) for role in roles[ref]),
        ]
        yield place.object(ORGANIZATION, ref, values, "role: " + ", ".join(roles[ref])), "related-to"


def _references(obj: Mapping[str, Any], key: str) -> list[tuple[str, str, Any]]:
    return [(key, "link", one["url"]) for one in obj.get("external_references", ()) if "url" in one]


def _technique(obj: Object, step: str, place: Place) -> tuple[dict[str, Any], str]:
    keys = [one["external_id"] for one in obj.get("external_references", ()) if "external_id" in one]
    values: list[tuple[str, str, Any]] = [
        ("id", "text", keys[0] if keys else None),
        ("name", "text", obj["name"]),
        ("summary", "text", obj.get("description")),
        *_references(obj, "references"),
    ]
    return place.object(TECHNIQUE, obj["id"], values, step), "uses"


def _mitigation(obj: Object, place: Place) -> tuple[dict[str, Any], str]:
    values = [("name", "text", obj["name"]), ("description", "text", obj.get("description"))]
    return place.object(MITIGATION, obj["id"], values), "related-to"


def _weakness(obj: Object, place: Place) -> tuple[dict[str, Any], str]:
    keys = [one["external_id"] for one in obj.get("external_references", ()) if one["source_name"] == "cve"]
    values: list[tuple[str, str, Any]] = [
        *(("id", "vulnerability", key) for key in keys),
        ("summary", "text", obj["name"]),
        ("description", "text", obj.get("description")),
        *_references(obj, "references"),
    ]
    return place.object(VULNERABILITY, obj["id"], values), "related-to"
