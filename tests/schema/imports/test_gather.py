"""Many records as one bundle: each object once, the same bytes each time, and the same reports when it is read again."""

import io
import json
import random
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schema.samples import DATA, FULL, FULL_RAW, MINIMAL_RAW, build, parsed
from tests.schema.strategies import extensions
from tests.schema.test_validator import errors

from tocsin_schema import canonical, ids
from tocsin_schema.errors import FormRefused
from tocsin_schema.imports import aiid, atlas, avid, stix
from tocsin_schema.imports.gather import Gathering
from tocsin_schema.imports.record import Passed, Record


def gather(*bundles):
    """(the one bundle's bytes, how many versions gave way)."""
    with Gathering() as gathering:
        for raw in bundles:
            gathering.add(Record("x", raw))
        return b"".join(gathering.bundle()), gathering.differing


def again(raw):
    return {record.bundle for record in stix.read(io.BytesIO(raw))}


SECOND_RAW = build(FULL, incident_id="incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77")


def test_each_object_stands_in_the_bundle_once_and_the_bytes_are_canonical():
    raw, differing = gather(FULL_RAW, SECOND_RAW)
    bundle = json.loads(raw)
    names = [obj["id"] for obj in bundle["objects"]]
    assert len(names) == len(set(names))
    assert set(names) == {obj["id"] for one in (FULL_RAW, SECOND_RAW) for obj in parsed(one)["objects"]}
    assert len(names) < sum(len(parsed(one)["objects"]) for one in (FULL_RAW, SECOND_RAW))
    assert differing == 0
    assert raw == canonical.to_bytes(bundle) + b"\n"
    assert errors(raw) == []


def test_the_same_records_give_the_same_bytes_and_others_another_identifier():
    assert gather(FULL_RAW, SECOND_RAW) == gather(FULL_RAW, SECOND_RAW)
    assert json.loads(gather(FULL_RAW)[0])["id"] != json.loads(gather(SECOND_RAW)[0])["id"]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_versions_the_later_one_is_kept(turned):
    old = {
        "type": "tool",
        "id": ids.derive("tool", "t"),
        "modified": "2024-01-01T00:00:00.000Z",
        "name": "old",
    }
    new = {**old, "modified": "2024-02-01T00:00:00.000Z", "name": "new"}
    with Gathering() as gathering:
        for obj in [new, old] if turned else [old, new]:
            gathering.add(Passed("x", (obj,)))
        assert json.loads(b"".join(gathering.bundle()))["objects"] == [new]
        assert (gathering.objects, gathering.differing) == (1, 1)


def test_of_two_that_are_equally_late_the_first_is_kept():
    one = {"type": "tool", "id": ids.derive("tool", "t"), "name": "b"}
    with Gathering() as gathering:
        gathering.add(Passed("x", (one, {**one, "name": "a"})))
        assert json.loads(b"".join(gathering.bundle()))["objects"] == [one]


def test_nothing_gives_no_bundle():
    with Gathering() as gathering:
        gathering.add(Record("x", None))
        assert list(gathering.bundle()) == []


forms = st.builds(
    lambda facts, text, tlp, parties, systems: {
        **facts, "title": text, "description": text, "tlp": tlp, "developers": parties, "systems": systems,
    },
    extensions,
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(lambda text: not text.isspace()),
    st.sampled_from(["clear", "green", "amber", "amber+strict", "red"]),
    st.lists(st.sampled_from(["Acme", "Examplia", "North"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([{"name": "Chat"}, {"name": "Chat", "vendor": "Acme"}]), min_size=1, max_size=2, unique_by=str),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(forms, min_size=1, max_size=4))
def test_any_valid_report_survives_export_and_import(drawn):
    raws = set()
    for number, form in enumerate(drawn):
        try:
            raws.add(build(form, incident_id=f"incident--6f1d3c52-7a0e-4c5b-9f43-{number:012}"))
        except FormRefused:
            continue
    if raws:
        raw, differing = gather(*sorted(raws))
        assert differing == 0
        assert again(raw) == raws


def test_memory_does_not_grow_with_the_records():
    def peak(number):
        tracemalloc.start()
        try:
            with Gathering() as gathering:
                for index in range(number):
                    changed = MINIMAL_RAW.replace(
                        b"5ee864f7-a0d5-4b08-9887-", f"5ee864f7-a0d5-4b08-{9000 + index}-".encode()
                    )
                    gathering.add(Record("x", changed))
                size = sum(len(piece) for piece in gathering.bundle())
            return tracemalloc.get_traced_memory()[1], size
        finally:
            tracemalloc.stop()

    peak(10)
    (small, _), (large, size) = peak(50), peak(900)
    assert large < small + size / 4


# --- the real ones


def real(name, door):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository")
    with path.open("rb") as stream:
        return [record.bundle for record in door(stream)]


@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("aiid/incidents.csv", aiid.read),
        ("avid/vulnerabilities.jsonl", avid.read),
        ("atlas/ATLAS.yaml", atlas.read),
        ("atlas/opencti-bundles/AMLCS0010.json", stix.read),
    ],
)
def test_what_was_imported_is_imported_again_byte_for_byte(name, door):
    bundles = real(name, door)
    raw, differing = gather(*bundles)
    assert differing == 0
    assert again(raw) == set(bundles)


def test_of_the_real_flaws_only_those_that_share_a_name_spelt_otherwise_change():
    bundles = real("avid/reports.jsonl", avid.read)
    raw, differing = gather(*bundles)
    read = again(raw)
    assert len(read) == len(bundles)
    assert len(set(bundles) - read) <= differing


@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("avid/reports.jsonl", avid.read),
        ("avid/vulnerabilities.jsonl", avid.read),
        ("atlas/ATLAS.yaml", atlas.read),
    ],
)
def test_a_sample_of_the_real_ones_is_valid_stix(name, door):
    bundles = real(name, door)
    for raw in random.Random(3).sample(bundles, 8):
        assert errors(raw) == []
