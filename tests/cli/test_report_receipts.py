"""`tocsin report receipts`: a line for each peer and version, however often it was sent."""

import json

from tests.cli.fake_node.wire import says

from tocsin_cli.commands.report_receipts import standing


def item(stage, *, index, node="n1", ver=1, kind="report", code=None):
    return {"peer": {"node_id": node}, "kind": kind, "ver": ver, "stage": stage, "code": code, "index": index}


def stages(*items):
    return [(one["stage"], one["index"]) for one in standing(items)]


def test_what_was_said_anew_to_a_peer_that_has_it_stays_as_far_as_it_was():
    assert stages(item("alerted", index=1), item("unchanged", index=7)) == [("alerted", 1)]


def test_what_was_said_anew_and_is_under_way_is_not_there_yet():
    assert stages(item("alerted", index=1), item("queued", index=7)) == [("queued", 7)]


def test_what_was_refused_at_first_and_was_there_by_the_second_time_is_there():
    assert stages(item("quarantined", index=1, code="bad-wrap"), item("unchanged", index=7)) == [
        ("unchanged", 7)
    ]


def test_versions_kinds_and_peers_are_told_apart():
    items = [
        item("stored", index=1),
        item("stored", index=2, ver=2),
        item("stored", index=3, kind="call"),
        item("stored", index=4, node="n2"),
    ]
    assert stages(*items) == [("stored", 1), ("stored", 2), ("stored", 3), ("stored", 4)]


def test_who_got_it_through_a_peer_stands_below_that_peer(tocsin, node):
    report_id = "incident--00000000-0000-4000-8000-000000000001"
    at = "2026-11-20T10:00:00Z"
    fir, oak = {"name": "fir", "node_id": "n1f"}, {"name": "n1oak", "node_id": "n1o"}
    known = ("queued_at", "sent_at", "verified_at", "outcome_at", "alerted_at", "acknowledged_at")
    items = [
        {"peer": one, "kind": "report", "ver": 1, "stage": "stored", "code": None, "outcome": "stored"}
        | dict.fromkeys(known, at)
        for one in (fir, {"name": "elm", "node_id": "n1e"})
    ]
    beyond = [
        {"by": fir | {"ours": False}, "peer": oak, "ver": ver, "stage": stage, "since": at, "code": None}
        for ver, stage in ((1, "passed-on"), (2, "purged"))
    ]
    found = {"items": items, "recalls": [], "passed_on": [], "readers": beyond}
    node.fault("GET", f"/v1/reports/{report_id}/receipts", says(json.dumps(found).encode()))
    lines = tocsin("report", "receipts", report_id).stdout.splitlines()[1:]
    assert [line.split("  ")[0] for line in lines] == ["fir", "n1oak, through fir", "elm"]
    assert "purged" in lines[1]
    older = {**found, "readers": [], "passed_on": [{"by": fir, "ver": 1, "to": [oak], "at": at}]}
    node.fault("GET", f"/v1/reports/{report_id}/receipts", says(json.dumps(older).encode()))
    assert "passed on" in tocsin("report", "receipts", report_id).stdout
