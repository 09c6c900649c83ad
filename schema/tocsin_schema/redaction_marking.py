"""What the markings in a record keep from a clearance, and which objects may go along with its projection."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from tocsin_schema import ids, place
from tocsin_schema.canonical import to_bytes
from tocsin_schema.compose import REFERENCE_NAMES, ROLES
from tocsin_schema.marking import TLP_BY_ID, Tlp
from tocsin_schema.place import Place
from tocsin_schema.report import IncidentReport

Object = Mapping[str, Any]

# Knowledge about techniques and weaknesses: it tells nothing of the incident but that it belongs there.
PUBLIC: Final = frozenset(("attack-pattern", "course-of-action", "vulnerability", "tool"))
_CARRIED: Final = (
    *("type", "spec_version", "id", "created", "modified", "name", "description", "aliases"),
    *("kill_chain_phases", "external_references", "tool_types", "tool_version"),
)
# Made anew or known to the form; telling a person that they are "left out" would be noise.
_MADE_ANEW: Final = frozenset(
    ("incident", "report", "software", "marking-definition", "extension-definition")
)
_NOT_FACTS: Final = frozenset(("title", "description", "tlp", "realization", "sources", "confidence"))


def above(
    report: IncidentReport, objects: Sequence[Object], form: Mapping[str, Any], clearance: Tlp
) -> tuple[list[Place], set[str]]:
    """The places of the form that are marked above the clearance, and the identifiers of objects that are.

    An object of which a part may not be known at the clearance is left out as a whole. The marking of the
    record itself does not count: lowering it is what the projection is for.
    """
    found: list[Place] = []
    hidden: set[str] = set()
    for obj in objects:
        selectors = list(_selectors(obj, clearance))
        if obj["id"] in {report.id, report.wrapper_id}:
            for selector in selectors:
                found += _places(selector, report, objects, form)
        elif selectors or any(_too_strict(ref, clearance) for ref in _own_marking(obj, report)):
            hidden.add(obj["id"])
            found += _uses(obj["id"], report, objects)
    return found, hidden


def kept_objects(
    report: IncidentReport,
    objects: Sequence[Object],
    identifier: str,
    frame: Mapping[str, Any],
    words: Sequence[str],
    hidden: Collection[str],
) -> tuple[list[dict[str, Any]], list[str]]:
    """The public knowledge that the incident refers to, each with a relationship made anew, and what stays behind.

    `identifier`: the incident's new one; `frame`: what every relationship carries; `words` may stand in none.
    """
    low = [word.casefold() for word in words]
    kept = {
        obj["id"]: {name: obj[name] for name in _CARRIED if name in obj}
        for obj in objects
        if obj["type"] in PUBLIC
        and obj["id"] not in hidden
        and not _repeats(obj, low)
        and report.id not in str(obj)
    }
    used: dict[str, Object] = {}
    links: dict[str, dict[str, Any]] = {}
    for link in objects:
        if link["type"] != "relationship" or link["source_ref"] != report.id or link["id"] in hidden:
            continue
        verb, target = link["relationship_type"], link["target_ref"]
        if target in kept:
            name = ids.relationship_id(identifier, verb, target, "")
            ends = {"relationship_type": verb, "source_ref": identifier, "target_ref": target}
            links[name] = {"type": "relationship", "spec_version": "2.1", "id": name, **frame, **ends}
            used[target] = kept[target]
    left = [
        f"{obj['type']} {obj['id']}"
        for obj in objects
        if obj["type"] not in _MADE_ANEW and obj["id"] not in used and not _repeated(obj, report)
    ]
    return [*(dict(obj) for obj in used.values()), *links.values()], left


def _repeated(obj: Object, report: IncidentReport) -> bool:
    """Whether an object comes again from the form (parties, the creator) or was only a line to what does."""
    return obj["type"] == "identity" or (obj["type"] == "relationship" and obj.get("source_ref") == report.id)


def _repeats(obj: Object, low: Sequence[str]) -> bool:
    text = to_bytes(obj).decode().casefold()
    return any(word in text for word in low)


def _too_strict(ref: str, clearance: Tlp) -> bool:
    tlp = TLP_BY_ID.get(ref)
    return tlp is not None and tlp.rank > clearance.rank


def _own_marking(obj: Object, report: IncidentReport) -> Sequence[str]:
    """What an object is marked with beyond the record's own marking, which is the one that a person lowers."""
    return [
        ref
        for ref in obj.get("object_marking_refs", ())
        if TLP_BY_ID.get(ref) is not report.tlp or obj["type"] in PUBLIC
    ]


def _selectors(obj: Object, clearance: Tlp) -> Iterator[str]:
    for granular in obj.get("granular_markings", ()):
        if _too_strict(granular.get("marking_ref", ""), clearance):
            yield from granular["selectors"]


def _uses(identifier: str, report: IncidentReport, objects: Sequence[Object]) -> list[Place]:
    """Where the form names a system or a party."""
    here = {obj["id"] for obj in objects}
    systems = [use["system_ref"] for use in report.extension.get("systems", ()) if use["system_ref"] in here]
    found: list[Place] = [("systems", nth) for nth, ref in enumerate(systems) if ref == identifier]
    parties = report.extension.get("parties", {})
    for key, (name, _) in ROLES.items():
        refs = [ref for ref in parties.get(name, ()) if ref in here]
        found += [(key, nth) for nth, ref in enumerate(refs) if ref == identifier]
    return found


def _places(
    selector: str, report: IncidentReport, objects: Sequence[Object], form: Mapping[str, Any]
) -> list[Place]:
    """The places of the form that a selector of incident or wrapper covers: rather more than less."""
    steps = [int(step[1:-1]) if step.startswith("[") else step for step in selector.split(".")]
    match steps:
        case ["name"]:
            return [("title",)]
        case ["description" | "confidence" as name]:
            return [(name,)] if name in form else []
        case ["external_references", *rest]:
            return [_nearest(form, ("sources", *_of_reference(rest)))]
        case ["extensions"] | ["extensions", ids.INCIDENT_EXTENSION]:
            return [(name,) for name in form if name not in _NOT_FACTS]
        case ["extensions", ids.INCIDENT_EXTENSION, "systems", int(nth), *_]:
            return _uses(report.extension["systems"][nth]["system_ref"], report, objects)
        case ["extensions", ids.INCIDENT_EXTENSION, "parties", *rest]:
            return _parties(rest, report, objects, form)
        case ["extensions", ids.INCIDENT_EXTENSION, name, *rest] if name in form:
            return [_nearest(form, (name, *rest))]
    return []


def _of_reference(rest: Sequence[str | int]) -> Place:
    """Which source, and which of its properties; a source whose name is marked goes as a whole."""
    ours = {theirs: name for name, theirs in REFERENCE_NAMES.items()} | {"hashes": "sha256"}
    return (*rest[:1], *(ours[str(step)] for step in rest[1:2] if step in ours))


def _parties(
    rest: Sequence[str | int], report: IncidentReport, objects: Sequence[Object], form: Mapping[str, Any]
) -> list[Place]:
    keys = {name: key for key, (name, _) in ROLES.items()}
    match rest:
        case [str(name), int(nth), *_] if name in keys:
            return _uses(report.extension["parties"][name][nth], report, objects)
        case [str(name)] if name in keys:
            return [(keys[name],)] if keys[name] in form else []
    return [(key,) for key in ROLES if key in form]


def _nearest(form: Mapping[str, Any], wanted: Place) -> Place:
    """The place itself, or the nearest one around it that the form has."""
    while len(wanted) > 1 and not place.holds(form, wanted):
        wanted = wanted[:-1]
    return wanted
