"""MISP's own reader takes the events, and what becomes of them on the way on to STIX is known and no worse."""

import base64
import io
import json

import pytest
from markdown_it import MarkdownIt
from tests.schema.exports.reports import HOSTILE_TEXTS, hostile, report, rich, rich_raw, sound
from tests.schema.exports.test_stix_export import imported
from tests.schema.samples import DATA, FULL, MINIMAL, build

from tocsin_schema.check import check_bundle
from tocsin_schema.exports import markdown, misp
from tocsin_schema.exports.misp_objects import MAX_VALUE_BYTES
from tocsin_schema.exports.misp_tags import HARM
from tocsin_schema.imports import stix as stix_import

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")

# What misp-stix does not carry on from our event to STIX; a shorter list is good news, a longer one is a loss.
LOST_ON_THE_WAY_ON = {
    "the incident as an incident",
    "the model as software",
    "the system as software",
    "the technique's identifier in ATLAS",
    "the marking in TLP 2.0",
    "the sighting",
    "the licence",
}


def events(reports):
    return json.loads(b"".join(misp.write(reports)))["response"]


def loaded(one):
    from tests.schema.exports.misp_oracle import pymisp

    event = pymisp.MISPEvent(strict_validation=True)
    event.from_dict(**json.loads(json.dumps(one)))
    return event


def everything():
    return [*sound(), rich(), *(hostile(text) for text in HOSTILE_TEXTS)]


def test_pymisp_takes_every_event_and_knows_every_template():
    from tests.schema.exports.misp_oracle import pymisp

    for one in events(everything()):
        assert loaded(one).objects
        for raw in json.loads(json.dumps(one["Event"]["Object"])):
            made = pymisp.MISPObject(raw["name"], strict=True)  # raises for a template that it does not know
            made.from_dict(**raw)
            assert made.template_uuid == made._definition["uuid"]
            assert int(made.template_version) == int(made._definition["version"])
            assert made.to_json(strict=True)  # raises when a required attribute is missing


def test_every_relation_is_one_of_the_template_with_its_type_and_category():
    from tests.schema.exports.misp_oracle import pymisp

    types = pymisp.MISPEvent().describe_types
    for one in events(everything()):
        for made in loaded(one).objects:
            for attribute in made.attributes:
                known = made._definition["attributes"][attribute.object_relation]
                assert known["misp-attribute"] == attribute.type
                assert attribute.category in types["categories"]
                assert attribute.type in types["category_type_mappings"][attribute.category]


def test_the_templates_are_those_that_misp_publishes():
    folder = DATA / "misp" / "objects"
    if not folder.exists():
        pytest.skip("MISP's object templates are not beside the repository")
    published = {found["name"]: found for found in (json.loads(p.read_text()) for p in folder.glob("*.json"))}
    used = {made["name"]: made for one in events([rich()]) for made in one["Event"]["Object"]}
    for name in used.keys() & published.keys():
        assert used[name]["template_uuid"] == published[name]["uuid"]
        assert int(used[name]["template_version"]) == published[name]["version"]
        assert used[name]["meta-category"] == published[name]["meta-category"]
    assert {"incident", "ai-model-component"} <= used.keys() & published.keys()


def test_the_machine_tags_are_those_that_misp_publishes():
    folder = DATA / "misp" / "taxonomies"
    if not folder.exists():
        pytest.skip("MISP's taxonomies are not beside the repository")
    known = set()
    for path in folder.glob("*.json"):
        taxonomy = json.loads(path.read_text())
        known |= {f"{taxonomy['namespace']}:{one['value']}" for one in taxonomy["predicates"]}
        known |= {
            f'{taxonomy["namespace"]}:{one["predicate"]}="{entry["value"]}"'
            for one in taxonomy.get("values", ())
            for entry in one["entry"]
        }
    forms = [
        {**FULL, "harms": [{"harm_type": name} for name in HARM], "quantities": {"deaths": 1, "injuries": 1}},
        {**FULL, "classifications": [{"scheme": "eu-ai-act-3-49", "code": "c"}], "ai_relation": ["adversarial-attack"]},
        *({**MINIMAL, "tlp": tlp} for tlp in ("clear", "green", "amber", "amber+strict", "red")),
        *(
            {**MINIMAL, "systems": [{"name": "A", "eu_risk_class": risk, "gpai_class": "gpai-systemic", "annex_iii_point": point}]}
            for risk in ("prohibited", "annex-i", "annex-iii", "limited", "minimal", "unknown")
            for point in range(1, 9)
        ),
        *({**MINIMAL, "realization": "harm-event", "quantities": {"deaths": n}} for n in (0, 1, 10)),
    ]  # fmt: skip
    reports = [*everything(), *(report(build(form)) for form in forms)]
    ours = ("ai-incident", "misp-galaxy:")
    tags = {
        tag["name"]
        for one, made in zip(reports, events(reports), strict=True)
        for tag in made["Event"]["Tag"]
        if tag["name"] not in json.loads(one.raw)["objects"][0].get("labels", ())
        and not tag["name"].startswith(ours)
    }
    assert tags - set(HOSTILE_TEXTS) - known == set()
    assert len(tags & known) > 25


def test_a_serious_incident_of_the_ai_act_is_never_concluded():
    deadly = report(build({**FULL, "quantities": {"deaths": 12}, "classifications": FULL["classifications"]}))
    assert not [
        t for t in events([deadly])[0]["Event"]["Tag"] if t["name"].startswith("eu-ai-act:incident-type")
    ]


@pytest.mark.parametrize(
    ("tlp", "distribution"), [("clear", 3), ("green", 2), ("amber", 1), ("amber+strict", 0), ("red", 0)]
)
def test_the_distribution_does_not_exceed_the_marking(tlp, distribution):
    one = events([report(build({**FULL, "tlp": tlp}))])[0]
    event = loaded(one)
    assert event.distribution == distribution
    assert f"tlp:{tlp}" in [tag.name for tag in event.tags]
    assert {part.distribution for made in event.objects for part in (made, *made.attributes)} == {5}
    assert {part.distribution for part in (*event.attributes, *event.event_reports)} == {5}


def test_the_event_keeps_the_incidents_identifier_and_says_how_grave_it_is():
    one = events([rich()])[0]["Event"]
    assert one["uuid"] == rich().id.removeprefix("incident--")
    assert (one["date"], one["threat_level_id"], one["analysis"]) == ("2025-03-23", "2", "1")
    said = {a["object_relation"]: a["value"] for a in one["Object"][0]["Attribute"]}
    assert said["score"] == "AISEV-1.0: level 3, score 57, grade III"
    assert said["criticality"] == "High"
    assert said["determination"] == "successful-attempt"
    assert {ref["relationship_type"] for ref in one["Object"][0]["ObjectReference"]} == {
        "affects",
        "related-to",
        "uses",
    }


def test_the_attachment_is_the_report_as_it_was_signed():
    for one, made in zip(everything(), events(everything()), strict=True):
        (attached,) = [a for a in made["Event"]["Attribute"] if a["type"] == "attachment"]
        assert base64.b64decode(attached["data"]) == one.raw
        assert check_bundle(base64.b64decode(attached["data"])).report is not None


def test_no_identifier_is_there_twice_and_they_stay_the_same():
    def uuids(value):
        if isinstance(value, dict):
            yield from ([value["uuid"]] if "uuid" in value and "info" not in value else [])
            for key, item in value.items():
                yield from uuids(item) if key != "Orgc" else ()
        elif isinstance(value, list):
            for item in value:
                yield from uuids(item)

    found = list(uuids(events([*sound(), rich()])))
    assert len(found) == len(set(found))
    assert found == list(uuids(events([*sound(), rich()])))
    assert b"".join(misp.write(sound())) == b"".join(misp.write(sound()))


def test_a_withdrawn_report_says_so_where_people_look_first():
    withdrawn = next(one for one in sound() if one.revoked)
    event = events([withdrawn])[0]["Event"]
    assert event["info"].startswith("[withdrawn] ")
    assert 'incident-disposition:not-an-incident="refuted"' in [tag["name"] for tag in event["Tag"]]


def test_a_value_ends_before_misp_would_cut_it():
    one = events([report(build({**MINIMAL, "description": "ä" * 48_000}))])[0]
    values = [a["value"] for made in one["Event"]["Object"] for a in made["Attribute"]]
    assert max(len(value.encode()) for value in values) <= MAX_VALUE_BYTES + 3


def test_a_name_is_no_longer_than_misp_has_room_for():
    long = build({**MINIMAL, "title": "t" * 500})
    one = events([report(long.replace(b"Example Energy AG", b"E" * 400))])[0]["Event"]
    assert one["info"] == "t" * 500
    assert len(one["EventReport"][0]["name"]) == len(one["Orgc"]["name"]) == 255
    tags = events([report(rich_raw().replace(b"Prompt Injection", b"P" * 300))])[0]["Event"]["Tag"]
    assert not [tag for tag in tags if len(tag["name"]) > 255 or tag["name"].startswith("misp-galaxy")]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_nothing_that_a_report_says_is_markup_in_the_event_report(text):
    (made,) = events([hostile(text)])[0]["Event"]["EventReport"]
    (harmless,) = events([hostile("harmless")])[0]["Event"]["EventReport"]
    reader = MarkdownIt("commonmark", {"html": True})

    def shape(content):
        inner = [child for token in reader.parse(content) for child in (token, *(token.children or ()))]
        return [token.type for token in inner if token.type not in ("text", "softbreak", "text_special")]

    assert shape(made["content"]) == shape(harmless["content"])
    assert "@[" not in made["content"]


def test_the_beginnings_of_lists_headings_and_addresses_are_text():
    assert markdown.text("1. a\n- b\n# c https://x.example www.x.example") == (
        "1\\. a\n\\- b\n\\# c https\\://x.example www\\.x.example"
    )


def test_notes_and_opinions_are_analyst_data_of_the_event():
    event = loaded(events([rich()])[0])
    assert [(note.note, note.authors) for note in event.notes] == [
        ("The vendor has confirmed it.", "Grid desk")
    ]
    assert [(said.opinion, said.comment) for said in event.opinions] == [(75, "We saw the same.")]


def test_the_case_studies_of_atlas_are_taken_with_their_techniques_as_galaxy_tags():
    folder = DATA / "atlas" / "opencti-bundles"
    if not folder.exists():
        pytest.skip("the ATLAS case studies are not beside the repository")
    reports = [
        report(record.bundle)
        for path in sorted(folder.glob("*.json"))
        for record in stix_import.read(io.BytesIO(path.read_bytes()))
    ]
    galaxy = json.loads((DATA / "misp" / "galaxy" / "mitre-atlas-attack-pattern.json").read_text())
    known = {f'misp-galaxy:{galaxy["type"]}="{cluster["value"]}"' for cluster in galaxy["values"]}
    found = [loaded(one) for one in events(reports)]
    assert found
    assert len(known & {tag.name for event in found for tag in event.tags}) > 5
    for event in found:
        techniques = [made for made in event.objects if made.name == "attack-pattern"]
        assert techniques
        assert all(made.get_attributes_by_relation("id") for made in techniques)


def test_public_incidents_are_taken_too():
    for one in events(imported(300, 15)):
        assert loaded(one).info


def converted(one):
    from tests.schema.exports.misp_oracle import MISPtoSTIX21Parser

    parser = MISPtoSTIX21Parser()
    parser.parse_json_content(json.dumps({"response": [one]}))
    assert not parser.errors
    return [json.loads(obj.serialize()) for obj in parser.stix_objects]


def test_what_misp_stix_loses_on_the_way_on_is_known():
    objects = converted(events([rich()])[0])
    text = json.dumps(objects)
    of = {kind: [obj for obj in objects if obj["type"] == kind] for kind in {obj["type"] for obj in objects}}
    about = next(obj for obj in objects if obj["type"] in ("grouping", "report"))
    software = [obj["name"] for obj in of.get("software", [])]
    kept = {
        "the title": about["name"] == FULL["title"],
        "the identifier": about["id"].endswith(rich().id.removeprefix("incident--")),
        "the labels": 'ai-incident:grade="III"' in about["labels"],
        "the organisation": "Example Energy AG" in [obj["name"] for obj in of["identity"]],
        "the parties": {"Voltwise", "Fjord Labs", "households"} <= {obj["name"] for obj in of["identity"]},
        "the severity in words": "AISEV-1.0: level 3, score 57, grade III" in text,
        "the description": "47 minutes" in text,
        "the event report": any("Grid assistant" in obj.get("abstract", "") for obj in of["note"]),
        "the technique": [obj["name"] for obj in of["attack-pattern"]] == ["Prompt Injection"],
        "the mitigation": [obj["name"] for obj in of["course-of-action"]] == ["Human review of switching"],
        "the weakness": [obj["name"] for obj in of["vulnerability"]] == ["CVE-2024-12345"],
        "the note": any(obj["content"] == "The vendor has confirmed it." for obj in of["note"]),
        "the opinion": [obj["opinion"] for obj in of["opinion"]] == ["agree"],
        "the source": "https://example.org/notices/47" in text,
        "the bundle": base64.b64encode(rich().raw).decode() in [obj.get("payload_bin") for obj in of["artifact"]],
        "the incident as an incident": "incident" in of,
        "the model as software": "Fjord" in software,
        "the system as software": "GridPilot" in software,
        "the technique's identifier in ATLAS": any(
            ref.get("source_name") == "mitre-atlas" for obj in of["attack-pattern"] for ref in obj.get("external_references", ())
        ),
        "the marking in TLP 2.0": "tlp_2_0" in json.dumps(of.get("marking-definition", [])),
        "the sighting": "sighting" in of,
        "the licence": "CC-BY-4.0" in text,
    }  # fmt: skip
    assert {name for name, held in kept.items() if not held} == LOST_ON_THE_WAY_ON
