"""The text of PROTOCOL.md is enough: a reader that was written from it alone says of every vector what the vector says."""

import json
import re
from base64 import b64decode
from datetime import datetime
from pathlib import Path

import pytest
from tests.federation.second_reader import (
    basics,
    calls,
    circles,
    entries,
    frames,
    joining,
    messages,
    nodes,
    notes,
    passing,
    proofs,
    questions,
    remarks,
    requests,
)

FEDERATION = Path(__file__).parents[2] / "federation"
VECTORS = FEDERATION / "vectors"
README = "".join(re.findall(r"^\| `.*\n", (VECTORS / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
# The words of P-36 are a list that the text refers to, no code.
WORDS = re.findall(r"[a-z]+", (FEDERATION / "tocsin_federation" / "words.py").read_text().split('"""')[3])
FILES = sorted(VECTORS.glob("*/*.json"))


def raw(value):
    return value["utf8"].encode() if "utf8" in value else b64decode(value["base64"])


def raws(values):
    return [raw(value) for value in values]


def moment(text):
    return None if text is None else datetime.fromisoformat(text)


def seconds(text):
    return int(moment(text).timestamp())


def payloads(chain):
    return [basics.dsse(envelope, nodes.TYPE)[0] for envelope in chain]


def header_and(judge, given, **more):
    """For what stands in an entry that was opened: a header of another form is refused before it is judged."""
    header = entries.header_of(raw(given["leaf"]))
    if isinstance(header, str):
        return header
    facts = {name: given[name] for name in ("peer", "active", "me")}
    return judge(header, raw(given["content"]), **facts, **more)


def of_identity(given):
    chain, known = raws(given["chain"]), payloads(raws(given["known"]))
    said = nodes.chain(chain, expected=given["expected"], now=seconds(given["now"]), known=known)
    if not isinstance(said, str) and nodes.borrowed(said, raws(given.get("others", []))):
        return "origin-taken"
    return said


def of_request(given):
    names = ("method", "authority", "path", "query", "headers", "me", "seen")
    facts = {name: given[name] for name in names}
    keys = {keyid: raw(key) for keyid, key in given["keys"].items()}
    return requests.request(body=raw(given["body"]), keys=keys, now=moment(given["now"]), **facts)


def of_entry(given):
    facts = {name: raw(given[name]) for name in ("leaf", "wrap", "ct", "leaf_hash")}
    return entries.entry(seeds=raws(given["enc_seeds"]), origin=given["origin"], me=given["me"], **facts)


def of_call(given):
    if "emergency" in given:
        said = calls.call_of(raw(given["content"]))
        found = isinstance(said, dict) and calls.emergency(given["peer"], said["key"])
        assert found in {False, given["emergency"]}
    standing = given["standing"] and raw(given["standing"]["content"])
    return header_and(calls.call, given, ceiling=given["max_tlp_in"], held=given["held"], standing=standing)


def of_recall(given):
    owners = {raw(each["entry"]): each["owner"] for each in given["carried"]}
    return header_and(messages.recall, given, owners=owners)


def of_share(given):
    known = raws(given["known"])
    policy = {"onward": given["onward"], "ceiling": given["max_tlp_in"], "author": given["author"]}
    return header_and(passing.share, given, known=known, **policy)


def of_addressed(given):
    header = entries.header_of(raw(given["leaf"]))
    if isinstance(header, str):
        return header
    times = {name: moment(given[name]) for name in ("ended_at", "logged_by")}
    return circles.addressed(
        raws(given["chain"]), header, me=given["me"], frozen_at=given["frozen_at"], **times
    )


def of_report(given):
    held = given["held"] and given["held"] | {"content": raw(given["held"]["content"])}
    found = header_and(remarks.report, given, ceiling=given["max_tlp_in"], nodes=given["nodes"], held=held)
    assert isinstance(found, str) or found == (given["outcome"],)
    return found


def of_manifest(given):
    return header_and(circles.manifest, given, held=raws(given["held"]), now=seconds(given["now"]))


def of_remark(given):
    code = header_and(remarks.remark, given, ceiling=given["max_tlp_in"], held=given["held"])
    if "standing" in given:
        assert remarks.stands(raw(given["content"]), raw(given["standing"])) == given["outcome"]
    return code


def of_tile(given):
    found = questions.tile(given["path"])
    assert isinstance(found, str) or found == (given["level"], given["index"], given["width"])
    return found


def of_heads(given):
    if "answer" in given:
        return questions.heads_answered(raw(given["answer"]))
    question = raw(given["question"])
    code = questions.heads(question)
    if code is None and "origins" in given:
        salt = basics.unbase64(json.loads(question)["salt"])
        assert questions.heads_named(question) == questions.names(salt, given["origins"])
    return code


def of_compare(given):
    question = raw(given["question"])
    code = questions.compare(question)
    if code is None and "answer" in given:
        return questions.compared(question, raw(given["answer"]), given.get("held"))
    return code


def of_cosignature(given):
    at = notes.cosigned_at(raw(given["note"]), given["vkey"], seconds(given["now"]))
    assert at in {None, given["at"]}
    return "note-unsigned" if at is None else None


def of_handshake(given):
    said = joining.invite(given["invite"], moment(given["now"]).timestamp())
    secret, nonce = said["secret"], raw(given["nonce"])
    assert joining.invite_id(secret) == raw(given["id"])
    if "answer" not in given:
        key, mac = joining.mac_key(secret), raw(given["mac"])
        return joining.joined(key, said["node"], given["joiner"], nonce, mac)
    theirs, mac = (raw(given["answer"][name]) for name in ("nonce", "mac"))
    code = joining.answered(said, given["joiner"], nonce, theirs, mac)
    if code is None:
        eight = joining.words({said["node"]: theirs, given["joiner"]: nonce})
        assert [WORDS[byte] for byte in eight] == given["words"]
    return code


JUDGES = {
    "acknowledgement": lambda given: header_and(messages.acknowledged, given),
    "addressed": of_addressed,
    "answer": lambda given: header_and(calls.answer, given),
    "call": of_call,
    "canonical": lambda given: basics.strict(raw(given["bytes"]), given["max_bytes"]),
    "checkpoint": lambda given: notes.checkpoint(raw(given["note"]), given["vkey"])[0],
    "circle": lambda given: circles.chain(
        raws(given["chain"]), held=raws(given["held"]), now=seconds(given["now"])
    ),
    "compare": of_compare,
    "complaint": lambda given: header_and(passing.complaint, given, known=raws(given["known"])),
    "cosignature": of_cosignature,
    "entry": of_entry,
    "evidence": lambda given: proofs.evidence(raw(given["evidence"]), expected=given["expected"]),
    "frames": lambda given: frames.frames(given["start"], raw(given["body"])),
    "handshake": of_handshake,
    "heads": of_heads,
    "identity": of_identity,
    "invite": lambda given: joining.invite(given["invite"], moment(given["now"]).timestamp()),
    "key": lambda given: basics.key(*(raw(given[name]) for name in ("public", "message", "signature"))),
    "manifest": of_manifest,
    "proof": lambda given: proofs.proof(raw(given["proof"]), expected=given["expected"]),
    "recall": of_recall,
    "receipt": lambda given: header_and(
        messages.receipt,
        given,
        sealed=raws(given["sealed"]),
        passed=[(raw(entry), node) for entry, node in given.get("passed", [])],
    ),
    "remark": of_remark,
    "report": of_report,
    "request": of_request,
    "share": of_share,
    "tile": of_tile,
    "witness": lambda given: notes.submission(
        raw(given["body"]),
        given["vkey"],
        *((given["size"], raw(given["root"])) if "size" in given else (0, b"")),
    ),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_reader_written_from_the_text_alone_says_what_the_vector_says(path):
    vector = json.loads(path.read_text(encoding="utf-8"))
    found = JUDGES[vector["check"]](vector["given"])
    assert (found if isinstance(found, str) else "ok") == vector["expect"], vector["comment"]


def test_it_answers_for_every_kind_of_vector_that_there_is():
    kinds = {path.parent.name for path in FILES}
    told = {kind for line in README.splitlines() for kind in re.findall("`([a-z]+)`", line.split(" | ")[0])}
    assert kinds == set(JUDGES) == told


def test_it_shares_no_code_with_the_package():
    folder = Path(nodes.__file__).parent
    lines = [line for path in folder.glob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    assert "tocsin" not in "".join(line for line in lines if line.strip().startswith(("import", "from")))
