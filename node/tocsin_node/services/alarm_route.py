"""The way that an alert about a report would take if the report came now, and why it would not. Nothing is written.

The same rule, the same gate and the same words as for a real one; what is not known before it is sent (whether a
fellow tells it first) is left out.
"""

from collections.abc import Mapping
from typing import Any

from tocsin_node.links.alert_text import cut
from tocsin_node.services.alarm_gate import Circumstances, Digested, Hold, Join, judge
from tocsin_node.services.alarm_gatekeeper import Gatekeeper, as_urgent
from tocsin_node.services.alarm_plan import AlarmPlanner, AlertPlan
from tocsin_node.services.alarm_way import Telling, Way
from tocsin_node.services.pace import URGENT
from tocsin_node.storage import grouping, silences
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.silences import RANKS, Subject
from tocsin_schema.facets import facets_of
from tocsin_schema.report import IncidentReport

WORDS = {
    "flood-room": "the room has had its fill: it is told in a digest",
    "flood-origin": "its organisation has had its fill in this room: it is told in a digest",
}


async def explain(
    conn: Connection,
    planner: AlarmPlanner,
    report: IncidentReport,
    *,
    node_id: str,
    origin: str,
    ours: bool,
) -> dict[str, Any]:
    """What would ring, where, in which words, when and whom; and why not. `node_id`, `origin`: who filed it."""
    plan = planner.plan(report, origin=origin, ours=ours, previous_grade=None)
    if plan is None:
        why = planner.why_quiet(report, ours=ours)
        return {"rings": False, "why": [why], "grade": report.severity.grade, "channels": []}
    keys = facets_of(report).keys
    subject = Subject(report.id, node_id, keys, RANKS[report.severity.grade])
    channels = [await _channel(conn, planner, way, plan, subject) for way in planner.ways]
    return {
        "rings": any(each["goes"] for each in channels),
        "why": [*plan.reasons, *([] if channels else ["no channel is set up"])],
        "grade": report.severity.grade,
        "channels": channels,
    }


async def _channel(
    conn: Connection, planner: AlarmPlanner, way: Way, plan: AlertPlan, subject: Subject
) -> Mapping[str, Any]:
    facts, limits = cut(plan.facts, way.ceiling), planner.timing.grouping
    place = {"channel": way.channel, "place": way.place}
    if not way.admits(facts, plan.priority):
        why = f"{way.channel}.min_grade is {way.min_grade}"
        return {**place, "goes": False, "why": why, "after_s": 0.0, "mentions": [], "text": ""}
    keeper, urgent = Gatekeeper(planner, way), plan.priority == URGENT
    verdict = judge(
        Circumstances(
            kind=facts.kind,
            urgent=urgent,
            caps=way.digest is not None,
            follows=await grouping.was_told(conn, facts.report_id or "", way.channel),
            silence=await silences.matching(conn, as_urgent(subject, urgent=urgent)),
            inhibitor=await keeper.inhibitor(conn, facts.kind, plan.level, subject.keys),
            told=await grouping.told(conn, way.channel, way.place, plan.origin, limits.flood_window_s),
        ),
        limits,
    )
    why, goes = "", True
    match verdict:
        case Hold(until=until, why=silence):
            why, goes = f"{silence} until {until.isoformat(timespec='minutes')}", False
        case Digested(why=which):
            why, goes = WORDS[which], False
        case Join(alert_id=other):
            why, goes = f"it is told in the thread of alert {other}, and rings nobody", False
    mention = await planner.on_call(conn)
    told = Telling(facts, 0, facts.report_id or "", planner.present_time(), "explained", mention=mention)
    content = way.compose(told)
    mentions = content.get("m.mentions", {})
    return {
        **place,
        "goes": goes,
        "why": why,
        "after_s": planner.after_s(way, facts, plan.priority),
        "mentions": [*mentions.get("user_ids", []), *(["@room"] if mentions.get("room") else [])],
        "text": content.get("body", content.get("text", "")),
    }
