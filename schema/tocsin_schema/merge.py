"""Many reports as the objects of one bundle: what several of them carry is kept once.

Parties, systems, techniques and markings are the same objects in many reports. Of two versions of an object
the one with the later `modified` is kept. Of two objects that claim one version and still differ (systems
have no versions at all) the one out of the report that was changed last is kept; `differing` counts them.
Which one is kept does not depend on the order in which the reports come. Memory stays flat: the objects lie
in a SQLite file of its own until they are asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from tocsin_schema import canonical
from tocsin_schema.disk import Disk

_SCHEMA: Final = (
    "create table object (number integer primary key, id text unique, modified text, newest text, raw blob);"
)
_INSERT: Final = "insert or ignore into object (id, modified, newest, raw) values (?, ?, ?, ?)"
_HELD: Final = "select modified, newest, raw from object where id = ?"
_REPLACE: Final = "update object set modified = ?, newest = ?, raw = ? where id = ?"


class Merger(Disk):
    """Objects by identifier, in the order of first sight; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA)
        self.objects_held = 0
        self.older = 0  # objects that gave way to a later version
        self.differing = 0  # objects that claimed one version and were not the same

    def add(self, bundle: bytes | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Take in the objects of a checked bundle: its bytes, the parsed bundle, or its objects alone."""
        parsed: Any = orjson.loads(bundle) if isinstance(bundle, bytes) else bundle
        objects = parsed["objects"] if isinstance(parsed, Mapping) else parsed
        newest = max(
            (str(obj.get("modified", "")) for obj in objects if obj["type"] == "incident"), default=""
        )
        for obj in objects:
            self._keep(obj["id"], str(obj.get("modified", "")), newest, canonical.to_bytes(obj))

    def _keep(self, identifier: str, modified: str, newest: str, raw: bytes) -> None:
        if self._db.execute(_INSERT, (identifier, modified, newest, raw)).rowcount:
            self.objects_held += 1
            return
        held = self._db.execute(_HELD, (identifier,)).fetchone()
        if held[2] == raw:
            return
        if held[0] == modified:
            self.differing += 1
        else:
            self.older += 1
        if (modified, newest, raw) > held:
            self._db.execute(_REPLACE, (modified, newest, raw, identifier))

    def texts(self) -> Iterator[bytes]:
        """Each object as canonical JSON."""
        for (raw,) in self._db.execute("select raw from object order by number"):
            yield raw

    def objects(self) -> Iterator[dict[str, Any]]:
        """Each object, parsed."""
        return map(orjson.loads, self.texts())
