"""The sample incidents as STIX: what `tocsin import stix` takes.

Their source has one fixed identity and their ids are made from the titles, so that the same samples are
the same reports at every node.
"""

import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from organisation import StepFailed

from tocsin_schema.errors import FormRefused
from tocsin_schema.stix import build

SOURCE_NAME = "Tocsin sample incidents"
NAMESPACE = uuid.UUID("6f0c8d1e-5d0b-5a55-9d5e-6a6f5c1f3b0a")
WRITTEN_AT = datetime(2026, 11, 22, tzinfo=UTC)


def titles(file: Path) -> list[str]:
    """The titles of the sample incidents."""
    return [str(incident["title"]) for incident in _incidents(file)]


def write_bundles(file: Path, target: Path) -> Path:
    """Build every sample in `file` (TOML) and write them to `target`, one bundle a line.

    Raises: StepFailed with all findings of the first sample that is not a proper report.
    """
    source = {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--{uuid.uuid5(NAMESPACE, SOURCE_NAME)}",
        "created": "2026-11-22T00:00:00.000Z",
        "modified": "2026-11-22T00:00:00.000Z",
        "name": SOURCE_NAME,
        "identity_class": "organization",
    }
    lines = []
    for incident in _incidents(file):
        incident_id = f"incident--{uuid.uuid5(NAMESPACE, incident['title'])}"
        try:
            lines.append(build(incident, producer=source, incident_id=incident_id, now=WRITTEN_AT))
        except FormRefused as exc:
            found = "\n".join(f"  {f.path}: {f.message}" for f in exc.findings)
            raise StepFailed(f"The sample “{incident['title']}” has findings:\n{found}") from exc
    target.write_bytes(b"\n".join(lines) + b"\n")
    return target


def _incidents(file: Path) -> list[dict[str, Any]]:
    return list(tomllib.loads(file.read_text("utf-8"))["incident"])
