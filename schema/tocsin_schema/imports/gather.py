"""Many reports and objects as one STIX 2.1 bundle, each object once; on disk, so that memory stays flat.

Of two versions of an object the later one is kept, and of two that are equally late the first. The bundle's
identifier follows from what is in it: the same records give the same bytes. A single report stays the bundle
that it is.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from tocsin_schema import canonical, ids
from tocsin_schema.imports.record import Passed, Record
from tocsin_schema.imports.store import Disk

_SCHEMA: Final = "create table object (place integer primary key, id text unique, modified text, raw blob);"


class Gathering(Disk):
    """What is to go into one bundle.

    `objects` counts those in it, `differing` the versions that gave way to another one.
    """

    def __init__(self) -> None:
        super().__init__(_SCHEMA)
        self.objects = 0
        self.differing = 0
        self._only: bytes | None = None  # the report, as long as there is nothing else

    def add(self, one: Record | Passed) -> None:
        """Take the objects of what came through a door; one that was refused adds nothing."""
        if isinstance(one, Passed):
            self._only = None
            self._add_all(one.objects)
        elif one.bundle is not None:
            self._only = one.bundle if not self.objects else None
            self._add_all(orjson.loads(one.bundle)["objects"])

    def _add_all(self, objects: Iterable[Mapping[str, Any]]) -> None:
        for obj in objects:
            raw, modified = canonical.to_bytes(obj), str(obj.get("modified", ""))
            row = self._db.execute("select modified, raw from object where id = ?", (obj["id"],)).fetchone()
            if row is None:
                self.objects += 1
                self._db.execute(
                    "insert into object (id, modified, raw) values (?, ?, ?)", (obj["id"], modified, raw)
                )
            elif row[1] != raw:
                self.differing += 1
                if modified > row[0]:
                    self._db.execute(
                        "update object set modified = ?, raw = ? where id = ?", (modified, raw, obj["id"])
                    )

    def bundle(self) -> Iterator[bytes]:
        """The canonical bytes of the bundle, piece by piece, and a line end; nothing when it holds no object."""
        if not self.objects:
            return
        if self._only is not None:
            yield self._only + b"\n"
            return
        digest = hashlib.sha256()
        for raw in self._all():
            digest.update(raw + b"\n")
        name = ids.derive("bundle", f"bundle:gathered:{digest.hexdigest()}")
        yield b'{"id":"' + name.encode() + b'","objects":['
        for index, raw in enumerate(self._all()):
            yield b"," + raw if index else raw
        yield b'],"type":"bundle"}\n'

    def _all(self) -> Iterator[bytes]:
        for (raw,) in self._db.execute("select raw from object order by place"):
            yield raw
