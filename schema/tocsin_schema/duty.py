"""Duties: which regimes ask for a report about an incident, by when, why, and how sure that is. Pure.

Facts, the organisation and a time give every matching duty, shortest due first. The same facts give the same answer,
so whoever keeps duties reckons anew when facts change and compares. What cannot be decided is `possible`, with the
facts that would decide; a rule that is not in force yet is shown and says so. A rule proposes; a named person decides.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from tocsin_schema import times
from tocsin_schema.canonical import parse_strict
from tocsin_schema.clock import COUNTING_VERIFIED, due
from tocsin_schema.ids import SYSTEM_EXTENSION
from tocsin_schema.organisation import Organisation
from tocsin_schema.predicate import Facts, Verdict, judge
from tocsin_schema.regime import (
    CLOCK_STARTS,
    DONE,
    LOCAL,
    Effective,
    Regime,
    Regimes,
    Stage,
    followed,
    regimes,
)
from tocsin_schema.report import IncidentReport

MAX_REPEATS: Final = 130  # ten years of one every four weeks
# Facts without which the clock is taken to start at the earliest time that the organisation can have known.
ASSUMED_FROM_KNOWING: Final = frozenset(("aware_at", "detected_at", "causal_link_at", "occurred_start"))
AI_ACT_TERMS: Final = {letter: f"eu-ai-act-3-49-{letter}" for letter in "abcd"}

Key = tuple[str, str, int]  # regime, stage, which repetition (from 1)
Times = Mapping[Key, datetime]


class Deadline(msgspec.Struct, frozen=True):
    """One report that is owed. Times are aware UTC.

    `standing`: "running" has both dates; "waiting" has none until what `waits_for` says is known; "unclocked" is
    asked for in words alone. `assumed` says what was taken for a start that is not stated.
    """

    stage: str
    nth: int
    title: str
    recipient: str
    wording: str
    standing: Literal["running", "waiting", "unclocked"]
    start_at: datetime | None = None
    start_from: str = ""
    assumed: str = ""
    waits_for: str = ""
    due_conservative: datetime | None = None
    due_legal: datetime | None = None


class Duty(msgspec.Struct, frozen=True):
    """A regime that applies, or may. `doubts`: everything that makes it less than certain, in words."""

    regime: str
    title: str
    standing: Literal["applies", "possible"]
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    in_force: bool
    effective_from: date | None
    verified: bool
    doubts: tuple[str, ...]
    deadlines: tuple[Deadline, ...]

    @property
    def urgency(self) -> tuple[int, datetime | None]:
        """For sorting: what is asked at once, then what is due first, then what waits."""
        dues = [d.due_conservative for d in self.deadlines if d.due_conservative is not None]
        if any(d.standing == "unclocked" for d in self.deadlines[:1]):
            return (0, None)
        return (1, min(dues)) if dues else (2, None)


def facts_of(report: IncidentReport) -> Facts:
    """The facts of a checked report: the incident's own, and those of the systems that it names."""
    used = {use["system_ref"] for use in report.extension.get("systems", ())}
    objects = parse_strict(report.raw)["objects"]
    systems = [
        obj.get("extensions", {}).get(SYSTEM_EXTENSION, {}) for obj in objects if obj.get("id") in used
    ]
    return Facts(report.extension, systems, report.created)


def duties_of(
    facts: Facts,
    organisation: Organisation,
    now: datetime,
    *,
    done: Times | None = None,
    stated: Times | None = None,
    known: Regimes | None = None,
) -> tuple[Duty, ...]:
    """Every regime that applies or may, shortest due first.

    `done`: when reports were made. `stated`: starts of clocks that a person has set, which win over the facts.
    """
    reckoning = _Reckoning(facts, organisation, now, done or {}, stated or {}, known or regimes())
    found = [
        duty for regime in reckoning.known.by_id.values() if (duty := reckoning.duty(regime)) is not None
    ]
    return tuple(sorted(found, key=_order))


def triggers(facts: Facts, organisation: Organisation, known: Regimes | None = None) -> dict[str, Verdict]:
    """What the facts say about each limb of Article 3(49) of the AI Act: a, b, c and d.

    The rule proposes. For (c) it needs a person's word that Union law was infringed; for all, a person confirms.
    """
    terms = (known or regimes()).terms
    return {letter: judge(terms[name], facts, organisation, terms) for letter, name in AI_ACT_TERMS.items()}


def _order(duty: Duty) -> tuple[int, float, str]:
    rank, when = duty.urgency
    return rank, when.timestamp() if when else 0.0, duty.regime


class _Reckoning:
    """One run over all regimes; regimes that follow others look at their dates."""

    def __init__(
        self,
        facts: Facts,
        organisation: Organisation,
        now: datetime,
        done: Times,
        stated: Times,
        known: Regimes,
    ) -> None:
        self.facts, self.organisation, self.now = facts, organisation, now
        self.done, self.stated, self.known = done, stated, known
        self._verdicts: dict[str, Verdict] = {}

    def verdict(self, regime: Regime) -> Verdict:
        if regime.id not in self._verdicts:
            self._verdicts[regime.id] = judge(
                regime.applies_if, self.facts, self.organisation, self.known.terms
            )
        return self._verdicts[regime.id]

    def duty(self, regime: Regime) -> Duty | None:
        verdict = self.verdict(regime)
        if verdict.holds is False:
            return None
        deadlines: list[Deadline] = []
        missing = list(verdict.missing)
        for stage in regime.stages:
            asked = self._asked(stage)
            if asked.holds is False:
                continue
            missing += [f"{stage.title}: {what}" for what in asked.missing]
            deadlines += self._deadlines(regime, stage)
        if not deadlines:
            return None
        since, note, in_force = self._in_force(regime, deadlines)
        return Duty(
            regime=regime.id,
            title=regime.title,
            standing="applies" if verdict.holds else "possible",
            reasons=verdict.reasons,
            missing=tuple(missing),
            in_force=in_force,
            effective_from=since,
            verified=regime.verified,
            doubts=tuple(_doubts(regime, note)),
            deadlines=tuple(deadlines),
        )

    def _asked(self, stage: Stage) -> Verdict:
        if stage.applies_if is None:
            return Verdict(holds=True)
        return judge(stage.applies_if, self.facts, self.organisation, self.known.terms)

    def _in_force(self, regime: Regime, deadlines: list[Deadline]) -> tuple[date | None, str, bool]:
        """From when, a note about that, and whether it held when the clock started."""
        open_ = [one for one in regime.effective if self._concerns(one)]
        if not open_:
            return None, "it is not in force, and from when it will be is not known", False
        first = min(open_, key=lambda one: one.since or date.min)
        began = next((d.start_at for d in deadlines if d.start_at is not None), self.now)
        in_force = first.since is None or began.date() >= first.since
        note = "" if in_force else f"it is in force only from {first.since} on"
        return first.since, "; ".join(filter(None, (note, first.note))), in_force

    def _concerns(self, effective: Effective) -> bool:
        """Whether a date of effect may be this incident's."""
        if effective.when is None:
            return True
        return judge(effective.when, self.facts, self.organisation, self.known.terms).holds is not False

    def _deadlines(self, regime: Regime, stage: Stage) -> list[Deadline]:
        if stage.within is None:
            start, origin, assumed, _ = self._start(regime, stage, 1)
            more = {"start_at": start, "start_from": origin, "assumed": assumed}
            return [self._deadline(regime, stage, 1, "unclocked", **more)]
        found: list[Deadline] = []
        for nth in range(1, MAX_REPEATS + 1 if stage.repeats else 2):
            one = self._one(regime, stage, nth, found[-1] if found else None)
            if one is None:
                break
            found.append(one)
            over = one.due_conservative is not None and one.due_conservative <= self.now
            if not over and (regime.id, stage.id, nth) not in self.done:
                break
        return found

    def _one(self, regime: Regime, stage: Stage, nth: int, before: Deadline | None) -> Deadline | None:
        """The `nth` report of a stage; None when the cause was removed before it was due."""
        start, origin, assumed, waits_for = self._start(regime, stage, nth, before)
        if start is None:
            return self._deadline(regime, stage, nth, "waiting", waits_for=waits_for)
        zone = ZoneInfo(self.organisation.zone if regime.zone == LOCAL else regime.zone)
        assert stage.within is not None  # the caller has looked
        ends = due(start, stage.within, zone, self.organisation.holidays)
        resolved = times.parse(self.facts.extension.get("resolved_at"))
        if stage.repeats and resolved is not None and resolved <= ends.conservative:
            return None
        return self._deadline(
            regime,
            stage,
            nth,
            "running",
            start_at=start,
            start_from=origin,
            assumed=assumed,
            due_conservative=ends.conservative,
            due_legal=ends.legal,
        )

    def _deadline(
        self,
        regime: Regime,
        stage: Stage,
        nth: int,
        standing: Literal["running", "waiting", "unclocked"],
        **more: Any,
    ) -> Deadline:
        wording = stage.words or (stage.within.words() if stage.within else "")
        return Deadline(
            stage=stage.id,
            nth=nth,
            title=stage.title,
            recipient=stage.recipient or regime.recipient,
            wording=wording + (", again and again" if stage.repeats else ""),
            standing=standing,
            **more,
        )

    def _start(
        self, regime: Regime, stage: Stage, nth: int, before: Deadline | None = None
    ) -> tuple[datetime | None, str, str, str]:
        """When the clock starts, from which fact, what was assumed, and what it waits for."""
        said = self.stated.get((regime.id, stage.id, nth))
        if said is not None:
            return said, "a person's word", "", ""
        if before is not None:
            last = self.done.get((regime.id, stage.id, nth - 1))
            if last is not None:
                return last, f"report {nth - 1} was made", "", ""
            return before.due_conservative, f"report {nth - 1} was due", f"report {nth - 1} is still owed", ""
        if stage.starts.startswith(DONE):
            return self._start_of_follower(stage)
        stands = times.parse(self.facts.extension.get(stage.starts))
        if stands is not None:
            return stands, stage.starts, "", ""
        if stage.starts in ASSUMED_FROM_KNOWING:
            start, name = self._earliest_knowing()
            assumed = f"{stage.starts} ({CLOCK_STARTS[stage.starts]}) is not stated; {name} is taken for it"
            return start, name, assumed, ""
        return None, "", "", f"{stage.starts}: when {CLOCK_STARTS[stage.starts]}"

    def _earliest_knowing(self) -> tuple[datetime, str]:
        """The earliest time at which the organisation can be shown to have known: never after the filing."""
        known = [(self.facts.created, "created")]
        for name in ("aware_at", "detected_at"):
            at = times.parse(self.facts.extension.get(name))
            if at is not None:
                known.append((at, name))
        return min(known)

    def _start_of_follower(self, stage: Stage) -> tuple[datetime | None, str, str, str]:
        """A clock that starts with another report: when that was made; else when it was due, once that is past."""
        pairs = followed(self.known.by_id.values(), stage.starts)
        made = [at for name, leading in pairs if (at := self.done.get((name, leading, 1))) is not None]
        if made:
            return min(made), "the report before it was made", "", ""
        dues = [at for name, leading in pairs if (at := self._due_of(name, leading)) is not None]
        if dues and min(dues) <= self.now:
            assumed = "the report before it is still owed; its own due date is taken for the start"
            return min(dues), "the report before it was due", assumed, ""
        return None, "", "", "the report before it, which is not made yet"

    def _due_of(self, name: str, leading: str) -> datetime | None:
        regime = self.known.by_id[name]
        stage = regime.stage(leading)
        if stage is None or self.verdict(regime).holds is False or stage.within is None:
            return None
        first = self._one(regime, stage, 1, None)
        return None if first is None else first.due_conservative


def _doubts(regime: Regime, note: str) -> list[str]:
    """What makes a duty less than certain."""
    doubts = [note] if note else []
    doubts += [f"not verified: {what}" for what in regime.unverified]
    counts = {stage.within.count for stage in regime.stages if stage.within}
    if any(not COUNTING_VERIFIED[count] for count in counts):
        doubts.append(
            "not verified: the rule of counting (Regulation 1182/71); keep to the conservative date"
        )
    if regime.legal_force != "law":
        doubts.append(f"not law, but a {regime.legal_force.replace('-', ' ')}")
    return doubts


def progress(start: datetime, conservative: datetime, now: datetime) -> float:
    """Which share of a clock has run, 0 and up; 1 is the conservative due."""
    whole = max(conservative - start, timedelta(seconds=1))
    return max(0.0, (now - start) / whole)
