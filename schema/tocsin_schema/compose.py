"""From facts to STIX objects: everything a report is made of, as plain dicts, in one order, with derived identifiers.

Pure: the same form, producer, identifier and times give the same objects, byte for byte once they are
canonical. The form has been examined (`form.examine`) and has no errors. Proving the result against stix2
is `stix.py`'s part.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tocsin_schema import canonical, ids, times
from tocsin_schema import vocabulary as voc
from tocsin_schema.extension import INCIDENT, PROFILE_VERSION, SYSTEM
from tocsin_schema.form import PARTY_LISTS, tlp_of_form
from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS
from tocsin_schema.severity import SCHEME, Severity, assess

Object = dict[str, Any]

# Identities of parties are the same object at every node, so they carry one day and no creator.
PARTY_EPOCH: Final = "2025-01-01T00:00:00.000Z"
_DAY_MS: Final = 86_400_000
SPEC: Final = {"spec_version": "2.1"}
EXTENSION_TYPE: Final = {"extension_type": "property-extension"}

ROLES: Final = {
    "developers": ("developer_refs", "developer"),
    "deployers": ("deployer_refs", "deployer"),
    "affected": ("affected_refs", "affected-party"),
    "actors": ("actor_refs", "actor"),
}
DETERMINATION: Final = {
    "harm-event": "confirmed",
    "near-miss": "blocked",
    "potential": "suspected",
    "no-harm": "false-positive",
    "unknown": "suspected",
}
_SYSTEM_NAMES: Final = {"kind": "system_kind"}
_SOFTWARE: Final = ("name", "vendor", "version")


def compose(
    form: Mapping[str, Any], *, producer: Mapping[str, Any], incident_id: str, created: str, modified: str
) -> list[Object]:
    """The objects of a report: marking, producer, incident, parties, systems, relationships, report wrapper.

    `producer` is the creator's identity object; `created` and `modified` are STIX timestamps.
    """
    systems = [_software(system) for system in form.get("systems", ())]
    parties = {key: [_party(one, key) for one in form.get(key, ())] for key in PARTY_LISTS}
    extension = _extension(form, systems, parties, producer["id"], modified)
    marking = {"object_marking_refs": [MARKING_IDS[tlp_of_form(form)]]}
    stamp = {"created_by_ref": producer["id"], "created": created, "modified": modified}
    incident = _incident(form, extension, {**SPEC, "id": incident_id, **stamp, **marking})
    links = [
        relate(incident_id, "related-to", target, role, {**stamp, **marking})
        for target, role in _links(extension, systems)
    ]
    carried = _unique([*(one for ones in parties.values() for one in ones), *systems])
    inner = [incident, *carried, *_unique(links)]
    wrapper = _wrapper(incident, inner, {**stamp, **marking})
    return _unique([dict(MARKING_OBJECTS[tlp_of_form(form)]), dict(producer), *inner, wrapper])


def bundle_bytes(objects: Sequence[Mapping[str, Any]], incident_id: str, modified: str) -> bytes:
    """The canonical bytes of the bundle that holds the version `modified` of an incident."""
    bundle = {"type": "bundle", "id": ids.bundle_id(incident_id, modified), "objects": list(objects)}
    return canonical.to_bytes(bundle)


def spelled_at(name: str) -> str:
    """The `modified` of an identity whose identifier does not tell its spelling: a moment of that day, by the spelling.

    "OpenAI" and "Openai" are one identity. Two contents of one object must not claim one version (STIX 2.1, 3.6),
    and nobody knows which spelling came first, so each is a version of its own, the same at every node.
    """
    moment = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % _DAY_MS
    return times.write(datetime(2025, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment))


def software_id(software: Mapping[str, Any]) -> str:
    """The identifier that STIX 2.1 (2.9, 6.14) derives for a software object, the same everywhere."""
    contributing = ("name", "cpe", "swid", "vendor", "version")
    said = {name: software[name] for name in contributing if name in software}
    return f"software--{uuid.uuid5(ids.SCO_NAMESPACE, canonical.to_bytes(said).decode())}"


def severity_fields(severity: Severity) -> dict[str, Any]:
    """The severity as the extension carries it."""
    return {
        "severity_scheme": SCHEME,
        "severity_level": severity.level,
        "severity_score": severity.score,
        "response_grade": severity.grade,
        "severity_basis": severity.basis,
        "oecd_class": severity.oecd_class,
        **({"severity_drivers": list(severity.drivers)} if severity.drivers else {}),
    }


def _unique(objects: Sequence[Object]) -> list[Object]:
    return list({obj["id"]: obj for obj in objects}.values())


def _software(system: Mapping[str, Any]) -> Object:
    facts = {
        _SYSTEM_NAMES.get(name, name): value
        for name, value in system.items()
        if _SYSTEM_NAMES.get(name, name) in SYSTEM.fields
    }
    made: Object = {
        "type": "software",
        **SPEC,
        **{name: system[name] for name in _SOFTWARE if name in system},
    }
    made["id"] = software_id(made)
    made["extensions"] = {
        ids.SYSTEM_EXTENSION: {**EXTENSION_TYPE, "profile_version": PROFILE_VERSION, **facts}
    }
    return made


def _party(party: Mapping[str, Any], key: str) -> Object:
    kind = party.get("class", PARTY_LISTS[key])
    return {
        "type": "identity",
        **SPEC,
        "id": ids.party_id(kind, party["name"]),
        "created": PARTY_EPOCH,
        "modified": spelled_at(party["name"]),
        "name": party["name"],
        "identity_class": kind,
    }


def _extension(
    form: Mapping[str, Any],
    systems: Sequence[Object],
    parties: Mapping[str, Sequence[Object]],
    producer_id: str,
    modified: str,
) -> Object:
    """The ai-incident extension: the facts, the references, and the severity that follows from them."""
    made: Object = {**EXTENSION_TYPE, "profile_version": PROFILE_VERSION, "report_status": "submitted"}
    made.update((name, form[name]) for name in INCIDENT.fields if name in form and name not in made)
    if "report_status" in form:
        made["report_status"] = form["report_status"]
    if systems:
        made["systems"] = [
            {"system_ref": obj["id"], "role": system.get("role", "primary")}
            for system, obj in zip(form["systems"], systems, strict=True)
        ]
    else:
        made.pop("systems", None)
    refs = {
        ROLES[key][0]: [obj["id"] for obj in _unique(list(ones))] for key, ones in parties.items() if ones
    }
    if refs:
        made["parties"] = refs
    if "severity_override" in form:
        made["severity_override"] = {"by_ref": producer_id, "at": modified, **form["severity_override"]}
    if made.get("severity_basis") == "computed":
        made.pop("severity_level", None)
    made.update(severity_fields(assess(made)))
    return made


def _incident(form: Mapping[str, Any], extension: Object, frame: Mapping[str, Any]) -> Object:
    severity = assess(extension)
    why = "; ".join(severity.drivers)[:1000]
    core: Object = {
        **EXTENSION_TYPE,
        "determination": DETERMINATION[form["realization"]],
        "investigation_status": voc.STATUS_TO_CORE[extension["report_status"]],
        "criticality": severity.score,
        "scores": [{"name": SCHEME, "value": severity.score, **({"description": why} if why else {})}],
    }
    made: Object = {
        "type": "incident",
        **frame,
        "name": form["title"],
        "description": form["description"],
        "labels": ["ai-incident"],
        "extensions": {ids.INCIDENT_EXTENSION: extension, ids.CORE_EXTENSION: core},
    }
    if "confidence" in form:
        made["confidence"] = form["confidence"]
    if form.get("sources"):
        made["external_references"] = [_reference(source) for source in form["sources"]]
    return made


def _reference(source: Mapping[str, Any]) -> Object:
    made: Object = {"source_name": source["name"]}
    made.update((ours, source[theirs]) for theirs, ours in REFERENCE_NAMES.items() if theirs in source)
    if "sha256" in source:
        made["hashes"] = {"SHA-256": source["sha256"]}
    if not {"url", "external_id", "description"} & made.keys():
        made["description"] = source["name"]  # STIX 2.1, 2.5: a bare name is no reference
    return made


REFERENCE_NAMES: Final = {"url": "url", "id": "external_id", "description": "description"}


def _links(extension: Mapping[str, Any], systems: Sequence[Object]) -> list[tuple[str, str]]:
    """What the incident is related to, as (identifier, role)."""
    found = [
        (obj["id"], f"{use['role']}-system")
        for obj, use in zip(systems, extension.get("systems", ()), strict=True)
    ]
    for name, role in ROLES.values():
        found += [(ref, role) for ref in extension.get("parties", {}).get(name, ())]
    return found


def relate(
    source: str, verb: str, target: str, role: str, frame: Mapping[str, Any], *, said: str | None = None
) -> Object:
    """A relationship whose identifier follows from source, verb, target and role; it says its role, or `said`."""
    return {
        "type": "relationship",
        **SPEC,
        "id": ids.relationship_id(source, verb, target, role),
        **frame,
        "relationship_type": verb,
        "source_ref": source,
        "target_ref": target,
        "description": said or f"role: {role}",
    }


def _wrapper(incident: Object, inner: Sequence[Object], frame: Mapping[str, Any]) -> Object:
    """The report object: the essentials once more, for tools that know reports but not incidents."""
    extension = incident["extensions"][ids.INCIDENT_EXTENSION]
    level = extension["severity_level"]
    graded = f"Grade {extension['response_grade']}, level {level} ({voc.LEVEL_NAMES[level]}), score"
    return {
        "type": "report",
        **SPEC,
        "id": ids.wrapper_id(incident["id"]),
        **frame,
        "name": incident["name"],
        "description": f"{graded} {extension['severity_score']}. {incident['description']}"[:50_000],
        "report_types": ["threat-report"],
        "published": frame["created"],
        "labels": [
            f'ai-incident:grade="{extension["response_grade"]}"',
            f'ai-incident:realization="{extension["realization"]}"',
        ],
        "object_refs": [obj["id"] for obj in inner],
    }
