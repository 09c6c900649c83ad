"""The one door to stix2: reports are made, revised, withdrawn and taken apart again here.

What leaves is canonical bytes that stix2 has parsed without custom properties and `check_bundle` has
passed. stix2 takes about a millisecond an object, so it stands at the edge where people write, never where
reports stream by.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tocsin_schema import canonical, ids, times
from tocsin_schema.check import check_bundle
from tocsin_schema.compose import PARTY_EPOCH, REFERENCE_NAMES, ROLES, bundle_bytes, compose, spelled_at
from tocsin_schema.errors import (
    AlreadyWithdrawn,
    BadId,
    FormRefused,
    NoReason,
    NotADuplicate,
    NotLater,
    NotValidStix,
    ReportRefused,
)
from tocsin_schema.facets import DUPLICATE_OF
from tocsin_schema.form import FORM, PARTY_LISTS, examine
from tocsin_schema.marking import MARKING_IDS, tlp_of
from tocsin_schema.report import IncidentReport

Object = dict[str, Any]


def node_identity(org: str, node_id: str) -> Object:
    """The identity object of the organisation that runs a node; the same for the same two texts, everywhere."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": ids.node_identity_id(node_id),
        "created": PARTY_EPOCH,
        "modified": spelled_at(org),
        "name": org,
        "identity_class": "organization",
        "external_references": [{"source_name": ids.NODE_SOURCE, "external_id": node_id}],
    }


def node_named(creator: str, objects: Iterable[Mapping[str, Any]]) -> str | None:
    """The NodeID that the identity `creator` gives among `objects`, if its identifier is the one of that node.

    None when it gives none, or one that its identifier does not bear out.
    """
    said = next((obj for obj in objects if obj["id"] == creator and obj["type"] == "identity"), {})
    named = (
        reference.get("external_id")
        for reference in said.get("external_references", ())
        if reference.get("source_name") == ids.NODE_SOURCE
    )
    return next((i for i in named if ids.is_node_id(i) and ids.node_identity_id(i) == creator), None)


def build(form: Mapping[str, Any], *, producer: Object, incident_id: str, now: datetime) -> bytes:
    """The canonical bundle of a new report.

    `producer` is what `node_identity` gives; `incident_id` what `ids.new_incident_id` gives; `now` is aware
    and is cut to the millisecond. The same arguments give the same bytes.
    Raises: `FormRefused` with every finding when the form has errors, `BadId` for another identifier than
    an incident's, `ReportRefused` when the result is no sound report (a producer that is no identity, more
    than 1 MiB).
    """
    if not (ids.is_id(incident_id) and incident_id.startswith("incident--")):
        raise BadId
    if not ids.is_id(producer.get("id")):
        raise BadId("The producer has no identifier.", hint="Pass what node_identity gives.")
    tidy = _examined(form)
    stamp = times.write(now)
    objects = compose(tidy, producer=producer, incident_id=incident_id, created=stamp, modified=stamp)
    return seal(objects, incident_id, stamp)


def revise(raw: bytes, changes: Mapping[str, Any], *, now: datetime) -> bytes:
    """The next version of a report: same identifiers, same `created`, later `modified`.

    `changes` holds form fields; None takes a field out. Objects and properties that the form does not know
    are carried over, and objects that do not change keep their version.
    Raises: `ReportRefused` when `raw` is no sound report, `FormRefused`, `AlreadyWithdrawn`, `NotLater`.
    """
    report, old = _open(raw, now)
    before = to_form(raw)
    after = {name: value for name, value in {**before, **changes}.items() if value is not None}
    frame: dict[str, Any] = {
        "producer": _producer(old, report.created_by_ref),
        "incident_id": report.id,
        "created": _find(old, report.id)["created"],
    }
    known = {obj["id"] for obj in compose(_examined(before), **frame, modified=times.write(report.modified))}
    stamp = times.write(now)
    new = compose(_examined(after), **frame, modified=stamp)
    return seal(_merge(old, new, known, report, stamp), report.id, stamp)


def withdraw(raw: bytes, *, reason: str, now: datetime) -> bytes:
    """The last version of a report: revoked, its status withdrawn, the reason among the actions taken.

    Raises: `NoReason`, `ReportRefused` when `raw` is no sound report or the reason too long,
    `AlreadyWithdrawn`, `NotLater`.
    """
    if not reason.strip():
        raise NoReason
    report, old = _open(raw, now)
    stamp = times.write(now)
    incident, wrapper = dict(_find(old, report.id)), dict(_find(old, report.wrapper_id))
    action = {"at": stamp, "kind": "other", "text": f"Withdrawn: {reason.strip()}"}
    extension = {**report.extension, "report_status": "withdrawn"}
    extension["actions_taken"] = [*extension.get("actions_taken", ())[-99:], action]
    extensions = {**incident["extensions"], ids.INCIDENT_EXTENSION: extension}
    if ids.CORE_EXTENSION in extensions:
        extensions[ids.CORE_EXTENSION] = {**extensions[ids.CORE_EXTENSION], "investigation_status": "closed"}
    incident.update(extensions=extensions, revoked=True, modified=stamp)
    said = f"Withdrawn: {reason.strip()} {wrapper.get('description', '')}"
    wrapper.update(revoked=True, modified=stamp, description=said.strip()[:50_000])
    new = {report.id: incident, report.wrapper_id: wrapper}
    return seal([new.get(obj["id"], obj) for obj in old], report.id, stamp)


def mark_duplicate(raw: bytes, other_id: str, *, now: datetime) -> bytes:
    """The next version of a report, which says that it tells of the same event as the incident `other_id`.

    Nothing else changes. The other report is not touched, and nothing is merged.
    Raises: `BadId` when `other_id` is no other incident's, `ReportRefused`, `AlreadyWithdrawn`, `NotLater`.
    """
    report, old = _open(raw, now)
    if not (ids.is_id(other_id) and other_id.startswith("incident--")) or other_id == report.id:
        raise BadId("A report is a duplicate of another incident.", hint="Give that incident's id.")
    stamp = times.write(now)
    incident, wrapper = dict(_find(old, report.id)), dict(_find(old, report.wrapper_id))
    link = {
        "type": "relationship",
        "spec_version": "2.1",
        "id": ids.relationship_id(report.id, DUPLICATE_OF, other_id, "duplicate"),
        "created_by_ref": report.created_by_ref,
        "created": stamp,
        "modified": stamp,
        "relationship_type": DUPLICATE_OF,
        "source_ref": report.id,
        "target_ref": other_id,
        "object_marking_refs": [MARKING_IDS[report.tlp]],
    }
    incident["modified"] = stamp
    wrapper.update(modified=stamp, object_refs=list(dict.fromkeys((*wrapper["object_refs"], link["id"]))))
    new = {report.id: incident}
    kept = [new.get(obj["id"], obj) for obj in old if obj["id"] not in (link["id"], report.wrapper_id)]
    return seal([*kept, link, wrapper], report.id, stamp)


def unmark_duplicate(raw: bytes, other_id: str, *, now: datetime) -> bytes:
    """The next version of a report, which no longer says that it tells of the same event as `other_id`.

    Nothing else changes.
    Raises: `NotADuplicate` when it does not say so, `ReportRefused`, `AlreadyWithdrawn`, `NotLater`.
    """
    report, old = _open(raw, now)
    ends = (DUPLICATE_OF, report.id, other_id)
    names = ("relationship_type", "source_ref", "target_ref")
    gone = {obj["id"] for obj in old if tuple(obj.get(name) for name in names) == ends}
    if not gone:
        raise NotADuplicate
    stamp = times.write(now)
    incident, wrapper = dict(_find(old, report.id)), dict(_find(old, report.wrapper_id))
    incident["modified"] = stamp
    wrapper.update(modified=stamp, object_refs=[ref for ref in wrapper["object_refs"] if ref not in gone])
    new = {report.id: incident, report.wrapper_id: wrapper}
    return seal([new.get(obj["id"], obj) for obj in old if obj["id"] not in gone], report.id, stamp)


def to_form(raw: bytes) -> dict[str, Any]:
    """The form that a report would be built from: `build(to_form(raw))` gives the same facts again.

    Raises: `ReportRefused` when `raw` is no sound report.
    """
    report = _checked(raw)
    objects = {obj["id"]: obj for obj in canonical.parse_strict(raw)["objects"]}
    incident = objects[report.id]
    form: dict[str, Any] = {"title": report.name, "description": report.description, "tlp": report.tlp.value}
    form.update((name, value) for name, value in report.extension.items() if name in _FACTS)
    if report.severity.basis == "computed" or "severity_level" not in report.claimed:
        for name in ("severity_level", "severity_basis", "severity_override"):
            form.pop(name, None)
    systems = [
        _system(use, objects) for use in report.extension.get("systems", ()) if use["system_ref"] in objects
    ]
    if systems:
        form["systems"] = systems
    for key, (refs, _) in ROLES.items():
        parties = [
            _party(objects[ref], key)
            for ref in report.extension.get("parties", {}).get(refs, ())
            if ref in objects
        ]
        if parties:
            form[key] = parties
    if "external_references" in incident:
        form["sources"] = [_source(reference) for reference in incident["external_references"]]
    if "confidence" in incident:
        form["confidence"] = incident["confidence"]
    return form


_FACTS: Final = frozenset(FORM.fields) - {"systems", "title", "description", "tlp"}


def _system(use: Mapping[str, Any], objects: Mapping[str, Object]) -> dict[str, Any]:
    obj = objects[use["system_ref"]]
    made: dict[str, Any] = {name: obj[name] for name in ("name", "vendor", "version") if name in obj}
    facts = obj.get("extensions", {}).get(ids.SYSTEM_EXTENSION, {})
    if "system_kind" in facts:
        made["kind"] = facts["system_kind"]
    if "role" in use:
        made["role"] = use["role"]
    known = FORM.fields["systems"].shape.item.fields  # type: ignore[attr-defined]  # a list of records
    made.update((name, value) for name, value in facts.items() if name in known and name != "kind")
    return made


def _party(obj: Object, key: str) -> Any:
    """A name when the class is the usual one of the list, else name and class."""
    kind = obj.get("identity_class", PARTY_LISTS[key])
    return obj["name"] if kind == PARTY_LISTS[key] else {"name": obj["name"], "class": kind}


def _source(reference: Mapping[str, Any]) -> dict[str, Any]:
    made = {"name": reference["source_name"]}
    made.update((ours, reference[theirs]) for ours, theirs in REFERENCE_NAMES.items() if theirs in reference)
    if "hashes" in reference:
        made["sha256"] = reference["hashes"]["SHA-256"]
    if made == {"name": made["name"], "description": made["name"]}:
        del made["description"]
    return made


def _examined(form: Mapping[str, Any]) -> dict[str, Any]:
    tidy, found = examine(form)
    if any(finding.level == "error" for finding in found):
        raise FormRefused(found)
    return tidy


def _checked(raw: bytes) -> IncidentReport:
    checked = check_bundle(raw)
    if checked.report is None:
        raise ReportRefused(checked.findings)
    return checked.report


def _open(raw: bytes, now: datetime) -> tuple[IncidentReport, list[Object]]:
    """A report that may have a next version at `now`, and its objects."""
    report = _checked(raw)
    if report.revoked:
        raise AlreadyWithdrawn
    if times.to_millisecond(now) <= report.modified:
        raise NotLater
    return report, canonical.parse_strict(raw)["objects"]


def _find(objects: Sequence[Object], identifier: str) -> Object:
    return next(obj for obj in objects if obj["id"] == identifier)


def _producer(objects: Sequence[Object], identifier: str) -> Object:
    """The creator as it travels along; only its identifier when it does not."""
    return next((obj for obj in objects if obj["id"] == identifier), {"id": identifier})


def _merge(
    old: Sequence[Object], new: Sequence[Object], known: set[str], report: IncidentReport, stamp: str
) -> list[Object]:
    """The new objects with what the old ones had beyond the form; the wrapper lists what is carried over too."""
    before = {obj["id"]: obj for obj in old}
    made = {obj["id"]: obj for obj in new if "type" in obj}
    tlp = tlp_of(made[report.id]["object_marking_refs"])
    carried = [
        _remark(obj, report, MARKING_IDS[tlp], stamp) if tlp is not None else obj
        for obj in old
        if obj["id"] not in made and obj["id"] not in known and obj["id"] != report.wrapper_id
    ]
    wrapper = made.pop(ids.wrapper_id(report.id))
    wrapper["id"] = report.wrapper_id
    listed = before[report.wrapper_id]["object_refs"]
    wrapper["object_refs"] += [obj["id"] for obj in carried if obj["id"] in listed]
    made[report.id] = _overlay(before[report.id], made[report.id])
    merged = [_same_version(before.get(name), obj, report, stamp) for name, obj in made.items()]
    return [*merged, *carried, _overlay(before[report.wrapper_id], wrapper)]


def _same_version(before: Object | None, obj: Object, report: IncidentReport, stamp: str) -> Object:
    """The old object when nothing but the version time differs; the incident itself always gets a new version."""
    if before is None:
        return {**obj, "created": stamp} if obj["type"] == "relationship" else obj
    if obj["id"] == report.id:
        return obj
    changed = {**obj, "created": before["created"]} if "created" in before else obj
    same = {**changed, "modified": before["modified"]} if "modified" in before else changed
    return before if same == before else changed


def _remark(obj: Object, report: IncidentReport, marking: str, stamp: str) -> Object:
    """A carried-over object of our own under the report's new marking."""
    old = MARKING_IDS[report.tlp]
    refs = obj.get("object_marking_refs", ())
    if old == marking or old not in refs:
        return obj
    marked = {**obj, "object_marking_refs": [marking if ref == old else ref for ref in refs]}
    return {**marked, "modified": stamp} if "modified" in obj else marked


def _overlay(before: Mapping[str, Any], after: Object) -> Object:
    """`after` with what `before` had in places that the form does not know."""
    made = {**{name: value for name, value in before.items() if name not in _MANAGED}, **after}
    if "labels" in before:
        others = [label for label in before["labels"] if not label.startswith("ai-incident")]
        made["labels"] = [*after["labels"], *others]
    if "extensions" in before:
        made["extensions"] = {**before["extensions"], **after.get("extensions", {})}
        for key, known in _KNOWN_FACTS.items():
            if key in before["extensions"] and key in made["extensions"]:
                extra = {n: v for n, v in before["extensions"][key].items() if n not in known}
                made["extensions"][key] = {**extra, **made["extensions"][key]}
    return made


_MANAGED: Final = frozenset(("confidence", "external_references", "description"))
_KNOWN_FACTS: Final = {
    ids.INCIDENT_EXTENSION: frozenset(FORM.fields)
    | {"parties", "severity_scheme", "severity_score", "response_grade", "severity_drivers", "oecd_class"},
    ids.CORE_EXTENSION: frozenset(("determination", "investigation_status", "criticality", "scores")),
}


def seal(objects: Sequence[Object], incident_id: str, stamp: str) -> bytes:
    """Canonical bytes that both stix2 and our own check have passed.

    Raises: `ReportRefused`, `NotValidStix`.
    """
    raw = bundle_bytes(objects, incident_id, stamp)
    _checked(raw)
    prove(objects)
    return raw


def prove(objects: Sequence[Object]) -> None:
    """Let stix2 parse every object, without custom properties.

    Raises: `NotValidStix` when stix2 refuses an object that our own tables let pass.
    """
    import stix2  # noqa: PLC0415 (a third of a second; commands that only read reports need not wait for it)
    from stix2.exceptions import STIXError  # noqa: PLC0415

    for obj in objects:
        try:
            stix2.parse(obj, allow_custom=False, version="2.1")
        except (STIXError, ValueError) as exc:
            raise NotValidStix(f"{obj['type']} {obj['id']} is not valid STIX 2.1: {exc}") from exc
