"""What of a record answers what an authority asks: one function a filling, each gives lines or none.

Only what is recorded is said. Words of the profile are given with their meaning, so that a reader who does not know
the profile understands them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tocsin_schema import times
from tocsin_schema import vocabulary as voc
from tocsin_schema.regime import FILLINGS, Regime, Stage
from tocsin_schema.report import IncidentReport

if TYPE_CHECKING:
    from tocsin_schema.authority.document import Kept

Lines = list[str]


class Material(msgspec.Struct, frozen=True):
    """All there is to fill with. `form` is the report as a form (`stix.to_form`)."""

    report: IncidentReport
    form: Mapping[str, Any]
    org: str
    regime: Regime
    stage: Stage
    duty: "Kept | None"


_PARTS: Final = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "second": "%Y-%m-%d %H:%M:%S UTC"}


def said_at(text: str, fidelity: str | None = None) -> str:
    """A time for people, as exactly as it is known; without a word on that, to the minute."""
    moment = times.parse(text)
    return text if moment is None else f"{moment:{_PARTS.get(fidelity or '', '%Y-%m-%d %H:%M UTC')}}"


def _amount(value: float) -> str:
    return f"{value:,.2f}".removesuffix(".00")


def _words(name: str, words: voc.Words) -> Callable[[Material], Lines]:
    """A filling that says the words of a property with their meaning."""

    def fill(material: Material) -> Lines:
        return _meant(material, name, words)

    return fill


def _meant(material: Material, name: str, words: voc.Words, label: str = "") -> Lines:
    value = material.form.get(name)
    said = [value] if isinstance(value, str) else list(value or ())
    text = "; ".join(
        f"{word} ({words[word]})" if words.get(word, word) != word else str(word) for word in said
    )
    return [f"{label}: {text}" if label else text] if text else []


def _title(material: Material) -> Lines:
    return [material.report.name]


def _description(material: Material) -> Lines:
    return [material.report.description]


def _summary(material: Material) -> Lines:
    return [material.report.description.partition("\n")[0]]


def _occurred(material: Material) -> Lines:
    form = material.form
    exact = form.get("occurred_fidelity")
    about = f" (good to the {exact})" if exact else ""
    labels = (("occurred_start", "Began"), ("occurred_end", "Ended"))
    return [f"{label}: {said_at(form[name], exact)}{about}" for name, label in labels if form.get(name)]


def _aware(material: Material) -> Lines:
    if not material.form.get("aware_at"):
        return []
    labels = (
        ("detected_at", "Noticed"),
        ("aware_at", "Aware since"),
        ("causal_link_at", "Causal link established"),
    )
    return [f"{label}: {said_at(material.form[name])}" for name, label in labels if material.form.get(name)]


def _places(material: Material) -> Lines:
    found = material.form.get("countries")
    return [f"Countries: {', '.join(found)}"] if found else []


def _harms(material: Material) -> Lines:
    lines = []
    for harm in material.form.get("harms", ()):
        kind = harm["harm_type"]
        parts = [f"{kind} ({voc.HARM_TYPE.get(kind, kind)})"]
        if "level" in harm:
            parts.append(f"level {harm['level']} of 5, {voc.LEVEL_NAMES[harm['level']]}")
        if "materialised" in harm:
            parts.append("happened" if harm["materialised"] else "did not come about")
        if "reversibility" in harm:
            parts.append(str(harm["reversibility"]))
        if harm.get("basis"):
            parts.append("on grounds of " + ", ".join(harm["basis"]))
        lines.append("; ".join(parts) + (f". {harm['note']}" if harm.get("note") else ""))
    return lines


def _numbers(material: Material) -> Lines:
    quantities = dict(material.form.get("quantities") or {})
    estimated = quantities.pop("estimated", False)
    loss = quantities.pop("economic_loss", None)
    lines = [f"{name.replace('_', ' ')}: {value:,}" for name, value in quantities.items()]
    if loss:
        lines.append(f"economic loss: {_amount(loss['amount'])} {loss['currency']}")
    return [*lines, *(["These numbers are estimates."] if estimated and lines else [])]


def _affected(material: Material) -> Lines:
    names = _names(material.form.get("affected", ()))
    return [
        *([f"Affected: {names}"] if names else []),
        *_meant(material, "affected_groups", voc.AFFECTED_GROUP_OV, "Groups"),
    ]


def _systems(material: Material) -> Lines:
    lines = []
    for system in material.form.get("systems", ()):
        named = " ".join(str(system[part]) for part in ("vendor", "name", "version") if system.get(part))
        more = [
            f"{label} {system[part]}"
            for part, label in (
                ("role", "role:"), ("kind", "kind:"), ("model_identifier", "identifier:"),
                ("eu_risk_class", "EU risk class:"), ("annex_iii_point", "Annex III point"),
                ("gpai_class", "EU general-purpose class:"),
            )
            if system.get(part)
        ]  # fmt: skip
        lines.append("; ".join([named, *more]))
    developers = _names(material.form.get("developers", ()))
    deployers = _names(material.form.get("deployers", ()))
    if lines and developers:
        lines.append(f"Developed by: {developers}")
    if lines and deployers:
        lines.append(f"Used by: {deployers}")
    return lines


def _involvement(material: Material) -> Lines:
    return [
        *_meant(material, "ai_relation", voc.AI_RELATION, "Relation"),
        *_meant(material, "causality", voc.CAUSALITY, "Causality"),
        *_meant(material, "autonomy_level", voc.AUTONOMY_LEVEL, "Autonomy"),
        *_meant(material, "ai_tasks", voc.AI_TASK_OV, "Task"),
    ]


def _evidence(material: Material) -> Lines:
    lines = []
    for piece in material.form.get("evidence", ()):
        kind = voc.EVIDENCE_KIND.get(piece["kind"], piece["kind"])
        size = f", {piece['size']:,} bytes" if "size" in piece else ""
        lines.append(f"{kind}{size}, SHA-256 {piece['sha256']}")
    tried = material.form.get("reproduction")
    if tried and tried != "not-tried":
        lines.append(f"Under test: {voc.REPRODUCTION[tried]}")
    return lines


def _response(material: Material) -> Lines:
    lines = []
    for action in material.form.get("actions_taken", ()):
        kind = voc.ACTION_KIND.get(action["kind"], action["kind"])
        at = f"{said_at(action['at'])}: " if action.get("at") else ""
        lines.append(f"{at}{kind}" + (f". {action['text']}" if action.get("text") else ""))
    if material.form.get("contained_at") and lines:
        lines.append(f"Contained: {said_at(material.form['contained_at'])}")
    return lines


def _cause(material: Material) -> Lines:
    modes = material.form.get("failure_modes")
    return [
        *([f"How it failed: {'; '.join(modes)}"] if modes else []),
        *_meant(material, "causal_entity", voc.CAUSAL_ENTITY, "Decision"),
        *_meant(material, "causal_intent", voc.CAUSAL_INTENT, "Intent"),
        *_meant(material, "lifecycle_phase", voc.LIFECYCLE_PHASE, "Phase"),
    ]


def _severity(material: Material) -> Lines:
    severity = material.report.severity
    said = f"Level {severity.level} of 5 ({voc.LEVEL_NAMES[severity.level]}), response grade {severity.grade}"
    return [said, *severity.drivers, *_meant(material, "flags", voc.FLAG, "Circumstances")]


def _status(material: Material) -> Lines:
    lines = _meant(material, "report_status", voc.REPORT_STATUS, "Status")
    if material.form.get("resolved_at"):
        lines.append(f"Resolved: {said_at(material.form['resolved_at'])}")
    return lines


def _sources(material: Material) -> Lines:
    return [
        " ".join(filter(None, (one.get("name"), one.get("url")))) for one in material.form.get("sources", ())
    ]


def _why(material: Material) -> Lines:
    return (
        [f"Because of: {'; '.join(material.duty.reasons)}"] if material.duty and material.duty.reasons else []
    )


def _organisation(material: Material) -> Lines:
    return [material.org] if material.org else []


def _personal_data(material: Material) -> Lines:
    flags = [
        flag for flag in material.form.get("flags", ()) if flag in ("personal-data", "special-category-data")
    ]
    records = (material.form.get("quantities") or {}).get("personal_records")
    lines = [f"{flag}: {voc.FLAG[flag]}" for flag in flags]
    return [*lines, *([f"Records: {records:,}"] if records is not None else [])]


def _recipient(material: Material) -> Lines:
    return [material.stage.recipient or material.regime.recipient]


def _deadline(material: Material) -> Lines:
    return [said_at(material.duty.due_legal)] if material.duty and material.duty.due_legal else []


def _reference(material: Material) -> Lines:
    return [material.report.id]


def _nobody(_material: Material) -> Lines:
    return []


def _names(parties: Sequence[Any]) -> str:
    return "; ".join(str(one.get("name")) if isinstance(one, Mapping) else str(one) for one in parties)


FILL: Final[Mapping[str, Callable[[Material], Lines]]] = {
    "title": _title,
    "description": _description,
    "summary": _summary,
    "occurred": _occurred,
    "aware": _aware,
    "places": _places,
    "harms": _harms,
    "numbers": _numbers,
    "affected": _affected,
    "systems": _systems,
    "involvement": _involvement,
    "evidence": _evidence,
    "response": _response,
    "cause": _cause,
    "severity": _severity,
    "status": _status,
    "sources": _sources,
    "why": _why,
    "organisation": _organisation,
    "rights": _words("rights", voc.RIGHT_OV),
    "sectors": _words("sectors", voc.SECTOR),
    "breadth": _words("deployment_breadth", voc.DEPLOYMENT_BREADTH),
    "personal-data": _personal_data,
    "recipient": _recipient,
    "deadline": _deadline,
    "reference": _reference,
    "nobody": _nobody,
}
assert FILL.keys() == FILLINGS, "every filling has a function, and nothing else has"
