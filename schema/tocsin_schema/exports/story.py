"""A report in the order in which a person reads it: how grave, what, who, when, what was done, what is not known.

Plain text throughout; the forms that show it escape it. Every pair is a label and what it says.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tocsin_schema import vocabulary as voc
from tocsin_schema.check import system_name
from tocsin_schema.exports.content import Content
from tocsin_schema.exports.timeline import timeline, undated_actions

Pairs = list[tuple[str, str]]
_Table = Sequence[tuple[str, str, Mapping[str, str]]]  # property, label, meanings of its words

PARTIES: Final = {
    "developers": "Developed by",
    "deployers": "Deployed by",
    "affected": "Affected",
    "actors": "Done by",
}
_GLANCE: Final[_Table] = (
    ("report_status", "Status", voc.REPORT_STATUS),
    ("realization", "Realization", voc.REALIZATION),
    ("oecd_class", "OECD class", voc.OECD_CLASS),
    ("causality", "Causality", voc.CAUSALITY),
    ("ai_relation", "The AI's part", voc.AI_RELATION),
    ("autonomy_level", "Autonomy", voc.AUTONOMY_LEVEL),
    ("flags", "Circumstances", voc.FLAG),
    ("reporter_role", "Reported by", voc.REPORTER_ROLE),
)
_REACH: Final[_Table] = (
    ("countries", "Countries", {}),
    ("sectors", "Sectors", voc.SECTOR),
    ("critical_sectors", "Critical sectors", voc.CRITICAL_SECTOR),
    ("deployment_breadth", "Breadth of use", voc.DEPLOYMENT_BREADTH),
    ("affected_groups", "Groups affected", {}),
    ("rights", "Rights touched", voc.RIGHT_OV),
)
_CAUSE: Final[_Table] = (
    ("causal_entity", "Whose decision", voc.CAUSAL_ENTITY),
    ("causal_intent", "Intent", voc.CAUSAL_INTENT),
    ("causal_timing", "Timing", voc.CAUSAL_TIMING),
    ("lifecycle_phase", "Phase of life", voc.LIFECYCLE_PHASE),
    ("ai_tasks", "Tasks of the system", voc.AI_TASK_OV),
    ("failure_modes", "How it failed", {}),
    ("reproduction", "Reproduction", voc.REPRODUCTION),
)
# What a reader would ask, and the properties of the flat facts that answer it.
_QUESTIONS: Final = (
    ("when it happened", ("occurred_start", "occurred_end")),
    ("where it happened", ("countries",)),
    ("what was harmed", ("harms",)),
    ("how much was harmed", ("quantities",)),
    ("how the system led to it", ("causality",)),
    ("how it was noticed", ("detected_at",)),
    ("what was done about it", ("actions_taken",)),
    ("whether it is over", ("contained_at", "resolved_at")),
)


def verdict(found: Content) -> str:
    """How grave, on one line."""
    severity = found.report.severity
    grade = "No grade" if severity.grade == "none" else f"Grade {severity.grade}"
    return f"{grade} · {voc.LEVEL_NAMES[severity.level]}, level {severity.level} of 5 · score {severity.score} of 100"


def basis(found: Content) -> str:
    """Who says how grave it is."""
    override = found.report.extension.get("severity_override", {})
    if found.report.severity.basis == "overridden" and override:
        return f"Set by {found.name_of(override['by_ref'])}: {override['reason']}"
    return voc.SEVERITY_BASIS[found.report.severity.basis].capitalize() + "."


def sections(found: Content) -> Iterator[tuple[str, Pairs]]:
    """Headings with what stands under them; nothing empty."""
    facts = found.report.extension
    drivers = [("Because of", driver) for driver in found.report.severity.drivers]
    parts: tuple[tuple[str, Pairs], ...] = (
        ("Severity", [*drivers, ("Basis", basis(found))]),
        ("At a glance", glance(found)),
        ("Harm", harms(facts)),
        ("AI systems", systems(found)),
        ("Parties", parties(found)),
        ("Where and whom it reaches", reach(found)),
        ("Cause", cause(found)),
        ("Timeline", [(moment.shown, moment.said) for moment in timeline(found)]),
        ("Also done", [("At no time said", said) for said in undated_actions(facts)]),
        ("Techniques", steps(found)),
        ("Classification", classifications(facts)),
        ("Evidence", evidence(facts)),
        ("Sources", [(name, " ".join(filter(None, (url, said)))) for name, url, said in sources(found)]),
        ("What others say", remarks(found)),
        ("Not known", [("Not said", question) for question in unknown(found)]),
    )
    yield from ((heading, pairs) for heading, pairs in parts if pairs)


def words(value: object, meanings: Mapping[str, str]) -> str:
    """A word with what it means: "near-miss (harm was imminent and was averted)"."""
    said = meanings.get(str(value))
    return f"{value} ({said})" if said and said != value else str(value)


def _words_of(facts: Mapping[str, Any], table: _Table) -> Pairs:
    made = []
    for name, label, meanings in table:
        if name in facts:
            value = facts[name]
            items = value if isinstance(value, list) else [value]
            made.append((label, "; ".join(words(item, meanings) for item in items)))
    return made


def glance(found: Content) -> Pairs:
    """What it is and how sure."""
    pairs = _words_of({**found.report.extension, "oecd_class": found.report.severity.oecd_class}, _GLANCE)
    if "confidence" in found.incident:
        pairs.append(("Confidence", f"{found.incident['confidence']} of 100"))
    return pairs


def reach(found: Content) -> Pairs:
    """Where and whom it reaches."""
    return _words_of(found.report.extension, _REACH)


def cause(found: Content) -> Pairs:
    """What is known of the cause."""
    return _words_of(found.report.extension, _CAUSE)


def harms(facts: Mapping[str, Any]) -> Pairs:
    """Each harm, then the numbers."""
    pairs = []
    for harm in facts.get("harms", ()):
        said = [voc.HARM_TYPE.get(harm["harm_type"], "")]
        said += [f"judged level {harm['level']}, {voc.LEVEL_NAMES[harm['level']]}"] if "level" in harm else []
        said += ["happened" if harm["materialised"] else "did not happen"] if "materialised" in harm else []
        said += [harm["reversibility"]] if harm.get("reversibility", "unknown") != "unknown" else []
        said += ["grounds: " + ", ".join(harm["basis"])] if "basis" in harm else []
        said += [harm["note"]] if "note" in harm else []
        pairs.append((harm["harm_type"], "; ".join(said)))
    return pairs + numbers(facts)


def numbers(facts: Mapping[str, Any]) -> Pairs:
    """The quantities, with a word of warning where they are estimates."""
    counts = dict(facts.get("quantities", {}))
    about = " (estimated)" if counts.pop("estimated", False) else ""
    loss = counts.pop("economic_loss", None)
    pairs = [
        (name.replace("_", " "), f"{value:,}{about}") for name, value in counts.items() if _is_number(value)
    ]
    if isinstance(loss, Mapping):
        pairs.append(("economic loss", f"{loss['amount']:,} {loss['currency']}{about}"))
    return pairs


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def systems(found: Content) -> Pairs:
    """Each AI system with its part and what is known of it."""
    pairs = []
    for system in found.systems():
        facts = {name: system.facts[name] for name in _SYSTEM_FACTS if name in system.facts}
        said = [words(system.role, voc.SYSTEM_ROLE)]
        said += [f"{name.replace('_', ' ')}: {_listed(value)}" for name, value in facts.items()]
        pairs.append((system_name(system.obj), "; ".join(said)))
    return pairs


_SYSTEM_FACTS: Final = (
    "system_kind",
    "model_identifier",
    "model_type",
    "modalities",
    "weights_access",
    "gpai_class",
    "eu_risk_class",
    "annex_iii_point",
    "license",
)


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def parties(found: Content) -> Pairs:
    """Who is involved, by role."""
    return [
        (PARTIES[role], f"{one['name']} ({one.get('identity_class', one['type'])})")
        for role, ones in found.parties().items()
        for one in ones
    ]


def steps(found: Content) -> Pairs:
    """The techniques, with what the incident says of each."""
    pairs = []
    for obj, said in found.steps():
        keys = [one["external_id"] for one in obj.get("external_references", ()) if "external_id" in one]
        pairs.append((f"{obj['name']}" + (f" ({keys[0]})" if keys else ""), said))
    return pairs


def classifications(facts: Mapping[str, Any]) -> Pairs:
    """The classes in other taxonomies."""
    pairs = []
    for one in facts.get("classifications", ()):
        said = [f"{one['code']} {one.get('label', '')}".strip()]
        said += [f"assigned by a {one['assigned_by']}"] if "assigned_by" in one else []
        said += [f"confidence {one['confidence']}"] if "confidence" in one else []
        pairs.append((one["scheme"], "; ".join(said)))
    if "cvss" in facts:
        pairs.append(("CVSS", f"{facts['cvss']['base_score']} {facts['cvss'].get('vector', '')}".strip()))
    return pairs


def evidence(facts: Mapping[str, Any]) -> Pairs:
    """What is kept to prove it, by hash."""
    return [(one["kind"], f"SHA-256 {one['sha256']}") for one in facts.get("evidence", ())]


def sources(found: Content) -> list[tuple[str, str, str]]:
    """Name, address and what it says of each source; address and text may be empty."""
    made = [
        (one["source_name"], one.get("url", ""), one.get("external_id", "") or one.get("description", ""))
        for one in found.sources()
    ]
    record = found.report.source
    if record is not None:
        licence = f"record {record.id}; licence: {record.license or 'not said'}"
        made.append((f"Taken from {record.source}", record.url, licence))
    return made


def remarks(found: Content) -> Pairs:
    """Notes, opinions and sightings that travel with the report."""
    pairs = [("Note", obj["content"]) for obj in found.of("note")]
    pairs += [
        ("Opinion", f"{obj['opinion']} {obj.get('explanation', '')}".strip()) for obj in found.of("opinion")
    ]
    pairs += [
        (
            "Seen too",
            ", ".join(map(found.name_of, obj.get("where_sighted_refs", ())))
            or obj.get("description", "once more"),
        )
        for obj in found.of("sighting")
    ]
    return pairs


def unknown(found: Content) -> list[str]:
    """What the report does not say and a reader would ask."""
    facts = found.report.extension
    asked = [question for question, names in _QUESTIONS if not any(name in facts for name in names)]
    roles = found.parties()
    asked += [] if any(True for _ in found.systems()) else ["which AI system it was"]
    asked += [
        f"who {said}"
        for role, said in (("developers", "made it"), ("deployers", "ran it"))
        if role not in roles
    ]
    asked += [] if "affected" in roles or "affected_groups" in facts else ["who was affected"]
    asked += [] if found.sources() or found.report.source else ["where it can be read about"]
    return asked
