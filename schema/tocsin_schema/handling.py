"""How a report may be handled: its one TLP 2.0 marking, and no object beside it that leaks past it.

Rules 5 to 7 of `check.py`. Objects are well-shaped here; properties may be missing.
"""

from collections.abc import Sequence
from typing import Any, Final

from tocsin_schema.finding import Finding, show
from tocsin_schema.ids import TLP_EXTENSION
from tocsin_schema.marking import MARKING_OBJECTS, TLP1_REPLACEMENTS, TLP_BY_ID, Tlp, strictest
from tocsin_schema.survey import Object, Survey

# These say something about the incident by being there, so their marking must be the report's own.
TELLING: Final = frozenset(("incident", "report", "relationship", "sighting", "note", "opinion"))

_COLOURS: Final = ", ".join(tlp.label for tlp in Tlp)


def check_markings(survey: Survey, incident: Object, wrapper: Object, found: list[Finding]) -> Tlp | None:
    """The report's marking, or None with the reasons added to `found`."""
    common = incident.get("object_marking_refs")
    statements = _statements(survey)
    tlp = _single(common, statements, "incident", found)
    if wrapper.get("object_marking_refs") != common:
        own = _single(wrapper.get("object_marking_refs"), statements, "report", found)
        if own is not tlp and own is not None and tlp is not None:
            said = f"The report object is {own.label}, the incident {tlp.label}."
            hint = f"Mark both alike; {strictest(own, tlp).label} is the stricter of the two."
            found.append(Finding("tlp-differs", "report.object_marking_refs", said, hint))
    for obj in survey.marked:
        if obj["object_marking_refs"] != common and obj is not incident and obj is not wrapper:
            _check_other(obj, survey.place(obj), tlp, statements, found)
    for obj in survey.granular:
        _check_granular(obj, survey.place(obj), tlp, statements, found)
    for obj in survey.definitions:
        _check_definition(obj, survey, found)
    return tlp


def _statements(survey: Survey) -> frozenset[str]:
    """Identifiers of markings that travel along and say something else than TLP."""
    return frozenset([obj["id"] for obj in survey.definitions if "id" in obj and "definition" in obj])


def _judge(refs: Sequence[str], statements: frozenset[str], path: str, found: list[Finding]) -> set[Tlp]:
    """The TLP 2.0 markings among `refs`; findings for TLP 1 and for what nobody here knows."""
    colours = set()
    for index, ref in enumerate(refs):
        tlp = TLP_BY_ID.get(ref)
        where = f"{path}[{index}]"
        if tlp is not None:
            colours.add(tlp)
        elif ref in TLP1_REPLACEMENTS:
            new = TLP1_REPLACEMENTS[ref]
            said = "This is a marking of TLP 1, which nodes no longer share by."
            found.append(Finding("tlp-1", where, said, f"Use {new.label} of TLP 2.0: {_id_of(new)}."))
        elif ref not in statements:
            said = f"{show(ref, 60)} is not a marking that this node knows."
            hint = f"Use one of the TLP 2.0 markings: {_COLOURS}. Nobody may read what nobody can classify."
            found.append(Finding("tlp-unknown", where, said, hint))
    return colours


def _id_of(tlp: Tlp) -> str:
    return str(MARKING_OBJECTS[tlp]["id"])


def _single(
    refs: Sequence[str] | None, statements: frozenset[str], name: str, found: list[Finding]
) -> Tlp | None:
    if refs is not None and len(refs) == 1 and refs[0] in TLP_BY_ID:
        return TLP_BY_ID[refs[0]]
    path = f"{name}.object_marking_refs"
    before = len(found)
    colours = _judge(refs or (), statements, path, found)
    if len(colours) == 1:
        return colours.pop() if len(found) == before else None
    if colours:
        listed = " and ".join(sorted(tlp.label for tlp in colours))
        strict = strictest(*colours)
        hint = f"Keep one; {strict.label} is the strictest of them."
        found.append(Finding("tlp-many", path, f"The {name} is marked {listed} at once.", hint))
    elif len(found) == before and not any(finding.path.startswith(path) for finding in found):
        hint = f"Say how far it may travel: {_COLOURS}. When in doubt take the stricter one."
        found.append(Finding("tlp-missing", path, f"The {name} carries no TLP marking.", hint))
    return None


def _check_other(
    obj: Object, where: str, tlp: Tlp | None, statements: frozenset[str], found: list[Finding]
) -> None:
    path = f"{where}.object_marking_refs"
    for own in sorted(_judge(obj["object_marking_refs"], statements, path, found)):
        _compare(own, tlp, path, found, telling=obj["type"] in TELLING)


def _compare(own: Tlp, tlp: Tlp | None, path: str, found: list[Finding], *, telling: bool) -> None:
    if tlp is None or own is tlp:
        return
    if own.rank > tlp.rank:
        said = f"This is {own.label} inside a report that is {tlp.label}: sharing the report would leak it."
        hint = f"Leave it out, or mark the whole report {own.label}."
        found.append(Finding("marking-stricter", path, said, hint))
    elif telling:
        said = f"This tells of the incident and is marked {own.label}, but the report is {tlp.label}."
        found.append(Finding("marking-looser", path, said, f"Mark it {tlp.label} or leave its marking out."))


def _check_granular(
    obj: Object, where: str, tlp: Tlp | None, statements: frozenset[str], found: list[Finding]
) -> None:
    """Markings of single properties: they must point, and never be stricter than the report."""
    for index, granular in enumerate(obj["granular_markings"]):
        path = f"{where}.granular_markings[{index}]"
        for selector in granular["selectors"]:
            if not _resolves(obj, selector):
                said = f"{show(selector, 80)} does not lead to a property of this object."
                found.append(
                    Finding("bad-selector", path, said, "Name a property that is there, such as description.")
                )
        ref = granular.get("marking_ref")
        if ref is not None:
            for own in _judge((ref,), statements, f"{path}.marking_ref", found):
                _compare(own, tlp, path, found, telling=False)


def _resolves(obj: Object, selector: str) -> bool:
    """Whether a selector (STIX 2.1, 7.2.3.1: names and [n] between dots) leads to a value in `obj`."""
    node: Any = obj
    for step in selector.split("."):
        if step.startswith("[") and step.endswith("]") and step[1:-1].isascii() and step[1:-1].isdecimal():
            # At most ten digits, since int() of very long digits is slow or refused.
            index = int(step[1:11].rstrip("]"))
            if type(node) is not list or index >= len(node):
                return False
            node = node[index]
        elif type(node) is dict and step in node:
            node = node[step]
        else:
            return False
    return True


def _check_definition(obj: Object, survey: Survey, found: list[Finding]) -> None:
    tlp = TLP_BY_ID.get(obj.get("id", ""))
    if tlp is not None:
        if obj != MARKING_OBJECTS[tlp]:
            said = f"This carries the identifier of {tlp.label} but is not the published object."
            hint = "Put the published object there, byte for byte, or leave it out."
            found.append(Finding("marking-altered", survey.place(obj), said, hint))
    elif TLP_EXTENSION in obj.get("extensions", ()):
        said = "This names a colour of TLP 2.0 under an identifier that is none of the five published ones."
        hint = f"Mark with the published ones: {_COLOURS}; a statement of your own carries no colour."
        found.append(Finding("tlp-unknown", survey.place(obj), said, hint))
    elif obj.get("id", "") not in TLP1_REPLACEMENTS and "definition" not in obj:
        said = "This marking is neither a published TLP 2.0 marking nor a statement."
        found.append(Finding("tlp-unknown", survey.place(obj), said, f"Use the published ones: {_COLOURS}."))
