"""`tocsin peer verify`: one look says whether both hold the same, and a table says where not."""

import json

from aiohttp import web

SAME = {
    "same": True, "head": "same", "size": 1200, "their_size": 1200, "compared": 1200, "waiting": 0, "held": 7, "asked": 1,
    "complete": True, "trouble": None, "differences": [], "kept_out": [],
}  # fmt: skip
REPORT = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"


def says(**sides):
    """What the node answers."""
    found = {"name": "beta", "same": all(s["same"] for s in sides.values()), **sides}

    async def fault(_request, _handler):
        return web.json_response(found)

    return fault


def test_the_same_is_said_in_a_word_and_ends_well(tocsin, node):
    node.add_peer("beta")
    node.fault("GET", "/v1/peers/beta/verify", says(their_log=SAME, our_log=SAME))
    result = tocsin("peer", "verify", "beta")
    assert result.exit_code == 0, result.output
    assert "Both hold the same." in result.stderr
    assert "1200 places, 7 entries held here, 1 question\n" in result.stdout


def test_what_differs_is_listed_with_its_reason_and_what_to_do_and_ends_with_4(tocsin, node):
    node.add_peer("beta")
    refused = {
        "index": 41, "report_id": REPORT, "here": "sealed", "there": "refused", "code": "above-ceiling", "remedy": "none",
        "repaired": False, "note": None,
    }  # fmt: skip
    missing = refused | {
        "index": 42,
        "report_id": None,
        "here": None,
        "there": "sealed",
        "code": None,
        "remedy": "fetch",
    }
    theirs = SAME | {"same": False, "head": "we-are-behind", "waiting": 3, "differences": [missing]}
    ours = SAME | {"same": False, "trouble": "cannot-compare", "differences": [refused]}
    for flags, method in (([], "GET"), (["--repair"], "POST")):
        node.fault(method, "/v1/peers/beta/verify", says(their_log=theirs, our_log=ours))
        result = tocsin("peer", "verify", "beta", *flags)
        assert result.exit_code == 4
        assert "[not-the-same]" in result.stderr
        for words in (
            REPORT,
            "refused (above-ceiling)",
            "a rule forbids it",
            "fetch it again",
            "3 places",
            "updated",
        ):
            assert words in result.stdout, words
    node.fault("GET", "/v1/peers/beta/verify", says(their_log=theirs, our_log=ours))
    result = tocsin("peer", "verify", "beta", "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["our_log"]["trouble"] == "cannot-compare"


def test_what_people_erased_is_told_apart_and_is_no_difference(tocsin, node):
    node.add_peer("beta")
    erased = {
        "index": 2, "report_id": None, "here": "refused", "there": "sealed", "code": "erased", "remedy": "kept-out",
        "repaired": False, "note": None,
    }  # fmt: skip
    theirs = erased | {"report_id": REPORT, "here": "sealed", "there": "refused"}
    sides = {"their_log": SAME | {"kept_out": [erased]}, "our_log": SAME | {"kept_out": [theirs]}}
    node.fault("GET", "/v1/peers/beta/verify", says(**sides))
    result = tocsin("peer", "verify", "beta")
    assert result.exit_code == 0, result.output
    assert "but for 2 entries that people erased and keep out." in result.stderr
    assert "refused (erased)" in result.stdout
    assert "sealed (erased)" not in result.stdout
    assert "tocsin report blocklist list" in result.stdout
    assert "they erased it, and keep it out" in result.stdout
