"""A report's signed bytes, carried whole inside a bundle that shares objects among many reports.

Two reports may hold one object in different words, and a bundle holds it once: such a report cannot be put
together again from the objects alone. Its bytes then come along as a STIX `artifact` (6.1), named after the
incident and marked as the report is. Who takes it out believes it only where it agrees with what the bundle
shows: a sound report whose incident and wrapper are the ones that stand there.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from tocsin_schema import canonical, ids
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import SchemaError
from tocsin_schema.marking import MARKING_IDS
from tocsin_schema.report import IncidentReport

Object = Mapping[str, Any]

MEDIA_TYPE: Final = "application/stix+json"


def carrier_id(incident_id: str) -> str:
    """The identifier of the artifact that carries the report about an incident."""
    return ids.derive("artifact", f"signed:{incident_id}")


def carry(report: IncidentReport) -> dict[str, Any]:
    """The artifact that carries `report` as it was signed, at most 4/3 of its size and 600 bytes."""
    return {
        "type": "artifact",
        "spec_version": "2.1",
        "id": carrier_id(report.id),
        "mime_type": MEDIA_TYPE,
        "payload_bin": base64.b64encode(report.raw).decode(),
        "hashes": {"SHA-256": hashlib.sha256(report.raw).hexdigest()},
        "object_marking_refs": [MARKING_IDS[report.tlp]],
    }


def carried(carrier: Object, incident: Object, wrapper: Object) -> bytes | None:
    """The bytes that `carrier` holds, or None when they are no report about this very incident."""
    payload = carrier.get("payload_bin")
    if not isinstance(payload, str) or carrier.get("mime_type") != MEDIA_TYPE:
        return None
    try:
        raw = base64.b64decode(payload, validate=True)
        report = check_bundle(raw).report
        if report is None or report.id != incident.get("id"):
            return None
        shown = {incident["id"]: incident, report.wrapper_id: wrapper}
        held = {obj["id"]: obj for obj in report.objects if obj["id"] in shown}
        same = all(canonical.to_bytes(held[name]) == canonical.to_bytes(obj) for name, obj in shown.items())
    except (binascii.Error, SchemaError):
        return None
    return raw if same else None
