import json
from datetime import timedelta

import pytest
import stix2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schema.samples import (
    FULL,
    FULL_RAW,
    INCIDENT_ID,
    LATER,
    MINIMAL,
    MINIMAL_RAW,
    NOW,
    PRODUCER,
    build,
    facts,
    find,
    parsed,
)
from tests.schema.strategies import harms, quantities

from tocsin_schema import canonical, ids, stix
from tocsin_schema import vocabulary as voc
from tocsin_schema.check import check_bundle
from tocsin_schema.compose import software_id
from tocsin_schema.errors import AlreadyWithdrawn, BadId, FormRefused, NoReason, NotLater, ReportRefused
from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS, Tlp


def report_of(raw):
    checked = check_bundle(raw)
    assert checked.report is not None, checked.findings
    return checked.report


# --- build


def test_the_same_arguments_give_the_same_canonical_bytes():
    assert build(FULL) == FULL_RAW
    assert canonical.to_bytes(json.loads(FULL_RAW)) == FULL_RAW


def test_a_report_holds_what_the_profile_says():
    bundle = parsed()
    kinds = [obj["type"] for obj in bundle["objects"]]
    assert kinds.count("incident") == kinds.count("report") == 1
    assert kinds.count("software") == 2
    assert kinds.count("relationship") == 7
    assert find(bundle, "marking-definition") == MARKING_OBJECTS[Tlp.AMBER]
    assert PRODUCER in bundle["objects"]
    wrapper = find(bundle, "report")
    assert wrapper["id"] == ids.wrapper_id(INCIDENT_ID)
    assert wrapper["description"].startswith(
        "Grade III, level 3 (substantial), score 57. The assistant reported"
    )
    assert wrapper["labels"] == ['ai-incident:grade="III"', 'ai-incident:realization="harm-event"']
    listed = set(wrapper["object_refs"])
    assert listed == {obj["id"] for obj in bundle["objects"]} - {
        PRODUCER["id"],
        wrapper["id"],
        MARKING_IDS[Tlp.AMBER],
    }
    core = find(bundle, "incident")["extensions"][ids.CORE_EXTENSION]
    assert core["determination"] == "confirmed"
    assert core["investigation_status"] == "open"
    assert core["criticality"] == core["scores"][0]["value"] == 57


def test_the_parties_keep_their_roles_and_classes():
    bundle = parsed()
    names = {obj["id"]: obj for obj in bundle["objects"] if obj["type"] == "identity"}
    parties = facts(bundle)["parties"]
    assert [names[ref]["name"] for ref in parties["developer_refs"]] == ["Voltwise", "Fjord Labs"]
    assert [names[ref]["identity_class"] for ref in parties["affected_refs"]] == ["class", "organization"]
    roles = {
        (obj["target_ref"], obj["description"]) for obj in bundle["objects"] if obj["type"] == "relationship"
    }
    assert (parties["deployer_refs"][0], "role: deployer") in roles


def test_a_system_has_the_same_identifier_in_every_report_and_for_stix2():
    software = find(parsed(), "software")
    own = {name: software[name] for name in ("name", "vendor", "version")}
    assert software["id"] == stix2.v21.Software(**own).id == software_id(own)
    spaced = build(
        {
            **FULL,
            "systems": [{"name": " GridPilot ", "vendor": "Ｖoltwise", "version": "4.2"}],
        }
    )
    assert find(parsed(spaced), "software")["id"] == software["id"]


@pytest.mark.parametrize(
    "own", [{"name": "Ünïcode 模型"}, {"name": 'quote " and \\'}, {"name": "a", "version": "1"}]
)
def test_the_identifier_of_a_system_is_the_one_that_stix2_derives(own):
    assert software_id(own) == stix2.v21.Software(**own).id


def test_a_form_with_errors_is_refused_with_all_of_them():
    with pytest.raises(FormRefused) as caught:
        build({"title": "A", "tlp": "x"})
    assert {finding.path for finding in caught.value.findings} == {"tlp", "description", "realization"}
    assert caught.value.code == "form-refused"


@pytest.mark.parametrize("incident_id", ["", "incident--1", "report--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"])
def test_only_an_incident_identifier_is_taken(incident_id):
    with pytest.raises(BadId):
        build(MINIMAL, incident_id=incident_id)


def test_only_a_producer_is_taken():
    with pytest.raises(BadId):
        stix.build(MINIMAL, producer={}, incident_id=INCIDENT_ID, now=NOW)
    with pytest.raises(ReportRefused):
        stix.build(MINIMAL, producer={"id": PRODUCER["id"]}, incident_id=INCIDENT_ID, now=NOW)


def test_a_report_that_would_be_too_large_is_refused():
    huge = [{"kind": "other", "text": "x" * 2000} for _ in range(100)]
    notes = [{"harm_type": "other", "note": "y" * 2000} for _ in range(50)]
    sources = [{"name": "n", "description": "z" * 5000} for _ in range(200)]
    with pytest.raises(ReportRefused) as caught:
        build(
            {
                **MINIMAL,
                "realization": "harm-event",
                "actions_taken": huge,
                "harms": notes,
                "sources": sources,
            }
        )
    assert caught.value.findings[0].code == "too-large"


def test_a_level_set_by_hand_names_the_node_and_the_time():
    report = report_of(
        build(
            {
                **MINIMAL,
                "severity_basis": "overridden",
                "severity_level": 4,
                "severity_override": {"reason": "Why."},
            }
        )
    )
    assert (report.severity.level, report.severity.grade, report.severity.basis) == (4, "II", "overridden")
    override = report.extension["severity_override"]
    assert override == {"by_ref": PRODUCER["id"], "at": "2025-03-24T10:15:00.123Z", "reason": "Why."}


def test_a_source_may_be_a_bare_name():
    raw = build({**MINIMAL, "sources": [{"name": "A letter"}]})
    assert find(parsed(raw), "incident")["external_references"] == [
        {"source_name": "A letter", "description": "A letter"}
    ]
    assert stix.to_form(raw)["sources"] == [{"name": "A letter"}]


def test_the_identity_of_a_node_is_the_same_everywhere():
    assert stix.node_identity("Org", "n1") == stix.node_identity("Org", "n1")
    assert stix.node_identity("Org", "n1")["id"] != stix.node_identity("Org", "n2")["id"]


def test_which_node_created_something_is_known_only_by_an_identifier_that_bears_it_out():
    node_id, other = "n1" + "a" * 52, "n1" + "q" * 52
    true = stix.node_identity("Org", node_id)
    lie = true | {"external_references": [{"source_name": "tocsin", "external_id": other}]}
    both = true | {"external_references": lie["external_references"] + true["external_references"]}
    formless = stix.node_identity("Org", "Org & Sons")
    silent = {name: value for name, value in true.items() if name != "external_references"}
    elsewhere = true | {"external_references": [{"source_name": "other", "external_id": node_id}]}
    cases = [
        (true, node_id),
        (both, node_id),
        (lie, None),
        (formless, None),
        (silent, None),
        (elsewhere, None),
    ]
    for identity, expected in cases:
        assert stix.node_named(identity["id"], [identity]) == expected
    assert stix.node_named(true["id"], []) is None


# --- to_form


def test_a_form_comes_back_and_makes_the_same_report():
    for form, raw in ((FULL, FULL_RAW), (MINIMAL, MINIMAL_RAW)):
        back = stix.to_form(raw)
        assert build(back) == raw
        assert set(form) - {"systems"} <= set(back)


words = {name: st.sampled_from(list(vocabulary)) for name, vocabulary in (
    ("causality", voc.CAUSALITY), ("autonomy_level", voc.AUTONOMY_LEVEL), ("reporter_role", voc.REPORTER_ROLE),
    ("personal_data", voc.PERSONAL_DATA), ("deployment_breadth", voc.DEPLOYMENT_BREADTH),
)}  # fmt: skip
names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
forms = st.fixed_dictionaries(
    {
        "title": names,
        "description": st.text(
            st.characters(categories=["L", "N", "P", "Zs"], include_characters="\n\t"), min_size=1
        ).filter(str.strip),
        "tlp": st.sampled_from([tlp.value for tlp in Tlp]),
        "realization": st.sampled_from(["harm-event", "unknown"]),
    },
    optional={
        **words,
        "harms": st.lists(harms, min_size=1, max_size=3),
        "quantities": quantities.filter(bool),
        "flags": st.lists(st.sampled_from(list(voc.FLAG)), min_size=1, max_size=4, unique=True),
        "confidence": st.integers(0, 100),
        "systems": st.lists(
            st.fixed_dictionaries(
                {"name": names}, optional={"vendor": names, "version": names, "kind": st.just("model")}
            ),
            min_size=1,
            max_size=3,
        ),
        "developers": st.lists(names, min_size=1, max_size=3),
        "affected": st.lists(
            st.fixed_dictionaries({"name": names, "class": st.sampled_from(["class", "group"])}),
            min_size=1,
            max_size=3,
        ),
        "sources": st.lists(
            st.fixed_dictionaries({"name": names}, optional={"id": names}), min_size=1, max_size=3
        ),
    },
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(forms)
def test_any_sound_form_makes_a_sound_report_and_comes_back(form):
    raw = build(form)
    assert check_bundle(raw).findings == ()
    assert build(stix.to_form(raw)) == raw
    revised = stix.revise(raw, {}, now=LATER)
    assert stix.to_form(revised) == stix.to_form(raw)


# --- revise


def test_a_revision_keeps_identifiers_and_creation_and_is_later():
    before, after = report_of(FULL_RAW), report_of(stix.revise(FULL_RAW, {"confidence": 10}, now=LATER))
    assert (after.id, after.wrapper_id, after.created, after.created_by_ref) == (
        before.id,
        before.wrapper_id,
        before.created,
        before.created_by_ref,
    )
    assert after.modified > before.modified
    assert after.extension == before.extension


def test_a_revision_grades_anew():
    report = report_of(stix.revise(FULL_RAW, {"quantities": {"deaths": 1}}, now=LATER))
    assert (report.severity.grade, report.claimed["response_grade"]) == ("II", "II")


def test_none_takes_a_field_out():
    raw = stix.revise(
        FULL_RAW, {"systems": None, "developers": None, "sources": None, "confidence": None}, now=LATER
    )
    bundle = parsed(raw)
    assert [obj for obj in bundle["objects"] if obj["type"] == "software"] == []
    assert "systems" not in facts(bundle)
    assert "developer_refs" not in facts(bundle)["parties"]
    assert not {"confidence", "external_references"} & find(bundle, "incident").keys()
    assert check_bundle(raw).findings == ()


def test_a_revision_may_change_the_marking_of_everything():
    raw = stix.revise(FULL_RAW, {"tlp": "red"}, now=LATER)
    assert report_of(raw).tlp is Tlp.RED
    assert MARKING_IDS[Tlp.AMBER] not in raw.decode()


def test_what_does_not_change_keeps_its_version():
    old, new = parsed(), parsed(stix.revise(FULL_RAW, {"confidence": 10}, now=LATER))
    links = {obj["id"]: obj for obj in old["objects"] if obj["type"] == "relationship"}
    assert {obj["id"]: obj for obj in new["objects"] if obj["type"] == "relationship"} == links
    grown = parsed(stix.revise(FULL_RAW, {"affected": ["households", "hospitals"]}, now=LATER))
    added = [obj for obj in grown["objects"] if obj["type"] == "relationship" and obj["id"] not in links]
    assert [obj["created"] for obj in added] == ["2025-03-24T12:15:00.123Z"]


def _with_additions() -> bytes:
    """A report with things that the form does not know."""
    bundle = parsed()
    incident, wrapper = find(bundle, "incident"), find(bundle, "report")
    note = {
        "type": "note",
        "spec_version": "2.1",
        "id": "note--2b1c9a3e-6a83-4f0e-9a52-7b8f3a0b7d11",
        "created_by_ref": PRODUCER["id"],
        "created": incident["created"],
        "modified": incident["modified"],
        "content": "Seen elsewhere too.",
        "object_refs": [incident["id"]],
        "object_marking_refs": [MARKING_IDS[Tlp.AMBER]],
    }
    bundle["objects"].append(note)
    wrapper["object_refs"].append(note["id"])
    wrapper["labels"].append("own-label")
    incident["lang"] = "en"
    incident["extensions"][ids.CORE_EXTENSION]["recoverability"] = "regular"
    facts(bundle)["later_fact"] = {"litres": 3}
    return canonical.to_bytes(bundle)


def test_a_revision_carries_over_what_the_form_does_not_know():
    raw = stix.revise(_with_additions(), {"tlp": "amber+strict", "confidence": 3}, now=LATER)
    bundle = parsed(raw)
    incident, note = find(bundle, "incident"), find(bundle, "note")
    assert note["object_marking_refs"] == [MARKING_IDS[Tlp.AMBER_STRICT]]
    assert note["modified"] == incident["modified"]
    assert note["id"] in find(bundle, "report")["object_refs"]
    assert "own-label" in find(bundle, "report")["labels"]
    assert incident["lang"] == "en"
    assert incident["confidence"] == 3
    assert incident["extensions"][ids.CORE_EXTENSION]["recoverability"] == "regular"
    assert facts(bundle)["later_fact"] == {"litres": 3}


def test_a_revision_must_be_later():
    for now in (NOW, NOW - timedelta(days=1), NOW + timedelta(microseconds=500)):
        with pytest.raises(NotLater):
            stix.revise(FULL_RAW, {}, now=now)


def test_a_wrong_change_is_refused_and_names_its_field():
    with pytest.raises(FormRefused) as caught:
        stix.revise(FULL_RAW, {"causality": "maybe", "colour": 1}, now=LATER)
    assert {finding.path for finding in caught.value.findings} == {"causality", "colour"}


def test_only_a_sound_report_can_be_revised():
    for raw in (b"", b"{}", FULL_RAW[:-1]):
        with pytest.raises(ReportRefused):
            stix.revise(raw, {}, now=LATER)
        with pytest.raises(ReportRefused):
            stix.to_form(raw)


# --- withdraw


def test_a_withdrawal_revokes_both_and_says_why():
    raw = stix.withdraw(FULL_RAW, reason=" Filed twice. ", now=LATER)
    report, bundle = report_of(raw), parsed(raw)
    assert report.revoked
    assert report.extension["report_status"] == "withdrawn"
    assert report.extension["actions_taken"][-1]["text"] == "Withdrawn: Filed twice."
    assert find(bundle, "report")["revoked"] is True
    assert find(bundle, "report")["description"].startswith("Withdrawn: Filed twice. Grade III")
    assert find(bundle, "incident")["extensions"][ids.CORE_EXTENSION]["investigation_status"] == "closed"
    assert report.modified > report_of(FULL_RAW).modified
    assert check_bundle(raw).findings == ()


def test_a_withdrawal_is_final():
    raw = stix.withdraw(FULL_RAW, reason="Filed twice.", now=LATER)
    later = LATER + timedelta(days=1)
    with pytest.raises(AlreadyWithdrawn):
        stix.withdraw(raw, reason="Again.", now=later)
    with pytest.raises(AlreadyWithdrawn):
        stix.revise(raw, {"title": "Back"}, now=later)


def test_a_withdrawal_needs_a_reason_and_a_later_time():
    with pytest.raises(NoReason):
        stix.withdraw(FULL_RAW, reason="  ", now=LATER)
    with pytest.raises(NotLater):
        stix.withdraw(FULL_RAW, reason="Filed twice.", now=NOW)
    with pytest.raises(ReportRefused):
        stix.withdraw(FULL_RAW, reason="x" * 3000, now=LATER)


def test_many_actions_do_not_hinder_a_withdrawal():
    raw = build({**MINIMAL, "actions_taken": [{"kind": "other", "text": str(n)} for n in range(100)]})
    report = report_of(stix.withdraw(raw, reason="Filed twice.", now=LATER))
    assert len(report.extension["actions_taken"]) == 100
