import itertools
import json

from tests.schema.samples import FULL, FULL_RAW, LATER, MINIMAL_RAW, build, parsed

from tocsin_schema import stix
from tocsin_schema.merge import Merger

OTHER = "incident--6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77"
OTHER_RAW = build(FULL, OTHER)
LATER_RAW = stix.revise(FULL_RAW, {"report_status": "resolved"}, now=LATER)


def merged(*bundles):
    with Merger() as merger:
        for bundle in bundles:
            merger.add(bundle)
        return list(merger.objects()), merger.differing


def test_what_two_reports_share_is_there_once():
    objects, differing = merged(FULL_RAW, OTHER_RAW)
    ids = [obj["id"] for obj in objects]
    assert len(ids) == len(set(ids))
    assert {obj["id"] for raw in (FULL_RAW, OTHER_RAW) for obj in parsed(raw)["objects"]} == set(ids)
    assert differing == 0


def test_the_latest_version_of_an_object_is_kept_in_whatever_order_they_come():
    for order in itertools.permutations((FULL_RAW, LATER_RAW)):
        objects, differing = merged(*order)
        incident = next(obj for obj in objects if obj["type"] == "incident")
        assert incident in parsed(LATER_RAW)["objects"]
        assert differing == 0


def test_of_two_descriptions_of_a_system_the_one_changed_last_is_kept_and_counted():
    one, two = parsed(FULL_RAW), parsed(stix.revise(OTHER_RAW, {"report_status": "resolved"}, now=LATER))
    old, new = (next(o for o in b["objects"] if o["type"] == "software") for b in (one, two))
    new["languages"] = ["de"]
    old["languages"] = ["fr"]
    for order in itertools.permutations((json.dumps(one).encode(), two)):
        objects, differing = merged(*order)
        assert next(obj for obj in objects if obj["id"] == new["id"])["languages"] == ["de"]
        assert differing == 1


def test_bytes_bundles_and_bare_objects_are_taken_alike():
    assert merged(MINIMAL_RAW) == merged(parsed(MINIMAL_RAW)) == merged(parsed(MINIMAL_RAW)["objects"])


def test_nothing_is_left_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Merger() as merger:
        merger.add(FULL_RAW)
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
