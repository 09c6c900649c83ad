"""The AI Vulnerability Database's records (https://avidml.org, MIT), one JSON record a line, as reports.

AVID files flaws, and a flaw is a hazard in OECD's sense: harm is plausible and has not happened. So each
becomes an incident with the realization `potential` that carries the flaw as a `vulnerability` object
(`avid_flaw.py`). Where AVID only repeats an incident of the AI Incident Database or a case study of ATLAS,
the record becomes an incident `derived-from` the one that those imports make, with no claim of its own on
whether harm happened.

People who are credited are not carried. Whoever is named as developer or deployer and may be a private
person is withheld, as in the import of the AI Incident Database.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO, Final

from tocsin_schema import canonical, ids, times
from tocsin_schema.compose import PARTY_EPOCH, relate
from tocsin_schema.errors import ImportUnreadable, SchemaError
from tocsin_schema.finding import show
from tocsin_schema.imports import avid_flaw
from tocsin_schema.imports.foreign import at, day_at, list_at, text_at, texts_at
from tocsin_schema.imports.parties import Parties
from tocsin_schema.imports.record import Record
from tocsin_schema.imports.references import references
from tocsin_schema.imports.source import Beside, Object, Source, refused
from tocsin_schema.imports.tidy import byte_lines, tidy_text, title_and_description

SOURCE: Final = Source(key="avid", name="AI Vulnerability Database", url="https://avidml.org", license="MIT")
MAX_SYSTEMS: Final = 100

_KEY: Final = re.compile(r"AVID-\d{4}-[RV]\d{3,6}", re.ASCII).fullmatch
_AIID: Final = re.compile(r"https?://incidentdatabase\.ai/cite/(\d{1,10})(?:\D|\Z)", re.ASCII).match
_ATLAS: Final = re.compile(r"https?://atlas\.mitre\.org/studies/(AML\.CS\d{4})(?:\D|\Z)", re.ASCII).match
_ELSEWHERE: Final = {"AIID Incident": ("aiid", _AIID), "ATLAS Case Study": ("atlas", _ATLAS)}
_KINDS: Final = {"model": "model", "system": "system", "dataset": "dataset"}
_SEP_CODE: Final = re.compile(r"([SEP]\d{4})\b[:.\s]*(.*)", re.ASCII).match
_PHASE: Final = re.compile(r"(L0[1-6])\b[:.\s]*(.*)", re.ASCII).match
# What AVID's classes say would be harmed; the others say what is wrong with a model and not whom it harms.
_HARMS: Final = {
    "S": "ai-security",
    "E01": "discrimination",
    "E03": "harmful-content",
    "P0401": "psychological",
    "P0402": "physical-health",
    "P0403": "economic",
}


def read(stream: BinaryIO, *, as_of: datetime | None = None) -> Iterator[Record]:
    """One record for each line of reports.jsonl or vulnerabilities.jsonl, in the order of the file.

    `as_of`: the date of the export, put as `modified` of records that do not say when they were modified.
    Raises: `ImportUnreadable` when the file begins with JSON that is spread over several lines.
    """
    seen: set[str] = set()
    for number, line in byte_lines(stream):
        if number == 1 and line is not None and line.strip() in (b"{", b"["):
            said = "The file holds one JSON document on several lines; AVID's records come one a line."
            raise ImportUnreadable(said, hint="Write each record on one line, for example with jq -c.")
        key = f"{SOURCE.key}:line {number}"
        if line is None:
            yield refused(key, "too-large", "The line has more than 1 MiB.")
            continue
        try:
            value = canonical.parse_strict(line)
        except SchemaError as exc:
            yield refused(key, exc.code, str(exc))
            continue
        yield _record(value, key, seen, as_of)


def _record(value: Any, line: str, seen: set[str], as_of: datetime | None) -> Record:
    key = text_at(value, "metadata", "report_id") or text_at(value, "metadata", "vuln_id")
    if not _KEY(key):
        said = f"It has no report_id or vuln_id such as AVID-2023-V001, but {show(key)}."
        return refused(line, "import-malformed", said)
    name = f"{SOURCE.key}:{key}"
    if key in seen:
        said = "The file holds this record twice; the first one was taken."
        return refused(name, "import-duplicate", said)
    seen.add(key)
    repairs: list[str] = []
    form = _form(value, key, repairs)
    created, modified = _times(value, as_of, repairs)
    origin = _origin(value)
    beside: Beside
    if origin is None:
        beside = partial(avid_flaw.beside, value=value, form=form, key=key)
    else:
        beside = partial(_derived, origin=origin, value=value)
    return SOURCE.publish(key, form, repairs, created=created, modified=modified, beside=beside)


def _form(value: Mapping[str, Any], key: str, repairs: list[str]) -> dict[str, Any]:
    form: dict[str, Any] = {
        "tlp": "clear",
        "realization": "potential" if _origin(value) is None else "unknown",
        "report_status": "submitted",
    }
    title, description = title_and_description(
        text_at(value, "problemtype", "description", "value"), text_at(value, "description", "value"), repairs
    )
    parties = Parties(form, repairs)
    artifacts = [text_at(one, "name") for one in list_at(value, "affects", "artifacts")]
    shown: dict[str, list[str]] = {}
    for theirs, ours in (("developer", "developers"), ("deployer", "deployers")):
        # Where ATLAS is repeated, the system stands where its operator should.
        names = [one for one in texts_at(value, "affects", theirs) if one not in artifacts]
        shown[ours] = parties.add(ours, names, display=lambda name, _kind: name)
    parties.close()
    form["title"], form["description"] = parties.mask(title, description)
    systems = _systems(value, shown["developers"], repairs)
    if systems:
        form["systems"] = systems
    _classify(value, form)
    cvss = avid_flaw.cvss(value, repairs)
    if cvss:
        form["cvss"] = cvss
    url = f"{SOURCE.url}/database/{key.lower()}/"
    form["source_record"], own = SOURCE.record(key, url, value, "AI Vulnerability Database, MIT")
    reports = [text_at(one, "report_id") for one in list_at(value, "reports")]
    if named := [one for one in dict.fromkeys(reports) if _KEY(one)]:
        form["source_record"]["report_ids"] = named[:2000]
    form["sources"] = [
        own,
        *parties.mask_sources(references(list_at(value, "references"), "label", repairs)),
    ]
    return form


def _systems(value: object, developers: Sequence[str], repairs: list[str]) -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    nameless = 0
    for one in list_at(value, "affects", "artifacts"):
        name = tidy_text(text_at(one, "name"), 500, "artifact", repairs, line=True)
        if not name:
            nameless += 1
            continue
        system = {"name": name}
        if developers:
            system["vendor"] = developers[0]
        kind = _KINDS.get(text_at(one, "type").lower())
        if kind:
            system["kind"] = kind
            system["role"] = "dataset" if kind == "dataset" else "primary"
        found.setdefault(name, system)
    if nameless:
        repairs.append(f"{nameless} artifact(s) without a name left out")
    if len(found) > MAX_SYSTEMS:
        repairs.append(f"{len(found) - MAX_SYSTEMS} artifact(s) beyond {MAX_SYSTEMS} left out")
    return list(found.values())[:MAX_SYSTEMS]


def _classify(value: object, form: dict[str, Any]) -> None:
    """AVID's classes as classifications, and what they say would be harmed and when."""
    version = text_at(value, "impact", "avid", "taxonomy_version")[:40]
    classes: list[dict[str, str]] = []
    harms: dict[str, None] = {}
    for scheme, name, matches in (
        ("avid-sep", "sep_view", _SEP_CODE),
        ("avid-lifecycle", "lifecycle_view", _PHASE),
    ):
        for match in filter(None, map(matches, texts_at(value, "impact", "avid", name))):
            label = tidy_text(match[2], 250, name, [], line=True)
            one = {"scheme": scheme, "code": match[1], "version": version, "label": label}
            classes.append({field: said for field, said in one.items() if said.strip()})
            if scheme == "avid-sep":
                harms.update((kind, None) for code, kind in _HARMS.items() if match[1].startswith(code))
    phases = [one["code"] for one in classes if one["scheme"] == "avid-lifecycle"]
    if classes:
        form["classifications"] = classes[:100]
    if phases:
        form["lifecycle_phase"] = list(dict.fromkeys(phases))
    if harms and form["realization"] == "potential":
        form["harms"] = [{"harm_type": kind} for kind in harms]


def _times(value: object, as_of: datetime | None, repairs: list[str]) -> tuple[str, str]:
    created = day_at(value, "reported_date") or day_at(value, "published_date")
    if created is None:
        repairs.append("no sound date: created is a fixed day")
        created = PARTY_EPOCH
    later = day_at(value, "last_modified_date") or (times.write(as_of) if as_of is not None else created)
    return created, max(created, later)


def _origin(value: object) -> str | None:
    """The incident that another collection has made of the same event, when AVID says that it repeats one."""
    place = text_at(value, "problemtype", "classof")
    if place not in _ELSEWHERE:
        return None
    source, matches = _ELSEWHERE[place]
    for one in list_at(value, "references"):
        match = matches(text_at(one, "url"))
        if match is not None:
            key = str(int(match[1])) if source == "aiid" else match[1]
            return ids.imported_incident_id(source, key)
    return None


def _derived(incident_id: str, frame: Mapping[str, Any], *, origin: str, value: object) -> list[Object]:
    """What ties the incident to the one it was derived from."""
    said = tidy_text(text_at(at(value, "problemtype"), "classof"), 100, "classof", [], line=True)
    return [relate(incident_id, "derived-from", origin, "original", frame, said=f"role: original ({said})")]
