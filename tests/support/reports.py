"""A report's bytes, in the name of whoever files it."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tocsin_schema.imports import aiid
from tocsin_schema.stix import build

PUBLIC = aiid.SOURCE.identity  # a creator that is no node
MILD = {"realization": "near-miss", "description": "Nobody was hurt."}


def report_by(
    producer: Mapping[str, Any],
    title: str = "Something happened",
    *,
    incident_id: str | None = None,
    **fields: Any,
) -> bytes:
    """A report created by the identity `producer`."""
    form = {"title": title, "tlp": "green", **MILD, **fields}
    chosen = incident_id or f"incident--{uuid.uuid4()}"
    a_moment_ago = datetime.now(UTC) - timedelta(seconds=1)  # so that a version made at once is a later one
    return build(form, producer=dict(producer), incident_id=chosen, now=a_moment_ago)
