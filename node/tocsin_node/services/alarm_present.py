"""Messages whose words are found when they go out: how an incident is now, and what a digest tells.

Their transaction id follows from what they say, so that the same words are one message however often they are tried,
and other words another.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from tocsin_node.links.alert_text import NAME_BYTES, AlertFacts, cut, foreign, person
from tocsin_node.links.alert_thread import Saying
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.alarm_way import Digest, Telling, Way, marked
from tocsin_node.services.alarm_words import still_of, told_of
from tocsin_node.storage import acts, alerts, grouping, reports
from tocsin_node.storage.acts import StoredAct
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.deliveries import Job
from tocsin_node.storage.pool import Connection
from tocsin_schema.check import check_bundle

NAMED = 5


async def present(
    conn: Connection, planner: AlarmPlanner, way: Way, job: Job, about: StoredAlert
) -> tuple[str, str] | None:
    """Transaction id and content (JSON) of an update or a digest; None: there is nothing to say (any more).

    `about`: the alert that the message belongs to.
    """
    if job.kind == "digest":
        return await _digest(conn, planner, way, job, about)
    return await _update(conn, way, job, about)


async def _digest(
    conn: Connection, planner: AlarmPlanner, way: Way, job: Job, flood: StoredAlert
) -> tuple[str, str] | None:
    await grouping.take_turn(conn, way.channel, job.room)  # nobody adds to it from here on
    told = await alerts.many(conn, await grouping.digested(conn, job.id))
    if not told or way.digest is None:
        return None
    incidents = [(alert.id, still_of(alert, way, None)[0]) for alert in told]
    limits = planner.timing.grouping
    mention = await planner.called(conn, flood)
    digest = Digest(
        incidents,
        alert_id=flood.id,
        raised_at=flood.raised_at,
        txn="",
        first=job.thread is None,
        limits=f"More than {limits.flood_room} new incidents in {limits.flood_window_s / 60:g} minutes, or "
        f"{limits.flood_origin} of one organisation: these were held back and ring nobody one by one.",
        mention=mention,
    )
    return _named(way.place, way.digest(digest), "digest")


async def _update(conn: Connection, way: Way, job: Job, root: StoredAlert) -> tuple[str, str] | None:
    newest = await grouping.newest(conn, root.incident)
    alert = None if newest is None else await alerts.get(conn, newest)
    if alert is None or job.edits is None:
        return None
    facts = await _facts_now(conn, alert, way)
    acks = [act for act in await acts.of_alerts(conn, [alert]) if act.kind == "ack" and _stands(act, alert)]
    state = "withdrawn" if facts.kind == "withdrawn" else "acknowledged" if acks else "open"
    saying = Saying(what="now", line=_line(acks), facts=True) if acks else None
    told = Telling(
        cut(facts, way.ceiling), alert.id, alert.incident, alert.raised_at, "", "update", saying, state
    )
    content = way.compose(told)
    if content.get("body", content.get("text")) == await grouping.last_shown(conn, job.edits):
        return None
    return _named(f"{job.root_txn}", content, state)


async def _facts_now(conn: Connection, alert: StoredAlert, way: Way) -> AlertFacts:
    """What may be said of the incident as its newest version has it; without one that can be read, as it was stored."""
    stored, _ = still_of(alert, way, None)
    held = None if alert.report_id is None else await reports.get(conn, alert.report_id)
    report = None if held is None else check_bundle(held.bundle).report
    if held is None or report is None:
        return stored
    kind = "withdrawn" if held.state == "withdrawn" else stored.kind
    facts = told_of(report, kind=kind, origin=alert.origin, reasons=_reasons(alert))
    disputed = held.disputed and kind in {"raise", "escalate"}
    return msgspec.structs.replace(facts, ver=held.ver, over=disputed, disputed=disputed)


def _reasons(alert: StoredAlert) -> tuple[str, ...]:
    return msgspec.json.decode(alert.facts, type=AlertFacts).reasons


def _stands(ack: StoredAct, alert: StoredAlert) -> bool:
    if not ack.stands:
        return False
    if ack.node is None:
        return ack.alert_id == alert.id
    return ack.report_id == alert.report_id and (ack.ver or 0) >= (alert.ver or 0)


def _line(acks: Sequence[StoredAct]) -> str:
    """Who has taken it up. Our own people go by the names they have in the room; peers by their organisation's."""
    names = list(dict.fromkeys((person if ack.node is None else foreign)(ack.by, NAME_BYTES) for ack in acks))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"✔ ACKNOWLEDGED by {', '.join(names[:NAMED])}{more}"


def _named(place: str, content: dict[str, Any], *more: str) -> tuple[str, str]:
    words = json.dumps([place, content.get("body", content.get("text")), *more])
    txn = f"tocsin-{hashlib.sha256(words.encode()).hexdigest()[:32]}"
    return txn, json.dumps(marked(content, txn) if "org.tocsin.alert" in content else content)
