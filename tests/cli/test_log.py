import json
import os
from datetime import UTC, datetime

import pytest
from tests.cli.fake_node.node import FakeNode
from tests.cli.fake_node.wire import says

from tocsin_federation.identity import extend
from tocsin_node.throwaway import MARKER


@pytest.fixture(autouse=True)
def _grown(node):
    node.grow(10)


def verify(tocsin, *args):
    return tocsin("log", "verify", "--json", *args)


def code_of(result) -> str:
    assert result.exit_code == 4, result.output
    assert result.stdout == ""
    return json.loads(result.stderr)["code"]


def test_a_sound_log_verifies(tocsin, node):
    found = json.loads(verify(tocsin).stdout)
    assert found == {
        "verified": True,
        "node_id": node.node_id,
        "org": "Fake Org",
        "origin": node.origin,
        "size": 10,
        "root": found["root"],
        "extends": None,
    }
    assert "10 entries" in tocsin("log", "verify").stdout


def test_an_empty_log_verifies(tocsin, node):
    node.leaves.clear()
    assert json.loads(verify(tocsin).stdout)["size"] == 0


def test_a_log_larger_than_a_page_verifies(tocsin, node):
    node.grow(70_000)
    assert json.loads(verify(tocsin).stdout)["size"] == 70_010
    starts = [dict(seen.query)["from"] for seen in node.seen if seen.path == "/v1/log/leaves"]
    assert starts == ["0", "65536"]


def test_the_second_look_proves_that_it_has_only_grown(tocsin, node):
    verify(tocsin)
    node.grow(7)
    assert json.loads(verify(tocsin).stdout)["extends"]["size"] == 10
    assert json.loads(verify(tocsin).stdout)["extends"]["size"] == 17


@pytest.mark.parametrize("throwaway", [True, False])
def test_what_is_remembered_of_a_throw_away_node_goes_with_it(tocsin, node, home, monkeypatch, throwaway):
    (directory := home.path / "node").mkdir()
    host, port = node.url.removeprefix("http://").split(":")
    (directory / "node.toml").write_text(f'[node]\nhost = "{host}"\nport = {port}\n')
    if throwaway:
        (directory / MARKER).touch()
    monkeypatch.delenv("TOCSIN_URL")
    monkeypatch.setenv("TOCSIN_DIR", str(directory))
    verify(tocsin)
    assert json.loads(verify(tocsin).stdout)["extends"]["size"] == 10
    assert (directory / "heads").exists() is throwaway
    assert (home.state / "heads").exists() is not throwaway


def test_a_changed_leaf_is_found(tocsin, node):
    note = node.checkpoint()
    node.leaves[4] = bytes(32)
    node.fault("GET", "/v1/log/checkpoint", says(note, content_type="text/plain"))
    assert code_of(verify(tocsin)) == "root-mismatch"


def test_a_rewritten_past_is_found_although_it_is_signed_anew(tocsin, node, home):
    verify(tocsin)
    node.leaves[4] = bytes(32)
    node.grow(5)
    result = verify(tocsin)
    assert code_of(result) == "log-rewritten"
    (kept,) = (home.state / "evidence").glob("*.json")
    evidence = json.loads(kept.read_text())
    assert node.origin in evidence["held"]
    assert node.origin in evidence["offered"]
    assert str(kept) in json.loads(result.stderr)["hint"]


def test_a_past_rewritten_at_the_same_size_is_found(tocsin, node):
    verify(tocsin)
    node.leaves[9] = bytes(32)
    assert code_of(verify(tocsin)) == "log-rewritten"


def test_a_log_that_shrank_is_found(tocsin, node):
    verify(tocsin)
    del node.leaves[5:]
    assert code_of(verify(tocsin)) == "log-rolled-back"


@pytest.mark.parametrize("body", [b"", b"\0" * 31, b"\0" * 9 * 32])
def test_missing_leaves_are_found(tocsin, node, body):
    node.fault("GET", "/v1/log/leaves", says(body, content_type="application/octet-stream"))
    assert code_of(verify(tocsin)) == "leaves-missing"


def test_a_checkpoint_by_another_key_is_found(tocsin, node):
    other = FakeNode()
    forged = node.checkpoint().replace(node.origin.encode(), other.origin.encode())
    for note, code in (
        (other.checkpoint(), "note-unsigned"),
        (forged, "note-unsigned"),
        (node.checkpoint().replace(b"\n10\n", b"\n11\n"), "bad-signature"),
        (b"", "note-malformed"),
        (b"\xff" * 100, "note-malformed"),
    ):
        node.fault("GET", "/v1/log/checkpoint", says(note, content_type="text/plain"))
        assert code_of(verify(tocsin)) == code


def test_another_node_than_the_one_expected_is_found(tocsin, node):
    assert verify(tocsin, "--node-id", node.node_id).exit_code == 0
    assert code_of(verify(tocsin, "--node-id", FakeNode().node_id)) == "wrong-node"


def test_keys_that_the_statements_do_not_vouch_for_are_found(tocsin, node):
    node.vkey = FakeNode().vkey
    assert code_of(verify(tocsin)) == "log-not-vouched-for"


def test_a_chain_that_is_cut_back_is_found_and_one_that_grew_is_not(tocsin, node):
    first = list(node.chain)
    _, statement = extend(node.chain, root_private=node.keys.next_root, now=datetime.now(UTC), rng=os.urandom)
    node.chain.append(statement)
    assert verify(tocsin).exit_code == 0
    node.chain = first
    assert code_of(verify(tocsin)) == "chain-stale"


def test_a_new_generation_of_the_log_is_begun_anew(tocsin, node):
    verify(tocsin)
    keys, statement = extend(
        node.chain, root_private=node.keys.next_root, now=datetime.now(UTC), rng=os.urandom, replace=["log"]
    )
    node.chain.append(statement)
    node.adopt_chain()
    object.__setattr__(node.keys, "log", keys.log)
    node.leaves.clear()
    assert json.loads(verify(tocsin).stdout)["extends"] is None


@pytest.mark.parametrize("chain", [[], ["!"], ["AAAA"], [3], "x", None])
def test_a_chain_that_is_none_is_not_verified_or_not_understood(tocsin, node, chain):
    body = json.dumps({"origin": node.origin, "vkey": node.vkey, "chain": chain}).encode()
    node.fault("GET", "/v1/log/keys", says(body))
    result = verify(tocsin)
    assert result.exit_code in {1, 4}
    assert result.exit_code == 4 or json.loads(result.stderr)["code"] == "answer-broken"


def test_a_memory_that_cannot_be_read_is_not_passed_over(tocsin, node, home):
    verify(tocsin)
    (path,) = (home.state / "heads").glob("*.json")
    path.write_text("{}")
    result = verify(tocsin)
    assert result.exit_code == 1
    assert str(path) in json.loads(result.stderr)["detail"]


@pytest.mark.parametrize("node_id", ["", "n1", "n1abc", "fred"])
def test_what_is_no_node_id_is_usage_and_nothing_is_asked(tocsin, node, node_id):
    result = tocsin("log", "verify", "--node-id", node_id)
    assert result.exit_code == 2
    assert "is not a NodeID" in result.stderr
    assert node.seen == []
