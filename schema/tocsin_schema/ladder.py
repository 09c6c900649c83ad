"""The ladders of AISEV-1.0: each harm type has steps of its own, facts say how far up an incident is.

The table with the source of every step is in schema/README.md. A rung is a whole number from 0 (none) to 5
(critical), given together with the fact that led there. Every ladder is monotone: more of a fact never
means a lower rung.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from tocsin_schema import vocabulary as voc
from tocsin_schema.canonical import MAX_INT

NOT_MATERIALISED_DISCOUNT: Final = (
    2  # a harm that did not come about inside an event that did: as "potential"
)

# Thousandths of a US dollar for one unit, rounded, end of 2024: part of AISEV-1.0 and therefore frozen. The steps
# of the ladder lie a factor of 20 or more apart, so that the drift of exchange rates seldom matters.
USD_MILLI: Final = MappingProxyType(
    {
        "USD": 1000, "EUR": 1040, "GBP": 1250, "CHF": 1100, "CNY": 137, "JPY": 6, "KRW": 1, "INR": 12,
        "CAD": 695, "AUD": 620, "NZD": 560, "SEK": 91, "NOK": 88, "DKK": 139, "PLN": 243, "CZK": 41,
        "BRL": 162, "MXN": 48, "ZAR": 53, "SGD": 733, "HKD": 129, "TWD": 31, "ILS": 275, "TRY": 28,
        "AED": 272, "SAR": 266, "RUB": 9,
    }
)  # fmt: skip


@dataclass(slots=True)
class Harm:
    """What the report says about one harm type; `plausible` is `assessed` before any discount."""

    assessed: int = 0
    plausible: int = 0
    irreversible: bool = False


@dataclass(slots=True)
class Facts:
    """What the ladders read, cleaned: numbers that are positive, words that are words."""

    numbers: dict[str, int]
    loss_usd: float
    cvss: float
    flags: frozenset[str]
    rights: frozenset[str]
    harms: dict[str, Harm]


Step = tuple[int, str]  # the rung of a ladder and the fact that led there
Ladder = Callable[[Facts], Step]
Thresholds = Sequence[tuple[float, int]]  # from the top down: at least this much is that rung
BOTTOM: Final[Step] = (0, "")


def read(extension: Mapping[str, Any]) -> Facts:
    """The facts of an ai-incident extension; whatever is not well-formed does not count."""
    quantities = extension.get("quantities")
    quantities = quantities if type(quantities) is dict else {}
    realization = extension.get("realization")
    harms: dict[str, Harm] = {}
    listed = extension.get("harms")
    for harm in listed if type(listed) is list else ():
        if type(harm) is dict and type(harm.get("harm_type")) is str:
            _note(harms.setdefault(harm["harm_type"], Harm()), harm, realization)
    return Facts(
        numbers={
            name: value for name, value in quantities.items() if type(value) is int and 0 < value <= MAX_INT
        },
        loss_usd=loss_usd(quantities.get("economic_loss")),
        cvss=_number(extension.get("cvss"), "base_score", 10),
        flags=_words(extension.get("flags")),
        rights=_words(extension.get("rights")),
        harms=harms,
    )


def _note(known: Harm, harm: Mapping[str, Any], realization: object) -> None:
    """Add one entry of `harms` to what is known of its type."""
    not_materialised = harm.get("materialised") is False
    level = harm.get("level")
    if type(level) is not int or not 0 <= level <= 5:  # listed without a level
        came_about = harm.get("materialised") is True or (
            realization == "harm-event" and not not_materialised
        )
        level = 2 if came_about and harm["harm_type"] in PEOPLE_HARMS else 1
    known.plausible = max(known.plausible, level)
    if not_materialised and realization in ("harm-event", "unknown") and level > 1:
        level = max(1, level - NOT_MATERIALISED_DISCOUNT)
    known.assessed = max(known.assessed, level)
    known.irreversible |= harm.get("reversibility") == "irreversible" and not not_materialised


_NO_WORDS: Final[frozenset[str]] = frozenset()


def _words(value: object) -> frozenset[str]:
    return frozenset([word for word in value if type(word) is str]) if type(value) is list else _NO_WORDS


def _number(holder: object, name: str, high: float) -> float:
    """The number `name` of an object; 0 when it is missing, broken, not positive or above `high`."""
    value = holder.get(name) if type(holder) is dict else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= high:
        return float(value)
    return 0.0


def loss_usd(loss: object) -> float:
    """An economic loss in US dollars; 0 when its currency has no frozen rate."""
    if type(loss) is not dict:
        return 0.0
    currency = loss.get("currency")
    rate = USD_MILLI.get(currency, 0) if type(currency) is str else 0
    return _number(loss, "amount", 1e15) * rate / 1000


def climb(facts: Facts) -> tuple[dict[str, Step], int]:
    """The step of every harm type listed or implied by the facts, and the highest plausible rung."""
    steps: dict[str, Step] = {}
    plausible = 0
    for kind in _kinds(facts):
        rung, fact = LADDERS[kind](facts) if kind in LADDERS else BOTTOM
        harm = facts.harms.get(kind)
        if harm is not None:
            plausible = max(plausible, harm.plausible)
            if harm.assessed > rung:
                rung, fact = harm.assessed, "assessed"
        if rung:
            steps[kind] = (rung, f"{kind}: level {rung} ({fact})")
            plausible = max(plausible, rung)
    if _raise_content(facts, steps):
        plausible = 5
    return steps, plausible


def _kinds(facts: Facts) -> list[str]:
    """Harm types that are listed, then those that the facts alone imply, in the order of the vocabulary."""
    kinds = list(facts.harms)
    numbers, flags = facts.numbers, facts.flags
    if numbers:
        if not numbers.keys().isdisjoint(("deaths", "serious_injuries", "injuries")):
            kinds.append("physical-health")
        if "personal_records" in numbers:
            kinds.append("privacy")
    if facts.loss_usd:
        kinds.append(_loss_kind(facts))
    if flags:
        if "critical-infrastructure" in flags:
            kinds.append("critical-infrastructure")
        if "csam" in flags:
            kinds.append("harmful-content")
    if facts.cvss > 0 or not flags.isdisjoint(SECURITY_FLAGS):
        kinds.append("ai-security")
    if len(kinds) < 2:
        return kinds
    # The vocabulary's order makes the answer independent of the order in which the facts were written.
    return sorted(set(kinds), key=lambda kind: (_ORDER.get(kind, len(_ORDER)), kind))


_ORDER: Final = {kind: index for index, kind in enumerate(voc.HARM_TYPE)}
SECURITY_FLAGS: Final = ("model-weights-exposed", "loss-of-control", "deception-of-developer", "cbrn")
MONEY_KINDS: Final = ("economic", "property", "intangible-property")
# Where one of these came about, somebody was harmed: at least minor, though nobody has counted or assessed it.
PEOPLE_HARMS: Final = frozenset(
    (
        "physical-health",
        "psychological",
        "fundamental-rights",
        "discrimination",
        "economic",
        "democratic-social",
        "harmful-content",
    )
)
REAL_HARMS: Final = frozenset(
    (
        "physical-health",
        "psychological",
        "fundamental-rights",
        "discrimination",
        "privacy",
        "economic",
        "property",
    )
)


def _loss_kind(facts: Facts) -> str:
    """The harm type that an economic loss belongs to."""
    return next((kind for kind in MONEY_KINDS if kind in facts.harms), "economic")


def _step(name: str, number: float, thresholds: Thresholds) -> Step:
    """The rung of a number: that of the first threshold it reaches."""
    for threshold, rung in thresholds:
        if number >= threshold:
            return rung, f"{name}={number:g}" if type(number) is float else f"{name}={number}"
    return BOTTOM


def _highest(facts: Facts, ladders: Mapping[str, Thresholds]) -> Step:
    """The highest rung among several numbers; of equals the first."""
    best = BOTTOM
    for name, thresholds in ladders.items():
        number = facts.numbers.get(name)
        if number is not None:
            step = _step(name, number, thresholds)
            if step[0] > best[0]:
                best = step
    return best


_PEOPLE: Final = {
    "deaths": ((10, 5), (1, 4)),
    "serious_injuries": ((51, 5), (10, 4), (1, 3)),
    "injuries": ((100, 4), (10, 3), (1, 2)),
}
_RECORDS: Final = {"personal_records": ((100_000_000, 5), (1_000_000, 4), (10_000, 3), (100, 2), (1, 1))}
_OUTAGE: Final = {
    "outage_minutes": ((360, 5), (120, 4), (30, 3), (1, 2)),
    "persons_affected": ((10_000_000, 5),),
}
_AFFECTED: Final = {"persons_affected": ((1_000_000, 5), (1_000, 4), (10, 3), (1, 2))}
_SEEN: Final = {
    "views": ((100_000, 4), (10_000, 3), (1_000, 2), (1, 1)),
    "reposts": ((10_000, 4), (1_000, 3), (1, 1)),
}
# Each count with the amounts at which it reaches a rung.
COUNT_LADDERS: Final = (_PEOPLE, _RECORDS, _OUTAGE, _AFFECTED, _SEEN)
DOLLARS: Final = ((1_000_000_000, 5), (14_000_000, 4), (700_000, 3), (10_000, 2), (0, 1))
_CVSS: Final = ((9.0, 4), (7.0, 3), (4.0, 2), (0.0, 1))


def _physical(facts: Facts) -> Step:
    step = _highest(facts, _PEOPLE)
    deaths, serious = facts.numbers.get("deaths", 0), facts.numbers.get("serious_injuries", 0)
    if step[0] < 5 and deaths and deaths + serious > 50:
        return 5, f"deaths={deaths}, serious_injuries={serious}"
    return step


def _money(kind: str) -> Ladder:
    def ladder(facts: Facts) -> Step:
        if not facts.loss_usd or _loss_kind(facts) != kind:
            return BOTTOM
        rung, _ = _step("", facts.loss_usd, DOLLARS)
        return rung, f"about {facts.loss_usd:,.0f} US dollars"

    return ladder


def _privacy(facts: Facts) -> Step:
    step = _highest(facts, _RECORDS)
    records = facts.numbers.get("personal_records", 0)
    if step[0] < 3 and records >= 500 and "special-category-data" in facts.flags:
        return 3, f"personal_records={records}, special-category-data"
    return step


def _infrastructure(facts: Facts) -> Step:
    step = _highest(facts, _OUTAGE)
    harm = facts.harms.get("critical-infrastructure", Harm())
    lasting = harm.irreversible or "irreversible" in facts.flags
    if lasting and step[0] < 4 and max(step[0], harm.assessed) >= 3:
        return 4, "serious and irreversible"
    return step if step[0] else (1, "degraded")


def _rights(kind: str) -> Ladder:
    def ladder(facts: Facts) -> Step:
        step = _highest(facts, _AFFECTED)
        if step[0] < 4 and facts.harms[kind].irreversible:
            return 4, "irreversible"
        return (3, "liberty lost") if step[0] < 3 and "liberty" in facts.rights else step

    return ladder


def _content(facts: Facts) -> Step:
    step = _highest(facts, _SEEN)
    return (3, "csam") if step[0] < 3 and "csam" in facts.flags else step


def _raise_content(facts: Facts, steps: dict[str, Step]) -> bool:
    """Content seen by a million people counts as critical once harm outside of the screen came with it."""
    views, reposts = facts.numbers.get("views", 0), facts.numbers.get("reposts", 0)
    if views < 1_000_000 and reposts < 100_000:
        return False
    raised = False
    if any(rung >= 2 and kind in REAL_HARMS for kind, (rung, _) in steps.items()):
        for kind in ("democratic-social", "harmful-content"):
            if kind in steps:
                said = f"{kind}: level 5 (views={views}, reposts={reposts}, with harm elsewhere)"
                steps[kind] = (5, said)
                raised = True
    return raised


def _security(facts: Facts) -> Step:
    if "cbrn" in facts.flags:
        return 5, "cbrn"
    exposed = next((flag for flag in SECURITY_FLAGS if flag in facts.flags), None)
    if exposed is not None:
        return 4, exposed
    step = _step("cvss", facts.cvss, _CVSS) if facts.cvss else BOTTOM
    return (3, "transferable") if step[0] < 3 and "transferable" in facts.flags else step


# psychological, environment, reputational and other have no numbers: there only an assessed level counts.
LADDERS: Final[Mapping[str, Ladder]] = MappingProxyType(
    {
        "physical-health": _physical,
        "fundamental-rights": _rights("fundamental-rights"),
        "discrimination": _rights("discrimination"),
        "privacy": _privacy,
        **{kind: _money(kind) for kind in MONEY_KINDS},
        "critical-infrastructure": _infrastructure,
        "democratic-social": _content,
        "harmful-content": _content,
        "ai-security": _security,
    }
)
