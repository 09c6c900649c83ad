"""The text of PROTOCOL.md is enough: a reader that was written from it alone says of every vector what the vector says."""

import json
from base64 import b32encode, b64decode
from datetime import datetime
from pathlib import Path

import pytest
from tests.federation import second_reader as reader
from tests.federation.test_identity_reference import reference

VECTORS = Path(__file__).parents[2] / "federation" / "vectors"
READ = ("canonical", "key", "checkpoint", "request", "entry", "frames", "proof")
FILES = sorted(path for check in READ for path in (VECTORS / check).glob("*.json"))
SOURCE = Path(reader.__file__).read_text(encoding="utf-8")


def raw(value):
    return value["utf8"].encode() if "utf8" in value else b64decode(value["base64"])


def statements(chain, expected):
    """A chain by section 2, terms aside, as a proof asks for it: NodeID and statements, or the code."""
    try:
        payloads = [b64decode(reader.canonical(envelope)["payload"]) for envelope in chain]
        said = [reader.canonical(payload) for payload in payloads]
    except (ValueError, KeyError):
        return "not-canonical"
    digest = reader.sha(b"tocsin/1/incept\0" + payloads[0])
    node_id = "n1" + b32encode(digest).decode().lower().rstrip("=")
    wanted = node_id if expected is None else expected
    code = reference(chain, expected=wanted, now=said[-1]["iat"], known=[])
    return code or (node_id, said)


def verdict(check, given):
    match check:
        case "canonical":
            return reader.strict(raw(given["bytes"]), given["max_bytes"])
        case "key":
            return reader.key(*(raw(given[name]) for name in ("public", "message", "signature")))
        case "frames":
            return reader.frames(given["start"], raw(given["body"]))
        case "checkpoint":
            return reader.checkpoint(raw(given["note"]), given["vkey"])[0]
        case "request":
            facts = {
                name: given[name]
                for name in ("method", "authority", "path", "query", "headers", "me", "seen")
            }
            keys = {keyid: raw(key) for keyid, key in given["keys"].items()}
            now = datetime.fromisoformat(given["now"])
            return reader.request(body=raw(given["body"]), keys=keys, now=now, **facts)
        case "entry":
            facts = {name: raw(given[name]) for name in ("leaf", "wrap", "ct", "leaf_hash")}
            seeds = [raw(seed) for seed in given["enc_seeds"]]
            return reader.entry(seeds=seeds, origin=given["origin"], me=given["me"], **facts)
        case _:
            return reader.proof(raw(given["proof"]), statements=statements, expected=given["expected"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_reader_written_from_the_text_alone_says_what_the_vector_says(path):
    vector = json.loads(path.read_text(encoding="utf-8"))
    assert (verdict(vector["check"], vector["given"]) or "ok") == vector["expect"], vector["comment"]


def test_it_shares_no_code_with_the_package():
    assert "tocsin" not in "".join(
        line for line in SOURCE.splitlines() if line.startswith(("import", "from"))
    )
