"""Many reports as the objects of one bundle: what several of them carry is kept once.

Parties, systems, techniques and markings are the same objects in many reports. Of two versions of an object
the one with the later `modified` is kept. Of two objects that claim one version and still differ (systems
have no versions at all) the one out of the report that was changed last is kept; `differing` counts them.
Which one is kept does not depend on the order in which the reports come. A report that could not be put together
again from the objects kept comes along whole (`signed`). Memory stays flat: everything lies in a SQLite file of
its own until it is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from tocsin_schema import canonical
from tocsin_schema.assembly import assembled, related
from tocsin_schema.check import check_bundle
from tocsin_schema.report import IncidentReport
from tocsin_schema.shelf import Shelf
from tocsin_schema.signed import carry

_SCHEMA: Final = (
    "create table object (number integer primary key, id text unique, modified text, newest text, raw blob);"
    "create table report (id text primary key, modified text, raw blob);"
)
_INSERT: Final = "insert or ignore into object (id, modified, newest, raw) values (?, ?, ?, ?)"
_HELD: Final = "select modified, newest, raw from object where id = ?"
_SIGN: Final = (
    "insert into report values (?, ?, ?) on conflict (id) do update set modified = excluded.modified,"
    " raw = excluded.raw where (excluded.modified, excluded.raw) > (modified, raw)"
)
_REPLACE: Final = "update object set modified = ?, newest = ?, raw = ? where id = ?"


class Merger(Shelf):
    """Objects by identifier, in the order of first sight; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA)
        self.objects_held = 0
        self.older = 0  # objects that gave way to a later version
        self.carried = 0  # reports that come along whole
        self.differing = 0  # objects that claimed one version and were not the same

    def add_report(self, report: IncidentReport) -> None:
        """Take in the objects of a report, and keep its bytes until `complete`."""
        self.add(report.raw)
        self._db.execute(_SIGN, (report.id, report.modified.isoformat(), report.raw))

    def complete(self) -> None:
        """When all are in: add, as they were signed, the reports that an import would not put together."""
        for identifier, raw in self._db.execute("select id, raw from report order by id"):
            incident = self.get(identifier)
            if incident is None or assembled(incident, related(incident, self)[0]) != raw:
                report = check_bundle(raw).report
                assert report is not None  # it was one when it came
                self.add([carry(report)])
                self.carried += 1

    def add(self, bundle: bytes | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Take in the objects of a checked bundle: its bytes, the parsed bundle, or its objects alone."""
        parsed: Any = orjson.loads(bundle) if isinstance(bundle, bytes) else bundle
        objects = parsed["objects"] if isinstance(parsed, Mapping) else parsed
        newest = max(
            (str(obj.get("modified", "")) for obj in objects if obj["type"] == "incident"), default=""
        )
        for obj in objects:
            self._keep(obj, str(obj.get("modified", "")), newest)

    def _keep(self, obj: Mapping[str, Any], modified: str, newest: str) -> None:
        identifier, raw = obj["id"], canonical.to_bytes(obj)
        if self._db.execute(_INSERT, (identifier, modified, newest, raw)).rowcount:
            self.objects_held += 1
            self._refer(obj)
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
            self._refer(obj)

    def texts(self) -> Iterator[bytes]:
        """Each object as canonical JSON."""
        for (raw,) in self._db.execute("select raw from object order by number"):
            yield raw

    def objects(self) -> Iterator[dict[str, Any]]:
        """Each object, parsed."""
        return map(orjson.loads, self.texts())
