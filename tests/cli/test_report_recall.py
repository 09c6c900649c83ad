"""`tocsin report recall` and `erase`: what is said when there is nobody left to tell."""

import pytest
from aiohttp import web

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
