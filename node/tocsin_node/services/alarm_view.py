"""Alerts as the API shows them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import msgspec

from tocsin_node.health import utc_now
from tocsin_node.links.alert_text import AlertFacts, still, title_of
from tocsin_node.services.alarm_way import ROOMS
from tocsin_node.storage.alerts import StoredAck, StoredAlert
from tocsin_node.storage.deliveries import StoredDelivery
from tocsin_schema.marking import Tlp

TEST_OPEN = timedelta(hours=1)


def alert_as_json(
    alert: StoredAlert, acks: Sequence[StoredAck], messages: Sequence[StoredDelivery], ceiling: Tlp
) -> dict[str, Any]:
    """An alert with what was said about it and how far its messages got, picked from what is given.

    `title` is what a room of that `ceiling` may see now: the marking is the report's own of today, if that is
    stricter than when the alert was raised. It is open until somebody acknowledges it, here or, if the report is
    ours, at a peer that got it; a test is closed once the room has it, and after an hour.
    """
    said = [a for a in acks if a.alert_id == alert.id or _peer_means(a, alert)]
    taken_up = any(a.revoked_at is None for a in said)
    closed = alert.kind == "test" and (
        utc_now() - alert.raised_at > TEST_OPEN
        or any(m.alert_id == alert.id and _arrived(m) for m in messages)
    )
    marking = Tlp(alert.marking) if alert.marking else None
    facts = still(msgspec.json.decode(alert.facts, type=AlertFacts), marking, ceiling)
    return {
        "id": alert.id,
        "report_id": alert.report_id,
        "ver": alert.ver,
        "incident": alert.incident,
        "kind": alert.kind,
        "grade": alert.grade,
        "level": alert.level,
        "tlp": facts.tlp.value,
        "title": _title(alert.kind, facts),
        "origin": alert.origin,
        "raised_at": alert.raised_at,
        "state": "acknowledged" if taken_up else "closed" if closed else "open",
        "acknowledgements": [ack_as_json(a) for a in said],
        "deliveries": [
            {name: value for name, value in asdict(m).items() if name != "alert_id"}
            for m in messages
            if m.alert_id == alert.id
        ],
    }


def _arrived(message: StoredDelivery) -> bool:
    """Only a room can be read back; elsewhere that it was taken is all there is to know."""
    return message.echoed_at is not None or (message.channel not in ROOMS and message.accepted_at is not None)


def _title(kind: str, facts: AlertFacts) -> str:
    if kind == "test":
        return "Test of the alarm"
    return f"{facts.clock}: {title_of(facts)}" if kind == "duty" else title_of(facts)


def _peer_means(ack: StoredAck, alert: StoredAlert) -> bool:
    """Who acknowledged a version knew those before it."""
    if ack.node is None or ack.report_id != alert.report_id or ack.ver is None or alert.ver is None:
        return False
    return ack.ver >= alert.ver


def ack_as_json(ack: StoredAck) -> dict[str, Any]:
    """An acknowledgement; `node` is the peer that it came from."""
    names = ("by", "via", "node", "ver", "note", "at", "revoked_at")
    return {name: getattr(ack, name) for name in names}
