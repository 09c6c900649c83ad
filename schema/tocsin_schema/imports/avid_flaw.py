"""The flaw in a record of AVID: a `vulnerability` object with its names elsewhere, and a note of its measurements."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tocsin_schema import ids
from tocsin_schema.compose import EXTENSION_TYPE, relate
from tocsin_schema.extension import PROFILE_VERSION
from tocsin_schema.imports.foreign import at, list_at, text_at
from tocsin_schema.imports.source import Object
from tocsin_schema.imports.tidy import tidy_text

_CVE: Final = re.compile(r"\bCVE-\d{4}-(?:0\d{3}|[1-9]\d{3,6})\b", re.ASCII)
_CWE: Final = re.compile(r"CWE-\d{1,6}", re.ASCII).fullmatch
_VECTOR: Final = re.compile(r"CVSS:[34]\.\d(?:/[A-Za-z]{1,3}:[A-Za-z]{1,2}){1,40}", re.ASCII).fullmatch
_VERSION: Final = re.compile(r"[234]\.\d", re.ASCII).fullmatch
MAX_NOTE: Final = 45_000
MAX_DEPTH: Final = 8
# The part of ai-incident that a vulnerability carries too.
_SHARED: Final = ("realization", "lifecycle_phase", "classifications", "cvss")


def cvss(value: object, repairs: list[str]) -> dict[str, Any]:
    """The technical score as the profile writes it; empty when there is none that makes sense."""
    said = at(value, "impact", "cvss")
    if said is None:
        return {}
    score = at(said, "baseScore")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 10:
        repairs.append("cvss: no base score from 0 to 10, left out")
        return {}
    made: dict[str, Any] = {"base_score": score}
    for name, theirs, matches in (("version", "version", _VERSION), ("vector", "vectorString", _VECTOR)):
        text = text_at(said, theirs)
        if matches(text):
            made[name] = text
        elif text:
            repairs.append(f"cvss: its {name} is none, left out")
    return made


def beside(
    incident_id: str,
    frame: Mapping[str, Any],
    *,
    value: Mapping[str, Any],
    form: Mapping[str, Any],
    key: str,
) -> Sequence[Object]:
    """The vulnerability, the note and what ties them to the incident."""
    flaw = _vulnerability(value, form, key, frame)
    made = [flaw, relate(incident_id, "related-to", flaw["id"], "flaw", frame)]
    parent = text_at(value, "impact", "avid", "vuln_id")
    if re.fullmatch(r"AVID-\d{4}-V\d{3,6}", parent, re.ASCII) and parent != key:
        target = ids.imported_incident_id("avid", parent)
        made.append(relate(incident_id, "related-to", target, "evidence-for", frame))
    measured = _measured(value)
    if measured:
        note = {"type": "note", "id": ids.derive("note", f"note:avid:{key}:measurements"), **frame}
        about = [incident_id, ids.wrapper_id(incident_id), flaw["id"]]
        made.append({**note, "abstract": "Measurements", "content": measured, "object_refs": about})
    return made


def _vulnerability(
    value: Mapping[str, Any], form: Mapping[str, Any], key: str, frame: Mapping[str, Any]
) -> Object:
    told = (
        text_at(value, "problemtype", "description", "value") + " " + text_at(value, "description", "value")
    )
    cves = list(dict.fromkeys(_CVE.findall(text_at(value, "problemtype", "description", "value"))))
    cves = cves or list(dict.fromkeys(_CVE.findall(told)))[:1]
    extension = {**EXTENSION_TYPE, "profile_version": PROFILE_VERSION}
    extension.update((name, form[name]) for name in _SHARED if name in form)
    own = {"source_name": "avid", "external_id": key, "url": form["source_record"]["url"]}
    named = [
        {"source_name": "cve", "external_id": cve, "url": f"https://nvd.nist.gov/vuln/detail/{cve}"}
        for cve in cves[:50]
    ]
    return {
        "type": "vulnerability",
        "id": ids.derive("vulnerability", f"vulnerability:avid:{key}"),
        **frame,
        "name": cves[0] if cves else form["title"],  # other tools know a weakness by its CVE name
        "description": form["description"],
        "external_references": [own, *named, *_weaknesses(value)],
        "extensions": {ids.INCIDENT_EXTENSION: extension},
    }


def _weaknesses(value: object) -> Iterator[Object]:
    seen: set[str] = set()
    for one in list_at(value, "impact", "cwe"):
        code = text_at(one, "cweId")
        if _CWE(code) and code not in seen and len(seen) < 100:
            seen.add(code)
            said = tidy_text(text_at(one, "description"), 1000, "cwe", [])
            made = {"source_name": "cwe", "external_id": code}
            yield {**made, "description": said} if said else made


def _measured(value: object) -> str:
    """The metrics and the techniques of jailbreaks, one value a line, at most 45,000 characters."""
    lines: list[str] = []
    for name, item in (("metrics", at(value, "metrics")), ("jailbreak", at(value, "impact", "odin"))):
        lines += _flat(item, name, MAX_DEPTH)
    text = tidy_text("\n".join(lines), 10_000_000, "metrics", [])
    if len(text) > MAX_NOTE:
        text = text[:MAX_NOTE].rpartition("\n")[0] + "\n…"
    return text


def _flat(value: object, path: str, depth: int) -> Iterator[str]:
    """Each value under its path: `metrics[0].results.rows[0].score: 0.5`."""
    if isinstance(value, Mapping) and depth:
        for name, item in value.items():
            yield from _flat(item, f"{path}.{name}", depth - 1)
    elif isinstance(value, list) and depth:
        for index, item in enumerate(value):
            yield from _flat(item, f"{path}[{index}]", depth - 1)
    elif isinstance(value, str | int) and str(value).strip():
        yield f"{path}: {value}"
    elif isinstance(value, float) and math.isfinite(value):
        yield f"{path}: {value!r}"
