"""Alerts as the API shows them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import msgspec

from tocsin_node.health import utc_now
from tocsin_node.links.alert_text import AlertFacts, title_of
from tocsin_node.storage.alerts import StoredAck, StoredAlert
from tocsin_node.storage.deliveries import StoredDelivery

TEST_OPEN = timedelta(hours=1)


def alert_as_json(
    alert: StoredAlert, acks: Sequence[StoredAck], messages: Sequence[StoredDelivery]
) -> dict[str, Any]:
    """An alert with what was said about it and how far its messages got, picked from what is given.

    `title` is what the room sees. It is open until somebody acknowledges it, here or, if the report is ours, at a peer
    that got it; a test is closed once the room has it, and after an hour.
    """
    said = [a for a in acks if a.alert_id == alert.id or _peer_means(a, alert)]
    taken_up = any(a.revoked_at is None for a in said)
    closed = alert.kind == "test" and (
        utc_now() - alert.raised_at > TEST_OPEN
        or any(m.alert_id == alert.id and m.echoed_at is not None for m in messages)
    )
    facts = msgspec.json.decode(alert.facts, type=AlertFacts)
    return {
        "id": alert.id,
        "report_id": alert.report_id,
        "ver": alert.ver,
        "kind": alert.kind,
        "grade": alert.grade,
        "level": alert.level,
        "tlp": alert.tlp,
        "title": "Test of the alarm" if alert.kind == "test" else title_of(facts),
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


def _peer_means(ack: StoredAck, alert: StoredAlert) -> bool:
    """Who acknowledged a version knew those before it."""
    if ack.node is None or ack.report_id != alert.report_id or ack.ver is None or alert.ver is None:
        return False
    return ack.ver >= alert.ver


def ack_as_json(ack: StoredAck) -> dict[str, Any]:
    """An acknowledgement; `node` is the peer that it came from."""
    names = ("by", "via", "node", "ver", "note", "at", "revoked_at")
    return {name: getattr(ack, name) for name in names}
