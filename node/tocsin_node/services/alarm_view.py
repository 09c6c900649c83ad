"""Alerts as the API shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tocsin_node.links.alert_text import AlertFacts, still, title_of
from tocsin_node.services.alarm_way import ROOMS
from tocsin_node.storage.acts import StoredAct
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.deliveries import StoredDelivery
from tocsin_node.storage.followups import Followup
from tocsin_node.storage.silences import StoredSilence
from tocsin_schema.marking import Tlp

TEST_OPEN = timedelta(hours=1)
ANSWERS = frozenset({"ack", "take", "resolve"})


def alert_as_json(
    alert: StoredAlert,
    acts: Sequence[StoredAct],
    messages: Sequence[StoredDelivery],
    followup: Followup | None,
    ceiling: Tlp,
    silenced: Mapping[str, StoredSilence],
    now: datetime,
) -> dict[str, Any]:
    """An alert with what was done about it and how far its messages got, picked from what is given.

    `title` is what a room of that `ceiling` may see now: the marking is the report's own of today, if that is
    stricter than when the alert was raised. It is open until somebody acknowledges it, here or, if the report is
    ours, at a peer that got it; resolved once somebody here says that it is over; a test is closed once the room has
    it, and after an hour, an emergency once it is over, and what its author disputes for as long as that is so.
    """
    said = [a for a in acts if a.alert_id == alert.id or _peer_means(a, alert)]
    standing = [a for a in said if a.stands]
    ours = [a for a in standing if a.node is None]
    taken_up = any(a.kind in ANSWERS for a in standing)
    resolved = any(a.kind == "resolve" for a in ours)
    muted = max((a for a in ours if a.kind == "mute"), key=lambda a: (a.at, a.id), default=None)
    taken = max((a for a in ours if a.kind == "take"), key=lambda a: (a.at, a.id), default=None)
    closed = alert.over or (
        alert.kind == "test"
        and (
            now - alert.raised_at > TEST_OPEN or any(m.alert_id == alert.id and _arrived(m) for m in messages)
        )
    )
    marking = Tlp(alert.marking) if alert.marking else None
    facts = still(msgspec.json.decode(alert.facts, type=AlertFacts), marking, ceiling)
    return {
        "id": alert.id,
        "report_id": alert.report_id or facts.report_id,
        "ver": alert.ver or facts.ver,
        "emergency": facts.emergency or None,
        "drill": facts.drill,
        "incident": alert.incident,
        "kind": alert.kind,
        "grade": alert.grade,
        "level": alert.level,
        "tlp": facts.tlp.value,
        "title": _title(alert.kind, facts),
        "origin": alert.origin,
        "raised_at": alert.raised_at,
        "state": "resolved" if resolved else "acknowledged" if taken_up else "closed" if closed else "open",
        "silenced": _silence(alert, messages, silenced),
        "assigned": None if taken is None or resolved else taken.by,
        "muted_until": muted.until if muted is not None and muted.until and muted.until > now else None,
        "unanswered": any(a.kind == "unanswered" for a in ours),
        "disputed": alert.disputed,
        "next_escalation_at": None if followup is None or alert.disputed else followup.next_at,
        "acknowledgements": [act_as_json(a) for a in said if a.kind == "ack"],
        "history": [act_as_json(a) for a in said],
        "deliveries": [
            {name: value for name, value in asdict(m).items() if name != "alert_id"}
            for m in messages
            if m.alert_id == alert.id
        ],
    }


def _silence(
    alert: StoredAlert, messages: Sequence[StoredDelivery], silenced: Mapping[str, StoredSilence]
) -> dict[str, Any] | None:
    """The silence that keeps it from ringing, by the reason that its messages are held for."""
    for message in messages:
        silence = silenced.get(message.held or "")
        if (
            message.alert_id == alert.id
            and message.state == "pending"
            and silence is not None
            and silence.active
        ):
            return {"id": silence.id, "by": silence.by, "reason": silence.reason, "until": silence.until}
    return None


def _arrived(message: StoredDelivery) -> bool:
    """Only a room can be read back; elsewhere that it was taken is all there is to know."""
    return message.echoed_at is not None or (message.channel not in ROOMS and message.accepted_at is not None)


def _title(kind: str, facts: AlertFacts) -> str:
    if kind == "test":
        return "Test of the alarm"
    if kind == "digest":
        return "Many alerts at once, told together"
    return f"{facts.clock}: {title_of(facts)}" if kind == "duty" else title_of(facts)


def _peer_means(ack: StoredAct, alert: StoredAlert) -> bool:
    """Who acknowledged a version knew those before it."""
    if ack.node is None or ack.report_id != alert.report_id or ack.ver is None or alert.ver is None:
        return False
    return ack.ver >= alert.ver


def act_as_json(act: StoredAct) -> dict[str, Any]:
    """An act; `node` is the peer that it came from. `until` of a mute, `level` of an escalation."""
    names = (
        "id",
        "kind",
        "by",
        "via",
        "node",
        "ver",
        "note",
        "at",
        "until",
        "level",
        "revoked_at",
        "revoked_by",
        "disputed",
    )
    return {name: getattr(act, name) for name in names}
