"""Whether a report seems to hold personal data or secrets: where, of which kind, and what to do.

Run where people write and where reports leave, never where reports stream in: what a peer sent has left
already. Every text of every object is looked at, unknown properties included, but for identifiers, times and
hashes, and for the organisation that answers for the report, which names itself on purpose.

A suspicion never repeats what it is about: the finding shows its shape with every letter and digit masked, and
says where it stands. What makes two suspicions the same is a digest, so that a decision about one can be kept
without keeping what was found.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from tocsin_schema import canonical
from tocsin_schema.finding import Finding, join, label
from tocsin_schema.ids import INCIDENT_EXTENSION, NICKNAMES, is_id
from tocsin_schema.personal import PERSONAL, personal
from tocsin_schema.secret import SECRETS, Spot, secrets

MOST: Final = 100  # suspicions a report; whoever has more has seen enough
_MASK_LENGTH: Final = 24
_DEPTH: Final = 32

Code = Literal["personal-data-suspected", "secret-suspected"]

_PLAIN_WORDS: Final = """\
type id spec_version created modified published extension_type profile_version sha256 SHA-256
object_marking_refs identity_class relationship_type tlp countries
"""
_PLAIN: Final = frozenset(_PLAIN_WORDS.split())  # properties that hold no words of people
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]{5,20}(?:Z|[+-]\d\d:\d\d)|[0-9a-f]{32,128}").fullmatch
_WORD: Final = re.compile(
    r"[a-z]{1,20}(?:[ -][a-z]{1,20}){0,4}"
).fullmatch  # of a vocabulary: no name, no number
_FORM_PARTIES: Final = ("developers", "deployers", "affected", "actors")


class Suspicion(msgspec.Struct, frozen=True):
    """One thing that seems to be personal data or a secret. `digest` (32 bytes) is of its kind and exact text."""

    code: Code
    kind: str
    path: str
    place: str
    shape: str
    digest: bytes

    def finding(self) -> Finding:
        """As a finding of level "warning"; it holds no letter and no digit of what was found."""
        if self.code == "secret-suspected":
            said = f"This looks like {SECRETS[self.kind]}: {self.shape}, {self.place}."
            hint = (
                "Take it out and have it revoked: whoever reads the report could use it. If it is none, say who"
                " has looked: --reviewed-by NAME."
            )
            return Finding("secret-suspected", self.path, said, hint, "warning")
        said = f"This looks like {PERSONAL[self.kind]}: {self.shape}, {self.place}."
        hint = (
            "Leave it out; or file it with --no-share and share a redacted version (tocsin report redact ID); or say"
            " who has looked and takes it on: --reviewed-by NAME."
        )
        return Finding("personal-data-suspected", self.path, said, hint, "warning")


def suspicions(raw: bytes) -> tuple[Suspicion, ...]:
    """What a bundle seems to hold, each once, where it stands first; empty for bytes that are no bundle."""
    bundle, _ = canonical.parse_fast(raw)
    objects = bundle.get("objects") if isinstance(bundle, dict) else None
    if not isinstance(objects, list):
        return ()
    owner, regions = _frame(objects)
    return _gathered(_of_objects(objects, owner), regions)


def suspected_texts(objects: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The very words in a bundle's objects that seem to be personal data or secrets, to keep them out of something."""
    owner, regions = _frame(objects)
    return tuple(
        text[spot.start : spot.end]
        for _, text in _of_objects(objects, owner)
        for _, spot in _spots(text, regions)
    )


def suspicions_of_form(form: Mapping[str, Any]) -> tuple[Suspicion, ...]:
    """What a form seems to hold; paths are those of the form."""
    people = [
        ((("", key), nth), _Person(party.get("name", "")))
        for key in _FORM_PARTIES
        for nth, party in enumerate(form[key] if isinstance(form.get(key), list) else ())
        if isinstance(party, Mapping) and party.get("class") == "individual"
    ]
    return _gathered([*_texts(form, "", 0), *people], _regions(form))


def findings_of(found: Sequence[Suspicion]) -> tuple[Finding, ...]:
    """The suspicions as findings."""
    return tuple(each.finding() for each in found)


class _Person(str):
    """The name of a party that is said to be a single person."""

    __slots__ = ()


# A place on the way down, written out only where something is found: ((("incident", "extensions"), "…"), 3).
Trail = str | tuple["Trail", str | int]
Texts = Iterable[tuple[Trail, str]]


def _gathered(texts: Texts, regions: Sequence[str]) -> tuple[Suspicion, ...]:
    found: dict[bytes, Suspicion] = {}
    seen: set[str] = set()
    for trail, text in texts:
        if text in seen and not isinstance(text, _Person):
            continue
        seen.add(text)
        for code, spot in _spots(text, regions):
            piece = text[spot.start : spot.end]
            digest = hashlib.sha256(f"{spot.kind}\0{piece}".encode("utf-8", "surrogatepass")).digest()
            if digest not in found:
                path, place = _written(trail), _place(text, spot.start)
                found[digest] = Suspicion(code, spot.kind, path, place, _masked(piece), digest)
                if len(found) >= MOST:
                    return tuple(found.values())
    return tuple(found.values())


def _spots(text: str, regions: Sequence[str]) -> Iterator[tuple[Code, Spot]]:
    """Secrets before personal data; what a secret covers is not told again as a number of a person."""
    if isinstance(text, _Person):
        yield "personal-data-suspected", Spot("person-party", 0, len(text))
        return
    covered: list[Spot] = []
    for spot in secrets(text):
        if not _inside(spot, covered):
            covered.append(spot)
            yield "secret-suspected", spot
    for spot in personal(text, regions):
        if not _inside(spot, covered):
            covered.append(spot)
            yield "personal-data-suspected", spot


def _inside(spot: Spot, covered: Sequence[Spot]) -> bool:
    return any(spot.start < other.end and other.start < spot.end for other in covered)


def _written(trail: Trail) -> str:
    if isinstance(trail, str):
        return trail
    above, step = trail
    if isinstance(step, int):
        return f"{_written(above)}[{step}]"
    return join(_written(above), NICKNAMES.get(step, label(step)))


def _of_objects(objects: Sequence[Any], owner: object) -> Iterator[tuple[Trail, str]]:
    """Every text that people wrote; the incident comes first and the wrapper last, without what it repeats of it."""
    order = {"incident": 0, "report": 2}
    told = ""
    numbered = sorted(enumerate(objects), key=lambda pair: order.get(_kind(pair[1]), 1))
    for index, obj in numbered:
        kind = _kind(obj)
        if not isinstance(obj, Mapping) or kind in {"marking-definition", "extension-definition"}:
            continue
        path = kind if kind in order else f"objects[{index}]"
        if kind == "identity" and obj.get("id") == owner:
            continue
        if kind == "identity" and obj.get("identity_class") == "individual":
            yield (path, "name"), _Person(obj.get("name", ""))
            yield from _texts({key: value for key, value in obj.items() if key != "name"}, path, 0)
        else:
            for trail, text in _texts(obj, path, 0):
                yield trail, text.removesuffix(told) if kind == "report" else text
        if kind == "incident":
            told = str(obj.get("description", ""))


def _kind(obj: object) -> str:
    return str(obj.get("type", "")) if isinstance(obj, Mapping) else ""


def _texts(value: object, trail: Trail, depth: int) -> Iterator[tuple[Trail, str]]:
    if isinstance(value, str):
        if not (_WORD(value) or is_id(value) or _TIME(value)):
            yield trail, value
    elif depth > _DEPTH:
        return
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name not in _PLAIN and not str(name).endswith(("_ref", "_refs")):
                yield from _texts(item, (trail, str(name)), depth + 1)
    elif isinstance(value, list | tuple):
        for nth, item in enumerate(value):
            yield from _texts(item, (trail, nth), depth + 1)


def _frame(objects: Sequence[Any]) -> tuple[object, list[str]]:
    """Who answers for the report, and in which countries it happened."""
    for obj in objects:
        if _kind(obj) == "incident":
            extensions = obj.get("extensions")
            facts = extensions.get(INCIDENT_EXTENSION) if isinstance(extensions, Mapping) else None
            return obj.get("created_by_ref"), _regions(facts if isinstance(facts, Mapping) else {})
    return None, []


def _regions(facts: Mapping[str, Any]) -> list[str]:
    countries = facts.get("countries")
    return [str(each) for each in countries if isinstance(each, str)] if isinstance(countries, list) else []


def _place(text: str, start: int) -> str:
    """Where a character stands, as an editor counts."""
    line = text.count("\n", 0, start)
    column = start - (text.rfind("\n", 0, start) + 1)
    return f"at character {column + 1}" + (f" of line {line + 1}" if line else "")


def _masked(piece: str) -> str:
    """The shape of a text: every letter and digit a dot, at most 24 characters."""
    shape = "".join(
        "•" if c.isalnum() else c if c.isascii() and c.isprintable() else "·" for c in piece[:_MASK_LENGTH]
    )
    more = f"… ({len(piece)} characters)" if len(piece) > _MASK_LENGTH else ""
    return f"“{shape}”{more}"
