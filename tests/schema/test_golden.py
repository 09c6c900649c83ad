import json
from pathlib import Path

import jsonschema
import pytest
from tests.schema import golden, hostile, samples
from tests.schema.samples import WING, facts, find, parsed

from tocsin_schema import artefacts, ids
from tocsin_schema.check import check_bundle

FILES = dict(golden.files())
HINT = "after a review: python -m tests.schema.golden"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(WING)))
def test_a_generated_file_is_current(path: Path):
    assert path.read_bytes() == FILES[path], HINT


def test_no_file_lies_beside_the_generated_ones():
    there = {*(WING / "examples").rglob("*.*"), *(WING / "extension").rglob("*.*")}
    assert there == set(FILES)


def test_the_tables_of_the_readme_are_current():
    assert (WING / "README.md").read_text("utf-8").partition(artefacts.BEGIN)[
        2
    ].strip() == artefacts.glossary().strip(), HINT


@pytest.mark.parametrize("name", samples.examples())
def test_an_example_is_a_sound_report(name: str):
    checked = check_bundle((WING / "examples" / f"{name}.json").read_bytes())
    assert checked.report is not None
    assert checked.findings == ()


@pytest.mark.parametrize("code", hostile.vectors())
def test_a_hostile_report_fails_for_exactly_its_reason(code: str):
    checked = check_bundle((WING / "examples" / "hostile" / f"{code}.json").read_bytes())
    assert checked.report is None
    assert {finding.code for finding in checked.findings if finding.level == "error"} == {code}
    assert all(finding.message and finding.hint for finding in checked.findings)


@pytest.mark.parametrize("name", ["ai-incident", "ai-system"])
def test_a_published_schema_is_sound_and_takes_the_examples(name: str):
    schema = json.loads((WING / "extension" / f"{name}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    bundle = parsed()
    value = (
        facts(bundle)
        if name == "ai-incident"
        else find(bundle, "software")["extensions"][ids.SYSTEM_EXTENSION]
    )
    jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("null-value", {"water_use": None}),
        ("empty-list", {"water_use": []}),
        ("bad-name", {"X": 1}),
        ("unknown-word", {"causality": "maybe"}),
        ("bad-timestamp", {"aware_at": "yesterday"}),
        ("out-of-range", {"severity_level": 6}),
        ("wrong-type", {"flags": "ongoing"}),
        ("empty-text", {"failure_modes": ["   "]}),
        ("control-character", {"failure_modes": ["a\x00b"]}),
    ],
)
def test_the_published_schema_refuses_what_the_check_refuses(name: str, change: dict):
    schema = json.loads((WING / "extension" / "ai-incident.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    assert not validator.is_valid({**facts(parsed()), **change})
    found = check_bundle(samples.changed(lambda bundle: facts(bundle).update(change))).findings
    assert name in {finding.code for finding in found}


def test_the_identifiers_of_the_extensions_are_frozen():
    assert ids.INCIDENT_EXTENSION == "extension-definition--da9f04c0-b1bd-4fd7-8caf-298eb1ebd2fb"
    assert ids.SYSTEM_EXTENSION == "extension-definition--e589826c-3479-4f16-b8e7-b7187440e2c9"
    assert ids.CORE_EXTENSION == "extension-definition--ef765651-680c-498d-9894-99799f2fa126"
    assert str(ids.NAMESPACE) == "4cac07ad-23e0-4b59-a1fc-4f67c75acc0a"
