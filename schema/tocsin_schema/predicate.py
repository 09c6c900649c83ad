"""Conditions over the facts of an incident and its organisation, as data: for the files that say when a rule applies.

A condition is true, false or open. It is open when a fact that would decide is not stated; then `missing` names the
fact, so that a person can state it. Nothing is evaluated as code: a condition has exactly one of the forms below.

Three rules keep "open" from meaning "everything". A report that lists harms has listed them all: what it does not
list did not happen. A report that lists flags has listed them all. What did not happen (near miss, potential, no
harm) did not do harm, unless the condition says `even_if_averted`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import msgspec

from tocsin_schema import ladder
from tocsin_schema import vocabulary as voc
from tocsin_schema.extension import INCIDENT, QUANTITIES, SYSTEM
from tocsin_schema.organisation import EU, JURISDICTION_PATTERN, ROLE, Organisation, within
from tocsin_schema.shape import Pattern

FORMS: Final = (
    *("all", "any", "not", "role", "jurisdiction", "flag", "harm", "count", "word", "system"),
    *("asserted", "term", "stated"),
)
LOSS_USD: Final = "economic_loss_usd"
# Which harm types a number belongs to: whoever listed harms, and none of these, has said that it is zero.
HARMS_OF: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(
        ("deaths", "serious_injuries", "injuries"), frozenset(("physical-health", "psychological"))
    ),
    "personal_records": frozenset(("privacy",)),
    "outage_minutes": frozenset(("critical-infrastructure",)),
    **dict.fromkeys(("views", "reposts"), frozenset(("harmful-content", "democratic-social"))),
    LOSS_USD: frozenset(("economic", "property", "intangible-property")),
}
AVERTED: Final = ("near-miss", "potential", "no-harm")
# In which capacity a report was made, and which of our roles fit it.
_CAPACITY: Final = {"provider": ("provider", "developer"), "deployer": ("deployer", "user")}
_CAPACITIES: Final = ("provider", "developer", "deployer", "user")
_IS_JURISDICTION: Final = Pattern(JURISDICTION_PATTERN, "EU, a country or a part of one", limit=10).passes()


class Facts:
    """What is known: the ai-incident extension, the systems' own extensions, and when it was filed (aware UTC)."""

    def __init__(
        self, extension: Mapping[str, Any], systems: Iterable[Mapping[str, Any]], created: datetime
    ) -> None:
        self.extension = extension
        self.systems = tuple(systems)
        self.created = created

    def words(self, name: str) -> frozenset[str] | None:
        """The words of a property, one or a list; None when it is not stated or says that it is not known."""
        value = self.extension.get(name)
        if type(value) is str:
            return None if value == "unknown" else frozenset((value,))
        if type(value) is list:
            return frozenset(word for word in value if type(word) is str)
        return None

    @cached_property
    def ladder(self) -> ladder.Facts:
        """The same facts as the severity ladders read them."""
        return ladder.read(self.extension)

    @cached_property
    def rungs(self) -> Mapping[str, int]:
        """How far up its ladder each harm stands, before any discount."""
        return {kind: step[0] for kind, step in ladder.climb(self.ladder)[0].items()}

    @cached_property
    def listed(self) -> Mapping[str, int | None]:
        """The harms that are listed, each with the level that a person gave it, or None."""
        found: dict[str, int | None] = {}
        harms = self.extension.get("harms")
        for harm in harms if type(harms) is list else ():
            if type(harm) is dict and type(harm.get("harm_type")) is str:
                level = harm.get("level")
                known = found.get(harm["harm_type"])
                found[harm["harm_type"]] = max(level, known or 0) if type(level) is int else known
        return found

    def number(self, name: str) -> float | None:
        """A number that is stated, None when it is not."""
        if name == LOSS_USD:
            return self.ladder.loss_usd or None
        quantities = self.extension.get("quantities")
        value = quantities.get(name) if type(quantities) is dict else None
        return value if type(value) is int else None


class Verdict(msgspec.Struct, frozen=True):
    """Whether a condition holds (None: open), which facts say so, and which facts would decide."""

    holds: bool | None
    reasons: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


NO: Final = Verdict(False)


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One condition; exactly one of the forms is set. Lists mean "any of these"."""

    all: "tuple[Condition, ...] | None" = None
    any: "tuple[Condition, ...] | None" = None
    no: "Condition | None" = msgspec.field(default=None, name="not")
    role: tuple[str, ...] | None = None
    jurisdiction: tuple[str, ...] | None = None
    flag: tuple[str, ...] | None = None
    harm: tuple[str, ...] | None = None  # of at least `level`
    level: int = 1
    count: str | None = None  # a number of `quantities`, or economic_loss_usd, of at least `at_least`
    at_least: float | None = None
    word: str | None = None  # a property of the incident that has `one_of`
    system: str | None = None  # a property of a system that has `one_of`
    one_of: tuple[str, ...] = ()
    asserted: str | None = None  # SCHEME:CODE, a classification by a person
    term: str | None = None  # a named condition
    stated: str | None = None  # what no property says: only a person can
    even_if_averted: bool = False

    def __post_init__(self) -> None:
        """Refuse a condition of no form or of two, and words that nobody can ever say."""
        forms = [name for name in FORMS if getattr(self, "no" if name == "not" else name) is not None]
        if len(forms) != 1:
            raise ValueError(f"a condition has one form, this has {forms or 'none'}")
        said = {
            "role": (self.role, ROLE),
            "flag": (self.flag, voc.FLAG),
            "harm": (self.harm, voc.HARM_TYPE),
            "count": (self.count and (self.count,), {*QUANTITIES.fields, LOSS_USD}),
            "word": (self.word and (self.word,), INCIDENT.fields),
            "system": (self.system and (self.system,), SYSTEM.fields),
        }
        for name, (words, known) in said.items():
            unknown = sorted(set(words or ()) - set(known))
            if unknown:
                raise ValueError(f"{name} does not know {', '.join(unknown)}")
        if not all(map(_IS_JURISDICTION, self.jurisdiction or ())):
            raise ValueError(f"not a jurisdiction among {self.jurisdiction}")
        if (self.count is None) != (self.at_least is None):
            raise ValueError("count and at_least belong together")
        if (self.word is None and self.system is None) != (not self.one_of):
            raise ValueError("word and system need one_of, and nothing else has it")


Terms = Mapping[str, Condition]


def judge(condition: Condition, facts: Facts, organisation: Organisation, terms: Terms) -> Verdict:
    """Whether the condition holds. `terms` hold the named conditions; the loader has proven that they are there."""

    def inner(one: Condition) -> Verdict:
        return judge(one, facts, organisation, terms)

    if condition.all is not None:
        return _all([inner(one) for one in condition.all])
    if condition.any is not None:
        return _any([inner(one) for one in condition.any])
    if condition.no is not None:
        verdict = inner(condition.no)
        return Verdict(None if verdict.holds is None else not verdict.holds, (), verdict.missing)
    if condition.term is not None:
        return inner(terms[condition.term])
    if condition.stated is not None:
        return Verdict(None, (), (condition.stated,))
    for name, test in _TESTS.items():
        if getattr(condition, name) is not None:
            return test(condition, facts, organisation)
    raise AssertionError(condition)  # every form is above


def names_of(condition: Condition) -> Iterable[str]:
    """The named conditions that a condition refers to, at any depth."""
    if condition.term is not None:
        yield condition.term
    for one in (*(condition.all or ()), *(condition.any or ()), *([condition.no] if condition.no else ())):
        yield from names_of(one)


def _all(verdicts: list[Verdict]) -> Verdict:
    if any(verdict.holds is False for verdict in verdicts):
        return NO
    known = all(verdict.holds for verdict in verdicts)
    missing = () if known else _joined(v.missing for v in verdicts if v.holds is None)
    return Verdict(True if known else None, _joined(v.reasons for v in verdicts), missing)


def _any(verdicts: list[Verdict]) -> Verdict:
    true = [verdict for verdict in verdicts if verdict.holds]
    if true:
        return Verdict(holds=True, reasons=_joined(v.reasons for v in true))
    some = [verdict for verdict in verdicts if verdict.holds is None]
    if some:
        return Verdict(None, _joined(v.reasons for v in some), _joined(v.missing for v in some))
    return NO


def _joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for part in parts for text in part))


def _role(condition: Condition, facts: Facts, organisation: Organisation) -> Verdict:
    ours = [role for role in condition.role or () if role in organisation.roles]
    if not ours:
        return NO
    said = facts.extension.get("reporter_role")
    fitting = [r for r in ours if r not in _CAPACITY or said not in _CAPACITIES or said in _CAPACITY[r]]
    if not fitting:
        return Verdict(None, (), (f"whether you are {' or '.join(ours)} here: reporter_role says {said}",))
    return Verdict(holds=True, reasons=(f"role {' and '.join(fitting)}",))


def _jurisdiction(condition: Condition, facts: Facts, organisation: Organisation) -> Verdict:
    happened = facts.words("countries") or frozenset()
    open_ = []
    for code in condition.jurisdiction or ():
        ours = within(code, organisation.jurisdictions)
        if ours:
            return Verdict(holds=True, reasons=(f"the organisation is in {code}",))
        if "-" not in code and within(code, happened):
            there = ", ".join(sorted(happened & (EU if code == "EU" else {code})))
            return Verdict(holds=True, reasons=(f"it happened in {there}",))
        if ours is None:
            open_.append(f"whether {code} is among your jurisdictions (settings, [duties] jurisdictions)")
    return Verdict(None, (), tuple(open_)) if open_ else NO


def _flag(condition: Condition, facts: Facts, _organisation: Organisation) -> Verdict:
    flags = facts.words("flags")
    if flags is None:
        return Verdict(None, (), tuple(f"flags: {flag}?" for flag in condition.flag or ()))
    there = [flag for flag in condition.flag or () if flag in flags]
    return Verdict(holds=True, reasons=tuple(f"flag {flag}" for flag in there)) if there else NO


def _harm(condition: Condition, facts: Facts, _organisation: Organisation) -> Verdict:
    kinds = condition.harm or ()
    best = max(kinds, key=lambda kind: facts.rungs.get(kind, 0))
    rung = facts.rungs.get(best, 0)
    if rung >= condition.level:
        return _happened(condition, facts, f"{best}: level {rung}")
    if not facts.listed:
        return _happened(condition, facts, "", missing=f"harms: {' or '.join(kinds)}?")
    unassessed = [kind for kind in kinds if kind in facts.listed and facts.listed[kind] is None]
    unmeasured = [kind for kind in unassessed if facts.rungs.get(kind, 0) <= 1]
    if unmeasured:
        missing = f"harms: how grave is {', '.join(unmeasured)} (level, or numbers)?"
        return _happened(condition, facts, "", missing=missing)
    return NO


def _count(condition: Condition, facts: Facts, _organisation: Organisation) -> Verdict:
    name = condition.count or ""
    assert condition.at_least is not None  # checked where it was read
    value = facts.number(name)
    if value is not None:
        if value < condition.at_least:
            return NO
        return _happened(condition, facts, f"{name}={value:,.0f}")
    related = HARMS_OF.get(name)
    if facts.listed and related is not None and related.isdisjoint(facts.listed):
        return NO
    return _happened(condition, facts, "", missing=f"quantities.{name.removesuffix('_usd')}")


def _happened(condition: Condition, facts: Facts, reason: str, *, missing: str = "") -> Verdict:
    """The verdict on a harm that is stated (`reason`) or not (`missing`), given whether harm happened at all."""
    realization = facts.extension.get("realization")
    if realization in AVERTED and not condition.even_if_averted:
        return NO
    if missing:
        return Verdict(None, (), (missing,))
    if realization == "unknown":
        return Verdict(None, (reason,), ("realization: whether harm happened",))
    return Verdict(holds=True, reasons=(reason,))


def _word(condition: Condition, facts: Facts, _organisation: Organisation) -> Verdict:
    name = condition.word or ""
    words = facts.words(name)
    if words is None:
        return Verdict(None, (), (name,))
    there = [word for word in condition.one_of if word in words]
    return Verdict(holds=True, reasons=(f"{name}: {', '.join(there)}",)) if there else NO


def _system(condition: Condition, facts: Facts, _organisation: Organisation) -> Verdict:
    name = condition.system or ""
    values = [system.get(name) for system in facts.systems]
    there = [value for value in values if value in condition.one_of]
    if there:
        return Verdict(holds=True, reasons=(f"the system's {name}: {there[0]}",))
    if not values or any(value in (None, "unknown") for value in values):
        return Verdict(None, (), (f"systems[].{name}",))
    return NO


def _asserted(condition: Condition, facts: Facts, _organisation: Organisation) -> Verdict:
    scheme, _, code = (condition.asserted or "").partition(":")
    found = facts.extension.get("classifications")
    for one in found if type(found) is list else ():
        if type(one) is not dict or (one.get("scheme"), one.get("code")) != (scheme, code):
            continue
        if one.get("assigned_by") == "human":
            return Verdict(holds=True, reasons=(f"a person says {scheme} {code}",))
    return Verdict(None, (), (f"a person's word: classifications {scheme} {code}, assigned_by human",))


_Test = Callable[[Condition, Facts, Organisation], Verdict]
_TESTS: Final[Mapping[str, _Test]] = {
    "role": _role,
    "jurisdiction": _jurisdiction,
    "flag": _flag,
    "harm": _harm,
    "count": _count,
    "word": _word,
    "system": _system,
    "asserted": _asserted,
}
