import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schema.samples import DATA, facts, find
from tests.schema.strategies import wild_values
from tests.support.measured import memory_of

from tocsin_schema import ids
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import ImportUnreadable
from tocsin_schema.imports import avid
from tocsin_schema.marking import Tlp

RECORD = {
    "data_type": "AVID",
    "data_version": "0.3.3",
    "metadata": {"report_id": "AVID-2031-R0007"},
    "affects": {
        "developer": ["Examplia AI"],
        "deployer": ["Examplia AI"],
        "artifacts": [{"type": "Model", "name": "examplia-7b"}, {"type": "Dataset", "name": "corpus"}],
    },
    "problemtype": {
        "classof": "CVE Entry",
        "type": "Advisory",
        "description": {"lang": "eng", "value": "Examplia reads files (CVE-2031-12345)"},
    },
    "metrics": [{"name": "probe", "results": {"rows": [{"detector": "echo", "score": 0.25, "passed": 3}]}}],
    "references": [{"type": "source", "label": "Advisory", "url": "https://example.org/a?b=1"}],
    "description": {"lang": "eng", "value": "A prompt makes it read any file."},
    "impact": {
        "avid": {
            "vuln_id": "AVID-2031-V001",
            "risk_domain": ["Security"],
            "sep_view": ["S0100: Software Vulnerability", "P0402: Physical Safety"],
            "lifecycle_view": ["L06: Deployment"],
            "taxonomy_version": "0.2",
        },
        "cvss": {
            "version": "3.1",
            "vectorString": "CVSS:3.1/AV:N/AC:L/PR:L/UI:R/S:C/C:H/I:H/A:H",
            "baseScore": 9.0,
        },
        "cwe": [{"cweId": "CWE-22", "description": "CWE-22 Path Traversal", "lang": "eng"}],
    },
    "credit": [{"lang": "eng", "value": "Jane Exampleperson"}],
    "reported_date": "2031-04-05",
}


def lines(*records) -> io.BytesIO:
    return io.BytesIO(
        b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in records)
    )


def one(**changes):
    (record,) = avid.read(lines({**RECORD, **changes}))
    return record


def made(record):
    """The objects of a record that came through, and its report."""
    assert record.bundle is not None, record.refusal
    return json.loads(record.bundle), check_bundle(record.bundle).report


def test_a_flaw_becomes_a_hazard_that_carries_it():
    record = one()
    objects, report = made(record)
    assert (record.key, record.repairs) == ("avid:AVID-2031-R0007", ())
    assert report.id == ids.imported_incident_id("avid", "AVID-2031-R0007")
    assert (report.realization, report.tlp) == ("potential", Tlp.CLEAR)
    assert report.created == report.modified == datetime(2031, 4, 5, tzinfo=UTC)
    assert (report.source.source, report.source.license) == ("avid", "MIT")
    assert report.systems == ("Examplia AI examplia-7b", "Examplia AI corpus")
    assert {harm["harm_type"] for harm in report.extension["harms"]} == {"ai-security", "physical-health"}
    assert report.extension["lifecycle_phase"] == ["L06"]
    flaw = find(objects, "vulnerability")
    assert flaw["name"] == "CVE-2031-12345"
    assert {(ref["source_name"], ref.get("external_id")) for ref in flaw["external_references"]} == {
        ("avid", "AVID-2031-R0007"), ("cve", "CVE-2031-12345"), ("cwe", "CWE-22"),
    }  # fmt: skip
    inner = flaw["extensions"][ids.INCIDENT_EXTENSION]
    assert inner["cvss"]["base_score"] == 9.0
    assert inner["realization"] == "potential"
    ties = [obj for obj in objects["objects"] if obj["type"] == "relationship"]
    assert [tie["target_ref"] for tie in ties if tie["description"] == "role: flaw"] == [flaw["id"]]
    parent = ids.imported_incident_id("avid", "AVID-2031-V001")
    assert [tie["target_ref"] for tie in ties if tie["description"] == "role: evidence-for"] == [parent]
    assert "metrics[0].results.rows[0].score: 0.25" in find(objects, "note")["content"]


def test_who_is_credited_is_not_carried():
    assert b"exampleperson" not in one().bundle.lower()


def test_a_person_who_developed_it_is_withheld_everywhere():
    affects = {**RECORD["affects"], "developer": ["Daniel Exampleperson"]}
    references = [{"label": "By Daniel Exampleperson", "url": "https://example.org"}]
    record = one(
        affects=affects, description={"value": "Daniel Exampleperson wrote it."}, references=references
    )
    assert b"exampleperson" not in record.bundle.lower()
    assert "1 party name(s) withheld: they may be private persons" in record.repairs
    assert made(record)[1].personal_data == "pseudonymised"


@pytest.mark.parametrize(
    ("classof", "url", "origin"),
    [
        ("AIID Incident", "https://incidentdatabase.ai/cite/4", ("aiid", "4")),
        ("ATLAS Case Study", "https://atlas.mitre.org/studies/AML.CS0016", ("atlas", "AML.CS0016")),
    ],
)
def test_what_avid_repeats_is_derived_from_the_original(classof, url, origin):
    problem = {**RECORD["problemtype"], "classof": classof}
    objects, report = made(one(problemtype=problem, references=[{"label": "x", "url": url}]))
    assert report.realization == "unknown"
    (tie,) = [obj for obj in objects["objects"] if obj.get("relationship_type") == "derived-from"]
    assert (tie["source_ref"], tie["target_ref"]) == (report.id, ids.imported_incident_id(*origin))
    assert not any(obj["type"] == "vulnerability" for obj in objects["objects"])


def test_a_class_of_incidents_without_the_address_of_one_stays_a_hazard():
    assert (
        made(one(problemtype={**RECORD["problemtype"], "classof": "AIID Incident"}))[1].realization
        == "potential"
    )


def test_two_nodes_make_the_same_bytes_and_a_later_export_a_later_version():
    assert one().bundle == one().bundle
    (later,) = avid.read(lines(RECORD), as_of=datetime(2032, 1, 1, tzinfo=UTC))
    assert made(later)[1].modified == datetime(2032, 1, 1, tzinfo=UTC)
    (dated,) = avid.read(
        lines({**RECORD, "last_modified_date": "2031-06-01"}), as_of=datetime(2032, 1, 1, tzinfo=UTC)
    )
    assert made(dated)[1].modified == datetime(2031, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "repair"),
    [
        ({"references": [{"label": "x", "url": "../img/R00031.png"}]}, "1 reference(s) whose address is none carried as words"),
        ({"references": [{"label": "", "url": ""}, None]}, "2 empty reference(s) left out"),
        ({"reported_date": "soon"}, "no sound date: created is a fixed day"),
        ({"reported_date": 7}, "no sound date: created is a fixed day"),
        ({"problemtype": {}}, "title was empty: the beginning of the description was taken"),
        ({"description": None}, "description was empty: the title was taken"),
        ({"description": {"value": "a\x00b"}}, "description: stray control characters or spaces removed"),
        ({"impact": {"cvss": {"baseScore": "9"}}}, "cvss: no base score from 0 to 10, left out"),
        ({"impact": {"cvss": {"baseScore": True}}}, "cvss: no base score from 0 to 10, left out"),
        ({"impact": {"cvss": {"baseScore": 5, "vectorString": "x"}}}, "cvss: its vector is none, left out"),
        ({"affects": {"artifacts": [{"type": "Model", "name": " "}]}}, "1 artifact(s) without a name left out"),
        ({"affects": {"developer": ["n/a"]}}, "developers: “n/a” names nobody, left out"),
    ],
)  # fmt: skip
def test_dirt_is_repaired_and_named(changes, repair):
    record = one(**changes)
    assert repair in record.repairs
    assert made(record)[1] is not None


def test_an_address_that_is_none_is_not_lost():
    record = one(references=[{"label": "Screenshot", "url": "../img/R00031.png"}])
    assert "Screenshot (../img/R00031.png)" in record.bundle.decode()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json\n", "not-json"),
        (b'{"metadata": {"report_id": "AVID-2031-R0008"}, "metadata": {}}\n', "duplicate-key"),
        (b'{"metadata": {"report_id": "AVID-2031-R0008\\ud800"}}\n', "lone-surrogate"),
        (b'{"metadata": {"report_id": "AVID-2031-R0008"}, "x": "\xff"}\n', "not-utf8"),
        (b'{"metadata": {"report_id": "AVID-2031-R0008"}, "x": NaN}\n', "not-json"),
        (b"[" * 100_000 + b"\n", "too-deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40 + b"\n", "too-deep"),
        (b'{"x": "' + b"a" * 1_100_000 + b'"}\n', "too-large"),
        (b"\x00\n", "not-json"),
        (b"[]\n", "import-malformed"),
        (b'{"metadata": 5}\n', "import-malformed"),
        (b'{"metadata": {"report_id": "CVE-2031-1"}}\n', "import-malformed"),
        (b'{"metadata": {"report_id": "AVID-2031-R0008"}}\n', "empty-text"),
        (json.dumps(RECORD).encode() + b"\n", "import-duplicate"),
    ],
)
def test_what_cannot_be_repaired_is_refused_alone(line, code):
    other = {**RECORD, "metadata": {"report_id": "AVID-2031-R0009"}}
    records = list(avid.read(lines(RECORD, line, other)))
    assert [record.refusal is None for record in records] == [True, False, True]
    if code == "not-json" and b"NaN" in line:
        assert records[1].refusal.code in {"not-json", "bad-number"}
    else:
        assert records[1].refusal.code == code


def test_one_document_on_several_lines_is_said_to_be_another_form():
    with pytest.raises(ImportUnreadable, match="several lines"):
        list(avid.read(io.BytesIO(json.dumps(RECORD, indent=1).encode())))


PATHS = [
    ("affects",), ("affects", "developer"), ("affects", "artifacts"), ("problemtype",), ("problemtype", "description"),
    ("problemtype", "classof"), ("metrics",), ("references",), ("description",), ("impact",), ("impact", "avid"),
    ("impact", "avid", "sep_view"), ("impact", "cvss"), ("impact", "cwe"), ("impact", "odin"), ("credit",), ("reports",),
    ("reported_date",), ("metadata", "vuln_id"),
]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PATHS), wild_values)
def test_wrong_types_anywhere_are_repaired_or_refused(path, value):
    record = json.loads(json.dumps(RECORD))
    inside = record
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = value
    try:
        line = json.dumps(record).encode() + b"\n"
    except (TypeError, ValueError, RecursionError):
        return
    (read,) = avid.read(io.BytesIO(line))
    assert (read.bundle is None) == (read.refusal is not None)
    if read.bundle is not None:
        assert check_bundle(read.bundle).report is not None


class Generated(io.RawIOBase):
    """Records that are made when they are asked for."""

    def __init__(self, number):
        self.left = number

    def readline(self, _size=-1):
        self.left -= 1
        changes = {
            "metadata": {"report_id": f"AVID-2031-R{self.left:05}"},
            "description": {"value": "x" * 15_000},
        }
        return json.dumps({**RECORD, **changes}).encode() + b"\n" if self.left >= 0 else b""


def test_memory_does_not_grow_with_the_file():
    size, peak = memory_of(lambda: sum(len(record.bundle) for record in avid.read(Generated(150))))
    assert size > 6_000_000
    assert peak < size / 4


@pytest.mark.parametrize("name", ["reports", "vulnerabilities"])
def test_every_real_record_comes_through_and_twice_the_same(name):
    path = DATA / "avid" / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the AI Vulnerability Database is not beside the repository")
    raw = path.read_bytes()
    records = list(avid.read(io.BytesIO(raw)))
    assert len(records) == sum(1 for line in raw.splitlines() if line.strip())
    assert [record.refusal for record in records if record.refusal] == []
    again = avid.read(io.BytesIO(raw))
    assert all(record == next(again) for record in records[:200])


def test_the_real_records_say_what_the_file_says():
    path = DATA / "avid" / "vulnerabilities.jsonl"
    if not path.exists():
        pytest.skip("the AI Vulnerability Database is not beside the repository")
    source = [json.loads(line) for line in path.read_bytes().splitlines()]
    for entry, record in zip(source, avid.read(io.BytesIO(path.read_bytes())), strict=True):
        repeats = entry["problemtype"]["classof"] in {"AIID Incident", "ATLAS Case Study"}
        text = record.bundle.decode()
        assert ("derived-from" in text) == repeats
        assert ('"type":"vulnerability"' in text) != repeats
        codes = {one["code"] for one in facts(json.loads(record.bundle)).get("classifications", [])}
        assert {code.split(":")[0] for code in entry["impact"]["avid"]["sep_view"]} <= codes
