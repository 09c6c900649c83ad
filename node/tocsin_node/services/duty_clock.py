"""The clocks of duties: who is told at 50, 80 and 100 %, and what is noted when a legal date passes.

Each threshold of each clock is told once, also over restarts: that it was told is committed together with the alert.
A clock that is found beyond several thresholds rings once, for the last of them. What is due at one report rings as one
alert. What was due longer ago than alerts go back is noted and rings nobody.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from tocsin_node.links.alert_text import AlertFacts, cut
from tocsin_node.services.alarm_plan import AlarmPlanner, AlertPlan
from tocsin_node.services.duty_book import OPEN, DutyFacts
from tocsin_node.storage import duties, reports
from tocsin_node.storage.duties import Event, StoredDuty
from tocsin_node.storage.pool import Connection
from tocsin_schema.duty import progress
from tocsin_schema.marking import Tlp

THRESHOLDS = (50, 80, 100)
PRIORITY = {50: 3, 80: 2, 100: 1}
TOLD = 5  # duties named in one alert
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Thresholds that a duty's clock has crossed and nobody was told of."""

    duty: StoredDuty
    due: datetime
    percents: tuple[int, ...]

    @property
    def percent(self) -> int:
        """The last one."""
        return self.percents[-1]


def crossings(kept: Sequence[StoredDuty], now: datetime) -> list[Crossing]:
    """What is to be told about the duties of one report, most urgent first."""
    found = []
    for one in kept:
        if not runs(one) or one.start_at is None or one.due_conservative is None:
            continue
        share = progress(one.start_at, one.due_conservative, now)
        percents = tuple(p for p in THRESHOLDS if share >= p / 100 and p not in one.warned)
        if percents:
            found.append(Crossing(one, one.due_conservative, percents))
    return sorted(found, key=lambda crossing: (crossing.due, crossing.duty.id))


def runs(one: StoredDuty) -> bool:
    """Whether the clock of a duty counts: it is open, in force, and the rule or a person still stands by it."""
    return one.state in OPEN and one.in_force and one.standing != "no-longer"


async def tell(
    conn: Connection,
    alarms: AlarmPlanner,
    kept: Sequence[StoredDuty],
    now: datetime,
    *,
    node_id: str,
    org: str,
    history: timedelta,
) -> bool:
    """Tell what the clocks of one report have crossed, and note missed dates, in the caller's transaction.

    Returns whether an alert was recorded: wake the alarms after the commit.
    """
    crossed = crossings(kept, now)
    recent = [one for one in crossed if now - one.due <= history]
    alert_id = None
    if recent:
        ver = await reports.get(conn, recent[0].duty.report_id)
        level = ver.level if ver is not None else 0
        plan = alert_plan(recent, alarms.ceiling, level=level, org=org, ours=recent[0].duty.origin == node_id)
        alert_id = await alarms.record(conn, plan, report_ver=None)
    for one in crossed:
        rang = alert_id if one in recent else None
        for percent in one.percents:
            await duties.warn(conn, one.duty.id, percent, one.due, now=now, alert_id=rang)
        said = f"{one.percent} % of the clock, due {_text(one.due)}"
        await duties.note(conn, one.duty.id, Event(now, "warned", None, None, said))
        logger.warning(
            "duty %d (%s) is at %d %% of its clock, due %s",
            one.duty.id,
            one.duty.regime,
            one.percent,
            _text(one.due),
        )
    for duty in kept:
        if runs(duty) and duty.missed_at is None and duty.due_legal is not None and duty.due_legal <= now:
            await duties.miss(conn, duty.id, now)
            said = f"it was due {_text(duty.due_legal)}"
            await duties.note(conn, duty.id, Event(now, "missed", None, None, said))
            logger.warning("duty %d (%s) was missed: %s", duty.id, duty.regime, said)
    return alert_id is not None


def alert_plan(crossed: Sequence[Crossing], ceiling: Tlp, *, level: int, org: str, ours: bool) -> AlertPlan:
    """The alert for the crossings of one report: its words hold no more than the room may read, and nobody's name."""
    worst = max(crossed, key=lambda one: (one.percent, -one.due.timestamp()))
    first = worst.duty
    more = f" and {len(crossed) - 1} more" if len(crossed) > 1 else ""
    facts = AlertFacts(
        kind="duty",
        grade=first.grade,
        tlp=Tlp(first.tlp),
        report_id=first.report_id,
        title=first.name,
        clock=f"{worst.percent} % has run, due {_text(worst.due)}, duty {first.id}{more}",
        duties=tuple(_owed(one) for one in crossed[:TOLD]),
    )
    return AlertPlan(cut(facts, ceiling), level, org, ours, PRIORITY[worst.percent])


def _owed(crossing: Crossing) -> str:
    facts = msgspec.json.decode(crossing.duty.facts, type=DutyFacts)
    certain = "" if crossing.duty.standing == "applies" else " (possible)"
    what = f"{facts.title}, {facts.stage_title.lower()}, to {facts.recipient}"
    return f"{crossing.percent} %: {what}, due {_text(crossing.due)}{certain}"


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
