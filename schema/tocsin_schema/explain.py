"""What would change the grade of an incident: each single fact that would raise or lower it, tried on the rules.

Nothing is said of severity here that `severity.assess` did not say: a fact is changed, the incident is assessed anew,
and what comes out is compared. A level that a person or a source has set is left out first, since no fact moves it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tocsin_schema import ladder
from tocsin_schema import vocabulary as voc
from tocsin_schema.severity import (
    CAUSALITY_DISCOUNT,
    CLAIMED,
    REALIZATION_DISCOUNT,
    Grade,
    Severity,
    assess,
)

# Amounts that are tried, of each count and of a loss: the rungs of the ladders, lowest first.
COUNTS: Final = {
    name: tuple(sorted({amount for one in ladder.COUNT_LADDERS for amount, _ in one.get(name, ())}))
    for name in sorted({name for one in ladder.COUNT_LADDERS for name in one})
}
LOSSES_USD: Final = tuple(sorted(amount for amount, _ in ladder.DOLLARS if amount))
CAUSALITIES: Final = tuple(CAUSALITY_DISCOUNT)
REALIZATIONS: Final = (*(word for word in REALIZATION_DISCOUNT if word != "unknown"), "no-harm")

Facts = dict[str, Any]


class Change(msgspec.Struct, frozen=True):
    """One fact that would change the grade, in words ("deaths=10", "without flag csam"), and level and grade then."""

    fact: str
    level: int
    grade: Grade


class Explanation(msgspec.Struct, frozen=True):
    """`computed`: what the facts alone give. `raised_by`, `lowered_by`: what would change that grade, gravest first."""

    computed: Severity
    raised_by: tuple[Change, ...]
    lowered_by: tuple[Change, ...]


def explain(extension: Mapping[str, Any]) -> Explanation:
    """What the facts of an ai-incident extension give, and what one fact more, less or other would give instead.

    Total, as `assess` is: what is not well-formed does not count. About a hundred assessments, a millisecond or two.
    """
    facts = {name: value for name, value in extension.items() if name not in CLAIMED}
    computed = assess(facts)
    first: dict[tuple[str, Grade], Change] = {}
    for subject, fact, changed in _single_changes(facts):
        then = assess(changed)
        if then.grade != computed.grade:  # of one subject the smallest change that reaches a grade is told
            first.setdefault((subject, then.grade), Change(fact, then.level, then.grade))
    return Explanation(
        computed,
        tuple(sorted((c for c in first.values() if c.level > computed.level), key=_gravest_first)),
        tuple(sorted((c for c in first.values() if c.level < computed.level), key=_gravest_first)),
    )


def _gravest_first(change: Change) -> tuple[int, str]:
    return -change.level, change.fact


def _single_changes(facts: Facts) -> Iterator[tuple[str, str, Facts]]:
    """(what is changed, in words, the facts then), smaller changes of one thing before larger ones."""
    yield from _counts(facts)
    yield from _losses(facts)
    yield from _words_more_or_less(facts, "flags", voc.FLAG, "flag")
    yield from _words_more_or_less(facts, "rights", voc.RIGHT_OV, "right")
    yield from _harms(facts)
    for name, words in (("causality", CAUSALITIES), ("realization", REALIZATIONS)):
        for word in words:
            if facts.get(name) != word:
                yield f"{name}={word}", f"{name}={word}", {**facts, name: word}


def _counts(facts: Facts) -> Iterator[tuple[str, str, Facts]]:
    quantities = facts.get("quantities")
    quantities = quantities if type(quantities) is dict else {}
    for name, amounts in COUNTS.items():
        now = quantities.get(name)
        now = now if type(now) is int else 0
        for amount in amounts:
            if amount > now:
                yield name, f"{name}={amount:,}", _with_quantity(facts, quantities, name, amount)
        if now > 0:
            rest = {key: value for key, value in quantities.items() if key != name}
            yield f"no {name}", f"without {name}", {**facts, "quantities": rest}


def _losses(facts: Facts) -> Iterator[tuple[str, str, Facts]]:
    quantities = facts.get("quantities")
    quantities = quantities if type(quantities) is dict else {}
    lost = ladder.loss_usd(quantities.get("economic_loss"))
    for amount in (each for each in LOSSES_USD if each > lost):
        loss = {"amount": amount, "currency": "USD"}
        yield (
            "economic_loss",
            f"economic_loss of {amount:,} US dollars",
            _with_quantity(facts, quantities, "economic_loss", loss),
        )
    if "economic_loss" in quantities:
        rest = {key: value for key, value in quantities.items() if key != "economic_loss"}
        yield "no economic_loss", "without economic_loss", {**facts, "quantities": rest}


def _with_quantity(facts: Facts, quantities: Mapping[str, Any], name: str, value: object) -> Facts:
    return {**facts, "quantities": {**quantities, name: value}}


def _words_more_or_less(
    facts: Facts, name: str, vocabulary: Mapping[str, str], noun: str
) -> Iterator[tuple[str, str, Facts]]:
    said = facts.get(name)
    said = said if type(said) is list else []
    for word in vocabulary:
        if word in said:
            yield (
                f"no {word}",
                f"without {noun} {word}",
                {**facts, name: [one for one in said if one != word]},
            )
        else:
            yield word, f"{noun} {word}", {**facts, name: [*said, word]}


def _harms(facts: Facts) -> Iterator[tuple[str, str, Facts]]:
    harms = facts.get("harms")
    harms = harms if type(harms) is list else []
    for nth, harm in enumerate(harms):
        if type(harm) is not dict or type(harm.get("harm_type")) is not str:
            continue
        kind, level = harm["harm_type"], harm.get("level")
        for assessed in range(1, 6):
            if type(level) is not int or assessed > level:
                changed = [*harms[:nth], {**harm, "level": assessed}, *harms[nth + 1 :]]
                yield f"level of {kind}", f"{kind} assessed at level {assessed}", {**facts, "harms": changed}
        yield f"no {kind}", f"without harm {kind}", {**facts, "harms": [*harms[:nth], *harms[nth + 1 :]]}
