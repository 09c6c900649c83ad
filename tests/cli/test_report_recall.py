"""`tocsin report recall`, `erase` and `recalls`: who is told, who has not confirmed, and of which report."""

import json
import re

import pytest
from aiohttp import web
from tests.cli.fake_node.wire import says
from tests.cli.test_report_submit import FORM

REPORT = "incident--6f2d7a0e-8a3c-4a53-9f58-0d8a1c8a2f10"
WHY = ("--by", "Ann Lee", "--reason", "asked to", "--yes")


@pytest.mark.parametrize(
    ("peers", "told", "following"),
    [
        ([], "nobody: no peer has it from us", "tocsin report blocklist list"),
        ([{"name": "beta", "node_id": "n1"}], "beta", f"tocsin report receipts {REPORT}"),
    ],
)
def test_erasing_says_who_is_told_and_where_to_look(tocsin, node, peers, told, following):
    async def say(request, _handler):
        dry = (await request.json()).get("dry_run")
        return web.json_response(
            {
                "report_id": REPORT,
                "outcome": "dry-run" if dry else "erased",
                "peers": peers,
                "deadline": "2027-01-01T00:00:00Z",
                "redactions": [],
            }
        )

    for _ in range(2):
        node.fault("POST", f"/v1/reports/{REPORT}/erase", say)
    done = tocsin("report", "erase", REPORT, *WHY)
    assert done.exit_code == 0, done.output
    assert told in done.stdout
    assert ("Until" in done.stdout) == bool(peers)
    assert f"Next: {following}" in done.stderr


def ours(**facts):
    given = {
        "recall": "8f0c7f34-9f5c-4c43-8a0b-3a0f6a1d5a11", "report_id": REPORT, "tag": "ab" * 32, "what": "purge",
        "tlp": "green", "reason": "asked to", "by": "Ann", "at": "2026-11-01T00:00:00Z", "erased": False,
        "deadline": "2026-11-04T00:00:00Z", "peer": {"name": "beta", "node_id": "n1"}, "stage": "purged",
        "overdue": False, "sent_at": None, "verified_at": None, "waiting_at": None, "done_at": None, "code": None,
    }  # fmt: skip
    return given | facts


def test_recalls_name_the_report_while_anything_here_does_and_whoever_is_late(tocsin, node):
    late = {"peer": {"name": "gamma", "node_id": "n2"}, "stage": "stored", "overdue": True}
    theirs = {
        "entry": "cd" * 32, "peer": {"name": "delta", "node_id": "n3"}, "what": "purge", "tlp": "green", "reason": "Mine.",
        "at": "2026-11-01T00:00:00Z", "deadline": "2026-11-04T00:00:00Z", "stored_at": "2026-11-01T00:00:00Z",
        "done_at": None, "done_by": None, "reports": [REPORT],
    }  # fmt: skip
    found = {
        "ours": [ours(**late), ours(report_id=None, erased=True), ours(report_id=None, tag="")],
        "theirs": [theirs],
        "titles": {REPORT: "Quokkaberry overdose"},
    }

    async def say(_request, _handler):
        return web.json_response(found)

    node.fault("GET", "/v1/recalls", say)
    shown = tocsin("report", "recalls")
    assert shown.exit_code == 0, shown.output
    assert f"{REPORT} (Quokkaberry overdose)" in shown.stdout
    assert "erased here (abababababab), " in shown.stdout
    assert "not known yet, since a restore" in shown.stdout
    assert "stored (overdue)" in shown.stdout
    assert "Not confirmed by the deadline: gamma." in shown.stderr
    assert f"delta takes back {REPORT} (Quokkaberry overdose): Mine." in shown.stderr
    assert f"tocsin report obey {theirs['entry']}" in shown.stderr


def test_show_says_from_whom_it_was_taken_back_and_how_far_that_is(tocsin, node):
    tocsin("report", "submit", "--file", "-", input=FORM)
    report_id = next(iter(node.reports))
    found = json.loads(tocsin("report", "show", report_id, "--json").stdout)
    since = {"at": "2026-05-05T10:00:00.000Z", "done_at": None}
    recalls = [
        {"what": "purge", "peer": {"name": "fir"}, "stage": "sent", "overdue": True, **since},
        {"what": "purge", "peer": {"name": "oak"}, "stage": "purged", "overdue": False, **since},
        {"what": "narrow", "peer": {"name": "yew"}, "stage": "narrowed", "overdue": False, **since},
    ]
    node.fault("GET", f"/v1/reports/{report_id}", says(json.dumps({**found, "recalls": recalls}).encode()))
    shown = " ".join(tocsin("report", "show", report_id).stdout.split())
    assert re.search(r"Taken back: from fir on \S+ \S+( \S+)?: sent; overdue, call them", shown)
    assert re.search(r"Taken back: from oak on \S+ \S+( \S+)?: purged", shown)
    assert re.search(r"Narrowed: at yew on \S+ \S+( \S+)?: narrowed", shown)
