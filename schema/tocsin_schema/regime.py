"""A regime: one rule of law, code or guideline that asks for a report to an authority, as data.

Each regime is one file in `regimes/`, named after its id; `_terms.toml` holds the legal terms that several of them
share. The files are read once, and strictly: an unknown key, an unknown fact, a stage that nobody starts or a form
that nobody can fill is an error of this program, which a test finds.

What rests on a secondary source or on memory has `verified = false` and says in `unverified` what exactly; whoever
shows a regime shows that too.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Final, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from tocsin_schema.clock import Limit
from tocsin_schema.errors import RegimeUnknown
from tocsin_schema.predicate import Condition, Terms, names_of
from tocsin_schema.vocabulary import Words

CLOCK_STARTS: Final[Words] = {
    "aware_at": "the organisation became aware",
    "detected_at": "somebody or something noticed it",
    "causal_link_at": "the link to the AI system was established",
    "occurred_start": "it began",
    "resolved_at": "the cause was removed",
    "classified_at": "it was classified as major",
    "fix_available_at": "a fix was available",
}
T = TypeVar("T")
DONE: Final = "done:"
LOCAL: Final = "local"
# What a form can be filled with; `authority/filling.py` has a function for each.
FILLINGS: Final = frozenset(
    (
        *("title", "description", "occurred", "aware", "places", "harms", "numbers", "affected", "systems"),
        *(
            "involvement",
            "evidence",
            "response",
            "cause",
            "severity",
            "status",
            "sources",
            "why",
            "organisation",
        ),
        *("rights", "sectors", "breadth", "personal-data", "recipient", "deadline", "reference", "summary"),
        "nobody",  # the record cannot hold it: a person writes it
    )
)


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rule is written."""

    citation: str
    url: str = ""


class Effective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when the rule holds, for the incidents that `when` describes (none: all). No date: it holds already."""

    since: date | None = msgspec.field(default=None, name="from")
    when: Condition | None = None
    note: str = ""


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One report that is owed. `starts`: a word of CLOCK_STARTS, or `done:REGIME/STAGE` (REGIME may end with *).

    `within` is the time there is; without it, `words` says what is asked ("immediately") and no clock runs.
    `repeats` asks again and again, each time from the last, until the cause is removed. `form`: the items that this
    report must hold; empty: all.
    """

    id: str
    title: str
    starts: str
    within: Limit | None = None
    words: str = ""
    repeats: bool = False
    recipient: str = ""
    applies_if: Condition | None = None
    form: tuple[str, ...] = ()


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One item of a regime's form: what is asked, and what of the record answers it."""

    id: str
    title: str
    fill: tuple[str, ...]
    note: str = ""
    optional: bool = False


class Regime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule. `zone`: the authority's, an IANA name, or "local": the organisation's own authority's."""

    id: str
    title: str
    jurisdiction: str
    legal_force: Literal["law", "code-of-practice", "guideline"]
    recipient: str
    zone: str
    verified: bool
    source: Source
    applies_if: Condition
    stages: tuple[Stage, ...]
    form: tuple[Item, ...]
    effective: tuple[Effective, ...] = ()
    unverified: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def stage(self, name: str) -> Stage | None:
        """The stage of that id."""
        return next((stage for stage in self.stages if stage.id == name), None)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.verified == bool(self.unverified):
            raise ValueError(f"{self.id}: what is not verified says what, and nothing else does")
        if not self.stages or not self.form:
            raise ValueError(f"{self.id}: no stage, or no form")
        _once(self.id, "stage", [stage.id for stage in self.stages])
        _once(self.id, "item", [item.id for item in self.form])
        if self.zone != LOCAL:
            _check_zone(self)
        for stage in self.stages:
            _check_stage(self, stage)
        for item in self.form:
            if not item.fill or not FILLINGS.issuperset(item.fill):
                raise ValueError(f"{self.id}: item {item.id} is filled with {item.fill}")


class Regimes(msgspec.Struct, frozen=True):
    """All regimes by id, and the terms they share."""

    by_id: Mapping[str, Regime]
    terms: Terms
    digest: bytes  # SHA-256 over the files: other rules, other duties

    def get(self, name: str) -> Regime:
        """The regime of that id.

        Raises: RegimeUnknown.
        """
        found = self.by_id.get(name)
        if found is None:
            known = ", ".join(self.by_id)
            raise RegimeUnknown(f"There is no regime {name[:60]!r}.", hint=f"There are: {known}.")
        return found


@cache
def regimes() -> Regimes:
    """All regimes that came with this program, read once.

    Raises: ValueError (msgspec.ValidationError is one, tomllib.TOMLDecodeError too) that names the file.
    """
    folder = resources.files("tocsin_schema").joinpath("regimes")
    files = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".toml")}
    return read(files)


def read(files: Mapping[str, str]) -> Regimes:
    """Regimes from the texts of their files (name → TOML), checked one by one and together.

    Raises: ValueError that names the file.
    """
    terms = _parsed("_terms.toml", files["_terms.toml"], dict[str, Condition])
    found: dict[str, Regime] = {}
    for name in sorted(files):
        if name == "_terms.toml":
            continue
        regime = _parsed(name, files[name], Regime)
        if f"{regime.id}.toml" != name:
            raise ValueError(f"{name} holds the regime {regime.id}")
        found[regime.id] = regime
    for regime in found.values():
        _check_terms(regime.id, _conditions(regime), terms)
        for stage in regime.stages:
            if stage.starts.startswith(DONE) and not followed(found.values(), stage.starts):
                raise ValueError(f"{regime.id}: nothing is {stage.starts}")
    _check_terms("_terms.toml", terms.values(), terms)
    digest = hashlib.sha256("\0".join(f"{name}\0{files[name]}" for name in sorted(files)).encode()).digest()
    return Regimes(found, terms, digest)


def followed(known: Iterable[Regime], starts: str) -> list[tuple[str, str]]:
    """Which stages `done:REGIME/STAGE` means: pairs of regime and stage."""
    wanted, _, stage = starts.removeprefix(DONE).partition("/")
    prefix = wanted.removesuffix("*") if wanted.endswith("*") else None
    return [
        (regime.id, stage)
        for regime in known
        if regime.stage(stage) and (regime.id == wanted if prefix is None else regime.id.startswith(prefix))
    ]


def _parsed(name: str, text: str, kind: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except ValueError as exc:
        raise ValueError(f"{name}: {exc}") from exc


def _conditions(regime: Regime) -> Iterable[Condition]:
    yield regime.applies_if
    for stage in regime.stages:
        if stage.applies_if:
            yield stage.applies_if
    for effective in regime.effective:
        if effective.when:
            yield effective.when


def _check_terms(where: str, conditions: Iterable[Condition], terms: Terms) -> None:
    for condition in conditions:
        for name in names_of(condition):
            if name not in terms:
                raise ValueError(f"{where}: no term is called {name}")
            if where == "_terms.toml" and list(names_of(terms[name])):
                raise ValueError(f"{where}: {name} is used by a term and may not use others")


def _check_zone(regime: Regime) -> None:
    try:
        ZoneInfo(regime.zone)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError(f"{regime.id}: {regime.zone} is not a time zone") from exc


def _check_stage(regime: Regime, stage: Stage) -> None:
    where = f"{regime.id}/{stage.id}"
    if stage.starts not in CLOCK_STARTS and not stage.starts.startswith(DONE):
        raise ValueError(f"{where}: no clock starts at {stage.starts}")
    if (stage.within is None) == (not stage.words):
        raise ValueError(f"{where}: either a limit or words")
    if stage.repeats and stage.within is None:
        raise ValueError(f"{where}: what repeats needs a limit")
    items = {item.id for item in regime.form}
    if not items.issuperset(stage.form):
        raise ValueError(f"{where}: the form has no item {sorted(set(stage.form) - items)}")


def _once(where: str, what: str, names: list[str]) -> None:
    if len(set(names)) != len(names) or not all(names):
        raise ValueError(f"{where}: a {what} is there twice, or has no id")
