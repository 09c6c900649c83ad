"""A remark: what an organisation says about a report, its own or another's, and the check that each one passes.

Three kinds. A *sighting*: we see this too. An *opinion*: how far we agree, in STIX's five steps. An *exposure*:
whether we are affected, which is what a response is steered by. STIX 2.1 has objects for the first two; an exposure
is a note whose label says the word for machines and whose content begins with the same word for people, since
labels are what tools keep, and notes and opinions are what they show beside a report.

`check_remark` never raises: it returns the remark, or everything that is wrong with it at once. In this order must
hold:

 1. at most 16 KiB of strict UTF-8 JSON, 32 levels deep, no key twice in any object;
 2. a STIX bundle of one sighting, opinion or note, the identity that creates it and at most one marking definition,
 each property of the right shape and one of those that remarks have;
 3. it is about one incident: a sighting of it, seen by its creator; a note or an opinion on it and on the report
 object that wraps it;
 4. one TLP 2.0 marking; a marking definition that travels along is the published one;
 5. its identifier is the one that kind, incident, creator and time of creation give;
 6. no time runs backwards;
 7. the label of an exposure and its words say the same.

Whether the report exists, who may speak of it and which of two remarks stands is not decided here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from tocsin_schema import canonical, ids, times
from tocsin_schema.errors import DuplicateKey, SchemaError, TooLarge
from tocsin_schema.finding import Finding, show
from tocsin_schema.marking import MARKING_OBJECTS, Tlp, tlp_of
from tocsin_schema.objects import BUNDLE, OBJECTS
from tocsin_schema.record import Field, ListOf, Record
from tocsin_schema.shape import Ref, Text, Whole, Word

Kind = Literal["sighting", "opinion", "exposure"]
Object = Mapping[str, Any]

MAX_BYTES: Final = 16 * 1024
MAX_DEPTH: Final = 32
MAX_TEXT: Final = 2_000
LABEL: Final = 'ai-incident:exposure="{}"'
# What people read for each word of an exposure; the content of the note begins with it, as a sentence.
ABSTRACT: Final = {"affected": "Affected", "not-affected": "Not affected", "investigating": "Investigating"}
KIND_OF: Final[Mapping[str, Kind]] = {"sighting": "sighting", "opinion": "opinion", "note": "exposure"}
TYPE_OF: Final[Mapping[Kind, str]] = {kind: name for name, kind in KIND_OF.items()}

_COMMON: Final = ("type", "spec_version", "id", "created", "modified")
_MARKED: Final = ("created_by_ref", "object_marking_refs")
_FREE: Final = ("revoked", "lang", "extensions")


def _narrow(kind: str, *needed: str, free: Sequence[str] = (), **other: Field) -> Record:
    """The table of a STIX object with those properties alone that a remark uses."""
    known = OBJECTS[kind].fields
    fields = {name: replace(known[name], required=True) for name in (*_COMMON, *needed)}
    fields.update({name: replace(known[name], required=False) for name in free})
    return Record({**fields, **other}, unknown="refuse")


_ABOUT: Final = Field(ListOf(Ref(("incident", "report")), 2), "the incident and its report object", True)
_WORDS: Final = Text(MAX_TEXT, lines=True)
_TABLES: Final[Mapping[str, Record]] = {
    "sighting": _narrow(
        "sighting",
        *_MARKED,
        free=(*_FREE, "first_seen", "last_seen"),
        description=Field(_WORDS, "in words"),
        count=Field(Whole(1, 999_999_999), "how often", True),
        sighting_of_ref=Field(Ref(("incident",)), "the incident", True),
        where_sighted_refs=Field(ListOf(Ref(("identity",)), 1), "by whom: its creator", True),
    ),
    "opinion": _narrow(
        "opinion", *_MARKED, "opinion", free=_FREE, explanation=Field(_WORDS, "why"), object_refs=_ABOUT
    ),
    "note": _narrow(
        "note",
        *_MARKED,
        free=_FREE,
        abstract=Field(Word(dict.fromkeys(ABSTRACT.values(), "")), "the word, for people", True),
        content=Field(Text(MAX_TEXT + 100, lines=True), "the same, and more", True),
        labels=Field(ListOf(Word(dict.fromkeys(map(LABEL.format, ABSTRACT), "")), 1), "the word", True),
        object_refs=_ABOUT,
    ),
    "identity": _narrow("identity", "name", "identity_class", free=("external_references",)),
    "marking-definition": OBJECTS["marking-definition"],
}


class Remark(msgspec.Struct, frozen=True):
    """A remark that passed every check.

    `said` is the step of an opinion, the word of an exposure, empty for a sighting, which has `count` and may have
    `first_seen` and `last_seen`. Times are aware UTC, cut to the millisecond. `raw` is the bundle byte for byte as
    it arrived and `sha256` its digest (32 bytes).
    """

    id: str
    kind: Kind
    incident_id: str
    created_by_ref: str
    created: datetime
    modified: datetime
    tlp: Tlp
    revoked: bool
    said: str
    text: str
    count: int | None
    first_seen: datetime | None
    last_seen: datetime | None
    raw: bytes
    sha256: bytes


class CheckedRemark(msgspec.Struct, frozen=True):
    """What came out: `remark` is None exactly when a finding of level "error" is among the `findings`."""

    remark: Remark | None
    findings: tuple[Finding, ...]


def remark_id(kind: Kind, incident_id: str, creator: str, created: str) -> str:
    """The identifier of a remark: one for each kind, incident, creator and time of creation."""
    return ids.derive(TYPE_OF[kind], f"remark:{kind}:{incident_id}:{creator}:{created}")


def sentence(word: str) -> str:
    """What the content of an exposure begins with."""
    return f"{ABSTRACT.get(word, word)}."


def check_remark(raw: bytes) -> CheckedRemark:
    """Check the bytes of a remark; never raises, names everything wrong at once."""
    found: list[Finding] = []
    said, identity, marking = _read(raw, found)
    if said is None or identity is None or any(finding.level == "error" for finding in found):
        return CheckedRemark(None, tuple(found))
    kind = KIND_OF[said["type"]]
    incident_id = _check_target(said, found)
    tlp = _check_marking(said, marking, found)
    if incident_id:
        _check_name(said, kind, incident_id, identity, found)
    _check_times(said, found)
    word, text = _check_words(said, kind, found)
    if tlp is None or any(finding.level == "error" for finding in found):
        return CheckedRemark(None, tuple(found))
    return CheckedRemark(_remark(raw, said, kind, incident_id, tlp, word, text), tuple(found))


def _read(raw: bytes, found: list[Finding]) -> tuple[Object | None, Object | None, Object | None]:
    """Rules 1 and 2: the remark's own object, its creator and its marking definition."""
    if len(raw) > MAX_BYTES:
        said = f"The remark has {len(raw):,} bytes; the limit is {MAX_BYTES:,}."
        found.append(Finding("too-large", "", said, TooLarge.hint))
        return None, None, None
    try:
        bundle, doubles = canonical.parse_exact(raw, max_depth=MAX_DEPTH)
    except SchemaError as exc:
        found.append(Finding(exc.code, "", str(exc), exc.hint))
        return None, None, None
    for path, key in doubles:
        found.append(
            Finding("duplicate-key", path, f"The key {show(key)} is there twice.", DuplicateKey.hint)
        )
    found.extend(BUNDLE.explain(bundle))
    objects = bundle.get("objects") if type(bundle) is dict else None
    if type(objects) is not list:
        objects = []
    kinds = [one.get("type") if type(one) is dict else None for one in objects]
    own = [kind for kind in kinds if type(kind) is str and kind in KIND_OF]
    beside = [kind for kind in kinds if type(kind) is not str or kind not in KIND_OF]
    if len(own) != 1 or sorted(map(str, beside)) not in (["identity"], ["identity", "marking-definition"]):
        said = (
            "A remark is one sighting, opinion or note with its creator's identity, and nothing beside them."
        )
        hint = "Make it with tocsin report sight or tocsin report opinion."
        found.append(Finding("remark-objects", "objects", said, hint))
        return None, None, None
    for index, (kind, one) in enumerate(zip(kinds, objects, strict=True)):
        found.extend(finding.below(f"objects[{index}]") for finding in _TABLES[str(kind)].explain(one))
    by_kind = dict(zip(kinds, objects, strict=True))
    return by_kind[own[0]], by_kind["identity"], by_kind.get("marking-definition")


def _check_target(said: Object, found: list[Finding]) -> str:
    """Rule 3: the incident that it is about."""
    refs = [said["sighting_of_ref"]] if "sighting_of_ref" in said else said["object_refs"]
    incidents = [ref for ref in refs if ref.startswith("incident--")]
    if len(incidents) != 1:
        text = "A remark is about one incident and the report object that wraps it."
        found.append(Finding("remark-target", "object_refs", text, "Name one of each."))
        return ""
    return str(incidents[0])


def _check_marking(said: Object, definition: Object | None, found: list[Finding]) -> Tlp | None:
    """Rule 4."""
    tlp = tlp_of(said["object_marking_refs"]) if len(said["object_marking_refs"]) == 1 else None
    if tlp is None:
        text = "The remark does not carry one known TLP 2.0 marking, and nothing else."
        found.append(Finding("tlp-unknown", "object_marking_refs", text, "Give it the report's marking."))
    elif definition is not None and definition != MARKING_OBJECTS[tlp]:
        text = f"The marking definition is not the published one of {tlp.label}."
        hint = "Put the published object there, byte for byte, or leave it out."
        found.append(Finding("marking-altered", "objects", text, hint))
    return tlp


def _check_name(said: Object, kind: Kind, incident_id: str, identity: Object, found: list[Finding]) -> None:
    """Rules 3 and 5: the creator speaks for itself, under the identifier that belongs to the remark."""
    creator = said["created_by_ref"]
    if identity["id"] != creator or said.get("where_sighted_refs", [creator]) != [creator]:
        text = "The identity that travels along, or the one that has seen it, is not the remark's creator."
        hint = "An organisation speaks for itself alone: name its own identity everywhere."
        found.append(Finding("remark-creator", "created_by_ref", text, hint))
    if said["id"] != remark_id(kind, incident_id, creator, said["created"]):
        text = "The identifier is not the one that kind, incident, creator and time of creation give."
        hint = "Make it with tocsin report sight or tocsin report opinion."
        found.append(Finding("remark-id", "id", text, hint))


def _check_times(said: Object, found: list[Finding]) -> None:
    """Rule 6."""
    if _moment(said["modified"]) < _moment(said["created"]):
        text = f"modified ({said['modified']}) lies before created ({said['created']})."
        found.append(
            Finding("modified-before-created", "modified", text, "Set modified to created or later.")
        )
    first, last = said.get("first_seen"), said.get("last_seen")
    if first is not None and last is not None and _moment(last) < _moment(first):
        text = f"last_seen ({last}) lies before first_seen ({first})."
        found.append(Finding("last-before-first", "last_seen", text, "Check the two times."))


def _check_words(said: Object, kind: Kind, found: list[Finding]) -> tuple[str, str]:
    """Rule 7: the word that is said, and the free text beside it."""
    if kind == "sighting":
        return "", said.get("description", "")
    if kind == "opinion":
        return said["opinion"], said.get("explanation", "")
    word = next(word for word in ABSTRACT if LABEL.format(word) == said["labels"][0])
    lead, content = sentence(word), said["content"]
    if said["abstract"] != ABSTRACT[word] or not (content == lead or content.startswith(f"{lead}\n\n")):
        text = "The label says one thing and the words another; people and machines would read two remarks."
        hint = f"Let abstract be {show(ABSTRACT[word])} and let the content begin with {show(lead)}."
        found.append(Finding("remark-words", "content", text, hint))
    return word, content[len(lead) + 2 :]


def _remark(raw: bytes, said: Object, kind: Kind, incident_id: str, tlp: Tlp, word: str, text: str) -> Remark:
    return Remark(
        id=said["id"],
        kind=kind,
        incident_id=incident_id,
        created_by_ref=said["created_by_ref"],
        created=_moment(said["created"]),
        modified=_moment(said["modified"]),
        tlp=tlp,
        revoked=said.get("revoked", False),
        said=word,
        text=text,
        count=said.get("count"),
        first_seen=_moment(said["first_seen"]) if "first_seen" in said else None,
        last_seen=_moment(said["last_seen"]) if "last_seen" in said else None,
        raw=raw,
        sha256=hashlib.sha256(raw).digest(),
    )


def _moment(text: str) -> datetime:
    moment = times.parse(text)
    assert moment is not None  # the object's table has passed it
    return times.to_millisecond(moment)
