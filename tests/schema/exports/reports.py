"""Reports to export: the examples, one that carries an object of every kind, and one that means harm."""

import json
from typing import Any

from tests.schema.samples import FULL, FULL_RAW, LATER, MINIMAL, PRODUCER, build, examples, find, parsed

from tocsin_schema import canonical, stix
from tocsin_schema.check import check_bundle
from tocsin_schema.report import IncidentReport

SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "\"'></bdi></title><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x"
FORMULA = "=cmd|' /C calc'!A0"
MARKDOWN = "[click](javascript:alert(1)) ![x](http://198.51.100.7/a.png) <b>**bold**</b> @[tag](tlp:red)"
BIDI = "safe\u202egnp.exe\u2066\u200b\U000e0041"
ENTITY = "&lt;script&gt; &#60;b&#62; &amp;"
HOSTILE_TEXTS = (SCRIPT, BREAKOUT, FORMULA, MARKDOWN, BIDI, ENTITY, "@SUM(1+1)*cmd", "-2+3", "+1", "＝1＋1")


def report(raw: bytes) -> IncidentReport:
    """The checked report of a bundle."""
    checked = check_bundle(raw)
    assert checked.report is not None, checked.findings
    return checked.report


def sound() -> list[IncidentReport]:
    """One of each kind of example, each an incident of its own."""
    own = [f"incident--5ee864f7-a0d5-4b08-9887-{number:012}" for number in range(4)]
    raws = [
        build(MINIMAL, own[0]),
        build(FULL, own[1]),
        stix.revise(
            build(FULL, own[2]),
            {"report_status": "resolved", "resolved_at": "2025-03-24T09:00:00Z"},
            now=LATER,
        ),
        stix.withdraw(build(MINIMAL, own[3]), reason="The dose was right.", now=LATER),
        examples()["redacted"],
    ]
    return [report(raw) for raw in raws]


def rich_raw() -> bytes:
    """A report with techniques, a mitigation, a weakness, a note, an opinion, a sighting and a licence."""
    bundle = parsed(FULL_RAW)
    incident, wrapper = find(bundle, "incident"), find(bundle, "report")
    frame = {
        "spec_version": "2.1",
        "created_by_ref": PRODUCER["id"],
        "created": incident["created"],
        "modified": incident["modified"],
    }
    about = {"object_refs": [wrapper["id"], incident["id"]]}
    more: list[dict[str, Any]] = [
        {
            "type": "attack-pattern", "name": "Prompt Injection", "description": "Words that are obeyed.",
            "external_references": [
                {"source_name": "mitre-atlas", "external_id": "AML.T0051", "url": "https://atlas.mitre.org/techniques/AML.T0051"}
            ],
        },
        {"type": "course-of-action", "name": "Human review of switching", "description": "Two people decide."},
        {
            "type": "vulnerability", "name": "CVE-2024-12345", "description": "The parser trusts its input.",
            "external_references": [{"source_name": "cve", "external_id": "CVE-2024-12345"}],
        },
        {"type": "note", "content": "The vendor has confirmed it.", "authors": ["Grid desk"], **about},
        {"type": "opinion", "opinion": "agree", "explanation": "We saw the same.", **about},
        {"type": "sighting", "sighting_of_ref": incident["id"], "where_sighted_refs": [PRODUCER["id"]], "count": 3},
        {
            "type": "relationship", "relationship_type": "uses", "source_ref": incident["id"],
            "target_ref": "attack-pattern--00000000-a0d5-4b08-9887-a4ceda5c2f7a", "description": "Step 1: a crafted alarm text.",
        },
    ]  # fmt: skip
    for number, own in enumerate(more):
        made = {"id": f"{own['type']}--{number:08}-a0d5-4b08-9887-a4ceda5c2f7a", **frame, **own}
        bundle["objects"].append(made)
        wrapper["object_refs"].append(made["id"])
    licence = {
        "type": "marking-definition", "spec_version": "2.1", "id": "marking-definition--00000009-a0d5-4b08-9887-a4ceda5c2f7a",
        "created": incident["created"], "definition_type": "statement", "definition": {"statement": "CC-BY-4.0"},
    }  # fmt: skip
    for obj in (incident, wrapper):
        obj["object_marking_refs"] = [*obj["object_marking_refs"], licence["id"]]
    bundle["objects"].append(licence)
    return canonical.to_bytes(bundle)


def rich() -> IncidentReport:
    """See `rich_raw`."""
    return report(rich_raw())


def hostile(text: str) -> IncidentReport:
    """A report that says `text` wherever a text is free, and has addresses that no browser should follow."""
    form = {
        "title": text,
        "description": f"{text}\n{text}\n\n{text}",
        "tlp": "clear",
        "realization": "harm-event",
        "failure_modes": [text],
        "harms": [{"harm_type": "economic", "level": 2, "note": text}],
        "systems": [{"name": text, "vendor": text, "version": text, "license": text}],
        "developers": [text],
        "deployers": [text],
        "actions_taken": [{"kind": "other", "text": text, "at": "2025-03-24T10:15:00Z"}],
        "classifications": [{"scheme": "csetv1", "code": text, "label": text}],
        "sources": [
            {"name": text, "description": text, "url": "https://example.org/'onmouseover=alert(1)//"}
        ],
    }
    bundle = json.loads(build(form))
    incident = find(bundle, "incident")
    incident["external_references"] += [
        {"source_name": text, "url": url}
        for url in (
            "javascript:alert(1)",
            "data:text/html;base64,PHNjcmlwdD4=",
            "JaVaScRiPt:alert(2)",
            "file:///etc/passwd",
        )
    ]
    incident["labels"] = [*incident["labels"], text]
    return report(canonical.to_bytes(bundle))
