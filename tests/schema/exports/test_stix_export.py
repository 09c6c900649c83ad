import base64
import io
import itertools
import json
import re
import warnings
from collections import Counter

import msgspec
import pytest
import stix2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_string
from tests.schema import strategies
from tests.schema.exports.reports import report, rich, rich_raw, sound
from tests.schema.samples import DATA, FULL_RAW, LATER, NOW, PRODUCER, build, find
from tests.support.measured import memory_of

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


SPELLINGS = ("Vendor", "VENDOR", "vendor", "Ｖendor")
more_facts = st.dictionaries(
    st.sampled_from(["weights_access", "license", "training_framework"]),
    st.sampled_from(["open", "closed"]),
    max_size=3,
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(
    facts=st.lists(
        st.tuples(strategies.extensions, st.sampled_from(SPELLINGS), more_facts, st.booleans()),
        min_size=1,
        max_size=4,
    ),
    title=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60),
    later=st.booleans(),
    withdrawn=st.booleans(),
    seed=st.randoms(use_true_random=False),
)
def test_any_valid_reports_survive_export_and_import_whatever_they_share(
    facts, title, later, withdrawn, seed
):
    reports = []
    for number, (extension, spelt, more, shuffled) in enumerate(facts):
        form = {"title": title, "description": f"{title} {number}", "tlp": "green", **extension}
        form["systems"] = [{"name": "Model", "vendor": "Vendor", **more}]
        form["developers"] = [spelt]
        own = f"incident--5ee864f7-a0d5-4b08-9887-{number:012}"
        try:
            raw = stix.build(form, producer=PRODUCER, incident_id=own, now=NOW)
            if later:
                raw = stix.revise(raw, {"report_status": "contained"}, now=LATER)
        except FormRefused:
            continue
        if withdrawn:
            raw = stix.withdraw(raw, reason="It was another system.", now=LATER.replace(year=2026))
        reports.append(report(otherwise_written(raw, seed) if shuffled else raw))
    if reports:
        assert taken_back(written(reports)) == {one.raw for one in reports}


def otherwise_written(raw: bytes, seed) -> bytes:
    """The same report as another program may have composed it: its objects in another order, indented, named otherwise."""
    bundle = json.loads(raw)
    seed.shuffle(bundle["objects"])
    bundle["id"] = "bundle--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
    return json.dumps(bundle, indent=seed.choice([None, 1])).encode()


def two_that_differ():
    """Two reports that tell of one system in different words."""
    form = {"title": "A", "description": "B", "tlp": "green", "realization": "unknown"}
    own = [f"incident--5ee864f7-a0d5-4b08-9887-{number:012}" for number in range(2)]
    return [
        report(build({**form, "systems": [{"name": "Model", "license": said}]}, one))
        for one, said in zip(own, ("MIT", "Apache-2.0"), strict=True)
    ]


def artifacts(raw: bytes) -> list:
    return [obj for obj in json.loads(raw)["objects"] if obj["type"] == "artifact"]


def test_a_report_whose_objects_gave_way_comes_along_as_it_was_signed_in_strict_stix():
    one, two = reports = two_that_differ()
    raw = written(reports)
    (carrier,) = artifacts(raw)
    assert base64.b64decode(carrier["payload_bin"]) in {one.raw, two.raw}
    assert errors(raw) == []
    assert taken_back(raw) == {one.raw, two.raw}
    assert written(reversed(reports)).count(b'"artifact"') == 1


def test_nothing_of_an_export_belongs_to_no_incident():
    over = Counter()
    assert list(read(io.BytesIO(written([*sound(), *two_that_differ()])), passed_over=over))
    assert over == {}


def test_reports_that_come_together_from_their_objects_are_not_there_twice():
    assert artifacts(written(sound())) == []


def test_a_carried_report_larger_than_an_object_of_other_files_comes_back():
    form = {"title": "A", "description": "b" * 49_000, "tlp": "green", "realization": "unknown"}
    form["actions_taken"] = [{"kind": "other", "text": "c" * 2_000} for _ in range(100)]
    bundle = json.loads(build(form))
    note = {
        "type": "note", "spec_version": "2.1", "created_by_ref": PRODUCER["id"], "content": "d" * 45_000,
        "created": find(bundle, "incident")["created"], "modified": find(bundle, "incident")["created"],
        "object_refs": [find(bundle, "incident")["id"]],
    }  # fmt: skip
    for number in range(15):
        own = f"note--{number:08}-a0d5-4b08-9887-a4ceda5c2f7a"
        bundle["objects"].insert(0, {**note, "id": own})
        find(bundle, "report")["object_refs"].append(own)
    large = report(json.dumps(bundle).encode())
    assert len(large.raw) > 900_000
    raw = written([large, *sound()])
    assert len(artifacts(raw)) == 1
    assert large.raw in taken_back(raw)


@pytest.mark.parametrize("name", ["payload_bin", "mime_type"])
@pytest.mark.parametrize("value", [None, 7, "", "!", "eA==", "e30=", "W10="])
def test_a_broken_carrier_is_passed_over_and_the_objects_are_taken(name, value):
    reports = two_that_differ()
    bundle = json.loads(written(reports))
    carrier = next(obj for obj in bundle["objects"] if obj["type"] == "artifact")
    carrier[name] = value
    back = [report(raw) for raw in taken_back(json.dumps(bundle).encode())]
    assert {one.id for one in back} == {one.id for one in reports}


@pytest.mark.parametrize("kind", ["incident", "report"])
def test_a_carrier_that_says_something_else_than_the_bundle_shows_is_not_believed(kind):
    one, two = two_that_differ()
    bundle = json.loads(written([one, two]))
    carrier = next(obj for obj in bundle["objects"] if obj["type"] == "artifact")
    hidden = json.loads(base64.b64decode(carrier["payload_bin"]))
    find(hidden, kind)["name"] = "What nobody saw"
    carrier["payload_bin"] = base64.b64encode(json.dumps(hidden).encode()).decode()
    back = taken_back(json.dumps(bundle).encode())
    assert len(back) == 2
    assert not any(b"What nobody saw" in raw for raw in back)


def test_what_another_report_says_of_this_one_does_not_come_along():
    first, second = sound()[:2]
    linked = report(stix.mark_duplicate(second.raw, first.id, now=LATER))
    assert artifacts(written([first, linked])) == []
    assert taken_back(written([first, linked])) == {first.raw, linked.raw}


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

    def measured(count):
        """What was written, and the most memory that it took meanwhile, in bytes."""
        return memory_of(lambda: sum(map(len, export.write(many(count)))))

    measured(300)  # fills the caches that are bounded
    (few, peak_of_few), (more, peak_of_many) = measured(75), measured(300)
    assert more - few > 225 * 5_000
    assert peak_of_many - peak_of_few < (more - few) / 4, (
        "the identifiers of what was written may stay, its text may not"
    )
