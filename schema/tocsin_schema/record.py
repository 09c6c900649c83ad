"""Lists and objects in the language of `shape.py`, and what becomes of properties that nobody here knows."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import call, itemgetter
from typing import Any, Final, Literal

from tocsin_schema.canonical import MAX_DEPTH, faults
from tocsin_schema.errors import LoneSurrogate
from tocsin_schema.finding import Finding, join, label, show
from tocsin_schema.ids import NICKNAMES, is_id
from tocsin_schema.shape import Shape, Test, control_found, control_in_lines, nearest, wrong_type

Rule = Callable[[Mapping[str, Any]], list[Finding]]
Unknown = Literal["warn", "refuse", "extension"]

MAX_UNKNOWN: Final = 200  # properties of one object that nobody here knows; no later profile has so many

PROPERTY_NAME = re.compile(
    r"[a-z0-9_]{3,250}"
).fullmatch  # STIX 2.1, 7.3: names of properties in an extension


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of 1 to `limit` items."""

    item: Shape
    limit: int = 200

    def passes(self) -> Test:
        """See `Shape`."""
        one, limit = self.item.passes(), self.limit
        return lambda value: type(value) is list and 0 < len(value) <= limit and all(map(one, value))

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`; of a list that is too long, the items within the limit are looked at."""
        if type(value) is not list:
            return wrong_type(value, "a list", "Put it in brackets: [ … ].")
        if not value:
            return [empty_list("")]
        found = []
        if len(value) > self.limit:
            said = f"The list has {len(value):,} items; the limit is {self.limit:,}."
            found.append(Finding("too-many", "", said, "Keep what matters, or file a second report."))
        for index, item in enumerate(value[: self.limit]):
            found += [finding.below(f"[{index}]") for finding in self.item.explain(item)]
        return found

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`."""
        return {"type": "array", "minItems": 1, "maxItems": self.limit, "items": self.item.json_schema()}

    def words(self) -> str:
        """See `Shape`."""
        return f"list: {self.item.words()}"


def empty_list(path: str) -> Finding:
    """The finding for a list without items, which STIX does not have."""
    return Finding("empty-list", path, "The list is empty.", "Leave the property out instead.")


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a record: its shape and its meaning in one line; `computed` is not for people to write."""

    shape: Shape
    meaning: str
    required: bool = False
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """An object with named properties.

    `unknown` says what becomes of other names. "warn" keeps and reports them, as a peer may speak a later
    profile; "refuse" names the nearest known one; "extension" wants identifiers of extensions and reports
    those we do not know. Unknown names and values are checked at every depth in any case; with more than 200
    of them the object is refused, and only the first 200 are looked at.
    """

    fields: Mapping[str, Field]
    unknown: Unknown = "warn"
    like: str = "an object"
    one_of: tuple[str, ...] = ()  # at least one of these must be there
    rule: Rule | None = None  # what else must hold between the properties of a sound object

    def passes(self) -> Test:
        """See `Shape`; an unknown name never passes, so that it gets explained."""
        tests = {name: item.shape.passes() for name, item in self.fields.items()}
        get: Any = tests.get
        needed = [name for name, item in self.fields.items() if item.required]
        # Of two names and more it gives a tuple, which is truthy whatever the values are.
        required: Any = itemgetter(*needed, needed[0]) if needed else lambda _: True
        one_of, rule = frozenset(self.one_of), self.rule

        def test(value: Any) -> bool:
            # The loop runs in C: each property's test is looked up and called; calling None is the TypeError of a no.
            return (
                type(value) is dict
                and all(map(call, map(get, value), value.values()))
                and required(value)  # the KeyError of what is missing is a no, too
                and not (one_of and one_of.isdisjoint(value))
                and not (rule is not None and rule(value))
            )

        return test

    def explain(self, value: Any) -> list[Finding]:
        """See `Shape`."""
        if type(value) is not dict:
            return wrong_type(value, self.like)
        found = []
        unknown = 0
        for name, item in value.items():
            known = self.fields.get(name)
            unknown += known is None
            if known is None and unknown > MAX_UNKNOWN:
                continue
            wrong = known.shape.explain(item) if known is not None else self._explain_unknown(name, item)
            shown = NICKNAMES.get(name) or label(name)
            found += [finding.below(shown) for finding in wrong]
        if unknown > MAX_UNKNOWN:
            said = f"There are {unknown:,} properties that nobody here knows; the limit is {MAX_UNKNOWN:,}."
            found.append(Finding("too-many", "", said, "Leave them out; attach such data elsewhere."))
        for name, field in self.fields.items():
            if field.required and name not in value:
                hint = f"Add {name}: {field.meaning} ({field.shape.words()})."
                found.append(Finding("missing-property", name, f"{name} is missing.", hint))
        if self.one_of and not any(name in value for name in self.one_of):
            names = ", ".join(self.one_of)
            said = f"None of {names} is there."
            found.append(Finding("missing-property", "", said, "Add at least one of them."))
        if self.rule is not None:
            found += self.rule(value)
        return found

    def sound(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """A copy with only the known properties that pass, for rules that look across properties.

        Objects inside may lack required properties; objects in lists do not.
        """
        kept: dict[str, Any] = {}
        for name, item in value.items():
            shape = self.fields[name].shape if name in self.fields else None
            if isinstance(shape, Record) and type(item) is dict:
                kept[name] = shape.sound(item)
            elif shape is not None and (passing := _passing(shape, item)) is not None:
                kept[name] = passing
        return kept

    def whole(self, value: Any) -> dict[str, Any] | None:
        """As `sound`, and with everything required in it and in the objects inside; None when that cannot be."""
        kept = self.sound(value) if type(value) is dict else {}
        for name, item in list(kept.items()):
            shape = self.fields[name].shape
            if isinstance(shape, Record) and shape.whole(item) is None:
                del kept[name]
        one_of = not self.one_of or any(name in kept for name in self.one_of)
        required = all(name in kept for name, field in self.fields.items() if field.required)
        ruled = self.rule is None or not self.rule(kept)
        return kept if one_of and required and ruled else None

    def _explain_unknown(self, name: str, value: Any) -> list[Finding]:
        found = list(explain_any(value, MAX_DEPTH, ""))
        close = nearest(name, self.fields)
        hint = f"Did you mean “{close}”?" if close else "Check the spelling against schema/README.md."
        if self.unknown == "extension":
            return [_unknown_extension(name, value), *found]
        if self.unknown == "refuse":
            said = f"{show(name)} is not a property here."
            return [Finding("unknown-field", "", said, hint), *found]
        if PROPERTY_NAME(name) is None:
            said = f"{show(name)} cannot be the name of a property."
            return [Finding("bad-name", "", said, "Use 3 to 250 of a-z, 0-9 and _."), *found]
        said = f"{show(name)} is not in this version of the profile; it is kept as it is."
        return [Finding("unknown-property", "", said, hint, "warning"), *found]

    def json_schema(self) -> dict[str, Any]:
        """See `Shape`; other names are allowed where they are kept, and must be well-formed."""
        properties = {
            name: {"description": field.meaning, **field.shape.json_schema()}
            for name, field in self.fields.items()
        }
        made: dict[str, Any] = {"type": "object", "properties": properties}
        required = [name for name, field in self.fields.items() if field.required]
        if required:
            made["required"] = required
        if self.one_of:
            made["anyOf"] = [{"required": [name]} for name in self.one_of]
        if self.unknown == "refuse":
            made["additionalProperties"] = False
        else:
            made["propertyNames"] = {"anyOf": [{"pattern": "^[a-z0-9_]{3,250}$"}, {"enum": list(properties)}]}
            made["additionalProperties"] = {"not": {"anyOf": [{"type": "null"}, {"const": []}]}}
        return made

    def words(self) -> str:
        """See `Shape`."""
        return "{" + ", ".join(self.fields) + "}"


def _passing(shape: Shape, item: Any) -> Any:
    """What of a value passes: all of it, the sound items of a list of objects, or None."""
    if isinstance(shape, ListOf) and isinstance(shape.item, Record) and type(item) is list:
        return [one for one in map(shape.item.whole, item[: shape.limit]) if one is not None] or None
    return item if all(wrong.level != "error" for wrong in shape.explain(item)) else None


def _unknown_extension(name: str, value: Any) -> Finding:
    if not name.startswith("extension-definition--") or not is_id(name):
        said = f"{show(name, 60)} is not the identifier of an extension."
        return Finding("bad-id", "", said, "It looks like extension-definition--UUID.")
    if type(value) is not dict or not value:
        said = f"The extension is {show(value)}, not an object with properties."
        return Finding("wrong-type", "", said, "Write an object.")
    said = "This extension is not known here; it is kept as it is."
    return Finding("unknown-extension", "", said, "Nothing to do; nobody here has checked it.", "warning")


def explain_any(value: Any, depth: int, path: str) -> Iterable[Finding]:
    """What is wrong with a value that no table describes.

    Null, empty lists, control characters, broken names, numbers that are too long; more than `depth` levels.
    """
    for place, fault in faults(value, depth, path):
        if fault.code != LoneSurrogate.code:  # `_hollow` says it with the position
            yield Finding(fault.code, place, str(fault), fault.hint)
    yield from _hollow(value, depth, path)


def _hollow(value: Any, depth: int, path: str) -> Iterable[Finding]:
    """The part of `explain_any` that canonical bytes would allow."""
    if value is None:
        yield wrong_type(None, "")[0].below(path)
    elif type(value) is str:
        control = control_in_lines(value)
        if control is not None:
            yield control_found(control).below(path)
    elif depth and type(value) is list:
        if not value:
            yield empty_list(path)
        for index, item in enumerate(value):
            yield from _hollow(item, depth - 1, f"{path}[{index}]")
    elif depth and type(value) is dict:
        for key, item in value.items():
            place = join(path, label(key))
            if not key.isprintable() or not 0 < len(key) <= 250:
                said = f"{show(key)} cannot be the name of a property."
                yield Finding("bad-name", place, said, "Use 1 to 250 printable characters.")
            yield from _hollow(item, depth - 1, place)
