"""The check that every report passes on its way in, from a person or from a peer.

`check_bundle` never raises: it returns the report, or everything that is wrong with it at once. In this
order must hold:

 1. at most 1 MiB of strict UTF-8 JSON, 32 levels deep, no key twice in any object, no half characters, no
 NaN;
 2. a STIX bundle of 1 to 2,000 objects, each of a type that reports may carry, each property of the right
 shape;
 3. no identifier twice;
 4. exactly one incident, with the ai-incident extension and a creator, and exactly one report object that
 wraps it;
 5. incident and report carry one TLP 2.0 marking each, the same one; TLP 1 and unknown markings are refused;
 6. a marking definition that travels along is the one its identifier belongs to;
 7. no object is marked more strictly than the report, and none that tells of the incident more loosely;
 8. wrapper and incident agree on creator and withdrawal; no version is older than its first one;
 9. severity fields agree with what the facts give, unless a person or the source set the level;
10. facts do not contradict the realization.

Personal data is not decided here: a report with personal data may be stored, and `release_findings` says
why it may not leave. References to objects that are not in the bundle, and properties of later profiles,
are warnings: kept, reported.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from tocsin_schema import canonical, times
from tocsin_schema.agreement import check_agreement
from tocsin_schema.errors import DuplicateKey, SchemaError, TooLarge
from tocsin_schema.finding import Finding, show
from tocsin_schema.handling import check_markings
from tocsin_schema.ids import INCIDENT_EXTENSION
from tocsin_schema.marking import Tlp
from tocsin_schema.objects import BUNDLE, CARRIED, OBJECTS
from tocsin_schema.report import IncidentReport, SourceRecord
from tocsin_schema.severity import CLAIMED, Severity
from tocsin_schema.shape import few_suggestions, nearest, wrong_type
from tocsin_schema.survey import Object, Survey

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_OBJECTS: Final = 2000
MAX_FINDINGS: Final = 200

_bundle_test: Final = BUNDLE.passes()
_tests: Final = {kind: record.passes() for kind, record in OBJECTS.items()}
# Parties, systems and markings are the same in many reports; see `_remember`.
_RECURRING: Final = frozenset(("identity", "software", "marking-definition"))
_familiar: Final[dict[str, Object]] = {}
# When the objects could not be read, "there is no incident" would be noise.
NO_OBJECTS: Final = frozenset(
    (
        "too-large",
        "too-deep",
        "not-utf8",
        "not-json",
        "bad-number",
        "wrong-type",
        "null-value",
        "type-not-carried",
    )
)


class Checked(msgspec.Struct, frozen=True):
    """What came out: `report` is None exactly when a finding of level "error" is among the `findings`."""

    report: IncidentReport | None
    findings: tuple[Finding, ...]


def check_bundle(raw: bytes) -> Checked:
    """Check the bytes of a bundle; never raises, names everything wrong at once (at most 200 findings).

    Its work is linear in the bytes whatever they hold; a word that was probably meant is named 20 times at most.
    """
    found: list[Finding] = []
    with few_suggestions():
        survey = Survey(_read(raw, found))
    _check_ids(survey, found)
    incident = _the(survey.incidents, "incident", found)
    wrapper = _the(survey.reports, "report", found)
    if incident is None or wrapper is None:
        return Checked(None, _capped(found))
    tlp = check_markings(survey, incident, wrapper, found)
    severity = check_agreement(survey, incident, wrapper, found)
    if tlp is None or severity is None or (found and any(finding.level == "error" for finding in found)):
        return Checked(None, _capped(found))
    return Checked(
        _report(raw, survey.objects, incident, wrapper, tlp, severity), tuple(found[:MAX_FINDINGS])
    )


def release_findings(report: IncidentReport) -> tuple[Finding, ...]:
    """What keeps a sound report on this node: one error when it says that personal data is present."""
    if report.personal_data == "present":
        said = "The report says that it names people; such a report never leaves the node."
        hint = "Replace the names, set personal_data to pseudonymised or none, and update the report."
        return (
            Finding("personal-data-present", "incident.extensions.ai-incident.personal_data", said, hint),
        )
    return ()


def _read(raw: bytes, found: list[Finding]) -> list[Object]:
    """Rules 1 and 2: the objects, each a dict with a text `type` and only properties of the right shape."""
    if len(raw) > MAX_BYTES:
        said = f"The report has {len(raw):,} bytes; the limit is {MAX_BYTES:,}."
        found.append(Finding("too-large", "", said, TooLarge.hint))
        return []
    refused: Finding | None = None
    bundle, proven = canonical.parse_fast(raw)
    if not proven:
        try:
            bundle, doubles = canonical.parse_exact(raw, max_depth=MAX_DEPTH)
        except SchemaError as refusal:
            try:  # a number that is none, a control character, a byte that is not UTF-8: the rest has findings too
                bundle, doubles, wrong = canonical.parse_lenient(raw, max_depth=MAX_DEPTH)
            except SchemaError as exc:
                found.append(Finding(exc.code, "", str(exc), exc.hint))
                return []
            found.extend(Finding(exc.code, "", str(exc), exc.hint) for exc in wrong)
            refused = Finding(refusal.code, "", str(refusal), refusal.hint)
        for path, key in doubles:
            said = f"The key {show(key)} is there twice."
            found.append(Finding("duplicate-key", path, said, DuplicateKey.hint))
    sound = _objects(raw, bundle, found, shallow=not proven)
    if refused is not None and all(finding.code != refused.code for finding in found):
        found.append(refused)  # no place was found for it, but a text that was refused stays refused
    return sound


def _objects(raw: bytes, bundle: Any, found: list[Finding], *, shallow: bool) -> list[Object]:
    """Rule 2. `shallow`: that it is not nested too deeply is known already."""
    try:
        whole = _bundle_test(bundle)
    except (TypeError, LookupError):
        whole = False
    if not whole:
        found.extend(BUNDLE.explain(bundle))
    objects = bundle.get("objects") if type(bundle) is dict else None
    if type(objects) is not list:
        if objects is not None:
            found.extend(finding.below("objects") for finding in wrong_type(objects, "a list of objects"))
        return []
    if not 0 < len(objects) <= MAX_OBJECTS:
        said = f"The bundle has {len(objects):,} objects; it may have 1 to {MAX_OBJECTS:,}."
        found.append(
            Finding("too-many" if objects else "empty-list", "objects", said, "Send one incident a bundle.")
        )
    before = len(found)
    sound = [_check_object(objects, index, found) for index in range(min(len(objects), MAX_OBJECTS))]
    if not shallow and any(finding.code.startswith("unknown-") for finding in found[before:]):
        # Known properties are as shallow as their tables; only unknown ones can reach the limit.
        try:
            canonical.check_depth(raw, MAX_DEPTH)
        except SchemaError as exc:
            found.append(Finding(exc.code, "", str(exc), exc.hint))
    return sound


def _check_object(objects: Sequence[Any], index: int, found: list[Finding]) -> Object:
    obj = objects[index]
    try:
        if _familiar.get(obj["id"]) == obj:
            return obj  # type: ignore[no-any-return]  # a dict, as the one it equals
        kind = obj["type"]
        if _tests[kind](obj):
            if kind in _RECURRING:
                _remember(obj)
            return obj  # type: ignore[no-any-return]  # a dict, since it passed
    except (TypeError, LookupError):
        pass  # two of the ways in which a test says no; the rest finds out why
    return _explain_object(objects, index, found)


def _remember(obj: Object) -> None:
    """Keep a sound object that other reports will carry too, so that it need not be tested again.

    Only objects of nothing but text: what equals them is of text too, whereas true equals 1.
    """
    if _only_text(obj):
        if len(_familiar) >= 256:
            _familiar.clear()
        _familiar[obj["id"]] = obj


def _only_text(value: object) -> bool:
    if type(value) is dict:
        return all(map(_only_text, value.values()))
    return type(value) is str or (type(value) is list and all(map(_only_text, value)))


def _explain_object(objects: Sequence[Any], index: int, found: list[Finding]) -> Object:
    """Say what is wrong with an object; what is left of it is good enough for the rules across objects."""
    obj = objects[index]
    kind = obj.get("type") if type(obj) is dict else None
    if type(kind) is not str or kind not in OBJECTS:
        found.append(_wrong_kind(obj, kind).below(f"objects[{index}]"))
        return {"type": ""}
    wrong = OBJECTS[kind].explain(obj)
    first = kind not in [one.get("type") for one in objects[:index] if type(one) is dict]
    where = kind if kind in ("incident", "report") and first else f"objects[{index}]"
    found.extend(finding.below(where) for finding in wrong)
    if all(finding.level == "warning" for finding in wrong):
        return obj  # type: ignore[no-any-return]  # a dict, as found above
    return {**OBJECTS[kind].sound(obj), "type": kind}


def _wrong_kind(obj: object, kind: object) -> Finding:
    if type(obj) is not dict:
        return wrong_type(obj, "an object")[0]
    if "type" not in obj:
        return Finding("missing-property", "type", "type is missing.", "Say which STIX object this is.")
    if type(kind) is not str:
        return wrong_type(kind, "a word")[0].below("type")
    close = nearest(kind, OBJECTS)
    hint = f"Did you mean {close}? " if close else "Leave it out; "
    said = f"Reports do not carry objects of type {show(kind)}."
    return Finding("type-not-carried", "type", said, f"{hint}they carry {CARRIED}.")


def _check_ids(survey: Survey, found: list[Finding]) -> None:
    """Rule 3."""
    if len(survey.ids) == len(survey.names):
        return
    seen: set[str] = set()
    for index, name in enumerate(survey.names):
        if name in seen:
            said = f"{show(name, 60)} is the identifier of two objects."
            hint = "Keep one; a report carries one version of each object."
            found.append(Finding("duplicate-object", f"objects[{index}].id", said, hint))
        elif name is not None:
            seen.add(name)


def _the(ones: Sequence[Object], kind: str, found: list[Finding]) -> Object | None:
    """Rule 4: the one object of a type."""
    if len(ones) == 1:
        return ones[0]
    if ones:
        said = f"The bundle holds {len(ones)} objects of type {kind}; it may hold one."
        hint = "File each incident as a report of its own; tocsin import stix takes such a bundle apart."
        code = "many-incidents" if kind == "incident" else "many-reports"
        found.append(Finding(code, "objects", said, hint))
    elif not any(finding.code in NO_OBJECTS for finding in found):
        said = f"The bundle holds no object of type {kind}."
        hint = "File it with tocsin report new, or import it with tocsin import stix, which completes it."
        code = "no-incident" if kind == "incident" else "no-report"
        found.append(Finding(code, "objects", said, hint))
    return None


def _capped(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """At most 200 findings, errors first, with a last one that counts the rest."""
    if len(found) <= MAX_FINDINGS:
        return tuple(found)
    ordered = sorted(found, key=lambda finding: finding.level)
    said = f"There are {len(found) - MAX_FINDINGS + 1:,} further findings."
    more = Finding("more-findings", "", said, "Mend these first, then check again.")
    return (*ordered[: MAX_FINDINGS - 1], more)


def _report(
    raw: bytes, objects: Sequence[Object], incident: Object, wrapper: Object, tlp: Tlp, severity: Severity
) -> IncidentReport:
    extension = incident["extensions"][INCIDENT_EXTENSION]
    return IncidentReport(
        id=incident["id"],
        wrapper_id=wrapper["id"],
        created_by_ref=incident["created_by_ref"],
        created=_moment(incident["created"]),
        modified=_moment(incident["modified"]),
        name=incident["name"],
        description=incident["description"],
        tlp=tlp,
        realization=extension["realization"],
        revoked=incident.get("revoked", False),
        extension=extension,
        severity=severity,
        claimed={name: extension[name] for name in CLAIMED if name in extension},
        systems=_systems(objects, extension),
        personal_data=extension.get("personal_data", "unstated"),
        source=_source(extension.get("source_record")),
        raw=raw,
        sha256=hashlib.sha256(raw).digest(),
        objects=objects,
    )


@lru_cache(1024)
def _moment(text: str) -> datetime:
    moment = times.parse(text)
    assert moment is not None  # the object's table has passed it
    return times.to_millisecond(moment)


def _systems(objects: Sequence[Object], extension: Mapping[str, Any]) -> tuple[str, ...]:
    """The AI systems in the order in which the incident names them: "vendor name version"."""
    uses = extension.get("systems")
    if uses is None:
        return ()
    named = {obj["id"]: obj for obj in objects if obj["type"] in ("software", "infrastructure")}
    return tuple(system_name(named[use["system_ref"]]) for use in uses if use["system_ref"] in named)


def system_name(obj: Object) -> str:
    """A software object for people; the vendor is not said twice: "OpenAI GPT-4"."""
    name, vendor, version = obj["name"], obj.get("vendor", ""), obj.get("version", "")
    if vendor and not name.casefold().startswith(vendor.casefold()):
        name = f"{vendor} {name}"
    return f"{name} {version}" if version else str(name)


def _source(record: Mapping[str, Any] | None) -> SourceRecord | None:
    if record is None:
        return None
    texts = {name: record[name] for name in _SOURCE_TEXTS if name in record}
    return SourceRecord(**texts, report_ids=tuple(record.get("report_ids", ())))


_SOURCE_TEXTS: Final = ("source", "id", "url", "license", "retrieved_at", "sha256")
