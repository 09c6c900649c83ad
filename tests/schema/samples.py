"""Reports to test with: forms as people write them, one producer, fixed identifiers and times."""

import copy
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tocsin_schema import canonical, ids, stix
from tocsin_schema.imports import aiid

ROOT = Path(__file__).parents[2]
WING = ROOT / "schema"
DATA = ROOT.parent / "shared" / "data"

NOW = datetime(2025, 3, 24, 10, 15, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
INCIDENT_ID = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
PRODUCER = stix.node_identity("Example Energy AG", "n1example")

MINIMAL: dict[str, Any] = {
    "title": "Chat assistant gave a dangerous dose",
    "description": "A health chat assistant advised ten times the right dose; a pharmacist caught it.",
    "tlp": "green",
    "realization": "near-miss",
}

FULL: dict[str, Any] = {
    "title": "Grid assistant opened a breaker on a hallucinated alarm",
    "description": "The assistant reported an overload that did not exist.\n"
    "An operator followed its advice; 12,000 households were without power for 47 minutes.",
    "tlp": "TLP:AMBER",
    "realization": "harm-event",
    "report_status": "investigating",
    "occurred_start": "2025-03-23T17:02:00+01:00",
    "occurred_end": "2025-03-23T17:49:00+01:00",
    "occurred_fidelity": "minute",
    "detected_at": "2025-03-23T16:05:00Z",
    "aware_at": "2025-03-23T16:30:00Z",
    "contained_at": "2025-03-23T16:49:00Z",
    "countries": ["DE"],
    "reporter_role": "deployer",
    "ai_relation": ["malfunction", "overreliance"],
    "causality": "direct",
    "causal_entity": "ai",
    "causal_intent": "unintentional",
    "causal_timing": "post-deployment",
    "lifecycle_phase": ["L06"],
    "autonomy_level": "human-in-the-loop",
    "ai_tasks": ["reasoning", "event-detection"],
    "failure_modes": ["hallucinated sensor reading"],
    "harms": [
        {"harm_type": "critical-infrastructure", "materialised": True, "reversibility": "reversible"},
        {"harm_type": "economic", "level": 2, "materialised": True, "note": "Spoiled goods in cold stores."},
    ],
    "quantities": {
        "persons_affected": 28000,
        "organisations_affected": 140,
        "outage_minutes": 47,
        "economic_loss": {"amount": 180000.5, "currency": "EUR"},
        "estimated": True,
    },
    "flags": ["critical-infrastructure", "transferable"],
    "affected_groups": ["consumers", "business"],
    "sectors": ["D"],
    "critical_sectors": ["energy"],
    "deployment_breadth": "sector",
    "systems": [
        {
            "name": "GridPilot",
            "vendor": "Voltwise",
            "version": "4.2",
            "kind": "system",
            "eu_risk_class": "annex-iii",
            "annex_iii_point": 2,
        },
        {
            "name": "Fjord",
            "vendor": "Fjord Labs",
            "version": "3.1 70B",
            "kind": "model",
            "role": "upstream-model",
            "modalities": ["text"],
            "weights_access": "open",
            "gpai_class": "gpai",
        },
    ],
    "developers": ["Voltwise", "Fjord Labs"],
    "deployers": ["Example Energy AG"],
    "affected": ["households", {"name": "Cold Store Cooperative", "class": "organization"}],
    "classifications": [
        {
            "scheme": "mit-ai-risk-domain",
            "version": "2025",
            "code": "7.3",
            "label": "Lack of capability or robustness",
            "assigned_by": "human",
            "confidence": 90,
        }
    ],
    "actions_taken": [
        {"at": "2025-03-23T16:50:00Z", "kind": "disable", "text": "Advice mode switched off everywhere."}
    ],
    "reproduction": "reproduced",
    "reproduction_rate": 0.4,
    "reproduction_trials": 10,
    "evidence": [{"kind": "log", "sha256": "ab" * 32, "size": 90210, "media_type": "text/plain"}],
    "sources": [
        {"name": "Example Energy", "url": "https://example.org/notices/47", "description": "Public notice."}
    ],
    "personal_data": "none",
    "ai_assistance": "none",
    "confidence": 85,
}


def build(form: dict[str, Any], incident_id: str = INCIDENT_ID) -> bytes:
    """A report of a form, at the fixed time."""
    return stix.build(form, producer=PRODUCER, incident_id=incident_id, now=NOW)


MINIMAL_RAW = build(MINIMAL)
FULL_RAW = build(FULL)


def parsed(raw: bytes = FULL_RAW) -> dict[str, Any]:
    """A bundle as objects that a test may change."""
    return json.loads(raw)


def find(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first object of a type."""
    return next(obj for obj in bundle["objects"] if obj["type"] == kind)


def facts(bundle: dict[str, Any]) -> dict[str, Any]:
    """The ai-incident extension of the bundle's incident."""
    return find(bundle, "incident")["extensions"][ids.INCIDENT_EXTENSION]


def changed(change: Callable[[dict[str, Any]], object], raw: bytes = FULL_RAW) -> bytes:
    """The bytes of a bundle after a change made in place."""
    bundle = copy.deepcopy(parsed(raw))
    change(bundle)
    return json.dumps(bundle, ensure_ascii=True).encode()


def examples() -> dict[str, bytes]:
    """The sound examples by file name, as canonical bytes."""
    return {
        "minimal": MINIMAL_RAW,
        "full": FULL_RAW,
        "revised": stix.revise(
            FULL_RAW,
            {
                "report_status": "resolved",
                "resolved_at": "2025-03-24T09:00:00Z",
                "quantities": {"outage_minutes": 130},
            },
            now=LATER,
        ),
        # The same event for a wider circle: fewer facts under a wider marking, as a report of its own.
        "redacted": build(
            {
                "title": "Grid assistant opened a breaker on a hallucinated alarm",
                "description": "An operator followed wrong advice of an assistant; power failed for 47 minutes.",
                "tlp": "clear",
                "realization": "harm-event",
                "quantities": {"outage_minutes": 47},
                "flags": ["critical-infrastructure", "transferable"],
                "critical_sectors": ["energy"],
                "personal_data": "none",
            },
            incident_id="incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77",
        ),
        # Nobody was harmed, and it was close; and what nobody has come near yet.
        "near-miss": build(
            {
                "title": "Insulin pump adviser proposed ten times the dose; a nurse stopped it",
                "description": "The adviser misread the unit of a laboratory value. The nurse checked by hand.",
                "tlp": "amber",
                "realization": "near-miss",
                "detected_at": "2025-04-02T06:12:00Z",
                "harms": [{"harm_type": "physical-health", "level": 4, "materialised": False}],
                "flags": ["vulnerable-group"],
                "ai_relation": ["malfunction"],
                "causality": "direct",
                "systems": [{"name": "Dose Adviser", "vendor": "Example Health", "version": "2.3"}],
                "personal_data": "none",
            },
            incident_id="incident--1c7d2f3e-5b64-4f0a-8a55-2f4e6f0b9a01",
        ),
        "hazard": build(
            {
                "title": "Browsing agent follows instructions hidden in a calendar invitation",
                "description": "Under test it sent files to an address named in the invitation. No case in use is known.",
                "tlp": "green",
                "realization": "potential",
                "harms": [{"harm_type": "ai-security", "level": 3}],
                "flags": ["transferable"],
                "ai_relation": ["adversarial-attack"],
                "reproduction": "reproduced",
                "reproduction_rate": 0.7,
                "reproduction_trials": 30,
                "systems": [
                    {"name": "Example Agent", "vendor": "Example Labs", "version": "5", "kind": "agent"}
                ],
                "personal_data": "none",
            },
            incident_id="incident--7f3a9f6e-0f0e-4f0c-9a83-5d1a7f5b1c02",
        ),
        "imported": imported(),
        "withdrawn": stix.withdraw(
            MINIMAL_RAW, reason="The dose was right; the pharmacist misread it.", now=LATER
        ),
    }


def imported() -> bytes:
    """A record as an import door makes it; the row is ours, only its form is the database's."""
    row = (
        "_id,incident_id,date,title,description,Alleged developer of AI system\n"
        'ObjectId(64d0f1a2aaaaaaaaaaaaaaaa),900001,2023-07-30,Barrier closes on a bus,"The camera of a level'
        ' crossing took a bus for a shadow; nobody was hurt.","[""example-rail""]"\n'
    )
    (record,) = aiid.read(io.BytesIO(row.encode()))
    assert record.bundle is not None
    return record.bundle


def pretty(raw: bytes) -> bytes:
    """A bundle for people to read."""
    return json.dumps(canonical.parse_strict(raw), indent=2, ensure_ascii=False).encode() + b"\n"
