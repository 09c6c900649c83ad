"""STIX objects that belong to no incident: passed on as strict STIX, or left out with a reason."""

import io
import json
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schema.samples import DATA, FULL_RAW, MINIMAL_RAW, parsed
from tests.schema.strategies import wild_values
from tests.schema.test_validator import errors

from tocsin_schema.compose import PARTY_EPOCH
from tocsin_schema.exports.stix import bundle as one_bundle
from tocsin_schema.ids import FOREIGN_TYPE_EXTENSION
from tocsin_schema.imports import stix
from tocsin_schema.imports.record import Passed, Record
from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS, TLP1_REPLACEMENTS, Tlp
from tocsin_schema.merge import Merger

TIMES = {"created": "2024-02-06T15:29:37.168Z", "modified": "2024-02-06T16:44:38.985Z"}


def made(kind, number=1, **properties):
    identifier = f"{kind}--00000000-0000-4000-8000-{number:012}"
    return {"type": kind, "spec_version": "2.1", "id": identifier, **TIMES, **properties}


PATTERN = made("attack-pattern", name="Talking")
TOOL = made("tool", 2, name="Hammer")
CUSTOM = made("x-mitre-asset", 3, name="Pump")
UNCHECKED = made("malware-analysis", 3, product="Bench")


def link(source, target, number=9, verb="uses"):
    return made(
        "relationship", number, relationship_type=verb, source_ref=source["id"], target_ref=target["id"]
    )


def convert(*objects, raw=None):
    text = (
        raw
        if raw is not None
        else json.dumps({"type": "bundle", "id": "bundle--x", "objects": objects}).encode()
    )
    return {one.key.removeprefix("stix:"): one for one in stix.convert(io.BytesIO(text))}


def one(obj, *others):
    return convert(obj, *others)[obj["id"]]


def test_what_is_sound_passes_as_it_is():
    found = convert(PATTERN, TOOL, link(TOOL, PATTERN))
    assert [one.objects for one in found.values()] == [(PATTERN,), (TOOL,), (link(TOOL, PATTERN),)]
    assert all(one.repairs == () for one in found.values())


def test_types_that_nobody_here_can_check_are_left_out_with_what_points_at_them():
    found = convert(
        PATTERN,
        UNCHECKED,
        link(PATTERN, UNCHECKED),
        made("grouping", 4, context="x", object_refs=[UNCHECKED["id"]]),
    )
    codes = {key.partition("--")[0]: one.refusal and one.refusal.code for key, one in found.items()}
    assert codes == {
        "attack-pattern": None, "malware-analysis": "type-not-carried", "relationship": "dangling-ref", "grouping": "dangling-ref",
    }  # fmt: skip


def test_types_that_stix_does_not_have_are_carried_as_new_types_with_what_points_at_them():
    found = convert(PATTERN, CUSTOM, link(PATTERN, CUSTOM))
    assert all(one.refusal is None for one in found.values())
    *announced, carried = found[CUSTOM["id"]].objects
    assert carried == {**CUSTOM, "extensions": {FOREIGN_TYPE_EXTENSION: {"extension_type": "new-sdo"}}}
    assert [obj["type"] for obj in announced] == ["identity", "extension-definition"]
    assert announced[1]["id"] == FOREIGN_TYPE_EXTENSION
    assert "new type" in found[CUSTOM["id"]].repairs[0]
    bundle = {
        "type": "bundle",
        "id": "bundle--" + CUSTOM["id"].partition("--")[2],
        "objects": [*announced, carried],
    }
    assert errors(json.dumps(bundle).encode(), new_types=True) == []


@pytest.mark.parametrize(
    ("properties", "kept", "said"),
    [
        ({"x_mitre_sectors": ["Energy", {"a": [1.5]}]}, {"x_mitre_sectors"}, None),
        ({"X-Big": 1, "ab": 2, "fine_name": 3}, {"fine_name"}, "X-Big"),
        ({"empty_one": [], "null_one": None, "ctl_one": "a\u0000b"}, set(), "ctl_one"),
        ({f"prop_{n}": n for n in range(300)}, {f"prop_{n}" for n in range(199)}, "prop_"),
        ({"extensions": {"extension-definition--nobody": {"a": 1}}}, set(), None),
        ({"created": 7, "modified": "yesterday"}, None, None),
    ],
)
def test_of_a_new_type_only_what_stix_allows_is_kept(properties, kept, said):
    passed = one({**CUSTOM, **properties})
    if kept is None:
        assert passed.refusal is not None
        return
    assert passed.objects[-1].keys() - {*CUSTOM, "extensions"} == kept
    assert said is None or any(said in repair for repair in passed.repairs[1:])


@pytest.mark.parametrize("value", [{}, {"a": 1}, 7, [{}, 3, "x"], "tool--no", True], ids=str)
@pytest.mark.parametrize("name", ["source_ref", "target_ref", "sighting_of_ref", "object_refs"])
def test_in_a_new_type_a_property_called_as_a_reference_may_hold_anything(name, value):
    passed = one({**CUSTOM, name: value}, UNCHECKED)
    assert passed.refusal is None
    assert passed.objects[-1].get(name, value) == value


def test_relationships_of_one_identifier_and_several_ends_are_all_passed_on():
    first, second, again = link(PATTERN, TOOL), link(TOOL, PATTERN), link(PATTERN, TOOL)
    found = convert(PATTERN, TOOL, first, second, again)
    links = [one.objects[-1] for one in found.values() if one.objects[-1]["type"] == "relationship"]
    ends = {(obj["source_ref"], obj["target_ref"]) for obj in links}
    assert ends == {(PATTERN["id"], TOOL["id"]), (TOOL["id"], PATTERN["id"])}
    assert len({obj["id"] for obj in links}) == len(links) == 2
    renamed = [one for one in found.values() if one.repairs]
    assert [one.repairs[0] for one in renamed] == [
        "its identifier stands for a relationship with other ends, too: it got one of its own"
    ]
    assert convert(PATTERN, TOOL, first, second) == convert(PATTERN, TOOL, first, second)


def test_a_new_type_that_does_not_say_when_it_was_made_gets_a_fixed_day_and_says_so():
    timeless = {name: value for name, value in CUSTOM.items() if name not in ("created", "modified")}
    passed = one(timeless)
    assert passed.objects[-1]["created"] == passed.objects[-1]["modified"] == PARTY_EPOCH
    assert "no created" in passed.repairs[1]


def test_a_list_loses_what_was_left_out():
    grouping = made("grouping", 4, context="x", object_refs=[UNCHECKED["id"], PATTERN["id"]])
    passed = one(grouping, UNCHECKED, PATTERN)
    assert passed.objects[0]["object_refs"] == [PATTERN["id"]]
    assert passed.repairs == ("1 object(s) that were left out are no longer named",)


def test_properties_that_stix_does_not_have_are_left_out_and_named():
    obj = made(
        "malware",
        is_family=True,
        name="Worm",
        x_mitre_version="1",
        x_mitre_deprecated=True,
        x_mitre_aliases=["W"],
    )
    passed = one(obj)
    assert passed.objects[0] == made(
        "malware", is_family=True, name="Worm", aliases=["W"], labels=["deprecated"]
    )
    assert passed.repairs[:2] == (
        "x_mitre_aliases became aliases",
        "x_mitre_deprecated became the label deprecated",
    )
    assert "x_mitre_version" in passed.repairs[2]


def test_a_part_of_a_property_that_is_wrong_is_named_too():
    obj = {
        **PATTERN,
        "external_references": [
            {"source_name": "a", "url": "https://a.example"},
            {"source_name": "b", "url": "no"},
        ],
    }
    passed = one(obj)
    assert [ref["source_name"] for ref in passed.objects[0]["external_references"]] == ["a"]
    assert "part of external_references" in passed.repairs[0]


@pytest.mark.parametrize(
    ("obj", "code"),
    [
        (made("malware", name="Worm"), "missing-property"),
        (made("tool", name=""), "empty-text"),
        (made("tool"), "missing-property"),
        (made("location", latitude=1), "missing-property"),
        (made("indicator", pattern="x"), "type-not-carried"),
        ({**made("tool", name="a"), "created": "soon"}, "bad-timestamp"),
        (made("marking-definition", definition_type="tlp", definition={"tlp": "purple"}), "tlp-unknown"),
    ],
)
def test_what_cannot_be_made_sound_is_refused_with_its_reason(obj, code):
    assert one(obj).refusal.code == code


TLP1_AMBER = next(ref for ref, tlp in TLP1_REPLACEMENTS.items() if tlp is Tlp.AMBER)
UNKNOWN = "marking-definition--11111111-1111-4111-8111-111111111111"
GRANULAR = [{"marking_ref": MARKING_IDS[Tlp.RED], "selectors": ["name"]}]


@pytest.mark.parametrize(
    ("marking", "tlp", "repaired"),
    [
        ({}, None, False),
        ({"object_marking_refs": [MARKING_IDS[Tlp.GREEN]]}, Tlp.GREEN, False),
        ({"object_marking_refs": [MARKING_IDS[Tlp.GREEN], MARKING_IDS[Tlp.RED]]}, Tlp.RED, True),
        ({"object_marking_refs": [TLP1_AMBER]}, Tlp.AMBER, True),
        ({"object_marking_refs": [UNKNOWN]}, Tlp.RED, True),
        ({"granular_markings": GRANULAR}, Tlp.RED, True),
        ({"object_marking_refs": [MARKING_IDS[Tlp.GREEN]], "granular_markings": GRANULAR}, Tlp.RED, True),
    ],
)
def test_no_marking_is_ever_loosened(marking, tlp, repaired):
    passed = one({**TOOL, **marking})
    assert passed.objects[-1].get("object_marking_refs") == ([MARKING_IDS[tlp]] if tlp else None)
    assert list(passed.objects[:-1]) == ([MARKING_OBJECTS[tlp]] if tlp else [])
    assert bool(passed.repairs) == repaired


def test_a_licence_comes_along():
    licence = {
        "type": "marking-definition", "spec_version": "2.1", "id": UNKNOWN, "created": TIMES["created"],
        "definition_type": "statement", "definition": {"statement": "CC BY 4.0"},
    }  # fmt: skip
    found = convert(licence, {**TOOL, "object_marking_refs": [UNKNOWN]})
    assert found[TOOL["id"]].objects[0]["object_marking_refs"] == [UNKNOWN]
    assert found[UNKNOWN].objects == (licence,)


def test_a_published_marking_is_passed_on_as_it_was_published():
    altered = {**MARKING_OBJECTS[Tlp.GREEN], "name": "anything goes"}
    assert one(altered).objects == (MARKING_OBJECTS[Tlp.GREEN],)
    old = {**altered, "id": TLP1_AMBER}
    assert one(old).objects == (MARKING_OBJECTS[Tlp.AMBER],)


def test_an_end_before_its_beginning_is_left_out():
    obj = made("campaign", name="C", first_seen="2024-02-02T00:00:00Z", last_seen="2024-02-01T00:00:00Z")
    passed = one(obj)
    assert "last_seen" not in passed.objects[0]
    assert passed.repairs == ("last_seen was not after first_seen: left out",)


def test_our_reports_pass_byte_for_byte_and_the_rest_beside_them():
    raw = b"\n".join([FULL_RAW, json.dumps(TOOL).encode(), MINIMAL_RAW.replace(b"5ee864f7", b"5ee864f8")])
    found = list(convert(raw=raw).values())
    assert [one.bundle for one in found if isinstance(one, Record)] == raw.split(b"\n")[::2]
    assert [one.objects for one in found if isinstance(one, Passed)] == [(TOOL,)]


def test_an_import_counts_what_belongs_to_no_incident():
    over = Counter()
    objects = [*parsed()["objects"], TOOL, PATTERN, link(TOOL, PATTERN)]
    text = json.dumps({"type": "bundle", "id": "bundle--x", "objects": objects}).encode()
    (record,) = stix.read(io.BytesIO(text), passed_over=over)
    assert record.bundle == FULL_RAW
    assert over == {"tool": 1, "attack-pattern": 1, "relationship": 1}


def test_a_file_without_incidents_gives_no_record_and_counts_its_objects():
    over = Counter()
    text = json.dumps({"type": "bundle", "id": "bundle--x", "objects": [TOOL, PATTERN]}).encode()
    assert list(stix.read(io.BytesIO(text), passed_over=over)) == []
    assert over == {"tool": 1, "attack-pattern": 1}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([PATTERN, TOOL, CUSTOM, link(TOOL, PATTERN), made("report", 7, name="r", published=TIMES["created"], object_refs=[TOOL["id"]])]),
    st.dictionaries(
        st.sampled_from(["name", "modified", "labels", "object_marking_refs", "granular_markings", "object_refs", "source_ref", "aliases", "extensions", "x_mitre_aliases", "x_mitre_deprecated", "created_by_ref", "external_references"]),
        wild_values,
        max_size=3,
    ),
)  # fmt: skip
def test_an_object_with_anything_in_it_is_passed_on_sound_or_refused(obj, changes):
    try:
        text = json.dumps([{**obj, **changes}]).encode()
    except (TypeError, ValueError):
        return
    for passed in stix.convert(io.BytesIO(text)):
        if isinstance(passed, Passed):
            assert bool(passed.objects) == (passed.refusal is None)


# --- the real ones


def gathered(path):
    with path.open("rb") as stream, Merger() as merger:
        found = list(stix.convert(stream))
        for passed in found:
            merger.add(passed.objects if isinstance(passed, Passed) else passed.bundle)
        return found, json.loads(b"".join(one_bundle(merger)))


REAL = [
    "atlas/stix-atlas.json", "attack/ics-attack-18.1.json", "atlas/opencti-bundles/AMLCS0010.json",
    "atlas/opencti-bundles/AMLCS0011.json",
]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_everything_of_the_real_bundles_comes_through(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository")
    source = json.loads(path.read_bytes())["objects"]
    found, bundle = gathered(path)
    assert [one.key for one in found if one.refusal] == []
    if not any(obj["type"] == "incident" for obj in source):
        related = {
            (obj["id"], obj["source_ref"], obj["target_ref"])
            for obj in source
            if obj["type"] == "relationship"
        }
        others = {obj["id"] for obj in source if obj["type"] != "relationship"}
        assert len(found) == len(related) + len(others)
        assert {obj["id"] for obj in bundle["objects"]} >= {obj["id"] for obj in source}
    chosen = random.Random(7).sample(bundle["objects"], min(60, len(bundle["objects"])))
    assert errors(json.dumps({**bundle, "objects": chosen}).encode(), new_types=True) == []
