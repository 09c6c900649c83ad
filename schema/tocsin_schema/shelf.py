"""Objects on disk, found by identifier and by what they are about."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from tocsin_schema.disk import Disk

_SCHEMA: Final = (
    "create table reference (target text, source text, primary key (target, source)) without rowid;"
)
# The properties by which an object is about others.
_ABOUT: Final = ("source_ref", "target_ref", "object_refs", "sighting_of_ref")


class Shelf(Disk):
    """What stores of objects have in common; `schema` makes their table `object`, which has an `id` and a `raw`."""

    def __init__(self, schema: str) -> None:
        super().__init__(schema + _SCHEMA)

    def get(self, identifier: str) -> dict[str, Any] | None:
        """The object of that identifier, or None."""
        row = self._db.execute("select raw from object where id = ?", (identifier,)).fetchone()
        return orjson.loads(row[0]) if row is not None else None

    def about(self, identifier: str, limit: int) -> list[dict[str, Any]]:
        """At most `limit` relationships, reports, notes, opinions and sightings that name the object, by identifier."""
        rows = self._db.execute(
            "select raw from reference join object on id = source where target = ? order by source limit ?",
            (identifier, limit),
        )
        return [orjson.loads(raw) for (raw,) in rows]

    def _refer(self, obj: Mapping[str, Any]) -> None:
        """Note what an object is about."""
        targets = {ref for name in _ABOUT for ref in _texts(obj.get(name))}
        if targets:
            rows = [(ref, obj["id"]) for ref in targets]
            self._db.executemany("insert or ignore into reference values (?, ?)", rows)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
