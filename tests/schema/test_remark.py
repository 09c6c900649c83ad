"""Remarks: made, read back, refused for what is wrong with them and for nothing else, and accepted by strict STIX."""

import json
from copy import deepcopy
from datetime import timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.schema.samples import INCIDENT_ID, LATER, MINIMAL, NOW, PRODUCER, build, find
from tests.schema.test_validator import errors

from tocsin_schema import ids, stix, vocabulary
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import AlreadyRetracted, NotLater, RemarkRefused
from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS, Tlp
from tocsin_schema.remark import ABSTRACT, MAX_BYTES, check_remark, remark_id
from tocsin_schema.remarks import exposure, opinion, retract, sighting

OTHER = stix.node_identity("Elsewhere Clinic", "n1elsewhere")
REPORT = check_bundle(build(MINIMAL)).report
assert REPORT is not None
SEEN = sighting(
    REPORT, producer=OTHER, now=NOW, count=3, first_seen=NOW, last_seen=LATER, text="On two wards."
)
AFFECTED = exposure(REPORT, "affected", producer=OTHER, now=NOW, text="Since the last update.")
AGREE = opinion(REPORT, "agree", producer=OTHER, now=NOW, text="We saw the logs.")


def read(raw):
    checked = check_remark(raw)
    assert checked.remark is not None, checked.findings
    assert checked.findings == ()
    return checked.remark


def codes(raw):
    checked = check_remark(raw)
    assert checked.remark is None
    assert all(finding.message and finding.hint for finding in checked.findings)
    return {finding.code for finding in checked.findings}


def changed(raw, change):
    bundle = deepcopy(json.loads(raw))
    change(bundle)
    return json.dumps(bundle).encode()


def own(bundle):
    return next(obj for obj in bundle["objects"] if obj["type"] in {"sighting", "opinion", "note"})


def test_a_sighting_says_how_often_and_when():
    remark = read(SEEN)
    assert (remark.kind, remark.incident_id, remark.said, remark.count) == ("sighting", INCIDENT_ID, "", 3)
    assert (remark.first_seen, remark.last_seen) == (
        NOW.replace(microsecond=123000),
        LATER.replace(microsecond=123000),
    )
    assert (remark.text, remark.tlp, remark.revoked) == ("On two wards.", Tlp.GREEN, False)
    assert remark.created_by_ref == OTHER["id"]


@pytest.mark.parametrize("word", vocabulary.EXPOSURE)
@pytest.mark.parametrize("text", ["", "Because.\n\nOf that."])
def test_an_exposure_says_the_same_to_people_and_to_machines(word, text):
    raw = exposure(REPORT, word, producer=OTHER, now=NOW, text=text)
    remark = read(raw)
    assert (remark.kind, remark.said, remark.text) == ("exposure", word, text)
    note = find(json.loads(raw), "note")
    assert note["content"].startswith(f"{ABSTRACT[word]}.")
    assert note["labels"] == [f'ai-incident:exposure="{word}"']
    assert note["object_refs"] == [REPORT.wrapper_id, INCIDENT_ID]


@pytest.mark.parametrize("step", vocabulary.OPINION)
def test_an_opinion_is_one_of_five_steps(step):
    remark = read(opinion(REPORT, step, producer=OTHER, now=NOW))
    assert (remark.kind, remark.said, remark.text) == ("opinion", step, "")


@given(st.sampled_from(Tlp))
def test_a_remark_carries_the_marking_of_its_report(tlp):
    report = check_bundle(build({**MINIMAL, "tlp": tlp.value})).report
    assert read(exposure(report, "affected", producer=OTHER, now=NOW)).tlp is tlp


@pytest.mark.parametrize(
    "raw", [SEEN, AFFECTED, AGREE, retract(AGREE, now=LATER)], ids=["seen", "affected", "agree", "retracted"]
)
def test_what_leaves_is_strict_stix(raw):
    assert errors(raw) == []


def test_the_next_version_keeps_its_identifier_and_is_later():
    first = read(AFFECTED)
    raw = exposure(REPORT, "not-affected", producer=OTHER, now=LATER, before=first)
    second = read(raw)
    assert (second.id, second.created) == (first.id, first.created)
    assert second.modified > first.modified
    assert second.said == "not-affected"
    with pytest.raises(NotLater):
        exposure(REPORT, "affected", producer=OTHER, now=NOW, before=first)


def test_what_is_taken_back_has_no_further_version_and_what_is_said_next_begins_anew():
    gone = read(retract(AFFECTED, now=LATER))
    assert (gone.id, gone.revoked, gone.said) == (read(AFFECTED).id, True, "affected")
    with pytest.raises(AlreadyRetracted):
        retract(gone.raw, now=LATER + timedelta(hours=1))
    with pytest.raises(NotLater):
        retract(AFFECTED, now=NOW)
    anew = read(exposure(REPORT, "affected", producer=OTHER, now=LATER + timedelta(hours=1), before=gone))
    assert anew.id != gone.id
    assert anew.created > gone.modified


def test_the_same_arguments_give_the_same_bytes():
    assert exposure(REPORT, "affected", producer=OTHER, now=NOW, text="Since the last update.") == AFFECTED


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (sighting, {"count": 0}),
        (sighting, {"first_seen": LATER, "last_seen": NOW}),
        (exposure, {"word": "perhaps"}),
        (opinion, {"step": "agree a little"}),
        (opinion, {"step": "agree", "text": "a" * 2001}),
        (opinion, {"step": "agree", "text": "a\x1b[2Jb"}),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_not_made(make, said):
    with pytest.raises(RemarkRefused) as caught:
        make(REPORT, producer=OTHER, now=NOW, **said)
    assert caught.value.findings


def put(name, value):
    return lambda bundle: own(bundle).__setitem__(name, value)


def another_creator(bundle):
    own(bundle)["created_by_ref"] = PRODUCER["id"]
    own(bundle)["id"] = remark_id("exposure", INCIDENT_ID, PRODUCER["id"], own(bundle)["created"])


HOSTILE = {
    "two-remarks": (AGREE, lambda b: b["objects"].append(own(json.loads(AFFECTED))), {"remark-objects"}),
    "no-identity": (AGREE, lambda b: b["objects"].remove(find(b, "identity")), {"remark-objects"}),
    "an-incident-along": (AGREE, lambda b: b["objects"].append({"type": "incident"}), {"remark-objects"}),
    "objects-of-text": (AGREE, lambda b: b.update(objects=["x"]), {"remark-objects"}),
    "a-type-of-list": (AGREE, lambda b: own(b).update(type=["opinion"]), {"remark-objects"}),
    "external-references": (AGREE, put("external_references", [{"source_name": "x", "url": "https://x.example"}]), {"unknown-field"}),
    "other-label": (AFFECTED, put("labels", ["affected"]), {"unknown-word"}),
    "two-labels": (AFFECTED, put("labels", ['ai-incident:exposure="affected"'] * 2), {"too-many"}),
    "label-against-words": (AFFECTED, put("labels", ['ai-incident:exposure="not-affected"']), {"remark-words"}),
    "words-against-label": (AFFECTED, put("content", "Not affected."), {"remark-words"}),
    "words-run-on": (AFFECTED, put("content", "Affected. Not."), {"remark-words"}),
    "abstract-against-label": (AFFECTED, put("abstract", "Investigating"), {"remark-words"}),
    "two-incidents": (AGREE, put("object_refs", [INCIDENT_ID, INCIDENT_ID.replace("5ee", "6ee")]), {"remark-target"}),
    "only-a-report": (AGREE, put("object_refs", [REPORT.wrapper_id]), {"remark-target"}),
    "a-hundred-targets": (AGREE, put("object_refs", [INCIDENT_ID] * 100), {"too-many"}),
    "sighting-of-a-tool": (SEEN, put("sighting_of_ref", INCIDENT_ID.replace("incident", "tool")), {"bad-ref-type"}),
    "seen-by-another": (SEEN, put("where_sighted_refs", [PRODUCER["id"]]), {"remark-creator"}),
    "of-another-creator": (AFFECTED, another_creator, {"remark-creator"}),
    "no-creator": (AFFECTED, lambda b: own(b).pop("created_by_ref"), {"missing-property"}),
    "another-id": (AFFECTED, put("id", "note--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"), {"remark-id"}),
    "created-changed": (AFFECTED, put("created", "2025-03-24T10:15:00.122Z"), {"remark-id"}),
    "modified-before-created": (AFFECTED, put("modified", "2025-03-24T10:15:00.122Z"), {"modified-before-created"}),
    "last-before-first": (SEEN, put("last_seen", "2025-03-24T10:00:00.000Z"), {"last-before-first"}),
    "never-seen": (SEEN, put("count", 0), {"out-of-range"}),
    "seen-a-billion-times": (SEEN, put("count", 10**9), {"out-of-range"}),
    "seen-1.5-times": (SEEN, put("count", 1.5), {"wrong-type"}),
    "long-text": (AGREE, put("explanation", "a" * 2001), {"too-long"}),
    "escape-in-text": (AGREE, put("explanation", "a\x1b]52;c;\x07"), {"control-character"}),
    "half-character": (AGREE, put("explanation", "\ud800"), {"lone-surrogate"}),
    "null-text": (AGREE, put("explanation", None), {"null-value"}),
    "no-marking": (AGREE, lambda b: own(b).pop("object_marking_refs"), {"missing-property"}),
    "two-markings": (AGREE, put("object_marking_refs", [MARKING_IDS[Tlp.GREEN], MARKING_IDS[Tlp.RED]]), {"tlp-unknown"}),
    "tlp-1": (AGREE, put("object_marking_refs", ["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"]), {"tlp-unknown"}),
    "marking-altered": (AGREE, lambda b: find(b, "marking-definition").update(name="TLP:CLEAR"), {"marking-altered"}),
    "marking-of-another": (AGREE, lambda b: find(b, "marking-definition").update(MARKING_OBJECTS[Tlp.CLEAR]), {"marking-altered"}),
    "granular-marking": (AGREE, put("granular_markings", [{"marking_ref": MARKING_IDS[Tlp.RED], "selectors": ["opinion"]}]), {"unknown-field"}),
    "too-large": (AGREE, put("explanation", "a" * MAX_BYTES), {"too-large"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_remark_is_refused_for_what_it_is(name):
    raw, change, expected = HOSTILE[name]
    assert codes(changed(raw, change)) == expected


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not-json"),
        (b"null", "null-value"),
        (b"[]", "wrong-type"),
        (b"\xff", "not-utf8"),
        (b"[" * 100, "too-deep"),
        (AGREE.replace(b'"opinion":"agree"', b'"opinion":"agree","opinion":"disagree"'), "duplicate-key"),
        (build(MINIMAL), "remark-objects"),
    ],
    ids=["empty", "null", "list", "latin", "nested", "duplicate", "report"],
)
def test_what_is_no_remark_at_all_is_refused(raw, code):
    assert code in codes(raw)


def test_an_extension_of_a_later_profile_is_kept_and_reported():
    later = "extension-definition--00000000-0000-4000-8000-000000000001"
    raw = changed(AFFECTED, put("extensions", {later: {"extension_type": "property-extension", "more": 1}}))
    checked = check_remark(raw)
    assert checked.remark is not None
    assert [(f.code, f.level) for f in checked.findings] == [("unknown-extension", "warning")]


@given(st.binary(max_size=300))
def test_noise_never_raises(raw):
    assert check_remark(raw).remark is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([SEEN, AFFECTED, AGREE]), st.data())
def test_any_value_in_any_place_is_taken_whole_or_refused_and_never_raises(raw, data):
    bundle = json.loads(raw)
    obj = data.draw(st.sampled_from(bundle["objects"]))
    obj[data.draw(st.sampled_from(sorted(obj)))] = data.draw(JSON)
    checked = check_remark(json.dumps(bundle).encode())
    assert (checked.remark is None) == any(f.level == "error" for f in checked.findings)


def test_the_identity_is_the_nodes_own():
    assert read(AFFECTED).created_by_ref == ids.node_identity_id("n1elsewhere")
