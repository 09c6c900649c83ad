"""What the import doors gave, as one bundle: the same reports when it is read again, and memory stays flat."""

import io
import json
import random
import tracemalloc

import pytest
from tests.schema.exports.reports import report
from tests.schema.samples import DATA, MINIMAL_RAW
from tests.schema.test_validator import errors

from tocsin_schema.artefacts import announcements
from tocsin_schema.exports.stix import bundle
from tocsin_schema.imports import aiid, atlas, avid, stix
from tocsin_schema.merge import Merger


def gather(*bundles):
    """(the one bundle's bytes, how many reports come along whole, how many versions claim one time)."""
    with Merger() as merger:
        merger.add(announcements())
        for raw in bundles:
            merger.add_report(report(raw))
        merger.complete()
        return b"".join(bundle(merger)), merger.carried, merger.differing


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


DOORS = {
    "aiid/incidents.csv": aiid.read,
    "avid/reports.jsonl": avid.read,
    "avid/vulnerabilities.jsonl": avid.read,
    "atlas/ATLAS.yaml": atlas.read,
}


@pytest.mark.parametrize(("name", "door"), DOORS.items())
def test_what_was_imported_is_imported_again_byte_for_byte(name, door):
    bundles = real(name, door)
    raw, carried, _ = gather(*bundles)
    assert again(raw) == set(bundles)
    assert (
        carried <= len(bundles) / 50
    )  # a few share a name spelt otherwise; the rest comes together from its objects


def test_all_collections_in_one_bundle_come_back_byte_for_byte():
    bundles = [raw for name, door in DOORS.items() for raw in real(name, door)]
    raw, carried, _ = gather(*bundles)
    assert again(raw) == set(bundles)
    assert 0 < carried <= len(bundles) / 50


def test_no_two_spellings_of_a_party_claim_one_version():
    versions: dict[tuple[str, str], set[str]] = {}
    for name, door in DOORS.items():
        for raw in real(name, door):
            for obj in json.loads(raw)["objects"]:
                if obj["type"] == "identity":
                    versions.setdefault((obj["id"], obj["modified"]), set()).add(json.dumps(obj))
    assert len(versions) > 1_000
    assert [spelt for spelt in versions.values() if len(spelt) > 1] == []


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
