"""The text of PROTOCOL.md is enough: a reader that was written from it alone says of every vector what the vector says."""

import json
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
    remarks,
    requests,
)

FEDERATION = Path(__file__).parents[2] / "federation"
VECTORS = FEDERATION / "vectors"
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
    return nodes.chain(chain, expected=given["expected"], now=seconds(given["now"]), known=known)


def of_request(given):
    names = ("method", "authority", "path", "query", "headers", "me", "seen")
    facts = {name: given[name] for name in names}
    keys = {keyid: raw(key) for keyid, key in given["keys"].items()}
    return requests.request(body=raw(given["body"]), keys=keys, now=moment(given["now"]), **facts)


def of_entry(given):
    facts = {name: raw(given[name]) for name in ("leaf", "wrap", "ct", "leaf_hash")}
    return entries.entry(seeds=raws(given["enc_seeds"]), origin=given["origin"], me=given["me"], **facts)


def of_call(given):
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
    times = {name: moment(given[name]) for name in ("ended_at", "logged_by")}
    return circles.addressed(
        raws(given["chain"]), header, me=given["me"], frozen_at=given["frozen_at"], **times
    )


JUDGES = {
    "acknowledgement": lambda given: messages.acknowledgement(raw(given["content"])),
    "addressed": of_addressed,
    "call": of_call,
    "canonical": lambda given: basics.strict(raw(given["bytes"]), given["max_bytes"]),
    "checkpoint": lambda given: notes.checkpoint(raw(given["note"]), given["vkey"])[0],
    "circle": lambda given: circles.chain(
        raws(given["chain"]), held=raws(given["held"]), now=seconds(given["now"])
    ),
    "compare": lambda given: notes.compare(raw(given["question"])),
    "complaint": lambda given: header_and(passing.complaint, given, known=raws(given["known"])),
    "entry": of_entry,
    "frames": lambda given: frames.frames(given["start"], raw(given["body"])),
    "heads": lambda given: notes.heads(raw(given["question"])),
    "identity": of_identity,
    "invite": lambda given: joining.invite(given["invite"], moment(given["now"]).timestamp()),
    "key": lambda given: basics.key(*(raw(given[name]) for name in ("public", "message", "signature"))),
    "proof": lambda given: proofs.proof(raw(given["proof"]), expected=given["expected"]),
    "recall": of_recall,
    "receipt": lambda given: header_and(
        messages.receipt,
        given,
        sealed=raws(given["sealed"]),
        passed=[(raw(entry), node) for entry, node in given["passed"]],
    ),
    "remark": lambda given: header_and(
        remarks.remark, given, ceiling=given["max_tlp_in"], held=given["held"]
    ),
    "request": of_request,
    "share": of_share,
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
    told = {line.split("`")[1] for line in README.splitlines() if line.startswith("| `")}
    assert kinds == set(JUDGES) == told


README = (VECTORS / "README.md").read_text(encoding="utf-8")


def test_it_shares_no_code_with_the_package():
    folder = Path(nodes.__file__).parent
    lines = [line for path in folder.glob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    assert "tocsin" not in "".join(line for line in lines if line.strip().startswith(("import", "from")))
