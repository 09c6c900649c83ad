"""An emergency becomes an alert here, and what follows becomes messages in that alert's thread.

Both for our own calls and for those of peers, inside the transaction that stores them. A drill goes every way that an
emergency goes, and says that it is one.
"""

import msgspec

from tocsin_federation.calls import Step
from tocsin_node.links.alert_text import NAME_BYTES, AlertFacts, bare, foreign
from tocsin_node.links.alert_thread import CALL, Saying
from tocsin_node.links.emergency_words import said
from tocsin_node.services.alarm_plan import PRIORITIES, AlarmPlanner, AlertPlan
from tocsin_node.services.pace import URGENT
from tocsin_node.storage import emergencies, reports
from tocsin_node.storage.emergencies import StoredEmergency
from tocsin_node.storage.pool import Connection
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp, strictest

GRADE = "I"
TOLD_A_DAY = 12  # calls of one emergency that are told to people in a day; a stand-down always is
_STEPS = msgspec.json.Decoder(tuple[Step, ...])


async def ring(
    conn: Connection, alarms: AlarmPlanner, emergency: StoredEmergency, *, caller: str, ours: bool
) -> None:
    """Ring our people for an emergency that was stored in this transaction, unless it came in silence.

    `caller`: who calls, as we call it.
    """
    if emergency.rang in {"silent", "late"}:
        return
    facts, level = await _facts(conn, emergency, caller=caller, ours=ours)
    priority = PRIORITIES[GRADE] if facts.ordinary else URGENT
    plan = AlertPlan(alarms.cut(facts), level, caller, ours, priority)
    await alarms.record(conn, plan, report_ver=emergency.ver)


async def tell(
    conn: Connection, alarms: AlarmPlanner, emergency: StoredEmergency, *, caller: str, ours: bool
) -> None:
    """Tell those whom the emergency rang what its newest call says, in the same thread."""
    if emergency.alert_id is None:
        return
    if emergency.open and await emergencies.said_today(conn, emergency.id) > TOLD_A_DAY:
        return
    facts, _ = await _facts(conn, emergency, caller=caller, ours=ours)
    who = foreign(caller, NAME_BYTES)
    line = f"update {emergency.seq - 1} by {who}." if emergency.open else f"over: stood down by {who}."
    words = said(line, drill=emergency.drill)
    anew = f" of generation {emergency.gen}" if emergency.gen and emergency.gen > 1 and not ours else ""
    saying = Saying(
        what=f"call {emergency.seq}{anew}", line=words, facts=True, instead=facts, seq=emergency.seq
    )
    await alarms.say(conn, emergency.alert_id, CALL, saying)


async def again(conn: Connection, alarms: AlarmPlanner, emergency: StoredEmergency, *, caller: str) -> None:
    """Tell those whom an emergency rang that it is open after all: a call stands, and people are waited for again."""
    if emergency.alert_id is None:
        return
    facts, _ = await _facts(conn, emergency, caller=caller, ours=False)
    line = said(
        f"open: what {foreign(caller, NAME_BYTES)} said as call {emergency.seq} stands.",
        drill=emergency.drill,
    )
    what = f"open {emergency.seq} {emergency.sha256.hex()[:16]}"
    saying = Saying(what=what, line=line, facts=True, instead=facts)
    ways = await emergencies.ways(conn, emergency.alert_id)  # what has not rung there before rings now
    await alarms.say(conn, emergency.alert_id, CALL, saying, channels=ways)
    await alarms.settle(conn, emergency.alert_id)


async def tell_disputed(
    conn: Connection, alarms: AlarmPlanner, emergency: StoredEmergency, *, caller: str
) -> None:
    """Tell those whom an emergency rang how it stands after its caller has ended the log that some call stood in.

    All of its calls are disputed; or an earlier one stands again, or does after all.
    """
    if emergency.alert_id is None:
        return
    if not emergency.disputed and emergency.open:
        await again(conn, alarms, emergency, caller=caller)
        return
    facts, _ = await _facts(conn, emergency, caller=caller, ours=False)
    who = foreign(caller, NAME_BYTES)
    line = f"over: stood down by {who}."
    if emergency.disputed:
        line = f"disputed: {who} has ended the log that this was called in, and vouches for it no longer."
    saying = Saying(
        what=f"disputed {emergency.disputed} {emergency.seq}",
        line=said(line, drill=emergency.drill),
        facts=True,
        instead=facts,
    )
    await alarms.say(conn, emergency.alert_id, CALL, saying)


async def tell_answer(
    conn: Connection, alarms: AlarmPlanner, emergency: StoredEmergency, *, who: str, word: str, count: int
) -> None:
    """Tell those whom our emergency rang that somebody has answered. Nobody is woken for that."""
    if emergency.alert_id is None:
        return
    called = len(emergency.audience)
    answered = f" ({count} of {called} have answered)" if called else ""
    line = f"{foreign(who, NAME_BYTES)} answers: {word.replace('-', ' ')}{answered}."
    saying = Saying(what=f"answer {who} {word} {count}", line=said(line, drill=emergency.drill))
    await alarms.say(conn, emergency.alert_id, "notice", saying)


def steps_of(emergency: StoredEmergency) -> tuple[Step, ...]:
    """The response steps, as the newest call has them."""
    return _STEPS.decode(emergency.steps)


async def _facts(
    conn: Connection, emergency: StoredEmergency, *, caller: str, ours: bool
) -> tuple[AlertFacts, int]:
    """What its alert may say, before any channel's ceiling, and how severe the report is."""
    stored = await reports.get(conn, emergency.report_id)
    assert stored is not None, "an emergency is about a report that is held"
    report = check_bundle(stored.bundle).report  # None: an older program took it, and this one would not
    steps = steps_of(emergency) if emergency.open else ()
    facts = AlertFacts(
        kind="emergency",
        grade=GRADE,
        tlp=strictest(Tlp(emergency.tlp), Tlp(stored.tlp)),
        report_id=emergency.report_id,
        ver=emergency.ver,
        level=stored.level,
        score=stored.score,
        title=stored.name,
        systems=report.systems if report is not None else (),
        emergency=emergency.id,
        drill=emergency.drill,
        ordinary=emergency.rang == "ordinary",
        called_here=ours,
        over=not emergency.open,
        disputed=emergency.disputed,
        caller=caller,
        call=emergency.reason,
        steps=tuple(step.name for step in steps),
        step_texts=tuple(step.description for step in steps),
    )
    # A room is on a homeserver: what names people does not leave the node.
    private = report is None or report.personal_data == "present"
    return (bare(facts) if private else facts), stored.level
