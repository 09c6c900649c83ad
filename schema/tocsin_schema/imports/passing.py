"""Foreign STIX objects that belong to no incident, passed on as strict STIX 2.1.

1. A type that nobody here can check is left out with its reason; one that STIX 2.1 does not have is carried as a
 new type (see `custom.py`).
2. Properties that STIX 2.1 does not have there, and values it does not allow, are left out and named.
3. A marking of TLP 1 is replaced by that of TLP 2.0; of several, of one that nobody knows, and of markings of
 single properties the strictest holds for the whole object. No marking is ever loosened.
4. A relationship or sighting with an end that was left out is left out too; a list of objects loses it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tocsin_schema import times
from tocsin_schema.artefacts import foreign_type_definition
from tocsin_schema.finding import Finding, show
from tocsin_schema.imports.clean import clean, marking_refs, statements, summary, tlp_among
from tocsin_schema.imports.custom import carry, is_custom
from tocsin_schema.imports.further import FURTHER
from tocsin_schema.imports.record import Passed
from tocsin_schema.imports.store import Store
from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS, TLP1_REPLACEMENTS, TLP_BY_ID, Tlp, strictest

Object = dict[str, Any]

SOURCE: Final = "stix"
_ENDS: Final = ("source_ref", "target_ref", "sighting_of_ref")
_SPANS: Final = (("first_seen", "last_seen"), ("start_time", "stop_time"))
_MOVED: Final = ("x_mitre_aliases", "x_mitre_deprecated")  # what says nothing when it is false is not missed
_RENAMED: Final = "its identifier stands for a relationship with other ends, too: it got one of its own"
_HINT: Final = "Nothing to do, unless you need it: then pass the file on as it is."


def pass_on(store: Store) -> Iterator[Passed]:
    """Every object of the store that is in no report, by identifier; what is about others comes last."""
    for obj in store.unused():
        passed = _passed(obj, store)
        if passed.refusal is not None:
            store.refuse(obj["id"])
        yield passed


def _passed(obj: Object, store: Store) -> Passed:
    key = f"{SOURCE}:{obj['id']}"
    if obj["type"] == "marking-definition":
        published = _published(obj, key)
        if published is not None:
            return published
    repairs = [_RENAMED] if store.is_renamed(obj["id"]) else []
    lost: dict[str, int] = {}
    announced: tuple[Object, ...] = ()
    if is_custom(obj["type"]):
        sound = carry(obj, lost)
        announced = foreign_type_definition()
        repairs.append(
            f"{show(obj['type'], 60)} is no type of STIX 2.1: carried as a new type, by an extension"
        )
    elif obj["type"] in FURTHER:
        obj = _moved(obj, repairs)
        sound = clean(obj, lost, FURTHER)
    else:
        said = f"{show(obj['type'], 60)} is a type that is not passed on here."
        return Passed(key, (), (), Finding("type-not-carried", "type", said, _HINT))
    if sound is None:
        found = FURTHER[obj["type"]].explain(obj) if obj["type"] in FURTHER else []
        wrong = next((one for one in found if one.level == "error"), None)
        reason = wrong or Finding("import-malformed", "", "It is no sound object of its type.", _HINT)
        return Passed(key, (), (), reason)
    if obj["type"] == "marking-definition" and not {"definition", "extensions"} & sound.keys():
        said = "It is neither a marking of TLP nor a statement; what it marks is handled as TLP:RED."
        return Passed(key, (), (), Finding("tlp-unknown", "definition", said, _HINT))
    _order_times(sound, repairs)
    markings = _mark(sound, obj, store, repairs)
    refusal = _point(sound, store, repairs)
    if refusal is not None:
        return Passed(key, (), (), refusal)
    return Passed(key, (*announced, *markings, sound), tuple(repairs + summary(lost)))


def _moved(obj: Object, repairs: list[str]) -> Object:
    """The original with what MITRE puts into properties of its own where STIX 2.1 has a place for it."""
    moved = {name: value for name, value in obj.items() if name not in _MOVED}
    aliases = obj.get("x_mitre_aliases")
    if aliases is not None and "aliases" not in obj and "aliases" in FURTHER[obj["type"]].fields:
        moved["aliases"] = aliases
        repairs.append("x_mitre_aliases became aliases")
    elif aliases is not None:
        moved["x_mitre_aliases"] = aliases
    if obj.get("x_mitre_deprecated") is True:
        moved["labels"] = list(dict.fromkeys([*filter(_is_text, _listed(obj.get("labels"))), "deprecated"]))
        repairs.append("x_mitre_deprecated became the label deprecated")
    elif obj.get("x_mitre_deprecated") not in (None, False):
        moved["x_mitre_deprecated"] = obj["x_mitre_deprecated"]
    return moved


def _published(obj: Object, key: str) -> Passed | None:
    """A marking of TLP as it was published, whatever the file says of it."""
    tlp = TLP_BY_ID.get(obj["id"]) or TLP1_REPLACEMENTS.get(obj["id"])
    if tlp is None:
        return None
    published = dict(MARKING_OBJECTS[tlp])
    repairs = () if obj == published else (f"replaced by the published marking {tlp.label} of TLP 2.0",)
    return Passed(key, (published,), repairs)


def _order_times(sound: Object, repairs: list[str]) -> None:
    for first, last in _SPANS:
        begin, end = times.parse(sound.get(first)), times.parse(sound.get(last))
        if begin is not None and end is not None and end <= begin and (first, end) != ("first_seen", begin):
            del sound[last]
            repairs.append(f"{last} was not after {first}: left out")


def _mark(sound: Object, obj: Mapping[str, Any], store: Store, repairs: list[str]) -> list[Object]:
    """Put the markings of the original on the copy; returns the TLP definition that they name."""
    parts = _listed(obj.get("granular_markings"))
    single = [part.get("marking_ref") for part in parts if isinstance(part, dict)]
    refs = [ref for ref in [*_listed(obj.get("object_marking_refs")), *single] if isinstance(ref, str)]
    definitions = {ref: store.get(ref) or {} for ref in refs}
    tlps = tlp_among(refs, definitions)
    licences = [ref for ref in statements(refs, definitions) if ref != sound["id"]]
    if single:
        repairs.append("markings of single properties now hold for the whole object")
    if not tlps:
        if licences:
            sound["object_marking_refs"] = list(dict.fromkeys(licences))
        return []
    tlp: Tlp = strictest(*tlps)
    sound["object_marking_refs"] = marking_refs(tlp, licences)
    if MARKING_IDS[tlp] not in refs:
        repairs.append(f"its marking was replaced by {tlp.label} of TLP 2.0")
    elif len(tlps) > 1:
        repairs.append(f"of several markings the strictest was kept: {tlp.label}")
    return [dict(MARKING_OBJECTS[tlp])]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _point(sound: Object, store: Store, repairs: list[str]) -> Finding | None:
    """Rule 4: what was left out is not pointed at. In a custom type these properties may hold anything."""
    for name in _ENDS:
        end = sound.get(name)
        if isinstance(end, str) and store.is_refused(end):
            said = f"Its {name} {show(end, 80)} was left out, so it would lead nowhere."
            return Finding("dangling-ref", name, said, _HINT)
    listed = _listed(sound.get("object_refs"))
    if listed:
        kept = [ref for ref in listed if not (isinstance(ref, str) and store.is_refused(ref))]
        if not kept:
            return Finding("dangling-ref", "object_refs", "All that it names was left out.", _HINT)
        if len(kept) < len(listed):
            repairs.append(f"{len(listed) - len(kept)} object(s) that were left out are no longer named")
            sound["object_refs"] = kept
    return None
