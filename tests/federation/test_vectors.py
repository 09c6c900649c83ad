"""Every vector in federation/vectors: what is given, given to its check, must be answered as the file says."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from tests.federation.vector_checks import CHECKS, unpacked

from tocsin_federation import errors
from tocsin_federation.errors import FederationError
from tocsin_federation.frames import FrameReader

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "federation" / "vectors"
FILES = sorted(FOLDER.glob("*/*.json"))


OF_REMARKS = {"foreign-creator", "unknown-report", "not-recipient", "marking-looser"}
OF_ERASED = {"erased"}
OF_CIRCLES = {"circle-awaited", "circle-frozen", "not-member", "above-circle", "epoch-ended"}
OF_CALLS = {"call-changed", "already-stood-down"}
OF_PASSING_ON = {"unproven", "onward-forbidden", "onward-off"}


def test_there_are_vectors():
    assert len(FILES) > 200


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_check_answers_as_the_vector_says(path):
    vector = json.loads(path.read_text(encoding="utf-8"))
    assert vector["check"] == path.parent.name
    given = unpacked(vector["given"])
    if vector["expect"] == "ok":
        CHECKS[vector["check"]](given)
        return
    with pytest.raises(FederationError) as refused:
        CHECKS[vector["check"]](given)
    assert refused.value.code == vector["expect"]


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name == "frames"], ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_frames_are_judged_alike_when_they_come_byte_by_byte(path):
    vector = json.loads(path.read_text(encoding="utf-8"))
    given = unpacked(vector["given"])
    reader, body, frames, answer = FrameReader(start=given["start"]), given["body"], [], "ok"
    try:
        for i in range(len(body)):
            frames += reader.feed(body[i : i + 1])
        reader.finish()
    except FederationError as exc:
        answer = exc.code
    assert answer == vector["expect"]
    if answer == "ok":
        assert frames == FrameReader(start=given["start"]).feed(body)


def test_every_refusal_of_these_checks_has_a_vector():
    """But for those that other tests reach: what `admit` and `decide` refuse, and a node's own mistakes."""
    refused = {(p.parent.name, json.loads(p.read_text())["expect"]) for p in FILES}
    elsewhere = {
        "CanonicalRefused": {"outside-profile", "wrong-form"},
        "KeyRefused": {"key-mismatch", "bad-wrap", "node-id-malformed"},
        "IdentityRefused": {"root-private-mismatch", "fields-invalid", "no-enc-key"},
        "EntryRefused": {
            "content-invalid", "personal-data", "inner-mismatch", "tlp-unknown", "tlp-mismatch", "peer-inactive",
            "above-ceiling", "not-owner", "version-conflict", "already-withdrawn", "not-ours", *OF_REMARKS, *OF_CALLS,
            *OF_PASSING_ON, "complaint-unfounded", *OF_CIRCLES, *OF_ERASED, "too-many-circles",
        },
        "WitnessRefused": {"origin-unknown"},
        "HandshakeRefused": {"invite-ttl", "bad-proof", "nonce-changed", "handshake-malformed"},
    }  # fmt: skip
    for check, name in (
        ("canonical", "CanonicalRefused"),
        ("key", "KeyRefused"),
        ("identity", "IdentityRefused"),
        ("checkpoint", "CheckpointRefused"),
        ("entry", "EntryRefused"),
        ("frames", "FramesRefused"),
        ("request", "AuthRefused"),
        ("invite", "HandshakeRefused"),
        ("proof", "ProofRefused"),
        ("witness", "WitnessRefused"),
        ("circle", "CircleRefused"),
        ("heads", "GossipRefused"),
        ("compare", "CompareRefused"),
    ):
        codes = set(getattr(errors, name).reasons) - elsewhere.get(name, set())
        answers = {code for where, code in refused if where == check and code != "ok"}
        assert codes == (answers & codes if check == "proof" else answers), check
        assert (check, "ok") in refused


DOOR = {"wrong-origin", "not-addressed", "header-invalid", "peer-inactive", "ok"}
OPENED = {
    "report": DOOR
    | {"inner-mismatch", "tlp-mismatch", "foreign-creator", "above-ceiling", "not-owner", "version-conflict"}
    | {"already-withdrawn"},
    "acknowledgement": DOOR | {"content-invalid", "unsupported", "inner-mismatch"},
    "answer": DOOR | {"content-invalid", "unsupported", "inner-mismatch"},
    "remark": DOOR | OF_REMARKS | {"inner-mismatch", "tlp-mismatch", "above-ceiling"},
    "call": DOOR
    | OF_CALLS
    | {"inner-mismatch", "above-ceiling", "content-invalid", "unsupported", "unknown-report", "not-owner"}
    | {"marking-looser", "already-withdrawn", "version-conflict"},
    "share": DOOR | OF_PASSING_ON | {"inner-mismatch", "content-invalid", "above-ceiling", "unsupported"},
    "complaint": DOOR | {"inner-mismatch", "content-invalid", "unproven", "complaint-unfounded"},
    "addressed": OF_CIRCLES | {"ok"},
    "manifest": DOOR
    | {"circle-malformed", "circle-unsupported", "circle-unsigned", "circle-broken", "circle-forked"}
    | {"inner-mismatch", "content-invalid", "not-member"},
    "receipt": DOOR | {"inner-mismatch", "content-invalid", "unsupported", "not-ours"},
    "recall": DOOR | {"inner-mismatch", "content-invalid", "unsupported", "not-owner"},
    "evidence": {"proof-malformed", "proof-mismatch", "note-unsigned", "bad-signature", "wrong-node", "ok"},
    "cosignature": {"note-unsigned", "ok"},
    "handshake": {"bad-proof", "nonce-changed", "handshake-malformed", "ok"},
}


@pytest.mark.parametrize("kind", OPENED)
def test_every_refusal_of_what_is_read_after_it_was_opened_has_a_vector(kind):
    answers = {json.loads(path.read_text())["expect"] for path in FILES if path.parent.name == kind}
    assert answers == OPENED[kind]


def test_every_code_that_bytes_alone_bring_about_has_a_vector():
    """But for those that rest on what a reader's store or log holds, and mistakes of its own."""
    text = (ROOT / "federation" / "PROTOCOL.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Za-z]+)` \| (.*) \|$", text.partition("## Codes")[2], re.MULTILINE)
    told = {
        code for kind, row in rows if kind not in OWN for code in re.findall(r"`([a-z-]+)`(?! \(own)", row)
    }
    found = {json.loads(path.read_text())["expect"] for path in FILES} - {"ok"}
    assert found | BY_WHAT_IS_HELD | {"wrong-form"} == told | {"tlp-unknown"}
    assert not found & BY_WHAT_IS_HELD


OWN = {"SealRefused", "AuditRefused"}
BY_WHAT_IS_HELD = {
    "log-rollback", "log-fork", "log-growth", "log-root",  # following a log
    "erased", "too-many-circles", "origin-unknown", "no-enc-key",
    "personal-data", "tlp-unknown",  # the incident profile refuses it before
    "node-id-malformed",  # in messages the form that it stands in is refused
}  # fmt: skip


def test_the_vectors_are_what_the_script_makes():
    with _workshop() as make:
        made = {case.path(FOLDER): case.text() for case in make.cases()}
    assert set(made) == set(FILES)
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"run {FOLDER.name}/make.py: {path}"


def test_made_from_nothing_only_the_wraps_differ(tmp_path):
    with _workshop() as make:
        for case in make.cases(tmp_path):
            kept = json.loads(case.path(FOLDER).read_text(encoding="utf-8"))
            made = json.loads(case.text())
            if kept["given"].get("wrap") != made["given"].get("wrap"):
                assert kept["check"] == "entry"
                kept["given"]["wrap"] = made["given"]["wrap"]
            assert kept == made


def test_the_salamander_is_real():
    """One ciphertext, authentic under two keys, with two texts: the cipher alone would deliver both."""
    import nacl.bindings as sodium

    with _workshop():
        sealing = importlib.import_module("workshop.sealing")
        first, second = sealing.salamander()
        facts = sealing.FACTS.encode(sealing.facts_of(first.header))
        texts = []
        for entry in (first, second):
            key, _ = sealing.derive(entry.data_key, facts)
            texts.append(
                sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(entry.sealed.ct, None, bytes(24), key)
            )
    assert first.sealed.leaf == second.sealed.leaf
    assert b'"severity":"critical"' in texts[0]
    assert b'"severity":"critical"' not in texts[1]
    assert b'"severity":"low"' in texts[1]
    assert b'"severity":"low"' not in texts[0]


@contextmanager
def _workshop() -> Iterator[ModuleType]:
    """The script that makes the vectors, imported from its folder."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("make")
    finally:
        sys.path.remove(str(FOLDER))
        for name in [n for n in sys.modules if n == "make" or n.partition(".")[0] == "workshop"]:
            del sys.modules[name]
