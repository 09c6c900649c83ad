"""`tocsin convert`: one bundle on stdout, an account on stderr that adds up, and no node."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from tests.cli.test_import import aiid_csv
from tests.schema.imports.test_atlas import STIX, STUDY, TREE, Plain
from tests.schema.imports.test_avid import RECORD
from tests.schema.samples import DATA

from tocsin_schema.ids import imported_incident_id

TOOL = {
    "type": "tool", "spec_version": "2.1", "id": "tool--00000000-0000-4000-8000-000000000001", "name": "Hammer",
    "created": "2024-02-06T15:29:37.168Z", "modified": "2024-02-06T15:29:37.168Z",
}  # fmt: skip
UNCHECKED = {
    **TOOL,
    "type": "malware-analysis",
    "id": "malware-analysis--00000000-0000-4000-8000-000000000002",
}


def account(result):
    found = json.loads(result.stderr)
    assert found["read"] == found["converted"] + found["repaired"] + found["refused"]
    assert len(found["refusals"]) == found["refused"]
    assert len(found["repairs"]) == found["repaired"]
    bundle = json.loads(result.stdout) if result.stdout else {"objects": []}
    assert len(bundle["objects"]) == found["objects"] == len({obj["id"] for obj in bundle["objects"]})
    return found, bundle


def avid_lines(*records):
    return b"".join(json.dumps({**RECORD, **record}).encode() + b"\n" for record in records)


@pytest.fixture
def files(home):
    tree = yaml.dump({**TREE, "case-studies": [STUDY, {**STUDY, "id": 5}]}, Dumper=Plain)
    return {
        "aiid": [home.file("incidents.csv", aiid_csv({}, {"title": ""}, {"incident_id": "x"}))],
        "avid": [home.file("reports.jsonl", avid_lines({}) + b"no\n")],
        "atlas": [home.file("ATLAS.yaml", tree), "--stix", home.file("stix-atlas.json", json.dumps(STIX))],
        "stix": [home.file("some.json", json.dumps([TOOL, UNCHECKED]))],
    }


@pytest.mark.parametrize("source", ["aiid", "avid", "atlas", "stix"])
def test_every_source_becomes_one_bundle_with_an_account_that_adds_up(tocsin, files, source):
    result = tocsin("convert", source, *map(str, files[source]), "--json")
    found, bundle = account(result)
    assert found["refused"] == 1
    assert result.exit_code == 6
    assert bundle["type"] == "bundle"
    assert found["refusals"][0]["code"] in {"import-malformed", "not-json", "type-not-carried"}


def test_when_every_record_came_through_the_exit_code_is_0_and_a_second_run_gives_the_same_bytes(
    tocsin, home
):
    file = str(home.file("reports.jsonl", avid_lines({}, {"metadata": {"report_id": "AVID-2031-R0008"}})))
    first, second = tocsin("convert", "avid", file), tocsin("convert", "avid", file)
    assert (first.exit_code, first.stdout) == (0, second.stdout)
    assert "2 read = 2 converted + 0 repaired + 0 refused" in first.stderr


def test_people_are_told_refusals_always_and_repairs_when_they_ask(tocsin, files):
    plain = tocsin("convert", "aiid", *map(str, files["aiid"]))
    assert "refused aiid:line 4: incident_id is “x”, not a number. [import-malformed]" in plain.stderr
    assert "title was empty" not in plain.stderr
    assert "title was empty" in tocsin("convert", "aiid", *map(str, files["aiid"]), "-v").stderr


def test_what_was_converted_is_imported_as_the_same_reports(tocsin, node, home, files):
    for source in ("aiid", "avid", "atlas"):
        tocsin("import", source, *map(str, files[source]))
    before = {report_id: kept.raw for report_id, kept in node.reports.items()}
    node.reports.clear()
    for source in ("aiid", "avid", "atlas"):
        bundle = home.file(f"{source}.json", tocsin("convert", source, *map(str, files[source])).stdout)
        result = tocsin("import", "stix", str(bundle))
        assert result.exit_code == 0, result.stderr
    assert {report_id: kept.raw for report_id, kept in node.reports.items()} == before


@pytest.mark.parametrize(
    ("source", "content", "code"),
    [
        ("aiid", "a,b\n", "import-unreadable"),
        ("avid", '{\n"a": 1}\n', "import-unreadable"),
        ("atlas", "a: &a [*a]", "import-unreadable"),
    ],
)
def test_a_file_of_another_form_is_exit_2_and_leaves_stdout_empty(tocsin, home, source, content, code):
    result = tocsin("convert", source, str(home.file("file", content)), "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert json.loads(result.stderr)["code"] == code


def test_a_file_in_which_there_is_nothing_is_exit_6_and_leaves_stdout_empty(tocsin, home):
    result = tocsin("convert", "stix", str(home.file("file", b"\x00")))
    assert (result.exit_code, result.stdout) == (6, "")


def test_a_file_that_is_not_there_is_usage(tocsin, home):
    assert tocsin("convert", "avid", "nowhere").exit_code == 2
    there = home.file("ATLAS.yaml", "case-studies: []")
    assert tocsin("convert", "atlas", str(there), "--stix", "nowhere").exit_code == 2


def test_a_reader_that_leaves_ends_it_quietly(home):
    lines = avid_lines(*({"metadata": {"report_id": f"AVID-2031-R{number:04}"}} for number in range(60)))
    file = home.file("reports.jsonl", lines)
    reading, writing = os.pipe()
    os.close(reading)  # nobody will ever read
    try:
        command = [sys.executable, "-m", "tocsin_cli", "convert", "avid", str(file)]
        done = subprocess.run(
            command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    finally:
        os.close(writing)
    assert "Traceback" not in done.stderr
    assert "fault" not in done.stderr.lower()


def test_the_real_case_studies_come_through(tocsin):
    path = DATA / "atlas" / "ATLAS.yaml"
    if not path.exists():
        pytest.skip("MITRE ATLAS is not beside the repository")
    result = tocsin("convert", "atlas", str(path), "--stix", str(path.parent / "stix-atlas.json"), "--json")
    found, bundle = account(result)
    assert result.exit_code == 0
    assert found["read"] == path.read_bytes().count(b"\n- id: AML.CS")
    ids = {obj["id"] for obj in bundle["objects"]}
    assert imported_incident_id("atlas", "AML.CS0000") in ids
