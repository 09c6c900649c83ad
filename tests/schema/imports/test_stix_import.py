import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schema.samples import DATA, FULL, FULL_RAW, MINIMAL_RAW, build, examples, facts, find, parsed
from tests.schema.strategies import wild_values
from tests.support.measured import memory_of

from tocsin_schema import ids
from tocsin_schema.check import check_bundle
from tocsin_schema.imports import stix
from tocsin_schema.marking import MARKING_IDS, Tlp

OTHER_ID = "incident--0c5d8f2e-3a51-4e3c-9f63-2d9d5e0f7a10"
VERSION = {"created": "2024-02-06T15:29:37.168Z", "modified": "2024-02-06T16:44:38.985Z"}
FOREIGN = {
    "type": "incident",
    "spec_version": "2.1",
    "id": OTHER_ID,
    **VERSION,
    "name": "Chatbot revealed records",
    "description": "A chatbot answered with other customers' records.",
    "object_marking_refs": [MARKING_IDS[Tlp.GREEN]],
}


def read(value, **options):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return list(stix.read(io.BytesIO(raw), **options))


def bundle(*objects):
    return {"type": "bundle", "id": "bundle--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", "objects": list(objects)}


def taken(*objects, **options):
    """The one record of a bundle, and its report."""
    (record,) = read(bundle(*objects), **options)
    assert record.bundle is not None, record.refusal
    return record, json.loads(record.bundle), check_bundle(record.bundle).report


# --- ours


@pytest.mark.parametrize("name", examples())
def test_a_report_of_ours_passes_unchanged(name):
    raw = examples()[name]
    (record,) = read(raw)
    assert (record.bundle, record.repairs, record.refusal) == (raw, (), None)


def test_reports_of_ours_pass_unchanged_line_by_line():
    raws = [FULL_RAW, MINIMAL_RAW.replace(b"5ee864f7", b"5ee864f8")]
    wrapper = ids.wrapper_id("incident--5ee864f8-a0d5-4b08-9887-a4ceda5c2f7a")
    assert wrapper
    records = read(b"\n".join(raws))
    assert [record.bundle for record in records] == raws


def _feed():
    """Two reports of ours as one collection of objects, without their bundles."""
    second = build(FULL, incident_id="incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77")
    objects = {obj["id"]: obj for raw in (FULL_RAW, second) for obj in parsed(raw)["objects"]}
    return list(objects.values()), {FULL_RAW, second}


@pytest.mark.parametrize("form", ["bundle", "list", "lines"])
def test_a_feed_of_ours_comes_apart_into_the_very_reports(form):
    objects, raws = _feed()
    objects.reverse()
    value = {
        "bundle": json.dumps(bundle(*objects), indent=1),
        "list": json.dumps(objects),
        "lines": "\n".join(json.dumps(obj) for obj in objects),
    }[form]
    records = read(value.encode())
    assert {record.bundle for record in records} == raws
    assert all(record.repairs == () for record in records)


def test_an_incident_of_ours_that_lost_its_wrapper_gets_it_back():
    objects = [obj for obj in parsed()["objects"] if obj["type"] != "report"]
    record, made, report = taken(*objects)
    assert record.repairs == ("the report object that wraps it was added",)
    assert report is not None
    assert report.id == find(parsed(), "incident")["id"]
    assert find(made, "incident") == find(parsed(), "incident")
    assert find(made, "report")["labels"][0] == 'ai-incident:grade="III"'
    assert find(made, "report")["description"].startswith("Grade III")


# --- others


def test_a_report_of_ours_that_is_not_sound_is_taken_over_and_says_what_is_lost():
    broken = parsed(FULL_RAW)
    find(broken, "incident")["extensions"][ids.INCIDENT_EXTENSION]["severity_level"] = 0
    (record,) = read(broken)
    (said,) = [repair for repair in record.repairs if "not sound" in repair]
    assert "(severity-mismatch)" in said
    assert "severity included" in said
    report = check_bundle(record.bundle).report
    assert report.id == ids.imported_incident_id("stix", find(broken, "incident")["id"])


def test_what_is_no_object_is_refused_where_it_stands_and_the_others_go_on():
    records = read(bundle(1, None, {"type": "incident"}, {"type": "foo", "id": "foo--x"}, FOREIGN))
    refused = [record.key for record in records if record.refusal]
    assert refused == [f"stix:document 1 objects[{number}]" for number in range(4)]
    assert {record.refusal.code for record in records if record.refusal} == {"import-malformed"}
    assert [record.key for record in records if record.bundle] == [f"stix:{OTHER_ID}"]


def test_a_foreign_incident_is_taken_over_under_a_derived_identifier():
    record, made, report = taken(FOREIGN)
    assert record.key == f"stix:{OTHER_ID}"
    assert report is not None
    assert report.id == ids.imported_incident_id("stix", OTHER_ID)
    assert report.created_by_ref == stix.IDENTITY["id"]
    assert (report.tlp, report.realization) == (Tlp.GREEN, "unknown")
    assert (report.source.source, report.source.id) == ("stix", OTHER_ID)
    assert find(made, "incident")["external_references"][0]["external_id"] == OTHER_ID
    assert taken(FOREIGN)[0].bundle == record.bundle


def test_what_it_refers_to_comes_along_and_points_at_the_new_incident():
    software = {
        "type": "software",
        "spec_version": "2.1",
        "id": "software--5006d365-aa07-5fdd-9ed7-6aed5f934efc",
        "name": "Bot",
    }
    technique = {
        "type": "attack-pattern",
        "spec_version": "2.1",
        "id": "attack-pattern--18c33065-849f-5705-b4d4-28a08470fba6",
        **VERSION,
        "name": "Prompt injection",
    }
    links = [
        {"type": "relationship", "spec_version": "2.1", "id": f"relationship--{n}c33065-849f-4705-b4d4-28a08470fba6", **VERSION,
         "relationship_type": verb, "source_ref": OTHER_ID, "target_ref": target}
        for n, (verb, target) in enumerate([("related-to", software["id"]), ("uses", technique["id"])], start=10)
    ]  # fmt: skip
    stranger = {
        **technique,
        "id": "attack-pattern--28c33065-849f-5705-b4d4-28a08470fba6",
        "name": "Of another incident",
    }
    _, made, report = taken(FOREIGN, software, technique, *links, stranger)
    assert report is not None
    assert report.systems == ("Bot",)
    assert {obj["source_ref"] for obj in made["objects"] if obj["type"] == "relationship"} == {report.id}
    assert OTHER_ID not in {obj.get("source_ref") for obj in made["objects"]}
    assert [obj["name"] for obj in made["objects"] if obj["type"] == "attack-pattern"] == ["Prompt injection"]
    assert {software["id"], technique["id"]} <= set(find(made, "report")["object_refs"])


@pytest.mark.parametrize(
    ("refs", "definitions", "tlp", "repair"),
    [
        (None, [], Tlp.RED, "it carried no TLP marking: taken as TLP:RED"),
        ([], [], Tlp.RED, "it carried no TLP marking: taken as TLP:RED"),
        (["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"], [], Tlp.AMBER, "replaced by TLP:AMBER"),
        (["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"], [], Tlp.CLEAR, "replaced by TLP:CLEAR"),
        (["marking-definition--94868c89-83c2-4f24-929b-a1a8aa3c8487"], [], Tlp.RED, "replaced by TLP:RED"),
        (
            ["marking-definition--11111111-83c2-4f24-929b-a1a8aa3c8487"],
            [{"type": "marking-definition", "id": "marking-definition--11111111-83c2-4f24-929b-a1a8aa3c8487",
              "definition_type": "tlp", "definition": {"tlp": "white"}}],
            Tlp.CLEAR,
            "replaced by TLP:CLEAR",
        ),
        ([MARKING_IDS[Tlp.CLEAR], MARKING_IDS[Tlp.AMBER]], [], Tlp.AMBER, None),
    ],
)  # fmt: skip
def test_a_marking_is_never_loosened(refs, definitions, tlp, repair):
    incident = {name: value for name, value in FOREIGN.items() if name != "object_marking_refs"}
    if refs is not None:
        incident["object_marking_refs"] = refs
    record, _, report = taken(incident, *definitions)
    assert report is not None
    assert report.tlp is tlp
    assert repair is None or any(repair in said for said in record.repairs)


def test_who_imports_may_say_what_an_unmarked_file_is():
    incident = {name: value for name, value in FOREIGN.items() if name != "object_marking_refs"}
    _, _, report = taken(incident, default_tlp=Tlp.GREEN)
    assert report is not None
    assert report.tlp is Tlp.GREEN


def test_an_object_that_is_marked_more_strictly_makes_the_report_as_strict():
    note = {"type": "note", "spec_version": "2.1", "id": "note--2b1c9a3e-6a83-4f0e-9a52-7b8f3a0b7d11", **VERSION,
            "content": "Secret.", "object_refs": [OTHER_ID], "object_marking_refs": [MARKING_IDS[Tlp.RED]]}  # fmt: skip
    record, made, report = taken(FOREIGN, note)
    assert report is not None
    assert report.tlp is Tlp.RED
    assert "marked TLP:RED, as an object that comes along is" in record.repairs
    assert find(made, "note")["object_refs"] == [report.id]


def test_a_red_property_makes_the_report_red():
    granular = {"granular_markings": [{"marking_ref": MARKING_IDS[Tlp.RED], "selectors": ["description"]}]}
    _, _, report = taken({**FOREIGN, **granular})
    assert report is not None
    assert report.tlp is Tlp.RED


def test_a_licence_comes_along():
    licence = {"type": "marking-definition", "spec_version": "2.1", "id": "marking-definition--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
               "created": VERSION["created"], "definition_type": "statement", "definition": {"statement": "CC BY 4.0"}}  # fmt: skip
    _, made, report = taken(
        {**FOREIGN, "object_marking_refs": [MARKING_IDS[Tlp.CLEAR], licence["id"]]}, licence
    )
    assert report is not None
    assert licence["id"] in find(made, "incident")["object_marking_refs"]
    assert licence in made["objects"]


def test_what_stix_does_not_have_is_left_out_and_named():
    record, made, _ = taken(
        {**FOREIGN, "x_custom": 1, "severity": "high", "labels": [], "confidence": None, "lang": "en-US"}
    )
    assert not {"x_custom", "severity", "confidence", "lang"} & find(made, "incident").keys()
    (repair,) = record.repairs
    assert "x_custom" in repair
    assert "severity" in repair


@pytest.mark.parametrize(
    ("changes", "repair"),
    [
        ({"description": None}, "no description"),
        ({"name": ""}, "no name"),
        ({"modified": "2020-01-01T00:00:00Z"}, "modified was missing or before created"),
        ({"modified": None}, "modified was missing"),
        ({"created": "long ago"}, "no sound time of creation"),
        ({"description": "x" * 60_000}, "cut to 49,000"),
    ],
)
def test_dirt_is_repaired_and_named(changes, repair):
    record, _, _ = taken({**FOREIGN, **changes})
    assert any(repair in said for said in record.repairs)


def test_times_that_others_put_beside_are_taken():
    _, made, _ = taken({**FOREIGN, "first_seen": "2020-01-12T12:00:00Z"})
    assert facts(made)["occurred_start"] == "2020-01-12T12:00:00.000Z"


def test_a_withdrawn_incident_stays_withdrawn():
    _, _, report = taken({**FOREIGN, "revoked": True})
    assert report is not None
    assert report.revoked


def test_of_several_versions_the_latest_counts():
    old = {**FOREIGN, "name": "Old", "modified": "2024-02-06T15:29:37.168Z"}
    for order in ([FOREIGN, old], [old, FOREIGN]):
        _, _, report = taken(*order)
        assert report is not None
        assert report.name == "Chatbot revealed records"


def test_the_real_case_studies_are_taken_over():
    folder = DATA / "atlas" / "opencti-bundles"
    if not folder.exists():
        pytest.skip("the ATLAS case studies are not beside the repository")
    for path in sorted(folder.glob("*.json")):
        (record,) = read(path.read_bytes())
        assert record.bundle is not None
        techniques = [obj for obj in json.loads(record.bundle)["objects"] if obj["type"] == "attack-pattern"]
        assert len(techniques) >= 5
        assert any("x_opencti_id" in repair for repair in record.repairs)


# --- hostile


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not-json"),
        (b"nonsense", "not-json"),
        (b"null", "import-malformed"),
        (b"[1]", "import-malformed"),
        (b'{"type":"bundle","objects":[]}', "no-incident"),
        (b'{"type":"bundle","objects":{}}', "import-malformed"),
        (b'{"a":1,"a":2}', "duplicate-key"),
        (b"[" * 100_000, "too-deep"),
        (b'{"type":"incident","id":"incident--1"}', "import-malformed"),
        (b'["\\ud800"]', "lone-surrogate"),
        (b"\xff\xfe", "not-utf8"),
        (b'[{"x":"' + b"y" * 3_000_000 + b'"}]', "too-large"),
    ],
    ids=range(12),
)
def test_what_is_no_stix_is_refused_with_a_reason(raw, code):
    records = read(raw)
    assert records
    assert all(record.bundle is None for record in records)
    assert records[0].refusal.code == code


def test_a_broken_incident_is_refused_alone():
    broken = {"type": "incident", "id": "incident--11111111-3a51-4e3c-9f63-2d9d5e0f7a10"}
    records = read(bundle(broken, FOREIGN))
    assert [record.bundle is None for record in records] == [False, True] or [
        record.bundle is None for record in records
    ] == [True, False]
    assert next(record for record in records if record.bundle is None).refusal is not None


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [*FOREIGN, "extensions", "labels", "revoked", "granular_markings", "external_references"]
            ),
            wild_values,
        ),
        max_size=4,
    )
)
def test_an_incident_with_anything_in_it_is_taken_over_or_refused(changes):
    incident = {**FOREIGN, **dict(changes)}
    raw = json.dumps(bundle(incident)).encode("utf-8", "surrogatepass")
    for record in stix.read(io.BytesIO(raw)):
        assert (record.bundle is None) == (record.refusal is not None)
        if record.bundle is not None:
            assert check_bundle(record.bundle).report is not None


def test_memory_does_not_grow_with_the_file():
    def peak(number: int) -> int:
        objects = [
            {**FOREIGN, "id": f"incident--{n:08}-3a51-4e3c-9f63-2d9d5e0f7a10", "description": "d" * 20_000}
            for n in range(number)
        ]
        raw = json.dumps(bundle(*objects)).encode()
        stream = io.BytesIO(raw)
        del objects
        count, highest = memory_of(lambda: sum(record.bundle is not None for record in stix.read(stream)))
        assert count == number
        return highest

    assert peak(600) < peak(200) + 2_000_000
