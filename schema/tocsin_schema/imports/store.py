"""The objects of a foreign file on disk, found by identifier and by what they refer to.

A file may be larger than memory and refers back and forth, so every object is put into a SQLite file of its
own first. Of several versions of an object the latest counts.
"""

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import orjson

_SCHEMA: Final = """
pragma journal_mode = off;
pragma synchronous = off;
create table object (id text primary key, type text, modified text, raw blob) without rowid;
create table reference (target text, source text, primary key (target, source)) without rowid;
"""
# The properties by which an object is about others.
_ABOUT: Final = ("source_ref", "target_ref", "object_refs", "sighting_of_ref")


class Store:
    """Objects by identifier; a context manager that takes its file away at the end."""

    def __init__(self) -> None:
        self._dir = tempfile.TemporaryDirectory(prefix="tocsin-import-")
        self._db = sqlite3.connect(Path(self._dir.name) / "objects.sqlite", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.execute("begin")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._dir.cleanup()

    def add(self, obj: Mapping[str, Any]) -> None:
        """Keep an object that has a text `id` and `type`; an older version of a known one is dropped."""
        modified = obj.get("modified")
        self._db.execute(
            "insert into object values (?, ?, ?, ?) on conflict (id) do update"
            " set type = excluded.type, modified = excluded.modified, raw = excluded.raw"
            " where excluded.modified > modified",
            (obj["id"], obj["type"], modified if isinstance(modified, str) else "", orjson.dumps(obj)),
        )
        targets = {ref for name in _ABOUT for ref in _texts(obj.get(name))}
        self._db.executemany(
            "insert or ignore into reference values (?, ?)", [(ref, obj["id"]) for ref in targets]
        )

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


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
