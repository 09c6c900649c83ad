"""Redaction by projection: what is left out is nowhere, less is told at a lower clearance, the rest stays sound."""

import json
import uuid
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema.samples import (
    FULL,
    FULL_RAW,
    INCIDENT_ID,
    LATER,
    MINIMAL_RAW,
    PRODUCER,
    build,
    changed,
    facts,
    find,
    parsed,
)

from tocsin_schema import ids, place, stix
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import (
    AlreadyWithdrawn,
    CannotLeaveOut,
    FormRefused,
    NoSuchPlace,
    PersonalDataUndecided,
)
from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS, Tlp
from tocsin_schema.redaction import WHY, project

LOWER = [Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER]
PLACES = [
    "title", "description", "systems", "systems[0]", "systems[1].vendor", "developers[0]", "deployers", "affected",
    "affected[1]", "failure_modes", "harms[1]", "harms[1].note", "quantities", "quantities.economic_loss", "flags",
    "sources", "sources[0].url", "actions_taken[0].text", "classifications", "occurred_start", "countries", "evidence",
    "confidence", "critical_sectors", "aware_at", "causality",
]  # fmt: skip


def shared(raw=FULL_RAW, clearance=Tlp.GREEN, now=LATER, **more):
    return project(raw, clearance=clearance, now=now, **more)


def report_of(raw):
    checked = check_bundle(raw)
    assert checked.report is not None, checked.findings
    return checked.report


def told(projection):
    """What a projection says, by place without positions; its marking and the grading of it left aside."""
    apart = {"tlp", "severity_level", "severity_basis", "severity_override"}
    return {
        (tuple("#" if isinstance(step, int) else step for step in where), str(value))
        for where, value in place.leaves(stix.to_form(projection.raw))
        if where[0] not in apart
    }


def granular(tlp, *selectors):
    return {"marking_ref": MARKING_IDS[tlp], "selectors": list(selectors)}


def marked_record():
    """A RED record of which parts say how far they may go."""

    def mark(bundle):
        base = f"extensions.{ids.INCIDENT_EXTENSION}"
        for obj in bundle["objects"]:
            if "object_marking_refs" in obj:
                obj["object_marking_refs"] = [MARKING_IDS[Tlp.RED]]
        bundle["objects"][0] = dict(MARKING_OBJECTS[Tlp.RED])
        find(bundle, "incident")["granular_markings"] = [
            granular(
                Tlp.AMBER,
                f"{base}.harms.[1].note",
                "external_references.[0].url",
                f"{base}.parties.affected_refs.[1]",
            ),
            granular(Tlp.RED, f"{base}.actions_taken"),
            granular(Tlp.GREEN, f"{base}.failure_modes", "confidence"),
        ]
        find(bundle, "software")["granular_markings"] = [granular(Tlp.AMBER, "version")]

    return changed(mark)


# What is taken away ----------------------------------------------------------------------------------------


def test_a_part_that_is_marked_above_the_clearance_stays_behind():
    raw = marked_record()
    report_of(raw)
    at = {tlp: stix.to_form(shared(raw, tlp).raw) for tlp in LOWER}
    assert "note" in at[Tlp.AMBER]["harms"][1]
    assert [system["name"] for system in at[Tlp.AMBER]["systems"]] == ["GridPilot", "Fjord"]
    assert "actions_taken" not in at[Tlp.AMBER]
    for tlp in (Tlp.CLEAR, Tlp.GREEN):
        assert "note" not in at[tlp]["harms"][1]
        assert "url" not in at[tlp]["sources"][0]
        assert [system["name"] for system in at[tlp]["systems"]] == ["Fjord"]
        assert at[tlp]["affected"] == ["households"]
    assert "failure_modes" in at[Tlp.GREEN]
    assert not {"failure_modes", "confidence"} & set(at[Tlp.CLEAR])


@given(st.sets(st.sampled_from(PLACES), max_size=6), st.sampled_from([FULL_RAW, marked_record()]))
@settings(max_examples=25, deadline=None)
def test_no_clearance_reveals_what_a_higher_one_keeps(drop, raw):
    said = [told(shared(raw, tlp, drop=sorted(drop))) for tlp in LOWER]
    assert said[0] <= said[1] <= said[2]


@given(st.sets(st.sampled_from(PLACES), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_nothing_that_is_left_out_stands_anywhere_in_the_bytes(drop):
    whole = stix.to_form(FULL_RAW)
    texts = {
        value
        for one in drop
        for where, value in place.leaves(whole)
        if where[: len(place.read(one))] == place.read(one)
        and isinstance(value, str) and place.is_free(where, value) and len(value) >= 3
        and any(c.isalpha() for c in value)
    }  # fmt: skip
    texts = {text for text in texts if text not in PRODUCER["name"]}  # who answers for it is told in any case
    raw = shared(drop=sorted(drop)).raw.decode().casefold()
    assert [text for text in texts if json.dumps(text, ensure_ascii=False)[1:-1].casefold() in raw] == []


def test_what_is_left_out_in_one_place_is_masked_in_the_others():
    form = {
        **FULL,
        "description": "An engineer of COLD store cooperative saw it first.",
        "title": "Fjord Labs again",
    }
    done = shared(build(form), drop=["affected[1]", "developers[1]"])
    said = stix.to_form(done.raw)
    assert said["description"] == "An engineer of […] saw it first."
    assert said["title"] == "[…] again"
    assert "vendor" not in said["systems"][1] or "Fjord Labs" not in said["systems"][1]["vendor"]
    assert ("title", "repeats") in {(each.where, each.why) for each in done.removed}


def test_a_private_person_never_comes_along_not_even_by_a_part_of_the_name():
    def add(bundle):
        person = {
            **{key: PRODUCER[key] for key in ("type", "spec_version", "created", "modified")},
            "id": ids.party_id("individual", "Anneliese Quirinius"),
            "name": "Anneliese Quirinius",
            "identity_class": "individual",
        }
        bundle["objects"].append(person)
        facts(bundle)["parties"]["affected_refs"].append(person["id"])
        find(bundle, "incident")["description"] = "Mrs Quirinius was in the lift."

    done = shared(changed(add))
    for part in (b"Quirinius", b"Anneliese", ids.party_id("individual", "Anneliese Quirinius").encode()):
        assert part not in done.raw
    assert "person" in {each.why for each in done.removed}


def test_the_private_id_and_what_hangs_on_it_are_not_in_the_bytes():
    done = shared()
    for name in (INCIDENT_ID, ids.wrapper_id(INCIDENT_ID), INCIDENT_ID.removeprefix("incident--")):
        assert name.encode() not in done.raw
    private = {
        obj["id"] for obj in parsed()["objects"] if obj["type"] in ("incident", "report", "relationship")
    }
    assert not private & {obj["id"] for obj in parsed(done.raw)["objects"]}


def test_evidence_comes_along_as_its_hash_alone():
    assert stix.to_form(shared().raw)["evidence"] == [{"kind": "log", "sha256": "ab" * 32}]


def test_notes_unknown_extensions_and_unknown_properties_stay_behind_and_public_knowledge_comes_along():
    stamp = {
        "created": "2025-03-24T10:15:00.000Z",
        "modified": "2025-03-24T10:15:00.000Z",
        "spec_version": "2.1",
    }
    technique = f"attack-pattern--{uuid.uuid4()}"
    link = {
        "type": "relationship", "id": f"relationship--{uuid.uuid4()}", **stamp, "relationship_type": "uses",
        "source_ref": INCIDENT_ID, "target_ref": technique, "description": "how our own people saw it",
    }  # fmt: skip

    def add(bundle):
        note = {
            "type": "note",
            "id": f"note--{uuid.uuid4()}",
            **stamp,
            "content": "inner thoughts",
            "object_refs": [INCIDENT_ID],
        }
        pattern = {"type": "attack-pattern", "id": technique, **stamp, "name": "Prompt injection"}
        bundle["objects"] += [note, pattern, link]
        facts(bundle)["later_property"] = "later words"
        facts(bundle)["harms"][0]["later_property"] = "deeper words"

    done = shared(changed(add))
    for text in (b"inner thoughts", b"later words", b"deeper words", b"how our own people saw it"):
        assert text not in done.raw
    bundle = parsed(done.raw)
    made = [obj for obj in bundle["objects"] if obj.get("target_ref") == technique]
    assert [(obj["source_ref"], obj["relationship_type"]) for obj in made] == [(done.id, "uses")]
    assert {technique, made[0]["id"]} <= set(find(bundle, "report")["object_refs"])
    assert {"note"} == {each.where.split()[0] for each in done.removed if each.why == "object"}


def test_a_technique_whose_words_are_left_out_or_that_is_marked_higher_stays_behind():
    stamp = {
        "created": "2025-03-24T10:15:00.000Z",
        "modified": "2025-03-24T10:15:00.000Z",
        "spec_version": "2.1",
    }
    names = {"Breaker of Voltwise": None, "Marked": [MARKING_IDS[Tlp.AMBER]]}

    def add(bundle):
        for name, marks in names.items():
            pattern = {
                "type": "attack-pattern",
                "id": f"attack-pattern--{uuid.uuid4()}",
                **stamp,
                "name": name,
            }
            link = {
                "type": "relationship", "id": f"relationship--{uuid.uuid4()}", **stamp, "relationship_type": "uses",
                "source_ref": INCIDENT_ID, "target_ref": pattern["id"],
            }  # fmt: skip
            bundle["objects"] += [pattern | ({"object_marking_refs": marks} if marks else {}), link]

    done = shared(changed(add), drop=["developers[0]", "systems[0]"])
    assert not [obj for obj in parsed(done.raw)["objects"] if obj["type"] == "attack-pattern"]


# What stays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "drop", [["quantities"], ["harms", "quantities"], ["causality"], ["flags", "harms[0]"], []]
)
def test_the_level_and_grade_are_those_of_the_record_whatever_is_left_out(drop):
    grave = build({**FULL, "causality": "contributing", "quantities": {"deaths": 2, "outage_minutes": 10}, "harms": [
        {"harm_type": "physical-health", "materialised": True}, {"harm_type": "critical-infrastructure"}]})  # fmt: skip
    before, after = report_of(grave).severity, report_of(shared(grave, drop=drop).raw).severity
    assert (after.level, after.grade) == (before.level, before.grade)
    assert "deaths" not in " ".join(after.drivers) or drop != ["harms", "quantities"]


def test_an_override_keeps_its_level_and_not_its_reason():
    form = {
        **FULL,
        "severity_basis": "overridden",
        "severity_level": 5,
        "severity_override": {"reason": "Ward 7 was hit."},
    }
    done = shared(build(form))
    assert report_of(done.raw).severity.level == 5
    assert b"Ward 7" not in done.raw


@given(st.sets(st.sampled_from(PLACES), max_size=8), st.sampled_from(list(Tlp)))
@settings(max_examples=25, deadline=None)
def test_a_projection_is_a_sound_report_and_projecting_it_again_takes_nothing_away(drop, clearance):
    done = shared(clearance=clearance, drop=sorted(drop))
    assert [
        f for f in check_bundle(done.raw).findings if f.level == "error" or f.code == "dangling-ref"
    ] == []
    assert report_of(done.raw).tlp is clearance
    again = shared(done.raw, clearance, now=LATER + timedelta(hours=1))
    assert again.removed == ()
    assert told(again) == told(done)


def test_the_same_projection_again_is_its_next_version_and_another_clearance_another_report():
    first, second = shared(), shared(now=LATER + timedelta(days=1), drop=["deployers"])
    assert first == shared()
    a, b = report_of(first.raw), report_of(second.raw)
    assert (a.id, a.created, a.created_by_ref) == (b.id, b.created, PRODUCER["id"])
    assert a.modified < b.modified
    assert len({shared(clearance=tlp).id for tlp in Tlp} | {INCIDENT_ID}) == len(Tlp) + 1


def test_the_validator_of_stix_has_nothing_against_projections():
    from stix2validator import ValidationOptions, validate_string

    for raw, drop in ((FULL_RAW, ["title", "deployers"]), (MINIMAL_RAW, []), (marked_record(), ["systems"])):
        result = validate_string(shared(raw, drop=drop).raw.decode(), ValidationOptions(version="2.1"))
        assert result.is_valid, result.as_dict()


def test_a_person_replaces_a_text_and_may_edit_the_rest():
    done = shared(
        replace={"incident.description": "Power failed after wrong advice.", "harms[1].note": "Goods."}
    )
    said = stix.to_form(done.raw)
    assert (said["description"], said["harms"][1]["note"]) == ("Power failed after wrong advice.", "Goods.")
    edited = shared(drop=["affected[1]"], rewritten={**done.form, "title": "At the Cold Store Cooperative"})
    assert stix.to_form(edited.raw)["title"] == "At the […]"


def test_what_the_report_says_of_personal_data_is_what_the_person_who_looked_says():
    held = build({**FULL, "personal_data": "present"})
    with pytest.raises(PersonalDataUndecided):
        shared(held)
    assert report_of(shared(held, personal_data="pseudonymised").raw).personal_data == "pseudonymised"
    assert report_of(shared().raw).personal_data == "none"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"drop": ["nowhere"]}, NoSuchPlace),
        ({"drop": ["harms[7]"]}, NoSuchPlace),
        ({"drop": ["title[0]"]}, NoSuchPlace),
        ({"drop": ["a b"]}, NoSuchPlace),
        ({"drop": [""]}, NoSuchPlace),
        ({"drop": ["harms" + "[0]" * 40]}, NoSuchPlace),
        ({"replace": {"harms[9].note": "x"}}, NoSuchPlace),
        ({"drop": ["realization"]}, CannotLeaveOut),
        ({"drop": ["harms[0].harm_type"]}, FormRefused),
        ({"replace": {"causality": "a guess"}}, FormRefused),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(more, error):
    with pytest.raises(error):
        shared(**more)


def test_a_withdrawn_record_has_no_further_projection():
    with pytest.raises(AlreadyWithdrawn):
        shared(
            stix.withdraw(MINIMAL_RAW, reason="It was nothing.", now=LATER), now=LATER + timedelta(hours=1)
        )


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("incident.name", "title"),
        ("report.description", "description"),
        ("incident.extensions.ai-incident.harms[0].note", "harms[0].note"),
        ("incident.external_references[2].external_id", "sources[2].id"),
        ("quantities.economic_loss.amount", "quantities.economic_loss.amount"),
    ],
)
def test_the_places_of_findings_are_places_of_the_form(path, where):
    assert place.written(place.read(path)) == where


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_is_refused_as_one(text):
    try:
        assert place.read(place.written(place.read(text))) == place.read(text)
    except NoSuchPlace:
        pass


def test_every_reason_has_its_words():
    assert set(WHY) >= {each.why for each in shared(marked_record(), drop=["title"]).removed}
