"""Every vector in federation/vectors: what is given, given to its check, must be answered as the file says."""

import base64
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tocsin_federation import errors
from tocsin_federation.calls import Basis, Standing, admit_call, decide_call, read_call, refuse_baseless
from tocsin_federation.canonical import parse_canon
from tocsin_federation.checkpoint import Checkpoint, open_checkpoint
from tocsin_federation.circle import restore_circle, verify_circle
from tocsin_federation.circle_rules import admit_addressed
from tocsin_federation.envelope import open_entry
from tocsin_federation.errors import EntryRefused, FederationError
from tocsin_federation.frames import Frame, FrameReader
from tocsin_federation.gossip import read_question
from tocsin_federation.identity import verify_chain
from tocsin_federation.keys import check_public, load_enc_private, verify
from tocsin_federation.messages import read_acknowledgement, read_header
from tocsin_federation.onward import (
    admit_complaint,
    admit_share,
    read_complaint,
    read_share,
    refuse_onward,
)
from tocsin_federation.peering import parse_invite
from tocsin_federation.proof import read_proof, verify_proof
from tocsin_federation.recall import Carried, admit_recall, read_recall, recalled
from tocsin_federation.receipt import admit_receipt, onward, ours, read_receipt
from tocsin_federation.reconciling import read_question as read_comparison
from tocsin_federation.remarks import Ground, admit_remark, refuse_groundless
from tocsin_federation.request_auth import NonceCache, verify_request
from tocsin_federation.sharing import PeerPolicy
from tocsin_federation.witness import judge, open_submission, read_submission
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import check_remark

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
    given = _unpacked(vector["given"])
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
    given = _unpacked(vector["given"])
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


def test_every_refusal_of_a_remark_has_a_vector():
    answers = {json.loads(p.read_text())["expect"] for p in FILES if p.parent.name == "remark"}
    shared = {
        "wrong-origin", "not-addressed", "header-invalid", "inner-mismatch", "tlp-mismatch", "peer-inactive",
        "above-ceiling",
    }  # fmt: skip
    assert answers == OF_REMARKS | shared | {"ok"}


def test_every_refusal_of_a_call_has_a_vector():
    answers = {json.loads(p.read_text())["expect"] for p in FILES if p.parent.name == "call"}
    shared = {
        "wrong-origin", "not-addressed", "header-invalid", "inner-mismatch", "peer-inactive", "above-ceiling",
        "content-invalid", "unsupported", "unknown-report", "not-owner", "marking-looser", "already-withdrawn",
        "version-conflict",
    }  # fmt: skip
    assert answers == OF_CALLS | shared | {"ok"}


def test_every_refusal_of_what_is_passed_on_has_a_vector():
    answers = {
        kind: {json.loads(p.read_text())["expect"] for p in FILES if p.parent.name == kind}
        for kind in ("share", "complaint")
    }
    shared = {
        "wrong-origin", "not-addressed", "header-invalid", "inner-mismatch", "peer-inactive", "content-invalid", "ok",
    }  # fmt: skip
    assert answers["share"] == OF_PASSING_ON | shared | {"above-ceiling", "unsupported"}
    assert answers["complaint"] == {"unproven", "complaint-unfounded"} | shared


def test_every_refusal_of_what_is_addressed_to_a_circle_has_a_vector():
    answers = {json.loads(p.read_text())["expect"] for p in FILES if p.parent.name == "addressed"}
    assert answers == OF_CIRCLES | {"ok"}


def test_every_refusal_of_a_receipt_has_a_vector():
    answers = {json.loads(p.read_text())["expect"] for p in FILES if p.parent.name == "receipt"}
    assert answers == {
        "wrong-origin", "not-addressed", "header-invalid", "inner-mismatch", "peer-inactive", "content-invalid",
        "unsupported", "not-ours", "ok",
    }  # fmt: skip


def test_every_refusal_of_a_recall_has_a_vector():
    answers = {json.loads(p.read_text())["expect"] for p in FILES if p.parent.name == "recall"}
    assert answers == {
        "wrong-origin", "not-addressed", "header-invalid", "inner-mismatch", "peer-inactive", "content-invalid",
        "unsupported", "not-owner", "ok",
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


# -----------------------------------------------------------------------------------------------------


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"utf8"}:
            return value["utf8"].encode()
        if set(value) == {"base64"}:
            return base64.b64decode(value["base64"])
        return {key: _unpacked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    return value


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _entry(given: dict[str, Any]) -> None:
    keys = [load_enc_private(seed) for seed in given["enc_seeds"]]
    opened = open_entry(
        Frame(0, given["leaf"], given["wrap"], given["ct"]),
        expected_leaf_hash=given["leaf_hash"],
        origin=given["origin"],
        me=given["me"],
        enc_private={key.kid: key for key in keys},
    )
    assert opened.header.by == given["origin"]


def _identity(given: dict[str, Any]) -> None:
    known = verify_chain(given["known"], expected=None, now=None) if given["known"] else None
    identity = verify_chain(given["chain"], expected=given["expected"], now=_time(given["now"]), known=known)
    assert identity.node_id == given["expected"]


def _frames(given: dict[str, Any]) -> None:
    reader = FrameReader(start=given["start"])
    reader.feed(given["body"])
    reader.finish()


def _request(given: dict[str, Any]) -> None:
    nonces, now = NonceCache(), _time(given["now"])
    for seen in given["seen"]:
        assert nonces.check_and_add(seen["keyid"], seen["nonce"], now)
    caller = verify_request(
        lookup=given["keys"].get,
        nonces=nonces,
        now=now,
        **{k: given[k] for k in ("method", "authority", "path", "query", "body", "headers", "me")},
    )
    assert nonces.seen(caller.keyid, caller.nonce, now)


def _key(given: dict[str, Any]) -> None:
    verify(check_public(given["public"]), given["message"], given["signature"])


def _witness(given: dict[str, Any]) -> None:
    submission = read_submission(given["body"])
    checkpoint = open_submission(submission, given["vkey"])
    last = Checkpoint(checkpoint.origin, given["size"], given["root"]) if "size" in given else None
    judge(submission, checkpoint, last)


def _remark(given: dict[str, Any]) -> None:
    header, checked = read_header(given["leaf"]), check_remark(given["content"])
    assert checked.remark is not None, checked.findings
    tlp_in = Tlp(given["max_tlp_in"])
    policy = PeerPolicy(given["peer"], "alder", Tlp.CLEAR, tlp_in, given["active"])
    admit_remark(header, checked.remark, policy=policy, me=given["me"])
    held, ground = given["held"], None
    if held is not None:
        tlp = None if held["tlp"] is None else Tlp(held["tlp"])
        ground = Ground(held["origin"], tuple(held["audience"]), header.ver, tlp)
    refuse_groundless(checked.remark, ground, by=given["peer"], me=given["me"])


def _call(given: dict[str, Any]) -> None:
    header, call = read_header(given["leaf"]), read_call(given["content"])
    policy = PeerPolicy(given["peer"], "alder", Tlp.CLEAR, Tlp(given["max_tlp_in"]), given["active"])
    admit_call(header, call, policy=policy, me=given["me"])
    held, basis, standing = given["held"], None, None
    if held is not None:
        tlp = None if held["tlp"] is None else Tlp(held["tlp"])
        basis = Basis(held["origin"], tlp, held["withdrawn"])
    refuse_baseless(call, header.tlp, basis, by=given["peer"])
    if given["standing"] is not None:
        raw = given["standing"]["content"]
        stands = read_call(raw)
        standing = Standing(
            stands.report_id, stands.drill, stands.seq, sha256(raw).digest(), stands.state == "stood-down"
        )
    _, code = decide_call(standing, call, sha256=sha256(given["content"]).digest())
    if code is not None:
        raise EntryRefused(code)


def _known(given: dict[str, Any]) -> Callable[[str], Any]:
    held = verify_chain(given["known"], expected=None, now=None) if given["known"] else None
    return lambda node_id: held if held is not None and held.node_id == node_id else None


def _share(given: dict[str, Any]) -> None:
    header, share = read_header(given["leaf"]), read_share(given["content"])
    tlp_in, active = Tlp(given["max_tlp_in"]), given["active"]
    policy = PeerPolicy(given["peer"], "birch", Tlp.CLEAR, tlp_in, active, onward=given["onward"])
    passed = admit_share(header, share, policy=policy, me=given["me"], known=_known(given))
    author = given["author"]
    if author is not None:
        author = PeerPolicy(passed.author, "alder", Tlp.CLEAR, Tlp(author["max_tlp_in"]), author["active"])
    refuse_onward(passed, share, policy=policy, author=author)


def _complaint(given: dict[str, Any]) -> None:
    header, complaint = read_header(given["leaf"]), read_complaint(given["content"])
    policy = PeerPolicy(given["peer"], "cedar", Tlp.CLEAR, Tlp.CLEAR, given["active"])
    admit_complaint(header, complaint, policy=policy, me=given["me"], known=_known(given))


def _circle(given: dict[str, Any]) -> None:
    held = restore_circle(given["held"]) if given["held"] else None
    verify_circle(given["chain"], now=_time(given["now"]), held=held)


def _addressed(given: dict[str, Any]) -> None:
    circle = restore_circle(given["chain"]) if given["chain"] else None
    times = {k: None if given[k] is None else _time(given[k]) for k in ("ended_at", "logged_by")}
    admit_addressed(read_header(given["leaf"]), circle, me=given["me"], frozen_at=given["frozen_at"], **times)


def _receipt(given: dict[str, Any]) -> None:
    header, receipt = read_header(given["leaf"]), read_receipt(given["content"])
    policy = PeerPolicy(given["peer"], "birch", Tlp.CLEAR, Tlp.CLEAR, given["active"])
    admit_receipt(header, receipt, policy=policy, me=given["me"])
    if receipt.v == 1:
        assert ours(receipt, set(given["sealed"]))
    else:
        assert onward(receipt, {(entry, node) for entry, node in given["passed"]})


def _recall(given: dict[str, Any]) -> None:
    header, recall = read_header(given["leaf"]), read_recall(given["content"])
    policy = PeerPolicy(given["peer"], "alder", Tlp.CLEAR, Tlp.CLEAR, given["active"])
    admit_recall(header, recall, policy=policy, me=given["me"])
    carried = {one["entry"]: Carried(one["id"], one["owner"]) for one in given["carried"]}
    recalled(recall, carried, by=given["peer"])


CHECKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "addressed": _addressed,
    "acknowledgement": lambda given: read_acknowledgement(given["content"]),
    "call": _call,
    "canonical": lambda given: parse_canon(given["bytes"], max_bytes=given["max_bytes"]),
    "complaint": _complaint,
    "share": _share,
    "circle": _circle,
    "checkpoint": lambda given: open_checkpoint(given["note"], given["vkey"]),
    "compare": lambda given: read_comparison(given["question"]),
    "entry": _entry,
    "frames": _frames,
    "identity": _identity,
    "invite": lambda given: parse_invite(given["invite"], now=_time(given["now"])),
    "key": _key,
    "proof": lambda given: verify_proof(read_proof(given["proof"]), expected=given["expected"]),
    "recall": _recall,
    "receipt": _receipt,
    "remark": _remark,
    "request": _request,
    "heads": lambda given: read_question(given["question"]),
    "witness": _witness,
}


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
