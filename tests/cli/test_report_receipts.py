"""`tocsin report receipts`: a line for each peer and version, however often it was sent."""

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
