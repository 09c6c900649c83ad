"""What each kind of vector in federation/vectors is given to: the package's own check, which refuses or returns."""

import base64
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any

from tocsin_federation import remarks
from tocsin_federation.calls import (
    Basis,
    Standing,
    admit_answer,
    admit_call,
    decide_call,
    emergency_id,
    read_answer,
    read_call,
    refuse_baseless,
)
from tocsin_federation.canonical import parse_canon
from tocsin_federation.checkpoint import Checkpoint, open_checkpoint
from tocsin_federation.circle import read_file, restore_circle, verify_circle
from tocsin_federation.circle_rules import admit_addressed, admit_manifests, first_difference
from tocsin_federation.cosignature import cosignatures
from tocsin_federation.envelope import open_entry
from tocsin_federation.errors import CheckpointRefused, CircleRefused, EntryRefused
from tocsin_federation.evidence import read_evidence, verify_evidence
from tocsin_federation.frames import Frame, FrameReader
from tocsin_federation.gossip import read_answer as read_heads
from tocsin_federation.gossip import read_question, veil
from tocsin_federation.identity import refuse_borrowed_origin, verify_chain
from tocsin_federation.inbox import Held, decide
from tocsin_federation.keys import check_public, load_enc_private, verify
from tocsin_federation.merkle import parse_tile_path
from tocsin_federation.messages import read_acknowledgement, read_header
from tocsin_federation.onward import (
    admit_complaint,
    admit_share,
    read_complaint,
    read_share,
    refuse_onward,
)
from tocsin_federation.peering import check_answer_mac, check_join_mac, parse_invite, sas_words
from tocsin_federation.proof import read_proof, verify_proof
from tocsin_federation.recall import Carried, admit_recall, read_recall, recalled
from tocsin_federation.receipt import admit_receipt, onward, ours, read_receipt
from tocsin_federation.reconciling import read_answer as read_compared
from tocsin_federation.reconciling import read_question as read_comparison
from tocsin_federation.reconciling import summed
from tocsin_federation.remarks import Ground, admit_remark, decide_remark, refuse_groundless
from tocsin_federation.request_auth import NonceCache, verify_request
from tocsin_federation.sharing import PeerPolicy, admit, admit_acknowledgement
from tocsin_federation.witness import judge, open_submission, read_submission
from tocsin_schema.check import check_bundle
from tocsin_schema.ids import node_identity_id
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import check_remark
from tocsin_schema.stix import node_named


def unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"utf8"}:
            return value["utf8"].encode()
        if set(value) == {"base64"}:
            return base64.b64decode(value["base64"])
        return {key: unpacked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unpacked(item) for item in value]
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
    others = [verify_chain([chain], expected=None, now=None) for chain in given.get("others", ())]
    refuse_borrowed_origin(identity, others)


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
    if "standing" in given:
        stands = check_remark(given["standing"]).remark
        assert stands is not None
        outcome = decide_remark(remarks.Standing(stands.modified, stands.sha256), checked.remark)
        assert outcome.value == given["outcome"]


def _call(given: dict[str, Any]) -> None:
    header, call = read_header(given["leaf"]), read_call(given["content"])
    policy = PeerPolicy(given["peer"], "alder", Tlp.CLEAR, Tlp(given["max_tlp_in"]), given["active"])
    admit_call(header, call, policy=policy, me=given["me"])
    assert given.get("emergency", emergency_id(header.by, call.key)) == emergency_id(header.by, call.key)
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


def _policy(given: dict[str, Any], **more: Any) -> PeerPolicy:
    tlp_in = Tlp(given.get("max_tlp_in", "clear"))
    return PeerPolicy(given["peer"], "the peer", Tlp.CLEAR, tlp_in, given["active"], **more)


def _report(given: dict[str, Any]) -> None:
    header, checked = read_header(given["leaf"]), check_bundle(given["content"])
    report = checked.report
    assert report is not None, checked.findings
    named = node_named(report.created_by_ref, report.objects)
    nodes = [given["me"], *given["nodes"]]
    node = next((i for i in nodes if node_identity_id(i) == report.created_by_ref), named)
    admit(
        header,
        content_id=report.id,
        content_tlp=report.tlp,
        content_revoked=report.revoked,
        content_node=node,
        policy=_policy(given),
        me=given["me"],
    )
    held = given["held"]
    if held is not None:
        was = check_bundle(held["content"]).report
        assert was is not None
        digest = sha256(held["content"]).digest()
        held = Held(held["origin"], was.created_by_ref, held["ver"], digest, was.revoked, held["disputed"])
    outcome, code = decide(
        held,
        header,
        sha256=sha256(given["content"]).digest(),
        origin=given["peer"],
        creator=report.created_by_ref,
    )
    if code is not None:
        raise EntryRefused(code)
    assert outcome.value == given["outcome"]


def _acknowledgement(given: dict[str, Any]) -> None:
    header, said = read_header(given["leaf"]), read_acknowledgement(given["content"])
    admit_acknowledgement(header, said, policy=_policy(given), me=given["me"])


def _answer(given: dict[str, Any]) -> None:
    header, said = read_header(given["leaf"]), read_answer(given["content"])
    admit_answer(header, said, policy=_policy(given), me=given["me"])


def _manifest(given: dict[str, Any]) -> None:
    header = read_header(given["leaf"])
    circle = verify_circle(read_file(given["content"]), now=_time(given["now"]))
    admit_manifests(header, circle, policy=_policy(given), me=given["me"])
    held = restore_circle(given["held"]) if given["held"] else circle
    if first_difference(held, circle) is not None:
        raise CircleRefused("circle-forked")


def _evidence(given: dict[str, Any]) -> None:
    verify_evidence(read_evidence(given["evidence"]), expected=given["expected"])


def _cosignature(given: dict[str, Any]) -> None:
    """That nothing counts is no refusal of the code's; the vectors call it as they call a note that nobody signed."""
    now = int(_time(given["now"]).timestamp())
    found = cosignatures(given["note"], [given["vkey"]], now=now)
    if not found:
        raise CheckpointRefused("note-unsigned")
    assert [each.at for each in found] == [given["at"]]


def _handshake(given: dict[str, Any]) -> None:
    invite = parse_invite(given["invite"], now=_time(given["now"]))
    assert invite.id == given["id"]
    me, mine = given["joiner"], given["nonce"]
    if "answer" not in given:
        check_join_mac(given["mac"], invite.mac_key, invite.node_id, me, mine)
        return
    nonce = given["answer"]["nonce"]
    check_answer_mac(given["answer"]["mac"], invite, me, mine, nonce)
    assert list(sas_words(invite.node_id, me, nonce, mine)) == given["words"]


def _heads(given: dict[str, Any]) -> None:
    if "answer" in given:
        read_heads(given["answer"])
        return
    asked = read_question(given["question"])
    if "origins" in given:
        assert asked.logs == tuple(sorted(veil(asked.salt, origin) for origin in given["origins"]))


def _tile(given: dict[str, Any]) -> None:
    place = parse_tile_path(given["path"])
    assert place == (given["level"], given["index"], given["width"])


def _compare(given: dict[str, Any]) -> None:
    asked = read_comparison(given["question"])
    if "answer" not in given:
        return
    answer = read_compared(given["answer"], asked)
    if "held" in given:
        places = [[at for at in given["held"] if low <= at < high] for low, high in asked.ranges]
        assert answer.sums == tuple(map(summed, places))


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
    header = read_header(given["leaf"])
    circle = circle if circle is not None and circle.id == header.aud.circle else None
    admit_addressed(header, circle, me=given["me"], frozen_at=given["frozen_at"], **times)


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
    "acknowledgement": _acknowledgement,
    "answer": _answer,
    "call": _call,
    "canonical": lambda given: parse_canon(given["bytes"], max_bytes=given["max_bytes"]),
    "complaint": _complaint,
    "share": _share,
    "circle": _circle,
    "checkpoint": lambda given: open_checkpoint(given["note"], given["vkey"]),
    "compare": _compare,
    "cosignature": _cosignature,
    "entry": _entry,
    "evidence": _evidence,
    "frames": _frames,
    "handshake": _handshake,
    "identity": _identity,
    "invite": lambda given: parse_invite(given["invite"], now=_time(given["now"])),
    "key": _key,
    "manifest": _manifest,
    "proof": lambda given: verify_proof(read_proof(given["proof"]), expected=given["expected"]),
    "recall": _recall,
    "receipt": _receipt,
    "remark": _remark,
    "report": _report,
    "request": _request,
    "heads": _heads,
    "tile": _tile,
    "witness": _witness,
}
