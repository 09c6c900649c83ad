"""The incident report as the product works with it: read once from checked bytes, never written back."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tocsin_schema.marking import Tlp
from tocsin_schema.severity import Severity


class SourceRecord(msgspec.Struct, frozen=True):
    """The public record that a report was imported from; texts are empty when the source does not say."""

    source: str
    id: str
    url: str = ""
    license: str = ""
    retrieved_at: str = ""
    sha256: str = ""
    report_ids: tuple[str, ...] = ()


class IncidentReport(msgspec.Struct, frozen=True):
    """A report that passed every check.

    `extension` is the ai-incident extension as written; `severity` was computed here from its facts,
    `claimed` holds the severity fields as written. `systems` names the AI systems for people ("Navya
    Autonom Shuttle 2.1"). `personal_data` is "none", "pseudonymised", "present" or "unstated". `created`
    and `modified` are aware UTC, cut to the millisecond. `raw` is the bundle byte for byte as it arrived
    and `sha256` its digest (32 bytes); `objects` are those of the bundle as they were read, not to be changed.
    """

    id: str
    wrapper_id: str
    created_by_ref: str
    created: datetime
    modified: datetime
    name: str
    description: str
    tlp: Tlp
    realization: str
    revoked: bool
    extension: Mapping[str, Any]
    severity: Severity
    claimed: Mapping[str, Any]
    systems: tuple[str, ...]
    personal_data: str
    source: SourceRecord | None
    raw: bytes
    sha256: bytes
    objects: Sequence[Mapping[str, Any]] = ()
