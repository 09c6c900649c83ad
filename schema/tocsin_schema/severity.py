"""AISEV-1.0: how grave an incident is, computed from its facts, with the facts that decided it named.

The rules, in order (the tables stand in schema/README.md):

1. Every harm type has a ladder from 0 to 5 of its own; the facts place the incident on it. A level that a
person assessed
   (`harms[].level`) may raise the step, never lower it.
2. The dominant harm counts: L is the highest step of all ladders, not a sum.
3. Causality takes away 1 (contributing), 2 (indirect) or 3 (disputed, not established), never below 1.
4. Realization takes away 1 (near miss) or 2 (potential), never below 1; no harm at all is level 0. An
assessed harm that
   has not materialised counts 2 less in an event that has. L before steps 3 and 4 stays visible as
   `plausible_level`.
5. Circumstances move the score inside the band of the level and never across it.
6. Grade: 5 is I, 4 is II, 3 is III, 2 and 1 are IV, 0 is none.
7. A source may report a higher level than the facts give, and a named person may set another one with a
reason; the
   computed level stays among the drivers.

Severity is magnitude, not probability: confidence has no part in it. More of any fact never gives less
severity. `assess` is total: it reads what is well-formed, ignores what is not, and never raises; refusing
is `check_bundle`'s work.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from tocsin_schema import ladder
from tocsin_schema.ladder import BOTTOM, Facts, Step

SCHEME: Final = "AISEV-1.0"

Grade = Literal["I", "II", "III", "IV", "none"]

BANDS: Final = (
    (0, 0),
    (15, 29),
    (36, 49),
    (55, 69),
    (75, 89),
    (92, 100),
)  # per level: lowest and highest score
# The properties of the extension that say what the severity is.
CLAIMED: Final = (
    "severity_scheme",
    "severity_level",
    "severity_score",
    "response_grade",
    "severity_basis",
    "severity_drivers",
    "severity_override",
    "oecd_class",
)
GRADES: Final[tuple[Grade, ...]] = ("none", "IV", "IV", "III", "II", "I")
CAUSALITY_DISCOUNT: Final = MappingProxyType(
    {"direct": 0, "contributing": 1, "indirect": 2, "disputed": 3, "not-established": 3}
)
REALIZATION_DISCOUNT: Final = MappingProxyType(
    {"harm-event": 0, "near-miss": 1, "potential": 2, "unknown": 0}
)
FLAG_POINTS: Final = MappingProxyType(
    {"ongoing": 4, "irreversible": 3, "vulnerable-group": 3, "population-scale": 5, "cross-border": 2}
)


class Severity(msgspec.Struct, frozen=True):
    """How grave: `level` 0 to 5, `score` 0 to 100, `grade` I (gravest) to IV or "none", and why (`drivers`).

    `plausible_level` is the level before causality and realization took anything away; `basis` is "computed",
    "reported" (from the source, at least what the facts give) or "overridden" (a named person's decision).
    """

    level: int
    score: int
    grade: Grade
    oecd_class: str
    drivers: tuple[str, ...]
    plausible_level: int
    basis: str


def assess(extension: Mapping[str, Any]) -> Severity:
    """The severity of an incident from its ai-incident extension; the same facts give the same answer."""
    facts = ladder.read(extension)
    realization = extension.get("realization")
    steps, plausible = ladder.climb(facts)
    dominant = max(steps.values(), default=BOTTOM, key=_rung)
    raised = dominant[0]
    drivers = [dominant[1]] if raised else []
    if raised == 0 and realization in tuple(REALIZATION_DISCOUNT):
        raised = 1
        drivers.append("no harm is described: level 1 until it is")
    level = _discount(raised, extension, drivers)
    points = _points(facts, level, steps, drivers)
    low, high = BANDS[level]
    computed = Severity(
        level=level,
        score=min(low + points, high),
        grade=GRADES[level],
        oecd_class=_oecd_class(realization, level, max(plausible, raised), facts.flags),
        drivers=tuple(drivers),
        plausible_level=max(plausible, raised),
        basis="computed",
    )
    return _settle(computed, extension, points, facts.flags)


def band_of(level: int) -> tuple[int, int]:
    """The lowest and the highest score of a level."""
    return BANDS[level]


def grade_of(level: int) -> Grade:
    """The response grade of a level."""
    return GRADES[level]


def has_override(extension: Mapping[str, Any]) -> bool:
    """Whether a person's decision about the level is complete: who, when, why and which level."""
    override = extension.get("severity_override")
    return (
        extension.get("severity_basis") == "overridden"
        and type(override) is dict
        and all(
            type(override.get(name)) is str and override[name].strip() for name in ("by_ref", "at", "reason")
        )
        and _claimed_level(extension) is not None
    )


def _said(value: object) -> bool:
    return type(value) is str and bool(value.strip())


def _rung(step: Step) -> int:
    return step[0]


def _claimed_level(extension: Mapping[str, Any]) -> int | None:
    level = extension.get("severity_level")
    return level if type(level) is int and 0 <= level <= 5 else None


def _settle(computed: Severity, extension: Mapping[str, Any], points: int, flags: frozenset[str]) -> Severity:
    """What stands in the end: the computed severity, or a person's or a source's level beside it."""
    basis, claimed = extension.get("severity_basis"), _claimed_level(extension)
    if claimed is None or basis not in ("overridden", "reported"):
        return computed
    if basis == "overridden":
        if not has_override(extension):
            return computed
        override = extension["severity_override"]
        by = f" by {override['by_name']}" if _said(override.get("by_name")) else ""
        said = f"overridden to level {claimed}{by}: {override['reason']}"
    elif claimed <= computed.level:
        return msgspec.structs.replace(computed, basis="reported")
    else:
        said = f"reported by the source: level {claimed}"
    low, high = BANDS[claimed]
    beside = f"computed from the facts: level {computed.level}, score {computed.score}"
    plausible = max(computed.plausible_level, claimed)
    return Severity(
        level=claimed,
        score=min(low + points, high),
        grade=GRADES[claimed],
        oecd_class=_oecd_class(extension.get("realization"), claimed, plausible, flags),
        drivers=(said[:200], beside, *computed.drivers),
        plausible_level=plausible,
        basis=basis,
    )


def _discount(raised: int, extension: Mapping[str, Any], drivers: list[str]) -> int:
    """The level after causality and realization."""
    realization = extension.get("realization")
    if realization == "no-harm":
        if raised:
            drivers.append("realization=no-harm: level 0")
        return 0
    level = raised
    for name, table in (("causality", CAUSALITY_DISCOUNT), ("realization", REALIZATION_DISCOUNT)):
        word = extension.get(name)
        less = table.get(word, 0) if type(word) is str else 0
        if less and level > 1:
            level = max(1, level - less)
            drivers.append(f"{name}={word}: -{less}")
    return level


def _points(facts: Facts, level: int, steps: Mapping[str, Step], drivers: list[str]) -> int:
    """What circumstances add to the score inside the band of `level`."""
    if level == 0:
        return 0
    total = 0
    if facts.flags:
        for flag, points in FLAG_POINTS.items():
            if flag in facts.flags:
                total += points
                drivers.append(f"{flag}: +{points}")
    if len(steps) < 2:
        return total
    near = sum([rung >= max(1, level - 1) for rung, _ in steps.values()])
    further = min(2 * max(0, near - 1), 6)
    if further:
        drivers.append(f"{near - 1} further harm type(s) of like weight: +{further}")
    return total + further


def _oecd_class(realization: object, level: int, plausible: int, flags: frozenset[str]) -> str:
    if realization == "harm-event":
        if "capacity-exceeded" in flags:
            return "disaster"
        return "serious-incident" if level >= 4 else "incident"
    if realization in ("near-miss", "potential"):
        return "serious-hazard" if plausible >= 4 else "hazard"
    return "other"
