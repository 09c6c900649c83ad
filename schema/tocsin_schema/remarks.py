"""Making remarks: a sighting, an opinion or an exposure about a report, as canonical bytes, and taking one back.

They are made at the edge, where people write: stix2 has parsed every object without custom properties and
`check_remark` has passed the whole. Each carries the report's own marking, never a milder one: that somebody is
affected by an incident tells of the incident. The same arguments give the same bytes.

A remark that replaces an own earlier one of the same kind is its next version: it keeps `created`, and so its
identifier, and has a later `modified`. One that was taken back has no further version (STIX 2.1, 3.6), so what is
said after that begins anew, with a `created` of its own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tocsin_schema import canonical, ids, times
from tocsin_schema.errors import AlreadyRetracted, NotLater, RemarkRefused
from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS
from tocsin_schema.remark import ABSTRACT, LABEL, TYPE_OF, Kind, Remark, check_remark, remark_id, sentence
from tocsin_schema.report import IncidentReport
from tocsin_schema.stix import Object, prove


def sighting(
    report: IncidentReport,
    *,
    producer: Mapping[str, Any],
    now: datetime,
    count: int = 1,
    first_seen: datetime | None = None,
    last_seen: datetime | None = None,
    text: str = "",
    before: Remark | None = None,
) -> bytes:
    """We see this too: how often, from when to when.

    `producer` is what `stix.node_identity` gives; `now` is aware and is cut to the millisecond; `before` is the own
    sighting of the report that this one replaces, if there is one.
    Raises: `RemarkRefused` with every finding (a count of 0, a text above 2,000 characters, times that run
    backwards), `NotLater` when `before` is not older.
    """
    said: Object = {"count": count, "sighting_of_ref": report.id, "where_sighted_refs": [producer["id"]]}
    seen = {"first_seen": first_seen, "last_seen": last_seen}
    said.update((name, times.write(moment)) for name, moment in seen.items() if moment is not None)
    if text:
        said["description"] = text
    return _made("sighting", said, report, producer, now, before)


def opinion(
    report: IncidentReport,
    step: str,
    *,
    producer: Mapping[str, Any],
    now: datetime,
    text: str = "",
    before: Remark | None = None,
) -> bytes:
    """How far we agree with the report: a word of `vocabulary.OPINION`. Else as `sighting`."""
    said: Object = {"opinion": step, **({"explanation": text} if text else {}), "object_refs": _on(report)}
    return _made("opinion", said, report, producer, now, before)


def exposure(
    report: IncidentReport,
    word: str,
    *,
    producer: Mapping[str, Any],
    now: datetime,
    text: str = "",
    before: Remark | None = None,
) -> bytes:
    """Whether we are affected: a word of `vocabulary.EXPOSURE`. Else as `sighting`."""
    said: Object = {
        "abstract": ABSTRACT.get(word, word),
        "content": f"{sentence(word)}\n\n{text}" if text else sentence(word),
        "labels": [LABEL.format(word)],
        "object_refs": _on(report),
    }
    return _made("exposure", said, report, producer, now, before)


def retract(raw: bytes, *, now: datetime) -> bytes:
    """The last version of a remark: revoked.

    Raises: `RemarkRefused` when `raw` is no sound remark, `AlreadyRetracted`, `NotLater`.
    """
    remark = _checked(raw)
    if remark.revoked:
        raise AlreadyRetracted
    stamp = _later(now, remark)
    objects = [
        {**obj, "revoked": True, "modified": stamp} if obj["id"] == remark.id else obj
        for obj in canonical.parse_strict(raw)["objects"]
    ]
    return _sealed(objects, remark.id, stamp)


def _on(report: IncidentReport) -> list[str]:
    return [report.wrapper_id, report.id]


def _made(
    kind: Kind,
    said: Object,
    report: IncidentReport,
    producer: Mapping[str, Any],
    now: datetime,
    before: Remark | None,
) -> bytes:
    """The whole bundle of one remark."""
    stamp = created = times.write(now)
    if before is not None:
        stamp = _later(now, before)
        created = stamp if before.revoked else times.write(before.created)
    own: Object = {
        "type": TYPE_OF[kind],
        "spec_version": "2.1",
        "id": remark_id(kind, report.id, producer["id"], created),
        "created_by_ref": producer["id"],
        "created": created,
        "modified": stamp,
        "object_marking_refs": [MARKING_IDS[report.tlp]],
        **said,
    }
    return _sealed([dict(MARKING_OBJECTS[report.tlp]), dict(producer), own], own["id"], stamp)


def _later(now: datetime, before: Remark) -> str:
    if times.to_millisecond(now) <= before.modified:
        raise NotLater
    return times.write(now)


def _checked(raw: bytes) -> Remark:
    checked = check_remark(raw)
    if checked.remark is None:
        raise RemarkRefused(checked.findings)
    return checked.remark


def _sealed(objects: list[Object], identifier: str, stamp: str) -> bytes:
    """Canonical bytes that both stix2 and our own check have passed."""
    bundle = {"type": "bundle", "id": ids.bundle_id(identifier, stamp), "objects": objects}
    raw = canonical.to_bytes(bundle)
    _checked(raw)
    prove(objects)
    return raw
