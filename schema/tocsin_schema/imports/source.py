"""Public collections as creators of reports: one fixed identity each, and one way from a form to a record.

Two nodes that import the same record of a collection make the same bytes of it: the identifier is derived
from the collection and its own key, the creator is the collection's identity, and times are the source's.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tocsin_schema import canonical, ids
from tocsin_schema.check import check_bundle
from tocsin_schema.compose import PARTY_EPOCH, bundle_bytes, compose
from tocsin_schema.finding import Finding
from tocsin_schema.form import examine
from tocsin_schema.imports.record import Record

Object = dict[str, Any]
# Given the incident's identifier and what every object of the report has in common, the objects to put beside it.
Beside = Callable[[str, Mapping[str, Any]], Sequence[Object]]

HINT: Final = "Correct the record in the file, or leave it; the others are not touched by it."


class Source(msgspec.Struct, frozen=True):
    """A public collection. `key` is its short name in identifiers and references, `license` an SPDX name."""

    key: str
    name: str
    url: str
    license: str

    @property
    def identity(self) -> Object:
        """The identity object that answers for what was imported from it."""
        return {
            "type": "identity",
            "spec_version": "2.1",
            "id": ids.derive("identity", f"source:{self.key}"),
            "created": PARTY_EPOCH,
            "modified": PARTY_EPOCH,
            "name": self.name,
            "identity_class": "organization",
            "external_references": [{"source_name": self.key, "url": self.url}],
        }

    def record(self, key: str, url: str, original: object, said: str) -> tuple[Object, Object]:
        """The `source_record` of one record, and the reference to it that leads its sources.

        `original` is the record as it was read; its hash is taken over its canonical bytes.
        """
        digest = hashlib.sha256(canonical.to_bytes(original)).hexdigest()
        entry = {"source": self.key, "id": key, "url": url, "license": self.license, "sha256": digest}
        return entry, {"name": self.key, "id": key, "url": url, "description": said}

    def publish(
        self,
        key: str,
        form: Mapping[str, Any],
        repairs: Sequence[str],
        *,
        created: str,
        modified: str,
        beside: Beside | None = None,
    ) -> Record:
        """The record of key `key`: a bundle that has passed the check, or the first finding against it."""
        name = f"{self.key}:{key}"
        tidy, found = examine(form)
        wrong = _first_error(found)
        if wrong is not None:
            return Record(name, None, tuple(repairs), wrong)
        incident_id = ids.imported_incident_id(self.key, key)
        objects = compose(
            tidy, producer=self.identity, incident_id=incident_id, created=created, modified=modified
        )
        if beside is not None:
            _put_beside(objects, incident_id, beside)
        bundle = bundle_bytes(objects, incident_id, modified)
        wrong = _first_error(check_bundle(bundle).findings)
        return Record(name, None if wrong else bundle, tuple(repairs), wrong)


def refused(key: str, code: str, said: str, repairs: Iterable[str] = (), hint: str = HINT) -> Record:
    """A record that could not be taken, and why."""
    return Record(key, None, tuple(repairs), Finding(code, "", said, hint))


def _first_error(found: Iterable[Finding]) -> Finding | None:
    return next((finding for finding in found if finding.level == "error"), None)


def _put_beside(objects: list[Object], incident_id: str, beside: Beside) -> None:
    """Insert further objects before the wrapper, and name them in it."""
    wrapper = objects[-1]
    names = ("spec_version", "created_by_ref", "created", "modified", "object_marking_refs")
    known = {obj["id"] for obj in objects}
    more = {
        obj["id"]: obj
        for obj in beside(incident_id, {name: wrapper[name] for name in names})
        if obj["id"] not in known
    }
    objects[-1:-1] = more.values()
    wrapper["object_refs"] = [*wrapper["object_refs"], *more]
