"""Whether a report rings: pure, from the report, what was known before, and the settings.

1. A withdrawn report tells those whom it rang.
2. Imminent risk to life always rings.
3. The chosen grades (I and II unless set otherwise) ring at once.
4. Grade III rings while the incident goes on, when it was a serious hazard, when other systems are likely
   affected in the same way, or when a report of our own starts a legal clock of 72 hours or less; or always,
   or never, as set.
5. What is long over does not ring: public records and old cases are shared by the hundred. An incident is history
when the newest of its times (occurred, detected, known) lies further back than set, unless it goes on.
6. A new version rings again only when the grade rose. If no version rang yet, it rings as a new one would.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self

from tocsin_node.services.organisation import Clock
from tocsin_node.settings.alerting import AlertSettings
from tocsin_schema import times
from tocsin_schema.report import IncidentReport

TIMES = ("occurred_start", "occurred_end", "detected_at", "aware_at", "causal_link_at")
RANK = {"none": 0, "IV": 1, "III": 2, "II": 3, "I": 4}
RISK_TO_LIFE = "somebody may die soon"
SHORT_CLOCK = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Ring:
    """That it rings, and why, in words.

    `only`: "new" rings unless an earlier version did; "rung" only if one did. That is known where alerts are
    kept.
    """

    kind: Literal["raise", "escalate", "withdrawn"]
    reasons: tuple[str, ...]
    only: Literal["always", "new", "rung"] = "always"
    urgent: bool = False


def _no_clock(_report: IncidentReport, _now: datetime) -> timedelta | None:
    return None


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """The thresholds; `clock` is the shortest legal clock that a report of our own starts."""

    grades: frozenset[str]
    grade_iii: Literal["profile", "always", "never"]
    grade_rise: bool
    withdrawn: bool
    received: bool
    history: timedelta
    clock: Clock = _no_clock

    @classmethod
    def from_settings(cls, settings: AlertSettings, clock: Clock = _no_clock) -> Self:
        """The rule that the settings describe."""
        return cls(
            frozenset(settings.grades),
            settings.grade_iii,
            settings.grade_rise,
            settings.withdrawn,
            settings.received,
            timedelta(days=settings.history_days),
            clock,
        )

    def decide(
        self, report: IncidentReport, *, previous_grade: str | None, received: bool, now: datetime
    ) -> Ring | None:
        """Whether `report` rings at `now`.

        `previous_grade`: of the version that it replaces; None when it is the first here. `received`: from a
        peer.
        """
        if received and not self.received:
            return None
        if report.revoked:
            ring = Ring("withdrawn", ("the report was withdrawn",), only="rung")
            return ring if self.withdrawn and previous_grade is not None else None
        if self._is_history(report, now):
            return None
        reasons = self._reasons(report)
        if not reasons and not received:
            reasons = self._short_clock(report, now)
        if not reasons:
            return None
        grade = report.severity.grade
        urgent = grade == "I" or reasons[0] == RISK_TO_LIFE
        if previous_grade is None:
            return Ring("raise", reasons, urgent=urgent)
        if self.grade_rise and RANK[grade] > RANK.get(previous_grade, 0):
            return Ring(
                "escalate", (f"the grade rose from {previous_grade} to {grade}", *reasons), urgent=urgent
            )
        return Ring("raise", reasons, only="new", urgent=urgent)

    def why_quiet(self, report: IncidentReport, *, received: bool, now: datetime) -> str:
        """Why `report`, which nothing rang for yet, does not ring: by which setting or fact."""
        grade = report.severity.grade
        if received and not self.received:
            return "alerts.received is off: reports of peers do not ring"
        if report.revoked:
            return "it was withdrawn, and nobody was rung for it"
        if self._is_history(report, now):
            return f"it was last heard of more than {self.history.days} days ago (alerts.history_days)"
        if grade == "III" and self.grade_iii == "profile":
            return (
                "grade III rings only while it goes on, as a serious hazard, when other systems are likely affected, "
                "or with a legal clock of 72 hours or less (alerts.grade_iii)"
            )
        return f"grade {grade} is none of alerts.grades ({', '.join(sorted(self.grades)) or 'none'})"

    def _reasons(self, report: IncidentReport) -> tuple[str, ...]:
        found = report.extension.get("flags")
        flags = found if isinstance(found, list | tuple) else ()
        grade = report.severity.grade
        reasons = []
        if "imminent-risk-to-life" in flags:
            reasons.append(RISK_TO_LIFE)
        if grade in self.grades:
            reasons.append(f"grade {grade}")
        elif grade == "III" and self.grade_iii == "always":
            reasons.append("grade III")
        elif grade == "III" and self.grade_iii == "profile":
            if "ongoing" in flags:
                reasons.append("grade III and it goes on")
            if report.severity.oecd_class == "serious-hazard":
                reasons.append("grade III and a serious hazard")
            if "transferable" in flags:
                reasons.append("grade III and other systems are likely affected")
        return tuple(reasons)

    def _short_clock(self, report: IncidentReport, now: datetime) -> tuple[str, ...]:
        """Asked last, since it reckons with every rule of law."""
        if report.severity.grade != "III" or self.grade_iii != "profile":
            return ()
        span = self.clock(report, now)
        if span is None or span > SHORT_CLOCK:
            return ()
        return (f"grade III and a legal clock of {span / timedelta(hours=1):g} hours",)

    def _is_history(self, report: IncidentReport, now: datetime) -> bool:
        found = report.extension.get("flags")
        if isinstance(found, list | tuple) and not {"ongoing", "imminent-risk-to-life"}.isdisjoint(found):
            return False
        known = [at for name in TIMES if (at := times.parse(report.extension.get(name))) is not None]
        return bool(known) and now - max(known) > self.history
