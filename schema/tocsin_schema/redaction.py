"""Redaction by projection: a version for others, made from the private record, which stays as it is.

`project` starts from the form of the record, which is a list of what may be said, and takes away: what is
marked above the clearance, what a person leaves out, private persons, the particulars of evidence, and every
object that the form does not know but for public knowledge (techniques, mitigations, weaknesses, tools). What
was taken away in one place is masked wherever else its words stand. Then a report is made anew, wrapper,
labels, scores and drivers included, so nothing comes along by accident. It has an identifier of its own that
follows from the private one and the clearance: the same projection again is its next version.

The level stays that of the record. When the facts that remain would give another one, the report says that it
was reported or set, and not why: responders must not see less because something is left out.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from tocsin_schema import canonical, ids, place, times
from tocsin_schema.check import check_bundle
from tocsin_schema.compose import compose
from tocsin_schema.errors import (
    AlreadyWithdrawn,
    CannotLeaveOut,
    FormRefused,
    PersonalDataUndecided,
    ReportRefused,
)
from tocsin_schema.form import FORM, PARTY_LISTS, examine
from tocsin_schema.marking import MARKING_IDS, Tlp
from tocsin_schema.place import Place
from tocsin_schema.redaction_marking import above, kept_objects
from tocsin_schema.report import IncidentReport
from tocsin_schema.severity import assess
from tocsin_schema.stix import seal, to_form

MASK: Final = "[…]"
SHORTEST: Final = 3  # characters that a text must have to be looked for elsewhere

Why = Literal["marked", "asked", "person", "replaced", "evidence", "level", "repeats", "object"]
WHY: Final[Mapping[Why, str]] = {
    "marked": "marked above the clearance",
    "asked": "left out as asked",
    "person": "a private person",
    "replaced": "replaced",
    "evidence": "evidence is reduced to its hash",
    "level": "the level stays, its reason does not travel",
    "repeats": "repeats what is left out",
    "object": "not part of what is shared",
}
_STAND_INS: Final = {"title": "AI incident, title left out", "description": "Left out."}
_SET: Final = "The level was set in the full record, which holds more than is said here."
_LEVEL: Final = ("severity_level", "severity_basis", "severity_override")


class Removed(msgspec.Struct, frozen=True):
    """Something that is not in the shared version: where it stood in the form (or what it was), and why."""

    where: str
    why: Why


class Projection(msgspec.Struct, frozen=True):
    """A version for others: its id, its bytes, the form they say, and what was taken away, in order."""

    id: str
    raw: bytes
    form: Mapping[str, Any]
    removed: tuple[Removed, ...]


def project(
    raw: bytes,
    *,
    clearance: Tlp,
    now: datetime,
    drop: Sequence[str] = (),
    replace: Mapping[str, str] | None = None,
    personal_data: Literal["none", "pseudonymised"] | None = None,
    rewritten: Mapping[str, Any] | None = None,
    nth: int = 1,
) -> Projection:
    """The version of a record that may be shared at `clearance`.

    `drop` and `replace` name places (`place.read`); `personal_data` is what the person who looked says of the
    result; `rewritten` is the projected form after a person edited it; `nth` counts on where earlier ones at this
    clearance were withdrawn (`ids.projected_incident_id`). The same arguments give the same bytes; `now` becomes
    `modified`.
    Raises: `ReportRefused` when `raw` is no sound report, `AlreadyWithdrawn`, `NoSuchPlace`, `CannotLeaveOut`,
    `PersonalDataUndecided`, `FormRefused` when what remains is no report.
    """
    report, objects = _opened(raw)
    whole = to_form(raw)
    texts = {place.read(where): text for where, text in (replace or {}).items()}
    asked = [place.read(where) for where in drop]
    for where in (*texts, *asked):
        place.found(whole, where)
    marked, hidden = above(report, objects, whole, clearance)
    gone: dict[Place, Why] = {
        **dict.fromkeys(_evidence(whole), "evidence"),
        **dict.fromkeys(_persons(whole), "person"),
        **dict.fromkeys([("severity_override",)] if "severity_override" in whole else [], "level"),
        **dict.fromkeys(asked, "asked"),
        **dict.fromkeys(marked, "marked"),
    }
    _refuse_needed(gone, texts)
    producer = _producer(report, objects)
    words = _words(whole, objects, producer, gone, texts)
    standing = {**texts, **{where: _STAND_INS[str(where[0])] for where in _stood_in(gone, texts)}}
    left = place.without(place.replaced(place.known(whole), standing), [p for p in gone if p not in standing])
    removed = [Removed(place.written(where), why) for where, why in gone.items()]
    removed += [Removed(place.written(where), "replaced") for where in texts if where not in gone]
    form = _masked(dict(rewritten) if rewritten is not None else left, words, removed)
    form["tlp"] = clearance.value
    _say_personal_data(form, report, personal_data)
    identifier = ids.projected_incident_id(report.id, clearance.value, nth)
    return _made(identifier, form, report, objects, clearance, now, words, hidden, removed)


def _opened(raw: bytes) -> tuple[IncidentReport, list[dict[str, Any]]]:
    checked = check_bundle(raw)
    if checked.report is None:
        raise ReportRefused(checked.findings)
    if checked.report.revoked:
        raise AlreadyWithdrawn
    return checked.report, canonical.parse_strict(raw)["objects"]


def _evidence(form: Mapping[str, Any]) -> list[Place]:
    """All of evidence but kind and hash."""
    return [
        ("evidence", nth, name)
        for nth, each in enumerate(form.get("evidence", ()))
        for name in each
        if name not in {"kind", "sha256"}
    ]


def _persons(form: Mapping[str, Any]) -> list[Place]:
    return [
        (key, nth)
        for key in PARTY_LISTS
        for nth, party in enumerate(form.get(key, ()))
        if isinstance(party, Mapping) and party.get("class") == "individual"
    ]


def _refuse_needed(gone: Mapping[Place, Why], texts: Mapping[Place, str]) -> None:
    for where in gone:
        if where in {("realization",), ("tlp",)} and where not in texts:
            raise CannotLeaveOut(f"No report can do without {place.written(where)}.")


def _stood_in(gone: Collection[Place], texts: Collection[Place]) -> list[Place]:
    """What is left out and must say something all the same."""
    return [where for where in gone if where[0] in _STAND_INS and where not in texts]


def _words(
    whole: Mapping[str, Any],
    objects: Sequence[Mapping[str, Any]],
    producer: Mapping[str, Any],
    gone: Collection[Place],
    texts: Mapping[Place, str],
) -> list[str]:
    """The texts that were taken away, longest first: none of them may stand anywhere in what remains."""
    words: set[str] = set()
    for where, value in place.leaves(whole):
        if not isinstance(value, str) or not place.is_free(where, value):
            continue
        outer = [where[:length] for length in range(1, len(where) + 1)]
        if any(one in gone for one in outer) or (where in texts and value not in texts[where]):
            words.add(value.strip())
    kept = {*_STAND_INS.values(), str(producer.get("name", ""))}  # who answers for it is told in any case
    for obj in objects:
        if obj["type"] == "identity" and obj.get("identity_class") == "individual":
            words.add(obj["name"])
            words.update(part for part in re.findall(r"[^\W\d_]{3,}", obj["name"]) if part[0].isupper())
    return sorted(
        (word for word in words - kept if len(word) >= SHORTEST), key=lambda word: (-len(word), word)
    )


def _masked(form: dict[str, Any], words: Sequence[str], removed: list[Removed]) -> dict[str, Any]:
    """The form with the words masked in prose; a name or an address that holds one goes as a whole."""
    if not words:
        return dict(form)
    pattern = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)

    def change(where: Place, text: str) -> str | None:
        if where[0] in {"tlp", *_LEVEL} or not pattern.search(text) or not place.is_free(where, text):
            return text
        removed.append(Removed(place.written(where), "repeats"))
        if not place.is_prose(where) and where[0] not in _STAND_INS:
            return None
        return pattern.sub(MASK, text)

    masked: dict[str, Any] = place.changed(form, change)
    nameless = [
        (key, nth)
        for key in ("systems", "sources", *PARTY_LISTS)
        for nth, each in enumerate(masked.get(key, ()))
        if MASK in str(each.get("name", MASK) if isinstance(each, Mapping) else each)
    ]
    return dict(place.without(masked, nameless))


def _say_personal_data(form: dict[str, Any], report: IncidentReport, said: str | None) -> None:
    if said is not None:
        form["personal_data"] = said
    elif report.personal_data == "present":
        raise PersonalDataUndecided


def _made(
    identifier: str,
    form: dict[str, Any],
    report: IncidentReport,
    objects: Sequence[Mapping[str, Any]],
    clearance: Tlp,
    now: datetime,
    words: Sequence[str],
    hidden: Collection[str],
    removed: list[Removed],
) -> Projection:
    stamp, born = times.write(now), times.write(report.created)
    producer = _producer(report, objects)
    frame: dict[str, Any] = {
        "producer": producer,
        "incident_id": identifier,
        "created": born,
        "modified": stamp,
    }
    tidy = _graded(form, report, frame)
    made = compose(tidy, **frame)
    links = {
        "created_by_ref": report.created_by_ref,
        "created": born,
        "modified": stamp,
        "object_marking_refs": [MARKING_IDS[clearance]],
    }
    more, others = kept_objects(report, objects, identifier, links, words, hidden)
    removed += [Removed(name, "object") for name in others]
    wrapper = made[-1]
    wrapper["object_refs"] += [obj["id"] for obj in more if obj["id"] not in wrapper["object_refs"]]
    here = {obj["id"] for obj in made}
    whole = [*made[:-1], *(obj for obj in more if obj["id"] not in here), wrapper]
    raw = seal([obj for obj in whole if "type" in obj], identifier, stamp)
    return Projection(identifier, raw, tidy, tuple(removed))


def _producer(report: IncidentReport, objects: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Who answers for the record, as it travels along; only the identifier when it does not."""
    found = (obj for obj in objects if obj["id"] == report.created_by_ref)
    return next(found, {"id": report.created_by_ref})


def _graded(form: Mapping[str, Any], report: IncidentReport, frame: dict[str, Any]) -> dict[str, Any]:
    """The examined form, with the level of the record whatever remains of its facts."""
    bare = {name: value for name, value in form.items() if name not in _LEVEL}
    tidy = _examined(bare)
    level = report.severity.level
    extension = next(
        obj["extensions"][ids.INCIDENT_EXTENSION]
        for obj in compose(tidy, **frame)
        if obj["type"] == "incident"
    )
    computed = assess(extension).level
    if computed == level:
        return tidy
    if computed < level:
        return _examined({**bare, "severity_basis": "reported", "severity_level": level})
    override = {"reason": _SET}
    return _examined(
        {**bare, "severity_basis": "overridden", "severity_level": level, "severity_override": override}
    )


def _examined(form: Mapping[str, Any]) -> dict[str, Any]:
    tidy, found = examine({name: value for name, value in form.items() if name in FORM.fields})
    if any(finding.level == "error" for finding in found):
        raise FormRefused(found)
    return tidy
