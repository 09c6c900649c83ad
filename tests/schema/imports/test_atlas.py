import io
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schema.samples import DATA, facts, find

from tocsin_schema import ids
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import ImportUnreadable
from tocsin_schema.imports import atlas

STUDY = {
    "id": "AML.CS9001",
    "name": "Examplia is talked into leaking",
    "object-type": "case-study",
    "summary": "A prompt made Examplia leak.",
    "incident-date": "2031-02-01",
    "incident-date-granularity": "MONTH",
    "procedure": [
        {"tactic": "AML.TA9000", "technique": "AML.T9000", "description": "It was found."},
        {"tactic": "AML.TA9000", "technique": "AML.T9000.001", "description": "It was talked to."},
        {"tactic": "AML.TA9000", "technique": "AML.T9000", "description": "It was found again."},
    ],
    "target": "Examplia Chat",
    "actor": "Examplia Red Team",
    "case-study-type": "incident",
    "references": [{"title": "Talked into", "url": "https://example.org/talk"}],
}
TREE = {
    "id": "ATLAS",
    "version": "9.0",
    "matrices": [
        {
            "id": "ATLAS",
            "tactics": [{"id": "AML.TA9000", "name": "Initial Access", "modified_date": "2031-03-01"}],
            "techniques": [
                {
                    "id": "AML.T9000", "name": "Finding", "description": "To find.", "tactics": ["AML.TA9000"],
                    "created_date": "2030-01-01", "modified_date": "2031-04-01",
                },
                {
                    "id": "AML.T9000.001", "name": "Talking", "description": "To talk.", "subtechnique-of": "AML.T9000",
                    "created_date": "2030-01-02", "modified_date": "2030-01-01",
                },
            ],
        }
    ],
    "case-studies": [STUDY],
}  # fmt: skip
PUBLISHED = "attack-pattern--c02f812d-59cc-5366-b1aa-7eb05154b772"
STIX = {
    "type": "bundle",
    "id": "bundle--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
    "objects": [
        {
            "type": "attack-pattern",
            "spec_version": "2.1",
            "id": PUBLISHED,
            "created": "2030-01-01T00:00:00.000Z",
            "modified": "2031-04-01T00:00:00.000Z",
            "name": "Finding",
            "x_mitre_platforms": ["ATLAS"],
            "external_references": [{"source_name": "mitre-atlas", "external_id": "AML.T9000"}],
        }
    ],
}


class Plain(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, _data):
        return True


def dump(value) -> io.BytesIO:
    return io.BytesIO(yaml.dump(value, Dumper=Plain, allow_unicode=True).encode())


def read(*studies, stix=None, **tree):
    techniques = io.BytesIO(json.dumps(stix).encode()) if stix is not None else None
    return list(atlas.read(dump({**TREE, "case-studies": list(studies), **tree}), stix=techniques))


def one(stix=None, **changes):
    (record,) = read({**STUDY, **changes}, stix=stix)
    return record


def made(record):
    assert record.bundle is not None, record.refusal
    return json.loads(record.bundle), check_bundle(record.bundle).report


def test_a_case_study_becomes_an_attack_with_its_steps():
    record = one()
    objects, report = made(record)
    assert record.key == "atlas:AML.CS9001"
    assert record.repairs == ("technique AML.T9000.001: left out or set right: modified before created",)
    assert report.id == ids.imported_incident_id("atlas", "AML.CS9001")
    assert report.realization == "harm-event"
    assert (report.created, report.modified) == (
        datetime(2031, 2, 1, tzinfo=UTC),
        datetime(2031, 4, 1, tzinfo=UTC),
    )
    assert facts(objects)["occurred_fidelity"] == "month"
    assert facts(objects)["ai_relation"] == ["adversarial-attack"]
    assert report.systems == ("Examplia Chat",)
    techniques = {obj["id"]: obj for obj in objects["objects"] if obj["type"] == "attack-pattern"}
    assert sorted(obj["name"] for obj in techniques.values()) == ["Finding", "Talking"]
    assert all(obj["kill_chain_phases"][0]["phase_name"] == "initial-access" for obj in techniques.values())
    steps = [obj for obj in objects["objects"] if obj.get("relationship_type") == "uses"]
    assert [(obj["description"], techniques[obj["target_ref"]]["name"]) for obj in steps] == [
        ("Step 1: It was found.", "Finding"),
        ("Step 2: It was talked to.", "Talking"),
        ("Step 3: It was found again.", "Finding"),
    ]
    assert {one["code"] for one in facts(objects)["classifications"]} == {"AML.T9000", "AML.T9000.001"}


def test_an_exercise_is_a_hazard():
    assert made(one(**{"case-study-type": "exercise"}))[1].realization == "potential"


def test_with_the_stix_file_techniques_have_their_published_identifiers_and_the_report_is_the_later_one():
    plain, named = one(), one(stix=STIX)
    objects, report = made(named)
    assert find(objects, "attack-pattern")["id"] == PUBLISHED
    assert "x_mitre_platforms" not in find(objects, "attack-pattern")
    assert report.id == made(plain)[1].id
    assert report.modified - made(plain)[1].modified == timedelta(milliseconds=1)
    assert "step(s) 2 (AML.T9000.001) name no technique that is there: left out" in named.repairs


def test_two_nodes_make_the_same_bytes():
    assert one().bundle == one().bundle


@pytest.mark.parametrize(
    ("actor", "text"),
    [
        ("Kai Exampleperson, Example University", "Kai Exampleperson talked to it."),
        ("exampleperson42 (GitHub user)", "The account Exampleperson42 opened a request."),
        ("exampleperson_x", "It was exampleperson_x."),
    ],
)
def test_who_may_be_a_private_person_is_withheld_everywhere(actor, text):
    step = {"technique": "AML.T9000", "description": text}
    references = [{"title": text, "url": "https://example.org"}]
    record = one(actor=actor, summary=text, procedure=[step], references=references)
    assert b"exampleperson" not in record.bundle.lower()
    assert "1 party name(s) withheld: they may be private persons" in record.repairs


def test_teams_companies_and_groups_are_named():
    record = one(
        actor="Example Red Team, Researchers at Example University, and Examplecorp", target="Examplia users"
    )
    names = {obj["name"] for obj in made(record)[0]["objects"] if obj["type"] == "identity"}
    assert names == {
        "MITRE ATLAS", "Example Red Team", "Researchers at Example University", "Examplecorp", "Examplia users",
    }  # fmt: skip
    assert made(record)[1].systems == ()


@pytest.mark.parametrize(
    ("changes", "repair"),
    [
        ({"case-study-type": "rumour"}, "case-study-type is “rumour”: whether harm happened is not known"),
        ({"incident-date": "2031"}, "no sound incident-date: created is a fixed day"),
        ({"procedure": [{"technique": "AML.T0000"}]}, "step(s) 1 (AML.T0000) name no technique that is there: left out"),
        ({"procedure": [5, None]}, "step(s) 1 (), 2 () name no technique that is there: left out"),
        ({"procedure": [STUDY["procedure"][0]] * 102}, "2 step(s) beyond 100 left out"),
        ({"name": None}, "title was empty: the beginning of the description was taken"),
        ({"references": [{"title": "x", "url": "nowhere"}]}, "1 reference(s) whose address is none carried as words"),
        ({"actor": "Unknown"}, "actors: “Unknown” names nobody, left out"),
    ],
)  # fmt: skip
def test_dirt_is_repaired_and_named(changes, repair):
    record = one(**changes)
    assert repair in record.repairs
    assert made(record)[1] is not None


def test_what_cannot_be_repaired_is_refused_alone():
    other = {**STUDY, "id": "AML.CS9002"}
    records = read(
        STUDY,
        STUDY,
        {**STUDY, "id": 5},
        "x",
        None,
        {**STUDY, "id": "AML.CS9003", "name": "", "summary": ""},
        other,
    )
    codes = [record.refusal.code if record.refusal else None for record in records]
    assert codes == [
        None, "import-duplicate", "import-malformed", "import-malformed", "import-malformed", "empty-text", None,
    ]  # fmt: skip


def test_a_key_that_stands_twice_refuses_the_case_study_it_stands_in():
    text = dump(TREE).getvalue().decode() + "- id: AML.CS9002\n  name: a\n  name: b\n  summary: c\n"
    text = text.replace("version: '9.0'\n", "")
    start = text.index("case-studies:")
    end = text.index("id: ATLAS\nmatrices:")
    reordered = (
        text[end : text.index("- id: AML.CS9002")] + text[start:end] + text[text.index("- id: AML.CS9002") :]
    )
    records = list(atlas.read(io.BytesIO(reordered.encode())))
    assert [record.refusal.code if record.refusal else None for record in records] == [None, "duplicate-key"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no list named case-studies"),
        (b"just words", "no list named case-studies"),
        (b"case-studies: 5", "no list named case-studies"),
        (b"case-studies: []\ncase-studies: []\n", "stands twice"),
        (b"matrices: []\nmatrices: []\ncase-studies: []\n", "stands twice"),
        (b"case-studies: &a [*a]", "alias"),
        (b"case-studies: [" + b"[" * 50 + b"]" * 50 + b"]", "deeper"),
    ],
)
def test_another_file_is_unreadable(raw, said):
    with pytest.raises(ImportUnreadable, match=said):
        list(atlas.read(io.BytesIO(raw)))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"type":"bundle","objects":[]}', b"\xff", b"[" * 2000])
def test_a_file_of_techniques_that_is_none_is_unreadable(raw):
    with pytest.raises(ImportUnreadable):
        list(atlas.read(dump(TREE), stix=io.BytesIO(raw)))


wild = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.dates()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(STUDY)), wild, st.booleans())
def test_wrong_types_anywhere_are_repaired_or_refused(name, value, inside):
    study = (
        {**STUDY, "procedure": [{**STUDY["procedure"][0], "description": value}]}
        if inside
        else {**STUDY, name: value}
    )
    (record,) = atlas.read(dump({**TREE, "case-studies": [study]}))
    assert (record.bundle is None) == (record.refusal is not None)


@pytest.fixture(scope="module")
def real():
    path = DATA / "atlas" / "ATLAS.yaml"
    if not path.exists():
        pytest.skip("MITRE ATLAS is not beside the repository")
    return path


@pytest.mark.parametrize("published", [False, True])
def test_every_real_case_study_comes_through_with_every_step_and_twice_the_same(real, published):
    def again():
        with real.open("rb") as stream, (real.parent / "stix-atlas.json").open("rb") as stix:
            return list(atlas.read(stream, stix=stix if published else None))

    studies = yaml.load(real.read_bytes(), Loader=yaml.CSafeLoader)["case-studies"]
    records = again()
    assert [record.key for record in records] == [f"atlas:{study['id']}" for study in studies]
    assert [record.refusal for record in records if record.refusal] == []
    uses = sum(record.bundle.count(b'"relationship_type":"uses"') for record in records)
    assert uses == sum(len(study["procedure"]) for study in studies)
    assert [record.bundle for record in again()] == [record.bundle for record in records]


def test_the_real_techniques_are_those_that_were_published(real):
    stix = json.loads((real.parent / "stix-atlas.json").read_bytes())
    known = {obj["id"] for obj in stix["objects"] if obj["type"] == "attack-pattern"}
    with real.open("rb") as stream, (real.parent / "stix-atlas.json").open("rb") as techniques:
        named = {
            obj["target_ref"]
            for record in atlas.read(stream, stix=techniques)
            for obj in json.loads(record.bundle)["objects"]
            if obj.get("relationship_type") == "uses"
        }
    assert named <= known
