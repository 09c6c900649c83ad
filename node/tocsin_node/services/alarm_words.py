"""What an alert may say, now and of what it said before, and under which name. Pure.

A transaction id follows from what is told to which place, so that a repeat is no second message; what may no longer be
told in the old words gets an id that follows from that.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from tocsin_node.links.alert_text import AlertFacts, Kind, bare, cut, still
from tocsin_node.links.alert_thread import Saying
from tocsin_node.services.alarm_way import Way, marked
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.deliveries import DeliveryKind
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport


def told_of(report: IncidentReport, *, kind: Kind, origin: str, reasons: tuple[str, ...]) -> AlertFacts:
    """What an alert may say of a report, to places that may read all of it."""
    severity = report.severity
    facts = AlertFacts(
        kind=kind,
        grade=severity.grade,
        tlp=report.tlp,
        report_id=report.id,
        level=severity.level,
        score=severity.score,
        title=report.name,
        summary=report.description,
        origin=origin,
        systems=report.systems,
        drivers=severity.drivers,
        reasons=reasons,
    )
    # A room is on a homeserver, mail on its way; what names people does not leave the node.
    return bare(facts) if report.personal_data == "present" else facts


def renamed(content: str, txn: str) -> tuple[str, str]:
    """The same message as another one, after so long that the homeserver may have forgotten the first.

    Returns the new transaction id and content (JSON).
    """
    again: dict[str, Any] = json.loads(content)
    fresh = f"{txn[:40]}-{secrets.token_hex(4)}"
    if "m.new_content" not in again:  # to edit a message twice does no harm
        again["body"] = f"(Perhaps for the second time.)\n{again['body']}"
        again["formatted_body"] = f"<p>(Perhaps for the second time.)</p>{again['formatted_body']}"
    return fresh, json.dumps(marked(again, fresh))


def still_of(
    alert: StoredAlert, way: Way, ceiling: str | None, saying: Saying | None = None
) -> tuple[AlertFacts, tuple[str, ...]]:
    """What may be said of a stored alert now, and what tells that it is less than before: nothing if it is not.

    `ceiling`: under which it was said before; None: not yet, or everything that is stored.
    """
    stored = msgspec.json.decode(alert.facts, type=AlertFacts)
    if saying is not None:  # who had signed it when it rang is no news any more, and may be no truth
        stored = msgspec.structs.replace(stored, unwitnessed=False)
    if saying is not None and saying.instead is not None:
        stored = saying.instead
    before = stored if ceiling is None else cut(stored, Tlp(ceiling))
    now = still(before, Tlp(alert.marking) if alert.marking else None, way.ceiling)
    return now, () if now == before else (now.tlp.value, way.ceiling.value)


def said_of(kind: DeliveryKind, saying: Saying | None) -> tuple[str, ...]:
    """What tells a message that follows from the ring, and from what else is said."""
    return () if saying is None else (kind, saying.what)


def txn_of(alert: StoredAlert, facts: AlertFacts, room: str, *more: str) -> str:
    """Follows from what is told to which room: a database put back from a backup does not ring twice either."""
    what: Sequence[object]
    if facts.emergency:
        what = (facts.emergency,)
    elif facts.report_id is not None:
        what = (facts.report_id, facts.ver)
    elif facts.cluster:
        what = (facts.cluster, facts.since)
    else:  # a number may come again after that, for another test
        what = (alert.incident, alert.raised_at.isoformat())
    parts: Sequence[object] = (*what, facts.kind, facts.grade, room, *more)
    if facts.clock:
        parts = (*parts, facts.clock)
    return f"tocsin-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"
