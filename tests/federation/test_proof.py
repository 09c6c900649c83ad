"""Proofs for strangers: what is shown holds, and nothing else does."""

import base64
import hashlib
from dataclasses import replace
from functools import cache

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.federation.nodes import A_KEYS, NOW, REPORT_ID, A, B, C, Rng
from tests.federation.test_envelope import sealed_to

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.errors import FederationError
from tocsin_federation.identity import extend
from tocsin_federation.merkle import inclusion_proof, root_of
from tocsin_federation.proof import MAX_PROOF_BYTES, Disclosed, Proof, read_proof, verify_proof, write_proof
from tocsin_federation.statement import Void

CONTENT = b'{"severity":"high"}'
SEALED = sealed_to(B, C, content=CONTENT)
OTHERS = [hashlib.sha256(bytes([n])).digest() for n in range(9)]


@cache
def proof(at: int = 5, *, disclosed: bool = True) -> Proof:
    leaves = [*OTHERS[:at], SEALED.leaf_hash, *OTHERS[at:]]
    root = root_of(leaves)
    note = sign_checkpoint(A.statement.log.origin, len(leaves), root, A_KEYS.log)
    return Proof(
        SEALED.leaf,
        at,
        tuple(inclusion_proof(leaves, at)),
        note,
        tuple(A.chain),
        Disclosed(CONTENT, SEALED.data_key) if disclosed else None,
    )


def code_of(raw: bytes | Proof, **expected) -> str:
    with pytest.raises(FederationError) as caught:
        verify_proof(raw if isinstance(raw, Proof) else read_proof(raw), **expected)
    return caught.value.code


@pytest.mark.parametrize("at", range(10))
def test_a_proof_shows_who_said_what_to_whom(at):
    proven = verify_proof(read_proof(write_proof(proof(at))), expected=A.node_id)
    assert (proven.identity.node_id, proven.index, proven.checkpoint.size) == (A.node_id, at, 10)
    assert (proven.header.id, proven.header.aud.nodes) == (REPORT_ID, tuple(sorted([B.node_id, C.node_id])))
    assert proven.content == CONTENT
    assert proven.signers == ()


def test_what_is_not_disclosed_stays_closed():
    raw = write_proof(proof(disclosed=False))
    assert verify_proof(read_proof(raw)).content is None
    extra = base64.b64decode(raw.split(b"\n")[1].removeprefix(b"extra "))
    assert SEALED.data_key not in raw
    assert base64.b64encode(SEALED.data_key) not in extra
    assert b"severity" not in extra


def test_it_is_a_tlog_proof_as_c2sp_has_it():
    lines = write_proof(proof()).decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("extra ")
    assert lines[2] == "index 5"
    gap = lines.index("")
    assert all(len(base64.b64decode(line, validate=True)) == 32 for line in lines[3:gap])
    assert "\n".join(lines[gap + 1 :]).encode() == proof().note


def test_lines_of_cosigners_are_carried_and_named():
    line = "— witness.example " + base64.b64encode(bytes(76)).decode()
    noted = replace(proof(), note=proof().note + (line + "\n").encode())
    assert verify_proof(read_proof(write_proof(noted))).signers == ("witness.example",)


def test_a_proof_that_something_is_wrong_with_is_refused_by_its_code():
    sound = proof()
    other = sealed_to(B, content=b"another", rng=Rng("other"))
    assert code_of(sound, expected=B.node_id) == "wrong-node"
    assert code_of(replace(sound, chain=tuple(B.chain))) == "wrong-origin"
    assert code_of(replace(sound, leaf=other.leaf)) == "proof-mismatch"
    assert code_of(replace(sound, index=4)) == "proof-mismatch"
    assert code_of(replace(sound, index=10)) == "proof-malformed"
    assert code_of(replace(sound, path=sound.path[1:])) == "proof-mismatch"
    assert code_of(replace(sound, leaf=b"{}")) == "header-invalid"
    assert code_of(replace(sound, note=sound.note.replace(b"\n10\n", b"\n11\n"))) == "bad-signature"
    foreign = sign_checkpoint(B.statement.log.origin, 10, bytes(32), A_KEYS.log)
    assert code_of(replace(sound, note=foreign)) == "note-unsigned"
    assert code_of(replace(sound, disclosed=Disclosed(CONTENT, other.data_key))) == "commitment"
    assert code_of(replace(sound, disclosed=Disclosed(CONTENT, bytes(32)))) == "commitment"
    assert (
        code_of(replace(sound, disclosed=Disclosed(CONTENT + b" ", SEALED.data_key))) == "ciphertext-mismatch"
    )


def test_what_was_voided_later_proves_nothing_and_what_came_before_does():
    chain = list(A.chain)
    root = root_of([*OTHERS[:5], SEALED.leaf_hash, *OTHERS[5:]])
    for size, code in ((6, None), (5, "proof-void")):
        _, later = extend(
            chain,
            root_private=A_KEYS.next_root,
            now=NOW,
            rng=Rng("void"),
            replace=["log"],
            void=Void(gen=1, size=size, root=root),
        )
        renewed = replace(proof(), chain=(*chain, later))
        if code is None:
            assert verify_proof(renewed).content == CONTENT
        else:
            assert code_of(renewed) == code


@settings(max_examples=300)
@given(st.data())
def test_no_byte_of_the_file_can_be_changed(data):
    raw = bytearray(write_proof(proof()))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda b: b != raw[at]))
    try:
        proven = verify_proof(read_proof(bytes(raw)))
    except FederationError:
        return
    # What is left is what the log does not sign: the name of a line of another signer, of which there is none here.
    pytest.fail(f"byte {at} was changed to {raw[at]} and it still proves {proven}")


@settings(max_examples=300)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_whatever_is_no_proof_is_refused(junk):
    assert code_of(junk) == "proof-malformed"
    assert code_of(b"c2sp.org/tlog-proof@v1\n" + junk) == "proof-malformed"


def test_files_that_are_too_large_or_spelt_otherwise_are_refused():
    raw = write_proof(proof())
    for bad in (
        raw + b"\n" * MAX_PROOF_BYTES,
        raw.replace(b"index 5", b"index 05"),
        raw.replace(b"index 5", b"index +5"),
        raw.replace(b"index 5", b"index \xd9\xa5"),
        raw.replace(b"@v1", b"@v2"),
        raw.replace(b"\nindex 5", b""),
        raw.replace(b"extra ", b"extra  "),
        raw.replace(b"\n", b"\r\n"),
        write_proof(replace(proof(), path=(b"short", *proof().path[1:]))),
        write_proof(replace(proof(), path=(bytes(32),) * 54)),
    ):
        assert code_of(bad) == "proof-malformed"
