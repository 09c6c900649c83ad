"""The tags of a MISP event: machine tags of taxonomies that MISP publishes, and the report's own labels.

A tag is set only where the report says what the tag means. Whether something is a serious incident of the EU
AI Act is a legal question: the tag is taken from a classification that somebody has made, never concluded.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tocsin_schema.exports.content import Content, Object
from tocsin_schema.exports.opencti import labels

MAX_NAME: Final = 255  # the names of tags, organisations and event reports in MISP's database
PRIORITY: Final = {"I": "severe", "II": "high", "III": "medium", "IV": "low", "none": "baseline-negligible"}
RISK_LEVEL: Final = {
    "prohibited": "unacceptable",
    "annex-i": "high-risk",
    "annex-iii": "high-risk",
    "limited": "limited-risk",
    "minimal": "minimal-risk",
}
# Annex III, points 2 to 8; MISP has no word for 1 (biometrics) and 5 (essential services).
RISK_CATEGORY: Final = {
    2: "critical-infrastructure",
    3: "education-vocational",
    4: "employment-hr",
    6: "law-enforcement",
    7: "migration-asylum",
    8: "justice-democracy",
}
HARM: Final = {
    "economic": 'economic="loss-of-finances"',
    "privacy": 'physical-digital="exposed-leaked"',
    "critical-infrastructure": 'economic="disrupted-operations"',
    "property": 'physical-digital="damaged-or-unavailable"',
    "reputational": 'reputational="damaged-public-perception"',
}


def tags(found: Content) -> list[str]:
    """The names of the tags, TLP first, none twice."""
    facts = found.report.extension
    names = [f"tlp:{found.report.tlp.value}", *labels(found)]
    names.append(f"priority-level:{PRIORITY[found.report.severity.grade]}")
    names += _disposition(found)
    names += _eu(found, facts)
    names += [f"organizational-cyber-harm:{HARM[one]}" for one in _happened(facts) if one in HARM]
    counts = facts.get("quantities", {})
    names += ['organizational-cyber-harm:physical-digital="loss-of-life"'] if counts.get("deaths") else []
    hurt = counts.get("injuries") or counts.get("serious_injuries")
    names += ['organizational-cyber-harm:physical-digital="bodily-injury"'] if hurt else []
    names += [tag for obj, _ in found.steps() for tag in _technique(obj)]
    return [name for name in dict.fromkeys(names) if len(name) <= MAX_NAME]


def _happened(facts: Mapping[str, Any]) -> list[str]:
    """The harms of an event that did harm, without those that a person marked as not materialised."""
    if facts["realization"] != "harm-event":
        return []
    return [harm["harm_type"] for harm in facts.get("harms", ()) if harm.get("materialised", True)]


def _disposition(found: Content) -> Iterator[str]:
    if found.report.revoked:
        yield 'incident-disposition:not-an-incident="refuted"'
    elif found.report.realization == "harm-event":
        yield 'incident-disposition:incident="confirmed"'


def _eu(found: Content, facts: Mapping[str, Any]) -> Iterator[str]:
    codes = {one["code"] for one in facts.get("classifications", ()) if one["scheme"] == "eu-ai-act-3-49"}
    if codes:
        yield 'eu-ai-act:incident-type="serious-incident"'
    if "c" in codes:
        yield 'eu-ai-act:incident-type="fundamental-rights-violation"'
    if "adversarial-attack" in facts.get("ai_relation", ()):
        yield 'eu-ai-act:incident-type="adversarial-attack"'
    for system in found.systems():
        level = RISK_LEVEL.get(system.facts.get("eu_risk_class", ""))
        if level:
            yield f'eu-ai-act:risk-level="{level}"'
        if system.facts.get("gpai_class") == "gpai-systemic":
            yield 'eu-ai-act:risk-level="systemic-risk-gpai"'
        category = RISK_CATEGORY.get(system.facts.get("annex_iii_point", 0))
        if category:
            yield f'eu-ai-act:high-risk-category="{category}"'


def _technique(obj: Object) -> Iterator[str]:
    """The tag of the galaxy cluster, by the name under which MISP publishes the technique."""
    name = obj["name"].replace('"', "'")
    for reference in obj.get("external_references", ()):
        if reference["source_name"] == "mitre-atlas":
            yield f'misp-galaxy:mitre-atlas-attack-pattern="{name}"'
        elif reference["source_name"] == "mitre-attack" and "external_id" in reference:
            yield f'misp-galaxy:mitre-attack-pattern="{name} - {reference["external_id"]}"'
