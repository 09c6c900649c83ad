import gc
import io
import itertools
import json
import re
import tracemalloc
import warnings

import msgspec
import pytest
import stix2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_string
from tests.schema import strategies
from tests.schema.exports.reports import report, rich, rich_raw, sound
from tests.schema.samples import DATA, FULL_RAW, LATER, NOW, PRODUCER

from tocsin_schema import ids, stix
from tocsin_schema.errors import FormRefused
from tocsin_schema.exports import stix as export
from tocsin_schema.imports import aiid
from tocsin_schema.imports.stix import read


def written(reports, write=export.write) -> bytes:
    return b"".join(write(reports))


def taken_back(raw: bytes) -> set[bytes]:
    records = list(read(io.BytesIO(raw)))
    assert not [record for record in records if record.refusal]
    return {record.bundle for record in records}


def errors(raw: bytes) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = validate_string(raw.decode(), ValidationOptions(version="2.1"))
        stix2.parse(json.loads(raw), allow_custom=False, version="2.1")
    return [str(error) for error in found.errors or ()]


def imported(limit: int, step: int = 1):
    source = DATA / "aiid" / "incidents.csv"
    if not source.exists():
        pytest.skip("the AI Incident Database's export is not beside the repository")
    with source.open("rb") as stream:
        return [report(record.bundle) for record in itertools.islice(aiid.read(stream), 0, limit, step)]


def test_the_bundle_is_valid_strict_stix():
    assert errors(written([*sound(), rich()])) == []


def test_the_bundle_of_public_incidents_is_valid_strict_stix():
    assert errors(written(imported(600, 20))) == []


def test_the_extension_definitions_are_there_once():
    objects = json.loads(written(sound()))["objects"]
    announced = [obj["id"] for obj in objects if obj["type"] == "extension-definition"]
    assert sorted(announced) == sorted([ids.INCIDENT_EXTENSION, ids.SYSTEM_EXTENSION])


def test_every_example_comes_back_byte_for_byte_alone_and_together():
    reports = sound()
    assert taken_back(written(reports)) == {one.raw for one in reports}
    for one in reports:
        assert taken_back(written([one])) == {one.raw}


def test_public_incidents_come_back_byte_for_byte_out_of_a_bundle_larger_than_a_document():
    reports = imported(400)
    raw = written(reports)
    assert len(raw) > 1024 * 1024
    assert taken_back(raw) == {one.raw for one in reports}


def test_lines_hold_the_bytes_that_were_signed():
    reports = [*sound(), rich()]
    lines = written(reports, export.write_lines).splitlines()
    assert lines == [one.raw for one in reports]
    assert taken_back(b"\n".join(lines)) == {one.raw for one in reports}


def test_a_report_with_objects_of_every_kind_comes_back_as_the_same_incident_with_all_objects():
    (back,) = taken_back(written([rich()]))
    before, after = (sorted(json.loads(raw)["objects"], key=lambda o: o["id"]) for raw in (rich_raw(), back))
    assert before == after


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(
    facts=st.lists(strategies.extensions, min_size=1, max_size=3),
    title=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60),
    later=st.booleans(),
    withdrawn=st.booleans(),
)
def test_any_valid_report_survives_export_and_import(facts, title, later, withdrawn):
    reports = []
    for number, extension in enumerate(facts):
        form = {"title": title, "description": f"{title} {number}", "tlp": "green", **extension}
        form["systems"] = [{"name": f"Model {number}", "vendor": "Vendor"}]
        form["developers"] = ["Vendor"]
        own = f"incident--5ee864f7-a0d5-4b08-9887-{number:012}"
        try:
            raw = stix.build(form, producer=PRODUCER, incident_id=own, now=NOW)
            if later:
                raw = stix.revise(raw, {"report_status": "contained"}, now=LATER)
        except FormRefused:
            continue
        if withdrawn:
            raw = stix.withdraw(raw, reason="It was another system.", now=LATER.replace(year=2026))
        reports.append(report(raw))
    if reports:
        assert taken_back(written(reports)) == {one.raw for one in reports}


def test_the_same_reports_give_the_same_bytes_and_others_another_bundle():
    reports = sound()
    assert written(reports) == written(reports)
    first, second = (json.loads(written(ones))["id"] for ones in (reports, reports[:-1]))
    assert first != second


def test_an_empty_export_is_still_a_bundle():
    assert json.loads(written([]))["type"] == "bundle"
    assert written([], export.write_lines) == b""


def test_an_announced_report_that_others_wrote_indented_comes_apart_as_well():
    pretty = json.dumps(json.loads(written([report(FULL_RAW)])), indent=1).encode()
    assert taken_back(pretty) == {FULL_RAW}


def test_memory_does_not_grow_with_the_number_of_reports():
    one, text = report(FULL_RAW), FULL_RAW.decode()
    own = re.compile(r"((?:incident|relationship|report)--[0-9a-f-]{24})[0-9a-f]{12}").sub

    def many(count):
        for number in range(count):
            raw = own(lambda found, n=number: f"{found[1]}{n:012}", text).encode()
            yield msgspec.structs.replace(one, raw=raw)

    def peak(count):
        gc.collect()
        tracemalloc.start()
        size = sum(map(len, export.write(many(count))))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size > 5_000 * count
        return found

    peak(300)  # fills the caches that are bounded
    assert peak(300) < peak(75) * 1.2 + 50_000
