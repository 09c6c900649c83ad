"""Reports that must be refused: one failure each, named after the code that must be found, and no other."""

import json
from typing import Any

from tests.schema.samples import MINIMAL_RAW, changed, facts, find, parsed

from tocsin_schema.ids import CORE_EXTENSION, INCIDENT_EXTENSION, SYSTEM_EXTENSION
from tocsin_schema.marking import MARKING_IDS, Tlp

RED, GREEN, CLEAR = MARKING_IDS[Tlp.RED], MARKING_IDS[Tlp.GREEN], MARKING_IDS[Tlp.CLEAR]
TLP1_GREEN = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
# Differs from TLP:CLEAR in one group; found in public code.
LOOKALIKE = "marking-definition--94868c89-83c2-4f24-929b-a1a8aa3c8487"


def _note(marking: str) -> dict[str, Any]:
    incident = find(parsed(MINIMAL_RAW), "incident")
    return {
        "type": "note",
        "spec_version": "2.1",
        "id": "note--2b1c9a3e-6a83-4f0e-9a52-7b8f3a0b7d11",
        "created": incident["created"],
        "modified": incident["modified"],
        "content": "More about it.",
        "object_refs": [incident["id"]],
        "object_marking_refs": [marking],
    }


def _mark(bundle: dict[str, Any], refs: list[str]) -> None:
    for kind in ("incident", "report"):
        find(bundle, kind)["object_marking_refs"] = refs


def _second_incident(bundle: dict[str, Any]) -> None:
    twin = {**find(bundle, "incident"), "id": "incident--9c4be0f5-52c2-4b8e-8f68-fd3dd0f0ac11"}
    bundle["objects"].append(twin)


def _bytes(old: bytes, new: bytes) -> bytes:
    assert old in MINIMAL_RAW
    return MINIMAL_RAW.replace(old, new, 1)


def _minimal(change: Any) -> bytes:
    return changed(change, MINIMAL_RAW)


def _drop(kind: str) -> bytes:
    return _minimal(lambda b: b.update(objects=[obj for obj in b["objects"] if obj["type"] != kind]))


def vectors() -> dict[str, bytes]:
    """Every hostile report by its code."""
    title = b"Chat assistant gave a dangerous dose"
    return {
        # the bytes
        "too-deep": b'{"type":"bundle","objects":' + b"[" * 40 + b"]" * 40 + b"}",
        "not-utf8": _bytes(title, b"Chat assistant gave a danger\xff dose"),
        "not-json": MINIMAL_RAW[:-20],
        "duplicate-key": _bytes(b'"tlp_2_0":"green"', b'"tlp_2_0":"clear","tlp_2_0":"green"'),
        "lone-surrogate": _bytes(title, rb"Chat assistant \ud83d gave a dangerous dose"),
        "control-character": _bytes(title, rb"Chat assistant\u0000 gave a dangerous dose"),
        "bad-number": _bytes(b'"criticality":15', b'"criticality":NaN'),
        "out-of-range": _bytes(b'"criticality":15', b'"criticality":123456789012345678901'),
        # the shape
        "null-value": _minimal(lambda b: find(b, "incident").update(confidence=None)),
        "wrong-type": _minimal(lambda b: find(b, "incident").update(confidence="very")),
        "empty-list": _minimal(lambda b: facts(b).update(flags=[])),
        "empty-text": _minimal(lambda b: [find(b, kind).update(name=" ") for kind in ("incident", "report")]),
        "too-long": _minimal(lambda b: [find(b, k).update(name="x" * 501) for k in ("incident", "report")]),
        "too-many": _minimal(lambda b: facts(b).update(flags=["ongoing"] * 31)),
        "unknown-word": _minimal(lambda b: facts(b).update(causality="maybe")),
        "unknown-field": _minimal(lambda b: find(b, "incident").update(severity="high")),
        "bad-name": _minimal(lambda b: facts(b).update({"X": 1})),
        "bad-timestamp": _minimal(lambda b: facts(b).update(aware_at="2025-02-30T00:00:00Z")),
        "bad-format": _minimal(lambda b: facts(b).update(countries=["Germany"])),
        "bad-id": _minimal(lambda b: find(b, "incident").update(created_by_ref="Example Energy")),
        "bad-ref-type": _minimal(lambda b: find(b, "incident").update(created_by_ref=INCIDENT_EXTENSION)),
        "missing-property": _minimal(lambda b: facts(b).pop("profile_version")),
        "type-not-carried": _minimal(
            lambda b: b["objects"].append(
                {"type": "artifact", "id": "artifact--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"}
            )
        ),
        # the parts together
        "duplicate-object": _minimal(lambda b: b["objects"].append(b["objects"][1])),
        "no-incident": _drop("incident"),
        "no-report": _drop("report"),
        "many-incidents": _minimal(_second_incident),
        "not-ai-incident": _minimal(lambda b: find(b, "incident")["extensions"].pop(INCIDENT_EXTENSION)),
        "not-wrapped": _minimal(lambda b: find(b, "report").update(object_refs=[find(b, "identity")["id"]])),
        "creator-differs": _minimal(
            lambda b: find(b, "report").update(
                created_by_ref="identity--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
            )
        ),
        "half-withdrawn": _minimal(lambda b: find(b, "incident").update(revoked=True)),
        "modified-before-created": _minimal(
            lambda b: find(b, "report").update(modified="2025-03-24T10:00:00.000Z")
        ),
        # the markings
        "tlp-missing": _minimal(
            lambda b: [find(b, k).pop("object_marking_refs") for k in ("incident", "report")]
        ),
        "tlp-1": _minimal(lambda b: _mark(b, [TLP1_GREEN])),
        "tlp-unknown": _minimal(lambda b: _mark(b, [LOOKALIKE])),
        "tlp-many": _minimal(lambda b: _mark(b, [GREEN, RED])),
        "tlp-differs": _minimal(lambda b: find(b, "report").update(object_marking_refs=[CLEAR])),
        "marking-altered": _minimal(lambda b: find(b, "marking-definition").update(name="TLP:CLEAR")),
        "marking-stricter": _minimal(lambda b: b["objects"].append(_note(RED))),
        "marking-looser": _minimal(lambda b: b["objects"].append(_note(CLEAR))),
        "bad-selector": _minimal(
            lambda b: find(b, "incident").update(
                granular_markings=[{"marking_ref": GREEN, "selectors": ["descriptoin"]}]
            )
        ),
        # what it says of itself
        "severity-mismatch": _minimal(lambda b: facts(b).update(severity_level=4)),
        "override-incomplete": _minimal(lambda b: facts(b).update(severity_basis="overridden")),
        "realization-contradicts": _minimal(_harmed_without_harm),
    }


def _harmed_without_harm(bundle: dict[str, Any]) -> None:
    ours = facts(bundle)
    for name in [
        name for name in ours if name.startswith("severity") or name in ("oecd_class", "response_grade")
    ]:
        del ours[name]
    ours.update(realization="no-harm", quantities={"deaths": 1})


def unknown_extension() -> bytes:
    """A report of a later profile: warnings, no error."""

    def change(bundle: dict[str, Any]) -> None:
        facts(bundle)["profile_version"] = "1.1"
        facts(bundle)["water_use"] = {"litres": 12, "note": "cooling"}
        find(bundle, "incident")["extensions"][CORE_EXTENSION]["event_refs"] = ["event--1"]
        other = SYSTEM_EXTENSION.replace("e589", "f589")
        find(bundle, "incident")["extensions"][other] = {
            "extension_type": "property-extension",
            "some_value": 1,
        }

    return changed(change)


def pretty(raw: bytes) -> bytes:
    """The vector for people to read, when it is JSON at all and stays the same failure."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_refuse_doubles, parse_constant=lambda _: 1 / 0)
        return json.dumps(value, indent=1, ensure_ascii=True).encode() + b"\n"
    except (ValueError, ArithmeticError):
        return raw


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)
