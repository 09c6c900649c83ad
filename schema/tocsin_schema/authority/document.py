"""A filled form as a value: what is asked, what the record answers, and what is missing.

Titles, descriptions and names were written by strangers. They are text here and stay text in every form that is
written from this: no control characters, and characters that turn the direction of writing are shown by number. What
the record does not hold is never guessed: the item says MISSING, and the document counts them.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tocsin_schema import times
from tocsin_schema.authority.filling import FILL, Material, said_at
from tocsin_schema.errors import RegimeUnknown
from tocsin_schema.marking import Tlp
from tocsin_schema.regime import Item, Regime, Stage
from tocsin_schema.report import IncidentReport
from tocsin_schema.stix import to_form

MISSING: Final = "MISSING"
LINE_CHARACTERS: Final = 60_000
LONGEST_NUMBER: Final = 3


class Entry(msgspec.Struct, frozen=True):
    """One item. `lines` are paragraphs, empty when `missing` says what to write; `note` is ours."""

    id: str
    title: str
    lines: tuple[str, ...]
    missing: str = ""
    note: str = ""

    @property
    def heading(self) -> str:
        """The title under the authority's number; what the authority does not number has none."""
        return f"{self.id}. {self.title}" if len(self.id) <= LONGEST_NUMBER else self.title


class Document(msgspec.Struct, frozen=True):
    """A filled form. `head` are label and value; `warnings` come before anything else."""

    title: str
    warnings: tuple[str, ...]
    head: tuple[tuple[str, str], ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The items that somebody has to write."""
        return tuple(f"{entry.id}: {entry.missing}" for entry in self.entries if entry.missing)


class Kept(msgspec.Struct, frozen=True):
    """What a node keeps about one stage of a duty; times as STIX writes them, empty when there are none."""

    stage: str
    state: str
    standing: str = ""
    due_conservative: str = ""
    due_legal: str = ""
    reasons: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    decided_by: str = ""
    number: int = 0


def fill_form(
    report: IncidentReport,
    regime: Regime,
    stage_id: str | None,
    *,
    org: str,
    kept: Sequence[Kept],
    now: datetime,
) -> Document:
    """The form of `regime` for one of its stages (None: the first that is not done), from the record.

    Raises: RegimeUnknown when the regime has no such stage.
    """
    stage = _stage(regime, stage_id, kept)
    duty = next((one for one in kept if one.stage == stage.id), None)
    material = Material(report, to_form(report.raw), org, regime, stage, duty)
    asked = [item for item in regime.form if not stage.form or item.id in stage.form]
    entries = tuple(_entry(item, material) for item in asked)
    missing = sum(bool(entry.missing) for entry in entries)
    return Document(
        title=f"{regime.title}: {stage.title}",
        warnings=tuple(map(shown, _warnings(report, regime, duty, missing, len(entries)))),
        head=tuple((label, shown(value)) for label, value in _head(report, regime, stage, org, duty, now)),
        entries=entries,
        notes=tuple(map(shown, regime.notes)),
    )


def kept_of(rows: Sequence[Mapping[str, Any]]) -> list[Kept]:
    """What a node says about the duties of one report and regime, read from its JSON."""
    return [
        Kept(
            stage=str(row.get("stage", "")),
            state=str(row.get("state", "")),
            standing=str(row.get("standing", "")),
            due_conservative=str(row.get("due_conservative") or ""),
            due_legal=str(row.get("due_legal") or ""),
            reasons=tuple(map(str, row.get("reasons") or ())),
            missing=tuple(map(str, row.get("missing") or ())),
            decided_by=str(row.get("decided_by") or ""),
            number=int(row.get("id") or 0),
        )
        for row in rows
    ]


def shown(text: str) -> str:
    """Text by a stranger: without control characters, direction marks by number, no longer than a page can bear."""
    kept = []
    for character in text[:LINE_CHARACTERS]:
        category = unicodedata.category(character)
        if character in "\n\t" or category[0] != "C":
            kept.append(" " if character == "\t" else character)
        elif category == "Cf":
            kept.append(f"⟨U+{ord(character):04X}⟩")
        elif category in {"Cn", "Co"}:
            kept.append(character)
    cut = "…" if len(text) > LINE_CHARACTERS else ""
    return "".join(kept).strip() + cut


def _stage(regime: Regime, stage_id: str | None, kept: Sequence[Kept]) -> Stage:
    if stage_id is not None:
        found = regime.stage(stage_id)
        if found is None:
            names = ", ".join(stage.id for stage in regime.stages)
            raise RegimeUnknown(f"{regime.id} has no stage {stage_id[:60]!r}.", hint=f"There are: {names}.")
        return found
    settled = {one.stage for one in kept if one.state in {"done", "dismissed"}}
    return next((stage for stage in regime.stages if stage.id not in settled), regime.stages[-1])


def _entry(item: Item, material: Material) -> Entry:
    lines: list[str] = []
    gaps: list[str] = []
    for name in item.fill:
        found = [shown(line) for line in FILL[name](material)]
        found = [line for line in found if line]
        if not found and not item.optional:
            gaps.append(GAPS[name])
        lines += found
    if item.optional and not lines:
        lines = ["Nothing is recorded; this item is not required."]
    missing = "; ".join(dict.fromkeys(gaps))
    return Entry(item.id, item.title, tuple(lines), missing, item.note)


# What to write where the record is silent: the property of the report, or that only a person can.
GAPS: Final[Mapping[str, str]] = {
    "title": "a title",
    "description": "a description",
    "occurred": "when it occurred (occurred_start, occurred_end)",
    "aware": "when you became aware (aware_at)",
    "places": "the country (countries)",
    "harms": "the harm (harms)",
    "numbers": "how many were harmed (quantities)",
    "affected": "who was affected (affected, affected_groups)",
    "systems": "the AI system (systems)",
    "involvement": "what the AI system had to do with it (ai_relation, causality)",
    "evidence": "the evidence (evidence)",
    "response": "what was done about it (actions_taken)",
    "cause": "the cause (failure_modes, causal_entity, lifecycle_phase)",
    "severity": "the severity",
    "status": "how far the work is (report_status)",
    "sources": "the sources (sources)",
    "why": "why it must be reported: no duty of this regime is recorded",
    "organisation": "your organisation",
    "rights": "the rights concerned (rights)",
    "sectors": "the sector (sectors)",
    "breadth": "how widely the system is used (deployment_breadth)",
    "personal-data": "the personal data concerned (quantities.personal_records, flags)",
    "recipient": "the recipient",
    "deadline": "the due date",
    "reference": "your reference",
    "summary": "a summary",
    "nobody": "not part of the record; write it here",
}


def _warnings(
    report: IncidentReport, regime: Regime, duty: Kept | None, missing: int, asked: int
) -> list[str]:
    found = [f"{MISSING}: {missing} of {asked} items. Nothing here was sent to anybody."]
    if duty is None:
        found.append("No duty of this regime is recorded for this report; whether it applies is open.")
    elif duty.state not in {"confirmed", "done"}:
        found.append("A rule proposed this duty; no named person has confirmed it.")
    if duty is not None and duty.missing:
        found.append("To decide whether it applies: " + "; ".join(duty.missing))
    found += [f"Not verified: {what}." for what in regime.unverified]
    if regime.legal_force != "law":
        found.append(f"This is not law, but a {regime.legal_force.replace('-', ' ')}.")
    if report.revoked:
        found.append("The report was withdrawn.")
    if report.personal_data == "present":
        found.append("The report names people. Check whether the authority may be given their names.")
    if report.tlp in {Tlp.RED, Tlp.AMBER_STRICT}:
        found.append(f"The report is {report.tlp.label}: check that the authority may be given it.")
    return found


def _head(
    report: IncidentReport, regime: Regime, stage: Stage, org: str, duty: Kept | None, now: datetime
) -> list[tuple[str, str]]:
    pairs = [
        ("To", stage.recipient or regime.recipient),
        ("From", org),
        ("Under", regime.source.citation),
        ("Source", regime.source.url),
        ("Regime", f"{regime.id} ({regime.jurisdiction}, {regime.legal_force.replace('-', ' ')})"),
        ("Time allowed", stage.words or (stage.within.words() if stage.within else "")),
    ]
    if duty is not None:
        decided = f", by {duty.decided_by}" if duty.decided_by else ""
        pairs += [
            ("Due, on the safe side", said_at(duty.due_conservative)),
            ("Due, as the days are counted", said_at(duty.due_legal)),
            ("Duty", f"{duty.number}: {duty.standing}, {duty.state}{decided}"),
        ]
    pairs += [
        ("Report", f"{report.id}, as of {said_at(times.write(report.modified))}"),
        ("Marking", report.tlp.label),
        ("Form made", said_at(times.write(now))),
    ]
    return [(label, value) for label, value in pairs if value]
