"""One walk over the objects of a bundle that sets aside what the rules across objects look at.

Objects are well-shaped here; properties may be missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]


class Survey:
    """What the walk found; lists keep the order of the bundle."""

    __slots__ = (
        "definitions",
        "granular",
        "ids",
        "incidents",
        "marked",
        "names",
        "objects",
        "refs",
        "reports",
        "versions",
    )

    def __init__(self, objects: Sequence[Object]) -> None:
        self.objects = objects
        self.names: list[str | None] = []  # the identifier of each object, None where it is broken
        self.refs: set[str | None] = set()  # what creators and relationships refer to
        self.incidents: list[Object] = []
        self.reports: list[Object] = []
        self.definitions: list[Object] = []
        self.marked: list[Object] = []  # with markings of their own
        self.granular: list[Object] = []  # with markings of single properties
        self.versions: list[Object] = []  # modified at another time than created
        name, refer = self.names.append, self.refs.add
        for obj in objects:
            get = obj.get
            kind = obj["type"]
            name(get("id"))
            refer(get("created_by_ref"))
            if kind == "relationship":
                refer(get("source_ref"))
                refer(get("target_ref"))
            elif kind == "incident":
                self.incidents.append(obj)
            elif kind == "report":
                self.reports.append(obj)
            elif kind == "marking-definition":
                self.definitions.append(obj)
            if "object_marking_refs" in obj:
                self.marked.append(obj)
            if "granular_markings" in obj:
                self.granular.append(obj)
            if get("modified") != get("created"):
                self.versions.append(obj)
        self.ids = frozenset(self.names)

    def place(self, obj: Object) -> str:
        """Where an object stands, as in a finding's path: `incident`, `report`, or `objects[3]` for any other."""
        if any(obj is one for one in (*self.incidents[:1], *self.reports[:1])):
            return str(obj["type"])
        return f"objects[{next(index for index, one in enumerate(self.objects) if one is obj)}]"
