"""Foreign STIX objects made fit for a report: what STIX 2.1 does not have is left out, and every loss is named."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tocsin_schema import times
from tocsin_schema.finding import label
from tocsin_schema.marking import MARKING_IDS, TLP1_REPLACEMENTS, TLP_BY_ID, Tlp
from tocsin_schema.objects import OBJECTS
from tocsin_schema.record import Record

Object = dict[str, Any]

# Not taken over as they are: markings are decided for the whole report, extensions of others are nobody's to check.
_DECIDED: Final = ("object_marking_refs", "granular_markings")
_WORDS: Final = {"white": Tlp.CLEAR, **{tlp.value: tlp for tlp in Tlp}}


def clean(
    obj: Mapping[str, Any], lost: dict[str, int], tables: Mapping[str, Record] = OBJECTS
) -> Object | None:
    """A copy with only sound STIX 2.1 properties, or None when a required one is missing or its type has no table.

    `lost` counts the names of the properties that were left out, in whole or in part.
    """
    record = tables.get(str(obj.get("type")))
    if record is None:
        return None
    draft = {name: value for name, value in obj.items() if name not in _DECIDED}
    draft = {name: _mend(value) for name, value in draft.items()}
    if "created" in draft and "modified" not in draft and "modified" in record.fields:
        draft["modified"] = draft["created"]
    for name in ("created", "modified"):
        moment = times.parse(draft.get(name))
        if moment is not None:
            draft[name] = times.write(moment)
    kept = record.whole(draft)
    if kept is None:
        return None
    if kept.get("extensions") == {}:
        del kept["extensions"]
    for name in draft.keys() - kept.keys():
        lost[label(name)] = lost.get(label(name), 0) + 1
    for name in kept.keys() - {"created", "modified"}:
        if kept[name] != obj.get(name):
            said = f"part of {label(name)}"
            lost[said] = lost.get(said, 0) + 1
    first, this = times.parse(kept.get("created")), times.parse(kept.get("modified"))
    if first is not None and this is not None and this < first:
        kept["modified"] = kept["created"]
        lost["modified before created"] = lost.get("modified before created", 0) + 1
    return kept


def _mend(value: Any) -> Any:
    """A value without what STIX has no room for: null, empty lists and bare references inside lists."""
    if isinstance(value, list):
        kept = [_mend(item) for item in value if item is not None]
        return [item for item in kept if not _is_bare(item)]
    if isinstance(value, dict):
        mended = {name: _mend(item) for name, item in value.items()}
        return {name: item for name, item in mended.items() if item not in (None, [], "")}
    return value


def _is_bare(item: object) -> bool:
    """An external reference that names a source and nothing there."""
    return isinstance(item, dict) and item.keys() == {"source_name"}


def tlp_among(refs: object, definitions: Mapping[str, Mapping[str, Any]]) -> set[Tlp]:
    """The markings an object carries: TLP 2.0, TLP 1 by its replacement, and those that a definition spells out.

    `definitions`: the marking definitions that travel along, by identifier. A marking of TLP that nobody
    knows counts as red.
    """
    found = set()
    for ref in refs if isinstance(refs, list) else ():
        if not isinstance(ref, str):
            continue
        if ref in TLP_BY_ID:
            found.add(TLP_BY_ID[ref])
        elif ref in TLP1_REPLACEMENTS:
            found.add(TLP1_REPLACEMENTS[ref])
        elif not _is_statement(definitions.get(ref, {})):
            found.add(_spelled(definitions.get(ref, {})))
    return found


def _is_statement(definition: Mapping[str, Any]) -> bool:
    return definition.get("definition_type") == "statement"


def _spelled(definition: Mapping[str, Any]) -> Tlp:
    said = definition.get("definition")
    word = said.get("tlp") if isinstance(said, dict) else None
    return _WORDS.get(word.lower(), Tlp.RED) if isinstance(word, str) else Tlp.RED


def statements(refs: object, definitions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The statement markings (licences, copyright) among an object's markings, that travel along."""
    return (
        [ref for ref in refs if isinstance(ref, str) and _is_statement(definitions.get(ref, {}))]
        if isinstance(refs, list)
        else []
    )


def summary(lost: Mapping[str, int]) -> list[str]:
    """What `clean` left out, as one repair."""
    if not lost:
        return []
    names = ", ".join(sorted(lost)[:8]) + (", …" if len(lost) > 8 else "")
    return [
        f"{sum(lost.values())} propert(ies) that STIX 2.1 does not have there were left out or set right: {names}"
    ]


def marking_refs(tlp: Tlp, others: Sequence[str] = ()) -> list[str]:
    """The markings of an object in a report: its TLP, then statements."""
    return [MARKING_IDS[tlp], *dict.fromkeys(others)]
