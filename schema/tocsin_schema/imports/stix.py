"""Any STIX 2.1 file as reports: each incident in it, with what it refers to, becomes a report of its own.

A report of ours passes unchanged, byte for byte. An incident of ours that only lost its wrapper (in a feed,
say) gets it back. Any other incident is taken over as a new incident of a fixed import identity, whose
identifier is derived from the original's, so that every node makes the same of it; the original identifier
stays in `source_record`. Memory stays flat: large files are sorted on disk.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson

from tocsin_schema import canonical, ids, times
from tocsin_schema.artefacts import announcements
from tocsin_schema.assembly import MAX_RELATED, assembled, related, sealed
from tocsin_schema.check import check_bundle
from tocsin_schema.compose import PARTY_EPOCH, bundle_bytes, compose
from tocsin_schema.errors import SchemaError
from tocsin_schema.finding import Finding
from tocsin_schema.form import examine
from tocsin_schema.imports.clean import clean, marking_refs, statements, summary, tlp_among
from tocsin_schema.imports.passing import pass_on
from tocsin_schema.imports.record import Passed, Record
from tocsin_schema.imports.source import HINT
from tocsin_schema.imports.split import MAX_OBJECT, Piece, split
from tocsin_schema.imports.store import Store
from tocsin_schema.marking import MARKING_OBJECTS, Tlp, strictest
from tocsin_schema.objects import OBJECTS
from tocsin_schema.signed import carried, carrier_id

Object = dict[str, Any]

SOURCE: Final = "stix"
IDENTITY: Final[Mapping[str, Any]] = {
    "type": "identity",
    "spec_version": "2.1",
    "id": ids.derive("identity", "source:stix"),
    "created": PARTY_EPOCH,
    "modified": PARTY_EPOCH,
    "name": "STIX import",
    "identity_class": "system",
}
# What our own exports carry to announce the extensions is no loss.
_ANNOUNCED: Final = frozenset(obj["id"] for obj in announcements())


def read(
    stream: BinaryIO, *, default_tlp: Tlp | None = None, passed_over: Counter[str] | None = None
) -> Iterator[Record]:
    """One record for each incident of a STIX file: a bundle, a list, or one bundle or object a line.

    `default_tlp` is for incidents without a marking; without it they become TLP:RED and stay on this node
    until a person marks them. Whole reports come first, in the order of the file; single objects follow, by
    identifier. `passed_over` counts, by type, the objects that belong to no incident; it is complete at the
    end. A file that has such objects alone gives no record; one without any object gives a refusal.
    """
    over: Counter[str] = Counter() if passed_over is None else passed_over
    found = False
    for part in _parts(stream, default_tlp):
        if isinstance(part, Record):
            found = True
            yield part
        else:
            over.update(obj["type"] for obj in part.unused() if obj["id"] not in _ANNOUNCED)
    if not found and not over:
        yield _empty()


def convert(stream: BinaryIO, *, default_tlp: Tlp | None = None) -> Iterator[Record | Passed]:
    """As `read`, and after the incidents of each store every other object, cleaned, to be passed on."""
    found = False
    for part in _parts(stream, default_tlp):
        for one in [part] if isinstance(part, Record) else pass_on(part):
            found = True
            yield one
    if not found:
        yield _empty()


def _empty() -> Record:
    said = "The file holds no STIX object."
    return Record(SOURCE, None, (), Finding("no-incident", "", said, "Check that this is the right file."))


def _parts(stream: BinaryIO, default_tlp: Tlp | None) -> Iterator[Record | Store]:
    """The records, and each store of objects when all of its incidents have become records."""
    with Store() as store:
        for piece in split(stream):
            yield from _piece(piece, store, default_tlp)
        for incident in store.incidents():
            yield _record(incident, store, default_tlp)
        yield store


def _piece(piece: Piece, store: Store, default_tlp: Tlp | None) -> Iterator[Record | Store]:
    key = f"{SOURCE}:{piece.kind} {piece.number}"
    if piece.kind == "too-large":
        yield Record(key, None, (), Finding("too-large", "", "It has more than 1 MiB.", HINT))
        return
    raw = piece.raw.strip()  # a file may end with a line end; a report does not
    # Saying all that is wrong with what is no bundle would take longer than everything else together.
    report = check_bundle(raw).report if b'"bundle"' in raw else None
    if report is not None and not _is_feed(raw):
        yield Record(f"{SOURCE}:{report.id}", raw)
        return
    try:
        value = canonical.parse_strict(raw, max_bytes=MAX_OBJECT)
    except SchemaError as exc:
        yield Record(key, None, (), Finding(exc.code, "", str(exc), exc.hint))
        return
    for part in value if isinstance(value, list) else [value]:
        if _is_bundle(part):
            yield from _bundle(part, key, default_tlp)
        elif _is_object(part):
            store.add(part)
        else:
            yield _no_object(key)


def _is_object(value: object) -> bool:
    return isinstance(value, dict) and ids.is_id(value.get("id")) and isinstance(value.get("type"), str)


def _no_object(key: str) -> Record:
    return Record(key, None, (), Finding("import-malformed", "", "It is no STIX object.", HINT))


def _is_bundle(value: object) -> bool:
    return (
        isinstance(value, dict) and value.get("type") == "bundle" and isinstance(value.get("objects"), list)
    )


def _is_feed(report: bytes) -> bool:
    """Whether a sound report is an export that holds one: it announces our extension, which reports do not."""
    if b'"extension-definition"' not in report:
        return False
    return any(obj["id"] == ids.INCIDENT_EXTENSION for obj in canonical.parse_strict(report)["objects"])


def _bundle(bundle: Mapping[str, Any], key: str, default_tlp: Tlp | None) -> Iterator[Record | Store]:
    """The incidents of one bundle that fits into memory; references do not reach beyond it."""
    raw = canonical.to_bytes(bundle)
    # Saying all that is wrong with what is no bundle would take longer than everything else together.
    report = check_bundle(raw).report if b'"bundle"' in raw else None
    if report is not None and not _is_feed(raw):
        yield Record(f"{SOURCE}:{report.id}", raw)
        return
    with Store() as store:
        for number, obj in enumerate(bundle["objects"]):
            if _is_object(obj):
                store.add(obj)
            else:
                yield _no_object(f"{key} objects[{number}]")
        for incident in store.incidents():
            yield _record(incident, store, default_tlp)
        yield store


def _record(incident: Object, store: Store, default_tlp: Tlp | None) -> Record:
    key = f"{SOURCE}:{incident['id']}"
    around, left = related(incident, store)
    repairs = [f"{left} related object(s) beyond {MAX_RELATED} left out"] if left else []
    store.use([incident["id"], *around])
    signed = _signed(incident, store)
    if signed is not None:
        return Record(key, signed)
    wrong: list[str] = []
    for make in (assembled, _completed):
        bundle = make(incident, around)
        checked = check_bundle(bundle) if bundle is not None else None
        if checked is not None and checked.report is not None:
            said = ["the report object that wraps it was added"] if make is _completed else []
            return Record(key, bundle, tuple(repairs + said))
        wrong += [finding.code for finding in checked.findings if finding.level == "error"] if checked else []
    if _claims_profile(incident):
        why = f" ({wrong[0]})" if wrong else ""
        repairs.append(
            f"it is not sound by the profile that it claims{why}: taken over under a new identifier, with its title, "
            "text, realization and times, without the rest of what its extension said, severity included"
        )
    return _taken_over(key, incident, around, default_tlp, repairs)


def _signed(incident: Object, store: Store) -> bytes | None:
    """The report as it was signed, where the file carries it because its objects alone would not give it back."""
    carrier = store.get(carrier_id(incident["id"]))
    wrapper = store.get(ids.wrapper_id(incident["id"])) if carrier is not None else None
    raw = carried(carrier, incident, wrapper) if carrier is not None and wrapper is not None else None
    if raw is not None:
        store.use([carrier_id(incident["id"]), *(obj["id"] for obj in orjson.loads(raw)["objects"])])
    return raw


def _completed(incident: Object, around: Mapping[str, Object]) -> bytes | None:
    """An incident of ours whose wrapper is missing: the same incident, wrapped again in its creator's name."""
    extension = (
        incident.get("extensions", {}).get(ids.INCIDENT_EXTENSION) if _has_extensions(incident) else None
    )
    creator = around.get(str(incident.get("created_by_ref")))
    found = tlp_among(incident.get("object_marking_refs"), around)
    if not isinstance(extension, dict) or creator is None or len(found) != 1:
        return None
    form, findings = examine(
        {
            "title": incident.get("name"),
            "description": incident.get("description"),
            "tlp": found.pop().value,
            "realization": extension.get("realization"),
        }
    )
    if any(finding.level == "error" for finding in findings):
        return None
    frame = {
        "incident_id": incident["id"],
        "created": incident.get("created"),
        "modified": incident.get("modified"),
    }
    if not all(times.parse(frame[name]) for name in ("created", "modified")):
        return None
    others = {ref: obj for ref, obj in around.items() if obj["type"] != "report"}
    wrapper = compose(form, producer=creator, **frame)[-1]
    level, score, grade = (extension.get(f) for f in ("severity_level", "severity_score", "response_grade"))
    if level is not None and score is not None and grade is not None:
        wrapper["description"] = (
            f"Grade {grade}, level {level}, score {score}. {incident.get('description')}"[:50_000]
        )
        wrapper["labels"][0] = f'ai-incident:grade="{grade}"'
    wrapper["object_refs"] = [
        incident["id"],
        *(ref for ref in others if not ref.startswith("marking-definition--")),
    ]
    return sealed([*others.values(), incident, wrapper], incident)


def _claims_profile(incident: Mapping[str, Any]) -> bool:
    return _has_extensions(incident) and ids.INCIDENT_EXTENSION in incident["extensions"]


def _has_extensions(incident: Mapping[str, Any]) -> bool:
    return isinstance(incident.get("extensions"), dict)


def _taken_over(
    key: str, incident: Object, around: Mapping[str, Object], default_tlp: Tlp | None, repairs: list[str]
) -> Record:
    """A foreign incident as a report of the import identity."""
    tlp, licences = _marking(incident, around, default_tlp, repairs)
    lost: dict[str, int] = {}
    form, findings = examine(_form(incident, tlp, repairs))
    wrong = next((finding for finding in findings if finding.level == "error"), None)
    if wrong is not None:
        return Record(key, None, tuple(repairs), wrong)
    new_id = ids.imported_incident_id(SOURCE, incident["id"])
    created, modified = _times(incident, repairs)
    objects = compose(form, producer=IDENTITY, incident_id=new_id, created=created, modified=modified)
    beside = _beside(incident["id"], new_id, around, licences, lost, repairs)
    made, wrapper = _find(objects, new_id), objects[-1]
    _enrich(
        made,
        clean({**_unseen(incident), "description": form["description"], "name": form["title"]}, lost),
        beside,
    )
    for obj in (made, wrapper):
        obj["object_marking_refs"] = marking_refs(tlp, licences)
        if incident.get("revoked") is True:
            obj["revoked"] = True
            if obj is made:
                made["extensions"][ids.INCIDENT_EXTENSION]["report_status"] = "withdrawn"
    taken = {obj["id"] for obj in objects}
    beside = [obj for obj in beside if obj["id"] not in taken]
    wrapper["object_refs"] += [obj["id"] for obj in beside if obj["type"] != "marking-definition"]
    repairs += summary(lost)
    raw = bundle_bytes([*beside, *objects], new_id, modified)
    checked = check_bundle(raw)
    wrong = next((finding for finding in checked.findings if finding.level == "error"), None)
    return Record(key, raw if checked.report is not None else None, tuple(repairs), wrong)


def _unseen(incident: Mapping[str, Any]) -> Object:
    """The incident without the custom times that the form has taken."""
    return {name: value for name, value in incident.items() if name not in ("first_seen", "last_seen")}


def _marking(
    incident: Object, around: Mapping[str, Object], default_tlp: Tlp | None, repairs: list[str]
) -> tuple[Tlp, list[str]]:
    """The strictest marking of everything that comes along, and the statements that the incident is under."""
    own = tlp_among(incident.get("object_marking_refs"), around)
    others = [tlp_among(obj.get("object_marking_refs"), around) for obj in around.values()]
    granular = [part.get("marking_ref") for obj in (incident, *around.values()) for part in _granular(obj)]
    everything = own.union(*others, tlp_among(granular, around))
    licences = statements(incident.get("object_marking_refs"), around)
    if not own:
        fallback = default_tlp or Tlp.RED
        everything.add(fallback)
        repairs.append(f"it carried no TLP marking: taken as {fallback.label}")
    tlp = strictest(*everything)
    if own and tlp not in own:
        repairs.append(f"marked {tlp.label}, as an object that comes along is")
    elif own and not any(
        ref in _known_markings() for ref in incident["object_marking_refs"] if isinstance(ref, str)
    ):
        repairs.append(f"its marking was replaced by {tlp.label} of TLP 2.0")
    return tlp, licences


def _known_markings() -> set[str]:
    return {str(obj["id"]) for obj in MARKING_OBJECTS.values()}


def _granular(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = obj.get("granular_markings")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _form(incident: Mapping[str, Any], tlp: Tlp, repairs: list[str]) -> dict[str, Any]:
    title, text = incident.get("name"), incident.get("description")
    if not text and title:
        text = title
        repairs.append("it had no description: its name was taken")
    if not title and isinstance(text, str) and text.strip():
        title = text.strip().split("\n")[0][:120]
        repairs.append("it had no name: the beginning of the description was taken")
    form: dict[str, Any] = {
        "title": _cut(title, 500, repairs),
        "description": _cut(text, 49_000, repairs),
        "tlp": tlp.value,
        "realization": _realization(incident),
        "source_record": {"source": SOURCE, "id": incident["id"]},
    }
    for theirs, ours in (("first_seen", "occurred_start"), ("last_seen", "occurred_end")):
        if times.parse(incident.get(theirs)) is not None:
            form[ours] = incident[theirs]
    return form


def _cut(text: object, limit: int, repairs: list[str]) -> object:
    if isinstance(text, str) and len(text) > limit:
        repairs.append(f"a text was cut to {limit:,} characters")
        return text[:limit]
    return text


def _realization(incident: Mapping[str, Any]) -> str:
    """What our extension says, if it is there; a foreign incident is not judged."""
    extensions = incident.get("extensions")
    ours = extensions.get(ids.INCIDENT_EXTENSION) if isinstance(extensions, dict) else None
    said = ours.get("realization") if isinstance(ours, dict) else None
    return said if isinstance(said, str) else "unknown"


def _times(incident: Mapping[str, Any], repairs: list[str]) -> tuple[str, str]:
    created, modified = times.parse(incident.get("created")), times.parse(incident.get("modified"))
    if created is None:
        repairs.append("it had no sound time of creation: a fixed day was taken")
        return PARTY_EPOCH, PARTY_EPOCH
    if modified is None or modified < created:
        repairs.append("modified was missing or before created: created was taken")
        modified = created
    return times.write(created), times.write(modified)


def _beside(
    old_id: str,
    new_id: str,
    around: Mapping[str, Object],
    licences: Sequence[str],
    lost: dict[str, int],
    repairs: list[str],
) -> list[Object]:
    """The related objects, cleaned, without markings of their own, pointing at the new incident."""
    kept: list[Object] = []
    left = 0
    for obj in around.values():
        kind = obj["type"]
        if kind == "marking-definition":
            if obj["id"] in licences:
                kept += [one for one in (clean(obj, lost),) if one is not None]
            continue
        sound = (
            clean(obj, lost) if kind in OBJECTS and kind not in ("report", "extension-definition") else None
        )
        if sound is None:
            left += kind != "report"
            continue
        kept.append(_pointed(sound, old_id, new_id))
    if left:
        repairs.append(f"{left} related object(s) of types that reports do not carry, or broken, left out")
    return kept


def _pointed(obj: Object, old_id: str, new_id: str) -> Object:
    """An object that names the original incident, naming ours instead: it then is an object of its own."""
    moved = {
        name: new_id
        if value == old_id
        else [new_id if one == old_id else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in obj.items()
    }
    return obj if moved == obj else {**moved, "id": ids.derive(obj["type"], f"{obj['id']}:{new_id}")}


def _enrich(made: Object, original: Object | None, beside: Sequence[Object]) -> None:
    """Put into the new incident what the form has no place for: references, labels, confidence, the systems named."""
    extension = made["extensions"][ids.INCIDENT_EXTENSION]
    systems = [obj["id"] for obj in beside if obj["type"] in ("software", "infrastructure")]
    if systems:
        extension["systems"] = [{"system_ref": ref, "role": "primary"} for ref in systems[:100]]
    original = original or {}
    for name in ("confidence", "lang", "kill_chain_phases"):
        if name in original:
            made[name] = original[name]
    made["labels"] = list(dict.fromkeys([*made["labels"], *original.get("labels", ())]))
    own = {"source_name": SOURCE, "external_id": extension["source_record"]["id"]}
    made["external_references"] = [own, *original.get("external_references", ())][:500]


def _find(objects: Sequence[Object], identifier: str) -> Object:
    return next(obj for obj in objects if obj["id"] == identifier)
