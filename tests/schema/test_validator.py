"""What the check lets pass, STIX's own judges let pass: stix2-validator and stix2 without custom properties."""

import copy
import io
import itertools
import json
import random
import warnings

import pytest
import stix2
from stix2validator import ValidationOptions, validate_string
from tests.schema.samples import DATA, PRODUCER, build, examples, find, parsed

from tocsin_schema.artefacts import files
from tocsin_schema.check import check_bundle
from tocsin_schema.imports import aiid
from tocsin_schema.imports import stix as stix_import
from tocsin_schema.objects import OBJECTS

OPTIONS = ValidationOptions(version="2.1")


def errors(raw: bytes, *, new_types: bool = False) -> list[str]:
    """What the validator says; stix2 must take it too, but it takes no bundle with `new_types` (STIX 2.1, 7.3)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = validate_string(raw.decode(), OPTIONS)
        if not new_types:
            stix2.parse(json.loads(raw), allow_custom=False, version="2.1")
    return [str(error) for error in found.errors or ()]


@pytest.mark.parametrize("name", examples())
def test_what_is_made_is_valid_stix(name):
    assert errors(examples()[name]) == []


@pytest.mark.parametrize("tlp", ["clear", "green", "amber", "amber+strict", "red"])
def test_every_marking_is_valid_stix(tlp):
    form = {"title": "A", "description": "B", "tlp": tlp, "realization": "unknown"}
    assert errors(build(form)) == []


def test_the_published_extension_definitions_are_valid_stix():
    texts = [json.loads(text) for name, text in files() if not name.endswith(".schema.json")]
    bundle = {"type": "bundle", "id": "bundle--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", "objects": texts}
    assert errors(json.dumps(bundle).encode()) == []


def test_imported_public_incidents_are_valid_stix():
    source = DATA / "aiid" / "incidents.csv"
    if not source.exists():
        pytest.skip("the AI Incident Database's export is not beside the repository")
    with source.open("rb") as stream:
        records = list(itertools.islice(aiid.read(stream), 0, 400, 20))
    for record in records:
        assert record.bundle is not None
        assert errors(record.bundle) == []


def test_imported_foreign_stix_is_valid_stix():
    folder = DATA / "atlas" / "opencti-bundles"
    if not folder.exists():
        pytest.skip("the ATLAS case studies are not beside the repository")
    for path in sorted(folder.glob("*.json")):
        for record in stix_import.read(io.BytesIO(path.read_bytes())):
            assert record.bundle is not None
            assert errors(record.bundle) == []


VALUES = [
    "a", "A-b", "x" * 300, "http://a b", "https://example.org/x?y=%20", "https://[::1]/%zz", "urn:a:b", "a:b", "en", "en-US",
    "2025-03-24T10:15:00Z", "2025-03-24T10:15:00.123456Z", "2016-12-31T23:59:60Z", "\n\nx", "é😀", 0, 5, 85, -1, 0.5, True,
    "identity--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", "malware--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", ["a"], ["A b"],
    [{"source_name": "cve", "external_id": "CVE-2024-12345"}], [{"source_name": "cve", "external_id": "none"}],
    [{"source_name": "x", "external_id": "CVE-2024-12345"}], [{"source_name": "x", "url": "not an address"}],
    [{"source_name": "x"}], [{"kill_chain_name": "a B", "phase_name": "C_d"}], [{"lang": "en", "selectors": ["name"]}],
    [{"marking_ref": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "selectors": ["type"]}],
]  # fmt: skip


def _everything() -> dict:
    """A report that carries an object of every type that may be carried."""
    bundle = parsed()
    incident = find(bundle, "incident")
    version = {"spec_version": "2.1", "created": incident["created"], "modified": incident["modified"]}
    about = {"object_refs": [incident["id"]]}
    more = {
        "note": {"content": "x", **about},
        "opinion": {"opinion": "agree", **about},
        "sighting": {"sighting_of_ref": incident["id"]},
        "attack-pattern": {"name": "a"},
        "course-of-action": {"name": "a"},
        "vulnerability": {"name": "a"},
        "infrastructure": {"name": "a", "infrastructure_types": ["hosting-target-lists"]},
        "tool": {"name": "a"},
        "threat-actor": {"name": "a"},
        "extension-definition": {
            "created_by_ref": PRODUCER["id"],
            "name": "abc",
            "schema": "https://example.org/schema",
            "version": "1.0.0",
            "extension_types": ["property-extension"],
        },
    }
    for number, (kind, own) in enumerate(more.items()):
        identifier = f"{kind}--{number:08}-a0d5-4b08-9887-a4ceda5c2f7a"
        bundle["objects"].append({"type": kind, "id": identifier, **version, **own})
    return bundle


def test_the_report_of_every_type_is_sound():
    everything = _everything()
    assert {obj["type"] for obj in everything["objects"]} == set(OBJECTS)
    raw = json.dumps(everything).encode()
    assert check_bundle(raw).report is not None
    assert errors(raw) == []


def test_whatever_the_check_lets_pass_is_valid_stix():
    everything = _everything()
    draw = random.Random(20250324)
    places = [
        (index, name)
        for index, obj in enumerate(everything["objects"])
        for name in OBJECTS[obj["type"]].fields
        if name not in ("type", "id")
    ]
    tried = 0
    for (index, name), value in draw.sample(list(itertools.product(places, VALUES)), 1500):
        bundle = copy.deepcopy(everything)
        bundle["objects"][index][name] = value
        raw = json.dumps(bundle).encode()
        if check_bundle(raw).report is None:
            continue
        tried += 1
        # The object alone is what the validator must judge anew; the others are known to be valid.
        alone = {**bundle, "objects": [bundle["objects"][index]]}
        assert errors(json.dumps(alone).encode()) == [], (name, value)
    assert tried > 80
