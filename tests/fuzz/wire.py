"""What another node may send, each part given to its own parser."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.federation.nodes import A_KEYS, A
from tests.fuzz import seeds

from tocsin_federation import reconciling
from tocsin_federation.audit import (
    EXPORT_HEAD,
    LEAF,
    LINE,
    ExportHead,
    Leaf,
    Line,
    Reader,
    commitment,
    read_export_head,
    sign_audit,
)
from tocsin_federation.canonical import canon, parse_canon
from tocsin_federation.checkpoint import note_lines, open_checkpoint, parse_checkpoint_text, signers
from tocsin_federation.circle import MANIFEST, read_file, read_manifest, verify_circle, write_file
from tocsin_federation.cosignature import cosign, cosignatures, read_lines, with_lines
from tocsin_federation.envelope import open_entry
from tocsin_federation.errors import FederationError
from tocsin_federation.evidence import read_evidence, verify_evidence, write_evidence
from tocsin_federation.frames import Frame, FrameReader
from tocsin_federation.gossip import read_answer, read_question, write_answer
from tocsin_federation.identity import verify_chain
from tocsin_federation.keys import (
    VKEY_COSIGNATURE,
    decode_vkey,
    encode_vkey,
    generate,
    load_enc_private,
    public_of,
)
from tocsin_federation.merkle import Frontier, leaf_hash, parse_tile_path, tile_path
from tocsin_federation.messages import HEADER, read_acknowledgement, read_header
from tocsin_federation.onward import read_complaint, read_share, write_complaint, write_share
from tocsin_federation.padding import pad, unpad
from tocsin_federation.peering import parse_invite
from tocsin_federation.proof import read_proof, verify_proof, write_proof
from tocsin_federation.recall import RECALL, read_recall
from tocsin_federation.receipt import RECEIPT, about, owed, read_receipt
from tocsin_federation.request_auth import (
    CONTENT_DIGEST,
    DEST,
    SIGNATURE,
    SIGNATURE_INPUT,
    NonceCache,
    verify_request,
)
from tocsin_federation.statement import STATEMENT, check_keys, read_statement
from tocsin_federation.witness import judge, open_submission, read_submission, write_submission
from tocsin_schema.remark import check_remark

_HEADERS = (DEST, CONTENT_DIGEST, SIGNATURE_INPUT, SIGNATURE)


def canonical(data: bytes) -> None:
    """What is taken is written back as it was."""
    assert canon(parse_canon(data, max_bytes=1 << 20)) == data


def chain(data: bytes) -> None:
    """Statements, one a line."""
    verify_chain(data.split(b"\n"), expected=None, now=_NOW)


def statement(data: bytes) -> None:
    """The payload of an envelope whose own form holds."""
    text = base64.b64encode(data).decode()
    signature = {"keyid": "0" * 16, "sig": base64.b64encode(bytes(64)).decode()}
    envelope = {"payload": text, "payloadType": "application/vnd.tocsin.node+json", "signatures": [signature]}
    signed = read_statement(canon(envelope))
    assert STATEMENT.encode(signed.statement) == data
    check_keys(signed.statement)


def note(data: bytes) -> None:
    """A checkpoint, of a log whose key is known."""
    text = data.rpartition(b"\n\n")[0].decode("utf-8", "replace") + "\n"
    _either(lambda: signers(data))
    _either(lambda: parse_checkpoint_text(text))
    open_checkpoint(data, _VKEY)


def vkey(data: bytes) -> None:
    """A verifier key of a log, or of a witness."""
    text = _text(data)
    _either(lambda: decode_vkey(text, VKEY_COSIGNATURE))
    assert decode_vkey(text).name == text.partition("+")[0]


def cosigned(data: bytes) -> None:
    """A note with lines of witnesses; they never spoil it for who reads it next."""
    found = cosignatures(data, [_WITNESS], now=_COSIGNED_AT)
    assert len(found) <= 1
    grown = with_lines(data, [one.line for one in found])
    assert cosignatures(grown, [_WITNESS], now=_COSIGNED_AT) == found


def cosignature_lines(data: bytes) -> None:
    """What a witness answers: its lines are those of the answer."""
    assert "".join(f"{line}\n" for line in read_lines(data)).encode() == data


def submission(data: bytes) -> None:
    """The body of `add-checkpoint`: what is taken is written back as it was."""
    read = read_submission(data)
    assert write_submission(read) == data
    head = open_submission(read, _SUBMITTED["vkey"])
    judge(read, head, None)


def circle_file(data: bytes) -> None:
    """A circle's file; a chain that holds is written again as it was."""
    chain = read_file(data)
    assert write_file(chain) == data
    verify_circle(chain, now=_NOW)


def circle_files() -> list[bytes]:
    """The chains of the vectors, as files."""
    chains = (given["chain"] for given in seeds.given("circle"))
    return [write_file(chain) for chain in chains if 1 <= len(chain) <= 8]


def manifest(data: bytes) -> None:
    """A manifest in an envelope that nobody has signed."""
    text = base64.b64encode(data).decode()
    kind = "application/vnd.tocsin.circle+json"
    held = read_manifest(canon({"payload": text, "payloadType": kind, "signatures": []}))
    assert MANIFEST.encode(held.manifest) == data


def manifests() -> list[bytes]:
    """The payloads of the vectors' manifests."""
    found = []
    for given in seeds.given("circle"):
        for envelope in given["chain"][:2]:
            _either(lambda envelope=envelope: found.append(read_manifest(envelope).payload))
    return found


def heads_question(data: bytes) -> None:
    """What a peer asks about heads."""
    read_question(data)


def heads_answer(data: bytes) -> None:
    """What a peer says of heads, and the evidence in it."""
    for raw in read_answer(data).evidence:
        _either(lambda raw=raw: verify_evidence(read_evidence(raw)))


def frames(data: bytes) -> None:
    """The body of an answer: what is made of it is the same in whatever pieces it comes."""
    assert _frames([data]) == _frames([data[i : i + 7] for i in range(0, len(data), 7)])


def header(data: bytes) -> None:
    """A leaf: what is taken is written back as it was."""
    assert HEADER.encode(read_header(data)) == data


def acknowledgement(data: bytes) -> None:
    read_acknowledgement(data)


def receipt(data: bytes) -> None:
    """The content of a receipt, and the same bytes as a header that nobody understands."""
    owed(data)
    about(data)
    assert RECEIPT.encode(read_receipt(data)) == data


def recall(data: bytes) -> None:
    assert RECALL.encode(read_recall(data)) == data


def padding(data: bytes) -> None:
    """An opened plaintext, framed."""
    assert pad(unpad(data)) == data


def entry(data: bytes) -> None:
    """The wrap of an entry that is sound in all else, and what goes for its ciphertext."""
    frame = Frame(0, _ENTRY["leaf"], data[:1168], data[1168:] or _ENTRY["ct"])
    open_entry(
        frame,
        expected_leaf_hash=_ENTRY["leaf_hash"],
        origin=_ENTRY["origin"],
        me=_ENTRY["me"],
        enc_private=_KEYS,
    )


def remark(data: bytes) -> None:
    """`check_remark` never raises: it gives a remark or says why not."""
    checked = check_remark(data)
    assert (checked.remark is None) == any(one.level == "error" for one in checked.findings)


def invite(data: bytes) -> None:
    parse_invite(_text(data), now=_NOW)


def request(data: bytes) -> None:
    """Lines: the four headers, then path and query."""
    lines = [_text(line) for line in data.split(b"\n")]
    lines += [""] * (6 - len(lines))
    headers = {name: line for name, line in zip(_HEADERS, lines, strict=False) if line}
    verify_request(
        **{**_REQUEST, "headers": headers, "path": lines[4], "query": lines[5]},
        lookup=_REQUEST_KEYS.get,
        nonces=NonceCache(),
        now=_REQUEST_AT,
    )


def proof(data: bytes) -> None:
    """The file of a proof: what is taken is written back as it was."""
    read = read_proof(data)
    assert write_proof(read) == data
    verify_proof(read)


def proof_extra(data: bytes) -> None:
    """The line in a sound proof that no signature covers."""
    proof(b"c2sp.org/tlog-proof@v1\nextra " + base64.b64encode(data) + b"\n" + _PROOF_REST)


def evidence(data: bytes) -> None:
    """The file of evidence: what is taken is written back as it was."""
    read = read_evidence(data)
    assert write_evidence(read) == data
    verify_evidence(read)


def audit_export(data: bytes) -> None:
    """An exported audit log: whatever is taken leads to the root that was signed."""
    head, *lines = data.split(b"\n")
    _, signed = read_export_head(head)
    reader = Reader(signed)
    for line in lines:
        assert LINE.encode(reader.take(line)) == line
    reader.finish()
    assert reader.tree.root() == signed.root


def tile(data: bytes) -> None:
    """A tile's path has one spelling."""
    path = _text(data)
    level, index, width = parse_tile_path(path)
    assert tile_path(index, width, level=level) == path


# Seeds ------------------------------------------------------------------------------------------------


def audit_exports() -> list[bytes]:
    """An audit log of three lines, one of which no longer says what it was about."""
    salt, found = bytes(16), []
    tree = Frontier()
    for seq, name in enumerate(("report:1", "alert:2", None)):
        leaf = Leaf(
            v=1, seq=seq, at="2026-11-29T16:05:00.123Z", who="person:Ann", via="token:desk", action="report.read",
            object=commitment(salt, name or "report:3"), detail={"ver": seq, "to": ["a"], "drill": True, "code": "x"},
        )  # fmt: skip
        tree.append(leaf_hash(LEAF.encode(leaf)))
        found.append(LINE.encode(Line(leaf=leaf, object=name, salt=salt if name else None)))
    note = sign_audit(A.statement.log.origin, tree, A_KEYS.log).decode()
    return [b"\n".join([EXPORT_HEAD.encode(ExportHead(audit=1, chain=list(A.chain), note=note)), *found])]


def statements() -> list[bytes]:
    """The payloads of every statement among the vectors."""
    found: dict[bytes, None] = {}
    for one in seeds.chains():
        for raw in one:
            try:
                found[read_statement(raw).payload] = None
            except FederationError:
                continue
    return list(found)


def requests() -> list[bytes]:
    """The four headers of each vector, path and query."""
    return [
        "\n".join([*(one["headers"].get(name, "") for name in _HEADERS), one["path"], one["query"]]).encode()
        for one in seeds.given("request")
    ]


def cosigned_notes() -> list[bytes]:
    """The sound notes among the vectors, with one line of a witness, with two, and without."""
    found = []
    for one in seeds.given("checkpoint", ok=True):
        text = note_lines(one["note"])[0]
        lines = [
            cosign(text, "witness.example", _WITNESS_KEY, at=at)
            for at in (_COSIGNED_AT, _COSIGNED_AT - 9, _COSIGNED_AT + 999)
        ]
        found += [with_lines(one["note"], lines[:nth]) for nth in range(4)]
        found.append(one["note"] + "".join(f"{line}\n" for line in lines).encode())
    return found


def witness_lines() -> list[bytes]:
    """The signature lines of those notes."""
    return [note_.partition(b"\n\n")[2] for note_ in cosigned_notes()]


def answers() -> list[bytes]:
    """The answer of the vectors, and answers with notes and evidence."""
    told = [bytes(each) for one in seeds.given("heads") for name, each in one.items() if name == "answer"]
    return [*told, write_answer(cosigned_notes()[:2], evidences()), write_answer([])]


def extras() -> list[bytes]:
    """The extra lines of every proof among the vectors."""
    found = []
    for raw in seeds.field("proof", "proof"):
        line = raw.partition(b"extra ")[2].partition(b"\n")[0]
        try:
            found.append(base64.b64decode(line, validate=True))
        except ValueError:
            continue
    return found


def evidences() -> list[bytes]:
    """A file of the right form about the chain and the note of the vectors."""
    b64 = [base64.b64encode(raw).decode() for raw in next(seeds.given("identity", ok=True))["chain"]]
    note_ = base64.b64encode(next(seeds.given("checkpoint", ok=True))["note"]).decode()
    path = [base64.b64encode(bytes(32)).decode()]
    return [
        canon({"v": 1, "kind": "fork", "chain": b64, "held": note_, "offered": note_, "path": one})
        for one in ([], path, path * 5)
    ]


def share(data: bytes) -> None:
    """The content of a share, and what it proves."""
    said = read_share(data)
    assert write_share(said.proof, client=said.client) == data
    verify_proof(said.proof)


def complaint(data: bytes) -> None:
    """The content of a complaint, and what it proves."""
    said = read_complaint(data)
    assert write_complaint(said) == data
    verify_proof(said)


def _frames(pieces: list[bytes]) -> tuple[str, int, list[Frame]]:
    """How reading ends, and the frames; those before a refusal count for nothing."""
    reader, found = FrameReader(), []
    try:
        for piece in pieces:
            found += reader.feed(piece)
        return "ok", reader.finish(), found
    except FederationError as exc:
        return exc.code, 0, []


def _either(act: Any) -> None:
    try:
        act()
    except FederationError:
        pass


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


_NOW = datetime.fromisoformat("2026-03-02T12:00:00Z")
_VKEY: str = next(seeds.given("checkpoint", ok=True))["vkey"]
_ENTRY = next(seeds.given("entry", ok=True))
_KEYS = {key.kid: key for key in map(load_enc_private, _ENTRY["enc_seeds"])}
_SOUND = next(seeds.given("request", ok=True))
_REQUEST = {name: _SOUND[name] for name in ("method", "authority", "body", "me")}
_REQUEST_KEYS = _SOUND["keys"]
_REQUEST_AT = datetime.fromisoformat(_SOUND["now"])
_PROOF_REST: bytes = next(seeds.given("proof", ok=True))["proof"].split(b"\n", 2)[2]
_SUBMITTED = next(seeds.given("witness", ok=True))
_WITNESS_KEY = generate(lambda count: bytes(count - 1) + b"w")
_WITNESS = encode_vkey("witness.example", VKEY_COSIGNATURE, public_of(_WITNESS_KEY))
_COSIGNED_AT = 1_772_452_800
ACKNOWLEDGEMENTS = [
    json.dumps(
        {
            "at": 1772452800000,
            "report_id": "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
            "revoked": False,
            "v": 1,
            "ver": 1,
        },
        separators=(",", ":"),
    ).encode()
]


def compare_question(data: bytes) -> None:
    """A question that compares: what is read is written as it was."""
    asked = reconciling.read_question(data)
    assert reconciling.write_question(asked.ranges, listed=asked.listed) == data


_COMPARED = (
    reconciling.Question(v=1, ranges=((0, 256), (512, 768)), listed=False),
    reconciling.Question(v=1, ranges=((0, 256), (512, 768)), listed=True),
)


def compare_answer(data: bytes) -> None:
    """An answer to one of two questions; the first byte says which."""
    asked = _COMPARED[data[:1] == b"L"]
    answer = reconciling.read_answer(data[1:], asked)
    assert reconciling.write_answer(answer.next, answer.sums, answer.entries) == data[1:]
    listed = {entry.at: entry for entry in answer.entries}
    reconciling.differences(listed, {}, ours=True)


def comparisons() -> Iterator[bytes]:
    """Good answers to both."""
    yield b"S" + reconciling.write_answer(900, [reconciling.summed([]), reconciling.summed([7])])
    listed = [
        reconciling.Listed(at=3, state="refused", code="above-ceiling"),
        reconciling.Listed(at=600, state="stored"),
    ]
    yield b"L" + reconciling.write_answer(900, (), listed)
