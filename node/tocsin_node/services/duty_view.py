"""Duties as the API shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tocsin_node.services.duty_book import DutyFacts
from tocsin_node.storage.duties import Event, StoredDuty
from tocsin_schema.duty import progress


def duty_as_json(one: StoredDuty, now: datetime) -> dict[str, Any]:
    """A duty. `progress` is the share of the clock that has run; `late`: it was done after the legal date."""
    facts = msgspec.json.decode(one.facts, type=DutyFacts)
    ran = None
    if one.start_at is not None and one.due_conservative is not None and one.state != "done":
        ran = round(progress(one.start_at, one.due_conservative, now), 4)
    return {
        "id": one.id,
        "report_id": one.report_id,
        "report_name": one.name,
        "tlp": one.tlp,
        "grade": one.grade,
        "regime": one.regime,
        "stage": one.stage,
        "nth": one.nth,
        **msgspec.to_builtins(facts),
        "standing": one.standing,
        "state": one.state,
        "in_force": one.in_force,
        "start_at": one.start_at,
        "due_conservative": one.due_conservative,
        "due_legal": one.due_legal,
        "progress": ran,
        "warned": one.warned,
        "missed_at": one.missed_at,
        "decided_by": one.decided_by,
        "decided_at": one.decided_at,
        "reason": one.reason,
        "done_at": one.done_at,
        "late": one.done_at is not None and one.due_legal is not None and one.done_at > one.due_legal,
        "reference": one.reference,
        "created_at": one.created_at,
    }


def history_as_json(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Every step of a duty, oldest first."""
    return [{name: getattr(event, name) for name in ("at", "what", "by", "via", "said")} for event in events]
