"""Cosignatures on a proof count when their keys are named, and too few fail the command."""

import json
from base64 import b64decode
from dataclasses import replace

import pytest
from tests.federation.nodes import B_KEYS, A, B, C, make
from tests.federation.test_proof import proof
from tests.house.repository import ROOT

from tocsin_cli.commands.proof import _KINDS
from tocsin_federation.checkpoint import checkpoint_text, open_checkpoint
from tocsin_federation.cosignature import cosign, with_lines
from tocsin_federation.keys import VKEY_COSIGNATURE, decode_vkey
from tocsin_federation.messages import KINDS
from tocsin_federation.onward import read_complaint
from tocsin_federation.proof import write_proof

AT = 1_772_452_800
NAMES = {node: decode_vkey(node.statement.wit, VKEY_COSIGNATURE).name for node in (B, C)}


@pytest.fixture
def cosigned(home):
    """A proof whose checkpoint two witnesses have cosigned."""
    bare = proof()
    text = checkpoint_text(open_checkpoint(bare.note, A.statement.log.vkey))
    keys = {B: B_KEYS, C: make("gamma")[0]}
    lines = [cosign(text, NAMES[node], keys[node].witness, at=AT) for node in (B, C)]
    return str(home.file("proof", write_proof(replace(bare, note=with_lines(bare.note, lines)))))


def test_witnesses_that_are_named_are_verified_and_others_are_not_believed(tocsin, cosigned):
    result = tocsin("proof", "verify", cosigned, "--witness", B.statement.wit)
    assert result.exit_code == 0
    assert f"{NAMES[B]} (2026-03-02" in result.stdout
    assert f"{NAMES[C]} (not verified" in result.stdout
    found = json.loads(tocsin("proof", "verify", cosigned, "--witness", B.statement.wit, "--json").stdout)
    assert found["cosigned"] == [
        {"witness": NAMES[B], "vkey": B.statement.wit, "at": "2026-03-02T12:00:00.000Z"}
    ]


def test_fewer_than_required_is_not_verified(tocsin, cosigned):
    both = ["--witness", B.statement.wit, "--witness", C.statement.wit]
    assert tocsin("proof", "verify", cosigned, *both, "--require", "2").exit_code == 0
    for args in (
        [*both, "--require", "3"],
        ["--require", "1"],
        ["--witness", A.statement.wit, "--require", "1"],
    ):
        result = tocsin("proof", "verify", cosigned, *args)
        assert (result.exit_code, result.stdout) == (4, "")
        assert "[too-few-witnesses]" in result.stderr


def test_a_proof_that_does_not_hold_says_what_to_do_with_the_file_and_blames_nobody(tocsin, home, cosigned):
    raw = (home.path / "proof").read_bytes()
    for spoilt in (raw.replace(b"\nindex ", b"\nindex 9"), b"no proof at all", raw[:200]):
        result = tocsin("proof", "verify", str(home.file("spoilt", spoilt)))
        assert (result.exit_code, result.stdout) == (4, "")
        assert "Believe nothing that this file says" in result.stderr
    other = tocsin("proof", "verify", cosigned, "--node-id", B.node_id)
    assert "[wrong-node]" in other.stderr
    assert "Compare --node-id" in other.stderr


def test_a_key_of_another_kind_is_usage(tocsin, cosigned):
    for key in ("nonsense", A.statement.log.vkey):
        assert tocsin("proof", "verify", cosigned, "--witness", key).exit_code == 2


def test_the_peers_of_ones_own_node_are_witnesses_when_asked_for(tocsin, node, cosigned):
    node.add_peer("beta", witness=True, witness_key=B.statement.wit)
    node.add_peer("gamma", witness=False, witness_key=C.statement.wit)
    assert tocsin("proof", "verify", cosigned, "--peers", "--require", "1").exit_code == 0
    assert tocsin("proof", "verify", cosigned, "--peers", "--require", "2").exit_code == 4


def test_the_proof_of_what_was_passed_on_says_whose_it_is_and_how_it_was_marked(tocsin, home):
    path = ROOT / "federation/vectors/complaint/valid.json"
    given = json.loads(path.read_text(encoding="utf-8"))["given"]
    content = given["content"]
    raw = content["utf8"].encode() if "utf8" in content else b64decode(content["base64"])
    shown = read_complaint(raw)
    told = tocsin("proof", "verify", str(home.file("share", write_proof(shown)))).stdout
    assert "a report of another's that it passes on" in told
    assert "calls itself Alder Institute), TLP:AMBER+STRICT" in told
    assert "not said to be for clients" in told
    bare = replace(shown, disclosed=None)
    told = tocsin("proof", "verify", str(home.file("bare", write_proof(bare)))).stdout
    assert "Passes on" in told
    assert "not disclosed" in told


def test_every_kind_of_entry_has_a_name():
    assert set(_KINDS) == KINDS
