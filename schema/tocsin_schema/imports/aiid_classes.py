"""The classification files that stand beside AIID's incidents.csv, turned into form fields by incident number.

Each taxonomy says what its annotators said, no more: a class that is empty or "unclear" adds nothing.
CSETv0's severity is carried as a classification and never as ours.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, Final

from tocsin_schema.errors import ImportUnreadable

Facts = dict[str, Any]
Row = Mapping[str, str]

CSETV1_LEVELS: Final = {
    "AI tangible harm event": "harm-event",
    "AI tangible harm near-miss": "near-miss",
    "AI tangible harm issue": "potential",
}
# People were harmed, but the annotators saw no AI tangible harm, or none that is clear. The older taxonomy knows no
# such reserve: where it says that the harm was caused, the system's part in bodily harm is direct unless a person had
# the system in hand, and in any other harm indirect.
CSETV1_CAUSALITY: Final = {"none": "contributing", "unclear": "contributing"}
CSETV0_REALIZATION: Final = {"Harm caused": "harm-event", "Near miss": "near-miss"}
CSETV0_HARMS: Final = {
    "Harm to physical health/safety": "physical-health",
    "Psychological harm": "psychological",
    "Harm to civil liberties": "fundamental-rights",
    "Financial harm": "economic",
    "Harm to physical property": "property",
    "Harm to intangible property": "intangible-property",
    "Harm to social or political systems": "democratic-social",
    "Harm to infrastructure": "critical-infrastructure",
    "Other:Reputational harm": "reputational",
    "Other:Privacy": "privacy",
}
ATTRIBUTED: Final = "attributed"  # what CSETv0 says of the system's part; only until all files are read
AUTONOMY: Final = {
    "Autonomy1": "autonomous",
    "Autonomy2": "human-on-the-loop",
    "Autonomy3": "human-in-the-loop",
    "unclear": "unclear",
}
CRITICAL_SECTORS: Final = {
    "chemical": "chemical",
    "commercial facilities": "commercial",
    "communications": "communications",
    "critical manufacturing": "manufacturing",
    "dams": "dams",
    "defense-industrial base": "defense",
    "emergency services": "emergency",
    "energy": "energy",
    "financial services": "finance",
    "food and agriculture": "food",
    "government facilities": "government",
    "healthcare and public health": "health",
    "information technology": "it",
    "nuclear": "nuclear",
    "transportation": "transport",
    "water": "water",
    "other": "other",
}
_MIT_CODE: Final = re.compile(r"(\d\.\d)\.?\s+(.{1,200})").match
_COUNT: Final = re.compile(r"\d{1,9}").fullmatch


def read_classes(streams: Iterable[BinaryIO]) -> dict[int, Facts]:
    """Form fields by incident number, from any of the four files; later files never overwrite what earlier ones said.

    Raises: `ImportUnreadable` when a file is none of the four.
    """
    found: dict[int, Facts] = {}
    for stream in streams:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        try:
            _read_file(csv.DictReader(text), found)
        except csv.Error as exc:
            raise ImportUnreadable(f"A classification file is not CSV: {exc}.") from exc
        finally:
            text.detach()  # the stream is the caller's to close
    for facts in found.values():
        attributed = facts.pop(ATTRIBUTED, None)
        if attributed is not None and facts.get("causality") == "contributing":
            facts["causality"] = attributed
    return found


def _read_file(rows: "csv.DictReader[str]", found: dict[int, Facts]) -> None:
    for row in rows:
        reader = _READERS.get(row.get("Namespace") or "")
        if reader is None:
            raise ImportUnreadable("A classification file is none of CSETv0, CSETv1, MIT and GMF.")
        number = row.get("Incident ID") or ""
        if not _COUNT(number) or None in row.values():
            continue
        _merge(found.setdefault(int(number), {}), reader(row))


def _merge(known: Facts, new: Facts) -> None:
    for name, value in new.items():
        if name == "classifications":
            known[name] = [*known.get(name, ()), *value]
        elif name == "quantities":
            ours: Facts = known.get(name) or {}
            known[name] = {**ours, **{key: max(ours.get(key, 0), number) for key, number in value.items()}}
        elif name == "realization" and known.get(name, "unknown") == "unknown":
            known[name] = value
        else:
            known.setdefault(name, value)


def _csetv1(row: Row) -> Facts:
    level = row.get("AI Harm Level", "")
    made: Facts = {}
    if level:
        made["classifications"] = [{"scheme": "csetv1", "code": level[:100], "assigned_by": "human"}]
    if level in CSETV1_LEVELS:
        made["realization"] = CSETV1_LEVELS[level]
    quantities: Facts = {
        ours: int(row[theirs])
        for theirs, ours in (("Lives Lost", "deaths"), ("Injuries", "injuries"))
        if _COUNT(row.get(theirs, "")) and int(row[theirs]) > 0
    }
    if quantities:
        if row.get("Estimated Harm Quantities") == "True":
            quantities["estimated"] = True
        made["quantities"] = quantities
        if level in CSETV1_CAUSALITY:
            made["causality"] = CSETV1_CAUSALITY[level]
    if row.get("Autonomy Level") in AUTONOMY:
        made["autonomy_level"] = AUTONOMY[row["Autonomy Level"]]
    country = row.get("Location Country (two letters)", "").strip()
    if re.fullmatch("[A-Z]{2}", country):
        made["countries"] = [country]
    named = [part.strip().lower() for part in row.get("Infrastructure Sectors", "").split(",")]
    sectors = list(dict.fromkeys(CRITICAL_SECTORS[name] for name in named if name in CRITICAL_SECTORS))
    if sectors:
        made["critical_sectors"] = sectors
    return made


def _csetv0(row: Row) -> Facts:
    made: Facts = {}
    severity = row.get("Severity", "")
    if severity and not severity.startswith("Unclear"):
        made["classifications"] = [
            {"scheme": "csetv0", "code": severity[:100], "label": "Severity", "assigned_by": "human"}
        ]
    if row.get("Near Miss") in CSETV0_REALIZATION:
        made["realization"] = CSETV0_REALIZATION[row["Near Miss"]]
    kinds = [
        CSETV0_HARMS[part.strip()]
        for part in row.get("Harm Type", "").split(",")
        if part.strip() in CSETV0_HARMS
    ]
    if row.get("Near Miss") == "Harm caused":
        in_hand = row.get("Level of Autonomy") == "Low"
        bodily = "contributing" if in_hand else "direct"
        made[ATTRIBUTED] = bodily if "physical-health" in kinds else "indirect"
    if row.get("Lives Lost") == "True":
        made["quantities"] = {"deaths": 1, "estimated": True}  # the older taxonomy does not count them
    if kinds:
        made["harms"] = [{"harm_type": kind} for kind in dict.fromkeys(kinds)]
    return made


def _mit(row: Row) -> Facts:
    made: Facts = {}
    match = _MIT_CODE(row.get("Risk Subdomain", ""))
    if match is not None:
        made["classifications"] = [
            {"scheme": "mit-ai-risk-domain", "version": "2025", "code": match[1], "label": match[2].strip()}
        ]
    for column, name, words in (
        ("Entity", "causal_entity", ("ai", "human", "other")),
        ("Intent", "causal_intent", ("intentional", "unintentional", "other")),
        ("Timing", "causal_timing", ("pre-deployment", "post-deployment", "other")),
    ):
        word = row.get(column, "").strip().lower()
        if word in words:
            made[name] = word
    return made


def _gmf(row: Row) -> Facts:
    modes = [part.strip()[:100] for part in row.get("Known AI Technical Failure", "").split(",")]
    modes = [mode for mode in dict.fromkeys(modes) if mode and mode.isprintable()]
    return {"failure_modes": modes[:50]} if modes else {}


_READERS: Final[Mapping[str, Callable[[Row], Facts]]] = {
    "CSETv0": _csetv0,
    "CSETv1": _csetv1,
    "MIT": _mit,
    "GMF": _gmf,
}
