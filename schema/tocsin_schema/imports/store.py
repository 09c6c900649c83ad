"""The objects of a foreign file on disk, found by identifier and by what they refer to.

A file may be larger than memory and refers back and forth, so every object is put into a SQLite file of its
own first. Of several versions of an object the latest counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from tocsin_schema import ids
from tocsin_schema.shelf import Shelf

_SCHEMA: Final = """
create table object (id text primary key, type text, modified text, raw blob, used int default 0) without rowid;
create table refused (id text primary key) without rowid;
create table renamed (id text primary key) without rowid;
"""
_RELATING: Final = "('relationship', 'sighting', 'report', 'note', 'opinion', 'grouping')"


class Store(Shelf):
    """Objects by identifier."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA)

    def add(self, obj: Mapping[str, Any]) -> None:
        """Keep an object that has a text `id` and `type`; an older version of a known one is dropped.

        Relationships of one identifier and several ends (ATLAS has them) are told apart by derived identifiers.
        """
        if obj["type"] == "relationship":
            obj = self._told_apart(obj)
        modified = obj.get("modified")
        self._db.execute(
            "insert into object (id, type, modified, raw) values (?, ?, ?, ?) on conflict (id) do update"
            " set type = excluded.type, modified = excluded.modified, raw = excluded.raw"
            " where excluded.modified > modified",
            (obj["id"], obj["type"], modified if isinstance(modified, str) else "", orjson.dumps(obj)),
        )
        self._refer(obj)

    def _told_apart(self, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        held = self.get(obj["id"])
        if held is None or _ends(held) == _ends(obj):
            return obj
        name = ids.derive("relationship", orjson.dumps([obj["id"], *_ends(obj)]).decode())
        self._db.execute("insert or ignore into renamed values (?)", (name,))
        return {**obj, "id": name}

    def is_renamed(self, identifier: str) -> bool:
        """Whether a relationship got this identifier here, since its own stood for another one."""
        return self._db.execute("select 1 from renamed where id = ?", (identifier,)).fetchone() is not None

    def incidents(self) -> Iterator[dict[str, Any]]:
        """Every incident, by identifier."""
        last = ""
        while True:
            row = self._db.execute(
                "select id, raw from object where type = 'incident' and id > ? order by id limit 1", (last,)
            ).fetchone()
            if row is None:
                return
            last = row[0]
            yield orjson.loads(row[1])

    def use(self, identifiers: Iterable[str]) -> None:
        """Note that these objects have become part of a report."""
        self._db.executemany(
            "update object set used = 1 where id = ?", [(identifier,) for identifier in identifiers]
        )

    def unused(self) -> Iterator[dict[str, Any]]:
        """Every object that is in no report, by identifier; what is about other objects comes last."""
        for test in ("not in", "in"):
            rows = self._db.execute(
                f"select raw from object where used = 0 and type {test} {_RELATING} order by id"  # noqa: S608  constants
            )
            for (raw,) in rows:
                yield orjson.loads(raw)

    def refuse(self, identifier: str) -> None:
        """Note that an object cannot be passed on."""
        self._db.execute("insert or ignore into refused values (?)", (identifier,))

    def is_refused(self, identifier: str) -> bool:
        """Whether `refuse` was said of it."""
        return self._db.execute("select 1 from refused where id = ?", (identifier,)).fetchone() is not None


def _ends(relationship: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(relationship.get(name) for name in ("relationship_type", "source_ref", "target_ref"))
