"""How likely it is that two reports tell of the same event: a score from 0 to 100, and the reasons by name.

Suggestions only: a person decides. Several kinds of evidence add up as independent hints do (what is left of the doubt
is multiplied): the words of title and description (rare ones weigh most), a source page that both name, the same
system, parties that few reports name, days that lie close. Times that lie far apart take away. Nothing here depends
on a language.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

import msgspec

from tocsin_schema.facets import Facets, facets_of
from tocsin_schema.report import IncidentReport
from tocsin_schema.secret import without_secrets
from tocsin_schema.suspicion import suspected_texts
from tocsin_schema.words import tokens

LIKELY: Final = 50  # from this score on a pair is worth a look; measured in tests/node/test_duplicates.py
RARE: Final = 0.25  # the share of reports up to which a word tells anything
MAX_WORDS: Final = 400  # of one text: the rest of a long one changes nothing
NAMED: Final = 3  # a word that so few reports hold is a name, more or less
MOST_VALUES: Final = 8  # of one kind that are looked at for a reason
_HELD: Final = 0.4
_FEW: Final = 6.0  # rare words that a text has at least: a handful of common ones is no account
_KINDS: Final = ("url", "product", "party", "country", "harm", "technique")


class Rarity(msgspec.Struct, frozen=True):
    """How many of `total` reports hold each word or key, as far as it is known; what is not known is rare."""

    total: int
    seen: Mapping[str, int]

    def weight(self, token: str) -> float:
        """1 for what no other report holds, about 0 for what all do."""
        if self.total < 2:
            return 1.0
        return math.log((1 + self.total) / (1 + min(self.seen.get(token, 0), self.total))) / math.log(
            1 + self.total
        )

    def telling(self, words: Iterable[str], most: int) -> list[str]:
        """The rarest of `words`, at most so many; words that a quarter of the reports hold tell nothing."""
        limit = max(2.0, RARE * self.total)
        chosen = {word for word in words if self.seen.get(word, 0) <= limit}
        return sorted(chosen, key=lambda word: (self.seen.get(word, 0), -len(word), word))[:most]


class Traits(msgspec.Struct, frozen=True):
    """What of a report is compared. `keys` are its facets'. `private`: words that no reason may repeat."""

    id: str
    title: tuple[str, ...]
    text: tuple[str, ...]
    keys: Mapping[str, frozenset[str]]
    occurred: datetime | None
    private: frozenset[str] = frozenset()

    @property
    def words(self) -> frozenset[str]:
        """All words."""
        return frozenset((*self.title, *self.text))


class Likeness(msgspec.Struct, frozen=True):
    """`score` 0 to 100; `reasons` in words, the strongest first."""

    score: int
    reasons: tuple[str, ...]


def traits_of(report: IncidentReport) -> Traits:
    """What of `report` is compared."""
    private = frozenset(word for text in suspected_texts(report.objects) for word in tokens(text))
    return traits_from(report.id, report.name, report.description, facets_of(report), private)


def traits_from(
    report_id: str, title: str, description: str, facets: Facets, private: frozenset[str] = frozenset()
) -> Traits:
    """The same from its parts. Secrets are not compared at all."""
    keys: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    for key in facets.keys:
        kind = key.partition(":")[0]
        if kind in keys:
            keys[kind].add(key)
    return Traits(
        id=report_id,
        title=tuple(tokens(without_secrets(title))[:MAX_WORDS]),
        text=tuple(tokens(without_secrets(description))[:MAX_WORDS]),
        keys={kind: frozenset(found) for kind, found in keys.items()},
        occurred=facets.occurred,
        private=private,
    )


def compare(one: Traits, other: Traits, rarity: Rarity) -> Likeness:
    """How like two reports are; the same either way round."""
    hints = [hint for hint in _hints(one, other, rarity) if hint[0] > 0]
    doubt = math.prod(1 - hint for hint, _ in hints)
    score = (1 - doubt) * _time_apart(one, other)
    hints.sort(key=lambda hint: -hint[0])
    return Likeness(round(100 * score), tuple(reason for _, reason in hints))


def _hints(one: Traits, other: Traits, rarity: Rarity) -> Iterable[tuple[float, str]]:
    private = one.private | other.private
    words = _alike(one, other, rarity)
    common = _common_words(one, other, rarity)
    if common:
        yield min(0.95, max(0.0, (words - 0.1) * 1.9)), _said("similar words", common, private, 4)
    named = [
        word
        for word in set(one.title) & set(other.title)
        if rarity.seen.get(word, 0) <= NAMED and len(word) > 3
    ]
    if named:
        yield 0.15 * min(2, len(named)), _said("both titles say", sorted(named), private, 4)
    shared = {kind: one.keys[kind] & other.keys[kind] for kind in _KINDS}
    if shared["url"]:
        weight = max(rarity.weight(key) for key in shared["url"])
        yield 0.7 * weight, _said("the same source", _values(shared["url"]), private)
    if shared["product"]:
        weight = max(rarity.weight(key) for key in shared["product"])
        yield 0.35 * weight, _said("the same system", _values(shared["product"]), private)
    if shared["technique"]:
        yield 0.1, _said("the same technique", _values(shared["technique"]), private)
    if shared["party"]:
        weight = sum(rarity.weight(key) ** 3 for key in shared["party"])
        yield min(0.4, 0.2 * weight), _said("the same parties", _values(shared["party"]), private)
    days = _days_apart(one, other)
    if days is not None and days <= 31:
        close = "on the same day" if days < 1 else f"{math.ceil(days)} days apart"
        yield (0.3 if days <= 3 else 0.12), close
    if shared["country"]:
        yield 0.04, f"the same country: {', '.join(_values(shared['country'])).upper()}"
    if shared["harm"]:
        yield 0.03, f"the same kind of harm: {', '.join(_values(shared['harm']))}"


def _alike(one: Traits, other: Traits, rarity: Rarity) -> float:
    """The likeness of the words, 0 to 1. A long account holds what a short one says, so that counts too."""
    left, right = _vector(one, rarity), _vector(other, rarity)
    shared = left.keys() & right.keys()
    sizes = [math.sqrt(sum(w * w for w in each.values())) for each in (left, right)]
    if not shared or not all(sizes):
        return 0.0
    cosine = sum(left[word] * right[word] for word in shared) / math.prod(sizes)
    held = sum(rarity.weight(word) ** 2 for word in shared)
    least = min(sum(rarity.weight(word) ** 2 for word in each) for each in (left, right))
    return (1 - _HELD) * cosine + _HELD * held / max(least, _FEW)


def _vector(traits: Traits, rarity: Rarity) -> dict[str, float]:
    """Each word by how often it occurs, more in the title, and by how rare it is."""
    counts = Counter(traits.text)
    counts.update(dict.fromkeys(set(traits.title), 2))
    return {word: (1 + math.log(count)) * rarity.weight(word) ** 2 for word, count in counts.items()}


def _common_words(one: Traits, other: Traits, rarity: Rarity) -> list[str]:
    # Numbers are compared, and never repeated: they may be secrets that nothing else gives away.
    common = [word for word in one.words & other.words if len(word) > 1 and word.isalpha()]
    return sorted(common, key=lambda word: (-rarity.weight(word), -len(word), word))


def _days_apart(one: Traits, other: Traits) -> float | None:
    if one.occurred is None or other.occurred is None:
        return None
    return abs((one.occurred - other.occurred).total_seconds()) / 86_400


def _time_apart(one: Traits, other: Traits) -> float:
    """What is left of the score when the events lie far apart; press dates may lie weeks behind, so months are near."""
    days = _days_apart(one, other)
    if days is None or days <= 92:
        return 1.0
    return 0.8 if days <= 366 else 0.6


def _said(what: str, values: Sequence[str], private: AbstractSet[str], most: int = 3) -> str:
    """The reason with the first of its values; what seems to be personal data or a secret is not repeated."""
    told = [value for value in values if private.isdisjoint(tokens(value))]
    return f"{what}: {', '.join(told[:most]) or 'what may be personal data and is not repeated here'}"


def _values(keys: frozenset[str]) -> list[str]:
    return sorted(key.partition(":")[2] for key in keys)[:MOST_VALUES]
