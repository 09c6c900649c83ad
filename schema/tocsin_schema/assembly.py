"""A report put together again out of a store of single objects.

What `compose` made and a bundle of many reports took apart comes back byte for byte, as long as the store holds
the very objects that the report had. Both ends use this: the import to do it, the export to know where it would
not do.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tocsin_schema import ids
from tocsin_schema.compose import bundle_bytes
from tocsin_schema.errors import SchemaError
from tocsin_schema.shelf import Shelf

Object = dict[str, Any]

MAX_RELATED: Final = 400  # objects beside the incident; more would not fit a report
_FRAME: Final = ("identity--", "marking-definition--")  # what says whose an object is and who may see it


def related(incident: Object, shelf: Shelf) -> tuple[dict[str, Object], int]:
    """What the incident refers to, what refers to it, and what those name, without other incidents; how many were left.

    By identifier, at most `MAX_RELATED`.
    """
    found: dict[str, Object] = {}
    wanted: list[str] = list(_refs(incident))
    about = shelf.about(incident["id"], MAX_RELATED)
    listed = _listed(next((obj for obj in about if obj["id"] == ids.wrapper_id(incident["id"])), {}))
    for obj in about:
        if listed and _tells_of_another(obj, incident["id"], listed):
            continue
        shared = (
            obj["type"] == "report" and sum(str(ref).startswith("incident--") for ref in _listed(obj)) > 1
        )
        found[obj["id"]] = obj
        wanted += [ref for ref in _refs(obj) if not shared or ref.startswith(_FRAME)]
    for ref in wanted:
        if ref in found or ref == incident["id"]:
            continue
        target = shelf.get(ref) if len(found) < MAX_RELATED else None
        if target is not None and target["type"] != "incident":
            found[ref] = target
            wanted += [one for one in _refs(target) if one.startswith(_FRAME)]
    left = sum(1 for ref in set(wanted) - found.keys() if not ref.startswith("incident--") and shelf.get(ref))
    return found, left


def assembled(incident: Object, around: Mapping[str, Object]) -> bytes | None:
    """The report of ours that its wrapper lists, in the order in which `compose` puts it; None without a wrapper.

    `around` is what `related` gives. What comes back has not been checked.
    """
    wrapper = around.get(ids.wrapper_id(incident["id"]))
    if wrapper is None:
        return None
    order = {ref: index for index, ref in enumerate([str(wrapper.get("created_by_ref")), *_listed(wrapper)])}
    others = [
        obj
        for obj in (*around.values(), incident)
        if obj["type"] != "report" and not _tells_of_another(obj, incident["id"], order)
    ]
    others.sort(
        key=lambda obj: (obj["type"] != "marking-definition", order.get(obj["id"], len(order)), obj["id"])
    )
    return sealed([*others, wrapper], incident)


def sealed(objects: Sequence[Mapping[str, Any]], incident: Mapping[str, Any]) -> bytes | None:
    """The canonical bundle of the objects, or None when they have no canonical bytes."""
    try:
        return bundle_bytes(objects, incident["id"], str(incident.get("modified")))
    except SchemaError:
        return None


def _tells_of_another(obj: Object, incident_id: str, listed: Sequence[str] | Mapping[str, int]) -> bool:
    """Whether it is what another incident says of this one, and so belongs to the report of that one."""
    source = obj.get("source_ref")
    return (
        isinstance(source, str)
        and source.startswith("incident--")
        and source != incident_id
        and obj["id"] not in listed
    )


def _listed(obj: Mapping[str, Any]) -> list[str]:
    named = obj.get("object_refs")
    return [ref for ref in named if isinstance(ref, str)] if isinstance(named, list) else []


def _refs(value: object) -> Iterator[str]:
    """Every identifier that an object refers to, in any property whose name ends in _ref or _refs."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name.endswith("_ref") and isinstance(item, str):
                yield item
            elif name.endswith("_refs") and isinstance(item, list):
                yield from (one for one in item if isinstance(one, str))
            elif isinstance(item, dict | list):
                yield from _refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _refs(item)
