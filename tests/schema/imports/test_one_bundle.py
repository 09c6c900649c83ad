"""What the import doors gave, as one bundle: the same reports when it is read again, and memory stays flat."""

import io
import json
import random
import tracemalloc

import pytest
from tests.schema.samples import DATA, MINIMAL_RAW
from tests.schema.test_validator import errors

from tocsin_schema.artefacts import announcements
from tocsin_schema.exports.stix import bundle
from tocsin_schema.imports import aiid, atlas, avid, stix
from tocsin_schema.merge import Merger


def gather(*bundles):
    """(the one bundle's bytes, how many objects gave way to another version or description)."""
    with Merger() as merger:
        merger.add(announcements())
        for raw in bundles:
            merger.add(raw)
        return b"".join(bundle(merger)), merger.older + merger.differing


def again(raw):
    return {record.bundle for record in stix.read(io.BytesIO(raw))}


def test_memory_does_not_grow_with_the_records():
    def peak(number):
        tracemalloc.start()
        try:
            with Merger() as merger:
                for index in range(number):
                    changed = MINIMAL_RAW.replace(
                        b"5ee864f7-a0d5-4b08-9887-", f"5ee864f7-a0d5-4b08-{9000 + index}-".encode()
                    )
                    merger.add(changed)
                size = sum(len(piece) for piece in bundle(merger))
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
    ],
)
def test_what_was_imported_is_imported_again_byte_for_byte(name, door):
    bundles = real(name, door)
    raw, differing = gather(*bundles)
    assert differing == 0
    assert again(raw) == set(bundles)


def test_of_the_real_flaws_only_those_that_share_a_name_spelt_otherwise_change():
    bundles = real("avid/reports.jsonl", avid.read)
    spelt: dict[str, set[str]] = {}
    for raw in bundles:
        for obj in json.loads(raw)["objects"]:
            spelt.setdefault(obj["id"], set()).add(json.dumps(obj))
    several = {name for name, spellings in spelt.items() if len(spellings) > 1}
    raw, given_way = gather(*bundles)
    assert 0 < len(several) <= given_way
    read = again(raw)
    assert len(read) == len(bundles)
    for changed in set(bundles) - read:
        assert several & {obj["id"] for obj in json.loads(changed)["objects"]}


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
